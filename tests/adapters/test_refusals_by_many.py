"""Many callers of one operation that refuses a fresh token too cost one renewal a pause."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import pytest

from tests.support.clients import CLIENTS, Client, Requests, auth_for
from tests.support.clock import Clock
from tests.support.forbidding import PAUSES, Forbidding, forbidding
from tests.support.servers import Answer, Received, Server, api_server
from tests.support.world import DOMAIN, LIBRARIES, URL, World

# Many callers


class Closed(World):
    """A world that refuses every token."""

    def accepts(self, authorization: str) -> bool:
        self.live.clear()
        return super().accepts(authorization)

    def handle_async(self, library: Any) -> Any:
        transport = super().handle_async(library)

        async def handler(request: Any) -> Any:
            await anyio.lowlevel.checkpoint()  # as a network would
            response = await transport.handle_async_request(request)
            await anyio.lowlevel.checkpoint()
            return response

        return library.MockTransport(handler)


THREADS, TASKS, CALLS = 100, 200, 4


def free_running(call: Callable[[], int]) -> None:
    """Have many threads make calls, one after the other, all of which are refused."""
    start = threading.Barrier(THREADS)

    def run() -> list[int]:
        start.wait(60)
        return [call() for _ in range(CALLS)]

    with ThreadPoolExecutor(THREADS) as pool:
        results = [future.result(60) for future in [pool.submit(run) for _ in range(THREADS)]]
    assert results == [[401] * CALLS] * THREADS


def test_a_hundred_threads_of_requests_cost_one_renewal_a_pause(
    clock: Clock, warnings: Callable[[], list[str]]
) -> None:
    world = Closed()
    auth = auth_for(DOMAIN, session=world.session())
    local = threading.local()

    def call() -> int:
        if not hasattr(local, "session"):
            local.session = world.session()
            local.session.auth = auth
        answer: int = local.session.post(URL, timeout=60).status_code
        return answer

    for renewals, pause in enumerate(PAUSES[:3], 2):
        free_running(call)
        assert world.token_requests == 1 + renewals
        assert world.refused <= renewals * THREADS * (CALLS + 1)
        clock.now += pause
    assert len(warnings()) == 1


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_hundred_threads_of_httpx_cost_one_renewal_a_pause(
    library: Any, clock: Clock, warnings: Callable[[], list[str]]
) -> None:
    world = Closed()
    with world.client(library, auth_for(DOMAIN)) as http:
        for renewals, pause in enumerate(PAUSES[:3], 2):
            free_running(lambda: http.post(URL).status_code)
            assert world.token_requests == 1 + renewals
            assert world.refused <= renewals * THREADS * (CALLS + 1)
            clock.now += pause
    assert len(warnings()) == 1


@pytest.mark.anyio
@pytest.mark.parametrize("library", LIBRARIES)
async def test_two_hundred_tasks_cost_one_renewal_a_pause(
    library: Any, clock: Clock, warnings: Callable[[], list[str]]
) -> None:
    world = Closed()
    async with world.async_client(library, auth_for(DOMAIN)) as http:

        async def call() -> None:
            for _ in range(CALLS):
                assert (await http.get(URL)).status_code == 401

        for renewals, pause in enumerate(PAUSES[:3], 2):
            async with anyio.create_task_group() as group:
                for _ in range(TASKS):
                    group.start_soon(call)
            assert world.token_requests == 1 + renewals
            assert world.refused <= renewals * TASKS * (CALLS + 1)
            clock.now += pause
    assert len(warnings()) == 1


def test_one_instance_has_one_pause_for_every_library(
    clock: Clock, warnings: Callable[[], list[str]]
) -> None:
    with forbidding(CLIENTS[0], "/no") as (server, api, auth):
        for client in CLIENTS * 2:
            assert client.get(auth, server.url + "/no").status == 401
    assert api.token_requests == 3
    assert len(warnings()) == 1


def test_a_caller_in_the_pause_goes_on_with_the_token_that_another_is_fetching(
    client: Client, clock: Clock
) -> None:
    """The right is granted, and goes with new tokens alone; another endpoint has just led."""
    with forbidding(client, "/no") as (server, api, auth):
        for _ in range(2):
            client.get(auth, server.url + "/no")

        def granted_and_renewed_while_under_way(request: Received) -> Answer:
            if request.path == "/no" and request.authorization == "Bearer token-3":
                api.revoke()
                Requests("another").get(auth, server.url + "/yes")
                api.forbidden = ()
            return api(request)

        server.handler = granted_and_renewed_while_under_way
        assert client.get(auth, server.url + "/no").status == 200
    assert api.token_requests == 4
    assert auth._core.shared.backoff.strikes == {}


def test_forgetting_the_token_is_not_a_renewal_because_of_the_endpoint(client: Client, clock: Clock) -> None:
    with forbidding(client, "/no") as (server, api, auth):
        for _ in range(2):
            client.get(auth, server.url + "/no")
        auth.forget()
        for _ in range(3):
            assert client.get(auth, server.url + "/no").status == 401
    assert api.token_requests == 4
    assert len(server.to("/no")) == 4 + 3


def test_a_server_that_gives_the_same_token_again_is_asked_no_more_often(
    client: Client, clock: Clock, warnings: Callable[[], list[str]]
) -> None:
    api = Forbidding("/no")
    api.token_answer["access_token"] = "same"
    api.live.add("same")
    with api_server(api) as (server, _):
        auth = auth_for(server.url)
        for renewals, pause in enumerate(PAUSES[:4], 2):
            for _ in range(3):
                assert client.get(auth, server.url + "/no").status == 401
            assert api.token_requests == 1 + renewals
            clock.now += pause
    assert len(warnings()) == 1


def test_a_renewal_that_fails_begins_no_pause(client: Client, clock: Clock) -> None:
    with forbidding(client) as (server, api, auth):
        api.revoke()
        api.token_answer["access_token"] = None
        with pytest.raises(client.error):
            client.get(auth, server.url + "/a")
        del api.token_answer["access_token"]
        assert client.get(auth, server.url + "/a").status == 200


def replay_meets_trouble(client: Client, server: Server, api: Forbidding, auth: Any, path: str) -> None:
    """A call whose token is over; one is fetched, and the answer to the replay does not tell of it."""
    api.revoke()
    server.handler = lambda request: (
        (503, {}, b"") if request.authorization == "Bearer token-2" else api(request)
    )
    assert client.get(auth, server.url + path).status == 503
    server.handler = api
    assert api.token_requests == 2


def test_a_replay_that_meets_trouble_leaves_no_pause(
    client: Client, clock: Clock, warnings: Callable[[], list[str]]
) -> None:
    with forbidding(client) as (server, api, auth):
        replay_meets_trouble(client, server, api, auth, "/a")
        api.revoke()
        assert client.get(auth, server.url + "/a").status == 200
    assert auth._core.shared.backoff.strikes == {}
    assert warnings() == []


def test_the_next_call_shows_that_the_new_token_is_refused_too_which_is_a_strike(
    client: Client, clock: Clock, warnings: Callable[[], list[str]]
) -> None:
    with forbidding(client) as (server, api, auth):
        replay_meets_trouble(client, server, api, auth, "/no")
        assert warnings() == []
        api.forbidden = ("/no",)
        assert client.get(auth, server.url + "/no").status == 401  # two strikes: the old and the new one
        assert client.get(auth, server.url + "/no").history == []
    assert api.token_requests == 3
    assert len(warnings()) == 1


def test_after_a_minute_the_end_of_the_token_is_not_a_strike(
    client: Client, clock: Clock, warnings: Callable[[], list[str]]
) -> None:
    with forbidding(client) as (server, api, auth):
        replay_meets_trouble(client, server, api, auth, "/no")
        clock.now += 61
        api.forbidden = ("/no",)
        for _ in range(2):
            assert warnings() == []
            assert client.get(auth, server.url + "/no").status == 401
    assert api.token_requests == 4
