# HTTP on loopback, by uvicorn.
#
# Here: `serve`, which runs any ASGI application on a port, from a thread of its own. Not here: what
# the application answers.

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

try:
    import uvicorn
except ImportError as _missing:
    if _missing.name != "uvicorn":
        raise
    raise ImportError(
        "to serve on a port, thebase_auth.testing needs uvicorn: pip install 'thebase-auth[testing]'",
        name=_missing.name,
    ) from _missing

if TYPE_CHECKING:
    from ._mounts import ASGIApp, Receive, Scope, Send

# Room for a thousand clients that all connect before the first is accepted.
_BACKLOG: Final = 4096

# Longer than any test, so that no pooled connection is closed under a client about to reuse it.
_KEEP_ALIVE_SECONDS: Final = 60


class _Server(uvicorn.Server):
    """uvicorn, telling when it has started, stopping at once when told, and cutting connections."""

    def __init__(self, app: ASGIApp, **options: Any) -> None:
        # The loggers are those of every uvicorn in this process, and stay as they are.
        config = uvicorn.Config(self._cut_when_reset(app), log_config=None, **options)
        config.load()
        super().__init__(config)
        self.has_started: Future[None] = Future()
        self.told_to_stop: Future[None] = Future()

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            super().run(sockets)
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits for the start
            self.has_started.set_exception(error)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.has_started.set_result(None)

    async def main_loop(self) -> None:
        # Not uvicorn's own, which looks ten times a second whether it should stop.
        stop = asyncio.wrap_future(self.told_to_stop)
        while not stop.done():
            await self.on_tick(0)  # the `Date` of the answers
            await asyncio.wait([stop], timeout=1)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: ARG002
        # Not uvicorn's own, which waits for answers under way, over TLS for each peer's close, and
        # a tenth of a second in any case. Handlers still running are cancelled by `asyncio.run`.
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.transport.abort()

    def _cut_when_reset(self, app: ASGIApp) -> ASGIApp:
        async def cut_when_reset(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                await app(scope, receive, send)
            except ConnectionResetError:
                for connection in list(self.server_state.connections):
                    if getattr(connection, "client", None) == scope["client"]:
                        connection.transport.abort()
                # Before uvicorn knows of it, it would take the missing answer for a mistake.
                while (await receive())["type"] != "http.disconnect":
                    pass

        return cut_when_reset


@contextmanager
def serve(
    app: ASGIApp,
    *,
    port: int = 0,
    ssl_certfile: str | None = None,
    ssl_keyfile: str | None = None,
) -> Iterator[str]:
    """Serve an ASGI application over HTTP/1.1 on 127.0.0.1, from a thread of its own.

    The end of the block stops the server at once: whatever is still under way is cancelled, and
    open connections are cut. Only a handler that blocks its thread is waited for.

    Args:
        app: the ASGI application. It gets no lifespan events and no WebSockets. Where it raises
            `ConnectionResetError`, the connection is cut without an answer.
        port: the port to listen on; 0 for any that is free.
        ssl_certfile: path of a PEM certificate valid for `localhost`; with it the server speaks
            TLS.
        ssl_keyfile: path of the certificate's PEM key, if the certificate's file does not hold it.

    Returns:
        A context manager. It yields the base URL, without a slash at the end:
        `http://127.0.0.1:PORT`, or `https://localhost:PORT` with a certificate.

    Raises:
        OSError: the certificate cannot be read, the port is taken, or the server cannot start.
        ssl.SSLError: certificate and key are malformed or do not match.
    """
    server = _Server(
        app,
        interface="asgi3",
        loop="asyncio",
        http="h11",
        ws="none",
        lifespan="off",
        proxy_headers=False,
        backlog=_BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        ssl_certfile=ssl_certfile,
        ssl_keyfile=ssl_keyfile,
    )
    # The protocol is named because asyncio switches Nagle's algorithm off only where it is; left
    # on, it makes an answer in two writes wait 40 ms for the client's acknowledgement.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        # As asyncio's own servers do, so that a port can be taken again at once. On Windows the same
        # option would let two servers share it.
        if os.name == "posix":  # pragma: no branch
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(_BACKLOG)
        port = listener.getsockname()[1]
        thread = threading.Thread(
            target=server.run, args=([listener],), name=f"thebase-sandbox-{port}", daemon=True
        )
        thread.start()
        try:
            server.has_started.result()
            yield f"https://localhost:{port}" if ssl_certfile else f"http://127.0.0.1:{port}"
        finally:
            server.told_to_stop.set_result(None)
            thread.join()
