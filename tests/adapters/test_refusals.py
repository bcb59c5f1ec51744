"""An operation that refuses a fresh token too is renewed ever more rarely, and its user is told once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from tests.support.clients import CLIENT_ID, CLIENT_SECRET, CLIENTS, Client, Requests, auth_for, one_time_body
from tests.support.clock import Clock
from tests.support.forbidding import ID, PAUSES, Forbidding, forbidding
from tests.support.servers import Answer, Received, Server, api_server
from tests.support.world import LIBRARIES
from thebase_auth._core.backoff import Operation

# Through every client


def strike(client: Client, auth: Any, url: str, times: int = 2) -> None:
    """Have tokens fetched for an operation that refuses them."""
    for _ in range(times):
        assert client.get(auth, url).status == 401


def test_the_first_refusal_costs_one_renewal_and_one_replay(client: Client) -> None:
    with forbidding(client, "/no") as (server, api, auth):
        reply = client.post(auth, server.url + "/no", b"body")

    assert (reply.status, reply.body, reply.history) == (401, b"no right", [401])
    assert api.token_requests == 2
    assert [(one.authorization, one.body) for one in server.to("/no")] == [
        ("Bearer token-1", b"body"),
        ("Bearer token-2", b"body"),
    ]


def test_so_does_the_first_request_of_all(client: Client) -> None:
    with api_server(Forbidding("/no")) as (server, api):
        assert client.get(auth_for(server.url), server.url + "/no").status == 401

    assert api.token_requests == 2
    assert len(server.to("/no")) == 2


def test_the_second_costs_as_much(client: Client, clock: Clock) -> None:
    with forbidding(client, "/no") as (server, _, auth):
        strike(client, auth, server.url + "/no", 1)
        server.received.clear()
        reply = client.get(auth, server.url + "/no")

    assert (reply.status, reply.history) == (401, [401])
    assert [one.authorization for one in server.to("/no")] == ["Bearer token-2", "Bearer token-3"]


def test_a_call_in_the_pause_costs_nothing_and_gets_the_401(client: Client, clock: Clock) -> None:
    with forbidding(client, "/no") as (server, _, auth):
        for _ in range(2):
            client.post(auth, server.url + "/no", b"body")
        server.received.clear()
        replies = [client.post(auth, server.url + "/no", b"body") for _ in range(3)]

    assert [(one.status, one.body, one.history) for one in replies] == [(401, b"no right", [])] * 3
    assert [(one.path, one.authorization, one.body) for one in server.received] == [
        ("/no", "Bearer token-3", b"body")
    ] * 3
    assert auth.token.access_token == "token-3"


def test_the_pause_doubles_up_to_a_minute(client: Client, clock: Clock) -> None:
    with forbidding(client, "/no") as (server, api, auth):
        strike(client, auth, server.url + "/no")
        for renewals, pause in enumerate(PAUSES, 3):
            clock.now += pause - 0.25
            assert client.get(auth, server.url + "/no").status == 401
            assert api.token_requests == renewals
            clock.now += 0.25
            server.received.clear()
            assert client.get(auth, server.url + "/no").status == 401
            assert api.token_requests == renewals + 1
            assert len(server.to("/no")) == 2


def test_an_acceptance_without_a_renewal_resets_it(client: Client, clock: Clock) -> None:
    with forbidding(client, "/no") as (server, api, auth):
        strike(client, auth, server.url + "/no", 1)
        for pause in (*PAUSES[:3], 0):
            strike(client, auth, server.url + "/no", 1)
            clock.now += pause
        api.forbidden = ()
        assert client.get(auth, server.url + "/no").status == 200
        before = api.token_requests
        api.revoke()
        assert client.get(auth, server.url + "/no").status == 200
        assert api.token_requests == before + 1

        api.forbidden = ("/no",)
        strike(client, auth, server.url + "/no", 3)
        assert api.token_requests == before + 3
        clock.now += 1
        client.get(auth, server.url + "/no")
        assert api.token_requests == before + 4


def test_an_acceptance_of_the_replay_leaves_no_pause(
    client: Client, clock: Clock, warnings: Callable[[], list[str]]
) -> None:
    with forbidding(client) as (server, api, auth):
        for renewals in range(1, 6):
            api.revoke()
            assert client.get(auth, server.url + "/a").status == 200
            assert api.token_requests == 1 + renewals
    assert auth._core.shared.backoff.strikes == {}
    assert warnings() == []


def test_where_renewals_have_helped_before_it_takes_more_strikes(
    client: Client, clock: Clock, warnings: Callable[[], list[str]]
) -> None:
    """Another process may have revoked the tokens, each by fetching one of its own."""
    with forbidding(client) as (server, api, auth):
        for _ in range(2):
            api.revoke()
            assert client.get(auth, server.url + "/a").status == 200
        api.forbidden = ("/a",)
        strike(client, auth, server.url + "/a", 7)
        assert (api.token_requests, warnings()) == (10, [])
        strike(client, auth, server.url + "/a", 5)
        assert (api.token_requests, len(warnings())) == (11, 1)
        clock.now += 1
        strike(client, auth, server.url + "/a", 5)
        assert api.token_requests == 12


@pytest.mark.parametrize("status", [429, 503])
def test_trouble_on_the_way_resets_nothing(client: Client, clock: Clock, status: int) -> None:
    with forbidding(client, "/no") as (server, api, auth):
        strike(client, auth, server.url + "/no")
        api.forbidden, api.answers["/no"] = (), (status, {}, b"")
        assert client.get(auth, server.url + "/no").status == status
        api.forbidden = ("/no",)
        assert client.get(auth, server.url + "/no").status == 401
    assert api.token_requests == 3


def test_another_endpoint_renews_as_before(
    client: Client, clock: Clock, warnings: Callable[[], list[str]]
) -> None:
    with forbidding(client, "/no") as (server, api, auth):
        strike(client, auth, server.url + "/no")
        for renewals in range(4, 7):
            api.revoke()
            client.get(auth, server.url + "/no")
            assert client.post(auth, server.url + "/yes", b"body").status == 200
            assert api.token_requests == renewals
            assert client.get(auth, server.url + "/no").status == 401
            assert api.token_requests == renewals
    assert len(warnings()) == 1


def test_an_acceptance_of_another_method_or_path_resets_nothing(client: Client, clock: Clock) -> None:
    with forbidding(client, "/no") as (server, api, auth):
        strike(client, auth, server.url + "/no")
        api.forbidden = ()
        assert client.post(auth, server.url + "/no").status == 200
        assert client.get(auth, server.url + "/yes").status == 200
        api.forbidden = ("/no",)
        client.get(auth, server.url + "/no")
    assert api.token_requests == 3


def test_each_endpoint_has_its_own_pause(
    client: Client, clock: Clock, warnings: Callable[[], list[str]]
) -> None:
    with forbidding(client, "/no") as (server, api, auth):
        for _ in range(4):
            client.get(auth, server.url + "/no/a")
            client.get(auth, server.url + "/no/b")
            client.post(auth, server.url + "/no/b")
    assert api.token_requests == 1 + 3 * 2
    assert len(warnings()) == 3


def test_many_ids_are_one_endpoint_and_one_warning(
    client: Client, clock: Clock, warnings: Callable[[], list[str]]
) -> None:
    with forbidding(client, "/v2/products/") as (server, api, auth):
        for number in range(20):
            url = f"{server.url}/v2/products/{int(ID) + number}?q={number}"
            assert client.send(auth, "DELETE", url).status == 401
    assert api.token_requests == 3
    assert len(warnings()) == 1


def test_the_warning_says_what_to_check_and_nothing_that_is_secret(
    client: Client, clock: Clock, warnings: Callable[[], list[str]]
) -> None:
    with forbidding(client, "/v2/products/") as (server, _, auth):
        for pause in PAUSES[:3]:
            client.send(auth, "DELETE", server.url + "/v2/products/7?phone=0501234567")
            clock.now += pause
    (text,) = warnings()
    assert "DELETE /v2/products/{id} on " in text
    for part in (server.url.partition("://")[2], CLIENT_ID, "lacks the right", "Settings"):
        assert part in text
    for part in (CLIENT_SECRET, "token-1", "token-2", "token-3", "0501234567", "Basic "):
        assert part not in text


def test_a_token_that_is_over_gives_no_warning(client: Client, warnings: Callable[[], list[str]]) -> None:
    with forbidding(client) as (server, api, auth):
        for _ in range(3):
            api.revoke()
            assert client.get(auth, server.url + "/a").status == 200
            api.revoke()
            assert client.post(auth, server.url + "/b", one_time_body(client)).status == 401
            assert client.post(auth, server.url + "/b", one_time_body(client)).status == 200
    assert warnings() == []


# Bodies that can be sent only once


def test_a_body_that_can_be_sent_once_is_not_a_strike(
    client: Client, clock: Clock, warnings: Callable[[], list[str]]
) -> None:
    with forbidding(client, "/no") as (server, api, auth):
        for tokens in range(1, 6):
            reply = client.post(auth, server.url + "/no", one_time_body(client))
            assert (reply.status, reply.body, reply.history) == (401, b"no right", [])
            assert auth.token is None  # so that the next request gets a fresh one
            assert api.token_requests == tokens
        assert client.post(auth, server.url + "/no", b"body").history == [401]
    assert warnings() == []


def test_one_that_cannot_be_replayed_takes_nothing_from_the_others(
    client: Client, warnings: Callable[[], list[str]]
) -> None:
    with forbidding(client) as (server, api, auth):
        for _ in range(5):
            api.revoke()
            assert client.post(auth, server.url + "/a", one_time_body(client)).status == 401
            api.revoke()
            assert client.post(auth, server.url + "/a", b"body").status == 200
            api.revoke()
    assert warnings() == []


# Redirects


def test_what_another_host_answers_counts_for_no_endpoint(
    client: Client, clock: Clock, warnings: Callable[[], list[str]]
) -> None:
    statuses = iter([200, 401, 200, 401])
    elsewhere = Server(lambda _: (next(statuses), {}, b""))
    with forbidding(client, "/no") as (server, api, auth), elsewhere.running():
        strike(client, auth, server.url + "/no")
        for path in ("/no", "/yes"):
            api.answers["/hop"] = (302, {"Location": elsewhere.url + path}, b"")
            for expected in (200, 401):
                reply = client.get(auth, server.url + "/hop", follow_redirects=True)
                assert reply.status == expected
        assert {one.authorization for one in elsewhere.received} == {None}
        assert client.get(auth, server.url + "/no").status == 401
        assert api.token_requests == 3
        api.revoke()
        assert client.get(auth, server.url + "/yes").status == 200
        assert api.token_requests == 4
    assert sum("lacks the right" in text for text in warnings()) == 1


def test_what_is_answered_without_a_token_counts_for_no_endpoint(
    client: Client, clock: Clock, warnings: Callable[[], list[str]]
) -> None:
    with forbidding(client, "/no") as (server, api, auth):
        strike(client, auth, server.url + "/no")
        there = Server(lambda _: (302, {"Location": server.url + "/open"}, b""))
        server.handler = lambda request: (200, {}, b"") if request.path == "/open" else api(request)
        strikes = auth._core.strikes
        strikes[Operation("GET", "/open")] = next(iter(strikes.values()))
        with there.running():
            api.answers["/hop"] = (302, {"Location": there.url + "/"}, b"")
            assert client.get(auth, server.url + "/hop", follow_redirects=True).status == 200
        assert [one.authorization for one in server.to("/open")] == [None]
        assert Operation("GET", "/open") in strikes
    assert len(warnings()) == 1


@pytest.mark.parametrize("status", [200, 401])
def test_what_another_host_answers_to_a_redirected_replay_counts_for_no_endpoint(
    client: Client, clock: Clock, warnings: Callable[[], list[str]], status: int
) -> None:
    elsewhere = Server(lambda _: (status, {}, b""))
    with forbidding(client, "/no") as (server, api, auth), elsewhere.running():
        strike(client, auth, server.url + "/no")
        api.answers["/hop"] = (302, {"Location": elsewhere.url + "/no"}, b"")
        api.answers["/hip"] = (302, {"Location": elsewhere.url + "/hip"}, b"")
        for path in ("/hop", "/hip"):
            api.revoke()
            reply = client.get(auth, server.url + path, follow_redirects=True)
            assert reply.status == status
        assert api.token_requests == 5
        assert client.get(auth, server.url + "/no").status == 401
        assert api.token_requests == 5
    assert sum("lacks the right" in text for text in warnings()) == 1


def test_an_endpoint_behind_a_redirect_is_the_one_that_refused(
    client: Client, clock: Clock, warnings: Callable[[], list[str]]
) -> None:
    with forbidding(client, "/no") as (server, api, auth):
        api.answers["/hop"] = (302, {"Location": "/no"}, b"")
        for _ in range(3):
            assert client.get(auth, server.url + "/hop", follow_redirects=True).status == 401
        assert client.get(auth, server.url + "/no").status == 401
        assert api.token_requests == 3
        api.revoke()
        assert client.get(auth, server.url + "/hop").status == 302
        assert api.token_requests == 4
    (text,) = warnings()
    assert "GET /no on " in text


# What did not hold at first


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_hook_that_raises_because_of_another_hosts_401_drops_no_token(
    library: Any, clock: Clock, warnings: Callable[[], list[str]]
) -> None:
    def hook(response: Any) -> None:
        if response.status_code == 401:
            response.raise_for_status()

    elsewhere = Server(lambda _: (401, {}, b""))
    with forbidding(CLIENTS[0]) as (server, api, auth), elsewhere.running():
        api.answers["/a"] = (302, {"Location": elsewhere.url + "/login"}, b"")
        options = {"event_hooks": {"response": [hook]}, "follow_redirects": True}
        with library.Client(auth=auth, **options) as http:
            for _ in range(3):
                with pytest.raises(library.HTTPStatusError):
                    http.get(server.url + "/a")
                http.get(server.url + "/b")
    assert api.token_requests == 1
    assert warnings() == []  # it says: GET /login on <our domain>
    assert auth._core.shared.backoff.strikes == {}


@pytest.mark.parametrize("library", LIBRARIES)
def test_in_the_pause_the_raw_body_of_the_401_is_left_to_the_caller(library: Any, clock: Clock) -> None:
    with forbidding(CLIENTS[0], "/no") as (server, _, auth), library.Client(auth=auth) as http:
        strike(CLIENTS[0], auth, server.url + "/no")
        with http.stream("GET", server.url + "/no") as response:
            assert b"".join(response.iter_raw()) == b"no right"


def test_in_the_pause_the_raw_body_of_the_401_is_left_to_the_caller_of_requests(clock: Clock) -> None:
    with forbidding(CLIENTS[0], "/no") as (server, _, auth):
        strike(CLIENTS[0], auth, server.url + "/no")
        with requests.get(server.url + "/no", auth=auth, stream=True, timeout=10) as response:
            assert response.raw.read() == b"no right"


@pytest.mark.parametrize("client", CLIENTS[1:], ids=str)
def test_an_accepted_replay_counts_though_another_has_renewed_meanwhile(
    client: Client, clock: Clock, warnings: Callable[[], list[str]]
) -> None:
    with forbidding(client) as (server, api, auth):

        def renewed_by_another_meanwhile(request: Received) -> Answer:
            if request.path == "/a" and request.authorization == "Bearer token-2":
                auth.forget()
                Requests("another").get(auth, server.url + "/b")
            return api(request)

        api.revoke()
        server.handler = renewed_by_another_meanwhile
        assert client.get(auth, server.url + "/a").status == 200
        api.revoke()
        assert client.get(auth, server.url + "/a").status == 200
    assert warnings() == []


@pytest.mark.parametrize("client", [one for one in CLIENTS if not one.is_async], ids=str)
def test_an_accepted_call_takes_no_lock_while_another_endpoint_says_no(client: Client, clock: Clock) -> None:
    with forbidding(client, "/no") as (server, _, auth), ThreadPoolExecutor(1) as pool:
        strike(client, auth, server.url + "/no")
        with auth._core.shared._lock:
            call = pool.submit(client.get, auth, server.url + "/yes")
            try:
                assert call.result(5).status == 200
            finally:
                auth._core.shared._lock.release()  # for the thread that waits
                call.exception(60)
                auth._core.shared._lock.acquire()


def test_the_pause_has_not_passed_when_a_slow_token_request_ends(clock: Clock) -> None:
    """The first to be renewed for has not been replayed yet; others find the new token refused."""
    with forbidding(CLIENTS[0], "/no") as (server, api, auth):

        def slow(request: Received) -> Answer:
            if request.path == "/oauth/token" and api.token_requests == 1:
                clock.now += 2
            if request.authorization == "Bearer token-2" and not another:
                another.append(request)
                Requests("another").get(auth, server.url + "/no")
            return api(request)

        another: list[Received] = []
        server.handler = slow
        assert CLIENTS[0].get(auth, server.url + "/no").status == 401
    assert api.token_requests == 3


def test_a_redirect_is_an_acceptance(client: Client, clock: Clock) -> None:
    """Also one to another host, whose answer says nothing of the token."""
    elsewhere = Server(lambda _: (200, {}, b"a file"))
    with forbidding(client) as (server, api, auth), elsewhere.running():
        api.answers["/file"] = (302, {"Location": elsewhere.url + "/it"}, b"")
        for _ in range(3):
            api.revoke()
            reply = client.get(auth, server.url + "/file", follow_redirects=True)
            assert (reply.status, reply.body) == (200, b"a file")
            assert auth._core.shared.backoff.strikes == {}
