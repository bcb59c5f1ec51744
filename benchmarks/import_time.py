"""What importing thebase_auth adds to importing the HTTP library that it serves.

Each import is timed in a fresh interpreter, in turns with the import that it is compared with; the
median of the differences of neighbours is printed. The compiled files are there before the first round.
"""

from __future__ import annotations

import json
import subprocess
import sys
from statistics import median, quantiles

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
started = time.perf_counter()
{{statement}}
took = time.perf_counter() - started
loaded = [name for name in {_LIBRARIES!r} if name in sys.modules]
import json
print(json.dumps([took * 1000, loaded]))
"""


def run(*, quick: bool = False) -> None:
    """Measure and print; some 40 seconds, or 8."""
    rounds = 5 if quick else 25
    rows = []
    for ours, base in _PAIRS:
        if _timed(ours) is None or _timed(base) is None:  # and the compiled files are there
            rows.append((ours, "not installed", "", "", "", ""))
            continue
        bare, differences, loaded = [], [], ""
        for turn in range(rounds):
            first, second = (ours, base) if turn % 2 else (base, ours)
            taken = {first: _timed(first), second: _timed(second)}
            mine, its = taken[ours], taken[base]
            assert mine is not None and its is not None
            bare.append(its[0])
            differences.append(mine[0] - its[0])
            loaded = " ".join(mine[1]) or "none"
        low, middle, high = quantiles(differences, n=4)
        rows.append(
            (
                ours,
                f"{median(bare):.1f} ms ({base})",
                f"+{middle:.1f} ms",
                f"{low:.1f} - {high:.1f}",
                verdict(middle, _TARGET, "ms"),
                loaded,
            )
        )
    print("\n== import-time: a fresh interpreter each")
    table(
        "differences of neighbours",
        ("", "compared with", "added", "spread", "target", "HTTP libraries loaded"),
        rows,
    )


def _timed(statement: str) -> tuple[float, list[str]] | None:
    """Milliseconds for *statement* and the HTTP libraries it loads; None if it cannot be run."""
    program = _PROGRAM.format(statement=statement)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60
    )
    if done.returncode:
        return None
    took, loaded = json.loads(done.stdout)
    return took, loaded
