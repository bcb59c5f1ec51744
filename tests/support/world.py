"""An API without a network, for callers by the thousand: in requests, httpx, httpx2 and aiohttp."""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any
from unittest.mock import Mock

import aiohttp
import anyio
import httpx
import httpx2
import requests

from tests.support.adapters import FakeAdapter, response_to
from tests.support.clients import Aiohttp, Client, Httpx

DOMAIN = "acme.thebase.co.il"
URL = f"https://{DOMAIN}/v2/users"
LIBRARIES = [httpx, httpx2]
#: The number of the caller whose request is sent; for `SilentAtFirst`.
caller_number: ContextVar[int] = ContextVar("caller_number")


class World:
    """Counts token requests, and keeps the first 401s back until all callers have earned theirs.

    Args:
        callers: How many requests with a rejected token to wait for before any gets its 401.
        single_token: Whether a new token invalidates the previous one.
    """

    def __init__(self, callers: int = 0, *, single_token: bool = False) -> None:
        self.callers = callers
        self.single_token = single_token
        self.live: set[str] = set()
        self.token_requests = 0
        self.rejected = 0
        self.accepted = 0
        self.all_rejected = threading.Event()
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def respond_to_token_request(self) -> tuple[int, dict[str, Any]]:
        with self._lock:
            self.token_requests += 1
            token = f"token-{next(self._numbers)}"
            if self.single_token:
                self.live.clear()
            self.live.add(token)
            return 200, {"access_token": token, "token_type": "bearer", "expires_in": 3600}

    def accepts(self, authorization: str) -> bool:
        with self._lock:
            if authorization.removeprefix("Bearer ") in self.live:
                self.accepted += 1
                return True
            self.rejected += 1
            if self.rejected >= self.callers:
                self.all_rejected.set()
            return False

    def respond(self, path: str, authorization: str) -> tuple[int, dict[str, Any]]:
        """Return status and JSON document. A 401 has to wait for `all_rejected`."""
        if path == "/oauth/token":
            return self.respond_to_token_request()
        return (200, {"items": []}) if self.accepts(authorization) else (401, {})

    async def respond_async(self, path: str, authorization: str) -> tuple[int, dict[str, Any]]:
        status, document = self.respond(path, authorization)
        await anyio.lowlevel.checkpoint()
        while status == 401 and not self.all_rejected.is_set():
            await anyio.sleep(0.002)
        return status, document

    def get(self, client: Client, auth: Any, url: str = URL) -> int:
        """Make one call in this world, in the library and the form of *client*, and return its status."""
        if client.is_async:

            async def get() -> int:
                async with self.opened(client, auth) as call:
                    return await call(url)

            return int(client.run(get))
        opened = self.client(client.library, auth) if isinstance(client, Httpx) else self.session()
        with opened:
            opened.auth = auth
            return int(opened.get(url, timeout=60).status_code)

    @asynccontextmanager
    async def opened(self, client: Client, auth: Any) -> AsyncIterator[Callable[..., Awaitable[int]]]:
        """Open an async session in this world, and yield what makes a call and returns its status."""
        if isinstance(client, Aiohttp):
            session: Any = client.session(auth, connector=self.connector())
        else:
            library: Any = client.library  # type: ignore[attr-defined]
            session = library.AsyncClient(auth=auth, transport=self.handle_async(library), timeout=60)

        async def get(url: str = URL) -> int:
            response = await session.get(url)
            return int(response.status if isinstance(client, Aiohttp) else response.status_code)

        async with session:
            yield get

    # What each library is plugged into:

    def handle(self, library: Any) -> Any:
        def handler(request: Any) -> Any:
            status, document = self.respond(request.url.path, request.headers["Authorization"])
            assert status != 401 or self.all_rejected.wait(60)
            return library.Response(status, json=document)

        return library.MockTransport(handler)

    def handle_async(self, library: Any) -> Any:
        async def handler(request: Any) -> Any:
            status, document = await self.respond_async(request.url.path, request.headers["Authorization"])
            return library.Response(status, json=document)

        return library.MockTransport(handler)

    def session(self) -> requests.Session:
        def respond(request: requests.PreparedRequest) -> requests.Response:
            status, document = self.respond(request.path_url, request.headers["Authorization"])
            assert status != 401 or self.all_rejected.wait(60)
            return response_to(request, json.dumps(document).encode(), status)

        session = FakeAdapter(respond).session()
        session.trust_env = False
        return session

    def client(self, library: Any, auth: Any) -> Any:
        return library.Client(auth=auth, transport=self.handle(library), timeout=60)

    def connector(self) -> FakeConnector:
        async def respond(request: Any) -> tuple[int, dict[str, str], bytes]:
            status, document = await self.respond_async(request.url.path, request.headers["Authorization"])
            return status, {}, json.dumps(document).encode()

        return FakeConnector(respond)


class SilentAtFirst(World):
    """A world whose first token requests get no response. The `leaders` have sent them."""

    def __init__(self, silent: int) -> None:
        super().__init__()
        self.silent = silent
        self.leaders: list[int] = []  # their numbers

    async def respond_async(self, path: str, authorization: str) -> tuple[int, dict[str, Any]]:
        if path == "/oauth/token" and len(self.leaders) < self.silent:
            self.leaders.append(caller_number.get(0))
            await anyio.sleep_forever()
        return await super().respond_async(path, authorization)


class FakeConnector(aiohttp.BaseConnector):
    """Connects aiohttp to nothing: each connection has the response to its request from the start."""

    def __init__(self, respond: Callable[[Any], Awaitable[tuple[int, dict[str, str], bytes]]]) -> None:
        super().__init__(limit=0, force_close=True)
        self._respond = respond
        self._transport = Mock(asyncio.Transport, **{"is_closing.return_value": False})

    async def _create_connection(self, req: Any, traces: Any, timeout: Any) -> Any:
        status, headers, body = await self._respond(req)
        lines = [f"{name}: {value}" for name, value in {**headers, "Content-Length": len(body)}.items()]
        protocol = self._factory()
        protocol.connection_made(self._transport)
        head = "\r\n".join([f"HTTP/1.1 {status} X", *lines, "", ""])
        protocol.data_received(head.encode("latin-1") + body)
        return protocol
