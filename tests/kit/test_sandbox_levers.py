"""The levers of the sandbox, and its life."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.support.sandbox import LEAD, ask_token, bearer
from thebase_auth.testing import Sandbox

# --- levers ---


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        (("*", 0), {}),
        (("*", 199), {}),
        (("*", 600), {}),
        (("*", 200), {"body": {"a": 1}}),
        (("*", 200), {"json": {1, 2}}),
        (("*", 200), {"json": [], "body": "[]"}),
        (("*", 200), {"times": 0}),
        (("*", 200), {"times": -1}),
        (("*", 200), {"headers": {"X-A": "שלום"}}),
        (("*", 200), {"headers": {"X-A": "a\r\nX-B: b"}}),
        (("*", 200), {"headers": {"X-A": "a "}}),
        (("*", 200), {"headers": {"X A": "a"}}),
        (("*", 200), {"headers": {"": "a"}}),
        (("*", 200), {"headers": {"שלום": "a"}}),
        (("*", 200), {"headers": {"content-length": "1"}}),
        (("*", 200), {"headers": {"Transfer-Encoding": "chunked"}}),
        (("*", 200), {"content_type": "טקסט"}),
        (("*", 200), {"content_type": "text/plain\nX-B: b"}),
    ],
    ids=str,
)
def test_a_response_that_cannot_be_given_is_rejected_where_it_is_asked_for(
    arguments: Any, options: Any
) -> None:
    with pytest.raises((ValueError, TypeError)):
        Sandbox().answer_next(*arguments, **options)


def test_header_fields_are_sent_as_they_were_given() -> None:
    headers = {"X-A": "", "x-B": "a\tb  c", "X-C": "\xe9", "Content-Type": "text/html"}
    with Sandbox() as thebase:
        thebase.answer_next("*", 200, headers=headers)
        sent = httpx.get(thebase.domain).headers
    assert {name: sent[name] for name in headers} == headers


@pytest.mark.thebase_allow_unused
def test_a_lever_for_many_requests_takes_no_more_than_one_for_few(
    thebase: Sandbox, client: httpx.Client
) -> None:
    thebase.answer_next("/oauth/token", 503, times=10**12)
    assert [client.get("/v2/users").status_code, client.post("/oauth/token").status_code] == [401, 503]
    with pytest.raises(AssertionError, match=r"response 503 for /oauth/token \(999999999999 x\)"):
        thebase.assert_levers_used()


def test_a_request_is_carried_out_before_its_response_is_lost(thebase: Sandbox, client: httpx.Client) -> None:
    token = bearer(thebase, client)
    thebase.drop_next("POST /v2/leads/create", carried_out=True)
    with pytest.raises(httpx.RemoteProtocolError):
        client.post("/v2/leads/create", json=LEAD, headers=token)
    thebase.assert_received("POST /v2/leads/create", times=1, status=201)
    found = client.post("/v2/search/leadsAndAccounts", json={"name": LEAD["name"]}, headers=token)
    assert found.json()["count"] == 1


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf")])
def test_a_delay_that_cannot_be_waited_for_is_rejected(seconds: float) -> None:
    with pytest.raises(ValueError, match="seconds must be at least 0"):
        Sandbox().delay_next("*", seconds)


def test_a_header_asked_for_takes_the_place_of_the_usual_one(thebase: Sandbox, client: httpx.Client) -> None:
    thebase.answer_next("*", 200, "a", headers={"content-type": "text/plain"})
    assert client.get("/").headers.get_list("content-type") == ["text/plain"]


def test_a_response_may_be_given_as_json(thebase: Sandbox, client: httpx.Client) -> None:
    thebase.answer_next("*", 200, json={"items": ["שלום"]})
    thebase.answer_next("*", 400, content_type="application/problem+json", json=None)
    document, nothing = client.get("/"), client.get("/")
    assert document.json() == {"items": ["שלום"]}
    assert document.headers["content-type"] == "application/json"
    assert nothing.content == b"null"
    assert nothing.headers["content-type"] == "application/problem+json"


def test_the_next_token_requests_get_the_responses_asked_for(thebase: Sandbox, client: httpx.Client) -> None:
    thebase.answer_next("/oauth/token", 503, "<h1>סגור</h1>", "text/html", times=2)
    thebase.answer_next("/oauth/token", 200, b'{"access_token": "x"}')
    responses = [ask_token(thebase, client) for _ in range(4)]
    assert [response.status_code for response in responses] == [503, 503, 200, 200]
    assert responses[0].headers["content-type"] == "text/html"
    assert responses[1].content.decode() == "<h1>סגור</h1>"
    assert responses[2].headers["content-type"] == "application/json"
    assert responses[2].json() == {"access_token": "x"}
    assert len(responses[3].json()["access_token"]) == 22


def test_the_next_calls_get_the_responses_asked_for_in_turn(thebase: Sandbox, client: httpx.Client) -> None:
    token = bearer(thebase, client)
    thebase.answer_next("GET /v2/users", 429, headers={"Retry-After": "1"})
    thebase.answer_next("/v2/*", 555, "<h1>!</h1>", "text/html")
    thebase.answer_next("POST *", 503)

    def get(path: str) -> httpx.Response:
        return client.get(path, headers=token)

    assert get("/v2/leads/statuses").status_code == 555
    limited = get("/v2/users")
    assert (limited.status_code, limited.headers["retry-after"]) == (429, "1")
    assert get("/v2/users").status_code == 200
    assert ask_token(thebase, client).status_code == 503
    assert ask_token(thebase, client).status_code == 200


@pytest.mark.parametrize("status", [204, 304])
def test_a_response_without_a_body_may_be_asked_for(
    thebase: Sandbox, client: httpx.Client, status: int
) -> None:
    thebase.answer_next("*", status)
    response = client.get("/")
    assert (response.status_code, response.content) == (status, b"")
    assert "content-length" not in response.headers
    assert client.get("/").status_code == 404


def test_a_response_asked_for_does_nothing_else(thebase: Sandbox, client: httpx.Client) -> None:
    token = bearer(thebase, client)
    thebase.answer_next("POST /v2/leads/create", 500)
    client.post("/v2/leads/create", json=LEAD, headers=token)
    wanted = {"phone": LEAD["phone"]}
    found = client.post("/v2/search/leadsAndAccounts", json=wanted, headers=token)
    assert found.json()["count"] == 0


def test_the_token_endpoint_redirects(thebase: Sandbox, client: httpx.Client) -> None:
    thebase.redirect_next("POST /oauth/token", "https://elsewhere.example/oauth/token")
    thebase.redirect_next("POST /oauth/token", "/login", 302)
    first, second, third = (ask_token(thebase, client) for _ in range(3))
    assert first.status_code == 307
    assert first.headers["location"] == "https://elsewhere.example/oauth/token"
    assert (second.status_code, second.headers["location"]) == (302, "/login")
    assert third.status_code == 200


def test_connections_are_dropped_without_a_response(
    thebase: Sandbox, client: httpx.Client, capfd: pytest.CaptureFixture[str]
) -> None:
    thebase.drop_next("GET /v2/users", times=2)
    for _ in range(2):
        with pytest.raises(httpx.TransportError):
            client.get("/v2/users")
    assert client.get("/v2/users").status_code == 401
    assert [one.status for one in thebase.received] == [None, None, 401]
    assert capfd.readouterr() == ("", "")


def test_a_dropped_connection_takes_no_other_along(thebase: Sandbox) -> None:
    with (
        httpx.Client(base_url=thebase.domain) as one,
        httpx.Client(base_url=thebase.domain) as two,
        ThreadPoolExecutor(1) as pool,
    ):
        with thebase.hold_token_requests():
            waiting = pool.submit(ask_token, thebase, one)
            thebase.wait_for_token_requests(1)
            thebase.drop_next("*")
            with pytest.raises(httpx.TransportError):
                two.get("/v2/users")
        assert waiting.result().status_code == 200


def test_a_response_is_delayed_and_others_are_not(thebase: Sandbox, client: httpx.Client) -> None:
    thebase.delay_next("GET /v2/users", 3600)
    with pytest.raises(httpx.ReadTimeout):
        client.get("/v2/users", timeout=0.05)
    assert client.get("/v2/users").status_code == 401
    thebase.delay_next("GET /v2/users", 0.01)
    thebase.answer_next("GET /v2/users", 503)
    assert client.get("/v2/users").status_code == 503
    # The retry of a client that lost its patience is told from its first try.
    assert [one.status for one in thebase.received] == [401, 503, None]
    thebase.assert_received("GET /v2/users", times=3)


def test_levers_may_be_pulled_from_any_thread(thebase: Sandbox, client: httpx.Client) -> None:
    threads = [
        threading.Thread(target=thebase.answer_next, args=("*", 500), kwargs={"times": 5}) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [client.get("/").status_code for _ in range(41)] == [500] * 40 + [404]


def test_token_requests_are_held_together_while_others_get_responses(
    thebase: Sandbox, client: httpx.Client
) -> None:
    token = bearer(thebase, client)
    with ThreadPoolExecutor(2) as pool:
        with thebase.hold_token_requests():
            waiting = [pool.submit(ask_token, thebase, client) for _ in range(2)]
            thebase.wait_for_token_requests(3)
            assert client.get("/v2/users", headers=token).status_code == 200
            assert [one.status for one in thebase.calls("/oauth/token")] == [200, None, None]
            thebase.answer_next("/oauth/token", 502)
        assert sorted(future.result().status_code for future in waiting) == [200, 502]
    assert ask_token(thebase, client).status_code == 200


def test_of_overlapping_holds_the_last_to_end_lets_go(thebase: Sandbox, client: httpx.Client) -> None:
    with ThreadPoolExecutor(1) as pool:
        with thebase.hold_token_requests():
            with thebase.hold_token_requests():
                waiting = pool.submit(ask_token, thebase, client)
                thebase.wait_for_token_requests(1)
            assert client.get("/v2/users").status_code == 401
            assert [one.status for one in thebase.calls("/oauth/token")] == [None]
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
    with pytest.raises(RuntimeError, match="no address yet"):
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


def test_a_sandbox_that_runs_cannot_be_started_again_and_runs_on() -> None:
    with Sandbox() as thebase:
        with pytest.raises(RuntimeError, match="is running already"):
            thebase.__enter__()
        assert httpx.get(f"{thebase.domain}/v2/users").status_code == 401
    Sandbox().__exit__(None, None, None)


def test_the_sandbox_leaves_the_loggers_of_other_servers_alone() -> None:
    names = ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi")
    before = [(log.level, log.handlers[:], log.propagate) for log in map(logging.getLogger, names)]
    with Sandbox() as thebase:
        httpx.get(f"{thebase.domain}/v2/users")
    after = [(log.level, log.handlers[:], log.propagate) for log in map(logging.getLogger, names)]
    assert after == before
