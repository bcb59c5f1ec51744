"""The server of the sandbox: it starts, and it stops at once."""

from __future__ import annotations

import asyncio
import gc
import re
import socket
import ssl
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.support.certificates import Tls
from tests.support.sandbox import bearer
from thebase_auth.testing import Sandbox
from thebase_auth.testing._server import serve

# --- serving any application ---


async def hello(request: Request) -> Response:
    return PlainTextResponse(f"{request.url.scheme} {request.scope['http_version']}")


async def never_respond(request: Request) -> None:
    request.app.state.arrived.set()
    await asyncio.Event().wait()


async def read_body(request: Request) -> Response:
    await request.body()
    raise AssertionError("unreachable")  # pragma: no cover


async def stream_for_ever(request: Request) -> Response:
    async def chunks() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 65_536

    return StreamingResponse(chunks())


@pytest.fixture
def app() -> Starlette:
    app = Starlette(
        routes=[
            Route("/", hello),
            Route("/never", never_respond, methods=["GET", "POST"]),
            Route("/stream", stream_for_ever, methods=["GET", "POST"]),
            Route("/upload", read_body, methods=["POST"]),
        ]
    )
    app.state.arrived = threading.Event()
    return app


def server_threads() -> list[str]:
    names = [thread.name for thread in threading.enumerate()]
    return [name for name in names if name.startswith("thebase-sandbox-")]


@pytest.fixture
def pem(tmp_path: Path) -> dict[str, str]:
    ca = trustme.CA()
    certificate = ca.issue_cert("localhost", "127.0.0.1")
    files = {name: str(tmp_path / f"{name}.pem") for name in ("ca", "certificate", "key")}
    ca.cert_pem.write_to_path(files["ca"])
    certificate.cert_chain_pems[0].write_to_path(files["certificate"])
    certificate.private_key_pem.write_to_path(files["key"])
    return files


def test_each_response_has_the_date_of_its_time(app: Starlette) -> None:
    with serve(app) as url, httpx.Client() as client:
        first = client.get(url).headers["date"]
        deadline = time.monotonic() + 10
        while client.get(url).headers["date"] == first:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_a_connection_serves_many_requests(app: Starlette) -> None:
    peers: set[Any] = set()

    async def remember_peer(scope: Scope, receive: Receive, send: Send) -> None:
        peers.add(tuple(scope["client"]))
        await app(scope, receive, send)

    with serve(remember_peer) as url, httpx.Client() as client:
        for _ in range(3):
            assert client.get(url).status_code == 200
    assert len(peers) == 1


def test_a_failing_application_is_logged_and_writes_nothing(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(scope: Scope, receive: Receive, send: Send) -> None:
        raise ValueError("broken")

    with serve(fail) as url:
        assert httpx.get(url).status_code == 500
    assert capfd.readouterr() == ("", "")
    [record] = caplog.records
    assert record.exc_info
    assert str(record.exc_info[1]) == "broken"


def test_the_sandbox_speaks_tls(pem: dict[str, str]) -> None:
    context = ssl.create_default_context(cafile=pem["ca"])
    with (
        Sandbox(ssl_certfile=pem["certificate"], ssl_keyfile=pem["key"]) as thebase,
        httpx.Client(base_url=thebase.domain, verify=context) as client,
    ):
        users = client.get("/v2/users", headers=bearer(thebase, client)).json()
        assert users["links"][0]["href"] == f"{thebase.domain}/v2/users"
        assert re.fullmatch(r"https://localhost:\d+", thebase.domain)
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            httpx.get(thebase.domain)


def test_an_unreadable_certificate_is_the_callers_error(app: Starlette, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), serve(app, ssl_certfile=str(tmp_path / "none")):
        raise AssertionError("unreachable")  # pragma: no cover


def test_a_start_that_fails_raises(app: Starlette, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(*args: object, **kwargs: object) -> None:
        raise OSError("too many open files")

    monkeypatch.setattr(asyncio.base_events.BaseEventLoop, "create_server", refuse)
    with pytest.raises(OSError, match="too many open files"), serve(app):
        raise AssertionError("unreachable")  # pragma: no cover
    assert not server_threads()


def test_hundreds_of_clients_may_connect_at_once(app: Starlette) -> None:
    with serve(app) as url:
        address = ("127.0.0.1", httpx.URL(url).port)
        # 300: both ends of each connection count against this process's limit of open files.
        clients = [socket.create_connection(address, timeout=10) for _ in range(300)]
        for client in clients:
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        for client in clients:
            with client, client.makefile("rb") as response:
                assert response.readline() == b"HTTP/1.1 200 OK\r\n"


# --- stopping; each test runs without TLS and with it ---


@pytest.fixture(params=["http", "https"])
def certificate(request: pytest.FixtureRequest, pem: dict[str, str]) -> Tls:
    if request.param == "http":
        return {}
    return {"ssl_certfile": pem["certificate"], "ssl_keyfile": pem["key"]}


@pytest.fixture
def plain(pem: dict[str, str]) -> Iterator[httpx.Client]:
    context = ssl.create_default_context(cafile=pem["ca"])
    with httpx.Client(verify=context) as client:
        yield client


@contextmanager
def serve_and_time_the_stop(app: ASGIApp, certificate: Tls) -> Iterator[str]:
    with serve(app, **certificate) as url:
        yield url
        started = time.monotonic()
    assert time.monotonic() - started < 1
    assert not server_threads()
    gc.collect()  # An unclosed socket or transport warns here, and warnings are errors.


def test_an_idle_connection_does_not_delay_the_stop(
    app: Starlette, certificate: Tls, plain: httpx.Client
) -> None:
    with serve_and_time_the_stop(app, certificate) as url:
        plain.get(url)
    with pytest.raises(httpx.TransportError):
        plain.get(url)


def test_a_silent_connection_does_not_delay_the_stop(
    app: Starlette, certificate: Tls, plain: httpx.Client
) -> None:
    with serve_and_time_the_stop(app, certificate) as url:
        silent = socket.create_connection(("127.0.0.1", httpx.URL(url).port), timeout=10)
        # Connections are accepted in turn: after the response to this one, the silent one is in.
        plain.get(url)
    with silent:
        assert silent.recv(1) == b""


def test_a_handler_that_never_responds_does_not_delay_the_stop(
    app: Starlette, certificate: Tls, plain: httpx.Client
) -> None:
    with ThreadPoolExecutor(1) as pool:
        with serve_and_time_the_stop(app, certificate) as url:
            waiting = pool.submit(plain.get, f"{url}/never")
            assert app.state.arrived.wait(10)
        assert isinstance(waiting.exception(), httpx.TransportError)


def test_a_reader_that_stops_reading_does_not_delay_the_stop(
    app: Starlette, certificate: Tls, plain: httpx.Client
) -> None:
    with serve_and_time_the_stop(app, certificate) as url:
        response = plain.send(plain.build_request("GET", f"{url}/stream"), stream=True)
    with pytest.raises(httpx.TransportError):
        response.read()


@pytest.mark.parametrize("path", ["/never", "/stream", "/upload"])
def test_a_stop_is_silent_whatever_is_under_way(
    app: Starlette, certificate: Tls, plain: httpx.Client, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    arrived = threading.Event()

    async def announce(scope: Scope, receive: Receive, send: Send) -> None:
        arrived.set()
        await app(scope, receive, send)

    with ThreadPoolExecutor(1) as pool:
        with serve_and_time_the_stop(announce, certificate) as url:
            stop_sending = threading.Event()

            def content() -> Iterator[bytes]:
                yield b"x"
                stop_sending.wait(10)

            waiting = pool.submit(plain.post, url + path, content=content())
            assert arrived.wait(10)
        stop_sending.set()
        assert isinstance(waiting.exception(), httpx.TransportError)
    assert caplog.records == []


def test_what_is_not_http_is_silent(app: Starlette, caplog: pytest.LogCaptureFixture) -> None:
    with serve(app) as url:
        with pytest.raises(httpx.ConnectError):
            httpx.get(url.replace("http", "https"))
        assert httpx.get(url, headers={"Connection": "Upgrade", "Upgrade": "h2c"}).status_code == 200
        with socket.create_connection(("127.0.0.1", httpx.URL(url).port), timeout=10) as client:
            client.sendall(b"hello\r\n\r\n")
            assert client.recv(12) == b"HTTP/1.1 400"
    assert caplog.records == []


def test_failed_tls_handshake_is_silent_under_asyncio_debug(
    app: Starlette, pem: dict[str, str], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONASYNCIODEBUG", "1")
    debugged: list[bool] = []

    async def look(scope: Scope, receive: Receive, send: Send) -> None:
        debugged.append(asyncio.get_running_loop().get_debug())
        await app(scope, receive, send)

    with serve(look, ssl_certfile=pem["certificate"], ssl_keyfile=pem["key"]) as url:
        with pytest.raises(httpx.ConnectError):
            httpx.get(url)
        with pytest.raises(httpx.RemoteProtocolError):
            httpx.get(url.replace("https", "http"))
        with httpx.Client(verify=ssl.create_default_context(cafile=pem["ca"])) as client:
            client.get(url)
    assert debugged == [False]
    assert [record for record in caplog.records if record.name == "asyncio"] == []


# --- without the extra ---


def test_without_uvicorn_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "thebase_auth.testing._server")
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(ImportError, match=r"install the extra 'testing'"):
        Sandbox().__enter__()


# --- a connection that is to be cut ---


async def reset(scope: Scope, receive: Receive, send: Send) -> None:
    raise ConnectionResetError("as if")


@pytest.mark.parametrize("secure", [False, True])
def test_an_application_that_resets_has_its_connection_cut(
    pem: dict[str, str], secure: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    tls: Tls = {"ssl_certfile": pem["certificate"], "ssl_keyfile": pem["key"]} if secure else {}
    with serve(reset, **tls) as url:
        context = ssl.create_default_context(cafile=pem["ca"])
        with httpx.Client(verify=context) as client:
            for _ in range(2):
                with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
                    client.post(url, content=b"x" * 100_000)
    assert capfd.readouterr() == ("", "")
