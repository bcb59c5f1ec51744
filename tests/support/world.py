"""An API without a network, for callers by the thousand: in requests, httpx, httpx2 and aiohttp."""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
from functools import partial
from typing import Any
from unittest.mock import Mock

import aiohttp
import anyio
import httpx
import httpx2
import requests
from requests.adapters import BaseAdapter

from tests.support.clients import Aiohttp, AsyncHttpx, Client, Httpx

DOMAIN = "acme.thebase.co.il"
URL = f"https://{DOMAIN}/v2/users"


class World:
    """Counts token requests, and keeps the first 401s back until all callers have earned theirs.

    Args:
        callers: How many requests with a refused token to wait for before any is answered.
        single_token: Whether a new token ends the one before.
    """

    def __init__(self, callers: int = 0, *, single_token: bool = False) -> None:
        self.callers = callers
        self.single_token = single_token
        self.live: set[str] = set()
        self.token_requests = 0
        self.refused = 0
        self.accepted = 0
        self.token_status = 200
        self.all_refused = threading.Event()
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def answer_token_request(self) -> tuple[int, dict[str, Any]]:
        with self._lock:
            self.token_requests += 1
            if self.token_status != 200:
                return self.token_status, {"error": "invalid_client"}
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
            self.refused += 1
            if self.refused >= self.callers:
                self.all_refused.set()
            return False

    def get(self, client: Client, auth: Any, url: str = URL) -> int:
        """The status of one call in this world, made in the library and the form of *client*."""
        if isinstance(client, AsyncHttpx):
            return int(client.run(partial(self._get_async, client.library, auth, url)))
        if isinstance(client, Aiohttp):
            return asyncio.run(self._get_in_aiohttp(client, auth, url))
        opened = self.client(client.library, auth) if isinstance(client, Httpx) else self.session()
        with opened:
            opened.auth = auth
            return int(opened.get(url, timeout=60).status_code)

    async def _get_async(self, library: Any, auth: Any, url: str) -> int:
        async with self.async_client(library, auth) as opened:
            return int((await opened.get(url)).status_code)

    async def _get_in_aiohttp(self, client: Aiohttp, auth: Any, url: str) -> int:
        async with client.session(auth, connector=self.connector()) as opened, opened.get(url) as response:
            return response.status

    async def respond(self, path: str, authorization: str) -> tuple[int, dict[str, Any]]:
        if path == "/oauth/token":
            response = self.answer_token_request()
            await anyio.lowlevel.checkpoint()
            return response
        if self.accepts(authorization):
            return 200, {"items": []}
        while not self.all_refused.is_set():
            await anyio.sleep(0.002)
        return 401, {}

    # What each library is plugged into:

    def handle(self, library: Any) -> Any:
        def handler(request: Any) -> Any:
            if request.url.path == "/oauth/token":
                status, document = self.answer_token_request()
                return library.Response(status, json=document)
            if self.accepts(request.headers["Authorization"]):
                return library.Response(200, json={"items": []})
            assert self.all_refused.wait(60)
            return library.Response(401)

        return library.MockTransport(handler)

    def handle_async(self, library: Any) -> Any:
        async def handler(request: Any) -> Any:
            status, document = await self.respond(request.url.path, request.headers["Authorization"])
            return library.Response(status, json=document)

        return library.MockTransport(handler)

    def session(self) -> requests.Session:
        session = requests.Session()
        session.trust_env = False
        session.mount("https://", _Adapter(self.handle(httpx)))
        return session

    def client(self, library: Any, auth: Any) -> Any:
        return library.Client(auth=auth, transport=self.handle(library), timeout=60)

    def connector(self) -> aiohttp.BaseConnector:
        return _Connector(self)

    def async_client(self, library: Any, auth: Any) -> Any:
        return library.AsyncClient(auth=auth, transport=self.handle_async(library), timeout=60)


class _Adapter(BaseAdapter):
    """A requests adapter in front of an httpx transport."""

    def __init__(self, transport: httpx.MockTransport) -> None:
        super().__init__()
        self._transport = transport

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        answer = self._transport.handle_request(
            httpx.Request(request.method or "", request.url or "", headers=dict(request.headers))
        )
        response = requests.Response()
        response.status_code = answer.status_code
        response.headers.update(answer.headers)
        response._content = answer.content
        response._content_consumed = True  # type: ignore[attr-defined]
        response.url = request.url or ""
        response.request = request
        response.connection = self  # type: ignore[assignment]
        return response

    def close(self) -> None:
        pass


class _Connector(aiohttp.BaseConnector):
    """Connects aiohttp to a world: each connection has its response before the request is sent."""

    def __init__(self, world: World) -> None:
        super().__init__(limit=0, force_close=True)
        self._world = world
        self._transport = Mock(asyncio.Transport, **{"is_closing.return_value": False})

    async def _create_connection(self, req: Any, traces: Any, timeout: Any) -> Any:
        status, document = await self._world.respond(req.url.path, req.headers["Authorization"])
        body = json.dumps(document)
        protocol = self._factory()
        protocol.connection_made(self._transport)
        protocol.data_received(f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
        return protocol


LIBRARIES = [httpx, httpx2]
