"""What is no request, half of one or a huge one is recorded with its reason, and stops nothing."""

from __future__ import annotations

import errno
import itertools
import socket
import time
from collections.abc import Iterator
from queue import SimpleQueue
from typing import Any

import httpx
import pytest

from tests.support.sandbox import LEAD, bearer
from thebase_auth.testing import ReceivedRequest, Sandbox

HEAD = b"POST /v2/leads/create HTTP/1.1\r\nHost: x\r\n"
PAIR = ("LvTJmqtlvEKyuqvz1brRMg..", "kZ3mY0o7TqWc1uXv9sBf2Q..")  # of each sandbox
JSON, FORM = "application/json", "application/x-www-form-urlencoded"
CUT_SHORT = "the client closed the connection too early"


@pytest.fixture
def told() -> SimpleQueue[ReceivedRequest]:
    return SimpleQueue()


@pytest.fixture
def thebase(told: SimpleQueue[ReceivedRequest], caplog: pytest.LogCaptureFixture) -> Iterator[Sandbox]:
    """A sandbox that responds after the test, too, and has logged nothing."""
    with Sandbox(on_request=told.put) as sandbox:
        yield sandbox
        assert httpx.get(f"{sandbox.domain}/last").status_code == 404
        while told.get(timeout=10).path != "/last":
            pass
    assert caplog.records == []


def exchange(thebase: Sandbox, raw: bytes) -> bytes:
    """Send bytes and no more, and return all that comes back."""
    with socket.create_connection(("127.0.0.1", httpx.URL(thebase.domain).port), timeout=10) as connection:
        connection.sendall(raw)
        connection.shutdown(socket.SHUT_WR)
        with connection.makefile("rb") as response:
            return response.read()


@pytest.mark.parametrize(
    ("raw", "line", "he"),
    [
        ("GET /v2/users?q=דנה HTTP/1.1\r\nHost: x\r\n\r\n".encode(),
         "GET /v2/users?q=דנה 400 (the URL has characters that must be percent-encoded)", "לקודד"),
        (b"GET /v2/users?q=a b HTTP/1.1\r\nHost: x\r\n\r\n",
         "GET /v2/users?q=a b 400 (the URL has characters that must be percent-encoded)", "לקודד"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
         "- - 400 (TLS on a port without it; use http://)", "בלי TLS"),
        (b"GET /v2/users HTTP/1.1\r\nHost: x\r\nAuthorization Bearer secret\r\n\r\n",
         "GET /v2/users 400 (malformed HTTP: illegal header line)", "לא תקין"),
        (b"hello\r\n\r\n", "- - 400 (malformed HTTP: illegal request line)", "לא תקין"),
        (HEAD, f"POST /v2/leads/create without a response ({CUT_SHORT})", "סגר"),
        (b"hello", f"- - without a response ({CUT_SHORT})", "סגר"),
    ],
    ids=["Hebrew", "space", "TLS", "no header", "no HTTP", "half a head", "no line"],
)  # fmt: skip
def test_what_is_not_http_is_recorded_with_its_reason(
    thebase: Sandbox, told: SimpleQueue[ReceivedRequest], raw: bytes, line: str, he: str
) -> None:
    response = exchange(thebase, raw)
    received = told.get(timeout=10)
    assert thebase.received == (received,)
    assert (str(received), received.headers, received.body) == (line, {}, b"")
    assert he in getattr(received.reason, "he", "")
    assert time.time() - 60 < received.at <= time.time()
    assert response[:12] == (b"HTTP/1.1 400" if received.status else b"")
    assert not received.status or received.reason.encode() in response


@pytest.mark.parametrize(
    ("raw", "status", "reason"),
    [
        (HEAD + b"Content-Length: 10\r\n\r\nabc", None, CUT_SHORT),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nsecret\r\n", 400,
         "malformed HTTP: illegal chunk header"),
    ],
)  # fmt: skip
def test_a_request_without_its_whole_body_is_recorded_and_not_carried_out(
    thebase: Sandbox, told: SimpleQueue[ReceivedRequest], raw: bytes, status: int | None, reason: str
) -> None:
    response = exchange(thebase, raw)
    received = told.get(timeout=10)
    assert thebase.received == (received,)
    assert (received.path, received.status, received.reason) == ("/v2/leads/create", status, reason)
    assert (received.body, received.headers["host"]) == (b"abc", "x")
    assert reason.encode() in response if status else response == b""


def test_what_follows_a_request_is_ignored(thebase: Sandbox) -> None:
    address = ("127.0.0.1", httpx.URL(thebase.domain).port)
    with socket.create_connection(address, timeout=10) as connection, connection.makefile("rb") as response:
        with thebase.hold_token_requests():
            connection.sendall(b"POST /oauth/token HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            thebase.wait_for_token_requests(1)
            connection.sendall(b"\r\nmore\r\n")
            exchange(thebase, b"no HTTP\r\n\r\n")  # after this response, the rest has been read, too
        assert response.readline() == b"HTTP/1.1 401 Unauthorized\r\n"
        assert response.read().endswith(b"</html>\n".ljust(466_909, b"\r"))


def test_the_absolute_form_of_a_url_is_that_of_its_path(thebase: Sandbox, client: httpx.Client) -> None:
    token = bearer(thebase, client)["Authorization"].encode()
    for target in (b"http://127.0.0.1:80/v2/users?limit=1", b"http://a"):
        exchange(thebase, b"GET %b HTTP/1.1\r\nHost: x\r\nAuthorization: %b\r\n\r\n" % (target, token))
    _, users, root = thebase.received
    assert (users.path, users.status, users.headers["host"]) == ("/v2/users?limit=1", 200, "127.0.0.1:80")
    assert (root.path, root.headers["host"]) == ("/", "a")


@pytest.mark.thebase_allow_unused
@pytest.mark.parametrize(
    ("method", "path", "options", "status"),
    [
        ("GET", "/" + "a" * 15_000, {}, 404),
        ("GET", "/v2/users?limit=" + "9" * 15_000, {}, 400),
        ("GET", "/v2/users?" + "a=1&" * 3900, {}, 400),
        ("POST", "/oauth/token", {"auth": PAIR, "content": b"grant_type=a&" * 10**6}, 400),
        ("POST", "/v2/leads/create", {"content": b"[{" * 30_000}, 413),
        ("POST", "/v2/leads/create", {"content": b"1" * 5 * 2**20}, 413),
        ("POST", "/v2/leads/create", {"content": b'{"name": [' + b"1," * 10**6 + b"1]}"}, 413),
        ("GET", "/v2/users", {"headers": {"Authorization": "Bearer " + "a" * 15_000}}, 401),
    ],
    ids=lambda value: str(value)[:20],
)  # fmt: skip
def test_no_request_takes_long(
    thebase: Sandbox, api: httpx.Client, method: str, path: str, options: dict[str, Any], status: int
) -> None:
    thebase.answer_next("GET /" + "*a" * 100 + "b", 503)
    api.headers["Content-Type"] = JSON if path.startswith("/v2") else FORM
    started = time.monotonic()
    assert api.request(method, path, **options).status_code == status
    assert time.monotonic() - started < 1


@pytest.mark.thebase_allow_unused
def test_levers_that_wait_and_leads_to_search_are_limited(
    thebase: Sandbox, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(1000):
        thebase.answer_next("/none", 503, times=10**12)
    with pytest.raises(ValueError, match="1000 levers wait for requests already; reset"):
        thebase.answer_next("/none", 503)
    monkeypatch.setattr("thebase_auth.testing._records._MOST_PEOPLE", 2)
    thebase.reset()
    client.headers.update(bearer(thebase, client))
    for _ in range(3):
        client.post("/v2/leads/create", json=LEAD)
    assert client.post("/v2/search/leadsAndAccounts", json={"name": LEAD["name"]}).json()["count"] == 2


@pytest.mark.timeout(30)
def test_one_line_says_that_there_are_no_file_descriptors(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    accept, calls = socket.socket.accept, itertools.count()

    def fail_at_first(listener: socket.socket) -> Any:
        if next(calls) < 4096:  # as often as asyncio calls it at once; then it waits for a second
            raise OSError(errno.EMFILE, "Too many open files")
        return accept(listener)

    monkeypatch.setattr(socket.socket, "accept", fail_at_first)
    with Sandbox() as thebase:
        assert httpx.get(f"{thebase.domain}/v2/users").status_code == 401
    assert caplog.messages == ["the sandbox cannot accept connections: Too many open files"]
