"""What the sandbox tells of the requests that it received."""

from __future__ import annotations

import time
from unittest.mock import ANY

import httpx
import pytest

from tests.support.sandbox import AS_JSON, LEAD, ask_token, assert_problem, bearer
from thebase_auth.testing import ReceivedRequest, Sandbox
from thebase_auth.testing._messages import CallPattern


def test_every_request_with_a_response_is_recorded(thebase: Sandbox, client: httpx.Client) -> None:
    before = time.time()
    client.post("/v2/leads/create?a=%D7%90", content=b"body", headers={"X-One": "1"})
    ask_token(thebase, client)
    client.get("/v2/%D7%90")
    rejected, token, unknown = thebase.received
    assert (rejected.method, rejected.path) == ("POST", "/v2/leads/create?a=%D7%90")
    assert (rejected.status, rejected.body, rejected.headers["x-one"]) == (401, b"body", "1")
    assert (token.method, token.path, token.status) == ("POST", "/oauth/token", 200)
    assert (token.body, token.reason) == (b"grant_type=client_credentials", "")
    assert (unknown.method, unknown.path, unknown.status) == ("GET", "/v2/א", 401)
    assert before <= rejected.at <= token.at <= unknown.at <= time.time()


def test_calls_are_chosen_by_path_without_query(thebase: Sandbox, client: httpx.Client) -> None:
    client.get("/v2/us[e]rs")
    client.get("/v2/users?offset=1")
    client.get("/v2/users", headers=bearer(thebase, client))
    assert [call.status for call in thebase.calls("/v2/users")] == [401, 200]
    counts = {call: len(thebase.calls(call)) for call in ("/v2/us[e]rs", "/v2/us.rs", "*/us*rs", "POST *")}
    assert counts == {"/v2/us[e]rs": 1, "/v2/us.rs": 0, "*/us*rs": 3, "POST *": 1}


@pytest.mark.parametrize(
    ("call", "path", "matches"),
    [
        ("/a*", "/a", True), ("/a*a", "/a", False), ("/*ab", "/abab", True), ("*b*", "/abab", True),
        ("/a*b*c", "/abc", True), ("/a*b*c", "/acb", False), ("/a*b*b", "/ab", False), ("*", "", True),
        ("/a**b", "/ab", True), ("/a*", "/a\nb", True), ("/a*", "/b", False),
    ],
)  # fmt: skip
def test_an_asterisk_stands_for_anything(call: str, path: str, matches: bool) -> None:
    assert CallPattern(call).matches("GET", path) == matches


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
    assert (str(received), received.json()) == ("POST /v2/leads/create 201", {"name": 1})
    dropped = ReceivedRequest("GET", "/v2/users?a=1", {}, b"", None)
    assert str(dropped) == "GET /v2/users?a=1 without a response"
    with pytest.raises(ValueError, match="Expecting value"):
        dropped.json()


def test_what_was_received_is_asserted(thebase: Sandbox, client: httpx.Client) -> None:
    client.post("/v2/leads/create", json=LEAD)
    token = bearer(thebase, client)
    client.post("/v2/leads/create?a=1", json=LEAD, headers=token)
    client.post("/v2/search/leadsAndAccounts", content=b"[", headers=AS_JSON | token)
    both = thebase.assert_received("/v2/leads/create")
    assert [one.status for one in both] == [401, 201]
    assert thebase.assert_received("POST /v2/leads/create", times=2) == both
    assert thebase.assert_received("POST /v2/leads/create", 1, status=201, json=LEAD) == both[1:]
    assert thebase.assert_received("POST /v2/*", times=2, json={**LEAD, "phone": ANY}) == both
    assert thebase.assert_received("DELETE *", times=0) == ()
    assert len(thebase.assert_received("*", times=4)) == 4
    thebase.assert_received("POST /v2/leads/create", times=0, json=None)
    thebase.assert_received("POST /v2/leads/create", times=0, status=500)


def test_failed_assertion_shows_the_last_requests_of_many(thebase: Sandbox, client: httpx.Client) -> None:
    with pytest.raises(AssertionError, match=r"received:\n  nothing$"):
        thebase.assert_received("*")
    for number in range(22):
        client.get(f"/{number}")
    with pytest.raises(AssertionError, match=r"^received 22 x \*, expected 0; all that") as caught:
        thebase.assert_received("*", times=0)
    lines = str(caught.value).splitlines()
    shown = ("  (2 before)", "  GET /2 404 (no such call)", "  GET /21 404 (no such call)")
    assert (lines[1], lines[2], lines[-1]) == shown


def test_no_repr_and_no_failed_assertion_shows_a_secret(thebase: Sandbox, client: httpx.Client) -> None:
    token = bearer(thebase, client)
    client.post("/v2/notes/create", headers=token, json={"msg": "private"})
    client.post("/oauth/token?client_secret=canary", json={"client_secret": thebase.client_secret})
    assert repr(thebase) == f"<Sandbox at {thebase.domain}, 3 requests>"
    shown = repr(thebase) + repr(thebase.received) + str(thebase.received[2])
    assert "ReceivedRequest(method='POST', path='/v2/notes/create', status=201)" in shown
    assert "private" not in shown
    with pytest.raises(AssertionError) as caught:
        thebase.assert_received("*", json=[])
    assert "POST /oauth/token 401" in str(caught.value)
    for secret in (thebase.client_secret, token["Authorization"].partition(" ")[2], "Basic"):
        assert secret not in shown + str(caught.value)
    assert "canary" not in str(caught.value) + str(thebase.received[2])


@pytest.mark.parametrize(
    ("setting", "value"), [("expires_in", {1, 2}), ("token_lifetime", "5"), ("clients", [("id", "secret")])]
)
def test_a_setting_that_cannot_be_is_logged_and_the_request_is_recorded(
    thebase: Sandbox, client: httpx.Client, setting: str, value: object, caplog: pytest.LogCaptureFixture
) -> None:
    client.headers.update(bearer(thebase, client))
    setattr(thebase, setting, value)
    failed = max(ask_token(thebase, client), client.get("/v2/users"), key=lambda one: one.status_code)
    assert_problem(failed, 500, "InternalServerError", "Internal Server Error")
    assert ("the sandbox failed", 500) in [(one.reason, one.status) for one in thebase.received]
    record = next(one for one in caplog.records if one.levelname == "ERROR")
    assert (record.name, record.exc_info is None) == ("thebase_auth.testing", False)


def test_on_request_that_raises_is_logged_and_changes_no_response(caplog: pytest.LogCaptureFixture) -> None:
    def fail(_: ReceivedRequest) -> None:
        raise RuntimeError("by mistake")

    with Sandbox(on_request=fail) as thebase:
        assert httpx.get(f"{thebase.domain}/v2/users").status_code == 401
    assert "on_request failed for GET /v2/users 401" in caplog.text
    assert "by mistake" in caplog.text
