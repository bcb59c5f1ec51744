"""The sandbox: its token endpoint, its clients, its levers, its record, its life."""

from __future__ import annotations

import json
import re
from typing import Any
from unittest.mock import ANY

import httpx
import pytest

from tests.support.sandbox import AS_JSON, GRANT, LEAD, ask_token, assert_problem, bearer
from thebase_auth.testing import ReceivedRequest, Sandbox, SandboxClient

# --- the token endpoint ---


def test_right_credentials_get_a_token(thebase: Sandbox, client: httpx.Client) -> None:
    response = ask_token(thebase, client)
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    document = response.json()
    assert re.fullmatch(r"[\w-]{22}", document.pop("access_token"))
    assert document == {"token_type": "bearer", "expires_in": 3600}


@pytest.mark.parametrize("expires_in", [60, "3600", 1.5, None, -1, [], {"a": 1}])
def test_expires_in_is_said_as_given_and_may_change(expires_in: object) -> None:
    with Sandbox(expires_in=expires_in) as thebase, httpx.Client(base_url=thebase.domain) as client:
        assert ask_token(thebase, client).json()["expires_in"] == expires_in
        thebase.expires_in = 7
        assert ask_token(thebase, client).json()["expires_in"] == 7


@pytest.mark.parametrize("pair", [("LvTJmqtlvEKyuqvz1brRMg..", "wrong"), ("wrong", "kZ3m..")])
def test_wrong_credentials_get_a_problem_document(client: httpx.Client, pair: tuple[str, str]) -> None:
    response = client.post("/oauth/token", auth=pair, data=GRANT)
    assert_problem(response, 401, "Unauthorized", "Unauthorized")


def test_wrong_credentials_get_a_page_without_accept_json(client: httpx.Client) -> None:
    headers = {"Accept": "*/*"}
    response = client.post("/oauth/token", auth=("a", "b"), data=GRANT, headers=headers)
    assert response.status_code == 401
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.text.startswith("<!DOCTYPE html>")


def test_credentials_in_the_body_are_rejected(thebase: Sandbox, client: httpx.Client) -> None:
    pair = {"client_id": thebase.client_id, "client_secret": thebase.client_secret}
    assert client.post("/oauth/token", data={**GRANT, **pair}).status_code == 401


def test_credentials_under_another_scheme_are_rejected(thebase: Sandbox, client: httpx.Client) -> None:
    request = client.build_request("POST", "/oauth/token", data=GRANT)
    basic = next(httpx.BasicAuth(thebase.client_id, thebase.client_secret).auth_flow(request)).headers[
        "Authorization"
    ]
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


def test_a_grant_type_that_is_not_urlencoded_is_not_read(thebase: Sandbox, client: httpx.Client) -> None:
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
        thebase.client.client_secret = "new"
        assert ask_token(thebase, client).status_code == 200
        assert client.post("/oauth/token", auth=old, data=GRANT).status_code == 401


# --- what a token is good for ---


def test_several_tokens_live_at_once(thebase: Sandbox, client: httpx.Client) -> None:
    first, second = bearer(thebase, client), bearer(thebase, client)
    assert first != second
    assert client.get("/v2/users", headers=first).status_code == 200
    assert client.get("/v2/users", headers=second).status_code == 200


def test_a_single_token_ends_the_one_before() -> None:
    with Sandbox(single_token=True) as thebase, httpx.Client(base_url=thebase.domain) as client:
        first, second = bearer(thebase, client), bearer(thebase, client)
        assert client.get("/v2/users", headers=first).status_code == 401
        assert client.get("/v2/users", headers=second).status_code == 200


def test_revoked_tokens_are_rejected_and_new_ones_accepted(thebase: Sandbox, client: httpx.Client) -> None:
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


def test_a_rejected_call_gets_a_huge_page_without_accept_json(client: httpx.Client) -> None:
    response = client.get("/v2/users", headers={"Accept": "text/html"})
    assert response.status_code == 401
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert len(response.content) == 467_009


def test_tokens_end_by_the_clock(thebase: Sandbox, client: httpx.Client) -> None:
    token = bearer(thebase, client)
    thebase.token_lifetime = 0
    assert client.get("/v2/users", headers=token).status_code == 401
    assert client.get("/v2/users", headers=bearer(thebase, client)).status_code == 401
    thebase.token_lifetime = 60
    assert client.get("/v2/users", headers=token).status_code == 200


# --- clients and their permissions ---


def test_a_client_may_lack_the_right_to_delete(thebase: Sandbox, client: httpx.Client) -> None:
    token = bearer(thebase, client, thebase.limited_client)
    product = {"name": "Tv", "price": 505, "is_active": True, "category": "1"}
    created = client.post("/v2/products/create", json=product, headers=token)
    path = f"/v2/products/{created.json()['id']}"
    assert client.get(path, headers=token).status_code == 200
    refused = client.delete(path, headers=token)
    assert_problem(refused, 401, "Unauthorized", "Unauthorized")
    assert "www-authenticate" not in refused.headers
    assert client.get("/v2/users", headers=token).status_code == 200  # the token is good
    assert client.delete(path, headers=bearer(thebase, client)).status_code == 200


@pytest.mark.parametrize(
    ("pattern", "refused"),
    [
        ("GET /v2/users", {("GET", "/v2/users")}),
        ("/v2/users", {("GET", "/v2/users"), ("PUT", "/v2/users")}),
        ("* /v2/users", {("GET", "/v2/users"), ("PUT", "/v2/users")}),
        ("GET *", {("GET", "/v2/users"), ("GET", "/v2/leads/statuses")}),
        ("/v2/*/statuses", {("GET", "/v2/leads/statuses")}),
        ("POST /v2/leads/*", set()),
    ],
)
def test_permission_is_taken_away_and_given_back(
    thebase: Sandbox, client: httpx.Client, pattern: str, refused: set[tuple[str, str]]
) -> None:
    token = bearer(thebase, client)
    calls = [("GET", "/v2/users"), ("PUT", "/v2/users"), ("GET", "/v2/leads/statuses")]

    def responses() -> set[tuple[str, str]]:
        statuses = {call: client.request(*call, headers=token).status_code for call in calls}
        return {call for call, status in statuses.items() if status == 401}

    thebase.client.refuse(pattern)
    assert responses() == refused
    thebase.client.allow(pattern)
    assert responses() == set()


@pytest.mark.parametrize(
    ("call", "nearest"),
    [
        ("GET /v2/user", "GET /v2/users"),
        ("POST /v2/users", "GET /v2/users"),
        ("DELETE /v2/product/*", "DELETE /v2/products/{id}"),
        ("DELETE /v2/products", "DELETE /v2/products/{id}"),
        ("/v2/user", "/v2/users"),
        ("PUT /v2/timer/", "PUT /v2/timer/{id}"),
        ("* /v2/smss/*", "/v2/sms/send"),
    ],
)
def test_unknown_call_is_an_error_that_names_the_nearest(thebase: Sandbox, call: str, nearest: str) -> None:
    text = f"the sandbox has no call {call!r}; the nearest is {nearest!r}"
    for name in (
        thebase.client.refuse,
        lambda call: SandboxClient(refused=[call]),
        lambda call: Sandbox(refused=[call]),
        lambda call: thebase.assert_received(call, times=0),
    ):
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
     "https://acme.thebase.co.il/v2/users", " /v2/users", "GET /v2/users ", "GET /v2/a b"],
)  # fmt: skip
def test_what_can_mean_no_call_is_rejected_wherever_a_call_is_named(thebase: Sandbox, call: str) -> None:
    for lever in (
        thebase.calls,
        thebase.assert_received,
        lambda call: thebase.assert_received(call, times=0),
        lambda call: thebase.answer_next(call, 200),
        lambda call: thebase.redirect_next(call, "/"),
        lambda call: thebase.delay_next(call, 1),
        thebase.drop_next,
        thebase.client.refuse,
        lambda call: SandboxClient(refused=[call]),
    ):
        with pytest.raises(ValueError, match=f"^{re.escape(repr(call))} is not a call; write"):
            lever(call)


def test_nothing_but_the_asterisk_is_special_in_a_call(thebase: Sandbox, client: httpx.Client) -> None:
    client.get("/v2/us[e]rs")
    client.get("/v2/users")
    assert len(thebase.calls("/v2/us[e]rs")) == 1
    assert len(thebase.calls("/v2/us.rs")) == 0
    assert len(thebase.calls("*/us*rs")) == 2


def test_each_client_has_its_own_secret_and_tokens(thebase: Sandbox, client: httpx.Client) -> None:
    third = SandboxClient()
    assert client.post("/oauth/token", auth=(third.client_id, third.client_secret)).status_code == 401
    thebase.clients.append(third)
    tokens = [bearer(thebase, client, one) for one in thebase.clients]
    assert len({one.client_id for one in thebase.clients}) == 3
    swapped = (third.client_id, thebase.client_secret)
    assert client.post("/oauth/token", auth=swapped, data=GRANT).status_code == 401

    thebase.revoke_tokens(third)
    assert [client.get("/v2/users", headers=token).status_code for token in tokens] == [200, 200, 401]


def test_a_new_client_has_credentials_of_the_vendors_form() -> None:
    made = SandboxClient()
    for value in (made.client_id, made.client_secret):
        assert re.fullmatch(r"[\w-]{22}\.\.", value)
    assert made.client_id != made.client_secret
    assert repr(SandboxClient("id", "secret", refused=["GET *", "/v2/users"])) == (
        "SandboxClient('id', refused=['/v2/users', 'GET *'])"
    )


def test_a_cancelled_client_gets_no_token_and_the_one_it_has_stays_good(
    thebase: Sandbox, client: httpx.Client
) -> None:
    token = bearer(thebase, client, thebase.limited_client)
    thebase.clients.remove(thebase.limited_client)
    assert ask_token(thebase, client, thebase.limited_client).status_code == 401
    assert client.get("/v2/users", headers=token).status_code == 200


def test_a_single_token_ends_those_of_its_client_only(thebase: Sandbox, client: httpx.Client) -> None:
    thebase.single_token = True
    mine, theirs = bearer(thebase, client), bearer(thebase, client, thebase.limited_client)
    bearer(thebase, client)
    assert client.get("/v2/users", headers=mine).status_code == 401
    assert client.get("/v2/users", headers=theirs).status_code == 200


# --- what is told of requests ---


def test_every_request_with_a_response_is_recorded(thebase: Sandbox, client: httpx.Client) -> None:
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


def test_token_requests_are_counted_whatever_they_get(thebase: Sandbox, client: httpx.Client) -> None:
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


def test_a_record_says_which_client_called(thebase: Sandbox, client: httpx.Client) -> None:
    token = bearer(thebase, client, thebase.limited_client)
    client.get("/v2/users", headers=token)
    thebase.revoke_tokens()
    client.get("/v2/users", headers=token)
    client.get("/v2/users")
    limited = thebase.limited_client.client_id
    assert [one.client_id for one in thebase.received] == [limited, limited, None, None]


def test_a_record_reads_as_a_line_and_its_body_as_json() -> None:
    received = ReceivedRequest("POST", "/v2/leads/create", {}, b'{"name": 1}', 201)
    assert str(received) == "POST /v2/leads/create 201"
    assert received.json() == {"name": 1}
    dropped = ReceivedRequest("GET", "/v2/users?a=1", {}, b"", None)
    assert str(dropped) == "GET /v2/users?a=1 without a response"
    with pytest.raises(ValueError, match="Expecting value"):
        dropped.json()


@pytest.fixture
def leads(thebase: Sandbox, client: httpx.Client) -> dict[str, str]:
    """One rejected lead, one created, one search, and one token request."""
    client.post("/v2/leads/create", content=json.dumps(LEAD, ensure_ascii=False))
    token = bearer(thebase, client)
    client.post("/v2/leads/create?a=1", json=LEAD, headers=token)
    client.post("/v2/search/leadsAndAccounts", content=b"[", headers=AS_JSON | token)
    return token


@pytest.mark.usefixtures("leads")
def test_what_was_received_is_asserted(thebase: Sandbox) -> None:
    both = thebase.assert_received("/v2/leads/create")
    assert [one.status for one in both] == [401, 201]
    assert thebase.assert_received("POST /v2/leads/create", times=2) == both
    assert thebase.assert_received("POST /v2/leads/create", 1, status=201, json=LEAD) == both[1:]
    assert thebase.assert_received("POST /v2/*", times=2, json=LEAD) == both
    assert thebase.assert_received("DELETE *", times=0) == ()
    assert len(thebase.assert_received("*", times=4)) == 4
    thebase.assert_received("POST /v2/leads/create", times=0, json=None, status=500)


@pytest.mark.usefixtures("leads")
@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        ({"call": "/v2/users"}, ["no /v2/users came", "received 0 x /v2/users, expected at least one"]),
        ({"call": "*", "times": 3}, ["received 4 x *, expected 3"]),
        ({"call": "POST /v2/leads/create", "times": 0}, ["received 2 x POST /v2/leads/create, expected 0"]),
        (
            {"call": "POST /v2/leads/create", "times": 2, "status": 201},
            [
                "POST /v2/leads/create 401 (no token) differs: the status is 401, not 201",
                "received 1 x POST /v2/leads/create with the response 201, expected 2",
            ],
        ),
        (
            {"call": "POST /v2/leads/create", "json": {**LEAD, "phone": 1}},
            [
                'POST /v2/leads/create?a=1 201 differs: phone is "0501234567", not 1',
                "received 0 x POST /v2/leads/create with the body {BODY}, expected at least one".replace(
                    "{BODY}", json.dumps({**LEAD, "phone": 1}, ensure_ascii=False)
                ),
            ],
        ),
    ],
)
def test_failed_assertion_shows_what_differs_and_what_was_received(
    thebase: Sandbox, wanted: dict[str, Any], text: list[str]
) -> None:
    with pytest.raises(AssertionError) as caught:
        thebase.assert_received(**wanted)
    shown, _, listing = str(caught.value).partition("; all that was received:\n  ")
    assert shown.splitlines() == text
    lines = listing.split("\n  ")
    if "json" in wanted:
        assert lines[0].startswith('POST /v2/leads/create 401 (no token) {"name": "ישראל"')
    else:
        assert lines[0] == "POST /v2/leads/create 401 (no token)"
    assert lines[1] == "POST /oauth/token 200"
    assert lines[3].startswith("POST /v2/search/leadsAndAccounts 400 (the body is not a JSON object)")


def test_an_assertion_that_fails_shows_no_secret(thebase: Sandbox, client: httpx.Client) -> None:
    client.post("/oauth/token", json={"client_secret": thebase.client_secret})
    token = bearer(thebase, client)["Authorization"].partition(" ")[2]
    with pytest.raises(AssertionError) as caught:
        thebase.assert_received("*", json=[])
    assert "POST /oauth/token 200" in str(caught.value)
    for secret in (thebase.client_secret, token, "Basic"):
        assert secret not in str(caught.value)


def test_an_assertion_that_fails_shows_the_last_requests_of_many(
    thebase: Sandbox, client: httpx.Client
) -> None:
    with pytest.raises(AssertionError, match=r"received:\n  nothing$"):
        thebase.assert_received("*")
    for number in range(22):
        client.get(f"/{number}")
    with pytest.raises(AssertionError) as caught:
        thebase.assert_received("*", times=0)
    lines = str(caught.value).splitlines()
    assert (lines[1], lines[2], lines[-1]) == (
        "  (2 before)",
        "  GET /2 404 (no such call)",
        "  GET /21 404 (no such call)",
    )


def test_each_request_is_reported_as_it_gets_its_response() -> None:
    told: list[str] = []
    with (
        Sandbox(on_request=lambda request: told.append(str(request))) as thebase,
        httpx.Client(base_url=thebase.domain) as client,
    ):
        ask_token(thebase, client)
        assert told == ["POST /oauth/token 200"]


def test_json_is_asserted_with_what_equals_anything(thebase: Sandbox, client: httpx.Client) -> None:
    client.post("/v2/leads/create", json=LEAD)
    thebase.assert_received("POST /v2/leads/create", json={**LEAD, "phone": ANY})
    with pytest.raises(AssertionError, match='with the body {"id": "<ANY>"}'):
        thebase.assert_received("POST /v2/leads/create", json={"id": ANY})


def test_no_body_is_not_json(thebase: Sandbox, client: httpx.Client) -> None:
    client.get("/v2/users")
    thebase.assert_received("GET /v2/users", times=0, json=None)
    client.post("/v2/users", json=None, content=b"null")
    thebase.assert_received("POST /v2/users", times=1, json=None)


def test_a_secret_in_the_query_of_a_token_request_is_not_shown(
    thebase: Sandbox, client: httpx.Client
) -> None:
    client.post("/oauth/token?client_secret=canary", content=b"client_secret=canary")
    with pytest.raises(AssertionError) as caught:
        thebase.assert_received("*", json=[])
    assert "POST /oauth/token 401" in str(caught.value)
    assert "canary" not in f"{caught.value} {thebase.received[0]}"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda thebase: setattr(thebase, "expires_in", {1, 2}),
        lambda thebase: thebase.clients.insert(0, ("id", "secret")),
        lambda thebase: setattr(thebase, "token_lifetime", "5"),
    ],
    ids=["expires_in", "clients", "token_lifetime"],
)
def test_a_setting_that_cannot_be_is_reported_and_the_request_is_recorded(
    thebase: Sandbox, client: httpx.Client, spoil: Any, caplog: pytest.LogCaptureFixture
) -> None:
    headers = bearer(thebase, client)
    spoil(thebase)
    responses = [ask_token(thebase, client), client.get("/v2/users", headers=headers)]
    failed = next(response for response in responses if response.status_code == 500)
    assert_problem(failed, 500, "InternalServerError", "Internal Server Error")
    assert 500 in [one.status for one in thebase.received]
    record = next(one for one in caplog.records if one.levelname == "ERROR")
    assert (record.name, record.exc_info is None) == ("thebase_auth.testing", False)


def test_on_request_that_raises_is_reported_and_changes_no_response(caplog: pytest.LogCaptureFixture) -> None:
    def fail(_: ReceivedRequest) -> None:
        raise RuntimeError("by mistake")

    with Sandbox(on_request=fail) as thebase:
        assert httpx.get(f"{thebase.domain}/v2/users").status_code == 401
    assert "on_request failed for GET /v2/users 401" in caplog.text
    assert "by mistake" in caplog.text
