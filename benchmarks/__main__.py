"""Measure the plugin beside its peers, and print one page of figures.

behaviour    what becomes of a call when a token is revoked, with each way to sign it
call-cost    what one signed call with a good token costs, without the network
herd         token requests and time when many callers find one token expired
fleet        token requests and time when many processes share a token by cache=
upload       what signing adds to sending a file

Without a name all of them run, in some four minutes; with --quick in less than one, to see that they run.
Only ratios mean something on a machine that does other things too: all contestants take turns in one run.
If a promise is broken, such as one token request for all callers, the run ends with an AssertionError.

They need, in a checkout:  pip install -e . --group bench
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from datetime import UTC, datetime
from importlib import import_module, metadata

from ._peers import DISTRIBUTIONS

_BENCHMARKS = ("behaviour", "call-cost", "herd", "fleet", "upload")


def main() -> None:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("benchmark", nargs="*", help=f"any of {', '.join(_BENCHMARKS)}; default all")
    parser.add_argument("--quick", action="store_true", help="only to see that they run")
    chosen = parser.parse_args()
    if unknown := [name for name in chosen.benchmark if name not in _BENCHMARKS]:
        parser.error(f"there is no benchmark {unknown[0]!r}")
    libraries = ("thebase-auth", "requests", "httpx", *DISTRIBUTIONS)
    versions = [f"{name} {metadata.version(name)}" for name in libraries]
    machine = f"Python {platform.python_version()}, {platform.system()} and {os.cpu_count()} CPUs"
    print(f"# Figures\n\nPrinted by `python -m benchmarks` on {datetime.now(UTC):%Y-%m-%d} with {machine}.")
    print("All contestants take turns in one run: compare them with each other, not with another run.\n")
    print(f"{', '.join(versions)}.")
    for name in chosen.benchmark or _BENCHMARKS:
        print(f"... {name}", file=sys.stderr)
        benchmark = import_module(f"benchmarks.{name.replace('-', '_')}")
        print(f"\n## {name}\n\n{(benchmark.__doc__ or '').strip()}")
        benchmark.run(quick=chosen.quick)


if __name__ == "__main__":
    main()
