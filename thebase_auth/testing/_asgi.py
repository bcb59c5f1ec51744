# The sandbox as an ASGI application, for asyncio and trio.

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

from ._messages import Request, Response

Exchange: TypeAlias = Callable[[Request], Awaitable[Response | None]]
"""Takes a request, and returns its response; None drops the connection."""

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
ASGIApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]


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
    body, more = bytearray(), True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionResetError("the connection ended before the request did")
        body += message.get("body", b"")
        more = message.get("more_body", False)
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    mounted_at = scope.get("root_path", "")
    return Request(
        method=scope["method"],
        path=scope["path"].removeprefix(mounted_at),
        query=scope["query_string"].decode("latin-1"),
        headers=headers,
        body=bytes(body),
        root=f"{scope['scheme']}://{headers.get('host', 'localhost')}{mounted_at}",
    )
