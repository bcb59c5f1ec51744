# The sandbox without a port: as an ASGI application, a WSGI application, an adapter of requests.
#
# Here: how a request gets from each of them into the sandbox, and the answer back. Not here: what
# happens in between (_sandbox), and the adapter of requests, which has a module of its own because
# it needs that library (_requests_adapter).

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Generator, Iterable, MutableMapping
from http.client import responses
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from wsgiref.util import application_uri

from thebase_auth._core.pending import WaitFor
from thebase_auth._waiting import awaiting, blocking

from ._messages import Answer, Request

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

Exchange: TypeAlias = Callable[[Request], Generator[WaitFor, None, Answer | None]]
"""What the sandbox does with a request; in the end, the answer, or None to drop the connection."""

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
ASGIApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

DROPPED: Final = "the sandbox was asked to drop this connection"
_HALF_A_REQUEST: Final = "the connection ended before the request did"


def dropped(why: str = DROPPED) -> ConnectionResetError:
    """What a dropped connection is raised as.

    The transports that httpx and httpx2 have for applications let it through as it is. So it is an
    exception of these libraries too, the one that they raise for a connection cut on a network.
    """
    # One may be the other's alias, and an exception cannot have the same base twice.
    loaded = dict.fromkeys(map(sys.modules.get, ("httpx", "httpx2")))
    kinds = [library.RemoteProtocolError for library in loaded if library]
    error: ConnectionResetError = type("Dropped", (*kinds, ConnectionResetError), {})(why)
    return error


def asgi_app(exchange: Exchange) -> ASGIApp:
    """The sandbox as an ASGI application, for asyncio and trio."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send)
            return
        answer = await awaiting(exchange(await _read_asgi(scope, receive)))
        if answer is None:
            raise dropped()
        headers = [(name.encode(), value.encode("latin-1")) for name, value in answer.headers]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})

    return app


async def _live(receive: Receive, send: Send) -> None:
    """Nothing needs to be set up or put away."""
    for stage in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{stage}.complete"})


async def _read_asgi(scope: Scope, receive: Receive) -> Request:
    body, more = bytearray(), True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise dropped(_HALF_A_REQUEST)
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
        answer = blocking(exchange(_read_wsgi(environ)))
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
    # Beyond its end, the input of a real server would be waited for.
    if length := headers.get("content-length"):
        body = environ["wsgi.input"].read(int(length))
        if len(body) < int(length):
            raise dropped(_HALF_A_REQUEST)
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
    """The path as text; PEP 3333 has its UTF-8 bytes as Latin-1, httpx and httpx2 the text."""
    try:
        return path.encode("latin-1").decode()
    except UnicodeError:
        return path
