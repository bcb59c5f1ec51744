"""A TheBase within the process, for what no network may have a part in.

It answers a call with 200 or 401 and a token request with a token, each after a pause that the
benchmark gives: a round trip, or until it is told to go on.
"""

from __future__ import annotations

import io
import itertools
import json
import threading
from collections.abc import Awaitable, Callable
from types import ModuleType
from typing import Any, TypeAlias

import requests
from requests.adapters import BaseAdapter

from . import _peers

#: What to do before an answer; the argument says whether a token was asked for.
Pause: TypeAlias = Callable[[bool], None]
AsyncPause: TypeAlias = Callable[[bool], Awaitable[None]]

# Some peers keep a token for each address, for the life of the process.
_NUMBERS = itertools.count()


class Api:
    """What the server knows: the tokens that it takes, what it was asked for, how long it may take.

    The first token is issued as one that is over, for those who go by the clock.
    """

    def __init__(self) -> None:
        self.server = _peers.Server(f"https://acme-{next(_NUMBERS)}.thebase.co.il")
        self.url = f"{self.server.url}/v2/users"
        self.calls = self.refused = self.token_requests = 0
        self.seconds = 0.0
        self._expires_in = 1
        self._live: set[str] = set()
        self._lock = threading.Lock()

    def expire(self, seconds: float = 0.0) -> None:
        """End what was issued, let the next token last, count anew, and take so long from now on."""
        self._live.clear()
        self._expires_in = 3600
        self.seconds = seconds
        self.calls = self.refused = self.token_requests = 0

    def answer(self, is_token: bool, authorization: str) -> tuple[int, bytes]:
        """Status and body of one answer."""
        with self._lock:
            if not is_token:
                good = authorization.removeprefix("Bearer ") in self._live
                self.calls += 1
                self.refused += not good
                return (200 if good else 401), b"{}"
            self.token_requests += 1
            token = f"token-{self.token_requests}-{self._expires_in}"
            self._live.add(token)
            fields = {"access_token": token, "token_type": "bearer", "expires_in": self._expires_in}
            return 200, json.dumps(fields).encode()


class Adapter(BaseAdapter):
    """The way of requests to the server."""

    def __init__(self, api: Api, pause: Pause) -> None:
        super().__init__()
        self._api = api
        self._pause = pause

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        response = requests.Response()
        response.url, response.request = request.url or "", request
        response.connection = self  # type: ignore[assignment]
        is_token = response.url == self._api.server.token_url
        self._pause(is_token)
        authorization = request.headers.get("Authorization", "")
        response.status_code, content = self._api.answer(is_token, authorization)
        response.raw = io.BytesIO(content)
        return response

    def close(self) -> None:
        pass


def transport(library: ModuleType, api: Api, pause: Pause, async_pause: AsyncPause | None = None) -> Any:
    """The way of httpx or httpx2 to the server, for its clients of both kinds."""

    def respond(request: Any, is_token: bool) -> Any:
        status, content = api.answer(is_token, request.headers.get("Authorization", ""))
        headers = {"Content-Type": "application/json"}
        return library.Response(status, content=content, headers=headers, request=request)

    class Transport(library.BaseTransport, library.AsyncBaseTransport):  # type: ignore[name-defined]
        def handle_request(self, request: Any) -> Any:
            is_token = request.url.path == "/oauth/token"
            pause(is_token)
            return respond(request, is_token)

        async def handle_async_request(self, request: Any) -> Any:
            assert async_pause is not None
            is_token = request.url.path == "/oauth/token"
            await async_pause(is_token)
            return respond(request, is_token)

    return Transport()
