"""Nobody waits long for another caller's token request, or fails because of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import httpx
import pytest
import requests
from requests.adapters import HTTPAdapter

from tests.support.broken import broken_server
from tests.support.callers import HeldTokens, in_threads, renewal_held, wait_for, wait_until_waiting
from tests.support.clients import Client, auth_for
from tests.support.rejections import REJECTIONS, reject_first_token
from tests.support.servers import api_server
from tests.support.world import DOMAIN, LIBRARIES, SilentAtFirst, World, caller_number
from thebase_auth import TokenTimeoutError

CALLERS = 20
BLOCKING = pytest.mark.clients(is_async=False)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(3) as executor:
        yield executor


# Leaders that fail


class FailingEndpoint(World):
    """A world whose first token requests fail, each as soon as all other callers wait for it."""

    def __init__(self, failures: list[BaseException]) -> None:
        super().__init__()
        self.failures = failures
        self.waiters = CALLERS - 1
        self.auth = auth_for(DOMAIN, session=self.session())

    def respond_to_token_request(self) -> tuple[int, dict[str, Any]]:
        if not self.failures:
            return super().respond_to_token_request()
        self.token_requests += 1
        wait_until_waiting(self.auth, self.waiters)
        self.waiters -= 1
        raise self.failures.pop(0)

    def results(self, client: Client) -> list[Any]:
        """The statuses of all callers, or their exceptions."""
        return in_threads(CALLERS, lambda: self.get(client, self.auth))


def test_dropped_token_request_fails_only_its_leader(client: Client) -> None:
    world = FailingEndpoint([client.connection_error("dropped")])
    results = world.results(client)

    (failed,) = (one for one in results if one != 200)
    assert type(failed) is client.connection_error
    assert str(failed) == "dropped"
    assert world.token_requests == 2


def test_waiters_give_up_after_two_failed_token_requests(client: Client) -> None:
    world = FailingEndpoint([client.connection_error("dropped") for _ in range(CALLERS)])
    results = world.results(client)

    assert world.token_requests == 2
    assert [one for one in results if not isinstance(one, client.connection_error)] == []
    gave_up = [one for one in results if isinstance(one, TokenTimeoutError)]
    assert len(gave_up) == CALLERS - 2
    assert all(DOMAIN in str(one) for one in gave_up)
    if client.shows_why_waiters_gave_up:
        assert all("dropped" in str(one) for one in gave_up)


def test_silent_token_endpoint_costs_all_callers_one_timeout(client: Client) -> None:
    with broken_server("is silent") as (url, _):
        auth = auth_for(url, timeout=0.3)
        started = time.monotonic()
        results = in_threads(CALLERS, lambda: client.get(auth, url + "/a", timeout=0.3))

    assert [one for one in results if not isinstance(one, client.error)] == []
    assert time.monotonic() - started < CALLERS * 0.3 / 2


@BLOCKING
def test_interrupted_leaders_are_not_failures(client: Client) -> None:
    world = FailingEndpoint([KeyboardInterrupt() for _ in range(3)])
    results = world.results(client)

    assert [type(one) for one in results if one != 200] == [KeyboardInterrupt] * 3
    assert world.token_requests == 4


@pytest.mark.clients(is_async=True)
@pytest.mark.parametrize("how", ["scope", "timeout"])
def test_cancelled_leaders_are_not_failures_and_cancel_nobody_else(client: Client, how: str) -> None:
    """With two failures, those who wait would give up."""
    world, auth = SilentAtFirst(3), auth_for(DOMAIN)

    async def main() -> list[int]:
        statuses: list[int] = []
        scopes = [anyio.CancelScope() for _ in range(10)]

        async def call(number: int) -> None:
            caller_number.set(number)
            with scopes[number]:
                statuses.append(await get())

        async with world.opened(client, auth) as get, anyio.create_task_group() as group:
            for number in range(10):
                group.start_soon(call, number)
            for count in (1, 2, 3):
                await wait_for(lambda: len(world.leaders) == count)
                leader = scopes[world.leaders[-1]]
                if how == "scope":
                    leader.cancel()
                else:
                    leader.deadline = anyio.current_time()
            next(scopes[number] for number in range(10) if number not in world.leaders).cancel()
        return statuses

    assert client.run(main) == [200] * 6
    assert world.token_requests == 1


def test_leader_that_times_out_is_replaced(client: Client, pool: ThreadPoolExecutor) -> None:
    with renewal_held(client) as (url, api, auth):
        leader = pool.submit(client.get, auth, url, timeout=0.3)
        api.wait_for_held(1)
        api.holding = False
        others = [pool.submit(client.get, auth, url, timeout=20) for _ in range(2)]
        assert isinstance(leader.exception(20), client.error)
        assert [one.result(20).status for one in others] == [200, 200]
        assert len(api.held) == 1


# Leaders that take long


def test_waiter_leads_after_half_of_its_own_timeout(client: Client, pool: ThreadPoolExecutor) -> None:
    with renewal_held(client) as (url, api, auth):
        leader = pool.submit(client.get, auth, url, timeout=600)
        api.wait_for_held(1)
        api.holding = False
        assert client.get(auth, url, timeout=1).status == 200
        api.let_all_go()
        assert leader.result(20).status == 200


# Leaders that cannot go on while the caller waits


@BLOCKING
def test_blocking_call_on_the_thread_of_the_leaders_loop_leads(client: Client) -> None:
    async def main(url: str, api: HeldTokens, auth: Any) -> list[int]:
        async with httpx.AsyncClient(auth=auth, timeout=20) as async_client:
            tasks = [asyncio.create_task(async_client.get(url)) for _ in range(2)]
            await wait_for(lambda: len(api.held) == 1)
            api.holding = False
            started = time.monotonic()
            status = client.get(auth, url, timeout=600).status
            assert time.monotonic() - started < 10
            api.let_all_go()
            return [status, *[(await task).status_code for task in tasks]]

    with renewal_held(client) as (url, api, auth):
        assert asyncio.run(main(url, api, auth)) == [200] * 3


@pytest.mark.anyio
@pytest.mark.parametrize("library", LIBRARIES)
async def test_hook_that_calls_while_its_task_leads_does_not_wait_for_itself(library: Any) -> None:
    statuses: list[int] = []
    with api_server() as (server, _):
        auth = auth_for(server.url)
        audit = library.AsyncClient(auth=auth, timeout=60)

        async def hook(request: Any) -> None:
            if request.url.path == "/oauth/token":
                statuses.append((await audit.get(server.url + "/audit")).status_code)

        hooks = {"request": [hook]}
        with anyio.fail_after(10):
            async with audit, library.AsyncClient(auth=auth, event_hooks=hooks, timeout=60) as client:
                statuses.append((await client.get(server.url + "/a")).status_code)
    assert statuses == [200, 200]


# Connections


@pytest.mark.timeout(20)  # requests waits for a connection without end
@pytest.mark.parametrize("rejection", REJECTIONS)
def test_pool_of_one_connection_serves_many_rejected_calls_of_requests(rejection: str) -> None:
    with api_server() as (server, api), requests.Session() as session:
        server.handler = reject_first_token(api, rejection)
        session.mount("http://", HTTPAdapter(pool_maxsize=1, pool_block=True))
        session.auth = auth_for(server.url, session=session)
        statuses = in_threads(CALLERS, lambda: session.get(server.url + "/a", timeout=20).status_code)
    assert statuses == [200] * CALLERS
    assert api.token_requests == 2


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("rejection", REJECTIONS)
def test_pool_of_one_connection_renews_a_rejected_call_of_httpx(library: Any, rejection: str) -> None:
    with api_server() as (server, api):
        limits = library.Limits(max_connections=1)
        with library.Client(auth=auth_for(server.url), limits=limits, timeout=5) as client:
            client.get(server.url + "/warm-up")
            server.handler = reject_first_token(api, rejection)
            assert client.get(server.url + "/a").status_code == 200


@pytest.mark.anyio
@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("rejection", REJECTIONS)
async def test_pool_of_one_connection_serves_many_rejected_calls_of_httpx(
    library: Any, rejection: str
) -> None:
    statuses = []
    with api_server() as (server, api):
        limits = library.Limits(max_connections=1)
        async with library.AsyncClient(auth=auth_for(server.url), limits=limits, timeout=20) as client:
            await client.get(server.url + "/warm-up")
            server.handler = reject_first_token(api, rejection)

            async def call() -> None:
                async with client.stream("GET", server.url + "/a") as response:
                    statuses.append(response.status_code)

            async with anyio.create_task_group() as group:
                for _ in range(CALLERS):
                    group.start_soon(call)
    assert statuses == [200] * CALLERS
    assert api.token_requests == 2
