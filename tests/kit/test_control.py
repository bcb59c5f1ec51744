"""The control interface: levers and record over HTTP, and who may use them."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

import thebase_auth.testing
from tests.support.sandbox import AS_JSON, LEAD, PRODUCT, ask_token, bearer, controlled
from thebase_auth.testing import Sandbox, SandboxClient
from thebase_auth.testing._crm import crm_routes
from thebase_auth.testing._levers import _LEVERS


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def thebase(told: list[str]) -> Iterator[Sandbox]:
    with controlled(told.append) as thebase:
        yield thebase


def status(client: httpx.Client) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/_sandbox/status").json()
    return found


def pull(client: httpx.Client, lever: str, **arguments: Any) -> dict[str, Any]:
    response = client.post(f"/_sandbox/{lever}", json=arguments)
    assert response.status_code == 200, response.text
    assert response.json() == status(client)
    return status(client)


def error(response: httpx.Response, status: int) -> str:
    assert (response.status_code, response.headers["content-type"]) == (status, "application/json")
    text: str = response.json()["error"]
    assert list(response.json()) == ["error"]
    return text


# Levers


def test_tokens_of_one_client_or_of_all_are_revoked(thebase: Sandbox, client: httpx.Client) -> None:
    mine, theirs = bearer(thebase, client), bearer(thebase, client, thebase.limited_client)
    pull(client, "revoke_tokens", client_id=thebase.limited_client.client_id)
    assert [client.get("/v2/users", headers=one).status_code for one in (mine, theirs)] == [200, 401]
    pull(client, "revoke_tokens")
    assert client.get("/v2/users", headers=mine).status_code == 401


def test_settings_and_permissions_are_changed(thebase: Sandbox, client: httpx.Client) -> None:
    before = status(client)
    changes = {"expires_in": "soon", "token_lifetime": 0.5, "single_token": True}
    assert pull(client, "settings", **changes)["settings"] == before["settings"] | changes
    assert ask_token(thebase, client).json()["expires_in"] == "soon"
    pull(client, "settings", expires_in=-1)
    assert (thebase.expires_in, thebase.single_token) == (-1, True)
    mine, limited, third = thebase.client_id, thebase.limited_client.client_id, SandboxClient()
    refused = pull(client, "refuse", call="GET *")["refused"]
    assert refused == {mine: ["GET *"], limited: ["DELETE *"]}
    thebase.clients.append(third)
    pull(client, "allow", call="GET *")
    pull(client, "allow", call="DELETE *", client_id=limited)
    refused = pull(client, "refuse", call="/v2/sms/*", client_id=third.client_id)["refused"]
    assert refused == {mine: [], limited: [], third.client_id: ["/v2/sms/*"]}
    assert pull(client, "reset") == before
    assert client.post("/_sandbox/reset", headers=AS_JSON).status_code == 200  # without a body


def test_levers_are_pending_until_requests_use_them(thebase: Sandbox, client: httpx.Client) -> None:
    call, headers = "GET /v2/users", {"Retry-After": "7"}
    pull(client, "answer_next", call=call, status=503, body="wait", content_type="a/b", headers=headers)
    pull(client, "answer_next", call="/v2/users", status=200, json=None, times=2)
    pull(client, "redirect_next", call=call, location="/elsewhere", status=301)
    pull(client, "drop_next", call=call, carried_out=True)
    assert pull(client, "delay_next", call=call, seconds=0, times=5)["pending"] == [
        {"lever": "delay_next", "call": call, "seconds": 0, "times": 5},
        {"lever": "answer_next", "call": call, "status": 503, "times": 1},
        {"lever": "answer_next", "call": "/v2/users", "status": 200, "times": 2},
        {"lever": "answer_next", "call": call, "status": 301, "times": 1},
        {"lever": "drop_next", "call": call, "carried_out": True, "times": 1},
    ]
    first, second, _, fourth = (client.get("/v2/users") for _ in range(4))
    assert (first.status_code, first.text, first.headers["content-type"]) == (503, "wait", "a/b")
    assert (first.headers["retry-after"], second.content) == ("7", b"null")
    assert (fourth.status_code, fourth.headers["location"]) == (301, "/elsewhere")
    with pytest.raises(httpx.RemoteProtocolError):
        client.get("/v2/users")
    assert [one.status for one in thebase.received] == [503, 200, 200, 301, 401]
    assert all(one.reason.startswith("delayed by a lever") for one in thebase.received)
    assert status(client)["pending"] == []


@pytest.mark.thebase_allow_unused
def test_each_lever_that_is_pulled_is_reported_in_short(told: list[str], client: httpx.Client) -> None:
    pull(client, "revoke_tokens")
    pull(client, "settings", expires_in="א")
    client.post("/_sandbox/refuse", json={})
    pull(client, "answer_next", call="*", status=200, body="a" * 1000)
    assert told[:2] == ["revoke_tokens", 'settings {"expires_in": "א"}']
    assert [(one[-6:], len(one)) for one in told[2:]] == [("aaa...", 215)]


@pytest.mark.parametrize(
    ("lever", "arguments", "text"),
    [
        ("refuse", {"call": "users"}, "'users' is not a call; write a method in capitals and a path"),
        ("refuse", {"call": 7}, "call must be text, not 7"),
        ("refuse", {}, "refuse() missing 1 required positional argument: 'call'"),
        ("refuse", {"call": "*", "clientid": "a"}, "refuse() got an unexpected keyword argument 'clientid'"),
        ("refuse", {"call": "*", "client_id": "a"}, "there is no client 'a'; there are LvTJ"),
        ("revoke_tokens", {"client_id": None}, "client_id must be text, not null"),
        ("settings", {"token_life": 1}, "there is no setting 'token_life'; there are expires_in, token_"),
        ("settings", {"token_lifetime": True}, "token_lifetime must be a number, not true"),
        ("settings", {"token_lifetime": -1}, "token_lifetime must be from 0 to 1000000, not -1"),
        ("settings", {"single_token": 1}, "single_token must be true or false, not 1"),
        ("settings", {"token_lifetime": 10**9}, "token_lifetime must be from 0 to 1000000, not 10000"),
        ("settings", {"expires_in": "1" * 999}, "expires_in must be JSON of at most 1000 characters"),
        ("answer_next", {"call": "*", "status": True}, "status must be a whole number, not true"),
        ("answer_next", {"call": "*", "status": 200, "body": "a", "json": 1}, "give body or json, not both"),
        ("answer_next", {"call": "*", "status": 200, "headers": {"a": 1}}, "the header field a cannot be 1"),
        ("answer_next", {"call": "*", "status": 200, "headers": "a"}, 'headers must be an object, not "a"'),
        ("drop_next", {"call": "*", "carried_out": "no"}, 'carried_out must be true or false, not "no"'),
    ],
)  # fmt: skip
def test_wrong_argument_is_named_and_changes_nothing(
    thebase: Sandbox, client: httpx.Client, lever: str, arguments: dict[str, Any], text: str
) -> None:
    before = status(client)
    assert error(client.post(f"/_sandbox/{lever}", json=arguments), 400).startswith(text)
    assert status(client) == before


def test_body_must_be_a_json_object(client: httpx.Client) -> None:
    response = client.post("/_sandbox/settings", content=b'{"expires_in": NaN}', headers=AS_JSON)
    assert error(response, 400) == "the body is not a JSON object"


@pytest.mark.parametrize(
    ("method", "name", "code", "allowed"),
    [
        ("GET", "reset", 405, "POST"), ("POST", "status", 405, "GET, HEAD"), ("POST", "", 405, "GET, HEAD"),
        ("POST", "revoke", 404, None),
    ],
)  # fmt: skip
def test_wrong_method_or_name_says_what_there_is(
    client: httpx.Client, method: str, name: str, code: int, allowed: str | None
) -> None:
    response = client.request(method, f"/_sandbox/{name}", headers=AS_JSON)
    start = "the method must be " if allowed else f"there is no lever {name!r}; there are revoke_tokens, set"
    assert error(response, code).startswith(start)
    assert response.headers.get("allow") == allowed


# Who may use it


def rejections(thebase: Sandbox, **headers: str) -> set[str]:
    """Why what a program, a page or a browser asks for with these header fields is rejected."""
    url = httpx.URL(thebase.domain).copy_with(host="127.0.0.1")
    found = set()
    for method, name in ("POST", "reset"), ("GET", "status"), ("GET", "received"), ("GET", ""):
        response = httpx.request(method, url.join(f"/_sandbox/{name}"), headers={**AS_JSON, **headers})
        found.add("" if response.status_code == 200 else error(response, 403))
    preflight = httpx.options(url.join("/_sandbox/reset"), headers=headers)
    assert preflight.status_code in {403, 405}
    assert not [name for name in preflight.headers if name.startswith("access-control")]
    return found


@pytest.mark.parametrize("content_type", [None, "text/plain"])
def test_body_that_any_page_may_send_is_rejected(
    told: list[str], client: httpx.Client, content_type: str | None
) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    response = client.post("/_sandbox/reset", content=b"{}", headers=headers)
    assert (error(response, 415), told) == ("Content-Type must be application/json", [])


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "", "https://{host}"])
def test_page_of_another_site_is_rejected(thebase: Sandbox, told: list[str], origin: str) -> None:
    origin = origin.format(host=thebase.domain.removeprefix("http://"))
    assert rejections(thebase, Origin=origin) == {"pages of other sites may not use this"}
    assert told == []


FOREIGN = ["evil.example", "127.0.0.1.evil.example", "10.0.0.1", "localhost.", "evil.example#thebase", ""]


@pytest.mark.parametrize(
    ("given", "accepted", "rejected", "names"),
    [
        ("127.0.0.1", ["127.0.0.1", "localhost", "LOCALHOST:8000", "[::1]:8000"], [*FOREIGN, "thebase"],
         "127.0.0.1, localhost, ::1"),
        ("TheBase", ["thebase", "THEBASE:8080", "localhost:8080", "[::1]"], FOREIGN,
         "127.0.0.1, localhost, ::1, thebase"),
    ],
)  # fmt: skip
def test_only_names_of_this_machine_are_accepted(
    given: str, accepted: list[str], rejected: list[str], names: str
) -> None:
    with controlled(host=given) as sandbox:
        for host in accepted:
            assert rejections(sandbox, Host=host, Origin=f"http://{host}") == {""}
            assert "" not in rejections(sandbox, Host=host, Origin="http://evil.example")
        why = f"the host must be one of {names}; start the sandbox with --host for another"
        users = httpx.URL(sandbox.domain).copy_with(host="127.0.0.1", path="/v2/users")
        for host in rejected:
            assert rejections(sandbox, Host=host, Origin=f"http://{host}") == {why}
            assert httpx.get(users, headers={"Host": host}).status_code == 401  # calls may use any name
        assert httpx.get(users.join("/_sandbox/status"), headers={"Host": "[::1"}).status_code == 400


@pytest.mark.skipif(sys.platform != "linux", reason="needs a second address of this machine")
@pytest.mark.parametrize(
    ("host", "domain", "addresses"),
    [("127.0.0.1", "http://127.0.0.1", 1), ("localhost", "http://localhost", 1),
     ("0.0.0.0", "http://127.0.0.1", 2), ("thebase", "http://thebase", 2)],  # noqa: S104
)  # fmt: skip
def test_sandbox_listens_on_the_host_or_everywhere(host: str, domain: str, addresses: int) -> None:
    with Sandbox(host=host) as thebase:
        url = httpx.URL(thebase.domain)
        assert str(url) == f"{domain}:{url.port}"
        reached = 0
        for address in ("127.0.0.1", "127.0.0.2"):
            with suppress(httpx.ConnectError):
                reached += httpx.get(url.copy_with(host=address)).status_code == 404
        assert reached == addresses


@pytest.mark.parametrize("host", ["", "http://thebase", "thebase:80", "::1", "a b", "ישראל"])
def test_host_must_be_a_name_or_an_address(host: str) -> None:
    with pytest.raises(ValueError, match="host must be a name or an IPv4 address, not '"):
        Sandbox(host=host)


# What was received


def test_received_requests_are_listed_without_secrets(thebase: Sandbox, client: httpx.Client) -> None:
    token = bearer(thebase, client)
    client.post("/oauth/token?client_secret=canary", content=b"client_secret=canary")
    client.post("/v2/leads/create?a=%D7%90", json=LEAD, headers=token | {"X-One": "1", "Cookie": "canary=1"})
    client.get("/v2/%D7%90")
    response = client.get("/_sandbox/received")
    first, second, third, fourth = response.json()["received"]
    assert first == {
        "number": thebase.received[0].number, "method": "POST", "path": "/oauth/token", "status": 200,
        "reason": "", "reason_he": "", "client_id": thebase.client_id, "at": thebase.received[0].at,
        "headers": first["headers"], "body": None,
    }  # fmt: skip
    assert (second["path"], second["body"]) == ("/oauth/token", None)
    assert (third["path"], json.loads(third["body"])) == ("/v2/leads/create?a=%D7%90", LEAD)
    assert (third["headers"]["x-one"], third["headers"]["content-type"]) == ("1", "application/json")
    assert (fourth["path"], fourth["reason"], fourth["client_id"]) == ("/v2/א", "no token", None)
    assert fourth["reason_he"] == "בלי טוקן"
    for secret in ("canary", thebase.client_secret, token["Authorization"].partition(" ")[2]):
        assert secret not in response.text


def test_reasons_are_listed_in_hebrew_too(thebase: Sandbox, client: httpx.Client) -> None:
    client.headers.update(bearer(thebase, client))
    client.post("/v2/leads/create", data={"name": "a"})
    client.post("/v2/leads/create", json={"name": "a"})
    client.post("/v2/users")
    thebase.delay_next("*", 0)
    client.get("/v2/products")
    reasons = [one["reason_he"] for one in client.get("/_sandbox/received").json()["received"]]
    assert reasons == [
        "",
        "ה־Content-Type צריך להיות \u2066application/json\u2069",
        "חסר השדה \u2066f_name\u2069",
        "המתודה צריכה להיות אחת מ־\u2066GET, HEAD\u2069",
        "עיכוב יזום, אין קריאה כזאת; התכוונתם ל־\u2066GET /v2/products/\u2069 ?",
    ]


def test_list_is_chosen_by_call_number_and_last_requests(thebase: Sandbox, client: httpx.Client) -> None:
    token = bearer(thebase, client)
    for number in range(3):
        client.post("/v2/products/create", json=PRODUCT | {"name": f"{number}"}, headers=token)
    ask = {"call": "POST /v2/products/create", "last": "2"}
    found = client.get("/_sandbox/received", params=ask).json()
    assert found["count"] == 3
    assert [json.loads(one["body"])["name"] for one in found["received"]] == ["1", "2"]
    brief = client.get("/_sandbox/received", params={**ask, "brief": "1"}).json()["received"]
    assert brief == [
        {key: one[key] for key in one if key not in {"headers", "body"}} for one in found["received"]
    ]
    number = brief[0]["number"]
    one = client.get("/_sandbox/received", params={"number": number}).json()
    assert one == {"count": 1, "received": found["received"][:1]}
    nothing = {"count": 0, "received": []}
    for query in ("call=/v2/none", "number=999999999", f"number={number}&call=GET+*"):
        assert client.get(f"/_sandbox/received?{query}").json() == nothing


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("call=users", "'users' is not a call; "),
        ("status=200", "status cannot be asked for; brief, call, last and number can"),
        ("nonsense", "bad query field: 'nonsense'"),
        *[(query, "{} is not a whole number of at least 1".format(query.partition("=")[0])) for query in
          ("last=0", "number=", "brief=no")],
    ],
)  # fmt: skip
def test_impossible_choice_of_requests_is_a_400(client: httpx.Client, query: str, text: str) -> None:
    assert error(client.get(f"/_sandbox/received?{query}"), 400).startswith(text)


def test_dropped_request_is_listed_and_nothing_of_the_interface(
    thebase: Sandbox, client: httpx.Client
) -> None:
    thebase.drop_next("*")
    with pytest.raises(httpx.RemoteProtocolError):
        client.post("/v2/users", content="א" * 10_001)
    for method, name in [("GET", ""), ("GET", "received"), ("POST", "a"), ("PUT", "")]:
        client.request(method, f"/_sandbox/{name}")
    [entry] = client.get("/_sandbox/received").json()["received"]
    assert (entry["status"], entry["reason"]) == (None, "dropped by a lever")
    assert entry["body"] == "א" * 5_000  # its first 10,000 bytes


def test_only_the_last_requests_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("thebase_auth.testing._control._MOST_KEPT", 2)
    with controlled() as thebase, httpx.Client(base_url=thebase.domain) as client:
        for begin in "ab":
            for end in "123":
                client.get(f"/{begin}{end}")
            assert [one.path for one in thebase.received] == [f"/{begin}2", f"/{begin}3"]
            pull(client, "reset")


def test_python_sandbox_does_not_have_the_interface() -> None:
    with Sandbox() as thebase, httpx.Client(base_url=thebase.domain) as client:
        assert client.get("/_sandbox/status").status_code == 404
        thebase.assert_received("GET /_sandbox/status")


# The page and the OpenAPI document


@pytest.mark.parametrize("path", ["/_sandbox/", "/_sandbox"])
def test_page_may_run_nothing_but_its_own(client: httpx.Client, path: str) -> None:
    page = client.get(path)
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["cache-control"] == "no-store"
    assert client.head(path).headers["content-length"] == page.headers["content-length"]


def test_page_is_in_the_package_and_needs_nothing_from_elsewhere() -> None:
    # nox runs this on the wheel. In a browser, test_page looks at it.
    text = Path(thebase_auth.testing.__file__).with_name("_page.html").read_text("utf-8")
    assert text.startswith("<!doctype html>\n")
    text = text.replace("http://www.w3.org/2000/svg", "")
    for foreign in ("http://", "https://", "//cdn", "@import", "innerHTML", "insertAdjacent", " style="):
        assert foreign not in text, foreign
    assert not re.search(r"\son\w+=", text)
    assert set(re.findall(r'{ lever: "(\w+)"', text)) == set(_LEVERS)


def test_openapi_document_has_each_call_as_it_is(thebase: Sandbox, client: httpx.Client) -> None:
    document = client.get("/_sandbox/openapi.json").json()
    assert document["openapi"] == "3.1.0"
    calls = {(method, path) for path, methods in document["paths"].items() for method in methods}
    assert calls == {(route.method.lower(), route.path) for route in crm_routes()}
    client.headers.update(bearer(thebase, client))
    for route in crm_routes():
        call = document["paths"][route.path][route.method.lower()]
        assert list(call["responses"]) == [str(route.status), "default"]
        assert ("parameters" in call) == ("{id}" in route.path)
        assert ("requestBody" in call) == (route.method == "POST")
        if route.required:
            schema = call["requestBody"]["content"]["application/json"]["schema"]
            assert schema["required"] == list(route.required)
            assert client.post(route.path, json={}).json()["message"] == f"{route.required[0]} is required"
