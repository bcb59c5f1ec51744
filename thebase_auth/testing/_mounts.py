# The sandbox as an ASGI application and as a WSGI application.
#
# Here: reading a request from either, and sending the answer. Not here: what happens in between (_service),
# and the adapter for requests, which needs that library (_requests_adapter).

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Generator, Iterable, MutableMapping
from http.client import responses
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar
from wsgiref.util import application_uri

from thebase_auth._core.flight import Wait
from thebase_auth._waiting import run_blocking, wait_async

from ._messages import Answer, Request

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

Result = TypeVar("Result")

Exchange: TypeAlias = Callable[[Request], Generator[Wait, None, Answer | None]]
"""Takes a request, and returns its answer; None drops the connection."""

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
ASGIApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

DROPPED: Final = "the sandbox was asked to drop this connection"
_INCOMPLETE: Final = "the connection ended before the request did"


def dropped(why: str = DROPPED) -> ConnectionResetError:
    """The exception to raise for a dropped connection.

    The ASGI and WSGI transports of httpx and httpx2 do not translate it. So it is also an exception of these
    libraries, the one that they raise if a connection is dropped on a network.
    """
    # Without duplicates: one may be an alias of the other.
    loaded = dict.fromkeys(map(sys.modules.get, ("httpx", "httpx2")))
    kinds = [library.RemoteProtocolError for library in loaded if library]
    error: ConnectionResetError = type("Dropped", (*kinds, ConnectionResetError), {})(why)
    return error


def asgi_app(exchange: Exchange) -> ASGIApp:
    """The sandbox as an ASGI application, for asyncio and trio."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _answer_lifespan(receive, send)
            return
        answer = await awaiting(exchange(await _read_asgi(scope, receive)))
        if answer is None:
            raise dropped()
        headers = [(name.encode(), value.encode("latin-1")) for name, value in answer.headers]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})

    return app


async def awaiting(steps: Generator[Wait, None, Result]) -> Result:
    """Take all *steps* in this task of asyncio or trio, and return their result."""
    try:
        while True:
            await wait_async(*next(steps))
    except StopIteration as end:
        result: Result = end.value
        return result
    finally:
        steps.close()


async def _answer_lifespan(receive: Receive, send: Send) -> None:
    for stage in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{stage}.complete"})


async def _read_asgi(scope: Scope, receive: Receive) -> Request:
    body, more = bytearray(), True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise dropped(_INCOMPLETE)
        body += message.get("body", b"")
        more = message.get("more_body", False)
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    host = headers.get("host", "localhost")
    mounted_at = scope.get("root_path", "")
    return Request(
        method=scope["method"],
        path=scope["path"].removeprefix(mounted_at),
        query=scope["query_string"].decode("latin-1"),
        headers=headers,
        body=bytes(body),
        root=f"{scope['scheme']}://{host}{mounted_at}",
    )


def wsgi_app(exchange: Exchange) -> WSGIApplication:
    """The sandbox as a WSGI application."""

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        answer = run_blocking(exchange(_read_wsgi(environ)))
        if answer is None:
            raise dropped()
        start_response(f"{answer.status} {responses.get(answer.status, 'Unknown')}", list(answer.headers))
        return [answer.body]

    return app


def _read_wsgi(environ: WSGIEnvironment) -> Request:
    headers = {
        name.removeprefix("HTTP_").replace("_", "-").lower(): value
        for name, value in environ.items()
        if name.startswith("HTTP_") or name in {"CONTENT_TYPE", "CONTENT_LENGTH"}
    }
    # Reading further would block on a real server.
    if length := headers.get("content-length"):
        body = environ["wsgi.input"].read(int(length))
        if len(body) < int(length):
            raise dropped(_INCOMPLETE)
    else:
        body = environ["wsgi.input"].read() if "transfer-encoding" in headers else b""
    return Request(
        method=environ["REQUEST_METHOD"],
        path=_wsgi_path(environ.get("PATH_INFO", "")),
        query=environ.get("QUERY_STRING", ""),
        headers=headers,
        body=body,
        root=application_uri(environ).rstrip("/"),
    )


def _wsgi_path(path: str) -> str:
    """The path as text. PEP 3333 wants its UTF-8 bytes decoded as Latin-1; httpx and httpx2 pass the text."""
    try:
        return path.encode("latin-1").decode()
    except UnicodeError:
        return path
