"""The sandbox answers as the vendor documents, over real HTTP, and stops at once."""

from __future__ import annotations

import asyncio
import gc
import importlib.util
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
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from thebase_auth.testing import Sandbox, serve

GRANT = {"grant_type": "client_credentials"}
JSON = {"Accept": "application/json"}
LEAD = {"name": "ישראל", "f_name": "ישראלי", "phone": "0501234567"}
ACCOUNT = {"name": "דנה", "f_name": "כהן", "status": "17", "phone": "0501234567"}
PRODUCT = {"name": "מוצר", "price": 10, "is_active": "Y", "category": "1"}


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")


@pytest.fixture
def thebase() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def client(thebase: Sandbox) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=thebase.domain, headers=JSON) as client:
        yield client


def ask_token(thebase: Sandbox, client: httpx.Client) -> httpx.Response:
    return client.post("/oauth/token", auth=(thebase.client_id, thebase.client_secret), data=GRANT)


def bearer(thebase: Sandbox, client: httpx.Client) -> dict[str, str]:
    return {"Authorization": f"Bearer {ask_token(thebase, client).json()['access_token']}"}


@pytest.fixture
def signed(thebase: Sandbox, client: httpx.Client) -> httpx.Client:
    client.headers.update(bearer(thebase, client))
    return client


def assert_problem(response: httpx.Response, status: int, code: str, message: str) -> None:
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert re.fullmatch(r"tag:oracle\.com,2020:ecid/[\w-]{22}", problem.pop("instance"))
    assert problem == {
        "code": code,
        "message": message,
        "type": f"tag:oracle.com,2020:error/{code}",
    }


# --- the token endpoint ---


def test_right_credentials_get_a_token(thebase: Sandbox, client: httpx.Client) -> None:
    response = ask_token(thebase, client)
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    answer = response.json()
    assert re.fullmatch(r"[\w-]{22}", answer.pop("access_token"))
    assert answer == {"token_type": "bearer", "expires_in": 3600}


@pytest.mark.parametrize("expires_in", [60, "3600", 1.5, None, -1, [], {"a": 1}])
def test_expires_in_is_said_as_given_and_may_change(expires_in: object) -> None:
    with Sandbox(expires_in=expires_in) as thebase, httpx.Client(base_url=thebase.domain) as client:
        assert ask_token(thebase, client).json()["expires_in"] == expires_in
        thebase.expires_in = 7
        assert ask_token(thebase, client).json()["expires_in"] == 7


@pytest.mark.parametrize("pair", [("LvTJmqtlvEKyuqvz1brRMg..", "wrong"), ("wrong", "kZ3m..")])
def test_wrong_credentials_get_a_problem_document(
    client: httpx.Client, pair: tuple[str, str]
) -> None:
    response = client.post("/oauth/token", auth=pair, data=GRANT)
    assert_problem(response, 401, "Unauthorized", "Unauthorized")


def test_wrong_credentials_get_a_page_without_accept_json(client: httpx.Client) -> None:
    headers = {"Accept": "*/*"}
    response = client.post("/oauth/token", auth=("a", "b"), data=GRANT, headers=headers)
    assert response.status_code == 401
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.text.startswith("<!DOCTYPE html>")


def test_credentials_in_the_body_are_refused(thebase: Sandbox, client: httpx.Client) -> None:
    pair = {"client_id": thebase.client_id, "client_secret": thebase.client_secret}
    assert client.post("/oauth/token", data={**GRANT, **pair}).status_code == 401


def test_credentials_under_another_scheme_are_refused(
    thebase: Sandbox, client: httpx.Client
) -> None:
    request = client.build_request("POST", "/oauth/token", data=GRANT)
    basic = next(
        httpx.BasicAuth(thebase.client_id, thebase.client_secret).auth_flow(request)
    ).headers["Authorization"]
    request.headers["Authorization"] = basic.replace("Basic", "Bearer")
    assert client.send(request).status_code == 401


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({}, "invalid_request"),
        ({"grant_type": ""}, "invalid_request"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": ["client_credentials", "password"]}, "unsupported_grant_type"),
    ],
)
def test_any_other_grant_type_is_an_oauth_error(
    thebase: Sandbox, client: httpx.Client, form: dict[str, Any], error: str
) -> None:
    pair = (thebase.client_id, thebase.client_secret)
    response = client.post("/oauth/token", auth=pair, data=form)
    assert (response.status_code, response.json()) == (400, {"error": error})


def test_a_grant_type_that_is_not_urlencoded_is_not_read(
    thebase: Sandbox, client: httpx.Client
) -> None:
    pair = (thebase.client_id, thebase.client_secret)
    response = client.post("/oauth/token", auth=pair, json=GRANT)
    assert (response.status_code, response.json()) == (400, {"error": "invalid_request"})


def test_the_token_endpoint_takes_only_post(thebase: Sandbox, client: httpx.Client) -> None:
    response = client.get("/oauth/token")
    assert_problem(response, 405, "MethodNotAllowed", "Method Not Allowed")
    assert response.headers["allow"] == "POST"
    assert thebase.token_requests == 0


def test_another_pair_of_credentials_may_be_chosen_and_changed() -> None:
    with (
        Sandbox(client_id="-id", client_secret="ס:od") as thebase,
        httpx.Client(base_url=thebase.domain) as client,
    ):
        old = (thebase.client_id, thebase.client_secret)
        assert ask_token(thebase, client).status_code == 200
        thebase.client_secret = "new"
        assert ask_token(thebase, client).status_code == 200
        assert client.post("/oauth/token", auth=old, data=GRANT).status_code == 401


# --- what a token is good for ---


def test_several_tokens_live_at_once(thebase: Sandbox, client: httpx.Client) -> None:
    first, second = bearer(thebase, client), bearer(thebase, client)
    assert first != second
    assert client.get("/v2/users", headers=first).status_code == 200
    assert client.get("/v2/users", headers=second).status_code == 200


def test_a_single_token_ends_the_one_before() -> None:
    with (
        Sandbox(single_token=True) as thebase,
        httpx.Client(base_url=thebase.domain) as client,
    ):
        first, second = bearer(thebase, client), bearer(thebase, client)
        assert client.get("/v2/users", headers=first).status_code == 401
        assert client.get("/v2/users", headers=second).status_code == 200


def test_revoked_tokens_are_refused_and_new_ones_accepted(
    thebase: Sandbox, client: httpx.Client
) -> None:
    old = [bearer(thebase, client), bearer(thebase, client)]
    thebase.revoke_tokens()
    assert [client.get("/v2/users", headers=token).status_code for token in old] == [401, 401]
    assert client.get("/v2/users", headers=bearer(thebase, client)).status_code == 200


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer x", "Basic YTpi"])
@pytest.mark.parametrize("path", ["/v2/users", "/v2/no/such/path"])
def test_a_call_without_a_live_token_gets_a_problem_document(
    client: httpx.Client, path: str, authorization: str | None
) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    response = client.get(path, headers=headers)
    assert_problem(response, 401, "Unauthorized", "Unauthorized")
    assert response.headers["www-authenticate"] == (
        'Bearer realm="Oracle REST Data Services", error="invalid_token"'
    )


def test_a_refused_call_gets_a_huge_page_without_accept_json(client: httpx.Client) -> None:
    response = client.get("/v2/users", headers={"Accept": "text/html"})
    assert response.status_code == 401
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert len(response.content) == 467_009


# --- the calls ---


def test_users_are_a_collection(thebase: Sandbox, signed: httpx.Client) -> None:
    response = signed.get("/v2/users?limit=25")
    assert response.status_code == 200
    assert "משה" in response.content.decode()
    assert response.json() == {
        "items": [
            {
                "id": "253960413951646409173244928790043995930",
                "name": "משה",
                "is_active": "Y",
                "created": "2021-04-03T00:00:00Z",
            }
        ],
        "hasMore": False,
        "limit": 25,
        "offset": 0,
        "count": 1,
        "links": [
            {"rel": "self", "href": f"{thebase.domain}/v2/users?limit=25"},
            {"rel": "describedby", "href": f"{thebase.domain}/metadata-catalog/v2/users"},
            {"rel": "first", "href": f"{thebase.domain}/v2/users?limit=25"},
        ],
    }


def test_lead_statuses_are_a_list_without_has_more(thebase: Sandbox, signed: httpx.Client) -> None:
    response = signed.get("/v2/leads/statuses")
    assert response.status_code == 200
    assert response.json() == {
        "items": [
            {"id": "233069071553535427697228277840563827497", "name": "💫 חדש", "is_active": "Y"}
        ],
        "first": {"$ref": f"{thebase.domain}/v2/leads/statuses"},
    }


@pytest.mark.parametrize(
    ("path", "body", "answer"),
    [
        (
            "/v2/leads/create",
            LEAD,
            {
                "lead_status": "233069071553535427697228277840563827497",
                "message": "הליד נוצר בהצלחה",
            },
        ),
        (
            "/v2/accounts/create",
            ACCOUNT,
            {"account_status": "17", "message": "הלקוח נוצר בהצלחה"},
        ),
        ("/v2/notes/create", {"msg": "א" * 4000}, {"message": "ההערה נוצרה בהצלחה"}),
        ("/v2/products/create", PRODUCT, {"message": "המוצר נוצר בהצלחה"}),
    ],
)
def test_what_is_created_gets_an_id_and_a_message(
    signed: httpx.Client, path: str, body: dict[str, Any], answer: dict[str, str]
) -> None:
    response = signed.post(path, json=body)
    assert response.status_code == 201
    assert answer["message"] in response.content.decode()
    created = response.json()
    number = created.pop("id")
    assert re.fullmatch(r"\d{39}", number)
    assert int(number) < 2**128
    assert created == answer


@pytest.mark.parametrize(
    ("path", "body", "key"),
    [
        (path, body, key)
        for path, body, required in [
            ("/v2/leads/create", LEAD, ["name", "f_name", "phone"]),
            ("/v2/accounts/create", ACCOUNT, ["name", "f_name", "status"]),
            ("/v2/notes/create", {"msg": "a"}, ["msg"]),
            ("/v2/products/create", PRODUCT, ["name", "price", "is_active", "category"]),
        ]
        for key in required
    ],
)
def test_a_missing_key_is_named(
    signed: httpx.Client, path: str, body: dict[str, Any], key: str
) -> None:
    without = {name: value for name, value in body.items() if name != key}
    for lacking in (without, {**body, key: None}, {**body, key: ""}):
        assert_problem(signed.post(path, json=lacking), 400, "BadRequest", f"{key} is required")


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[]", b'"name"', b"null"])
def test_a_body_that_is_no_json_object_is_refused(signed: httpx.Client, body: bytes) -> None:
    response = signed.post("/v2/leads/create", content=body)
    assert_problem(response, 400, "BadRequest", "the body is not a JSON object")


def test_a_note_is_no_longer_than_4000_characters(signed: httpx.Client) -> None:
    response = signed.post("/v2/notes/create", json={"msg": "א" * 4001})
    assert_problem(response, 400, "BadRequest", "msg is longer than 4000 characters")


def test_search_finds_what_matches_every_key(signed: httpx.Client) -> None:
    lead = signed.post("/v2/leads/create", json={**LEAD, "id": "7"}).json()
    account = signed.post("/v2/accounts/create", json={**ACCOUNT, "email": "d@x.il"}).json()

    def found(**wanted: object) -> list[str]:
        response = signed.post("/v2/search/leadsAndAccounts", json=wanted)
        assert response.status_code == 201
        assert response.json()["count"] == len(response.json()["results"])
        return [result["id"] for result in response.json()["results"]]

    assert found(phone="0501234567") == [lead["id"], account["id"]]
    assert found(phone="0501234567", name="דנה") == [account["id"]]
    assert found(phone="0501234567", name="דן") == []
    assert found(object_type="LEADS") == [lead["id"]]
    assert found() == []


def test_search_results_have_the_documented_keys(signed: httpx.Client) -> None:
    account = signed.post("/v2/accounts/create", json=ACCOUNT).json()
    answer = signed.post("/v2/search/leadsAndAccounts", json={"name": "דנה"}).json()
    [result] = answer["results"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", result["created"])
    assert result == {
        "id": account["id"],
        "object_type": "ACCOUNTS",
        "created": result["created"],
        "updated": result["created"],
        "name": "דנה",
        "phone": "0501234567",
        "email": None,
    }


def test_a_product_can_be_read_until_it_is_deleted(signed: httpx.Client) -> None:
    number = signed.post("/v2/products/create", json=PRODUCT).json()["id"]
    path = f"/v2/products/{number}"
    collection = signed.get(path).json()
    assert collection["items"] == [{**PRODUCT, "id": number}]
    assert collection["count"] == 1

    deleted = signed.delete(path)
    assert (deleted.status_code, deleted.content) == (200, b"")
    assert_problem(signed.get(path), 404, "NotFound", "Not Found")
    assert_problem(signed.delete(path), 404, "NotFound", "Not Found")


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/", 404, None),
        ("GET", "/v2", 404, None),
        ("GET", "/v2/no/such/path", 404, None),
        ("GET", "/v2/users/", 404, None),
        ("POST", "/oauth/token/", 404, None),
        ("POST", "/v2/users", 405, {"GET", "HEAD"}),
        ("PUT", "/v2/products/1", 405, {"GET", "HEAD", "DELETE"}),
    ],
)
def test_unknown_paths_and_wrong_methods_get_problem_documents(
    signed: httpx.Client, method: str, path: str, status: int, allow: set[str] | None
) -> None:
    response = signed.request(method, path)
    phrase = {404: "Not Found", 405: "Method Not Allowed"}[status]
    assert_problem(response, status, phrase.replace(" ", ""), phrase)
    assert ("allow" in response.headers) == (allow is not None)
    assert set(response.headers.get("allow", "").split(", ")) - {""} == (allow or set())


# --- what is told of requests ---


def test_every_answered_request_is_recorded(thebase: Sandbox, client: httpx.Client) -> None:
    client.post("/v2/leads/create?a=%D7%90", content=b"body", headers={"X-One": "1"})
    ask_token(thebase, client)
    client.get("/v2/%D7%90")
    refused, token, unknown = thebase.received
    assert (refused.method, refused.path) == ("POST", "/v2/leads/create?a=%D7%90")
    assert (refused.status, refused.body, refused.headers["x-one"]) == (401, b"body", "1")
    assert (token.method, token.path, token.status) == ("POST", "/oauth/token", 200)
    assert token.body == b"grant_type=client_credentials"
    assert (unknown.method, unknown.path, unknown.status) == ("GET", "/v2/א", 401)


def test_calls_are_chosen_by_path_without_query(thebase: Sandbox, client: httpx.Client) -> None:
    client.get("/v2/users?offset=1")
    client.get("/v2/users", headers=bearer(thebase, client))
    assert [call.status for call in thebase.calls("/v2/users")] == [401, 200]
    assert thebase.calls("/v2/users?offset=1") == ()


def test_token_requests_are_counted_whatever_they_get(
    thebase: Sandbox, client: httpx.Client
) -> None:
    ask_token(thebase, client)
    client.post("/oauth/token")
    assert thebase.token_requests == 2


def test_no_repr_shows_a_secret_or_a_token(thebase: Sandbox, client: httpx.Client) -> None:
    token = bearer(thebase, client)
    client.post("/v2/notes/create", headers=token, json={"msg": "private"})
    shown = repr(thebase) + repr(thebase.received)
    assert repr(thebase) == f"<Sandbox at {thebase.domain}, 2 requests>"
    assert repr(thebase.received[1]) == (
        "ReceivedRequest(method='POST', path='/v2/notes/create', status=201)"
    )
    for hidden in (thebase.client_secret, token["Authorization"], "Basic", "private"):
        assert hidden not in shown


# --- levers ---


def test_the_next_token_requests_get_the_answers_asked_for(
    thebase: Sandbox, client: httpx.Client
) -> None:
    thebase.answer_next_token_request(503, "<h1>סגור</h1>", "text/html", times=2)
    thebase.answer_next_token_request(200, b'{"access_token": "x"}')
    answers = [ask_token(thebase, client) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [503, 503, 200, 200]
    assert answers[0].headers["content-type"] == "text/html"
    assert answers[1].content.decode() == "<h1>סגור</h1>"
    assert answers[2].headers["content-type"] == "application/json"
    assert answers[2].json() == {"access_token": "x"}
    assert len(answers[3].json()["access_token"]) == 22


def test_token_requests_are_held_together_while_others_are_answered(
    thebase: Sandbox, client: httpx.Client
) -> None:
    token = bearer(thebase, client)
    with ThreadPoolExecutor(2) as pool:
        with thebase.hold_token_requests():
            waiting = [pool.submit(ask_token, thebase, client) for _ in range(2)]
            thebase.wait_for_token_requests(3)
            assert client.get("/v2/users", headers=token).status_code == 200
            assert len(thebase.calls("/oauth/token")) == 1
            thebase.answer_next_token_request(502)
        assert sorted(future.result().status_code for future in waiting) == [200, 502]
    assert ask_token(thebase, client).status_code == 200


def test_of_overlapping_holds_the_last_to_end_lets_go(
    thebase: Sandbox, client: httpx.Client
) -> None:
    with ThreadPoolExecutor(1) as pool:
        with thebase.hold_token_requests():
            with thebase.hold_token_requests():
                waiting = pool.submit(ask_token, thebase, client)
                thebase.wait_for_token_requests(1)
            assert client.get("/v2/users").status_code == 401
            assert thebase.calls("/oauth/token") == ()
        assert waiting.result().status_code == 200


def test_waiting_for_token_requests_ends_when_they_do_not_come(thebase: Sandbox) -> None:
    thebase.wait_for_token_requests(0, timeout=0)
    with pytest.raises(TimeoutError, match=r"^0 token requests in 0\.01 s, not 1$"):
        thebase.wait_for_token_requests(1, timeout=0.01)


def test_a_hold_may_outlast_the_server() -> None:
    with ThreadPoolExecutor(1) as pool, httpx.Client() as client:
        thebase = Sandbox()
        hold = thebase.hold_token_requests()
        with thebase:
            hold.__enter__()
            waiting = pool.submit(client.post, f"{thebase.domain}/oauth/token")
            thebase.wait_for_token_requests(1)
        assert isinstance(waiting.exception(), httpx.TransportError)
        hold.__exit__(None, None, None)


# --- the sandbox's life ---


def test_there_is_no_domain_before_the_start() -> None:
    thebase = Sandbox()
    assert repr(thebase) == "<Sandbox at None, 0 requests>"
    with pytest.raises(RuntimeError, match="no address before"):
        _ = thebase.domain


def test_after_the_block_the_record_stays_and_nobody_listens() -> None:
    with Sandbox() as thebase:
        httpx.get(f"{thebase.domain}/v2/users")
    assert len(thebase.received) == 1
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{thebase.domain}/v2/users")


def test_sandboxes_share_nothing() -> None:
    with (
        Sandbox() as one,
        Sandbox() as two,
        httpx.Client(base_url=one.domain) as at_one,
        httpx.Client(base_url=two.domain) as at_two,
    ):
        token = bearer(one, at_one)
        assert at_two.get("/v2/users", headers=token).status_code == 401
        assert (one.token_requests, two.token_requests) == (1, 0)


def test_the_application_can_be_mounted() -> None:
    thebase = Sandbox()

    async def statuses() -> list[int]:
        transport = httpx.ASGITransport(Starlette(routes=[Mount("/il", app=thebase.app)]))
        async with httpx.AsyncClient(transport=transport, base_url="http://crm/il") as client:
            pair = (thebase.client_id, thebase.client_secret)
            answer = await client.post("/oauth/token", auth=pair, data=GRANT)
            token = {"Authorization": f"Bearer {answer.json()['access_token']}"}
            called = await client.get("/v2/users", headers=token)
            return [answer.status_code, called.status_code]

    assert asyncio.run(statuses()) == [200, 200]
    assert [request.path for request in thebase.received] == ["/il/oauth/token", "/il/v2/users"]


def test_the_application_survives_lifespan_events() -> None:
    events = iter(["lifespan.startup", "lifespan.shutdown"])
    sent: list[str] = []

    async def run() -> None:
        async def receive() -> dict[str, Any]:
            return {"type": next(events)}

        async def send(message: Any) -> None:
            sent.append(message["type"])

        await Sandbox().app({"type": "lifespan", "asgi": {}, "state": {}}, receive, send)

    asyncio.run(run())
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


# --- serving any application ---


async def hello(request: Request) -> Response:
    return PlainTextResponse(f"{request.url.scheme} {request.scope['http_version']}")


async def never_answer(request: Request) -> None:
    request.app.state.arrived.set()
    await asyncio.Event().wait()


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
            Route("/never", never_answer),
            Route("/stream", stream_for_ever),
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


def test_any_application_is_served_over_http_1_1(
    app: Starlette, capfd: pytest.CaptureFixture[str]
) -> None:
    with serve(app) as url:
        assert len(server_threads()) == 1
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", url)
        assert httpx.get(url).text == "http 1.1"
    assert capfd.readouterr() == ("", "")


def test_a_connection_serves_many_requests(app: Starlette) -> None:
    peers: set[Any] = set()

    async def remember_peer(scope: Scope, receive: Receive, send: Send) -> None:
        peers.add(tuple(scope["client"]))
        await app(scope, receive, send)

    with serve(remember_peer) as url, httpx.Client() as client:
        for _ in range(3):
            assert client.get(url).status_code == 200
    assert len(peers) == 1


def test_a_failing_application_writes_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    async def fail(scope: Scope, receive: Receive, send: Send) -> None:
        raise ValueError("broken")

    with serve(fail) as url:
        assert httpx.get(url).status_code == 500
    assert capfd.readouterr() == ("", "")


def test_a_certificate_makes_it_https(app: Starlette, pem: dict[str, str]) -> None:
    with serve(app, ssl_certfile=pem["certificate"], ssl_keyfile=pem["key"]) as url:
        assert re.fullmatch(r"https://localhost:\d+", url)
        context = ssl.create_default_context(cafile=pem["ca"])
        with httpx.Client(verify=context) as client:
            assert client.get(url).text == "https 1.1"
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            httpx.get(url)


def test_the_sandbox_speaks_tls(pem: dict[str, str]) -> None:
    context = ssl.create_default_context(cafile=pem["ca"])
    with (
        Sandbox(ssl_certfile=pem["certificate"], ssl_keyfile=pem["key"]) as thebase,
        httpx.Client(base_url=thebase.domain, verify=context) as client,
    ):
        users = client.get("/v2/users", headers=bearer(thebase, client)).json()
        assert users["links"][0]["href"] == f"{thebase.domain}/v2/users"


def test_an_unreadable_certificate_is_the_callers_error(app: Starlette, tmp_path: Path) -> None:
    with (
        pytest.raises(FileNotFoundError),
        serve(app, ssl_certfile=str(tmp_path / "none")),
    ):
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
            with client, client.makefile("rb") as answer:
                assert answer.readline() == b"HTTP/1.1 200 OK\r\n"


# --- stopping; each test runs without TLS and with it ---


@pytest.fixture(params=["http", "https"])
def certificate(request: pytest.FixtureRequest, pem: dict[str, str]) -> dict[str, str]:
    if request.param == "http":
        return {}
    return {"ssl_certfile": pem["certificate"], "ssl_keyfile": pem["key"]}


@pytest.fixture
def plain(pem: dict[str, str]) -> Iterator[httpx.Client]:
    context = ssl.create_default_context(cafile=pem["ca"])
    with httpx.Client(verify=context) as client:
        yield client


@contextmanager
def serve_and_time_the_stop(app: ASGIApp, certificate: dict[str, str]) -> Iterator[str]:
    with serve(app, **certificate) as url:
        yield url
        started = time.monotonic()
    assert time.monotonic() - started < 1
    assert not server_threads()
    gc.collect()  # An unclosed socket or transport warns here, and warnings are errors.


def test_an_idle_connection_does_not_delay_the_stop(
    app: Starlette, certificate: dict[str, str], plain: httpx.Client
) -> None:
    with serve_and_time_the_stop(app, certificate) as url:
        plain.get(url)
    with pytest.raises(httpx.TransportError):
        plain.get(url)


def test_a_silent_connection_does_not_delay_the_stop(
    app: Starlette, certificate: dict[str, str], plain: httpx.Client
) -> None:
    with serve_and_time_the_stop(app, certificate) as url:
        silent = socket.create_connection(("127.0.0.1", httpx.URL(url).port), timeout=10)
        # Connections are accepted in turn: with this one answered, the silent one is in.
        plain.get(url)
    with silent:
        assert silent.recv(1) == b""


def test_a_handler_that_never_answers_does_not_delay_the_stop(
    app: Starlette, certificate: dict[str, str], plain: httpx.Client
) -> None:
    with ThreadPoolExecutor(1) as pool:
        with serve_and_time_the_stop(app, certificate) as url:
            waiting = pool.submit(plain.get, f"{url}/never")
            assert app.state.arrived.wait(10)
        assert isinstance(waiting.exception(), httpx.TransportError)


def test_a_reader_that_stops_reading_does_not_delay_the_stop(
    app: Starlette, certificate: dict[str, str], plain: httpx.Client
) -> None:
    with serve_and_time_the_stop(app, certificate) as url:
        answer = plain.send(plain.build_request("GET", f"{url}/stream"), stream=True)
    with pytest.raises(httpx.TransportError):
        answer.read()


# --- without the extra ---


class Uninstalled:
    """A finder for `sys.meta_path` that misses one module while another is imported."""

    def __init__(self, imported: str, missing: str) -> None:
        self.imported = imported
        self.missing = missing

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name == self.imported:
            raise ModuleNotFoundError(f"No module named {self.missing!r}", name=self.missing)


def import_anew() -> None:
    spec = importlib.util.find_spec("thebase_auth.testing")
    assert spec is not None
    assert spec.loader is not None
    spec.loader.exec_module(importlib.util.module_from_spec(spec))


@pytest.mark.parametrize("missing", ["uvicorn", "starlette.applications"])
def test_without_the_extra_the_import_names_it(
    monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.delitem(sys.modules, missing)
    monkeypatch.setattr(sys, "meta_path", [Uninstalled(missing, missing), *sys.meta_path])
    with pytest.raises(ImportError, match=r"pip install 'thebase-auth\[testing\]'") as raised:
        import_anew()
    assert raised.value.name == missing


def test_another_missing_module_is_named_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "uvicorn")
    monkeypatch.setattr(sys, "meta_path", [Uninstalled("uvicorn", "click"), *sys.meta_path])
    with pytest.raises(ModuleNotFoundError, match=r"^No module named 'click'$"):
        import_anew()
