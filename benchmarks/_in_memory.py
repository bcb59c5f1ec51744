"""A TheBase within the process, for what no network may have a part in, and the ways to it.

It answers a call with 200 or 401 and a token request with a token. It reads each body, and takes for its
answer as long as the benchmark says.
"""

from __future__ import annotations

import asyncio
import io
import itertools
import json
import threading
import time
from collections import deque
from importlib import import_module
from types import ModuleType
from typing import Any, NamedTuple

import requests
from requests.adapters import BaseAdapter

#: This token is always good: it is that of a header which never changes.
CONSTANT_TOKEN = "cqDktPrPY5g8o2yVRk8ZeQ.."
_TOKEN_PATH = "/oauth/token"
_BLOCK = 16 * 1024  # bytes, as http.client reads
# Some peers keep a token for each address, for the life of the process.
_NUMBERS = itertools.count()


class Form(NamedTuple):
    """A library, and which of its kinds of client."""

    library: str
    is_async: bool = False

    def __str__(self) -> str:
        if self.library == "requests":
            return self.library
        return f"{self.library}.{'AsyncClient' if self.is_async else 'Client'}"

    @property
    def module(self) -> ModuleType:
        return import_module(self.library)


REQUESTS = Form("requests")
FORMS = (REQUESTS, Form("httpx"), Form("httpx", is_async=True), Form("httpx2"), Form("httpx2", is_async=True))


class Api:
    """What the server knows: the tokens that it takes, what has arrived, how long its answers take.

    With *expires_in* the first token can be one that is over at once, for those who go by the clock.
    """

    credentials = "LvTJmqtlvEKyuqvz1brRMg..", "kZ3mY0o7TqWc1uXv9sBf2Q.."

    def __init__(self, expires_in: int = 3600) -> None:
        self.base_url = f"https://acme-{next(_NUMBERS)}.thebase.co.il"
        self.url = f"{self.base_url}/v2/users"
        self.token_url = self.base_url + _TOKEN_PATH
        self._lock = threading.Lock()
        self.expire()
        self._expires_in = expires_in

    def expire(self, *, call_takes: float = 0.0, token_takes: float = 0.0) -> None:
        """End what was issued, let the next token last, count anew, and take so long from now on."""
        self._live = {CONSTANT_TOKEN}
        self._expires_in = 3600
        self.calls = self.token_requests = 0
        self._call_takes, self._token_takes = call_takes, token_takes

    def arrives(self, is_token: bool) -> float:
        """Count a call or a token request; the seconds that its answer takes."""
        with self._lock:
            if is_token:
                self.token_requests += 1
                return self._token_takes
            self.calls += 1
            return self._call_takes

    def answer(self, is_token: bool, authorization: str) -> tuple[int, bytes]:
        """Status and body of one answer."""
        with self._lock:
            if not is_token:
                return (200 if authorization.removeprefix("Bearer ") in self._live else 401), b"{}"
            token = f"token-{self.token_requests}-{self._expires_in}"
            self._live.add(token)
            fields = {"access_token": token, "token_type": "bearer", "expires_in": self._expires_in}
            return 200, json.dumps(fields).encode()


def client_of(form: Form, api: Api, auth: Any = None) -> Any:
    """A session of requests, or a client of httpx or httpx2, that sends everything to *api*."""
    if form.library == "requests":
        return sent_to(api, requests.Session(), auth)
    kind = form.module.AsyncClient if form.is_async else form.module.Client
    return kind(transport=transport(form.module, api), auth=auth, timeout=60)


def sent_to(api: Api, session: requests.Session, auth: Any = None) -> requests.Session:
    """The session, which from now on sends everything to *api*."""
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
            while body.read(_BLOCK):
                pass
        elif not isinstance(body, (str, bytes)):
            deque(body or (), maxlen=0)
        response = requests.Response()
        response.url, response.request = request.url or "", request
        response.connection = self  # type: ignore[assignment]
        is_token = response.url == self._api.token_url
        time.sleep(self._api.arrives(is_token))
        authorization = request.headers.get("Authorization", "")
        response.status_code, content = self._api.answer(is_token, authorization)
        response.raw = io.BytesIO(content)
        return response

    def close(self) -> None:
        pass


def transport(library: ModuleType, api: Api) -> Any:
    """The way of httpx or httpx2 to the server, for its clients of both kinds."""

    def is_token(request: Any) -> bool:
        return bool(request.url.path == _TOKEN_PATH)

    def answer(request: Any) -> Any:
        status, content = api.answer(is_token(request), request.headers.get("Authorization", ""))
        return library.Response(status, content=content, request=request)

    class Transport(library.BaseTransport, library.AsyncBaseTransport):  # type: ignore[name-defined]
        def handle_request(self, request: Any) -> Any:
            for _ in request.stream:
                pass
            time.sleep(api.arrives(is_token(request)))
            return answer(request)

        async def handle_async_request(self, request: Any) -> Any:
            async for _ in request.stream:
                pass
            await asyncio.sleep(api.arrives(is_token(request)))
            return answer(request)

    return Transport()
