"""The sandbox with a port and without: the plugin sees the same TheBase, whatever carries it."""

from __future__ import annotations

import asyncio
import json
import pickle
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import Any
from wsgiref.validate import validator

import httpx
import httpx2
import pytest
import requests
import trio
from starlette.applications import Starlette
from starlette.routing import Mount

from tests.support.sandbox import JSON, LEAD
from thebase_auth import TheBaseAuth
from thebase_auth.testing import Sandbox

DOMAIN = "https://acme.thebase.co.il"


@dataclass
class Carrier:
    """A way to call the sandbox: one request in, status, header fields and body out."""

    send: Callable[..., tuple[int, dict[str, str], bytes]]
    domain: str
    dropped: type[Exception]


Opened = Iterator[Carrier]


def told(response: Any) -> tuple[int, dict[str, str], bytes]:
    fields = {name.lower(): value for name, value in response.headers.items()}
    return response.status_code, fields, response.content


def through(client: Any, domain: str, dropped: type[Exception]) -> Carrier:
    def send(method: str, path: str, **options: Any) -> tuple[int, dict[str, str], bytes]:
        return told(client.request(method, domain + path, headers=JSON, **options))

    return Carrier(send, domain, dropped)


def auth_for(thebase: Sandbox, domain: str = DOMAIN, **options: Any) -> TheBaseAuth:
    return TheBaseAuth(domain, thebase.client_id, thebase.client_secret, **options)


@contextmanager
def requests_port(thebase: Sandbox) -> Opened:
    with thebase, requests.Session() as session:
        session.auth = auth_for(thebase, thebase.domain)
        yield through(session, thebase.domain, requests.ConnectionError)


@contextmanager
def requests_adapter(thebase: Sandbox) -> Opened:
    with requests.Session() as session:
        session.mount(DOMAIN, thebase.requests_adapter())
        session.auth = auth_for(thebase, session=session)
        yield through(session, DOMAIN, requests.ConnectionError)


@contextmanager
def httpx_port(thebase: Sandbox) -> Opened:
    with thebase, httpx.Client(auth=auth_for(thebase, thebase.domain)) as client:
        yield through(client, thebase.domain, httpx.TransportError)


def wsgi(library: Any) -> Callable[[Sandbox], Any]:
    @contextmanager
    def mounted(thebase: Sandbox) -> Opened:
        transport = library.WSGITransport(app=validator(thebase.wsgi))
        with library.Client(auth=auth_for(thebase), transport=transport) as client:
            yield through(client, DOMAIN, library.RemoteProtocolError)

    return mounted


def asgi(library: Any, run: Callable[..., Any]) -> Callable[[Sandbox], Any]:
    @contextmanager
    def mounted(thebase: Sandbox) -> Opened:
        auth = auth_for(thebase)

        def send(method: str, path: str, **options: Any) -> tuple[int, dict[str, str], bytes]:
            async def call() -> Any:
                transport = library.ASGITransport(app=thebase.asgi)
                async with library.AsyncClient(auth=auth, transport=transport) as client:
                    return await client.request(method, DOMAIN + path, headers=JSON, **options)

            return told(run(call))

        yield Carrier(send, DOMAIN, library.RemoteProtocolError)

    return mounted


def run_asyncio(function: Callable[[], Any]) -> Any:
    return asyncio.run(function())


CARRIERS = {
    "requests, port": requests_port,
    "requests, adapter": requests_adapter,
    "httpx, port": httpx_port,
    "httpx, WSGI": wsgi(httpx),
    "httpx2, WSGI": wsgi(httpx2),
    "httpx, ASGI, asyncio": asgi(httpx, run_asyncio),
    "httpx, ASGI, trio": asgi(httpx, trio.run),
    "httpx2, ASGI, trio": asgi(httpx2, trio.run),
}


@pytest.fixture
def sandbox() -> Sandbox:
    """A sandbox that nobody has started."""
    return Sandbox()


@pytest.fixture(params=CARRIERS)
def carrier(request: pytest.FixtureRequest, sandbox: Sandbox) -> Opened:
    with CARRIERS[request.param](sandbox) as opened:
        yield opened


def test_a_call_is_answered_alike(carrier: Carrier, sandbox: Sandbox) -> None:
    status, headers, body = carrier.send("GET", "/v2/users?limit=1&q=%D7%90")
    document = json.loads(body)
    links = {link["rel"]: link["href"] for link in document["links"]}
    assert (status, headers["content-type"]) == (200, "application/json")
    assert headers["content-length"] == str(len(body))
    assert document["items"][0]["name"] == "משה"
    assert links["self"] == f"{carrier.domain}/v2/users?limit=1&q=%D7%90"
    assert links["next"] == f"{carrier.domain}/v2/users?limit=1&q=%D7%90&offset=1"
    sandbox.assert_received("GET /v2/users", times=1, status=200)


def test_a_path_is_decoded(carrier: Carrier, sandbox: Sandbox) -> None:
    status, headers, body = carrier.send("GET", "/v2/%D7%90%20b")
    assert (status, json.loads(body)["code"]) == (404, "NotFound")
    assert headers["content-type"] == "application/problem+json"
    assert str(sandbox.received[-1]) == "GET /v2/א b 404 (no such call)"


def test_a_revoked_token_is_renewed_and_the_body_sent_again(carrier: Carrier, sandbox: Sandbox) -> None:
    carrier.send("POST", "/v2/leads/create", json=LEAD)
    sandbox.revoke_tokens()
    status, _, body = carrier.send("POST", "/v2/leads/create", json=LEAD)
    assert (status, json.loads(body)["message"]) == (201, "הליד נוצר בהצלחה")
    assert [str(one) for one in sandbox.received] == [
        "POST /oauth/token 200",
        "POST /v2/leads/create 201",
        "POST /v2/leads/create 401 (revoked token)",
        "POST /oauth/token 200",
        "POST /v2/leads/create 201",
    ]
    sandbox.assert_received("POST /v2/leads/create", times=3, json=LEAD)


def test_a_dropped_connection_is_an_exception(carrier: Carrier, sandbox: Sandbox) -> None:
    carrier.send("GET", "/v2/users")
    sandbox.drop_next("GET /v2/users")
    with pytest.raises(carrier.dropped):
        carrier.send("GET", "/v2/users")
    assert carrier.send("GET", "/v2/users")[0] == 200


def test_a_delayed_answer_arrives(carrier: Carrier, sandbox: Sandbox) -> None:
    sandbox.delay_next("*", 0.01, times=2)
    assert carrier.send("GET", "/v2/users")[0] == 200


def test_an_unusual_status_is_passed_on(carrier: Carrier, sandbox: Sandbox) -> None:
    sandbox.answer_next("GET *", 555, "<h1>!</h1>", "text/html", headers={"X-Why": "a"})
    status, headers, body = carrier.send("GET", "/v2/users")
    assert (status, headers["x-why"], body) == (555, "a", b"<h1>!</h1>")


def test_head_has_no_body(carrier: Carrier) -> None:
    status, headers, body = carrier.send("HEAD", "/v2/users")
    assert (status, body) == (200, b"")
    assert int(headers["content-length"]) > 0


@pytest.mark.parametrize("body", [
    b"{}", "{}", BytesIO(b"{}"), (part for part in [b"{", b"}"]), ["{", "}"], None,
], ids=["bytes", "text", "file", "generator", "list", "none"])  # fmt: skip
def test_the_adapter_of_requests_reads_bodies_of_every_kind(body: Any) -> None:
    thebase = Sandbox()
    with requests.Session() as session:
        session.mount("https://", thebase.requests_adapter())
        if isinstance(body, list):
            prepared = requests.Request("POST", DOMAIN).prepare()
            prepared.body = iter(body)  # type: ignore[assignment]
            session.send(prepared)
        else:
            session.post(DOMAIN, data=body)
    assert thebase.received[0].body == (b"" if body is None else b"{}")


def test_a_file_is_read_from_where_it_stands() -> None:
    thebase = Sandbox()
    file = BytesIO(b"once {}")
    file.seek(5)
    with requests.Session() as session:
        session.mount("https://", thebase.requests_adapter())
        session.post(DOMAIN, data=file)
    assert thebase.received[0].body == b"{}"


def test_a_wsgi_server_is_not_read_beyond_the_end_of_a_request() -> None:
    class Endless(BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            assert size is not None
            assert size >= 0, "a server would wait here"
            return super().read(size)

    def call(**environ: Any) -> str:
        said: list[str] = []
        base = {"REQUEST_METHOD": "GET", "PATH_INFO": "/v2/users", "wsgi.url_scheme": "http",
                "SERVER_NAME": "x", "SERVER_PORT": "80", "wsgi.input": Endless(b"{}more")}  # fmt: skip
        list(thebase.wsgi({**base, **environ}, lambda status, headers, *_: said.append(status)))  # type: ignore[arg-type]
        return said[0]

    thebase = Sandbox()
    assert call() == "401 Unauthorized"
    assert call(CONTENT_LENGTH="2", REQUEST_METHOD="POST", SCRIPT_NAME="/il") == "401 Unauthorized"
    assert [one.body for one in thebase.received] == [b"", b"{}"]


def test_under_a_path_of_another_application_it_answers_as_at_the_root() -> None:
    thebase = Sandbox()
    app = Starlette(routes=[Mount("/il", app=thebase.asgi)])

    async def users() -> list[str]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://crm") as client:
            pair = (thebase.client_id, thebase.client_secret)
            grant = {"grant_type": "client_credentials"}
            answer = await client.post("/il/oauth/token", auth=pair, data=grant)
            token = {"Authorization": f"Bearer {answer.json()['access_token']}"}
            called = await client.get("/il/v2/users", headers=token)
            return [link["href"] for link in called.json()["links"]]

    assert asyncio.run(users())[0] == "http://crm/il/v2/users"
    assert [str(one) for one in thebase.received] == ["POST /oauth/token 200", "GET /v2/users 200"]


def test_the_application_survives_lifespan_events() -> None:
    events = iter(["lifespan.startup", "lifespan.shutdown"])
    sent: list[str] = []

    async def run() -> None:
        async def receive() -> dict[str, Any]:
            return {"type": next(events)}

        async def send(message: Any) -> None:
            sent.append(message["type"])

        await Sandbox().asgi({"type": "lifespan", "asgi": {}, "state": {}}, receive, send)

    asyncio.run(run())
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


@pytest.mark.parametrize("run", [run_asyncio, trio.run], ids=["asyncio", "trio"])
def test_a_caller_cancelled_while_its_token_request_is_held_leaves_the_sandbox_at_work(
    run: Callable[..., Any], sandbox: Sandbox
) -> None:
    import anyio

    async def call() -> int:
        transport = httpx.ASGITransport(sandbox.asgi)
        async with httpx.AsyncClient(auth=auth_for(sandbox), transport=transport) as client:
            with sandbox.hold_token_requests():
                with anyio.move_on_after(0.05):
                    await client.get(f"{DOMAIN}/v2/users")
                assert [one.status for one in sandbox.received] == [None]
            return (await client.get(f"{DOMAIN}/v2/users", headers=JSON)).status_code

    assert run(call) == 200


def half_a_lead() -> Iterator[bytes]:
    yield json.dumps(LEAD).encode()
    raise RuntimeError("the rest cannot be read")


@pytest.mark.parametrize("library", [requests, httpx], ids=lambda library: library.__name__)
def test_a_request_that_breaks_off_does_nothing_however_whole_it_looks(library: Any) -> None:
    body = {"data" if library is requests else "content": half_a_lead()}
    with Sandbox() as thebase:
        auth = auth_for(thebase, thebase.domain)
        library.get(f"{thebase.domain}/v2/users", auth=auth)
        with pytest.raises(RuntimeError, match="cannot be read"):
            library.post(f"{thebase.domain}/v2/leads/create", auth=auth, **body)
        library.get(f"{thebase.domain}/v2/users", auth=auth)
        found = requests.post(
            f"{thebase.domain}/v2/search/leadsAndAccounts", auth=auth, json={"name": LEAD["name"]}
        )
    assert found.json()["count"] == 0
    assert thebase.calls("POST /v2/leads/create") == ()


def test_a_wsgi_request_that_breaks_off_does_nothing(sandbox: Sandbox) -> None:
    environ = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/v2/leads/create",
        "CONTENT_LENGTH": "100",
        "wsgi.input": BytesIO(b"{}"),
        "wsgi.url_scheme": "https",
        "HTTP_HOST": "acme.thebase.co.il",
    }
    with pytest.raises(ConnectionResetError, match="ended before the request did"):
        sandbox.wsgi(environ, lambda *_: lambda _: None)
    assert sandbox.received == ()


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_that_has_no_body_has_none_on_any_way(
    carrier: Carrier, sandbox: Sandbox, status: int
) -> None:
    sandbox.answer_next("GET /v2/users", status, "a body all the same")
    assert carrier.send("GET", "/v2/users")[::2] == (status, b"")


def test_a_session_without_a_port_keeps_the_cookies_that_an_answer_sets(sandbox: Sandbox) -> None:
    sandbox.answer_next("/a", 401, headers={"Set-Cookie": "route=7; Path=/"})
    with requests.Session() as session:
        session.mount(DOMAIN, sandbox.requests_adapter())
        answer = session.get(f"{DOMAIN}/a", headers={"Accept": b"application/json"})
        session.get(f"{DOMAIN}/b")
    assert (dict(answer.cookies), dict(session.cookies)) == ({"route": "7"}, {"route": "7"})
    assert sandbox.received[-1].headers["cookie"] == "route=7"


@pytest.mark.parametrize("body", [bytearray(b"{}"), memoryview(b"{}"), BytesIO(b"{}"), [b"{", "}"]])
def test_a_session_without_a_port_sends_any_kind_of_body(sandbox: Sandbox, body: Any) -> None:
    with requests.Session() as session:
        session.mount(DOMAIN, sandbox.requests_adapter())
        session.post(f"{DOMAIN}/a", data=iter(body) if isinstance(body, list) else body)
    assert sandbox.received[0].body == b"{}"


def test_a_session_without_a_port_cannot_be_pickled_and_says_why(sandbox: Sandbox) -> None:
    with pytest.raises(TypeError, match="its sandbox lives in this process"):
        pickle.dumps(sandbox.requests_adapter())


@pytest.mark.parametrize("other", [httpx2, None], ids=["an alias", "blocked"])
def test_a_dropped_connection_is_one_error_where_httpx_is_another_or_none(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, other: Any
) -> None:
    sandbox.drop_next("*")
    with httpx2.Client(transport=httpx2.WSGITransport(app=sandbox.wsgi)) as client:
        monkeypatch.setitem(sys.modules, "httpx", other)
        with pytest.raises(httpx2.RemoteProtocolError, match="asked to drop"):
            client.get(f"{DOMAIN}/v2/users")
