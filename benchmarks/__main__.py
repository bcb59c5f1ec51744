"""Run the benchmarks: ``python -m benchmarks [NAME ...] [--quick] [--svg]``.

behaviour    what becomes of a call when a token is revoked or expires, with each way to sign it
call-cost    what one signed call with a good token costs, network taken out
fleet        token requests, and time, when many processes share a token by cache=
herd         token requests, and time, when many callers meet one expiry
import-time  what importing thebase_auth adds to importing the HTTP library
memory       what an auth object weighs, and a caller that waits for a token
upload       what it costs to send a file, and how often it is read when the token is refused

Without a name all of them run, in about five minutes; with --quick in one and a half, and less exactly.
Every number is taken beside its rivals in the same run, since only ratios mean something on a machine that
does other things too. A missed target is printed and is no failure: the exit status is 0. It is 1 if
more token requests were made than the one that is promised.

Beside them there is a program of its own, which measures nothing and breaks all it can, for a
minute: python -m benchmarks.soak (see its --help).

They need, in a checkout:  pip install -e . --group bench
"""

from __future__ import annotations

import argparse
import logging
import sys
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

from pictures import IMAGES, charts

from ._timing import Effort, machine_and_versions

_BENCHMARKS = ("behaviour", "call-cost", "fleet", "herd", "import-time", "memory", "upload")


def main() -> None:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("benchmark", nargs="*", help=f"any of {', '.join(_BENCHMARKS)}; else all")
    less = parser.add_mutually_exclusive_group()
    less.add_argument("--quick", action="store_true", help="fewer and smaller rounds")
    less.add_argument("--least", action="store_true", help="only to see that it runs")
    parser.add_argument(
        "--svg", action="store_true", help="keep and draw the figures of call-cost and herd, in docs/images"
    )
    parser.add_argument("--into", type=Path, default=IMAGES, metavar="FOLDER", help="or there")
    chosen = parser.parse_args()
    unknown = [name for name in chosen.benchmark if name not in _BENCHMARKS]
    if unknown:
        parser.error(f"no benchmark is called {unknown[0]!r}")
    effort = Effort.LEAST if chosen.least else Effort.QUICK if chosen.quick else Effort.FULL
    # Several auth objects are warned of: here they are compared, or stand for processes.
    logging.getLogger("thebase_auth").addFilter(
        lambda record: not record.getMessage().startswith("several TheBaseAuth objects")
    )
    print(machine_and_versions())
    broken: list[str] = []
    try:
        for name in chosen.benchmark or _BENCHMARKS:
            figures: dict[str, Any] = {}
            benchmark = import_module(f"benchmarks.{name.replace('-', '_')}")
            broken += benchmark.run(effort, figures) or []
            if chosen.svg and figures:
                measured = f"{machine_and_versions()}; {datetime.now(UTC):%Y-%m-%d}"
                charts.keep(name, {"measured": measured, "panels": figures}, chosen.into)
                charts.draw(chosen.into)
    except ModuleNotFoundError as error:
        parser.error(f"{error.name} is missing: pip install -e . --group bench")
    if broken:
        sys.exit("\n".join(["", "broken promises:", *broken]))


if __name__ == "__main__":
    main()
