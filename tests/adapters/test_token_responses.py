"""Whatever the token endpoint responds with, the caller gets a token or one clear error."""

from __future__ import annotations

import pickle
import socket
from typing import Any

import pytest

from tests.support.broken import broken_server
from tests.support.clients import Client, auth_for
from tests.support.servers import Api, Received, Response, api_server
from thebase_auth import TheBaseAuth, TheBaseAuthError, TokenRequestError

PAGE = b"<!DOCTYPE html><html>".ljust(467_009)  # as long as that of a server with ORDS


def fails(client: Client, auth: Any, url: str, message: str | None = None) -> Any:
    with pytest.raises(client.error, match=message) as caught:
        client.get(auth, url)
    return caught.value


@pytest.mark.parametrize("status", [200, 500])
def test_response_without_a_token_is_one_clear_error(client: Client, status: int) -> None:
    page = (status, {"Content-Type": "text/html; charset=utf-8"}, PAGE)
    with api_server(lambda _: page) as (server, _):
        auth = auth_for(server.url)
        error = fails(client, auth, server.url + "/a", f"{status}.*467009 bytes of text/html")
    assert [one.path for one in server.received] == ["/oauth/token"]
    assert isinstance(error, TokenRequestError)
    assert (error.domain, error.status) == (auth.domain, status)


def test_error_has_what_the_server_said_and_can_be_pickled(client: Client) -> None:
    with api_server(Api()) as (server, _):
        error = fails(client, TheBaseAuth(server.url, "someone", "else"), server.url + "/a")
    assert (error.status, error.error, error.code, error.instance) == (401, "invalid_client", None, None)
    assert str(error.request.url) == server.url + "/a"
    copied = pickle.loads(pickle.dumps(error))
    assert (type(copied), str(copied), copied.args) == (type(error), str(error), error.args)


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


def test_token_that_cannot_go_into_a_header_is_an_error(client: Client) -> None:
    with api_server() as (server, api):
        api.token_response["access_token"] = "a\r\nX-Evil: 1"
        assert isinstance(fails(client, auth_for(server.url), server.url + "/a"), TokenRequestError)
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
