"""Whatever the token endpoint responds with, the caller gets a token or one clear error."""

from __future__ import annotations

import json
import pickle
import socket
from typing import Any

import pytest

from tests.support.broken import HTML, HTML_TYPE, broken_server
from tests.support.clients import CLIENT_SECRET, Client, auth_for, each_in_some_client, one_time_body
from tests.support.servers import Api, Received, Response, api_server
from thebase_auth import TheBaseAuth, TheBaseAuthError, TokenRequestError

JSON = {"Content-Type": "application/json"}
PROBLEM = {
    "code": "Unauthorized",
    "message": "Unauthorized",
    "type": "tag:oracle.com,2020:error/Unauthorized",
    "instance": "tag:oracle.com,2020:ecid/w4UbuYdZgYcyPtP86tRUrg",
}

BAD: dict[str, tuple[Response, str]] = {
    "HTML": ((200, HTML_TYPE, HTML), "467009 bytes of text/html"),
    "nothing": ((204, {}, b""), "204"),
    "a list": ((200, JSON, b"[]"), "not a JSON object"),
    "no token": ((200, JSON, b'{"token_type": "bearer"}'), "no access_token"),
    "an error": (
        (200, JSON, b'{"error": "invalid_client", "access_token": "token-1"}'),
        "error: invalid_client",
    ),
    "a problem": ((401, {"Content-Type": "application/problem+json"}, json.dumps(PROBLEM).encode()), "ecid"),
    "500": ((500, HTML_TYPE, b"<html>"), "500"),
}


def fails(client: Client, auth: Any, url: str, message: str | None = None) -> Any:
    with pytest.raises(client.error, match=message) as caught:
        client.get(auth, url)
    return caught.value


@pytest.mark.parametrize("kind", BAD)
def test_response_without_a_token_is_one_clear_error(client: Client, kind: str) -> None:
    response, message = BAD[kind]
    with api_server(lambda _: response) as (server, _):
        auth = auth_for(server.url)
        error = fails(client, auth, server.url + "/a", message)
    assert [one.path for one in server.received] == ["/oauth/token"]
    assert isinstance(error, TokenRequestError)
    assert isinstance(error, TheBaseAuthError)
    assert (error.domain, error.status) == (auth.domain, response[0])
    assert auth.domain in str(error)
    assert str(error).isprintable()
    assert CLIENT_SECRET not in str(error)


def test_error_has_what_the_server_said_and_can_be_pickled(client: Client) -> None:
    with api_server(Api()) as (server, _):
        error = fails(client, TheBaseAuth(server.url, "someone", "else"), server.url + "/a")
    assert (error.status, error.error, error.code, error.instance) == (401, "invalid_client", None, None)
    assert str(error.request.url) == server.url + "/a"
    for copied in (pickle.loads(pickle.dumps(error)), type(error)(*error.args)):
        assert type(copied) is type(error)
        assert (str(copied), copied.args) == (str(error), error.args)


def test_failed_renewal_is_raised_from_the_call_that_needed_it(client: Client) -> None:
    with api_server() as (server, api):
        auth = auth_for(server.url)
        client.get(auth, server.url + "/a")
        api.revoke()

        def no_more_tokens(request: Received) -> Response:
            return (503, {}, b"") if request.path == "/oauth/token" else api(request)

        server.handler = no_more_tokens
        assert isinstance(fails(client, auth, server.url + "/a", "503"), TokenRequestError)
        server.handler = api
        assert client.get(auth, server.url + "/a").status == 200


# Tokens


@each_in_some_client("expires_in", [None, "3600", "soon", 3600.5, 0, -1, [], {}, True])
def test_any_expires_in_is_survived(client: Client, expires_in: object) -> None:
    with api_server() as (server, api):
        api.token_response["expires_in"] = expires_in
        auth = auth_for(server.url)
        assert client.get(auth, server.url + "/a").status == 200
        assert client.post(auth, server.url + "/a", one_time_body(client)).status == 200
    assert api.token_requests == 1


@each_in_some_client("token", [None, "", 7, ["t"], "a b", "a\r\nX-Evil: 1", "טוקן", "tab\t"])
def test_token_that_cannot_go_into_a_header_is_an_error(client: Client, token: object) -> None:
    with api_server() as (server, api):
        api.token_response["access_token"] = token
        assert isinstance(fails(client, auth_for(server.url), server.url + "/a"), TokenRequestError)
    assert server.to("/a") == []


@each_in_some_client("token_type", ["mac", "Basic", 7, ""])
def test_token_of_another_type_is_an_error(client: Client, token_type: object) -> None:
    with api_server() as (server, api):
        api.token_response["token_type"] = token_type
        error = fails(client, auth_for(server.url), server.url + "/a", "token_type")
    assert isinstance(error, TokenRequestError)
    assert server.to("/a") == []


# No response at all


def assert_of_the_library(client: Client, error: Any) -> None:
    request = getattr(error, "request", None)  # aiohttp has none
    assert request is None or "Authorization" not in request.headers
    assert isinstance(error, client.error)
    assert not isinstance(error, TheBaseAuthError)


def test_closed_connection_is_the_librarys_own_exception(client: Client) -> None:
    with broken_server("closes") as (url, _):
        auth = auth_for(url)
        for _ in range(2):
            assert_of_the_library(client, fails(client, auth, url + "/a"))


def test_silent_token_endpoint_is_the_librarys_own_timeout(client: Client) -> None:
    with broken_server("is silent") as (url, _):
        with pytest.raises(client.error) as caught:
            client.get(auth_for(url, timeout=0.2), url + "/a", timeout=0.2)
    assert "timeout" in type(caught.value).__name__.lower()
    assert_of_the_library(client, caught.value)


def test_refused_connection_is_the_librarys_own_exception(client: Client) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    error = fails(client, auth_for(url), url + "/a")
    assert_of_the_library(client, error)
    assert isinstance(error, client.connection_error)
