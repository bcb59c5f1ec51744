"""How a token is fetched and used, in every library."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.clients import (
    CLIENT_ID,
    CLIENT_SECRET,
    CLIENTS,
    Client,
    Requests,
    auth_for,
    each_in_some_client,
    one_time_body,
)
from tests.support.servers import BASIC, Answer, Api, Received, api_server
from thebase_auth import TheBaseAuth, TokenRequestError


def test_the_first_request_fetches_a_token_and_every_request_carries_it(client: Client) -> None:
    with api_server() as (server, _):
        auth = auth_for(server.url)
        assert auth.token is None
        assert client.get(auth, server.url + "/a").status == 200
        assert client.get(auth, server.url + "/b").status == 200

    token_request, *calls = server.received
    assert (token_request.method, token_request.path) == ("POST", "/oauth/token")
    assert token_request.authorization == BASIC
    assert token_request.body == b"grant_type=client_credentials"
    assert token_request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert token_request.headers["accept"] == "application/json"
    assert [call.path for call in calls] == ["/a", "/b"]
    assert {call.authorization for call in calls} == {"Bearer token-1"}
    assert auth.token is not None


def test_a_token_that_is_taken_is_kept_whatever_expires_in_says(client: Client) -> None:
    api = Api()
    api.token_answer["expires_in"] = 1e-9
    with api_server(api) as (server, _):
        auth = auth_for(server.url)
        for _ in range(3):
            assert client.post(auth, server.url + "/a", b"body").status == 200
        assert auth.token is not None
        assert auth.token.past_its_time(time.time())
    assert api.token_requests == 1


def test_a_body_that_can_be_sent_once_is_sent_with_a_new_token_past_its_time(client: Client) -> None:
    api = Api()
    api.token_answer["expires_in"] = 1e-9
    with api_server(api) as (server, _):
        auth = auth_for(server.url)
        client.get(auth, server.url + "/warm-up")
        api.revoke()
        reply = client.post(auth, server.url + "/upload", one_time_body(client))
    assert reply.status == 200
    assert api.token_requests == 2
    assert [one.body for one in server.to("/upload")] == [b"once"]


def test_a_body_that_can_be_sent_once_goes_with_the_old_token_if_no_new_one_arrives(client: Client) -> None:
    async def half() -> AsyncIterator[bytes]:
        yield b'{"access'
        raise ConnectionError

    class CutOff(Api):
        def give_token(self, request: Received) -> Answer:
            answer = super().give_token(request)
            if self.token_requests > 1:
                return 200, {"Content-Type": "application/json", "Content-Length": "500"}, half()
            return answer

    api = CutOff()
    api.token_answer["expires_in"] = 1e-9
    with api_server(api) as (server, _):
        auth = auth_for(server.url)
        client.get(auth, server.url + "/warm-up")
        assert client.post(auth, server.url + "/upload", one_time_body(client)).status == 200
    assert api.token_requests == 2


def test_a_body_that_can_be_sent_once_goes_with_the_token_in_its_time(client: Client) -> None:
    with api_server() as (server, api):
        auth = auth_for(server.url)
        client.get(auth, server.url + "/warm-up")
        assert client.post(auth, server.url + "/upload", one_time_body(client)).status == 200
    assert api.token_requests == 1


def test_a_401_is_renewed_and_replayed_once(client: Client) -> None:
    with api_server() as (server, api):
        auth = auth_for(server.url)
        client.get(auth, server.url + "/a")
        api.revoke()
        reply = client.post(auth, server.url + "/b", b"body")
    assert (reply.status, reply.history) == (200, [401])
    assert api.token_requests == 2
    assert [(one.authorization, one.body) for one in server.to("/b")] == [
        ("Bearer token-1", b"body"),
        ("Bearer token-2", b"body"),
    ]


def test_the_second_answer_is_the_callers_whatever_it_is(client: Client) -> None:
    api = Api()
    with api_server(api) as (server, _):
        auth = auth_for(server.url)
        api.answers["/no"] = (401, {"X-Which": "second"}, b"still no")
        reply = client.get(auth, server.url + "/no")
        assert (reply.status, reply.body) == (401, b"still no")
        assert [one.authorization for one in server.to("/no")] == ["Bearer token-1", "Bearer token-2"]
    assert api.token_requests == 2


def test_the_token_of_another_caller_is_used_and_none_is_fetched(client: Client) -> None:
    with api_server() as (server, api):
        auth = auth_for(server.url)
        client.get(auth, server.url + "/warm-up")

        def renewed_by_another_while_under_way(request: Received) -> Answer:
            if request.path == "/slow" and request.authorization == "Bearer token-1":
                api.revoke()
                Requests("another").get(auth, server.url + "/another")
            return api(request)

        server.handler = renewed_by_another_while_under_way
        assert client.get(auth, server.url + "/slow").status == 200
    assert api.token_requests == 2
    assert [one.authorization for one in server.to("/slow")] == ["Bearer token-1", "Bearer token-2"]


def test_a_server_that_gives_the_refused_token_again_is_not_asked_forever(client: Client) -> None:
    def always_the_same(request: Received) -> Answer:
        if request.path == "/oauth/token":
            return 200, {}, json.dumps({"access_token": "same", "token_type": "bearer"}).encode()
        return 401, {}, b"no right"

    api = Api()
    with api_server(api) as (server, _):
        server.handler = always_the_same
        reply = client.get(auth_for(server.url), server.url + "/a")
    assert (reply.status, reply.body) == (401, b"no right")
    assert len(server.to("/oauth/token")) == 2
    assert len(server.to("/a")) <= 2


@each_in_some_client("expires_in", [None, "3600", "soon", 3600.5, 0, -1, [], {}, True])
def test_any_expires_in_is_survived(client: Client, expires_in: object) -> None:
    api = Api()
    api.token_answer["expires_in"] = expires_in
    with api_server(api) as (server, _):
        auth = auth_for(server.url)
        assert client.get(auth, server.url + "/a").status == 200
        assert client.post(auth, server.url + "/a", one_time_body(client)).status == 200
    assert api.token_requests == 1


@each_in_some_client("token", [None, "", 7, ["t"], "a b", "a\r\nX-Evil: 1", "טוקן", "tab\t"])
def test_a_token_that_no_header_can_carry_is_refused_before_anything_is_sent(
    client: Client, token: object
) -> None:
    api = Api()
    api.token_answer["access_token"] = token
    with api_server(api) as (server, _), pytest.raises(client.error) as caught:
        client.get(auth_for(server.url), server.url + "/a")
    assert isinstance(caught.value, TokenRequestError)
    assert server.to("/a") == []


@pytest.mark.parametrize("token_type", ["mac", "Basic", 7, ""])
def test_a_token_of_another_type_is_refused(client: Client, token_type: object) -> None:
    api = Api()
    api.token_answer["token_type"] = token_type
    with api_server(api) as (server, _), pytest.raises(client.error, match="token_type") as caught:
        client.get(auth_for(server.url), server.url + "/a")
    assert isinstance(caught.value, TokenRequestError)
    assert server.to("/a") == []


def test_one_instance_serves_every_library_with_one_token(thebase: Any) -> None:
    auth = auth_for(thebase.domain)
    for client in CLIENTS:
        assert client.get(auth, thebase.domain + "/v2/users").status == 200
    assert thebase.token_requests == 1


def test_forget_drops_the_token(client: Client, thebase: Any) -> None:
    auth = auth_for(thebase.domain)
    client.get(auth, thebase.domain + "/v2/users")
    auth.forget()
    assert auth.token is None
    client.get(auth, thebase.domain + "/v2/users")
    assert thebase.token_requests == 2


def test_the_settings_can_come_from_the_environment(
    client: Client, thebase: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THEBASE_DOMAIN", thebase.domain)
    monkeypatch.setenv("THEBASE_CLIENT_ID", CLIENT_ID)
    monkeypatch.setenv("THEBASE_CLIENT_SECRET", CLIENT_SECRET)
    auth = TheBaseAuth.from_env()
    assert client.get(auth, thebase.domain + "/v2/users").status == 200


def test_a_setting_that_the_environment_lacks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THEBASE_DOMAIN", "acme.thebase.co.il")
    monkeypatch.setenv("THEBASE_CLIENT_SECRET", "")
    monkeypatch.delenv("THEBASE_CLIENT_ID", raising=False)
    with pytest.raises(ValueError, match="unset or empty.*: THEBASE_CLIENT_ID, THEBASE_CLIENT_SECRET"):
        TheBaseAuth.from_env()


@pytest.mark.parametrize(
    ("domain", "base_url"),
    [
        ("acme.thebase.co.il", "https://acme.thebase.co.il"),
        (" HTTPS://ACME.thebase.co.il:443/", "https://acme.thebase.co.il"),
        ("ישראל.co.il:8443", "https://xn--4dbrk0ce.co.il:8443"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
    ],
)
def test_the_urls_of_the_domain_begin_with_its_base_url(domain: str, base_url: str) -> None:
    assert auth_for(domain).base_url == base_url
