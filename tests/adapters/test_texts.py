"""What a user reads at 3 a.m., word for word: each error, warning and log line, in one place."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests

import thebase_auth.httpx
import thebase_auth.requests
from tests.support.broken import broken_server
from tests.support.clients import CLIENT_ID, Client, auth_for
from tests.support.servers import Answer, Api, Received, api_server
from thebase_auth import TheBaseAuth
from thebase_auth._core.credentials import Credentials
from thebase_auth._core.errors import TokenRequestError
from thebase_auth._core.origin import Origin
from thebase_auth._core.token import Answer as TokenAnswer
from thebase_auth._core.token import parse_token_response

DOMAIN = "acme.thebase.co.il"
SECRET = "kZ3mY0o7TqWc1uXv9sBf2Q.."
SETTINGS = "Settings, Webhooks/API, API token"


class NoCache:
    """Has none of the methods of a cache."""


class AsyncCache:
    """Has them, to be awaited."""

    async def load(self, key: str) -> None:
        """Load."""

    async def store(self, *_: Any) -> None:
        """Store."""

    async def lock(self, *_: Any) -> None:
        """Lock."""


# What the constructor says

PARTS = "has a path, a query, a fragment or user-info"
HOST = "is not a valid host name, IPv4 address or IPv6 address in brackets"
OF_DOMAIN = [
    ("", "is empty"),
    (" \u200f\n", "is empty"),
    (7, "must be text, not int"),
    ("ftp://acme.thebase.co.il", "has a scheme other than https"),
    ("user@acme.thebase.co.il", PARTS),
    ("acme.thebase.co.il?a", PARTS),
    ("acme.thebase.co.il#a", PARTS),
    ("acme.thebase.co.il/v2", PARTS),
    ("acme.thebase.co.il\\v2", PARTS),
    ("http://acme.thebase.co.il",
     "is given with http://, which is allowed only for loopback hosts: use https"),
    ("acme.thebase.co.il:x", "has a port that is not a number from 1 to 65535"),
    ("[::g]", HOST),
    ("acme_!.co.il", HOST),
    ("1.2.3.256", HOST),
    ("\u0660\u05d0\u0660.co.il", "is not a valid international host name"),
]  # fmt: skip


@pytest.mark.parametrize(("domain", "what"), OF_DOMAIN)
def test_of_a_wrong_domain(domain: Any, what: str) -> None:
    with pytest.raises(ValueError) as caught:
        TheBaseAuth(domain, "id", "secret")
    assert str(caught.value) == (
        f"domain {what}; give it as TheBase shows it under {SETTINGS}, for example 'acme.thebase.co.il'"
    )


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (7, "must be text, not int"),
        ("", "is empty"),
        ("a ", "begins or ends with white space; was it copied with a line break?"),
        ("a\u200fb", "has a control or invisible character (U+200F); copy it again from TheBase"),
    ],
)  # fmt: skip
def test_of_a_wrong_id_or_secret(value: Any, what: str) -> None:
    for name, settings in (("client id", (value, "secret")), ("client secret", ("id", value))):
        with pytest.raises(ValueError) as caught:
            TheBaseAuth(DOMAIN, *settings)
        assert str(caught.value) == f"{name} {what}"


def test_of_an_id_with_a_colon() -> None:
    with pytest.raises(ValueError) as caught:
        TheBaseAuth(DOMAIN, "id:secret", "secret")
    assert str(caught.value) == (
        "client id has a colon, which Basic authentication cannot carry (RFC 7617 section 2);"
        " were id and secret pasted together?"
    )


@pytest.mark.parametrize(
    ("given", "told"), [(0, "0"), (-1.5, "-1.5"), ("5", "of type str"), (True, "of type bool")]
)
def test_of_a_wrong_timeout(given: Any, told: str) -> None:
    with pytest.raises(ValueError) as caught:
        TheBaseAuth(DOMAIN, "id", "secret", timeout=given)
    assert str(caught.value) == (
        f"timeout must be a positive number of seconds that the machine can wait; it is {told}"
    )


NO_CACHE = (
    "cache must be an object with the methods load, store and lock, such as FileTokenCache(path) or"
    " RedisTokenCache(client) of thebase_auth.caches; it is of type"
)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (AsyncCache(), "cache must have plain methods: they are called in threads, not awaited"),
        (AsyncCache, f"{NO_CACHE} type"),
        ("tokens.json", f"{NO_CACHE} str"),
        (NoCache(), f"{NO_CACHE} NoCache"),
    ],
    ids=["async", "class", "path", "object"],
)
def test_of_a_wrong_cache(given: Any, told: str) -> None:
    with pytest.raises(TypeError) as caught:
        TheBaseAuth(DOMAIN, "id", "secret", cache=given)
    assert str(caught.value) == told


def test_of_a_wrong_session() -> None:
    with pytest.raises(TypeError) as caught:
        TheBaseAuth(DOMAIN, "id", "secret", session=httpx)  # type: ignore[arg-type]
    assert str(caught.value) == "session must be a requests.Session, not module"


def test_of_settings_that_the_environment_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THEBASE_DOMAIN", DOMAIN)
    monkeypatch.setenv("THEBASE_CLIENT_ID", "")
    monkeypatch.delenv("THEBASE_CLIENT_SECRET", raising=False)
    with pytest.raises(ValueError) as caught:
        TheBaseAuth.from_env()
    assert str(caught.value) == (
        "unset or empty in the environment: THEBASE_CLIENT_ID, THEBASE_CLIENT_SECRET"
    )


# What is said to another library


def test_to_another_library_than_that_of_the_class() -> None:
    with pytest.raises(TypeError) as caught:
        thebase_auth.requests.TheBaseAuth(DOMAIN, "id", "secret")(httpx.Request("GET", "https://a"))  # type: ignore[arg-type]
    advice = (
        "; take the one of thebase_auth.requests, thebase_auth.httpx or thebase_auth.httpx2 that fits, or"
        " thebase_auth.TheBaseAuth, which serves all three; there is none for other libraries"
    )
    assert str(caught.value) == "this TheBaseAuth does not sign a httpx.Request" + advice
    auth = thebase_auth.httpx.TheBaseAuth(DOMAIN, "id", "secret")
    with pytest.raises(TypeError) as caught:
        auth(requests.Request("GET", "https://a"))
    assert str(caught.value) == "this TheBaseAuth does not sign a requests.models.Request" + advice
    with pytest.raises(TypeError) as caught:
        auth.auth_flow(httpx.Request("GET", "https://a"))
    assert str(caught.value) == (
        "TheBaseAuth cannot be combined with another auth object, because it waits and reads: put the other's"
        " header into the headers of the client; by hand, call sync_auth_flow or async_auth_flow"
    )


# What is said of the token endpoint's answer

IS_IT = f"Is {DOMAIN} the domain that TheBase shows under {SETTINGS}?"
CHECK = (
    f"Check that client id and client secret belong to {DOMAIN}, are not swapped, and were not cancelled: in TheBase,"
    f" {SETTINGS}."
)
LATER = "The server has a problem; try again later, or ask its support"
PROBLEM = {"code": "Unauthorized", "message": "Unauthorized", "instance": "tag:ecid/w4"}


WALL = (
    "That is a web page, not an answer of TheBase's API: a firewall or a gateway on the way has"
    " refused the request. Ask whoever runs it; client id and client secret are probably not to blame."
)
ASKED = (
    "The server refuses what it was asked: a token for grant_type=client_credentials, the only one that its"
    " documentation knows; no scope was asked for. Check what the client id may do in TheBase:"
    f" {SETTINGS}, and whether {DOMAIN} is the domain there; or ask its support."
)


def answer(status: int, document: object = None, **headers: str) -> TokenAnswer:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return TokenAnswer(status, fields, b"" if document is None else body)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (answer(200, b"<h1>", content_type="text/html; charset=utf-8"),
         f"answered 200, but its answer is 4 bytes of text/html, not a JSON object. {IS_IT}"),
        (answer(200, b"<h1>"),
         f"answered 200, but its answer is 4 bytes of no media type, not a JSON object. {IS_IT}"),
        (answer(204), f"answered 204, but its answer is empty, not a JSON object. {IS_IT}"),
        (answer(200, {}), f"answered 200, but its answer has no access_token. {IS_IT}"),
        (answer(200, {"access_token": "a b"}),
         f"answered 200, but its answer has an access_token that cannot be put in a header. {IS_IT}"),
        (answer(200, {"access_token": "abc", "token_type": "mac"}),
         f"answered 200, but its answer has the token_type 'mac' instead of 'bearer'. {IS_IT}"),
        (answer(200, {"access_token": "abc", "token_type": "abcdef"}),
         f"answered 200, but its answer has the token_type '[hidden]def' instead of 'bearer'. {IS_IT}"),
        (answer(401, PROBLEM),
         f"answered 401 (code: Unauthorized, message: Unauthorized, instance: tag:ecid/w4). {CHECK}"),
        (answer(400, {"error": "invalid_client", "error_description": "no\x1b such\nclient"}),
         f"answered 400 (error: invalid_client, error_description: no  such client). {CHECK}"),
        (answer(403, b"<", content_type="text/html"), f"answered 403 (1 bytes of text/html). {WALL}"),
        (answer(406, b"<TITLE >Not\n Acceptable!", content_type="text/HTML"),
         f"answered 406 (24 bytes of text/HTML with the title 'Not Acceptable!'). {WALL}"),
        (answer(400, b"<title>No required SSL certificate was sent</title>", content_type="text/html"),
         ("answered 400 (51 bytes of text/html with the title 'No required SSL certificate was sent')."
         " That page is about a client certificate: the token request needs the one that your other requests"
         " have. requests takes it from TheBaseAuth(..., session=session), httpx from httpx.Client(verify=...).")),
        (answer(404, b"<", content_type="text/html"), f"answered 404 (1 bytes of text/html). {IS_IT}"),
        (answer(200, {"error": "invalid_client", "error_description": "unknown"}),
         f"answered 200 (error: invalid_client, error_description: unknown). {CHECK}"),
        (answer(400, {"error": "invalid_scope"}), f"answered 400 (error: invalid_scope). {ASKED}"),
        (answer(400, {"error": "unsupported_grant_type"}),
         f"answered 400 (error: unsupported_grant_type). {ASKED}"),
        (answer(401, {"error": "unauthorized_client"}),
         f"answered 401 (error: unauthorized_client). {ASKED}"),
        (answer(302, location="https://elsewhere.example/?code=7#access_token=abc"),
         ("answered 302 (empty). A token endpoint that redirects (to https://elsewhere.example/) is not"
         f" followed, so that the secret goes nowhere else. {IS_IT}")),
        (answer(308), ("answered 308 (empty). A token endpoint that redirects (to no location) is not"
         f" followed, so that the secret goes nowhere else. {IS_IT}")),
        (answer(429), "answered 429 (empty). Too many requests; try again later."),
        (answer(429, retry_after="7"), "answered 429 (empty). Too many requests; try again in 7 seconds."),
        (answer(429, retry_after="Fri, 1 Jan"),
         "answered 429 (empty). Too many requests; try again after Fri, 1 Jan."),
        (answer(500, PROBLEM), ("answered 500 (code: Unauthorized, message: Unauthorized,"
         f" instance: tag:ecid/w4). {LATER}, naming tag:ecid/w4.")),
        (answer(555), f"answered 555 (empty). {LATER}."),
        (answer(404), f"answered 404 (empty). {IS_IT}"),
        (answer(404, {"code": True, "message": 7}), f"answered 404 (message: 7). {IS_IT}"),
        (answer(400, {"error": "x" * 1000}), f"answered 400 (error: {'x' * 300}). {CHECK}"),
    ],
    ids=str,
)  # fmt: skip
def test_an_answer_without_a_token(given: TokenAnswer, told: str) -> None:
    credentials = Credentials(Origin.of_domain(DOMAIN), CLIENT_ID, SECRET)
    with pytest.raises(TokenRequestError) as caught:
        parse_token_response(given, credentials=credentials, epoch=0)
    assert str(caught.value) == f"the token endpoint of {DOMAIN} {told}"
    assert (caught.value.domain, caught.value.status) == (DOMAIN, given.status)


@pytest.mark.parametrize(
    ("client_id", "secret", "told"),
    [
        ("a", "b..", " The client id does not end in two dots, as those that TheBase makes do."),
        ("a...", "b..", " The client id does not end in two dots, as those that TheBase makes do."),
        ("a..", '"b.."', " The client secret is in quotation marks; were they copied along?"),
        ("'a'", "b", (" The client id is in quotation marks; were they copied along? The client"
         " secret does not end in two dots, as those that TheBase makes do.")),
        ("'a..", "b..", ""),
        ("a..'", "b..", " The client id does not end in two dots, as those that TheBase makes do."),
    ],
)  # fmt: skip
def test_of_slips_of_copying(client_id: str, secret: str, told: str) -> None:
    credentials = Credentials(Origin.of_domain(DOMAIN), client_id, secret)
    with pytest.raises(TokenRequestError) as caught:
        parse_token_response(answer(401), credentials=credentials, epoch=0)
    assert str(caught.value) == f"the token endpoint of {DOMAIN} answered 401 (empty). {CHECK}{told}"


# What is said of a request


def test_of_plain_http(client: Client) -> None:
    with pytest.raises(client.error) as caught:
        client.get(auth_for(DOMAIN), f"http://{DOMAIN}/v2/users")
    assert str(caught.value) == (
        f"a request to {DOMAIN} over http:// was not sent, because anyone on the way could read its"
        " token; write https:// in its URL"
    )


def test_of_a_wait_that_was_too_long(client: Client) -> None:
    asked, may_answer = threading.Event(), threading.Event()

    def slow(request: Received) -> Answer:
        if request.path == "/oauth/token":
            asked.set()
            may_answer.wait(20)
        return api(request)

    api = Api()
    with api_server(api) as (server, _):
        server.handler = slow
        auth = auth_for(server.url, timeout=0.3)  # in requests, of the one who waits
        patient = auth_for(server.url, timeout=20)
        core: Any = patient._core
        core.shared = auth._core.shared
        leader = threading.Thread(target=lambda: requests.get(server.url + "/a", auth=patient, timeout=20))
        leader.start()
        assert asked.wait(20)
        try:
            with pytest.raises(client.error) as caught:
                client.get(auth, server.url + "/a", timeout=0.3)
        finally:
            may_answer.set()
            leader.join()
    domain = server.url.removeprefix("http://")
    assert str(caught.value) == (
        f"this call timed out while it waited for another caller to fetch an access token for {domain};"
        " if that happens again, the token endpoint or the cache is too slow, or the timeout of the call"
        " too short"
    )
    assert caught.value.domain == domain  # type: ignore[attr-defined]


def test_of_a_body_that_changed_while_a_token_was_fetched(tmp_path: Path) -> None:
    path = tmp_path / "body"
    path.write_bytes(b"abc")

    def handler(request: Received) -> Answer:
        if request.path == "/oauth/token":
            path.write_bytes(b"changed")
        return api(request)

    api = Api()
    with api_server(api) as (server, _), path.open("rb") as file:
        auth = auth_for(server.url)
        httpx.get(server.url + "/a", auth=auth)
        api.revoke()
        server.handler = handler
        with pytest.raises(thebase_auth.httpx.ReplayError) as caught:
            httpx.post(server.url + "/v2/leads/create", auth=auth, content=file)
    domain = server.url.removeprefix("http://")
    assert str(caught.value) == (
        f"{domain} refused the access token of POST /v2/leads/create (401), and its body changed before it"
        " could be sent again with a new token; make the call again"
    )


@pytest.mark.parametrize("with_session", [True, False])
def test_of_a_token_request_of_requests_that_failed(with_session: bool) -> None:
    with broken_server("closes") as (url, _), requests.Session() as session:
        auth = auth_for(url, session=session if with_session else None)
        with pytest.raises(requests.ConnectionError) as caught:
            session.get(url + "/a", auth=auth, timeout=5)
    own_settings = (
        "If your session has a verify, a proxy or an adapter of its own, give it to the token"
        " request too: TheBaseAuth(..., session=session)."
    )
    assert caught.value.__notes__ == [
        f"This was the token request to {url}/oauth/token.",
        *([] if with_session else [own_settings]),
    ]


# What the log says


Call = Callable[[Client, TheBaseAuth, str], Any]


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda client, auth, url: client.get(auth, f"{url}/a?b=c"),
         ["DEBUG fetched an access token from DOMAIN"]),
        (lambda client, auth, url: client.get(auth, url.replace("127.0.0.1", "localhost")),
         ["DEBUG left a request unsigned: it does not go to DOMAIN",
          ("WARNING localhost answered 401 to a request without an access token: TheBaseAuth signs only"
           " requests to DOMAIN, which is another host. If both are meant to be the same, build the URLs of the"
           " requests from auth.base_url. This warning is not repeated.")]),
    ],
    ids=["fetched", "elsewhere"],
)  # fmt: skip
def test_in_the_log(client: Client, call: Call, told: list[str], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "thebase_auth")
    with api_server() as (server, _):
        call(client, auth_for(server.url), server.url)
    assert ours(caplog) == [line.replace("DOMAIN", server.url[7:]) for line in told]


def test_in_the_log_of_a_renewal(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    with api_server() as (server, api):
        auth = auth_for(server.url)
        client.get(auth, server.url + "/a")
        api.revoke()
        caplog.set_level(logging.DEBUG, "thebase_auth")
        client.post(auth, server.url + "/a?b=c", b"body")
    assert ours(caplog) == [
        f"DEBUG fetched an access token from {server.url[7:]}",
        "DEBUG replaying POST /a after a 401",
    ]


def test_in_the_log_of_a_body_that_cannot_be_replayed(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    async def chunks() -> Any:
        yield b"once"

    with api_server() as (server, api):
        auth = auth_for(server.url)
        client.get(auth, server.url + "/a")
        api.revoke()
        caplog.set_level(logging.DEBUG, "thebase_auth")
        body = chunks() if client.is_async else iter([b"once"])
        client.post(auth, server.url + "/a?b=c", body)
    assert ours(caplog) == [
        (
            "DEBUG not replaying POST /a after a 401: its body cannot be sent again; the next request"
            " has another token"
        )
    ]


def test_in_the_log_of_a_call_that_is_always_refused(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    with api_server() as (server, api):
        auth = auth_for(server.url)
        api.answers["/a?b=c"] = (401, {}, b"")
        for _ in range(4):
            client.get(auth, server.url + "/a?b=c")
    assert ours(caplog) == [
        (
            f"WARNING GET /a on {server.url[7:]} answers 401 even with a new access token:"
            f" the client id {CLIENT_ID} probably lacks the right to this call. Check its rights in"
            f" TheBase: {SETTINGS}. The caller gets the 401, and new tokens are tried more and more rarely."
            " This warning is not repeated."
        )
    ]


def ours(caplog: pytest.LogCaptureFixture) -> list[str]:
    records = [one for one in caplog.records if one.name == "thebase_auth"]
    return [f"{one.levelname} {one.getMessage()}" for one in records]
