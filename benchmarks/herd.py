"""How many token requests are made, and in what time, when N callers meet one expiry at once.

A first token that is over (by ``expires_in``, for those who go by the clock) and
then revoked (for those who go by the 401); then all callers make one GET each, at once, by one shared
session or client.

There is no network: each answer, of the API and of the token endpoint, takes 100 ms and
nothing else, however many are under way. So one knows what is to be had at best: a call that gets a
401, a token request for all, the call once more; this *ideal* is 300 ms. What even a perfect auth
object cannot save is the library's own work, which for a thousand calls is much on few CPUs: the *bare*
time is that of the same callers with a header that never changes, who make the call, wait for 100 ms
all together, and make the call again. They keep the first answer until then, as a history does. *The
machine adds* what this takes over the ideal. The target is 1.2 times the ideal, or 1.2 times the bare
time if that is over the ideal by more than 5 %.
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
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from pathlib import Path
from statistics import median
from types import ModuleType
from typing import Any, TypeAlias

from . import _peers
from ._at_once import failed, in_tasks, in_threads
from ._in_memory import Adapter, Api, transport
from ._timing import Effort, Spread, ratios, table

ROUND_TRIP = 0.1  # seconds, of a call and of a token request
IDEAL = 3 * ROUND_TRIP
_TARGET = 1.2
_AS_IDEAL = 1.05  # up to this ratio the bare time is taken for the ideal
_OURS = "thebase_auth"
_BARE = "bare"
_PEERS_UP_TO = 1000
# These fetch one token after the other: a hundred callers take ten seconds, a thousand over a minute.
_ONE_BY_ONE = {"requests_auth"}

_HEAD = ("", "callers", "token requests", "calls / bare", "ideal", "bare", "took", "took / ideal", "took / bare",
         "machine adds", "failed", "target")  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Herd:
    """What many callers did at once."""

    seconds: float
    failed: int
    token_requests: int
    calls: int


#: Lets so many callers meet an expiry.
_Meet: TypeAlias = Callable[[int], _Herd]


@dataclass(slots=True)
class Measured:
    """All rounds of one contestant with so many callers."""

    name: str
    callers: int
    rounds: list[_Herd] = field(default_factory=list)

    @property
    def seconds(self) -> list[float]:
        return [one.seconds for one in self.rounds]

    @property
    def token_requests(self) -> int:
        """The most of any round."""
        return max(one.token_requests for one in self.rounds)

    @property
    def calls(self) -> float:
        return median(one.calls for one in self.rounds)

    def row(self, bare: Measured) -> tuple[str, ...]:
        to_ideal = Spread.of([seconds / IDEAL for seconds in self.seconds])
        to_bare = ratios(self.seconds, bare.seconds[: len(self.rounds)])
        added = median(bare.seconds) - IDEAL
        return (
            self.name,
            f"{self.callers:,}",
            f"{self.token_requests:,}",
            f"{self.calls:,} / {bare.calls:,}",
            f"{IDEAL:.3f} s",
            f"{median(bare.seconds):.3f} s",
            f"{median(self.seconds):.3f} s",
            f"{to_ideal.middle:.2f} ({to_ideal})",
            f"{to_bare.middle:.2f} ({to_bare})",
            f"{added * 1000:.0f} ms",
            f"{sum(one.failed for one in self.rounds)}",
            _verdict(to_ideal, to_bare, bare) if self.name == _OURS else "",
        )


def _verdict(to_ideal: Spread, to_bare: Spread, bare: Measured) -> str:
    name, ratio = "ideal", to_ideal.middle
    if median(bare.seconds) > IDEAL * _AS_IDEAL:
        name, ratio = "bare", to_bare.middle
    return f"at most {_TARGET:g} x the {name}: {'ok' if ratio <= _TARGET else 'MISSED'}"


def run(effort: Effort, picture: Path | None) -> list[str]:
    """Measure and print, some five minutes, or one; and draw. The promises that were broken."""
    print("\n== herd: many callers, one expiry")
    sizes = effort.pick((1, 100, 1000), (1, 100), (3,))
    many = effort.pick((1, 100, 1000, 10_000), (1, 100, 1000), (3,))
    rounds = effort.pick(5, 2, 1)
    drawn = {"requests, threads": _meetings(_requests_meets(), "requests, threads", sizes, rounds)}
    everything = [*drawn.values()]
    for library in _installed("httpx", "httpx2"):
        title = f"{library.__name__}.Client, threads"
        # The peers do as in the tasks.
        ours = _httpx_meets(_threads_of_httpx, library, {_OURS: _peers.thebase_auth_httpx})
        everything.append(_meetings(ours, title, sizes, rounds))
        title = f"{library.__name__}.AsyncClient, tasks"
        all_of_them = _peers.HTTPX_PEERS[library.__name__]
        meets = _httpx_meets(_tasks_of_httpx, library, all_of_them)
        drawn[title] = _meetings(meets, title, many, rounds)
        everything.append(drawn[title])
    if picture is not None:
        from . import _pictures

        _pictures.herd(drawn, IDEAL, picture)
    return [
        f"{one.name}, {one.callers} callers: {one.token_requests} token requests"
        for measured in everything
        for one in measured
        if one.name == _OURS and one.token_requests != 1
    ]


def _installed(*names: str) -> Iterable[ModuleType]:
    for name in names:
        try:
            yield import_module(name)
        except ModuleNotFoundError:
            print(f"\n{name}: not installed")


def _meetings(meets: dict[str, _Meet], title: str, sizes: tuple[int, ...], rounds: int) -> list[Measured]:
    """Let all take turns, for each number of callers; print a table, and give what is in it."""
    everything: list[Measured] = []
    rows: list[tuple[str, ...]] = []
    for callers in sizes:
        measured = {name: Measured(name, callers) for name in meets}
        if callers > _PEERS_UP_TO:
            rounds = min(rounds, 3)
        missing: set[str] = set()
        for turn in range(rounds):
            for name, meet in meets.items():
                if name in missing or not _is_run(name, callers, turn):
                    continue
                try:
                    measured[name].rounds.append(meet(callers))
                except ModuleNotFoundError:
                    missing.add(name)
        bare = measured.pop(_BARE)
        for name, one in measured.items():
            if one.rounds:
                rows.append(one.row(bare))
            elif callers <= _PEERS_UP_TO:
                why = "not installed" if name in missing else "not run"
                rows.append((name, f"{callers:,}", why, *[""] * (len(_HEAD) - 3)))
        everything += [bare, *(one for one in measured.values() if one.rounds)]
    table(f"{title}, in memory", _HEAD, rows)
    return everything


def _is_run(name: str, callers: int, turn: int) -> bool:
    if name in {_BARE, _OURS}:
        return True
    if name in _ONE_BY_ONE and callers > 1:
        return callers <= 100 and turn == 0
    return callers <= _PEERS_UP_TO


# What the bare callers do instead of fetching a token


class _Bare:
    """A call, one shared wait as for a token, the call again; whoever comes later has no need to."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._begun = False
        self._over = threading.Event()

    def __call__(self, call: Callable[[], Any]) -> Any:
        late = self._over.is_set()
        answer = call()
        if late:
            return answer
        with self._lock:
            first, self._begun = not self._begun, True
        if first:
            time.sleep(ROUND_TRIP)
            self._over.set()
        else:
            self._over.wait()
        return call()


class _BareAsync:
    """The same for tasks of one event loop."""

    def __init__(self) -> None:
        self._begun = False
        self._over = asyncio.Event()

    async def __call__(self, call: Callable[[], Awaitable[Any]]) -> Any:
        late = self._over.is_set()
        answer = await call()
        if late:
            return answer
        if not self._begun:
            self._begun = True
            await asyncio.sleep(ROUND_TRIP)
            self._over.set()
        else:
            await self._over.wait()
        return await call()


# Threads


def _requests_meets() -> dict[str, _Meet]:
    meets: dict[str, _Meet] = {_BARE: partial(_threads_of_requests, _peers.constant_header, True)}
    for name, peer in _peers.REQUESTS_PEERS.items():
        meets[name] = partial(_threads_of_requests, peer, False)
    return meets


def _threads_of_requests(peer: _peers.RequestsPeer, is_bare: bool, callers: int) -> _Herd:
    api = Api()
    session, _ = peer(api.server, Adapter(api, lambda _: time.sleep(api.seconds)))
    return _threads(api, lambda: session.get(api.url), is_bare, callers)


def _threads_of_httpx(library: ModuleType, peer: _peers.HttpxPeer, is_bare: bool, callers: int) -> _Herd:
    api = Api()
    way = transport(library, api, lambda _: time.sleep(api.seconds))
    client, _ = peer(library, api.server, way, False)
    return _threads(api, lambda: client.get(api.url), is_bare, callers)


def _threads(api: Api, get: Callable[[], Any], is_bare: bool, callers: int) -> _Herd:
    get()
    api.expire(ROUND_TRIP)
    seconds, answers = in_threads(callers, partial(_Bare(), get) if is_bare else get)
    return _herd(seconds, answers, api, is_bare)


# Tasks


def _httpx_meets(
    meet: Callable[..., _Herd], library: ModuleType, peers: dict[str, _peers.HttpxPeer]
) -> dict[str, _Meet]:
    meets: dict[str, _Meet] = {_BARE: partial(meet, library, _peers.one_header, True)}
    for name, peer in peers.items():
        meets[name] = partial(meet, library, peer, False)
    return meets


def _tasks_of_httpx(library: ModuleType, peer: _peers.HttpxPeer, is_bare: bool, callers: int) -> _Herd:
    return asyncio.run(_tasks(library, peer, is_bare, callers))


async def _tasks(library: ModuleType, peer: _peers.HttpxPeer, is_bare: bool, callers: int) -> _Herd:
    api = Api()
    way = transport(
        library,
        api,
        lambda _: time.sleep(api.seconds),  # of those who fetch by a blocking client
        lambda _: asyncio.sleep(api.seconds),
    )
    client, _ = peer(library, api.server, way, True)
    get = partial(client.get, api.url)
    await get()
    api.expire(ROUND_TRIP)
    seconds, answers = await in_tasks(callers, partial(_BareAsync(), get) if is_bare else get)
    return _herd(seconds, answers, api, is_bare)


def _herd(seconds: float, answers: list[Any], api: Api, is_bare: bool) -> _Herd:
    # The bare ones have no token that could be good.
    return _Herd(seconds, failed(answers, status=401 if is_bare else 200), api.token_requests, api.calls)
