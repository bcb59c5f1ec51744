"""What a replay leaves as the user of the library knows it: cookies, history, redirects, hooks."""

from __future__ import annotations

import io
import itertools
import pickle
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest
import requests

from tests.support.clients import CLIENT_SECRET, Client, auth_for
from tests.support.forbidding import Forbidding
from tests.support.servers import Answer, Api, Received, api_server
from tests.support.uploads import CONTENT, Chunks, async_generator


def test_cookies_set_by_the_401_go_with_the_replay(client: Client) -> None:
    api = Api()
    api.refusal = (401, {"Set-Cookie": "route=b; Path=/"}, b"")
    with api_server(api) as (server, _):
        auth = auth_for(server.url)
        client.get(auth, server.url + "/warm-up")
        api.revoke()
        client.get(auth, server.url + "/c", cookies={"route": "a", "other": "1"})
    first, second = (set(one.headers["cookie"].split("; ")) for one in server.to("/c"))
    assert first == {"other=1", "route=a"}
    # For requests a cookie given by hand and one set by the server are two.
    assert second - {"route=a"} == {"other=1", "route=b"}
    assert "route=a" not in second or client.name == "requests"


def test_a_cookie_that_the_401_changes_takes_the_place_of_the_old_one() -> None:
    api = Api()
    api.answers["/login"] = (200, {"Set-Cookie": "route=a; Path=/"}, b"")
    api.refusal = (401, {"Set-Cookie": "route=b; Path=/"}, b"")
    with api_server(api) as (server, _), requests.Session() as session:
        session.auth = auth_for(server.url)
        session.get(server.url + "/login")
        api.revoke()
        session.get(server.url + "/c")
        session.get(server.url + "/c")
    assert [one.headers["cookie"] for one in server.to("/c")] == ["route=a", "route=b", "route=b"]


def test_a_cookie_header_written_by_hand_is_left_alone_by_requests() -> None:
    api = Api()
    api.refusal = (401, {"Set-Cookie": "route=b; Path=/"}, b"")
    with api_server(api) as (server, _), requests.Session() as session:
        session.auth = auth_for(server.url)
        session.get(server.url + "/warm-up")
        session.cookies.clear()
        api.revoke()
        session.get(server.url + "/c", headers={"Cookie": "by=hand"})
        assert session.cookies["route"] == "b"
    assert [one.headers["cookie"] for one in server.to("/c")] == ["by=hand", "by=hand"]


@pytest.mark.parametrize("with_cookies", [True, False])
def test_a_401_without_cookies_changes_none(client: Client, with_cookies: bool) -> None:
    with api_server() as (server, api):
        auth = auth_for(server.url)
        client.get(auth, server.url + "/warm-up")
        api.revoke()
        options = {"cookies": {"a": "1"}} if with_cookies else {}
        client.get(auth, server.url + "/c", **options)
    expected = "a=1" if with_cookies else None
    assert [one.headers.get("cookie") for one in server.to("/c")] == [expected, expected]


def test_a_cookie_that_the_401_ends_is_not_sent_by_accident(client: Client) -> None:
    api = Api()
    api.refusal = (401, {"Set-Cookie": "gone=; Max-Age=0; Path=/"}, b"")
    with api_server(api) as (server, _):
        auth = auth_for(server.url)
        client.get(auth, server.url + "/warm-up")
        api.revoke()
        assert client.get(auth, server.url + "/c").status == 200
    assert [one.headers.get("cookie") for one in server.to("/c")] == [None, None]


def test_the_401_is_in_the_history_with_the_token_it_refused(client: Client) -> None:
    with api_server() as (server, api):
        auth = auth_for(server.url)
        client.get(auth, server.url + "/warm-up")
        api.revoke()
        reply = client.post(auth, server.url + "/a", b"body")
    sent = reply.response.request
    assert (sent.body if client.name == "requests" else sent.content) == b"body"
    refused = reply.response.history[0]
    assert refused.status_code == 401
    assert refused.content == b"refused"
    assert refused.request.headers["Authorization"] == "Bearer token-1"
    assert reply.response.request.headers["Authorization"] == "Bearer token-2"
    assert reply.response.elapsed.total_seconds() > 0


def test_the_first_request_has_no_history(client: Client) -> None:
    with api_server() as (server, _):
        assert client.get(auth_for(server.url), server.url + "/a").history == []


def test_a_redirect_after_the_replay_is_followed_with_the_new_token(client: Client) -> None:
    api = Api()
    api.answers["/from"] = (302, {"Location": "/to"}, b"")
    with api_server(api) as (server, _):
        auth = auth_for(server.url)
        client.get(auth, server.url + "/warm-up")
        api.revoke()
        reply = client.get(auth, server.url + "/from", follow_redirects=True)
    assert (reply.status, reply.body) == (200, b"accepted")
    assert [one.authorization for one in server.to("/to")] == ["Bearer token-2"]
    assert api.token_requests == 2
    if client.name == "requests":
        assert reply.history == [302]  # requests begins a new history at a redirect
    else:
        assert reply.history == [401, 302]


@pytest.mark.parametrize("body", ["bytes", "stream"])
def test_a_401_behind_a_redirect_is_replayed_where_it_came_from(client: Client, body: str) -> None:
    """A create that redirects to what it created must not be sent twice.

    The body is gone by then, so that it does not matter whether it could be sent once more.
    """
    content: Any = b"body"
    if body == "stream":
        content = async_generator() if client.is_async else iter([b"body"])
    api = Api()

    def redirect_and_revoke(request: Received) -> Answer:
        if request.path == "/create":
            api.revoke()
            return 303, {"Location": "/created"}, b""
        return api(request)

    with api_server(api) as (server, _):
        auth = auth_for(server.url)
        client.get(auth, server.url + "/warm-up")
        server.handler = redirect_and_revoke
        reply = client.post(auth, server.url + "/create", content, follow_redirects=True)
    assert reply.status == 200
    assert len(server.to("/create")) == 1
    assert [one.authorization for one in server.to("/created")] == ["Bearer token-1", "Bearer token-2"]
    if client.name != "requests":
        assert reply.history == [303, 401]


def test_a_body_goes_along_with_a_307_after_the_replay(client: Client) -> None:
    api = Api()
    api.answers["/from"] = (307, {"Location": "/to"}, b"")
    with api_server(api) as (server, _):
        auth = auth_for(server.url)
        client.get(auth, server.url + "/warm-up")
        api.revoke()
        body = CONTENT if client.is_async else io.BytesIO(CONTENT)
        reply = client.post(auth, server.url + "/from", body, follow_redirects=True)
    assert reply.status == 200
    assert [one.body for one in server.received if one.method == "POST" and "/oauth" not in one.path] == [
        CONTENT
    ] * 3


@pytest.mark.parametrize("hops", [["/from", "/to"], ["/from", "/on", "/and/on", "/to"]])
def test_what_a_redirect_of_the_replay_leads_to_is_replayed_once_too(client: Client, hops: list[str]) -> None:
    api = Api()

    def refuse_the_target(request: Received) -> Answer:
        if request.path == "/to":
            return 401, {}, b"no"
        return api(request)

    for path, following in itertools.pairwise(hops):
        api.answers[path] = (302, {"Location": following}, b"")
    with api_server(api) as (server, _):
        auth = auth_for(server.url)
        client.get(auth, server.url + "/warm-up")
        api.revoke()
        server.handler = refuse_the_target
        reply = client.get(auth, server.url + "/from", follow_redirects=True)
    assert (reply.status, reply.body) == (401, b"no")
    assert len(server.to("/to")) == 2
    assert api.token_requests == 3


def test_a_netrc_entry_does_not_take_the_tokens_place(client: Client, tmp_path: Path) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login someone password netrc-secret\n")
    (tmp_path / ".netrc").chmod(0o600)
    api = Api()
    api.answers["/from"] = (302, {"Location": "/to"}, b"")
    with api_server(api) as (server, _):
        auth = auth_for(server.url)
        for _ in range(2):  # without a replay before the redirect, and with one
            reply = client.get(auth, server.url + "/from", follow_redirects=True)
            assert reply.status == 200
            kept = pickle.dumps(reply.response)
            assert CLIENT_SECRET.encode() not in kept
            api.revoke()
        assert api.token_requests == 2
    assert server.to("/to")[-1].authorization == "Bearer token-2"


def test_response_hooks_see_the_last_answer_once() -> None:
    seen = []
    with api_server() as (server, api), requests.Session() as session:
        session.auth = auth_for(server.url)
        session.hooks["response"].append(lambda response, **_: seen.append(response.status_code))
        session.get(server.url + "/warm-up")
        api.revoke()
        session.get(server.url + "/a")
    assert seen == [200, 200]


@pytest.mark.parametrize("library", [httpx, httpx2])
@pytest.mark.parametrize("body", ["in memory", "list"])
def test_a_hook_that_raises_for_a_401_costs_one_call_when_the_token_is_past_its_time(
    library: Any, body: str
) -> None:
    """The documentation of httpx shows this hook. It keeps the 401 from every auth flow."""

    def raise_for_status(response: Any) -> None:
        response.raise_for_status()

    api = Api()
    api.token_answer["expires_in"] = 1e-9
    hooks = {"response": [raise_for_status]}
    with (
        api_server(api) as (server, _),
        library.Client(auth=auth_for(server.url), event_hooks=hooks) as client,
    ):
        client.get(server.url + "/warm-up")
        api.revoke()
        content = b"abc" if body == "in memory" else [b"abc"]
        with pytest.raises(library.HTTPStatusError):
            client.post(server.url + "/a", content=content)
        assert client.post(server.url + "/a", content=content).status_code == 200


@pytest.mark.parametrize("library", [httpx, httpx2])
@pytest.mark.parametrize("body", ["in memory", "iterable"])
def test_a_call_without_an_answer_says_nothing_of_a_token_in_its_time(library: Any, body: str) -> None:
    def give_up(response: Any) -> None:
        if response.request.url.path == "/given-up":
            raise KeyboardInterrupt

    content = b"abc" if body == "in memory" else Chunks()
    with (
        api_server() as (server, api),
        library.Client(auth=auth_for(server.url), event_hooks={"response": [give_up]}) as client,
    ):
        client.get(server.url + "/warm-up")
        with pytest.raises(KeyboardInterrupt):
            client.post(server.url + "/given-up", content=content)
        assert client.get(server.url + "/a").status_code == 200
    assert api.token_requests == 1


@pytest.mark.anyio
@pytest.mark.parametrize("library", [httpx, httpx2])
async def test_a_hook_that_raises_costs_one_call_in_async_clients(library: Any) -> None:
    async def raise_for_status(response: Any) -> None:
        response.raise_for_status()

    api = Api()
    api.token_answer["expires_in"] = 1e-9
    hooks = {"response": [raise_for_status]}
    with api_server(api) as (server, _):
        async with library.AsyncClient(auth=auth_for(server.url), event_hooks=hooks) as client:
            await client.get(server.url + "/warm-up")
            api.revoke()
            with pytest.raises(library.HTTPStatusError):
                await client.get(server.url + "/a")
            assert (await client.get(server.url + "/a")).status_code == 200


def test_one_prepared_request_can_be_sent_again_after_each_renewal() -> None:
    """A request is signed when it is prepared, so that a renewal has to sign it again."""
    with api_server() as (server, api), requests.Session() as session:
        session.auth = auth_for(server.url)
        prepared = session.prepare_request(requests.Request("GET", server.url + "/a"))
        assert session.send(prepared).status_code == 200
        api.revoke()
        for history in ([401], [], []):
            response = session.send(prepared)
            assert response.status_code == 200
            assert [one.status_code for one in response.history] == history
        assert api.token_requests == 2


def test_one_prepared_request_does_not_get_stuck_with_a_dead_token() -> None:
    with api_server() as (server, api), requests.Session() as session:
        session.auth = auth_for(server.url)
        prepared = session.prepare_request(requests.Request("GET", server.url + "/a"))
        session.auth.forget()
        session.get(server.url + "/another")
        api.revoke()  # now both the token it carries and the current one are dead
        response = session.send(prepared)
        sent = [one.request.headers["Authorization"] for one in (*response.history, response)]
        assert sent == ["Bearer token-1", "Bearer token-2", "Bearer token-3"]
        assert response.status_code == 200


def test_one_prepared_request_is_replayed_once_with_a_token_that_was_fetched_for_it() -> None:
    api = Forbidding("/no")
    with api_server(api) as (server, _), requests.Session() as session:
        session.auth = auth_for(server.url)
        prepared = session.prepare_request(requests.Request("GET", server.url + "/no"))
        session.auth.forget()
        assert session.send(prepared).status_code == 401
    assert [one.authorization for one in server.to("/no")] == ["Bearer token-1", "Bearer token-2"]


@pytest.mark.parametrize("library", [httpx, httpx2])
def test_one_httpx_request_can_be_sent_again_and_is_renewed_each_time(library: Any) -> None:
    with api_server() as (server, api), library.Client(auth=auth_for(server.url)) as client:
        client.get(server.url + "/warm-up")
        request = client.build_request("POST", server.url + "/a", content=list(Chunks()))
        for _ in range(3):
            api.revoke()
            response = client.send(request)
            assert response.status_code == 200
            assert [one.status_code for one in response.history] == [401]
    assert {one.body for one in server.to("/a")} == {CONTENT}


def test_a_401_that_cannot_be_read_is_replayed_all_the_same(client: Client) -> None:
    api = Api()
    api.refusal = (401, {"Content-Encoding": "gzip"}, b"this is not gzip")
    with api_server(api) as (server, _):
        auth = auth_for(server.url)
        client.get(auth, server.url + "/a")
        api.revoke()
        assert client.get(auth, server.url + "/a").status == 200
    assert len(server.to("/a")) == 3


@pytest.mark.parametrize("library", [httpx, httpx2])
@pytest.mark.parametrize(
    ("set_by_the_401", "by_hand", "of_the_replay"),
    [
        ("n=2; Path=/", "a=1; a=2; flag; n=1", "a=1; a=2; flag; n=2"),
        ("n=2=3; Path=/", "a=1=1; n=1=1; b=1", "a=1=1; b=1; n=2=3"),
        ("n=; Max-Age=0; Path=/", "a=1; n=1", "a=1"),
        ("n=; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/", "a=1; n=1", "a=1"),
        ("n=; Max-Age=soon; Path=/", "a=1; n=1", "a=1; n=1"),
        ("n=2; Domain=evil.com", "a=1; n=1", "a=1; n=1"),
        ("n=2; Max-Age=1; Path=/", "a=1; n=1", "a=1; n=2"),
        ("a:n=2; Max-Age=0; Path=/", "a=1; n=1", "a=1; n=1"),
        ("n=2; Expires=Mon, 01 Jan 99999 00:00:00 GMT; Path=/", "a=1; n=1", "a=1; n=2"),
    ],
)
def test_a_cookie_header_written_by_hand_keeps_what_the_401_does_not_change(
    library: Any, set_by_the_401: str, by_hand: str, of_the_replay: str
) -> None:
    api = Api()
    api.refusal = (401, {"Set-Cookie": set_by_the_401}, b"")
    with api_server(api) as (server, _), library.Client(auth=auth_for(server.url)) as client:
        client.get(server.url + "/warm-up")
        api.revoke()
        client.cookies.clear()
        client.get(server.url + "/c", headers={"Cookie": by_hand})
    assert [one.headers["cookie"] for one in server.to("/c")] == [by_hand, of_the_replay]


@pytest.mark.parametrize("library", [httpx, httpx2])
def test_a_401_may_change_several_cookies_of_a_header_written_by_hand(library: Any) -> None:
    cookies: list[str] = []

    def handler(request: Any) -> Any:
        if request.url.path == "/oauth/token":
            return library.Response(200, json={"access_token": f"token-{len(cookies)}"})
        cookies.append(request.headers["Cookie"])
        changes = [("Set-Cookie", "a=2; Path=/"), ("Set-Cookie", "b=2; Path=/")]
        return library.Response(401, headers=changes) if len(cookies) == 1 else library.Response(200)

    auth = auth_for("https://acme.thebase.co.il")
    with library.Client(auth=auth, transport=library.MockTransport(handler)) as client:
        client.get("https://acme.thebase.co.il/c", headers={"Cookie": "a=1; b=1; c=1"})
    assert cookies == ["a=1; b=1; c=1", "c=1; a=2; b=2"]
