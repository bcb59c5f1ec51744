"""Whatever the token endpoint answers, one clear error of the right kind."""

from __future__ import annotations

import json
import pickle
import socket
from typing import Any

import pytest

from tests.support.broken import HTML, HTML_TYPE, broken_server
from tests.support.clients import CLIENT_SECRET, Client, auth_for
from tests.support.servers import Answer, Api, Received, api_server
from thebase_auth import TheBaseAuth, TheBaseAuthError, TokenRequestError

PROBLEM = {
    "code": "Unauthorized",
    "message": "Unauthorized",
    "type": "tag:oracle.com,2020:error/Unauthorized",
    "instance": "tag:oracle.com,2020:ecid/w4UbuYdZgYcyPtP86tRUrg",
}
JSON_TYPE = {"Content-Type": "application/json"}
PROBLEM_TYPE = {"Content-Type": "application/problem+json"}

BAD: dict[str, tuple[Answer, str]] = {
    "HTML with 200": ((200, HTML_TYPE, HTML), "is 467009 bytes of text/html, not a JSON object"),
    "empty with 200": ((200, JSON_TYPE, b""), "is empty, not a JSON object"),
    "empty with 204": ((204, {}, b""), "answered 204"),
    "a list": ((200, JSON_TYPE, b"[]"), "not a JSON object"),
    "no token": ((200, JSON_TYPE, b'{"token_type": "bearer"}'), "no access_token"),
    "token_type mac": (
        (200, JSON_TYPE, b'{"access_token": "token-of-mac", "token_type": "mac"}'),
        "token_type 'mac'",
    ),
    "400 invalid_client": (
        (400, JSON_TYPE, b'{"error": "invalid_client", "error_description": "no such client"}'),
        r"answered 400 \(error: invalid_client, error_description: no such client\)",
    ),
    "401 problem": (
        (401, PROBLEM_TYPE, json.dumps(PROBLEM).encode()),
        "answered 401 .*instance: tag:oracle.com,2020:ecid/w4UbuYdZgYcyPtP86tRUrg.*cancelled",
    ),
    "401 HTML": ((401, HTML_TYPE, HTML), r"answered 401 \(467009 bytes of text/html\)"),
    "403": ((403, {}, b""), "answered 403"),
    "404": ((404, HTML_TYPE, b"<html>"), "answered 404 .*domain"),
    "429": ((429, {"Retry-After": "7"}, b""), "answered 429 .*in 7 seconds"),
    "500": ((500, PROBLEM_TYPE, json.dumps(PROBLEM).encode()), "answered 500.*ecid"),
    "502": ((502, HTML_TYPE, HTML), "answered 502 .*try again later"),
    "503": ((503, {}, b""), "answered 503"),
    "555": ((555, JSON_TYPE, b"{}"), "answered 555"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_wrong_answer_is_one_clear_error_and_a_refusal_has_a_pause(client: Client, kind: str) -> None:
    answer, text = BAD[kind]
    api = Api()

    def answer_badly(request: Received) -> Answer:
        return answer if request.path == "/oauth/token" else api(request)

    with api_server(api) as (server, _):
        server.handler = answer_badly
        auth = auth_for(server.url)
        domain = server.url.removeprefix("http://")
        with pytest.raises(client.error, match=text) as caught:
            client.get(auth, server.url + "/a")
        assert server.to("/a") == []
        assert len(server.to("/oauth/token")) == 1

        error = caught.value
        assert isinstance(error, TokenRequestError)
        assert isinstance(error, TheBaseAuthError)
        assert (error.domain, error.status) == (domain, answer[0])
        assert domain in str(error)
        assert "\n" not in str(error)
        assert CLIENT_SECRET not in str(error)

        server.handler = api
        if answer[0] in {400, 401, 403, 429}:
            with pytest.raises(client.error) as again:
                client.get(auth, server.url + "/a")
            assert str(again.value) == str(error)
            assert len(server.to("/oauth/token")) == 1
            auth.forget()
        assert client.get(auth, server.url + "/a").status == 200


def test_the_error_is_evidence_and_survives_a_pickle(client: Client) -> None:
    api = Api()
    with api_server(api) as (server, _):
        auth = TheBaseAuth(server.url, "someone", "else")
        with pytest.raises(client.error) as caught:
            client.get(auth, server.url + "/a")
    error = caught.value
    assert isinstance(error, TokenRequestError)
    assert (error.error, error.code, error.instance) == ("invalid_client", None, None)
    assert str(error.request.url) == server.url + "/a"  # type: ignore[attr-defined]
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert (copy.args, copy.error) == (error.args, error.error)


def test_an_error_in_a_renewal_comes_from_the_call_that_needed_it(client: Client) -> None:
    api = Api()

    def no_more_tokens(request: Received) -> Answer:
        return (503, {}, b"") if request.path == "/oauth/token" else api(request)

    with api_server(api) as (server, _):
        auth = auth_for(server.url)
        client.get(auth, server.url + "/a")
        api.revoke()
        server.handler = no_more_tokens
        with pytest.raises(client.error, match="answered 503"):
            client.get(auth, server.url + "/a")
        server.handler = api
        assert client.get(auth, server.url + "/a").status == 200


def test_a_closed_connection_stays_the_librarys_own_exception(client: Client) -> None:
    with broken_server("closes") as (url, _):
        auth = auth_for(url)
        for _ in range(2):
            with pytest.raises(client.error) as caught:
                client.get(auth, url + "/a")
            assert not isinstance(caught.value, TheBaseAuthError)
            assert no_secret_in_the_request_of(caught.value)


def test_a_silent_token_endpoint_is_the_librarys_own_timeout(client: Client) -> None:
    with broken_server("is silent") as (url, _):
        auth = auth_for(url, timeout=0.2)
        with pytest.raises(client.error) as caught:
            client.get(auth, url + "/a", timeout=0.2)
    assert "timeout" in type(caught.value).__name__.lower()
    assert not isinstance(caught.value, TheBaseAuthError)
    assert no_secret_in_the_request_of(caught.value)


def test_no_server_at_all_is_the_librarys_own_exception(client: Client) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with pytest.raises(client.error) as caught:
        client.get(auth_for(url), url + "/a")
    assert not isinstance(caught.value, TheBaseAuthError)
    if client.name == "requests":
        assert "/oauth/token" in caught.value.__notes__[0]
        assert "session=session" in caught.value.__notes__[1]


def no_secret_in_the_request_of(error: Any) -> bool:
    return error.request is None or "Authorization" not in error.request.headers


def test_a_private_authority_is_named_in_the_session_option(certificates: Any) -> None:
    import requests

    with api_server(**certificates.tls) as (server, _), requests.Session() as session:
        session.verify = certificates.authority
        session.auth = auth_for(server.url)
        with pytest.raises(requests.exceptions.SSLError) as caught:
            session.get(server.url + "/a")
        assert "session=session" in caught.value.__notes__[1]
        session.auth = auth_for(server.url, session=session)
        assert session.get(server.url + "/a").status_code == 200
    with pytest.raises(requests.ConnectionError) as caught_later:
        session.get(server.url + "/a", auth=auth_for(server.url, session=session))
    assert len(caught_later.value.__notes__) == 1
