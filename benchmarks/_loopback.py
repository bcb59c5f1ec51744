"""N callers meet one expiry at once, over real connections; the second half of herd.py.

The server is the sandbox, over loopback HTTP; its token endpoint takes 50 ms. The first token is issued as
one that is over (by ``expires_in``, for those who go by the clock) and then revoked (for those who go by the
401). Then all callers make one GET each, at once, by one shared session or client with at most 20
connections, all of which are open already. Right after, the same calls are made with the good token that they
got. So the last ratio says what the expiry costs: 2 where every call is made twice, as it must be after a
401. Most of the time is the server's, which runs in the same process. A thousand callers are in herd.py
alone: the pool of httpx takes many seconds for so many waiting requests, whatever the auth object.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any

from requests.adapters import HTTPAdapter

from thebase_auth.testing import Sandbox, serve

from . import _peers
from ._at_once import failed, in_tasks, in_threads
from ._timing import table

_CONNECTIONS = 20
_TOKEN_SECONDS = 0.05  # what a token request takes
_HEAD = ("", "callers", "token requests", "at expiry", "good token", "ratio", "failed")


@dataclass(frozen=True, slots=True)
class _Herd:
    """What many callers did at once."""

    seconds: float
    failed: int


def run(sizes: tuple[int, ...]) -> None:
    """Measure and print; some 20 seconds."""
    table("requests, threads, over loopback", _HEAD, _threads(sizes))
    for name in ("httpx", "httpx2"):
        try:
            library = import_module(name)
        except ModuleNotFoundError:
            print(f"\n{name}: not installed")
            continue
        table(f"{name}.AsyncClient, tasks, over loopback", _HEAD, _tasks(library, sizes))


def _row(name: str, callers: int, token_requests: int, at_expiry: _Herd, good: _Herd) -> tuple[str, ...]:
    return (
        name,
        f"{callers:,}",
        f"{token_requests:,}",
        f"{at_expiry.seconds:.3f} s",
        f"{good.seconds:.3f} s",
        f"{at_expiry.seconds / good.seconds:.1f}",
        f"{at_expiry.failed + good.failed}",
    )


def slow_to_give_tokens(sandbox: Sandbox, seconds: float = _TOKEN_SECONDS) -> Any:
    """The sandbox as an ASGI application, whose token endpoint takes so long."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/oauth/token":
            await asyncio.sleep(seconds)
        await sandbox.asgi(scope, receive, send)

    return app


def _expire(sandbox: Sandbox) -> int:
    """End the token that has been issued; the next one will last. How many were asked for so far."""
    sandbox.revoke_tokens()
    sandbox.expires_in = 3600
    return sandbox.token_requests


# requests


def _threads(sizes: tuple[int, ...]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for callers in sizes:
        for name, peer in _peers.REQUESTS_PEERS.items():
            if callers == 1 and name != "thebase_auth":
                continue
            try:
                rows.append(_threads_of(name, peer, callers))
            except ModuleNotFoundError:
                rows.append((name, "not installed", "", "", "", "", ""))
    return rows


def _threads_of(name: str, peer: _peers.RequestsPeer, callers: int) -> tuple[str, ...]:
    adapter = HTTPAdapter(pool_connections=1, pool_maxsize=_CONNECTIONS, pool_block=True)
    sandbox = Sandbox(expires_in=1)
    with serve(slow_to_give_tokens(sandbox)) as server_url:
        server = _peers.Server(server_url, sandbox.client_id, sandbox.client_secret)
        url = f"{server.url}/v2/users"
        session, _ = peer(server, adapter)
        unsigned = _peers.session_by(adapter)
        in_threads(min(callers, _CONNECTIONS), lambda: unsigned.get(url, timeout=60))
        session.get(url, timeout=60)
        before = _expire(sandbox)
        at_expiry = _herd(*in_threads(callers, lambda: session.get(url, timeout=60)))
        token_requests = sandbox.token_requests - before
        good = _herd(*in_threads(callers, lambda: session.get(url, timeout=60)))
        adapter.close()
    return _row(name, callers, token_requests, at_expiry, good)


# httpx and httpx2


def _tasks(library: ModuleType, sizes: tuple[int, ...]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for callers in sizes:
        for name, peer in _peers.HTTPX_PEERS[library.__name__].items():
            if callers == 1 and name != "thebase_auth":
                continue
            try:
                rows.append(asyncio.run(_tasks_over_loopback(name, library, peer, callers)))
            except ModuleNotFoundError:
                rows.append((name, "not installed", "", "", "", "", ""))
    return rows


async def _tasks_over_loopback(
    name: str, library: ModuleType, peer: _peers.HttpxPeer, callers: int
) -> tuple[str, ...]:
    limits = library.Limits(max_connections=_CONNECTIONS, max_keepalive_connections=_CONNECTIONS)
    transport = library.AsyncHTTPTransport(limits=limits)
    sandbox = Sandbox(expires_in=1)
    with serve(slow_to_give_tokens(sandbox)) as url:
        return await _tasks_of(name, library, peer, callers, sandbox, url, transport)


async def _tasks_of(
    name: str,
    library: ModuleType,
    peer: _peers.HttpxPeer,
    callers: int,
    sandbox: Sandbox,
    server_url: str,
    transport: Any,
) -> tuple[str, ...]:
    server = _peers.Server(server_url, sandbox.client_id, sandbox.client_secret)
    url = f"{server.url}/v2/users"
    client, _ = peer(library, server, transport, True)
    async with client:
        unsigned = _peers.client_by(library, transport, True)
        await in_tasks(min(callers, _CONNECTIONS), lambda: unsigned.get(url))
        await client.get(url)
        before = _expire(sandbox)
        at_expiry = _herd(*await in_tasks(callers, lambda: client.get(url)))
        token_requests = sandbox.token_requests - before
        good = _herd(*await in_tasks(callers, lambda: client.get(url)))
    return _row(name, callers, token_requests, at_expiry, good)


def _herd(seconds: float, answers: list[Any]) -> _Herd:
    return _Herd(seconds, failed(answers))
