"""The levers of the sandbox, and its life."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.support.sandbox import LEAD, PRODUCT, ask_token, bearer
from thebase_auth.testing import Sandbox, SandboxClient


def leads(api: httpx.Client) -> int:
    count: int = api.post("/v2/search/leadsAndAccounts", json={"name": LEAD["name"]}).json()["count"]
    return count


# --- responses ---


@pytest.mark.parametrize(
    "options",
    [{"status": 199}, {"status": 600}, {"body": {"a": 1}}, {"json": {1, 2}}, {"json": [], "body": "[]"},
     {"times": 0}, {"headers": {"X-A": "שלום"}}, {"headers": {"X-A": "a\r\nX-B: b"}},
     {"headers": {"X-A": "a "}}, {"headers": {"X A": "a"}}, {"headers": {"Transfer-Encoding": "chunked"}},
     {"headers": {"content-length": "1"}}, {"content_type": "text/plain\nX-B: b"}],
    ids=str,
)  # fmt: skip
def test_a_response_that_cannot_be_given_is_rejected_by_the_lever(options: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        Sandbox().answer_next(**{"call": "*", "status": 200} | options)


def test_a_response_has_the_header_and_body_that_are_asked_for(
    thebase: Sandbox, client: httpx.Client
) -> None:
    headers = {"X-A": "", "x-B": "a\tb  c", "X-C": "\xe9", "content-type": "text/html"}
    thebase.answer_next("*", 200, "<h1>סגור</h1>", headers=headers)
    thebase.answer_next("*", 200, json={"items": ["שלום"]})
    thebase.answer_next("*", 400, b"null", content_type="application/problem+json")
    page, document, nothing = client.get("/"), client.get("/"), client.get("/")
    assert {name: page.headers[name] for name in headers} == headers
    assert (page.headers.get_list("content-type"), page.text) == (["text/html"], "<h1>סגור</h1>")
    assert document.json() == {"items": ["שלום"]}
    assert document.headers["content-type"] == "application/json"
    assert (nothing.content, nothing.headers["content-type"]) == (b"null", "application/problem+json")
    for status in (204, 304):  # which have no body (RFC 9110 6.4.1)
        thebase.answer_next("*", status, "a")
        response = client.get("/")
        assert (response.status_code, response.content) == (status, b"")
        assert "content-length" not in response.headers


def test_the_next_calls_get_the_responses_asked_for_in_turn(thebase: Sandbox, client: httpx.Client) -> None:
    thebase.answer_next("GET /v2/users", 429, headers={"Retry-After": "1"}, times=2)
    thebase.answer_next("/v2/*", 555, "<h1>!</h1>", "text/html")
    thebase.answer_next("POST *", 503)
    thebase.redirect_next("/oauth/token", "https://elsewhere.example/")
    thebase.redirect_next("/oauth/token", "/login", 302)
    paths = ("/v2/leads/statuses", "/v2/users", "/v2/users", "/v2/users")
    assert [client.get(path).status_code for path in paths] == [555, 429, 429, 401]
    tokens = [ask_token(thebase, client) for _ in range(4)]
    assert [one.status_code for one in tokens] == [503, 307, 302, 200]
    assert [one.headers["location"] for one in tokens[1:3]] == ["https://elsewhere.example/", "/login"]
    assert thebase.calls("GET /v2/users")[0].reason == "response by a lever"


def test_a_response_asked_for_does_nothing_else(thebase: Sandbox, api: httpx.Client) -> None:
    thebase.answer_next("POST /v2/leads/create", 500)
    api.post("/v2/leads/create", json=LEAD)
    assert leads(api) == 0


def test_a_request_is_carried_out_before_its_response_is_lost(thebase: Sandbox, api: httpx.Client) -> None:
    thebase.drop_next("POST /v2/leads/create", carried_out=True)
    with pytest.raises(httpx.RemoteProtocolError):
        api.post("/v2/leads/create", json=LEAD)
    thebase.assert_received("POST /v2/leads/create", times=1, status=201)
    assert leads(api) == 1


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf")])
def test_a_delay_that_cannot_be_waited_for_is_rejected(seconds: float) -> None:
    with pytest.raises(ValueError, match="seconds must be at least 0"):
        Sandbox().delay_next("*", seconds)


def test_a_response_is_delayed_and_others_are_not(thebase: Sandbox, client: httpx.Client) -> None:
    thebase.delay_next("GET /v2/users", 3600)
    with pytest.raises(httpx.ReadTimeout):
        client.get("/v2/users", timeout=0.05)
    assert client.get("/v2/users").status_code == 401
    thebase.delay_next("GET /v2/users", 0.01)
    thebase.answer_next("GET /v2/users", 503)
    assert client.get("/v2/users").status_code == 503
    # The first try of a client that lost its patience is told from its retry.
    assert [one.status for one in thebase.received] == [401, 503, None]  # pending ones are at the end
    thebase.assert_received("GET /v2/users", times=3)


def test_each_lever_is_the_reason_of_what_it_does(thebase: Sandbox, client: httpx.Client) -> None:
    thebase.drop_next("*")
    thebase.drop_next("*", carried_out=True)
    for _ in range(2):
        with pytest.raises(httpx.RemoteProtocolError):
            client.get("/v2/users")
    thebase.delay_next("*", 0, times=2)
    thebase.redirect_next("*", "/elsewhere")
    client.get("/v2/users")
    client.get("/v2/users")
    assert [(one.status, one.reason) for one in thebase.received] == [
        (None, "dropped by a lever"),
        (401, "dropped by a lever after it was carried out, no token"),
        (307, "delayed by a lever, response by a lever"),
        (401, "delayed by a lever, no token"),
    ]


# --- held token requests ---


def test_token_requests_are_held_together_while_others_get_responses(
    thebase: Sandbox, client: httpx.Client
) -> None:
    token = bearer(thebase, client)
    with ThreadPoolExecutor(2) as pool:
        with thebase.hold_token_requests():
            with thebase.hold_token_requests():
                waiting = [pool.submit(ask_token, thebase, client) for _ in range(2)]
                thebase.wait_for_token_requests(3)
            # Of overlapping holds the last to end lets go.
            assert client.get("/v2/users", headers=token).status_code == 200
            assert [one.status for one in thebase.calls("/oauth/token")] == [200, None, None]
            thebase.answer_next("/oauth/token", 502)
        assert sorted(future.result().status_code for future in waiting) == [200, 502]
    assert ask_token(thebase, client).status_code == 200


def test_waiting_for_token_requests_ends_when_they_do_not_come(thebase: Sandbox) -> None:
    thebase.wait_for_token_requests(0, timeout=0)
    with pytest.raises(TimeoutError, match=r"^0 token requests in 0\.01 s, not 1$"):
        thebase.wait_for_token_requests(1, timeout=0.01)


# --- a reset ---


@pytest.mark.thebase_allow_unused
def test_a_reset_forgets_tokens_data_record_and_levers(thebase: Sandbox, client: httpx.Client) -> None:
    for _ in range(2):
        token = bearer(thebase, client)
        client.post("/v2/products/create", json=PRODUCT, headers=token)
        thebase.client.refuse("GET /v2/users")
        thebase.answer_next("*", 503, times=5)
        thebase.delay_next("*", 600, times=5)
        thebase.reset()
        assert (thebase.received, thebase.token_requests) == ((), 0)
        assert client.get("/v2/users", headers=token).status_code == 401
        assert client.get("/v2/products/", headers=bearer(thebase, client)).json()["items"] == []
        assert thebase.token_requests == 1


def test_a_reset_restores_settings_and_clients() -> None:
    made: dict[str, Any] = {"expires_in": 7, "token_lifetime": 8.0, "single_token": True}
    thebase = Sandbox(**made, refused=["GET *"])
    before = repr(thebase.clients)
    assert before.endswith(
        "refused=['GET *']), SandboxClient('hV5nTq0cXeW3yZr8uBd1Ag..', refused=['DELETE *'])]"
    )
    pair = (thebase.client_id, thebase.client_secret)
    thebase.expires_in, thebase.token_lifetime, thebase.single_token = "soon", 0, False
    thebase.client.refuse("/v2/users")
    thebase.limited_client.allow("DELETE *")
    thebase.client.client_id, thebase.client.client_secret = "id", "other"
    thebase.clients.append(SandboxClient())
    clients = thebase.clients
    thebase.reset()
    assert {name: getattr(thebase, name) for name in made} == made
    assert (repr(thebase.clients), len(clients)) == (before, 3)
    assert (thebase.client_id, thebase.client_secret) == pair
    assert not thebase.client.may("GET", "/v2/users")


@pytest.mark.timeout(30)
def test_a_request_without_a_response_is_forgotten_and_gets_one(
    thebase: Sandbox, client: httpx.Client
) -> None:
    with ThreadPoolExecutor(1) as pool:
        with thebase.hold_token_requests():
            waiting = pool.submit(ask_token, thebase, client)
            thebase.wait_for_token_requests(1)
            thebase.reset()
            assert thebase.received == ()
        assert (waiting.result().status_code, thebase.received) == (200, ())


# --- the sandbox's life ---


def test_there_is_no_domain_before_the_start() -> None:
    thebase = Sandbox()
    assert repr(thebase) == "<Sandbox at None, 0 requests>"
    with pytest.raises(RuntimeError, match="no address yet"):
        _ = thebase.domain
    thebase.__exit__(None, None, None)


def test_after_the_block_the_record_stays_and_nobody_listens() -> None:
    with Sandbox() as thebase:
        httpx.get(f"{thebase.domain}/v2/users")
    assert len(thebase.received) == 1
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{thebase.domain}/v2/users")


def test_a_port_may_be_chosen_and_taken_again_at_once() -> None:
    with Sandbox() as thebase:
        port = httpx.URL(thebase.domain).port
        assert port is not None
        httpx.get(thebase.domain)
        with pytest.raises(OSError, match="in use"), Sandbox(port=port):
            raise AssertionError("unreachable")  # pragma: no cover
    with Sandbox(port=port) as again:
        assert again.domain == f"http://127.0.0.1:{port}"
        assert httpx.get(again.domain).status_code == 404


def test_a_sandbox_that_runs_cannot_be_started_again_and_runs_on(thebase: Sandbox) -> None:
    with pytest.raises(RuntimeError, match="is running already"):
        thebase.__enter__()
    assert httpx.get(f"{thebase.domain}/v2/users").status_code == 401


def test_the_sandbox_leaves_the_loggers_of_other_servers_alone() -> None:
    def state() -> list[Any]:
        names = ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi")
        return [(log.level, log.handlers[:], log.propagate) for log in map(logging.getLogger, names)]

    before = state()
    with Sandbox() as thebase:
        httpx.get(f"{thebase.domain}/v2/users")
    assert state() == before
