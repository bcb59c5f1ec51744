# The sandbox as an ASGI application, for asyncio and trio.

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, TypeAlias

from ._messages import Request, Response

Exchange: TypeAlias = Callable[[Request], Awaitable[Response | None]]
"""Takes a request, and returns its response; None drops the connection."""

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
ASGIApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

# Where our server says in a scope what is wrong with the body, which ends there.
MALFORMED: Final = "thebase_auth.malformed"


def asgi_app(exchange: Exchange) -> ASGIApp:
    """An ASGI application for HTTP. It raises `ConnectionResetError` to drop a connection."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        response = await exchange(await _read(scope, receive))
        if response is None:
            raise ConnectionResetError("the sandbox was asked to drop this connection")
        headers = [(name.encode(), value.encode("latin-1")) for name, value in response.headers]
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        await send({"type": "http.response.body", "body": response.body})

    return app


async def _read(scope: Scope, receive: Receive) -> Request:
    body, message = bytearray(), await receive()
    while message.get("more_body"):
        body += message.get("body", b"")
        message = await receive()
    body += message.get("body", b"")
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    path = scope["path"]
    if not path.startswith("/") and "://" in path:  # the absolute form (RFC 9112 3.2.2)
        headers["host"], _, path = path.partition("://")[2].partition("/")
        path = f"/{path}"
    return Request(
        method=scope["method"],
        path=path,
        query=scope["query_string"].decode("latin-1"),
        headers=headers,
        body=bytes(body),
        root=f"{scope['scheme']}://{headers.get('host', 'localhost')}",
        broken="" if message["type"] == "http.disconnect" else scope.get(MALFORMED),
    )
