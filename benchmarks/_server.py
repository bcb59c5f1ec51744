"""A fake TheBase server inside the process, so that no network takes part, and clients that send to it."""

from __future__ import annotations

import asyncio
import io
import itertools
import json
import threading
import time
from collections import deque
from typing import Any

import httpx
import requests
from requests.adapters import BaseAdapter

#: The kinds of client that are measured; httpx2 shares all of the plugin's code with httpx.
REQUESTS, HTTPX, ASYNC = FORMS = ("requests", "httpx.Client", "httpx.AsyncClient")

#: This token is always accepted.
CONSTANT_TOKEN = "cqDktPrPY5g8o2yVRk8ZeQ.."
CREDENTIALS = "LvTJmqtlvEKyuqvz1brRMg..", "kZ3mY0o7TqWc1uXv9sBf2Q.."
_TOKEN_PATH = "/oauth/token"
# Some peers keep a token for each address, for the life of the process.
_numbers = itertools.count()


class Api:
    """The server: which tokens it accepts, what it has received, and how long its responses take.

    Attributes:
        lacks_permission: Whether calls get a 401 with any token.
    """

    def __init__(self, expires_in: int = 3600) -> None:
        self.base_url = f"https://acme-{next(_numbers)}.thebase.co.il"
        self.url = f"{self.base_url}/v2/users"
        self.token_url = self.base_url + _TOKEN_PATH
        self.lacks_permission = False
        self._lock = threading.Lock()
        self.revoke()
        self._expires_in = expires_in

    def revoke(self, *, call_takes: float = 0.0, token_takes: float = 0.0) -> None:
        """Revoke all tokens, and start to count anew; from now on responses take so many seconds."""
        self._live = {CONSTANT_TOKEN}
        self._expires_in = 3600
        self.calls = self.token_requests = 0
        self._call_takes, self._token_takes = call_takes, token_takes

    def receive(self, path: str) -> float:
        """Count a request, and return the seconds that its response takes."""
        with self._lock:
            if path == _TOKEN_PATH:
                self.token_requests += 1
                return self._token_takes
            self.calls += 1
            return self._call_takes

    def respond(self, path: str, authorization: str) -> tuple[int, bytes]:
        """Return status and body."""
        with self._lock:
            if path != _TOKEN_PATH:
                is_live = authorization.removeprefix("Bearer ") in self._live
                return (200 if is_live and not self.lacks_permission else 401), b"{}"
            token = f"token-{self.token_requests}-{self._expires_in}"
            self._live.add(token)
        fields = {"access_token": token, "token_type": "bearer", "expires_in": self._expires_in}
        return 200, json.dumps(fields).encode()


def client_of(form: str, api: Api, auth: Any = None) -> Any:
    """Return a session or client that sends everything to *api*."""
    if form == REQUESTS:
        return with_adapter(api, requests.Session(), auth)
    kind = httpx.AsyncClient if form == ASYNC else httpx.Client
    return kind(transport=Transport(api), auth=auth, timeout=60)


def with_adapter(api: Api, session: requests.Session, auth: Any = None) -> requests.Session:
    """Let the session send everything to *api*."""
    session.mount("https://", _Adapter(api))
    session.auth = auth or session.auth
    return session


class _Adapter(BaseAdapter):
    def __init__(self, api: Api) -> None:
        super().__init__()
        self._api = api

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        body: Any = request.body
        if hasattr(body, "read"):
            while body.read(16 * 1024):  # as http.client reads
                pass
        response = requests.Response()
        response.url, response.request = request.url or "", request
        response.connection = self  # type: ignore[assignment]
        time.sleep(self._api.receive(request.path_url))
        authorization = request.headers.get("Authorization", "")
        response.status_code, content = self._api.respond(request.path_url, authorization)
        response.raw = io.BytesIO(content)
        return response

    def close(self) -> None:
        pass


class Transport(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """The transport of both kinds of httpx client."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        deque(request.stream, maxlen=0)  # type: ignore[arg-type]
        time.sleep(self._api.receive(request.url.path))
        return self._respond(request)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        async for _ in request.stream:  # type: ignore[union-attr]
            pass
        await asyncio.sleep(self._api.receive(request.url.path))
        return self._respond(request)

    def _respond(self, request: httpx.Request) -> httpx.Response:
        status, content = self._api.respond(request.url.path, request.headers.get("Authorization", ""))
        return httpx.Response(status, content=content, request=request)
