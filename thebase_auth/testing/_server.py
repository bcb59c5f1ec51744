# HTTP on loopback, by uvicorn: `serve` runs an ASGI application on a port, in a new thread.

from __future__ import annotations

import asyncio
import logging
import os
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

try:
    import uvicorn
    from uvicorn.protocols.http.h11_impl import H11Protocol
except ImportError as _missing:
    raise ImportError(
        "the sandbox needs uvicorn: install the extra 'testing'", name=_missing.name
    ) from _missing

if TYPE_CHECKING:
    from ._asgi import ASGIApp, Receive, Scope, Send

_BACKLOG: Final = 4096  # connections; thousands of clients may connect before the first is accepted

# Longer than any test: no pooled connection is closed while a client is about to reuse it.
_KEEP_ALIVE: Final = 60  # seconds

# uvicorn's warnings are about what clients send: TLS to a port without it, an upgrade. The client is told.
_logger: Final = logging.getLogger("thebase_auth.testing.server")
_logger.setLevel(logging.ERROR)


class _Protocol(H11Protocol):
    """uvicorn's, with a logger that other servers of this process do not have."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.logger = _logger


class _Server(uvicorn.Server):
    """uvicorn, but it reports that it has started, stops at once, and can drop a connection.

    Attributes:
        startup_done: Done when it has started, with an exception if it cannot.
        stop_requested: To be set to stop it.
    """

    def __init__(self, app: ASGIApp, **options: Any) -> None:
        # The loggers are those of every uvicorn in this process, and stay as they are.
        config = uvicorn.Config(self._drop_when_reset(app), log_config=None, **options)
        config.load()
        super().__init__(config)
        self.startup_done: Future[None] = Future()
        self.stop_requested: Future[None] = Future()

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            super().run(sockets)
        except BaseException as error:  # noqa: BLE001 - raised in the thread that waits for the start
            self.startup_done.set_exception(error)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        # `python -X dev` is for the loops of the program. In ours it logs each TLS handshake that fails.
        asyncio.get_running_loop().set_debug(False)
        await super().startup(sockets)
        self.startup_done.set_result(None)

    async def main_loop(self) -> None:
        # Instead of uvicorn's, which checks ten times a second whether it should stop.
        stop = asyncio.wrap_future(self.stop_requested)
        while not stop.done():
            await self.on_tick(0)  # updates the `Date` header
            await asyncio.wait([stop], timeout=1)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: ARG002
        # Instead of uvicorn's, which waits for unfinished responses, for the peers to close TLS, and at least
        # a tenth of a second. `asyncio.run` cancels the handlers that still run.
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.transport.abort()

    def _drop_when_reset(self, app: ASGIApp) -> ASGIApp:
        async def drop_when_reset(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                await app(scope, receive, send)
            except (ConnectionResetError, asyncio.CancelledError):  # the latter when the server stops
                for connection in list(self.server_state.connections):
                    if getattr(connection, "client", None) == scope["client"]:
                        connection.transport.abort()
                # Wait until uvicorn has noticed, or it would report the missing response as an error.
                event = ""
                while event != "http.disconnect":
                    event = (await receive())["type"]

        return drop_when_reset


@contextmanager
def serve(
    app: ASGIApp,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    ssl_certfile: str | None = None,
    ssl_keyfile: str | None = None,
) -> Iterator[str]:
    """Serve an ASGI application over HTTP/1.1, in a new thread.

    The end of the block stops the server at once: running handlers are cancelled, and open connections are
    dropped. It waits only for a handler that blocks the thread.

    Args:
        app: The ASGI application. It gets no lifespan events and no WebSockets. If it raises
            `ConnectionResetError`, the connection is dropped without a response.
        host: The IPv4 address to listen on, or the name by which clients reach this machine. With a name
            other than `localhost`, the server listens on all addresses.
        port: The port to listen on; 0 for any free port.
        ssl_certfile: Path of a PEM certificate for `localhost` or *host*. With it, the server speaks TLS.
        ssl_keyfile: Path of its key in PEM, if the certificate file does not contain it.

    Returns:
        A context manager for the base URL: by default `http://127.0.0.1:PORT`, or with a certificate
        `https://localhost:PORT`.

    Raises:
        OSError: if the certificate cannot be read, the port is taken, or the server cannot start.
        ssl.SSLError: if certificate and key are malformed or do not match.
    """
    server = _Server(
        app,
        interface="asgi3",
        loop="asyncio",
        http=_Protocol,
        ws="none",
        lifespan="off",
        proxy_headers=False,
        backlog=_BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE,
        ssl_certfile=ssl_certfile,
        ssl_keyfile=ssl_keyfile,
    )
    # With the protocol, since otherwise asyncio leaves Nagle's algorithm on, and a response in two writes
    # waits 40 ms for the client's acknowledgement.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        # As in asyncio's servers: a port can be taken again at once. On Windows this option would let two
        # servers share it.
        if os.name == "posix":  # pragma: no branch
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((_address_of(host), port))
        listener.listen(_BACKLOG)
        port = listener.getsockname()[1]
        thread = threading.Thread(
            target=server.run, args=([listener],), name=f"thebase-sandbox-{port}", daemon=True
        )
        thread.start()
        try:
            server.startup_done.result()
            yield _url(host, port, "https" if ssl_certfile else "http")
        finally:
            server.stop_requested.set_result(None)
            thread.join()


def _address_of(host: str) -> str:
    if host == "localhost":
        return "127.0.0.1"
    try:
        socket.inet_aton(host)
    except OSError:
        return "0.0.0.0"  # noqa: S104 - a name is given to be reached from other machines
    return host


def _url(host: str, port: int, scheme: str) -> str:
    if host == "0.0.0.0":  # noqa: S104 - no address to connect to
        host = "127.0.0.1"
    if (scheme, host) == ("https", "127.0.0.1"):
        host = "localhost"  # whose certificate it is
    return f"{scheme}://{host}:{port}"
