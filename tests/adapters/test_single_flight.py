"""However many callers find the token missing or rejected at once, one token request is made."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import anyio
import pytest

from tests.support.callers import in_threads
from tests.support.clients import ALL_CLIENTS, Client, auth_for
from tests.support.servers import api_server
from tests.support.world import DOMAIN, World


def world_of(client: Client, start: str, count: int) -> tuple[World, Any]:
    """A world whose token is missing, or will be rejected for so many callers at the same moment."""
    world = World()
    auth = auth_for(DOMAIN, session=world.session())
    if start == "rejected":
        assert world.get(client, auth) == 200
        world.live.clear()
        world.callers, world.token_requests = count, 0
    return world, auth


@pytest.mark.clients(is_async=False)
@pytest.mark.parametrize("start", ["missing", "rejected"])
@pytest.mark.parametrize("count", [100, pytest.param(1000, marks=pytest.mark.slow)])
def test_many_threads_make_one_token_request(client: Client, start: str, count: int) -> None:
    world, auth = world_of(client, start, count)
    assert in_threads(count, lambda: world.get(client, auth)) == [200] * count
    assert world.token_requests == 1


@pytest.mark.clients(is_async=True)
@pytest.mark.parametrize("start", ["missing", "rejected"])
def test_many_tasks_make_one_token_request(client: Client, start: str) -> None:
    world, auth = world_of(client, start, 100)
    assert client.run(partial(in_tasks, world, client, auth, 100)) == [200] * 100
    assert world.token_requests == 1


EACH_LOOP = [one for one in ALL_CLIENTS if str(one) in {"httpx on asyncio", "httpx2 on trio", "aiohttp"}]


@pytest.mark.slow
@pytest.mark.parametrize("client", EACH_LOOP, ids=str)
def test_ten_thousand_tasks_make_one_token_request(client: Client) -> None:
    world, auth = world_of(client, "rejected", 10_000)
    assert client.run(partial(in_tasks, world, client, auth, 10_000)) == [200] * 10_000
    assert world.token_requests == 1


async def in_tasks(world: World, client: Client, auth: Any, count: int) -> list[int]:
    """Make so many calls at once in one session, and return their statuses."""
    statuses: list[int] = []
    async with world.opened(client, auth) as get, anyio.create_task_group() as group:

        async def call() -> None:
            statuses.append(await get())

        for _ in range(count):
            group.start_soon(call)
    return statuses


def test_threads_tasks_and_several_loops_make_one_token_request() -> None:
    each = 10
    count = each * (len(ALL_CLIENTS) + 2)
    world, auth = world_of(ALL_CLIENTS[0], "rejected", count)

    jobs: list[Callable[[], Any]] = [
        partial(world.get, client, auth) for client in ALL_CLIENTS for _ in range(each)
    ]
    jobs += [  # httpx on asyncio and on trio
        partial(client.run, partial(in_tasks, world, client, auth, each)) for client in ALL_CLIENTS[3:5]
    ]
    waiting = [threading.Thread(target=job) for job in jobs]
    for thread in waiting:
        thread.start()
    for thread in waiting:
        thread.join(60)
    assert (world.rejected, world.accepted) == (count, count + 1)
    assert world.token_requests == 1


def test_one_event_loop_after_the_other_can_use_one_instance() -> None:
    world = World()
    auth = auth_for(DOMAIN)

    for count, client in enumerate([one for one in ALL_CLIENTS if one.is_async] * 2, 1):
        world.live.clear()
        assert world.get(client, auth) == 200
        assert world.token_requests == count


@pytest.mark.clients(is_async=True)
def test_server_that_invalidates_the_previous_token_is_handled(client: Client) -> None:
    world = World(single_token=True)
    auth = auth_for(DOMAIN)
    for token_requests in range(1, 6):
        assert client.run(partial(in_tasks, world, client, auth, 50)) == [200] * 50
        assert world.token_requests == token_requests
        world.live.clear()


def test_request_with_a_good_token_takes_no_lock(client: Client) -> None:
    with api_server() as (server, _), ThreadPoolExecutor(1) as pool:
        auth = auth_for(server.url)
        client.get(auth, server.url + "/warm-up")
        with auth._renewal._lock:  # if it is reentrant, it stops other threads only
            assert pool.submit(client.get, auth, server.url + "/a", timeout=20).result(20).status == 200
