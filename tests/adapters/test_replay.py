"""Around a replay everything behaves as without the plugin: history, cookies, redirects."""

from __future__ import annotations

import io
import pickle
from typing import Any

import pytest
import requests

from tests.support.clients import CLIENT_SECRET, Client, auth_for, one_time_body
from tests.support.memory_cache import MemoryCache
from tests.support.permission import ApiWithoutPermission
from tests.support.rejections import REJECTIONS
from tests.support.servers import Api, Received, Response, api_server
from tests.support.uploads import CONTENT

# History


@pytest.mark.clients(shows_the_401=True)
def test_401_is_in_the_history_with_the_token_that_was_rejected(client: Client) -> None:
    with api_server() as (server, api):
        auth = auth_for(server.url)
        assert client.get(auth, server.url + "/a").history == []
        api.revoke()
        response = client.post(auth, server.url + "/a", b"body").response
    [rejected] = response.history
    assert (rejected.status_code, rejected.content) == (401, b"rejected")
    sent = [rejected.request, response.request]
    assert [one.headers["Authorization"] for one in sent] == ["Bearer token-1", "Bearer token-2"]
    for request in sent:
        assert type(request.headers["Authorization"]) is str
        assert (getattr(request, "body", None) or request.content) == b"body"
    assert 0 < response.elapsed.total_seconds() < 60


@pytest.mark.clients(shows_the_401=True)
@pytest.mark.parametrize("rejection", REJECTIONS)
def test_401_in_the_history_has_no_content_unless_it_was_short(client: Client, rejection: str) -> None:
    make, content = REJECTIONS[rejection]
    with api_server() as (server, api):
        auth = auth_for(server.url)
        client.get(auth, server.url + "/a")
        api.revoke()
        api.rejection = make()
        reply = client.get(auth, server.url + "/a")
    assert (reply.status, reply.history) == (200, [401])
    assert reply.response.history[0].content == content


# Cookies


@pytest.mark.parametrize(
    ("set_by_the_401", "of_the_call", "replayed"),
    [("route=b; Path=/", None, "route=b"), ("", {"a": "1"}, "a=1"), ("", None, None)],
)
def test_cookies_of_a_replay_are_those_of_the_call_and_of_the_401(
    client: Client, set_by_the_401: str, of_the_call: Any, replayed: str | None
) -> None:
    with api_server() as (server, api):
        auth = auth_for(server.url)
        client.get(auth, server.url + "/warm-up")
        api.revoke()
        api.rejection = (401, {"Set-Cookie": set_by_the_401} if set_by_the_401 else {}, b"")
        assert client.get(auth, server.url + "/c", cookies=of_the_call).status == 200
    first, second = (one.headers.get("cookie") for one in server.to("/c"))
    assert first == ("a=1" if of_the_call else None)
    assert second == (replayed if client.shows_the_401 else first)


# Redirects


def test_redirect_after_the_replay_is_followed_with_the_new_token(client: Client) -> None:
    api = Api()
    api.responses["/from"] = (302, {"Location": "/to"}, b"")
    with api_server(api) as (server, _):
        auth = auth_for(server.url)
        client.get(auth, server.url + "/warm-up")
        api.revoke()
        reply = client.get(auth, server.url + "/from", follow_redirects=True)
    assert (reply.status, reply.body) == (200, b"accepted")
    assert [one.authorization for one in server.to("/to")] == ["Bearer token-2"]
    assert api.token_requests == 2
    assert reply.history == ([302] if client.redirects_start_history else [401, 302])


@pytest.mark.parametrize("body", ["bytes", "one-shot"])
def test_401_behind_a_redirect_is_replayed_where_it_came_from(client: Client, body: str) -> None:
    """A create that redirects to what it created must not be sent twice. Its body is gone by then."""
    api = Api()

    def redirect_and_revoke(request: Received) -> Response:
        if request.path == "/create":
            api.revoke()
            return 303, {"Location": "/created"}, b""
        return api(request)

    with api_server(api) as (server, _):
        auth = auth_for(server.url)
        client.get(auth, server.url + "/warm-up")
        server.handler = redirect_and_revoke
        content = b"body" if body == "bytes" else one_time_body(client)
        reply = client.post(auth, server.url + "/create", content, follow_redirects=True)
    assert reply.status == 200
    assert len(server.to("/create")) == 1
    assert [one.authorization for one in server.to("/created")] == ["Bearer token-1", "Bearer token-2"]
    assert reply.history == ([303] if client.redirects_start_history else [303, 401])


def test_401_behind_a_redirect_of_the_replay_sends_no_body_again(client: Client) -> None:
    """Even though the token of the replay was not new."""
    api, cache = Api(), MemoryCache()

    def create(request: Received) -> Response:
        status, headers, body = api(request)
        if status == 200 and request.path == "/create":
            return 303, {"Location": "/created"}, b""
        if status == 200 and request.path == "/created":
            return 401, {}, b"no permission"
        return status, headers, body

    with api_server(create) as (server, _):
        ours, anothers = auth_for(server.url, cache=cache), auth_for(server.url, cache=cache)
        client.get(ours, server.url + "/warm-up")
        api.revoke()
        client.get(anothers, server.url + "/warm-up")  # its new token is in the cache
        reply = client.post(ours, server.url + "/create", b"body", follow_redirects=True)
    assert reply.status == 401
    assert [one.authorization for one in server.to("/create")] == ["Bearer token-1", "Bearer token-2"]
    assert ours.token is not None


def test_body_goes_along_with_a_307_after_the_replay(client: Client) -> None:
    api = Api()
    api.responses["/from"] = (307, {"Location": "/to"}, b"")
    with api_server(api) as (server, _):
        auth = auth_for(server.url)
        client.get(auth, server.url + "/warm-up")
        api.revoke()
        body = io.BytesIO(CONTENT) if client.redirects_rewind_files else CONTENT
        reply = client.post(auth, server.url + "/from", body, follow_redirects=True)
    assert reply.status == 200
    assert [one.body for one in (*server.to("/from"), *server.to("/to"))] == [CONTENT] * 3


def test_target_of_a_redirect_that_always_rejects_ends_in_its_401(client: Client) -> None:
    api = ApiWithoutPermission("/to")
    api.responses["/from"] = (302, {"Location": "/to"}, b"")
    with api_server(api) as (server, _):
        auth = auth_for(server.url)
        client.get(auth, server.url + "/warm-up")
        api.revoke()
        reply = client.get(auth, server.url + "/from", follow_redirects=True)
    assert (reply.status, reply.body) == (401, b"no permission")
    assert len(server.to("/to")) <= 2


@pytest.mark.usefixtures("netrc")
def test_netrc_entry_does_not_replace_the_token(client: Client) -> None:
    api = Api()
    api.responses["/from"] = (302, {"Location": "/to"}, b"")
    with api_server(api) as (server, _):
        auth = auth_for(server.url)
        for _ in range(2):  # without a replay before the redirect, and with one
            reply = client.get(auth, server.url + "/from", follow_redirects=True)
            assert reply.status == 200
            if client.pickles_responses:
                assert CLIENT_SECRET.encode() not in pickle.dumps(reply.response)
            api.revoke()
    assert server.to("/to")[-1].authorization == "Bearer token-2"
    assert api.token_requests == 2


# Requests that their owner sends again


def test_prepared_request_can_be_sent_again_after_each_renewal() -> None:
    """A request is signed when it is prepared, so a renewal has to sign it again."""
    with api_server() as (server, api), requests.Session() as session:
        session.auth = auth_for(server.url)
        prepared = session.prepare_request(requests.Request("GET", server.url + "/a"))
        for history in ([], [401], [], [401], []):
            if history:
                api.revoke()
            response = session.send(prepared)
            assert response.status_code == 200
            assert [one.status_code for one in response.history] == history
        api.revoke()
        for _ in range(3):
            assert session.send(prepared.copy()).status_code == 200
    assert api.token_requests == 4


@pytest.mark.parametrize("newer_token", ["revoked", "none"])
def test_prepared_request_is_replayed_until_a_fetched_token_is_rejected(newer_token: str) -> None:
    with api_server(ApiWithoutPermission("/no")) as (server, api), requests.Session() as session:
        session.auth = auth_for(server.url)
        prepared = session.prepare_request(requests.Request("GET", server.url + "/no"))
        session.auth.forget()
        if newer_token == "revoked":
            session.get(server.url + "/another")
            api.revoke()
        assert session.send(prepared).status_code == 401
    expected = ["Bearer token-1", "Bearer token-2", "Bearer token-3"]
    assert [one.authorization for one in server.to("/no")] == expected[: 3 if newer_token == "revoked" else 2]
