"""What importing thebase_auth adds to importing the HTTP library that it serves.

A fresh interpreter imports first the library and then thebase_auth, and times both: so the second time
is that of what the library does not load itself. (Two interpreters, one for each, differ by more than
the little that is measured here.) As after an installation everything is compiled: into a folder of our
own, by a first round that does not count.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from ._timing import Effort, Spread, table, verdict

_TARGET = 5.0  # ms over the HTTP library; alone, the package loads what any of them would
_LIBRARIES = ("requests", "httpx", "httpx2")
# What is imported first, and what it is that then is measured.
_PAIRS = (
    ("pass", "import thebase_auth"),
    ("import requests", "import thebase_auth.requests"),
    ("import httpx", "import thebase_auth.httpx"),
    ("import httpx2", "import thebase_auth.httpx2"),
    ("import requests, httpx, httpx2", "from thebase_auth import TheBaseAuth"),
)
_PROGRAM = f"""
import sys, time
times = [time.perf_counter()]
{{first}}
times.append(time.perf_counter())
{{then}}
times.append(time.perf_counter())
loaded = [name for name in {_LIBRARIES!r} if name in sys.modules]
import json
print(json.dumps([(times[1] - times[0]) * 1000, (times[2] - times[1]) * 1000, loaded]))
"""


def run(effort: Effort, picture: Path | None) -> None:
    """Measure and print; some 25 seconds, or 5."""
    rounds = effort.pick(31, 5, 1)
    timed: dict[tuple[str, str], list[tuple[float, float, list[str]]]] = {}
    with TemporaryDirectory(prefix="benchmarks-") as compiled:
        runnable = [pair for pair in _PAIRS if _timed(*pair, compiled) is not None]
        for _ in range(rounds):
            for pair in runnable:
                result = _timed(*pair, compiled)
                assert result is not None
                timed.setdefault(pair, []).append(result)
    print("\n== import-time: a fresh interpreter each")
    head = ("", "after", "added", "spread", "target", "HTTP libraries loaded")
    rows = [
        _row(pair, timed[pair]) if pair in timed else (pair[1], "not installed", "", "", "", "")
        for pair in _PAIRS
    ]
    table("milliseconds", head, rows)


def _row(pair: tuple[str, str], timed: list[tuple[float, float, list[str]]]) -> tuple[str, ...]:
    first, then = pair
    added = Spread.of([added for _, added, _ in timed])
    return (
        then,
        f"{first}: {median(before for before, _, _ in timed):.1f}",
        f"+{added.middle:.1f}",
        f"{added.low:.1f} - {added.high:.1f}",
        "" if first == "pass" else verdict(added.middle, _TARGET, "ms"),
        " ".join(timed[0][2]) or "none",
    )


def _timed(first: str, then: str, compiled: str) -> tuple[float, float, list[str]] | None:
    """Milliseconds for both imports, and the HTTP libraries loaded; None if that cannot be run."""
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": compiled}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM.format(first=first, then=then)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=environment,
    )
    if done.returncode:
        return None
    before, added, loaded = json.loads(done.stdout)
    return before, added, loaded
