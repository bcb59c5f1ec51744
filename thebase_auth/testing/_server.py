# HTTP on loopback: `serve` runs an ASGI application on a port, in a new thread, with uvicorn's HTTP protocol.

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from email.utils import formatdate
from typing import TYPE_CHECKING, Any, Final, TypeAlias

try:
    import h11
    import uvicorn
    from uvicorn.protocols.http.h11_impl import H11Protocol
    from uvicorn.server import ServerState
except ImportError as _missing:
    raise ImportError(
        "the sandbox needs uvicorn: install the extra 'testing'", name=_missing.name
    ) from _missing

from ._asgi import MALFORMED

if TYPE_CHECKING:
    from ._asgi import ASGIApp, Receive, Scope, Send

OnMalformed: TypeAlias = Callable[[bytes, str], str]
"""Gets bytes that are no request, and what the parser said: nothing if the client closed the connection.
Returns the text of the 400."""

_BACKLOG: Final = 4096  # connections; thousands of clients may connect before the first is accepted

# Longer than any test: no pooled connection is closed while a client is about to reuse it.
_KEEP_ALIVE: Final = 60  # seconds

# h11 limits the head of a request only while it is incomplete; with pieces of this size it always does.
_PIECE: Final = 2**14  # bytes

# uvicorn's warnings are about what clients send: TLS to a port without it, an upgrade. The client is told.
_logger: Final = logging.getLogger("thebase_auth.testing.server")
_logger.setLevel(logging.ERROR)


class _Protocol(H11Protocol):
    """uvicorn's, but it reports what is not HTTP, and the application can drop the connection."""

    def __init__(self, config: uvicorn.Config, state: ServerState, on_malformed: OnMalformed) -> None:
        super().__init__(config, state, {})
        self.logger = _logger  # instead of one that other servers of this process share
        self.access_log = False
        self._on_malformed = on_malformed
        self._app = self.app
        self.app = self._run_app

    def data_received(self, data: bytes) -> None:
        for start in range(0, len(data), _PIECE):
            super().data_received(data[start : start + _PIECE])

    def handle_events(self) -> None:
        self._unparsed, _ = self.conn.trailing_data
        super().handle_events()

    def send_400_response(self, msg: str) -> None:
        msg = str(sys.exception())
        if self.conn.our_state is h11.IDLE:  # no request has begun
            super().send_400_response(self._on_malformed(self._unparsed, msg))
        elif self.conn.our_state is h11.SEND_RESPONSE and self.cycle.more_body:
            self.scope[MALFORMED] = msg  # type: ignore[typeddict-unknown-key]
            self.cycle.more_body = False
            self.cycle.message_event.set()
        # Otherwise there is a response already, and what follows the request is ignored.

    def connection_lost(self, exc: Exception | None) -> None:
        unparsed, _ = self.conn.trailing_data
        if unparsed and self.conn.our_state is h11.IDLE:
            self._on_malformed(unparsed, "")
        super().connection_lost(exc)

    async def _run_app(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        except (ConnectionResetError, asyncio.CancelledError):  # the latter when the server stops
            self.transport.abort()
            self.cycle.disconnected = True  # or uvicorn would report the missing response as an error


class _ExceptionHandler:
    """asyncio's, but it says in one line a minute that there are no file descriptors for connections."""

    silent_until = 0.0

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if not isinstance(error, OSError) or error.errno not in (errno.EMFILE, errno.ENFILE):
            loop.default_exception_handler(context)
        elif time.monotonic() > self.silent_until:
            self.silent_until = time.monotonic() + 60
            _logger.error("the sandbox cannot accept connections: %s", error.strerror)


@contextmanager
def serve(
    app: ASGIApp,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    ssl_certfile: str | None = None,
    ssl_keyfile: str | None = None,
    on_malformed: OnMalformed = lambda _, error: error,
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
        on_malformed: Called with what is no request.

    Returns:
        A context manager for the base URL: by default `http://127.0.0.1:PORT`, or with a certificate
        `https://localhost:PORT`.

    Raises:
        OSError: if the certificate cannot be read, the port is taken, or the server cannot start.
        ssl.SSLError: if certificate and key are malformed or do not match.
    """
    # The loggers are those of every uvicorn in this process, and stay as they are.
    config = uvicorn.Config(
        app,
        interface="asgi3",
        ws="none",
        log_config=None,
        proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE,
        ssl_certfile=ssl_certfile,
        ssl_keyfile=ssl_keyfile,
    )
    config.load()
    started: Future[None] = Future()
    stop: Future[None] = Future()

    async def main() -> None:
        # uvicorn's own server would wait for open connections, and a tenth of a second, before it stops.
        state = ServerState()
        loop = asyncio.get_running_loop()
        # `python -X dev` is for the loops of the program. In ours it logs each TLS handshake that fails.
        loop.set_debug(False)
        loop.set_exception_handler(_ExceptionHandler())
        server = await loop.create_server(
            lambda: _Protocol(config, state, on_malformed), sock=listener, backlog=_BACKLOG, ssl=config.ssl
        )
        started.set_result(None)
        stopped = asyncio.wrap_future(stop)
        while not stopped.done():
            state.default_headers = [(b"date", formatdate(usegmt=True).encode())]
            await asyncio.wait([stopped], timeout=1)
        server.close()
        loop.set_exception_handler(lambda *_: None)  # of an `accept` that is due to be tried again
        for connection in list(state.connections):
            connection.transport.abort()
        # Handlers that still run are cancelled by `asyncio.run`.

    def run() -> None:
        try:
            asyncio.run(main())
        except BaseException as error:  # noqa: BLE001 - raised in the thread that waits for the start
            started.set_exception(error)

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
        thread = threading.Thread(target=run, name=f"thebase-sandbox-{port}", daemon=True)
        thread.start()
        try:
            started.result()
            yield _url(host, port, "https" if ssl_certfile else "http")
        finally:
            stop.set_result(None)
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
