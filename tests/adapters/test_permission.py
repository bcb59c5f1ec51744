"""A call that lacks permission, for which this server says 401, does not cost a token request each time."""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import httpx
import httpx2
import pytest

from tests.support.callers import in_threads, wait_for
from tests.support.clients import Client, auth_for, one_time_body
from tests.support.clock import Clock
from tests.support.permission import ApiWithoutPermission, api_without_permission
from tests.support.servers import Server, api_server
from tests.support.world import DOMAIN, LIBRARIES, URL, World

Warnings = Callable[[], list[str]]

PAUSES = [1, 2, 4, 8, 10, 10]  # seconds


def throttle(client: Client, auth: Any, url: str) -> None:
    """Let an operation reject three tokens: the current one and two that are fetched for it."""
    for _ in range(2):
        assert client.get(auth, url).history == [401]


def test_operation_is_throttled_after_it_rejected_three_tokens(
    client: Client, clock: Clock, warnings: Warnings
) -> None:
    with api_without_permission(client, "/no") as (server, api, auth):
        throttle(client, auth, server.url + "/no")
        server.received.clear()
        replies = [client.get(auth, server.url + "/no") for _ in range(5)]

    assert [(one.status, one.body, one.history) for one in replies] == [(401, b"no permission", [])] * 5
    assert [one.authorization for one in server.received] == ["Bearer token-3"] * 5
    assert api.token_requests == 3
    assert auth.token.access_token == "token-3"
    assert len(warnings()) == 1


def test_permission_that_depends_on_the_record_costs_few_tokens(
    client: Client, clock: Clock, warnings: Warnings
) -> None:
    with api_without_permission(client, "/v2/leads/2") as (server, api, auth):
        for number in range(20):
            assert client.get(auth, server.url + "/v2/leads/1").status == 200
            assert client.get(auth, f"{server.url}/v2/leads/2{number}").status == 401
    assert api.token_requests == 3
    assert len(warnings()) == 1


def test_permission_that_depends_on_a_one_shot_body_costs_few_tokens(
    client: Client, clock: Clock, warnings: Warnings
) -> None:
    with api_without_permission(client) as (server, api, auth):
        server.handler = lambda request: api.rejection if request.body == b"once" else api(request)
        for _ in range(20):
            assert client.post(auth, server.url + "/v2/leads/find", b"allowed").status == 200
            assert client.post(auth, server.url + "/v2/leads/find", one_time_body(client)).status == 401
    assert api.token_requests == 3
    assert len(warnings()) == 1


def test_revoked_tokens_are_renewed_each_time(client: Client, clock: Clock, warnings: Warnings) -> None:
    """Any response but a 401 to a replay shows that the renewal has helped."""
    with api_without_permission(client) as (server, api, auth):
        api.responses["/a"] = (404, {}, b"")
        for token_requests in range(2, 8):
            api.revoke()
            for _ in range(2):
                assert client.get(auth, server.url + "/a").status == 404
            assert api.token_requests == token_requests
    assert warnings() == []


def test_expired_token_is_renewed_while_throttled(
    client: Client, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with api_without_permission(client, "/no") as (server, api, auth):
        throttle(client, auth, server.url + "/no")
        api.forbidden = ()
        api.revoke()
        assert client.get(auth, server.url + "/no").status == 401
        clock.time = lambda: time.time() + 3601
        assert client.get(auth, server.url + "/no").status == 200
    assert api.token_requests == 4


def test_each_operation_is_throttled_by_itself(client: Client, clock: Clock, warnings: Warnings) -> None:
    with api_without_permission(client, "/v2/leads", "/v2/users") as (server, api, auth):
        throttle(client, auth, server.url + "/v2/leads/1")
        assert client.get(auth, server.url + "/v2/leads/2/notes").history == []
        throttle(client, auth, server.url + "/v2/users/1")
        assert client.post(auth, server.url + "/v2/leads/1", b"body").history == [401]
        api.revoke()
        assert client.get(auth, server.url + "/v2/tasks").status == 200
        assert client.get(auth, server.url + "/v2/leads/1").history == []
    assert api.token_requests == 7
    assert len(warnings()) == 2


def test_server_that_repeats_its_token_is_asked_no_more_often(client: Client, clock: Clock) -> None:
    api = ApiWithoutPermission("/no")
    api.token_response["access_token"] = "same"
    api.live.add("same")
    with api_server(api) as (server, _):
        auth = auth_for(server.url)
        for token_requests, pause in enumerate(PAUSES[:3], 3):
            for _ in range(4):
                assert client.get(auth, server.url + "/no").status == 401
            assert api.token_requests == token_requests
            clock.now += pause


# Redirects


def test_401_of_another_host_counts_for_no_operation(
    client: Client, clock: Clock, warnings: Warnings
) -> None:
    elsewhere = Server(lambda _: (401, {}, b""))
    with api_without_permission(client) as (server, api, auth), elsewhere.running():
        api.responses["/hop"] = (302, {"Location": elsewhere.url + "/a"}, b"")
        for _ in range(4):
            assert client.get(auth, server.url + "/hop", follow_redirects=True).status == 401
        assert api.token_requests == 1
        api.revoke()
        assert client.get(auth, server.url + "/a").status == 200
    assert sum("lacks permission" in text for text in warnings()) == 0


def test_operation_behind_a_redirect_is_the_one_that_is_throttled(
    client: Client, clock: Clock, warnings: Warnings
) -> None:
    with api_without_permission(client, "/no") as (server, api, auth):
        api.responses["/hop"] = (302, {"Location": "/no"}, b"")
        for _ in range(3):
            assert client.get(auth, server.url + "/hop", follow_redirects=True).status == 401
        assert client.get(auth, server.url + "/no").history == []
        assert api.token_requests == 3
        api.revoke()
        assert client.get(auth, server.url + "/hop").status == 302
    (text,) = warnings()
    assert "GET /no" in text


# Many callers


class HangingBody(httpx.AsyncByteStream, httpx2.AsyncByteStream):
    """A body that is announced, and never comes."""

    def __init__(self) -> None:
        self.begun = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self.begun = True
        await anyio.sleep_forever()
        yield b""


@pytest.mark.anyio
@pytest.mark.parametrize("library", LIBRARIES)
async def test_cancelled_calls_without_permission_drop_no_token(library: Any) -> None:
    world = World()
    transport = world.handle_async(library)
    bodies: list[HangingBody] = []

    async def handler(request: Any) -> Any:
        if request.url.path != "/no":
            return await transport.handle_async_request(request)
        bodies.append(HangingBody())
        return library.Response(401, headers={"Content-Length": "8"}, stream=bodies[-1])

    client = library.AsyncClient(auth=auth_for(DOMAIN), transport=library.MockTransport(handler))
    async with client:
        for count in range(1, 11):
            assert (await client.get(URL)).status_code == 200
            async with anyio.create_task_group() as group:
                group.start_soon(client.get, f"https://{DOMAIN}/no")
                await wait_for(lambda: len(bodies) == count and bodies[-1].begun)
                group.cancel_scope.cancel()
    assert world.token_requests == 1


def test_many_callers_with_and_without_permission_fetch_one_token_a_pause(
    client: Client, clock: Clock, warnings: Warnings
) -> None:
    start = threading.Barrier(10)
    with api_without_permission(client, "/v2/leads/2") as (server, api, auth):

        def call() -> list[int]:
            start.wait(20)
            return [client.get(auth, f"{server.url}/v2/leads/{lead}").status for lead in (1, 2) * 3]

        for token_requests, pause in enumerate(PAUSES[:2], 3):
            assert in_threads(10, call) == [[200, 401] * 3] * 10
            assert api.token_requests == token_requests
            clock.now += pause
    assert len(warnings()) == 1
