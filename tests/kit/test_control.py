"""The control interface: the levers and the record over HTTP, for programs on this machine only."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import thebase_auth.testing
from tests.support.sandbox import LEAD, PRODUCT, ask_token, bearer
from thebase_auth.testing import Sandbox, SandboxClient
from thebase_auth.testing._control import with_control
from thebase_auth.testing._levers import _LEVERS, BUTTONS


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def thebase(told: list[str]) -> Iterator[Sandbox]:
    """A sandbox with the control interface, as the command line runs it."""
    sandbox = Sandbox()
    sandbox.asgi = with_control(sandbox, told.append)
    with sandbox:
        yield sandbox


def pull(client: httpx.Client, lever: str, **arguments: Any) -> dict[str, Any]:
    response = client.post(f"/_sandbox/{lever}", json=arguments)
    assert response.status_code == 200, response.text
    status: dict[str, Any] = response.json()
    return status


def error(response: httpx.Response, status: int) -> str:
    assert (response.status_code, response.headers["content-type"]) == (status, "application/json")
    text: str = response.json()["error"]
    assert list(response.json()) == ["error"]
    return text


# The levers


def test_tokens_are_revoked_of_all_clients_or_of_one(thebase: Sandbox, client: httpx.Client) -> None:
    mine, theirs = bearer(thebase, client), bearer(thebase, client, thebase.limited_client)
    pull(client, "revoke_tokens", client_id=thebase.limited_client.client_id)
    assert [client.get("/v2/users", headers=one).status_code for one in (mine, theirs)] == [200, 401]
    pull(client, "revoke_tokens")
    assert client.get("/v2/users", headers=mine).status_code == 401


def test_settings_are_changed_and_told(thebase: Sandbox, client: httpx.Client) -> None:
    made = client.get("/_sandbox/status").json()["settings"]
    changed = pull(client, "settings", expires_in="soon", token_lifetime=0.5, single_token=True)["settings"]
    assert changed == made | {"expires_in": "soon", "token_lifetime": 0.5, "single_token": True}
    assert (thebase.expires_in, thebase.token_lifetime, thebase.single_token) == ("soon", 0.5, True)
    assert ask_token(thebase, client).json()["expires_in"] == "soon"
    assert pull(client, "settings", expires_in=None)["settings"]["expires_in"] is None


def test_permission_is_taken_away_and_given_back(thebase: Sandbox, client: httpx.Client) -> None:
    limited = thebase.limited_client.client_id
    assert pull(client, "refuse", call="GET *")["refused"] == {
        thebase.client_id: ["GET *"],
        limited: ["DELETE *"],
    }
    assert client.get("/v2/users", headers=bearer(thebase, client)).status_code == 401
    pull(client, "allow", call="GET *")
    assert client.get("/v2/users", headers=bearer(thebase, client)).status_code == 200
    pull(client, "allow", call="DELETE *", client_id=limited)
    pull(client, "refuse", call="/v2/sms/*", client_id=limited)
    assert client.get("/_sandbox/status").json()["refused"][limited] == ["/v2/sms/*"]


def test_the_next_requests_are_redirected_delayed_and_dropped(thebase: Sandbox, client: httpx.Client) -> None:
    call = "GET /v2/users"
    headers = {"Retry-After": "7"}
    pull(
        client,
        "answer_next",
        call=call,
        status=503,
        body="wait",
        content_type="a/b",
        headers=headers,
        times=2,
    )
    pull(client, "redirect_next", call=call, location="/elsewhere", status=301)
    pull(client, "drop_next", call=call, carried_out=True)
    pull(client, "delay_next", call=call, seconds=0, times=4)
    first, second, third = (client.get("/v2/users") for _ in range(3))
    assert (first.status_code, first.text, first.headers["content-type"]) == (503, "wait", "a/b")
    assert (first.headers["retry-after"], second.status_code) == ("7", 503)
    assert (third.status_code, third.headers["location"]) == (301, "/elsewhere")
    with pytest.raises(httpx.RemoteProtocolError):
        client.get("/v2/users")
    assert [one.status for one in thebase.received] == [503, 503, 301, 401]
    assert all(one.reason.startswith("delayed by a lever") for one in thebase.received)


def test_a_reset_starts_anew(thebase: Sandbox, client: httpx.Client) -> None:
    token = bearer(thebase, client)
    pull(client, "settings", expires_in=5)
    assert pull(client, "reset")["settings"]["expires_in"] == 3600
    assert thebase.received == ()
    assert client.get("/v2/users", headers=token).status_code == 401


def test_a_lever_without_arguments_needs_no_body(client: httpx.Client) -> None:
    json_type = {"Content-Type": "application/json"}
    assert client.post("/_sandbox/reset", headers=json_type).status_code == 200


def test_each_lever_that_is_pulled_is_reported(told: list[str], client: httpx.Client) -> None:
    pull(client, "revoke_tokens")
    pull(client, "settings", expires_in="א")
    client.post("/_sandbox/refuse", json={})
    assert told == ["revoke_tokens", 'settings {"expires_in": "א"}']


def test_a_response_may_be_given_as_json(client: httpx.Client) -> None:
    pull(client, "answer_next", call="/v2/users", status=200, json=None)
    assert client.get("/v2/users").content == b"null"


@pytest.mark.thebase_allow_unused
@pytest.mark.parametrize("button", BUTTONS, ids=lambda button: button.lever)
def test_the_arguments_of_each_button_are_accepted(client: httpx.Client, button: Any) -> None:
    if button.lever == "allow":
        pull(client, "refuse", **button.arguments)
    pull(client, button.lever, **button.arguments)
    pull(client, "reset")


def test_each_lever_has_a_button() -> None:
    assert {button.lever for button in BUTTONS} == set(_LEVERS)


# What is wrong


@pytest.mark.parametrize(
    ("lever", "arguments", "text"),
    [
        ("refuse", {"call": "users"}, "'users' is not a call; write a method in capitals and a path"),
        ("refuse", {"call": "GET /v2/user"}, "the sandbox has no call 'GET /v2/user'; the nearest is"),
        ("refuse", {"call": 7}, "call must be text, not 7"),
        ("refuse", {}, "refuse: missing a required argument: 'call'"),
        (
            "refuse",
            {"call": "*", "clientid": "a"},
            "refuse: got an unexpected keyword argument 'clientid'; its",
        ),
        ("refuse", {"call": "*", "sandbox": 1}, "refuse: got an unexpected keyword argument 'sandbox'"),
        ("refuse", {"call": "*", "client_id": "a"}, "there is no client 'a'; there are ['LvTJ"),
        ("allow", {"call": "GET *"}, "'GET *' is not refused; refused are []"),
        ("revoke_tokens", {"client_id": None}, "client_id must be text, not None"),
        ("settings", {"token_life": 1}, "settings: got an unexpected keyword argument 'token_life'"),
        ("settings", {"token_lifetime": "5"}, "token_lifetime must be a number, not '5'"),
        ("settings", {"token_lifetime": True}, "token_lifetime must be a number, not True"),
        ("settings", {"token_lifetime": -1}, "token_lifetime must be from 0 to 1000000, not -1"),
        ("settings", {"single_token": 1}, "single_token must be true or false, not 1"),
        ("settings", {"token_lifetime": 10**9}, "token_lifetime must be from 0 to 1000000, not 10000"),
        ("answer_next", {"call": "*", "status": 99}, "status must be from 200 to 599, not 99"),
        ("answer_next", {"call": "*", "status": True}, "status must be a whole number, not True"),
        ("answer_next", {"call": "*", "status": 200, "times": 0}, "times must be at least 1, not 0"),
        ("answer_next", {"call": "*", "status": 200, "body": "a", "json": 1}, "give body or json, not both"),
        ("answer_next", {"call": "*", "status": 200, "headers": {"a": 1}}, "expected string or bytes"),
        ("answer_next", {"call": "*", "status": 200, "headers": "a"}, "headers must be an object, not 'a'"),
        ("redirect_next", {"call": "*", "location": "/א"}, "the header field Location cannot be '/א'"),
        ("delay_next", {"call": "*", "seconds": -1}, "seconds must be at least 0 and less than"),
        ("drop_next", {"call": "*", "carried_out": "no"}, "carried_out must be true or false, not 'no'"),
        ("settings", {"expires_in": "1" * 999}, "expires_in must be JSON of at most 1000 characters"),
        ("settings", {"expires_in": json.loads("[" * 900 + "]" * 900)}, "expires_in must be JSON of at"),
        ("reset", {"a": 1}, "reset: got an unexpected keyword argument 'a'; its arguments: none"),
    ],
)
def test_a_wrong_argument_is_a_400_in_the_words_of_python(
    thebase: Sandbox, client: httpx.Client, lever: str, arguments: dict[str, Any], text: str
) -> None:
    before = client.get("/_sandbox/status").json()
    assert error(client.post(f"/_sandbox/{lever}", json=arguments), 400).startswith(text)
    assert client.get("/_sandbox/status").json() == before
    assert client.get("/v2/users").status_code == 401


def test_arguments_that_do_not_go_together_are_a_400(
    thebase: Sandbox, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def drop_next(_: Sandbox) -> None:
        raise TypeError("not both")

    monkeypatch.setitem(_LEVERS, "drop_next", drop_next)
    assert error(client.post("/_sandbox/drop_next", json={}), 400) == "not both"


@pytest.mark.parametrize("body", [b"{", b"[]", b'"a"', b"[" * 10**5, b'{"expires_in": NaN}', b"\xff",
                                  b'{"expires_in": 1e999}', b'{"expires_in": "\\ud800"}'])  # fmt: skip
def test_a_body_that_is_not_a_json_object_is_a_400(client: httpx.Client, body: bytes) -> None:
    response = client.post("/_sandbox/settings", content=body, headers={"Content-Type": "application/json"})
    assert error(response, 400) == "the body is not a JSON object"


def test_what_there_is_not_is_a_404_that_says_what_there_is(client: httpx.Client) -> None:
    text = error(client.post("/_sandbox/revoke", json={}), 404)
    assert text.startswith("there is no lever 'revoke'; there are revoke_tokens, settings, ")
    assert "there is no lever 'reset/'" in error(client.post("/_sandbox/reset/", json={}), 404)


@pytest.mark.parametrize(
    ("method", "name", "allowed"),
    [("GET", "reset", "POST"), ("PUT", "reset", "POST"), ("OPTIONS", "reset", "POST"),
     ("POST", "status", "GET, HEAD"), ("DELETE", "received", "GET, HEAD"), ("POST", "", "GET, HEAD")],
)  # fmt: skip
def test_a_wrong_method_is_a_405(client: httpx.Client, method: str, name: str, allowed: str) -> None:
    response = client.request(method, f"/_sandbox/{name}", headers={"Content-Type": "application/json"})
    assert error(response, 405).startswith("the method must be ")
    assert response.headers["allow"] == allowed


# Who may use it


@pytest.mark.parametrize(
    "content_type",
    [None, "application/x-www-form-urlencoded", "text/plain", "multipart/form-data; boundary=a"],
)
def test_what_any_page_may_send_without_asking_is_rejected(
    told: list[str], client: httpx.Client, content_type: str | None
) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    response = client.post("/_sandbox/reset", content=b"{}", headers=headers)
    assert error(response, 415) == "Content-Type must be application/json"
    assert told == []


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://localhost:3000", "", "https://{host}"]
)
@pytest.mark.parametrize(
    ("method", "name"), [("POST", "reset"), ("GET", "status"), ("GET", "received"), ("GET", "")]
)
def test_a_page_of_another_site_is_rejected(
    thebase: Sandbox, client: httpx.Client, told: list[str], origin: str, method: str, name: str
) -> None:
    host = thebase.domain.removeprefix("http://")
    headers = {"Content-Type": "application/json", "Origin": origin.format(host=host)}
    response = client.request(method, f"/_sandbox/{name}", headers=headers)
    assert error(response, 403) == "pages of other sites may not use this"
    assert "access-control-allow-origin" not in response.headers
    assert told == []


def test_no_other_site_is_allowed_when_a_browser_asks_first(client: httpx.Client) -> None:
    headers = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST",
               "Access-Control-Request-Headers": "content-type"}  # fmt: skip
    response = client.options("/_sandbox/reset", headers=headers)
    assert response.status_code == 403
    assert not [name for name in response.headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "evil.example:80", "10.0.0.1", ""]
)
@pytest.mark.parametrize(("method", "name"), [("POST", "reset"), ("GET", "status"), ("GET", "")])
def test_a_name_that_leads_here_is_rejected(
    client: httpx.Client, told: list[str], host: str, method: str, name: str
) -> None:
    headers = {"Content-Type": "application/json", "Host": host, "Origin": f"http://{host}"}
    response = client.request(method, f"/_sandbox/{name}", headers=headers)
    assert error(response, 403) == "the host must be 127.0.0.1 or localhost"
    assert told == []


def test_a_host_that_cannot_be_read_is_rejected(client: httpx.Client) -> None:
    assert client.get("/_sandbox/status", headers={"Host": "[::1"}).status_code == 400


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "localhost:8000", "[::1]:8000"])
def test_this_machine_may_use_it_by_any_of_its_names(client: httpx.Client, host: str) -> None:
    headers = {"Host": host, "Origin": f"http://{host}"}
    assert client.post("/_sandbox/reset", json={}, headers=headers).status_code == 200


# What is told


def test_the_status_has_all_settings(thebase: Sandbox, client: httpx.Client) -> None:
    status = client.get("/_sandbox/status").json()
    assert (status["domain"], status["client_id"], status["client_secret"]) == (
        thebase.domain,
        thebase.client_id,
        thebase.client_secret,
    )
    assert status["limited_client"] == {
        "client_id": thebase.limited_client.client_id,
        "client_secret": thebase.limited_client.client_secret,
    }
    assert status["settings"] == {"expires_in": 3600, "token_lifetime": 3600.0, "single_token": False}
    assert [one["lever"] for one in status["buttons"]] == [one.lever for one in BUTTONS]


def test_what_was_received_is_listed_without_secrets(thebase: Sandbox, client: httpx.Client) -> None:
    token = bearer(thebase, client)
    client.post("/oauth/token?client_secret=canary", content=b"client_secret=canary")
    client.post("/v2/leads/create?a=%D7%90", json=LEAD, headers=token | {"X-One": "1", "Cookie": "canary=1"})
    client.get("/v2/%D7%90")
    response = client.get("/_sandbox/received")
    document = response.json()
    first, second, third, fourth = document["received"]
    assert document["count"] == 4
    assert first == {
        "method": "POST",
        "path": "/oauth/token",
        "status": 200,
        "reason": "",
        "reason_he": "",
        "client_id": thebase.client_id,
        "at": thebase.received[0].at,
        "headers": first["headers"],
        "body": None,
    }
    assert (second["path"], second["body"]) == ("/oauth/token", None)
    assert (third["path"], third["status"], json.loads(third["body"])) == (
        "/v2/leads/create?a=%D7%90",
        201,
        LEAD,
    )
    assert (third["headers"]["x-one"], third["headers"]["content-type"]) == ("1", "application/json")
    assert (fourth["path"], fourth["reason"], fourth["client_id"]) == ("/v2/א", "no token", None)
    assert fourth["reason_he"] == "בלי טוקן"
    for secret in ("canary", thebase.client_secret, token["Authorization"].partition(" ")[2]):
        assert secret not in response.text


def test_of_a_long_body_the_beginning_is_listed(client: httpx.Client) -> None:
    client.post("/v2/notes/create", content="א" * 10_001)
    [entry] = client.get("/_sandbox/received").json()["received"]
    assert entry["body"] == "א" * 5_000


def test_a_request_that_waits_is_listed(thebase: Sandbox, client: httpx.Client) -> None:
    thebase.drop_next("*")
    with pytest.raises(httpx.RemoteProtocolError):
        client.get("/v2/users")
    [entry] = client.get("/_sandbox/received").json()["received"]
    assert (entry["status"], entry["reason"]) == (None, "dropped by a lever")


def test_the_list_may_be_of_one_call_and_its_last_requests(thebase: Sandbox, client: httpx.Client) -> None:
    token = bearer(thebase, client)
    for number in range(3):
        client.post("/v2/products/create", json=PRODUCT | {"name": f"{number}"}, headers=token)
    params = {"call": "POST /v2/products/create", "last": "2"}
    document = client.get("/_sandbox/received", params=params).json()
    assert document["count"] == 3
    assert [json.loads(one["body"])["name"] for one in document["received"]] == ["1", "2"]
    assert client.get("/_sandbox/received?call=/v2/none").json() == {"count": 0, "received": []}


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("call=users", "'users' is not a call; "),
        ("last=0", "last must be a number of requests, not '0'"),
        ("last=-1", "last must be a number of requests, not '-1'"),
        ("last=%D9%A3", "last must be a number of requests, not '٣'"),
        ("status=200", "status cannot be asked for; call and last can"),
        ("nonsense", "bad query field: 'nonsense'"),
    ],
)
def test_a_list_that_cannot_be_is_a_400(client: httpx.Client, query: str, text: str) -> None:
    assert error(client.get(f"/_sandbox/received?{query}"), 400).startswith(text)


def test_nothing_of_it_is_in_the_record(thebase: Sandbox, client: httpx.Client) -> None:
    for method, name in [("GET", ""), ("GET", "status"), ("GET", "received"), ("POST", "a"), ("PUT", "")]:
        client.request(method, f"/_sandbox/{name}")
    pull(client, "answer_next", call="*", status=503)
    pull(client, "reset")
    assert thebase.received == ()


def test_a_sandbox_of_python_does_not_have_it() -> None:
    with Sandbox() as thebase, httpx.Client(base_url=thebase.domain) as client:
        assert client.get("/_sandbox/status").status_code == 404
        thebase.assert_received("GET /_sandbox/status")


def test_other_clients_may_be_named_once_they_are_there(thebase: Sandbox, client: httpx.Client) -> None:
    third = SandboxClient()
    thebase.clients.append(third)
    pull(client, "refuse", call="*", client_id=third.client_id)
    assert not third.may("GET", "/v2/users")


# The page


@pytest.mark.parametrize("path", ["/_sandbox/", "/_sandbox"])
def test_the_page_is_served_and_may_run_nothing_but_its_own(client: httpx.Client, path: str) -> None:
    page = client.get(path)
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["cache-control"] == "no-store"
    assert client.head(path).headers["content-length"] == page.headers["content-length"]


def test_the_page_needs_nothing_from_elsewhere(client: httpx.Client) -> None:
    text = client.get("/_sandbox/").text
    text = text.replace("http://www.w3.org/2000/svg", "")
    for foreign in ("http://", "https://", "//cdn", "@import", "innerHTML", "insertAdjacent", " style="):
        assert foreign not in text, foreign
    assert not re.search(r"\son\w+=", text)


def test_the_page_is_in_the_package() -> None:
    # nox runs this on the wheel. In a browser, test_page looks at it.
    page = Path(thebase_auth.testing.__file__).with_name("_page.html")
    assert page.read_text("utf-8").startswith("<!doctype html>\n")


def test_only_the_last_requests_are_kept(
    monkeypatch: pytest.MonkeyPatch, thebase: Sandbox, client: httpx.Client
) -> None:
    client.get("/before")
    monkeypatch.setattr("thebase_auth.testing._control._MOST_KEPT", 2)
    with_control(thebase, print)
    assert [one.path for one in thebase.received] == ["/before"]
    for begin in "ab":
        for end in "123":
            client.get(f"/{begin}{end}")
        response = client.get("/_sandbox/received").json()
        assert (response["count"], [one["path"] for one in response["received"]]) == (
            2,
            [f"/{begin}2", f"/{begin}3"],
        )
        client.post("/_sandbox/reset", json={})
