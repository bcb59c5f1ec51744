"""What a user reads at 3 a.m., word for word: one example for each error, warning and log line."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, TypeAlias

import httpx
import pytest
import requests

import thebase_auth.aiohttp
import thebase_auth.httpx
import thebase_auth.requests
from tests.support.broken import broken_server
from tests.support.clients import CLIENT_ID, CLIENT_SECRET, Client, auth_for, one_time_body
from tests.support.permission import ApiWithoutPermission
from tests.support.servers import api_server
from tests.support.world import DOMAIN, URL
from thebase_auth import FileTokenCache, TheBaseAuth

SETTINGS = "Settings, Webhooks/API, API token"


# The constructor

NO_CACHE = (
    "cache must be an object with the methods load, store and lock, such as FileTokenCache(path) or"
    " RedisTokenCache(client) of thebase_auth.caches; it is of type"
)


ASYNC_CACHE = SimpleNamespace(load=asyncio.sleep, store=asyncio.sleep, lock=asyncio.sleep)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"domain": "acme.thebase.co.il/v2"},
         ("domain has a path, a query, a fragment or user-info; give it as TheBase shows it under"
          f" {SETTINGS}, for example 'acme.thebase.co.il'")),
        ({"client_secret": "a "},
         "client secret begins or ends with white space; was it copied with a line break?"),
        ({"timeout": 0}, "timeout must be a positive number of seconds that the machine can wait; it is 0"),
        ({"timeout": "5"}, "timeout must be a positive number of seconds that the machine can wait; it is of type str"),
        ({"cache": "tokens.json"}, f"{NO_CACHE} str"),
        ({"cache": FileTokenCache}, f"{NO_CACHE} type"),
        ({"cache": ASYNC_CACHE}, "cache must have plain methods: they are called in threads, not awaited"),
        ({"session": httpx}, "session must be a requests.Session, not module"),
    ],
    ids=lambda one: next(iter(one)) if isinstance(one, dict) else "",
)  # fmt: skip
def test_wrong_setting(settings: dict[str, Any], message: str) -> None:
    right: dict[str, Any] = {"domain": DOMAIN, "client_id": "id", "client_secret": "secret"}
    with pytest.raises((ValueError, TypeError)) as caught:
        TheBaseAuth(**(right | settings))
    assert str(caught.value) == message


# Another library

ADVICE = (
    "; use the one of thebase_auth.requests, thebase_auth.httpx, thebase_auth.httpx2 or thebase_auth.aiohttp that fits,"
    " or thebase_auth.TheBaseAuth, which serves all but aiohttp; there is none for other libraries"
)
COMBINED = (
    "TheBaseAuth cannot be combined with another auth object, because it waits and reads: put the other's"
    " header into the headers of the client; by hand, call sync_auth_flow or async_auth_flow"
)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (thebase_auth.requests.TheBaseAuth(DOMAIN, "id", "secret"),
         f"this TheBaseAuth does not sign a httpx.Request{ADVICE}"),
        (thebase_auth.aiohttp.TheBaseAuth(DOMAIN, "id", "secret"),
         f"this TheBaseAuth does not sign a httpx.Request{ADVICE}"),
        (lambda request: TheBaseAuth(DOMAIN, "id", "secret")(request, None),  # as aiohttp calls it
         f"this TheBaseAuth does not sign a httpx.Request{ADVICE}"),
        (thebase_auth.httpx.TheBaseAuth(DOMAIN, "id", "secret"),  # as requests calls it
         f"this TheBaseAuth does not sign a httpx.Request{ADVICE}"),
        (thebase_auth.httpx.TheBaseAuth(DOMAIN, "id", "secret").auth_flow, COMBINED),
    ],
    ids=["requests", "aiohttp", "middleware", "httpx", "auth_flow"],
)  # fmt: skip
def test_request_of_another_library(call: Callable[[Any], Any], message: str) -> None:
    with pytest.raises(TypeError) as caught:
        call(httpx.Request("GET", URL))
    assert str(caught.value) == message


# The token endpoint

IS_IT = f"Is {DOMAIN} the domain that TheBase shows under {SETTINGS}?"
CHECK = (
    f"Check that client id and client secret belong to {DOMAIN}, are not swapped, and were not cancelled: in TheBase,"
    f" {SETTINGS}."
)
PAGE = (
    "That is a web page, not a response of TheBase's API: a firewall or a gateway on the way has"
    " rejected the request. Ask whoever runs it; client id and client secret are probably not to blame."
)
REDIRECT = "It redirects to https://elsewhere.example/, and a token from elsewhere is not used."
SERVER = "The server has a problem; try again later, or ask its support, naming tag:ecid/w4."
NO_TOKEN = "200, but its response"
PROBLEM = {"code": "Unauthorized", "message": "no\x1b such\nclient", "instance": "tag:ecid/w4"}
HTML = {"Content-Type": "text/html"}


def page(title: str) -> dict[str, Any]:
    return {"headers": HTML, "content": f"<title>{title}</title>"}


@pytest.mark.parametrize(
    ("status", "options", "message"),
    [
        (200, {"headers": HTML, "content": b"<h1>"}, f"{NO_TOKEN} is not a JSON object (4 bytes of text/html). {IS_IT}"),
        (200, {"json": {"a": 1}}, f"{NO_TOKEN} has no access_token. {IS_IT}"),
        (200, {"json": {"access_token": "a b"}},
         f"{NO_TOKEN} has an access_token that cannot be put in a header. {IS_IT}"),
        (200, {"json": {"access_token": "abc", "token_type": "mac"}},
         f"{NO_TOKEN} has a token_type other than 'bearer'. {IS_IT}"),
        (401, {"json": PROBLEM},
         f"401 (code: Unauthorized, message: no  such client, instance: tag:ecid/w4). {CHECK}"),
        (200, {"json": {"error": "invalid_client"}}, f"200 (error: invalid_client). {CHECK}"),
        (400, {"json": {"error": "invalid_scope"}}, f"400 (error: invalid_scope). {CHECK}"),
        (406, page("Not Acceptable!"), f"406 (30 bytes of text/html with the title 'Not Acceptable!'). {PAGE}"),
        (404, {}, f"404 (empty). {IS_IT}"),
        (302, {"headers": {"Location": "https://elsewhere.example/?code=7#access_token=abc"}},
         f"302 (empty). {REDIRECT} {IS_IT}"),
        (429, {"headers": {"Retry-After": "7"}}, "429 (empty). Too many requests; try again in 7 seconds."),
        (500, {"json": {"instance": "tag:ecid/w4"}}, f"500 (instance: tag:ecid/w4). {SERVER}"),
    ],
    ids=lambda one: str(one) if isinstance(one, int) else "",
)  # fmt: skip
def test_response_without_a_token(status: int, options: dict[str, Any], message: str) -> None:
    error = error_of("id..", "secret..", status, options)
    assert error == f"the token endpoint of {DOMAIN} responded with {message}"


def error_of(client_id: str, secret: str, status: int, options: dict[str, Any]) -> str:
    transport = httpx.MockTransport(lambda request: httpx.Response(status, **options))
    auth = thebase_auth.httpx.TheBaseAuth(DOMAIN, client_id, secret)
    with httpx.Client(auth=auth, transport=transport) as client:
        with pytest.raises(thebase_auth.httpx.TokenRequestError) as caught:
            client.get(URL)
    return str(caught.value)


@pytest.mark.parametrize(
    ("client_id", "secret", "message"),
    [
        ("a", "b..", " The client id does not end in two dots, as those that TheBase makes do."),
        ("a..", "b...", " The client secret does not end in two dots, as those that TheBase makes do."),
        ("a..", "a..", " Client id and client secret are the same; was one of them copied twice?"),
        ("a..", '"b.."', " The client secret is in quotation marks; were they copied along?"),
        ("“a..”", "b..", " The client id is in quotation marks; were they copied along?"),
        (CLIENT_ID, CLIENT_SECRET, ""),
    ],
)  # fmt: skip
def test_mistake_in_copying(client_id: str, secret: str, message: str) -> None:
    error = error_of(client_id, secret, 401, {})
    assert error == f"the token endpoint of {DOMAIN} responded with 401 (empty). {CHECK}{message}"


# A call


@pytest.mark.parametrize("session", [None, requests.Session()], ids=["no session", "session"])
def test_note_of_a_failed_token_request_of_requests(session: requests.Session | None) -> None:
    with broken_server("closes") as (url, _), pytest.raises(requests.ConnectionError) as caught:
        requests.get(url + "/a", auth=auth_for(url, session=session), timeout=5)
    [note] = caught.value.__notes__
    own_settings = (
        " If your session has a verify, a proxy or an adapter of its own, give it to the token"
        " request too: TheBaseAuth(..., session=session)."
    )
    assert note == f"This was the token request to {url}/oauth/token." + ("" if session else own_settings)


# The log

Log: TypeAlias = "Callable[[], list[str]]"


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Log:
    """The lines so far, with the level of each."""
    caplog.set_level(logging.DEBUG, "thebase_auth")

    def lines() -> list[str]:
        records = [one for one in caplog.records if one.name == "thebase_auth"]
        return [f"{one.levelname} {one.getMessage()}" for one in records]

    return lines


def test_log_of_a_renewal(client: Client, log: Log) -> None:
    with api_server() as (server, api):
        auth = auth_for(server.url)
        client.get(auth, server.url + "/a")
        api.revoke()
        client.post(auth, server.url + "/a?b=c", b"body")
    fetched = f"DEBUG fetched an access token from {auth.domain}"
    assert log() == [fetched, fetched, "DEBUG replaying POST /a after a 401"]


def test_log_of_a_body_that_cannot_be_replayed(client: Client, log: Log) -> None:
    with api_server() as (server, api):
        auth = auth_for(server.url)
        client.get(auth, server.url + "/a")
        api.revoke()
        client.post(auth, server.url + "/a?b=c", one_time_body(client))
    assert log()[1:] == ["DEBUG not replaying POST /a after a 401: the request cannot be sent again"]


def test_log_of_a_call_without_permission(client: Client, log: Log) -> None:
    with api_server(ApiWithoutPermission("/a")) as (server, _):
        auth = auth_for(server.url)
        for _ in range(4):
            client.get(auth, server.url + "/a?b=c")
    [warning] = [line for line in log() if line.startswith("WARNING")]
    assert warning == (
        f"WARNING GET /a on {auth.domain}: the server rejected three access tokens in a row, each newer than"
        f" the one before. The client id {CLIENT_ID} probably lacks permission for this call. Check its"
        f" permissions in TheBase: {SETTINGS}. Callers get the 401, and another token is fetched for it only"
        " now and then. This warning is not repeated."
    )
    assert log()[-1] == "DEBUG not replaying GET /a after a 401: new tokens were rejected too"


def test_log_of_a_401_of_another_host(client: Client, log: Log) -> None:
    with api_server() as (server, _):
        auth = auth_for(server.url)
        for _ in range(2):
            client.get(auth, server.url.replace("127.0.0.1", "localhost") + "/a")
    [warning] = log()
    assert warning == (
        "WARNING localhost responded with 401 to a request without an access token: TheBaseAuth signs only"
        f" requests to {auth.domain}, which is another host. If both are meant to be the same, build the URLs"
        " of the requests from auth.base_url. This warning is not repeated."
    )
