"""Servers on loopback that respond as a test tells them."""

from __future__ import annotations

import base64
import itertools
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias, Unpack

from starlette import responses
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from tests.support.certificates import Tls
from tests.support.clients import CLIENT_ID, CLIENT_SECRET
from thebase_auth.testing._server import serve

Response: TypeAlias = "tuple[int, dict[str, str], Any]"
"""Status, headers and body: bytes, or an async iterator of them."""

BASIC = "Basic " + base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()


@dataclass(frozen=True)
class Received:
    """A request as the server saw it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def authorization(self) -> str | None:
        return self.headers.get("authorization")


@dataclass
class Server:
    """Responds by its `handler`, and remembers what it received.

    The handler gets the request and returns status, headers and body. It runs in a thread of its own,
    so that it may wait for something, or make calls to this very server.
    """

    handler: Callable[[Received], Response]
    url: str = ""
    received: list[Received] = field(default_factory=list)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope, receive)
        path = scope["path"] + (f"?{scope['query_string'].decode()}" if scope["query_string"] else "")
        got = Received(request.method, path, dict(request.headers), await request.body())
        self.received.append(got)
        status, headers, body = await run_in_threadpool(self.handler, got)
        kind = responses.Response if isinstance(body, bytes) else responses.StreamingResponse
        await kind(body, status, headers)(scope, receive, send)

    def to(self, path: str) -> list[Received]:
        return [one for one in self.received if one.path == path]

    @contextmanager
    def running(self, **tls: Unpack[Tls]) -> Iterator[Server]:
        with serve(self, **tls) as self.url:
            yield self


class Api:
    """A handler: a token endpoint, and an API that takes only the tokens of `live`.

    ``responses`` maps a path to the response to an accepted request.
    """

    def __init__(self, *, one_at_a_time: bool = False) -> None:
        self.live: set[str] = set()
        self.token_requests = 0
        self.one_at_a_time = one_at_a_time
        self.responses: dict[str, Response] = {}
        self.rejection: Response = (401, {}, b"rejected")
        self.token_response: dict[str, Any] = {"token_type": "bearer", "expires_in": 3600}
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def __call__(self, request: Received) -> Response:
        if request.path == "/oauth/token":
            return self.give_token(request)
        carried = (request.authorization or "").removeprefix("Bearer ")
        if carried not in self.live:
            return self.rejection
        return self.responses.get(request.path, (200, {}, b"accepted"))

    def give_token(self, request: Received) -> Response:
        with self._lock:
            self.token_requests += 1
            if request.authorization != BASIC:
                return 401, {"Content-Type": "application/json"}, b'{"error": "invalid_client"}'
            token = f"token-{next(self._numbers)}"
            if self.one_at_a_time:
                self.live.clear()
            self.live.add(token)
        body = json.dumps({"access_token": token} | self.token_response).encode()
        return 200, {"Content-Type": "application/json"}, body

    def revoke(self) -> None:
        self.live.clear()


@contextmanager
def api_server(api: Any = None, **tls: Unpack[Tls]) -> Iterator[tuple[Server, Any]]:
    """Run a `Server` with this handler, or with an `Api`."""
    api = Api() if api is None else api
    with Server(api).running(**tls) as server:
        yield server, api
