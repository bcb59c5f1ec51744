"""Draw the pictures of the documentation: ``python -m pictures [NAME ...]``.

charts  herd and call-cost, of the figures that `python -m benchmarks --svg` kept
demo    a recording of `thebase-auth demo`
flow    the dark one, from the light one, which is drawn by hand
page    the page of `thebase-auth sandbox`, in Chromium; port 8080 must be free

Without a name all of them are drawn. They need, in a checkout:  pip install -e . --group dev
"""

from __future__ import annotations

import argparse
import sysconfig
from collections.abc import Callable
from pathlib import Path

from . import IMAGES, charts
from ._look import write


def main() -> None:
    """Draw what the command line names."""
    drawings: dict[str, Callable[[Path], None]] = {
        "charts": charts.draw, "demo": _demo, "flow": _flow, "page": _page,
    }  # fmt: skip
    parser = argparse.ArgumentParser(
        prog="python -m pictures", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", nargs="*", help=f"any of {', '.join(drawings)}; else all")
    chosen = parser.parse_args().name or drawings
    if unknown := [name for name in chosen if name not in drawings]:
        parser.error(f"no picture is called {unknown[0]!r}")
    for name in chosen:
        drawings[name](IMAGES)


def _demo(folder: Path) -> None:
    from .recording import record  # which needs a POSIX system

    program = Path(sysconfig.get_path("scripts"), "thebase-auth")
    picture = folder / "demo.svg"
    picture.write_text(record([str(program), "demo"], "thebase-auth demo"), "utf-8")
    print(f"drawn: {picture}")


def _flow(folder: Path) -> None:
    write("flow", (folder / "flow-light.svg").read_text("utf-8"), folder)


def _page(folder: Path) -> None:
    from .page import draw  # which needs Chromium and its driver

    draw(folder)


if __name__ == "__main__":
    main()
