"""What an auth object weighs, and each caller that waits for a token at an expiry.

Counted is what Python allocates, by tracemalloc.

*Auth objects*: many are made and kept, as their documentation tells, with what they bring along.

*Waiting callers*: they meet an expiry, and the token request is not answered. Beside it is what as many
callers take that wait, by the same adapter or transport, for the answer to a call with a header that never
changes. Who has sent the old token keeps the 401 that came back, to be replayed or given up; who goes by the
clock has sent nothing yet, and may take less than one who waits for an answer. In threads each has a stack
beside that, whatever it waits for: 8 MiB of addresses by default on Linux, most of it never used.
"""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

from . import _peers
from ._in_memory import Adapter, Api, transport
from ._timing import Effort, table

_SERVER = _peers.Server("https://acme.thebase.co.il")
_LONGEST_WAIT = 60.0  # seconds, however it goes
_STEP, _STILL_STEPS = 0.05, 4  # seconds, and how often nothing must have changed
# It fetches by a blocking client, which would stop everybody for as long as no token comes.
_BLOCKS_THE_LOOP = {"httpx_auth"}

#: Lets so many callers wait; how many bytes that takes, and how many token requests are under way.
_Crowd: TypeAlias = Callable[[int], tuple[int, int]]


def run(effort: Effort, picture: Path | None) -> None:
    """Measure and print; some 60 seconds, or 20."""
    print("\n== memory")
    _print_objects(effort.pick(2000, 500, 20))
    callers = effort.pick(1000, 300, 10)
    crowds: dict[str, _Crowd] = {"": partial(_threads_of_requests, _peers.constant_header, True)}
    for name, peer in _peers.REQUESTS_PEERS.items():
        crowds[name] = partial(_threads_of_requests, peer, False)
    _print_waiting("requests, threads", crowds, callers)
    for name in ("httpx", "httpx2"):
        try:
            library = import_module(name)
        except ModuleNotFoundError:
            print(f"\n{name}: not installed")
            continue
        for title, crowd in (
            ("Client, threads", _threads_of_httpx),
            ("AsyncClient, tasks", _tasks),
        ):
            crowds = {"": partial(crowd, library, _peers.one_header, True)}
            for peer_name, httpx_peer in _peers.HTTPX_PEERS[name].items():
                if peer_name not in _BLOCKS_THE_LOOP:
                    crowds[peer_name] = partial(crowd, library, httpx_peer, False)
            _print_waiting(f"{name}.{title}", crowds, callers)


def _traced() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


# Auth objects


def _print_objects(count: int) -> None:
    rows: list[tuple[str, ...]] = []
    for name, prepare in _makers().items():
        try:
            make = prepare()
        except ModuleNotFoundError:
            rows.append((name, "not installed"))
            continue
        rows.append((name, f"{_weight(make, count):,.0f}"))
    table("auth objects", ("", "bytes each"), rows)


def _weight(make: Callable[[], Any], count: int) -> float:
    make()  # what is made once, for all
    tracemalloc.start()
    before = _traced()
    kept = [make() for _ in range(count)]
    taken = _traced() - before
    tracemalloc.stop()
    return taken / len(kept)


def _makers() -> dict[str, Callable[[], Callable[[], Any]]]:
    """By name, how to import what makes auth objects."""

    def of(module: str, name: str, *arguments: Any, **options: Any) -> Callable[..., Any]:
        return partial(getattr(import_module(module), name), *arguments, **options)

    def oauth2client() -> Callable[[], Any]:
        client = of("requests_oauth2client", "OAuth2Client", _SERVER.token_url, _SERVER.credentials)
        auth = of("requests_oauth2client", "OAuth2ClientCredentialsAuth")
        return lambda: auth(client())

    ours = (_SERVER.url, *_SERVER.credentials)
    theirs = (_SERVER.token_url, *_SERVER.credentials)
    return {
        "thebase_auth.requests": partial(of, "thebase_auth.requests", "TheBaseAuth", *ours),
        "thebase_auth.httpx": partial(of, "thebase_auth.httpx", "TheBaseAuth", *ours),
        "thebase_auth.httpx2": partial(of, "thebase_auth.httpx2", "TheBaseAuth", *ours),
        "requests_auth, with its session": partial(of, "requests_auth", "OAuth2ClientCredentials", *theirs),
        "requests-oauth2client, with its client": oauth2client,
        "Authlib OAuth2Session, a session itself": partial(
            of,
            "authlib.integrations.requests_client",
            "OAuth2Session",
            *_SERVER.credentials,
            token_endpoint=_SERVER.token_url,
        ),
        "google-auth, credentials alone": lambda: (
            import_module("google.auth"),
            partial(_peers.google_credentials, _SERVER),
        )[1],
        "httpx_auth": partial(of, "httpx_auth", "OAuth2ClientCredentials", *theirs),
    }


# Waiting callers


def _print_waiting(title: str, crowds: dict[str, _Crowd], callers: int) -> None:
    base, _ = crowds.pop("")(callers)
    rows: list[tuple[str, ...]] = []
    for name, crowd in crowds.items():
        try:
            taken, token_requests = crowd(callers)
        except ModuleNotFoundError:
            rows.append((name, "not installed", "", ""))
            continue
        each = f"{taken / callers:,.0f}", f"{(taken - base) / callers:+,.0f}"
        rows.append((name, *each, f"{token_requests:,}"))
    rows.insert(0, ("a header that never changes", f"{base / callers:,.0f}", "", "0"))
    head = ("", "bytes each", "more than for an answer", "token requests under way")
    table(f"{title}: {callers:,} that wait", head, rows)


class _Gate:
    """Holds back token requests, or else calls, and counts those that it holds."""

    def __init__(self, holds_tokens: bool, opened: Any) -> None:
        self.opened = opened  # an event, of threads or of asyncio
        self.held = 0
        self._holds_tokens = holds_tokens

    def holds(self, is_token: bool) -> bool:
        if is_token != self._holds_tokens or self.opened.is_set():
            return False
        self.held += 1
        return True

    def pause(self, is_token: bool) -> None:
        if self.holds(is_token):
            self.opened.wait(_LONGEST_WAIT)

    @property
    def asked(self) -> int:
        """How many token requests it holds."""
        return self.held if self._holds_tokens else 0

    async def async_pause(self, is_token: bool) -> None:
        if self.holds(is_token):
            async with asyncio.timeout(_LONGEST_WAIT):
                await self.opened.wait()

    def settled(self, api: Api) -> Iterator[float]:
        """Give seconds to sleep, until for a while nobody has come any further."""
        progress, still = (0, 0), 0
        for _ in range(int(_LONGEST_WAIT / _STEP)):
            yield _STEP
            came, progress = progress, (self.held, api.refused)
            still = still + 1 if came == progress and self.held else 0
            if still == _STILL_STEPS:
                return


def _threads_of_requests(peer: _peers.RequestsPeer, is_base: bool, callers: int) -> tuple[int, int]:
    api, gate = Api(), _Gate(not is_base, threading.Event())
    session, _ = peer(api.server, Adapter(api, gate.pause))
    return _threads(api, gate, lambda: session.get(api.url), callers)


def _threads_of_httpx(
    library: ModuleType, peer: _peers.HttpxPeer, is_base: bool, callers: int
) -> tuple[int, int]:
    api, gate = Api(), _Gate(not is_base, threading.Event())
    client, _ = peer(library, api.server, transport(library, api, gate.pause), False)
    return _threads(api, gate, lambda: client.get(api.url), callers)


def _threads(api: Api, gate: _Gate, get: Callable[[], Any], callers: int) -> tuple[int, int]:
    gate.opened.set()
    get()
    api.expire()
    gate.opened.clear()
    tracemalloc.start()
    before = _traced()
    threads = [threading.Thread(target=get) for _ in range(callers)]
    for thread in threads:
        thread.start()
    for seconds in gate.settled(api):
        time.sleep(seconds)
    taken = _traced() - before
    tracemalloc.stop()
    asked = gate.asked
    gate.opened.set()
    for thread in threads:
        thread.join()
    return taken, asked


def _tasks(library: ModuleType, peer: _peers.HttpxPeer, is_base: bool, callers: int) -> tuple[int, int]:
    return asyncio.run(_in_tasks(library, peer, is_base, callers))


async def _in_tasks(
    library: ModuleType, peer: _peers.HttpxPeer, is_base: bool, callers: int
) -> tuple[int, int]:
    api, gate = Api(), _Gate(not is_base, asyncio.Event())
    way = transport(library, api, gate.pause, gate.async_pause)
    client, _ = peer(library, api.server, way, True)
    gate.opened.set()
    await client.get(api.url)
    api.expire()
    gate.opened.clear()
    tracemalloc.start()
    before = _traced()
    tasks = [asyncio.create_task(client.get(api.url)) for _ in range(callers)]
    for seconds in gate.settled(api):
        await asyncio.sleep(seconds)
    taken = _traced() - before
    tracemalloc.stop()
    asked = gate.asked
    gate.opened.set()
    await asyncio.gather(*tasks)
    return taken, asked
