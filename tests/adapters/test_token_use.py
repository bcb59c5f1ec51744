"""How a token is fetched, kept, renewed and replaced, in every library."""

from __future__ import annotations

import time

import pytest

from tests.support.clients import CLIENT_ID, CLIENT_SECRET, CLIENTS, Client, Requests, auth_for, one_time_body
from tests.support.servers import BASIC, Api, Received, Response, Server, api_server
from thebase_auth import TheBaseAuth, TokenRequestError

MIB = 2**20


def carried(server: Server, path: str) -> list[str]:
    """The tokens of the requests to a path."""
    return [(one.authorization or "").removeprefix("Bearer ") for one in server.to(path)]


def always_expired() -> Api:
    """An API whose tokens have expired when they arrive. It accepts them all the same."""
    api = Api()
    api.token_response["expires_in"] = 1e-9
    return api


# Fetched once, kept while it is accepted


def test_first_request_fetches_a_token_and_every_request_carries_it(client: Client) -> None:
    with api_server() as (server, _):
        auth = auth_for(server.url)
        assert auth.token is None
        for path in ("/a", "/b"):
            assert client.get(auth, server.url + path, headers={"User-Agent": "acme/1"}).status == 200

    token_request, *calls = server.received
    assert (token_request.method, token_request.path) == ("POST", "/oauth/token")
    assert token_request.authorization == BASIC
    assert token_request.body == b"grant_type=client_credentials"
    assert token_request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert token_request.headers["accept"] == "application/json"
    assert token_request.headers["user-agent"] == "acme/1"
    assert [(call.path, call.authorization) for call in calls] == [
        ("/a", "Bearer token-1"),
        ("/b", "Bearer token-1"),
    ]
    assert auth.token is not None


def test_accepted_token_is_kept_past_expires_in(client: Client) -> None:
    with api_server(always_expired()) as (server, api):
        auth = auth_for(server.url)
        for _ in range(3):
            assert client.post(auth, server.url + "/a", b"body").status == 200
        assert auth.token is not None
        assert auth.token.expires_at is not None
        assert auth.token.expires_at < time.time()
    assert api.token_requests == 1


def test_one_instance_serves_every_library_with_one_token() -> None:
    with api_server() as (server, api):
        auth = auth_for(server.url)
        for client in [one for one in CLIENTS if one.is_combined]:
            assert client.get(auth, server.url + "/a").status == 200
    assert api.token_requests == 1


def test_settings_can_come_from_the_environment(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    with api_server() as (server, _):
        monkeypatch.setenv("THEBASE_DOMAIN", server.url)
        monkeypatch.setenv("THEBASE_CLIENT_ID", CLIENT_ID)
        monkeypatch.setenv("THEBASE_CLIENT_SECRET", CLIENT_SECRET)
        auth = TheBaseAuth.from_env(timeout=7)
        assert (auth.base_url, auth.client_id, auth._renewal.timeout) == (server.url, CLIENT_ID, 7)
        assert client.get(auth, auth.base_url + "/a").status == 200


def test_settings_missing_in_the_environment_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THEBASE_DOMAIN", "acme.thebase.co.il")
    monkeypatch.setenv("THEBASE_CLIENT_ID", "")
    monkeypatch.delenv("THEBASE_CLIENT_SECRET", raising=False)
    with pytest.raises(ValueError) as caught:
        TheBaseAuth.from_env()
    assert str(caught.value) == "unset or empty in the environment: THEBASE_CLIENT_ID, THEBASE_CLIENT_SECRET"


# Expired tokens that are not sent


@pytest.mark.parametrize("kind", ["one-shot", "long"])
def test_expired_token_is_renewed_before_a_costly_body(client: Client, kind: str) -> None:
    with api_server(always_expired()) as (server, _):
        auth = auth_for(server.url)
        client.get(auth, server.url + "/warm-up")
        body = one_time_body(client) if kind == "one-shot" else bytes(MIB + 1)
        assert client.post(auth, server.url + "/upload", body).status == 200
    assert carried(server, "/upload") == ["token-2"]


def test_one_shot_body_is_not_sent_if_the_expired_token_cannot_be_renewed(client: Client) -> None:
    with api_server(always_expired()) as (server, _):
        auth = auth_for(server.url)
        client.get(auth, server.url + "/warm-up")
        server.handler = lambda request: (503, {}, b"")
        with pytest.raises(client.error) as caught:
            client.post(auth, server.url + "/upload", one_time_body(client))
        assert isinstance(caught.value, TokenRequestError)
        assert server.to("/upload") == []


# Replays


def test_rejected_request_is_replayed_once_with_a_new_token(client: Client) -> None:
    with api_server() as (server, api):
        auth = auth_for(server.url)
        client.get(auth, server.url + "/a")
        api.revoke()
        reply = client.post(auth, server.url + "/b", b"body")
    assert (reply.status, reply.history) == (200, [401])
    assert [one.body for one in server.to("/b")] == [b"body"] * 2
    assert carried(server, "/b") == ["token-1", "token-2"]
    assert api.token_requests == 2


@pytest.mark.parametrize("status", [401, 403, 503])
def test_response_to_the_replay_is_the_callers(client: Client, status: int) -> None:
    with api_server() as (server, api):
        auth = auth_for(server.url)
        client.get(auth, server.url + "/warm-up")
        api.revoke()
        api.responses["/a"] = (status, {}, b"second")
        reply = client.get(auth, server.url + "/a")
    assert (reply.status, reply.body, reply.history) == (status, b"second", [401])
    assert api.token_requests == 2


@pytest.mark.parametrize("then", ["accepted", "revoked"])
def test_token_that_another_caller_fetched_meanwhile_is_used_first(client: Client, then: str) -> None:
    with api_server() as (server, api):
        auth = auth_for(server.url)
        client.get(auth, server.url + "/warm-up")

        def renewed_by_another_meanwhile(request: Received) -> Response:
            if request.path == "/slow" and request.authorization == "Bearer token-1":
                api.revoke()
                Requests("another").get(auth, server.url + "/another")
                if then == "revoked":
                    api.revoke()
            return api(request)

        server.handler = renewed_by_another_meanwhile
        assert client.get(auth, server.url + "/slow").status == 200
    tokens = ["token-1", "token-2", "token-3"] if then == "revoked" else ["token-1", "token-2"]
    assert carried(server, "/slow") == tokens
    assert api.token_requests == len(tokens)
