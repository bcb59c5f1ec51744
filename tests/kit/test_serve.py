"""The server of the sandbox: it starts, serves, and stops at once."""

from __future__ import annotations

import asyncio
import gc
import re
import socket
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from tests.support.certificates import Certificates, Tls
from tests.support.sandbox import bearer
from thebase_auth.testing import Sandbox
from thebase_auth.testing._server import serve

OK = {"type": "http.response.start", "status": 200, "headers": []}


class App:
    """Responds at once, or never, or without end, or drops the connection."""

    def __init__(self) -> None:
        self.arrived = threading.Event()
        self.peers: set[Any] = set()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.peers.add(tuple(scope["client"]))
        self.debugged = asyncio.get_running_loop().get_debug()
        self.arrived.set()
        match scope["path"]:
            case "/never":
                await asyncio.Event().wait()
            case "/upload":
                while (await receive())["type"] != "http.disconnect":
                    pass
                raise ConnectionResetError
            case "/reset":
                raise ConnectionResetError
            case "/fail":
                raise ValueError("broken")
        await send(OK)
        while scope["path"] == "/stream":
            await send({"type": "http.response.body", "body": b"x" * 65_536, "more_body": True})
        await send({"type": "http.response.body", "body": b"hello"})


@pytest.fixture
def app() -> App:
    return App()


@pytest.fixture(params=["http", "https"])
def tls(request: pytest.FixtureRequest, certificates: Certificates) -> Tls:
    return certificates.tls if request.param == "https" else {}


@pytest.fixture
def client(certificates: Certificates) -> Iterator[httpx.Client]:
    with httpx.Client(verify=certificates.context) as client:
        yield client


def server_threads() -> list[str]:
    return [one.name for one in threading.enumerate() if one.name.startswith("thebase-sandbox-")]


@contextmanager
def serve_and_time_the_stop(app: App, tls: Tls) -> Iterator[str]:
    with serve(app, **tls) as url:
        yield url
        started = time.monotonic()
    assert time.monotonic() - started < 1
    assert not server_threads()
    gc.collect()  # An unclosed socket or transport warns here, and warnings are errors.


def test_a_connection_serves_many_requests_each_with_the_date(app: App, client: httpx.Client) -> None:
    with serve(app) as url:
        first = client.get(url).headers["date"]
        deadline = time.monotonic() + 10
        while client.get(url).headers["date"] == first:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert len(app.peers) == 1


def test_a_failing_application_is_logged_and_writes_nothing(
    app: App, client: httpx.Client, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with serve(app) as url:
        assert client.get(f"{url}/fail").status_code == 500
    assert capfd.readouterr() == ("", "")
    [record] = caplog.records
    assert record.exc_info
    assert str(record.exc_info[1]) == "broken"


def test_a_defect_of_the_server_is_logged(app: App, caplog: pytest.LogCaptureFixture) -> None:
    def fail(head: bytes, error: str) -> str:
        raise ValueError("broken")

    with (
        serve(app, on_malformed=fail) as url,
        socket.create_connection(("127.0.0.1", httpx.URL(url).port)) as one,
    ):
        one.sendall(b"no HTTP\r\n\r\n")
        assert one.recv(1) == b""
    [record] = caplog.records
    assert (record.name, record.exc_info is None) == ("asyncio", False)


def test_an_application_may_drop_its_connection(
    app: App, tls: Tls, client: httpx.Client, capfd: pytest.CaptureFixture[str]
) -> None:
    with serve(app, **tls) as url:
        for _ in range(2):
            with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError)):
                client.post(f"{url}/reset", content=b"x" * 100_000)
    assert capfd.readouterr() == ("", "")


def test_the_sandbox_speaks_tls(client: httpx.Client, certificates: Certificates) -> None:
    with Sandbox(**certificates.tls) as thebase:
        assert re.fullmatch(r"https://localhost:\d+", thebase.domain)
        client.base_url = httpx.URL(thebase.domain)
        users = client.get("/v2/users", headers=bearer(thebase, client)).json()
        assert users["links"][0]["href"] == f"{thebase.domain}/v2/users"
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            httpx.get(thebase.domain)


def test_an_unreadable_certificate_is_the_callers_error(app: App) -> None:
    with pytest.raises(FileNotFoundError), serve(app, ssl_certfile="none"):
        raise AssertionError("unreachable")  # pragma: no cover


def test_a_start_that_fails_raises(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*args: object, **kwargs: object) -> None:
        raise OSError("too many open files")

    monkeypatch.setattr(asyncio.base_events.BaseEventLoop, "create_server", fail)
    with pytest.raises(OSError, match="too many open files"), serve(app):
        raise AssertionError("unreachable")  # pragma: no cover
    assert not server_threads()


def test_hundreds_of_clients_may_connect_at_once(app: App) -> None:
    with serve(app) as url:
        address = ("127.0.0.1", httpx.URL(url).port)
        # 300: both ends of each connection count against this process's limit of open files.
        clients = [socket.create_connection(address, timeout=10) for _ in range(300)]
        for client in clients:
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        for client in clients:
            with client, client.makefile("rb") as response:
                assert response.readline() == b"HTTP/1.1 200 OK\r\n"


def test_neither_an_idle_nor_a_silent_connection_delays_the_stop(
    app: App, tls: Tls, client: httpx.Client
) -> None:
    with serve_and_time_the_stop(app, tls) as url:
        silent = socket.create_connection(("127.0.0.1", httpx.URL(url).port), timeout=10)
        # Connections are accepted in turn: after the response to this one, the silent one is in.
        client.get(url)
    with silent:
        assert silent.recv(1) == b""
    with pytest.raises(httpx.TransportError):
        client.get(url)


@pytest.mark.parametrize("path", ["/never", "/stream", "/upload"])
def test_a_stop_is_silent_whatever_is_under_way(
    app: App, tls: Tls, client: httpx.Client, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    stop_sending = threading.Event()

    def content() -> Iterator[bytes]:
        yield b"x"
        stop_sending.wait(10)

    with ThreadPoolExecutor(1) as pool:
        with serve_and_time_the_stop(app, tls) as url:
            waiting = pool.submit(client.post, url + path, content=content())
            assert app.arrived.wait(10)
        stop_sending.set()
        assert isinstance(waiting.exception(), httpx.TransportError)
    assert caplog.records == []


def test_failed_tls_handshake_is_silent_under_asyncio_debug(
    app: App,
    certificates: Certificates,
    client: httpx.Client,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTHONASYNCIODEBUG", "1")
    with serve(app, **certificates.tls) as url:
        with pytest.raises(httpx.ConnectError):
            httpx.get(url)
        with pytest.raises(httpx.RemoteProtocolError):
            httpx.get(url.replace("https", "http"))
        client.get(url)
    assert not app.debugged
    assert [record for record in caplog.records if record.name == "asyncio"] == []


def test_without_uvicorn_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "thebase_auth.testing._server")
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(ImportError, match=r"install the extra 'testing'"):
        Sandbox().__enter__()
