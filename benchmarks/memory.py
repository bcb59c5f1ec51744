"""What an auth object weighs, and each caller that waits for a token at an expiry.

Counted is what Python allocates, by tracemalloc.

*Auth objects*: many are made and kept, as their documentation tells.

*Waiting callers*: they meet an expiry, and the token request is not answered until they have been counted.
Beside it is what as many callers take that wait, by the same adapter or transport, for the answer to a call
with a header that never changes. Who has sent the old token keeps the 401 that came back, to be replayed
or given up. In threads each has a stack beside that, whatever it waits for: 8 MiB of addresses by default on
Linux, most of it never used.
"""

from __future__ import annotations

import gc
import threading
import tracemalloc
from importlib import import_module
from typing import Any

from ._at_once import CROWDS, at_once, ready_to_expire, who_calls
from ._in_memory import Api, Form
from ._peers import Peer, constant_header, thebase_auth
from ._timing import Effort, table


def run(effort: Effort, figures: dict[str, Any]) -> None:
    """Measure and print; some 40 seconds, or 20."""
    print("\n== memory")
    count = effort.pick(2000, 500, 20)
    rows = [(name, f"{_weight(name, count):,.0f}") for name in ("requests", "httpx", "httpx2")]
    table("auth objects", ("", "bytes each"), rows)
    callers = effort.pick(1000, 300, 10)
    seconds = effort.pick(6.0, 3.0, 0.6)  # of the answer that is waited for; half of it is for all to come
    waiting = []
    for form in CROWDS:
        base = _waiting(form, constant_header, callers, call_takes=seconds) / callers
        ours = _waiting(form, thebase_auth, callers, token_takes=seconds) / callers
        waiting.append((who_calls(form), f"{ours:,.0f}", f"{base:,.0f}", f"{ours - base:+,.0f}"))
    head = ("", "bytes each", "for an answer", "more than that")
    table(f"{callers:,} callers that wait for a token", head, waiting)


def _traced() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def _weight(library: str, count: int) -> float:
    make = import_module(f"thebase_auth.{library}").TheBaseAuth
    api = Api()
    make(api.base_url, *api.credentials)  # what is made once, for all
    tracemalloc.start()
    before = _traced()
    kept = [make(api.base_url, *api.credentials) for _ in range(count)]
    taken = _traced() - before
    tracemalloc.stop()
    return taken / len(kept)


def _waiting(form: Form, peer: Peer, callers: int, **takes: float) -> int:
    """The bytes that so many callers take who wait at once."""
    api, get = ready_to_expire(form, peer)
    api.expire(**takes)
    taken: list[tuple[int, int]] = []

    def look() -> None:
        taken.append((_traced() - before, api.calls))

    tracemalloc.start()
    before = _traced()
    when_all_wait = threading.Timer(sum(takes.values()) / 2, look)
    when_all_wait.start()
    at_once(form, callers, get)
    when_all_wait.join()
    tracemalloc.stop()
    [(found, came)] = taken
    assert came == callers, f"only {came} of {callers} callers came in time"
    return found
