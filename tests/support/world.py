"""An API without a network, for callers by the thousand: in requests, httpx and httpx2."""

from __future__ import annotations

import itertools
import threading
from functools import partial
from typing import Any

import anyio
import httpx
import httpx2
import requests
from requests.adapters import BaseAdapter

from tests.support.clients import AsyncHttpx, Client, Httpx

DOMAIN = "acme.thebase.co.il"
URL = f"https://{DOMAIN}/v2/users"


class World:
    """Counts token requests, and keeps the first 401s back until all callers have earned theirs.

    Args:
        callers: How many requests with a rejected token to wait for before any gets its 401.
        single_token: Whether a new token ends the one before.
    """

    def __init__(self, callers: int = 0, *, single_token: bool = False) -> None:
        self.callers = callers
        self.single_token = single_token
        self.live: set[str] = set()
        self.token_requests = 0
        self.rejected = 0
        self.accepted = 0
        self.token_status = 200
        self.all_rejected = threading.Event()
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def respond_to_token_request(self) -> tuple[int, dict[str, Any]]:
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
            self.rejected += 1
            if self.rejected >= self.callers:
                self.all_rejected.set()
            return False

    def get(self, client: Client, auth: Any, url: str = URL) -> int:
        """The status of one call in this world, made in the library and the form of *client*."""
        if isinstance(client, AsyncHttpx):
            return int(client.run(partial(self._get_async, client.library, auth, url)))
        opened = self.client(client.library, auth) if isinstance(client, Httpx) else self.session()
        with opened:
            opened.auth = auth
            return int(opened.get(url, timeout=60).status_code)

    async def _get_async(self, library: Any, auth: Any, url: str) -> int:
        async with self.async_client(library, auth) as opened:
            return int((await opened.get(url)).status_code)

    # What each library is plugged into:

    def handle(self, library: Any) -> Any:
        def handler(request: Any) -> Any:
            if request.url.path == "/oauth/token":
                status, document = self.respond_to_token_request()
                return library.Response(status, json=document)
            if self.accepts(request.headers["Authorization"]):
                return library.Response(200, json={"items": []})
            assert self.all_rejected.wait(60)
            return library.Response(401)

        return library.MockTransport(handler)

    def handle_async(self, library: Any) -> Any:
        async def handler(request: Any) -> Any:
            if request.url.path == "/oauth/token":
                status, document = self.respond_to_token_request()
                await anyio.lowlevel.checkpoint()
                return library.Response(status, json=document)
            if self.accepts(request.headers["Authorization"]):
                return library.Response(200, json={"items": []})
            while not self.all_rejected.is_set():
                await anyio.sleep(0.002)
            return library.Response(401)

        return library.MockTransport(handler)

    def session(self) -> requests.Session:
        session = requests.Session()
        session.trust_env = False
        session.mount("https://", _Adapter(self.handle(httpx)))
        return session

    def client(self, library: Any, auth: Any) -> Any:
        return library.Client(auth=auth, transport=self.handle(library), timeout=60)

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


LIBRARIES = [httpx, httpx2]
