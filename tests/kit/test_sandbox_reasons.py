"""Why a request was not simply carried out: the record says it, with the response as it is elsewhere."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable

import httpx
import pytest

from tests.support.sandbox import AS_JSON, GRANT, LEAD, assert_problem, bearer
from thebase_auth.testing import Sandbox


def reason(thebase: Sandbox) -> str:
    return thebase.received[-1].reason


def past_its_time(thebase: Sandbox) -> None:
    thebase.token_lifetime = 0


def superseded(thebase: Sandbox) -> None:
    thebase.single_token = True
    with httpx.Client(base_url=thebase.domain) as client:
        bearer(thebase, client)


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (Sandbox.revoke_tokens, "revoked token"),
        (past_its_time, "expired token"),
        (superseded, "ended by a newer token"),
        (lambda thebase: thebase.client.refuse("GET *"), "the client lacks permission for this call"),
        (lambda thebase: thebase.reset(), "unknown token"),
        (lambda thebase: thebase.answer_next("*", 401), "response by a lever"),
    ],
)
def test_each_kind_of_401_has_its_reason(
    thebase: Sandbox, client: httpx.Client, spoil: Callable[[Sandbox], None], why: str
) -> None:
    token = bearer(thebase, client)
    spoil(thebase)
    assert client.get("/v2/users", headers=token).status_code == 401
    assert (reason(thebase), str(thebase.received[-1])) == (why, f"GET /v2/users 401 ({why})")
    with pytest.raises(AssertionError, match=rf"GET /v2/users 401 \({why}\)"):
        thebase.assert_received("GET /v2/users", status=200)


@pytest.mark.parametrize(
    ("authorization", "why"),
    [(None, "no token"), ("Basic YTpi", "no token"), ("Bearer", "no token"), ("Bearer x", "unknown token")],
)
def test_a_call_without_a_token_is_told_from_one_with_a_wrong_token(
    thebase: Sandbox, client: httpx.Client, authorization: str | None, why: str
) -> None:
    client.get("/v2/users", headers={"Authorization": authorization} if authorization else {})
    assert reason(thebase) == why


def test_a_token_that_was_revoked_is_not_told_of_by_what_came_later(
    thebase: Sandbox, client: httpx.Client
) -> None:
    token = bearer(thebase, client)
    thebase.revoke_tokens()
    superseded(thebase)
    thebase.token_lifetime = 0
    client.get("/v2/users", headers=token)
    assert reason(thebase) == "revoked token"


def basic(text: bytes) -> str:
    return "Basic " + base64.b64encode(text).decode()


@pytest.mark.parametrize(
    ("authorization", "why"),
    [
        ("", "no client id and secret in Authorization"),
        ("Bearer x", "no client id and secret in Authorization"),
        ("Basic YTpi/", "Authorization cannot be read"),
        (basic(b"\xff:b"), "Authorization cannot be read"),
        (basic(b"someone:secret"), "unknown client id"),
        (basic(b"LvTJmqtlvEKyuqvz1brRMg..:secret"), "wrong client secret"),
    ],
)
def test_a_rejected_token_request_has_its_reason(
    thebase: Sandbox, client: httpx.Client, authorization: str, why: str
) -> None:
    response = client.post("/oauth/token", headers={"Authorization": authorization}, data=GRANT)
    assert_problem(response, 401, "Unauthorized", "Unauthorized")
    assert reason(thebase) == why


@pytest.mark.parametrize(
    ("content", "content_type", "why"),
    [
        (b'{"grant_type": "client_credentials"}', "application/json",
         "Content-Type must be application/x-www-form-urlencoded"),
        (b"", "application/x-www-form-urlencoded", "no grant_type"),
        (b"grant_type=password", "application/x-www-form-urlencoded",
         "grant_type must be client_credentials"),
    ],
)  # fmt: skip
def test_an_oauth_error_has_its_reason(
    thebase: Sandbox, client: httpx.Client, content: bytes, content_type: str, why: str
) -> None:
    pair = (thebase.client_id, thebase.client_secret)
    client.post("/oauth/token", auth=pair, content=content, headers={"Content-Type": content_type})
    assert (thebase.received[-1].status, reason(thebase)) == (400, why)


@pytest.mark.parametrize(
    ("method", "path", "why"),
    [
        ("GET", "/v2/products", "no such call; did you mean GET /v2/products/ ?"),
        ("GET", "/v2/Users", "no such call; did you mean GET /v2/users ?"),
        ("GET", "/users", "no such call; did you mean GET /v2/users ?"),
        ("POST", "/v2/leads/creat", "no such call; did you mean POST /v2/leads/create ?"),
        ("POST", "/v2/oauth/token", "no such call; did you mean POST /oauth/token ?"),
        ("PUT", "/v2/timers/17", "no such call; did you mean PUT /v2/timer/{id} ?"),
        ("GET", "/zzz", "no such call"),
        ("GET", "/v2/products/17", "there is no product with this id"),
        ("PUT", "/v2/timer/17", "no timer with this id is running"),
    ],
)
def test_an_unknown_call_is_told_from_a_missing_record(
    thebase: Sandbox, client: httpx.Client, method: str, path: str, why: str
) -> None:
    response = client.request(method, path, headers=bearer(thebase, client))
    assert_problem(response, 404, "NotFound", "Not Found")
    assert reason(thebase) == why


def test_a_wrong_method_names_the_right_ones(thebase: Sandbox, client: httpx.Client) -> None:
    client.put("/v2/users", headers=bearer(thebase, client))
    assert reason(thebase) == "the method must be one of GET, HEAD"
    client.get("/oauth/token")
    assert reason(thebase) == "the method must be POST"


def test_what_the_response_says_is_the_reason_of_a_400(thebase: Sandbox, client: httpx.Client) -> None:
    client.post("/v2/leads/create", headers=bearer(thebase, client), json={"name": "a"})
    assert reason(thebase) == "f_name is required"


def test_what_was_carried_out_has_no_reason(thebase: Sandbox, client: httpx.Client) -> None:
    client.post("/v2/leads/create", headers=bearer(thebase, client), json=LEAD)
    assert [one.reason for one in thebase.received] == ["", ""]


def test_each_lever_is_the_reason_of_what_it_does(thebase: Sandbox, client: httpx.Client) -> None:
    thebase.drop_next("*")
    thebase.drop_next("*", carried_out=True)
    for _ in range(2):
        with pytest.raises(httpx.RemoteProtocolError):
            client.get("/v2/users")
    thebase.delay_next("*", 0)
    thebase.delay_next("*", 0)
    thebase.redirect_next("*", "/elsewhere")
    client.get("/v2/users")
    client.get("/v2/users")
    assert [one.reason for one in thebase.received] == [
        "dropped by a lever",
        "dropped by a lever after it was carried out, no token",
        "delayed by a lever, response by a lever",
        "delayed by a lever, no token",
    ]


def test_a_failure_of_the_sandbox_is_reported_as_such(thebase: Sandbox, client: httpx.Client) -> None:
    thebase.expires_in = {1, 2}
    client.post("/oauth/token", auth=(thebase.client_id, thebase.client_secret), data=GRANT)
    assert str(thebase.received[0]) == "POST /oauth/token 500 (the sandbox failed)"


def test_a_record_says_when_the_request_arrived(thebase: Sandbox, client: httpx.Client) -> None:
    before = time.time()
    client.get("/v2/users")
    assert before <= thebase.received[0].at <= time.time()


# What a body is said to be


@pytest.mark.parametrize(
    "content_type",
    [None, "application/x-www-form-urlencoded", "multipart/form-data; boundary=a", "text/plain", "text/json"],
)
@pytest.mark.parametrize("path", ["/v2/leads/create", "/v2/search/leadsAndAccounts"])
def test_a_body_that_is_not_called_json_is_rejected(
    thebase: Sandbox, client: httpx.Client, content_type: str | None, path: str
) -> None:
    headers = bearer(thebase, client) | ({"Content-Type": content_type} if content_type else {})
    response = client.post(path, content=b'{"name": "a", "f_name": "b", "phone": "7"}', headers=headers)
    assert_problem(response, 415, "UnsupportedMediaType", "Unsupported Media Type")
    assert reason(thebase) == "Content-Type must be application/json"


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "Application/JSON"])
def test_json_is_known_by_its_media_type_alone(
    thebase: Sandbox, client: httpx.Client, content_type: str
) -> None:
    headers = bearer(thebase, client) | {"Content-Type": content_type}
    body = b'{"name": "a", "f_name": "b", "phone": "7"}'
    assert client.post("/v2/leads/create", content=body, headers=headers).status_code == 201


def test_what_has_no_body_needs_no_content_type(thebase: Sandbox, client: httpx.Client) -> None:
    token = bearer(thebase, client)
    assert client.post("/v2/search/leadsAndAccounts", headers=token).status_code == 201
    response = client.post("/v2/leads/create", headers=token | AS_JSON)
    assert_problem(response, 400, "BadRequest", "the body is not a JSON object")


# The page of HTML


@pytest.mark.parametrize(("size", "length"), [(1000, 1000), (0, 108)])
def test_the_page_of_a_401_is_as_large_as_it_is_set(
    thebase: Sandbox, client: httpx.Client, size: int, length: int
) -> None:
    thebase.error_page_size = size
    response = client.get("/v2/users", headers={"Accept": "*/*"})
    assert (response.status_code, len(response.content)) == (401, length)
    assert Sandbox(error_page_size=size).error_page_size == size
