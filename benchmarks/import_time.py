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
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from ._timing import Effort, Spread, table, verdict

_TARGET = 5.0  # ms over the HTTP library; alone, the package loads what any of them would
_LIBRARIES = ("requests", "httpx", "httpx2")
# What is imported first, by what then is measured.
_FIRST = {
    "import thebase_auth": "pass",
    **{f"import thebase_auth.{name}": f"import {name}" for name in _LIBRARIES},
    "from thebase_auth import TheBaseAuth": f"import {', '.join(_LIBRARIES)}",
}
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


def run(effort: Effort, figures: dict[str, Any]) -> None:
    """Measure and print; some 20 seconds, or 5."""
    print("\n== import-time: a fresh interpreter each")
    timed: dict[str, list[Any]] = {then: [] for then in _FIRST}
    with TemporaryDirectory(prefix="benchmarks-") as compiled:
        for turn in range(-1, effort.pick(31, 5, 1)):
            for then, first in _FIRST.items():
                times = _timed(first, then, compiled)
                if turn >= 0:
                    timed[then].append(times)
    rows = []
    for then, first in _FIRST.items():
        before, after, loaded = zip(*timed[then], strict=True)
        added = Spread.of(after)
        met = "" if first == "pass" else verdict(added, _TARGET, "ms")
        libraries = " ".join(loaded[0]) or "none"
        rows.append((then, f"{median(before):.1f}", f"+{added.middle:.1f}", f"{added}", met, libraries))
    head = ("", "the library alone", "added", "spread", "target", "HTTP libraries loaded")
    table("milliseconds", head, rows)


def _timed(first: str, then: str, compiled: str) -> Any:
    """Milliseconds for both imports, and the HTTP libraries loaded."""
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": compiled}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    printed = subprocess.check_output(
        [sys.executable, "-c", _PROGRAM.format(first=first, then=then)], timeout=60, env=environment
    )
    return json.loads(printed)
