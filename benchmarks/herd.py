"""How many token requests are made, and in what time, when N callers meet one expiry at once.

A first token is over (by ``expires_in``, for those who go by the clock) and then revoked (for those who go
by the 401); then all callers make one GET each, at once, by one shared session or client.

There is no network: each answer, of the API and of the token endpoint, takes 100 ms and nothing else,
however many are under way. So one knows what is to be had at best: a call that gets a 401, a token request
for all, the call once more; this *ideal* is 300 ms. What even a perfect auth object cannot save is the
library's own work, which for a thousand calls is much on few CPUs: the *bare* time is that of the same
callers with a header that never changes, who make the call, wait for 100 ms all together, and make the call
again. They keep the first answer until then, as a history does. The target is 1.25 times the ideal, or 1.25
times the bare time if that is over the ideal by more than 5 %.

A ratio is that of one round, in which all take turns. Who goes by the clock, and finds the token over,
does not even try it: that saves one round trip in three, as long as clock and server agree. Who comes
when the new token is there makes one call and not two. In requests we send the call again beneath the
session, which the bare callers do not: so we can be faster than those. A server that takes longer the
more token requests it gets makes more of a difference than this one does.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from ._at_once import CROWDS, at_once, ready_to_expire, who_calls
from ._in_memory import Form
from ._peers import Peer, constant_header, peers_of
from ._timing import OURS, Effort, ratios, table, verdict

ROUND_TRIP = 0.1  # seconds, of a call and of a token request
IDEAL = 3 * ROUND_TRIP
BARE = "bare"
_TARGET = 1.25
_AS_IDEAL = 1.05  # up to this ratio the bare time is taken for the ideal
_MOST_THREADS = 1000
_MOST_OF_PEERS = 1000
# These fetch one token after the other: a hundred callers take ten seconds, a thousand over a minute.
_ONE_BY_ONE = {"requests_auth"}


@dataclass(slots=True)
class Measured:
    """All rounds of one contestant with so many callers."""

    name: str
    callers: int
    seconds: list[float] = field(default_factory=list)
    token_requests: int = 0  # the most of any round

    def row(self, bare: Measured) -> tuple[str, ...]:
        is_ideal = median(bare.seconds) <= IDEAL * _AS_IDEAL
        base = [IDEAL] * len(self.seconds) if is_ideal else bare.seconds[: len(self.seconds)]
        ratio = ratios(self.seconds, base)
        return (
            self.name,
            f"{self.callers:,}",
            f"{self.token_requests:,}",
            f"{median(self.seconds):.3f} s",
            f"{median(bare.seconds):.3f} s",
            f"{ratio.middle:.2f} x the {'ideal' if is_ideal else 'bare'}",
            f"{ratio}",
            verdict(ratio, _TARGET, "x") if self.name == OURS else "",
        )


def run(effort: Effort, figures: dict[str, Any]) -> list[str]:
    """Measure and print, some two minutes, or half of one; the promises that were broken."""
    print("\n== herd: many callers, one expiry")
    sizes = effort.pick((1, 100, 1000, 10_000), (1, 100, 1000), (3,))
    rounds = effort.pick(5, 2, 1)
    measured = {}
    for form in CROWDS:
        most = max(sizes) if form.is_async else _MOST_THREADS
        measured[who_calls(form)] = _measure(form, [size for size in sizes if size <= most], rounds)
    figures |= {
        title: [
            (one.name, one.callers, one.token_requests, round(median(one.seconds), 3))
            for one in everything
            if one.name != BARE
        ]
        for title, everything in measured.items()
    }
    return [
        f"{title}, {one.callers} callers: {one.token_requests} token requests"
        for title, everything in measured.items()
        for one in everything
        if one.name == OURS and one.token_requests != 1
    ]


def _measure(form: Form, sizes: list[int], rounds: int) -> list[Measured]:
    """Let all take turns, for each number of callers; print a table, and give what is in it."""
    everything: list[Measured] = []
    rows = []
    contestants = {BARE: constant_header} | peers_of(form)
    for callers in sizes:
        measured = {name: Measured(name, callers) for name in contestants if _takes_part(name, callers)}
        for turn in range(min(rounds, 3) if callers > _MOST_OF_PEERS else rounds):
            for name, one in measured.items():
                if turn and name in _ONE_BY_ONE:
                    continue
                seconds, token_requests = _meet_expiry(form, contestants[name], callers)
                one.seconds.append(seconds)
                one.token_requests = max(one.token_requests, token_requests)
        everything += measured.values()
        rows += [one.row(measured[BARE]) for name, one in measured.items() if name != BARE]
    head = ("", "callers", "token requests", "took", "bare", "ratio", "spread", "target")
    table(who_calls(form), head, rows)
    return everything


def _takes_part(name: str, callers: int) -> bool:
    most = 100 if name in _ONE_BY_ONE else _MOST_OF_PEERS
    return name in {BARE, OURS} or callers <= most


def _meet_expiry(form: Form, peer: Peer, callers: int) -> tuple[float, int]:
    """The seconds that it took, and the token requests that were made."""
    api, get = ready_to_expire(form, peer)
    api.expire(call_takes=ROUND_TRIP, token_takes=ROUND_TRIP)
    if peer is constant_header:
        get = _twice_in_a_task(get) if form.is_async else _twice_in_a_thread(get)
    return at_once(form, callers, get), api.token_requests


# What the bare callers do instead of fetching a token: a call, one shared wait as for a token, the call
# again. Whoever comes later has no need to.


def _twice_in_a_thread(get: Callable[[], Any]) -> Callable[[], Any]:
    begins, over = threading.Lock(), threading.Event()

    def call() -> Any:
        late = over.is_set()
        answer = get()
        if late:
            return answer
        if begins.acquire(blocking=False):
            time.sleep(ROUND_TRIP)
            over.set()
        else:
            over.wait()
        return get()

    return call


def _twice_in_a_task(get: Callable[[], Any]) -> Callable[[], Any]:
    begins, over = threading.Lock(), asyncio.Event()

    async def call() -> Any:
        late = over.is_set()
        answer = await get()
        if late:
            return answer
        if begins.acquire(blocking=False):
            await asyncio.sleep(ROUND_TRIP)
            over.set()
        else:
            await over.wait()
        return await get()

    return call
