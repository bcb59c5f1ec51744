"""The sandbox's token endpoint, tokens, clients and their permissions, with the reason of each 401."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.support.sandbox import GRANT, ask_token, assert_problem, bearer
from thebase_auth.testing import Sandbox, SandboxClient

FORM = "application/x-www-form-urlencoded"
CHALLENGE = 'Bearer realm="Oracle REST Data Services", error="invalid_token"'


def reason(thebase: Sandbox) -> str:
    return thebase.received[-1].reason


def status(client: httpx.Client, token: dict[str, str]) -> int:
    return client.get("/v2/users", headers=token).status_code


# --- the token endpoint ---


def test_right_credentials_get_a_token(thebase: Sandbox, client: httpx.Client) -> None:
    response = ask_token(thebase, client)
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    document = response.json()
    assert re.fullmatch(r"[\w-]{22}", document.pop("access_token"))
    assert document == {"token_type": "bearer", "expires_in": 3600}


@pytest.mark.parametrize("expires_in", [60, "3600", 1.5, None, -1, [], {"a": 1}])
def test_expires_in_is_said_as_given_and_may_change(expires_in: object) -> None:
    with Sandbox(expires_in=expires_in) as thebase, httpx.Client(base_url=thebase.domain) as client:
        assert ask_token(thebase, client).json()["expires_in"] == expires_in
        thebase.expires_in = 7
        assert ask_token(thebase, client).json()["expires_in"] == 7


def basic(text: bytes) -> str:
    return "Basic " + base64.b64encode(text).decode()


@pytest.mark.parametrize(
    ("authorization", "why"),
    [
        (b"", "no client id and secret in Authorization"),
        (b"Basic YTpi/", "no client id and secret in Authorization"),
        ("Basic לקוח:סוד".encode(), "no client id and secret in Authorization"),
        (basic("לקוח:סוד".encode()).encode(), "unknown client id"),
        (basic(b"LvTJmqtlvEKyuqvz1brRMg..:secret").encode(), "wrong client secret"),
        # The right ones, under another scheme
        (basic(b"LvTJmqtlvEKyuqvz1brRMg..:kZ3mY0o7TqWc1uXv9sBf2Q..").replace("Basic", "Bearer").encode(),
         "no client id and secret in Authorization"),
    ],
)  # fmt: skip
def test_wrong_credentials_get_a_problem_document(
    thebase: Sandbox, client: httpx.Client, authorization: bytes, why: str
) -> None:
    in_body = {"client_id": thebase.client_id, "client_secret": thebase.client_secret}
    headers = [(b"Authorization", authorization)]
    response = client.post("/oauth/token", headers=headers, data=GRANT | in_body)
    assert_problem(response, 401, "Unauthorized", "Unauthorized")
    assert reason(thebase) == why


@pytest.mark.parametrize(
    ("content", "content_type", "error", "why"),
    [
        (b"", FORM, "invalid_request", "no grant_type"),
        (b"grant_type=password", FORM, "unsupported_grant_type", "grant_type must be client_credentials"),
        (b'{"grant_type": "client_credentials"}', "application/json", "invalid_request",
         f"Content-Type must be {FORM}"),
    ],
)  # fmt: skip
def test_any_other_grant_is_an_oauth_error(
    thebase: Sandbox, client: httpx.Client, content: bytes, content_type: str, error: str, why: str
) -> None:
    pair = (thebase.client_id, thebase.client_secret)
    headers = {"Content-Type": content_type}
    response = client.post("/oauth/token", auth=pair, content=content, headers=headers)
    assert (response.status_code, response.json()) == (400, {"error": error})
    assert reason(thebase) == why


def test_the_token_endpoint_accepts_only_post(thebase: Sandbox, client: httpx.Client) -> None:
    response = client.get("/oauth/token")
    assert_problem(response, 405, "MethodNotAllowed", "Method Not Allowed")
    assert (response.headers["allow"], reason(thebase)) == ("POST", "the method must be POST")
    assert thebase.token_requests == 0


def test_other_credentials_may_be_chosen_and_changed() -> None:
    with (
        Sandbox(client_id="-id", client_secret="ס:od") as thebase,
        httpx.Client(base_url=thebase.domain) as client,
    ):
        old = (thebase.client_id, thebase.client_secret)
        assert ask_token(thebase, client).status_code == 200
        thebase.client.client_secret = "new"
        assert ask_token(thebase, client).status_code == 200
        assert client.post("/oauth/token", auth=old, data=GRANT).status_code == 401


# --- what a token is good for ---


def test_several_tokens_live_until_they_are_revoked(thebase: Sandbox, client: httpx.Client) -> None:
    tokens = [bearer(thebase, client), bearer(thebase, client)]
    assert tokens[0] != tokens[1]
    assert [status(client, token) for token in tokens] == [200, 200]
    thebase.revoke_tokens()
    assert [status(client, token) for token in tokens] == [401, 401]
    assert status(client, bearer(thebase, client)) == 200


def test_a_single_token_ends_those_of_its_client_only(thebase: Sandbox, client: httpx.Client) -> None:
    thebase.single_token = True
    mine, theirs = bearer(thebase, client), bearer(thebase, client, thebase.limited_client)
    newest = bearer(thebase, client)
    assert [status(client, token) for token in (mine, theirs, newest)] == [401, 200, 200]


def test_a_token_lives_for_its_lifetime(thebase: Sandbox, client: httpx.Client) -> None:
    token = bearer(thebase, client)
    thebase.token_lifetime = 0
    assert [status(client, token), status(client, bearer(thebase, client))] == [401, 401]
    thebase.token_lifetime = 60
    assert status(client, token) == 200


def expire(thebase: Sandbox) -> None:
    thebase.token_lifetime = 0


def issue_another(thebase: Sandbox) -> None:
    thebase.single_token = True
    with httpx.Client(base_url=thebase.domain) as client:
        bearer(thebase, client)


def revoke_and_more(thebase: Sandbox) -> None:
    thebase.revoke_tokens()
    issue_another(thebase)
    expire(thebase)


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (Sandbox.revoke_tokens, "revoked token"),
        (expire, "expired token"),
        (issue_another, "revoked by a newer token"),
        (revoke_and_more, "revoked token"),
        (Sandbox.reset, "unknown token"),
        (lambda thebase: thebase.client.refuse("GET *"), "the client lacks permission for this call"),
    ],
)
def test_each_kind_of_401_has_its_reason_and_looks_alike(
    thebase: Sandbox, client: httpx.Client, spoil: Callable[[Sandbox], None], why: str
) -> None:
    token = bearer(thebase, client)
    spoil(thebase)
    response = client.get("/v2/users", headers=token)
    assert_problem(response, 401, "Unauthorized", "Unauthorized")
    assert response.headers["www-authenticate"] == CHALLENGE
    assert (reason(thebase), str(thebase.received[-1])) == (why, f"GET /v2/users 401 ({why})")


@pytest.mark.parametrize(
    ("authorization", "why"),
    [(None, "no token"), ("", "no token"), ("Basic YTpi", "no token"), ("Bearer", "no token"),
     ("Bearer x", "unknown token"), (b"Bearer \xe9", "unknown token")],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/v2/users", "/v2/no/such/path"])
def test_a_call_without_a_token_is_told_from_one_with_a_wrong_token(
    thebase: Sandbox, client: httpx.Client, path: str, authorization: Any, why: str
) -> None:
    response = client.get(path, headers={} if authorization is None else {"Authorization": authorization})
    assert_problem(response, 401, "Unauthorized", "Unauthorized")
    assert (response.headers["www-authenticate"], reason(thebase)) == (CHALLENGE, why)


@pytest.mark.parametrize(("accept", "is_page"), [("*/*", True), ("Application/JSON, */*", False)])
def test_a_401_is_a_huge_page_without_accept_json(client: httpx.Client, accept: str, is_page: bool) -> None:
    response = client.get("/v2/users", headers={"Accept": accept})
    assert response.status_code == 401
    if is_page:
        assert response.headers["content-type"] == "text/html; charset=utf-8"
        assert response.text.startswith("<!DOCTYPE html>")
        # A terminal shows nothing of the rest.
        assert (len(response.content), len(response.content.rstrip(b"\r"))) == (467_009, 108)
    else:
        assert_problem(response, 401, "Unauthorized", "Unauthorized")


# --- clients and their permissions ---


@pytest.mark.parametrize(
    ("pattern", "refused"),
    [
        ("/v2/users", {("GET", "/v2/users"), ("PUT", "/v2/users")}),
        ("* /v2/users", {("GET", "/v2/users"), ("PUT", "/v2/users")}),
        ("GET *", {("GET", "/v2/users"), ("GET", "/v2/leads/statuses")}),
    ],
)
def test_permission_is_taken_away_and_given_back(
    thebase: Sandbox, client: httpx.Client, pattern: str, refused: set[tuple[str, str]]
) -> None:
    token = bearer(thebase, client)
    calls = [("GET", "/v2/users"), ("PUT", "/v2/users"), ("GET", "/v2/leads/statuses")]

    def rejected() -> set[tuple[str, str]]:
        return {call for call in calls if client.request(*call, headers=token).status_code == 401}

    thebase.client.refuse(pattern)
    assert rejected() == refused
    thebase.client.allow(pattern)
    assert rejected() == set()


@pytest.mark.parametrize(
    ("call", "nearest"),
    [
        ("GET /v2/user", "GET /v2/users"),
        ("DELETE /v2/products", "DELETE /v2/products/{id}"),
        ("/v2/user", "/v2/users"),
        ("PUT /v2/timer/", "PUT /v2/timer/{id}"),
    ],
)
def test_unknown_call_is_an_error_that_names_the_nearest(thebase: Sandbox, call: str, nearest: str) -> None:
    text = f"the sandbox has no call {call!r}; the nearest is {nearest!r}"
    for name in (lambda call: Sandbox(refused=[call]), lambda call: thebase.assert_received(call, times=0)):
        with pytest.raises(ValueError, match=re.escape(text)):
            name(call)


@pytest.mark.parametrize(
    "call",
    ["*", "DELETE *", "/v2/*", "GET /v2/products/17", "/v2/*/17", "/v2/products*", "/v2/products/1*",
     "HEAD /v2/users", "GET /v2/products/", "* /v2/timer/open", "/*s/create", "PUT /v2/timer/*"],
)  # fmt: skip
def test_known_call_may_be_refused_and_asserted_not_received(thebase: Sandbox, call: str) -> None:
    thebase.client.refuse(call)
    thebase.assert_received(call, times=0)


def test_token_endpoint_cannot_be_refused(thebase: Sandbox) -> None:
    with pytest.raises(ValueError, match="the sandbox has no call '/oauth/token'"):
        thebase.client.refuse("/oauth/token")
    thebase.assert_received("POST /oauth/token", times=0)


def test_what_was_not_refused_cannot_be_given_back(thebase: Sandbox) -> None:
    with pytest.raises(ValueError, match=r"'GET \*' is not refused; refused are \['DELETE \*'\]"):
        thebase.limited_client.allow("GET *")


@pytest.mark.parametrize(
    "call",
    ["", "GET", "get /v2/users", "v2/users", "GET v2/users", "GET  /v2/users", "/v2/users?limit=1",
     "https://acme.thebase.co.il/v2/users", " /v2/users", "GET /v2/users ", "GET /v2/a b", "/" + "a" * 1000],
)  # fmt: skip
def test_what_can_mean_no_call_is_rejected_wherever_a_call_is_named(thebase: Sandbox, call: str) -> None:
    for lever in (
        thebase.calls,
        lambda call: thebase.assert_received(call, times=0),
        lambda call: thebase.answer_next(call, 200),
        lambda call: thebase.delay_next(call, 1),
        lambda call: SandboxClient(refused=[call]),
    ):
        with pytest.raises(ValueError, match=f"^{re.escape(repr(call))} is not a call; write"):
            lever(call)


def test_each_client_has_its_own_secret_and_tokens(thebase: Sandbox, client: httpx.Client) -> None:
    third = SandboxClient()
    for value in (third.client_id, third.client_secret):
        assert re.fullmatch(r"[\w-]{22}\.\.", value)
    assert ask_token(thebase, client, third).status_code == 401
    thebase.clients.append(third)
    tokens = [bearer(thebase, client, one) for one in thebase.clients]
    assert len({value for one in thebase.clients for value in (one.client_id, one.client_secret)}) == 6
    swapped = (third.client_id, thebase.client_secret)
    assert client.post("/oauth/token", auth=swapped, data=GRANT).status_code == 401

    thebase.revoke_tokens(third)
    assert [status(client, token) for token in tokens] == [200, 200, 401]


def test_a_cancelled_client_gets_no_token_and_the_one_it_has_stays_good(
    thebase: Sandbox, client: httpx.Client
) -> None:
    token = bearer(thebase, client, thebase.limited_client)
    thebase.clients.remove(thebase.limited_client)
    assert ask_token(thebase, client, thebase.limited_client).status_code == 401
    assert status(client, token) == 200
