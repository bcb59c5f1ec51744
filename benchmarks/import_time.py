"""What importing thebase_auth adds to importing the HTTP library that it serves.

Each import is timed in a fresh interpreter, in turns with the import that it is compared with; the
median of the differences of neighbours is printed. As after an installation, everything is compiled:
into a folder of our own, by a first import that does not count.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from statistics import median, quantiles
from tempfile import TemporaryDirectory

from ._timing import table, verdict

_TARGET = 10.0  # ms
_LIBRARIES = ("requests", "httpx", "httpx2")
# What is imported, and what it is compared with.
_PAIRS = (
    ("import thebase_auth", "pass"),
    ("import thebase_auth.requests", "import requests"),
    ("import thebase_auth.httpx", "import httpx"),
    ("import thebase_auth.httpx2", "import httpx2"),
    ("from thebase_auth import TheBaseAuth", "import requests, httpx, httpx2"),
)
_PROGRAM = f"""
import sys, time
started = time.process_time()
{{statement}}
took = time.process_time() - started
loaded = [name for name in {_LIBRARIES!r} if name in sys.modules]
import json
print(json.dumps([took * 1000, loaded]))
"""


def run(*, quick: bool = False) -> None:
    """Measure and print; some 40 seconds, or 8."""
    rounds = 5 if quick else 25
    with TemporaryDirectory(prefix="benchmarks-") as compiled:
        rows = [_row(ours, base, compiled, rounds) for ours, base in _PAIRS]
    print("\n== import-time: a fresh interpreter each")
    head = ("", "compared with", "added", "spread", "target", "HTTP libraries loaded")
    table("differences of neighbours", head, rows)


def _row(ours: str, base: str, compiled: str, rounds: int) -> tuple[str, ...]:
    if _timed(ours, compiled) is None or _timed(base, compiled) is None:
        return ours, f"{base}: not installed", "", "", "", ""
    bare, differences, loaded = [], [], ""
    for turn in range(rounds):
        first, second = (ours, base) if turn % 2 else (base, ours)
        taken = {first: _timed(first, compiled), second: _timed(second, compiled)}
        mine, its = taken[ours], taken[base]
        assert mine is not None and its is not None
        bare.append(its[0])
        differences.append(mine[0] - its[0])
        loaded = " ".join(mine[1]) or "none"
    low, middle, high = quantiles(differences, n=4)
    return (
        ours,
        f"{base}: {median(bare):.1f} ms",
        f"+{middle:.1f} ms",
        f"{low:.1f} - {high:.1f}",
        verdict(middle, _TARGET, "ms"),
        loaded,
    )


def _timed(statement: str, compiled: str) -> tuple[float, list[str]] | None:
    """Milliseconds for *statement* and the HTTP libraries it loads; None if it cannot be run."""
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": compiled}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM.format(statement=statement)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=environment,
    )
    if done.returncode:
        return None
    took, loaded = json.loads(done.stdout)
    return took, loaded
