"""Run the benchmarks: ``python -m benchmarks [call-cost] [herd] [import-time] [--quick]``.

call-cost    what one signed call with a good token costs, network taken out
herd         token requests, and time, when many callers meet one expiry, over loopback
import-time  what importing thebase_auth adds to importing the HTTP library

Without a name all of them run, in about three minutes; with --quick in half a minute, and less
exactly. Every number is taken beside its rivals in the same run, since only ratios mean something on a
machine that does other things too. A missed target is printed and is no failure: the exit status is 0.

What is measured needs, in a checkout:  pip install -e '.[requests,httpx,httpx2,testing]'
The peers are optional:                 pip install requests_auth requests-oauth2client
                                        requests-oauthlib httpx-auth Authlib
"""

from __future__ import annotations

import argparse
import os
import platform
from importlib import import_module, metadata

_BENCHMARKS = ("call-cost", "herd", "import-time")
_VERSIONS_OF = (
    "thebase-auth",
    "requests",
    "httpx",
    "httpx2",
    "requests-auth",
    "requests-oauth2client",
    "requests-oauthlib",
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
    parser.add_argument("--quick", action="store_true", help="fewer and smaller rounds")
    chosen = parser.parse_args()
    unknown = [name for name in chosen.benchmark if name not in _BENCHMARKS]
    if unknown:
        parser.error(f"no benchmark is called {unknown[0]!r}")
    print(f"Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} CPUs")
    print(", ".join(f"{name} {_version(name)}" for name in _VERSIONS_OF))
    for name in chosen.benchmark or _BENCHMARKS:
        try:
            benchmark = import_module(f"benchmarks.{name.replace('-', '_')}")
        except ModuleNotFoundError as error:
            parser.error(
                f"{name} needs {error.name}: pip install -e '.[requests,httpx,httpx2,testing]'"
            )
        benchmark.run(quick=chosen.quick)


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "not installed"


if __name__ == "__main__":
    main()
