"""How many token requests are made, and in what time, when many callers find one token expired.

The first token is expired by `expires_in`, for peers that go by the clock, and revoked, for those that wait
for a 401. Then all callers make one GET each by one shared session or client: threads in requests, tasks in
httpx.

Each response takes 100 ms, of the API and of the token endpoint. So a call that gets a 401, a token request
and a replay take 300 ms. Going by the clock saves the 401, as long as clock and server agree. A thousand
callers keep two CPUs busy in any case, so all are compared with *bare*: as many callers that make two calls
each with a header that never changes, and 100 ms.

Target: thebase_auth takes at most 1.25 times as long, however many callers there are.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from statistics import median
from time import perf_counter
from typing import Any

from ._measure import print_table, ratio_and_spread
from ._peers import OURS, Peer, constant_header, peers_of, thebase_auth
from ._server import ASYNC, REQUESTS, Api

_ROUND_TRIP = 0.1  # seconds


def run(*, quick: bool) -> None:
    """Measure and print, some two minutes, or some seconds."""
    rows: list[tuple[str, ...]] = []
    for form in (REQUESTS, ASYNC):
        peers = peers_of(form)
        peers.pop("requests-oauthlib", None)  # it renews nothing
        for callers in (1, 20) if quick else (1, 100):
            rows += _measure(form, callers, peers, rounds=1 if quick else 5)
        for callers in () if quick else (1000, 10_000)[: 1 if form == REQUESTS else 2]:
            rows += _measure(form, callers, {OURS: thebase_auth}, rounds=3)
    print_table(("in", "with", "callers", "token requests", "seconds", "x bare", "quartiles"), rows)


def _measure(form: str, callers: int, peers: dict[str, Peer], rounds: int) -> list[tuple[str, ...]]:
    """Let all take turns, and return a row for each."""
    bare: list[float] = []
    seconds: dict[str, list[float]] = {name: [] for name in peers}
    token_requests = dict.fromkeys(peers, 0)
    for _ in range(rounds):
        bare.append(_bare(form, callers))
        for name, peer in peers.items():
            api, get = ready_to_expire(form, peer)
            api.revoke(call_takes=_ROUND_TRIP, token_takes=_ROUND_TRIP)
            seconds[name].append(at_once(form, callers, get))
            token_requests[name] = max(token_requests[name], api.token_requests)
    assert token_requests[OURS] == 1, token_requests
    rows: list[tuple[str, ...]] = []
    for name, took in seconds.items():
        counts = (f"{callers:,}", f"{token_requests[name]:,}")
        rows.append((form, name, *counts, f"{median(took):.3f}", *ratio_and_spread(took, bare)))
    return rows


def _bare(form: str, callers: int) -> float:
    api, get = ready_to_expire(form, constant_header)
    api.revoke(call_takes=_ROUND_TRIP)

    def get_twice() -> Any:
        get()
        return get()

    async def get_twice_async() -> Any:
        await get()
        return await get()

    return at_once(form, callers, get_twice_async if form == ASYNC else get_twice) + _ROUND_TRIP


def ready_to_expire(form: str, peer: Peer) -> tuple[Api, Callable[[], Any]]:
    """Return a server, and a call to it by a client whose first token has expired by the clock."""
    api = Api(expires_in=1)
    client, _ = peer(form, api)

    def get() -> Any:
        return client.get(api.url)

    at_once(form, 1, get)
    return api, get


def at_once(form: str, callers: int, get: Callable[[], Any]) -> float:
    """Return the seconds until so many callers, who start at one moment, all have a 200."""
    seconds, responses = asyncio.run(_in_tasks(callers, get)) if form == ASYNC else _in_threads(callers, get)
    assert [response.status_code for response in responses] == [200] * callers
    return seconds


def _in_threads(callers: int, get: Callable[[], Any]) -> tuple[float, list[Any]]:
    responses: list[Any] = []
    ready = threading.Barrier(callers + 1)

    def call() -> None:
        ready.wait()
        responses.append(get())

    threads = [threading.Thread(target=call) for _ in range(callers)]
    for thread in threads:
        thread.start()
    ready.wait()
    started = perf_counter()
    for thread in threads:
        thread.join()
    return perf_counter() - started, responses


async def _in_tasks(callers: int, get: Callable[[], Any]) -> tuple[float, list[Any]]:
    calls = [get() for _ in range(callers)]
    started = perf_counter()
    responses = await asyncio.gather(*calls)
    return perf_counter() - started, responses
