"""Many callers, one token request. Every caller is refused at the same moment."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import anyio
import httpx
import httpx2
import pytest
import trio

from tests.support.callers import in_threads, wait_until_waiting
from tests.support.clients import auth_for
from tests.support.world import DOMAIN, LIBRARIES, URL, World
from thebase_auth import TokenRequestError

threads = pytest.mark.parametrize("count", [100, pytest.param(1000, marks=pytest.mark.slow)])
tasks = pytest.mark.parametrize("count", [500, pytest.param(10_000, marks=pytest.mark.slow)])


@threads
@pytest.mark.parametrize("start", ["missing", "refused"])
def test_many_threads_of_requests_make_one_token_request(start: str, count: int) -> None:
    world = World(callers=count if start == "refused" else 0)
    auth = auth_for(DOMAIN, session=world.session())
    if start == "refused":
        auth.__call__(prepared())  # fetches a token, which the API then revokes
        world.live.clear()
    world.token_requests = 0

    def call() -> int:
        with world.session() as session:
            session.auth = auth
            return session.get(URL, timeout=60).status_code

    assert in_threads(count, call) == [200] * count
    assert world.token_requests == 1
    assert world.refused == (count if start == "refused" else 0)


def prepared() -> Any:
    import requests

    return requests.Request("GET", URL).prepare()


@threads
@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("start", ["missing", "refused"])
def test_many_threads_of_httpx_make_one_token_request(library: Any, start: str, count: int) -> None:
    world = World()
    auth = auth_for(DOMAIN)
    with world.client(library, auth) as client:
        if start == "refused":
            client.get(URL)
            world.live.clear()
            world.callers, world.token_requests = count, 0
        assert in_threads(count, lambda: client.get(URL).status_code) == [200] * count
    assert world.token_requests == 1


@tasks
@pytest.mark.anyio
@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("start", ["missing", "refused"])
async def test_many_tasks_make_one_token_request(library: Any, start: str, count: int) -> None:
    world = World()
    auth = auth_for(DOMAIN)
    statuses: list[int] = []
    async with world.async_client(library, auth) as client:
        if start == "refused":
            await client.get(URL)
            world.live.clear()
            world.callers, world.token_requests = count, 0

        async def call() -> None:
            statuses.append((await client.get(URL)).status_code)

        async with anyio.create_task_group() as group:
            for _ in range(count):
                group.start_soon(call)
    assert statuses == [200] * count
    assert world.token_requests == 1


def test_threads_tasks_and_several_loops_on_one_instance_make_one_token_request() -> None:
    each = 25
    world = World()
    auth = auth_for(DOMAIN, session=world.session())
    with world.client(httpx, auth) as client:
        client.get(URL)
    world.live.clear()
    world.token_requests = 0

    statuses: list[int] = []

    def call_requests() -> None:
        with world.session() as session:
            session.auth = auth
            statuses.append(session.get(URL, timeout=60).status_code)

    def call_httpx(library: Any) -> None:
        with world.client(library, auth) as client:
            statuses.append(client.get(URL).status_code)

    async def call_many(library: Any) -> None:
        async with world.async_client(library, auth) as client, anyio.create_task_group() as group:

            async def call() -> None:
                statuses.append((await client.get(URL)).status_code)

            for _ in range(each):
                group.start_soon(call)

    jobs: list[Callable[[], Any]] = [
        *[call_requests] * each,
        *[partial(call_httpx, library) for library in LIBRARIES for _ in range(each)],
        *[
            partial(anyio.run, call_many, library, backend=backend)
            for library in LIBRARIES
            for backend in ("asyncio", "asyncio", "trio")
        ],
    ]
    world.callers = each * 3 + each * 6
    threads = [threading.Thread(target=job) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert statuses == [200] * world.callers
    assert world.refused == world.callers
    assert world.token_requests == 1


def test_one_loop_after_the_other_can_use_one_instance() -> None:
    world = World()
    auth = auth_for(DOMAIN)

    async def call() -> int:
        async with world.async_client(httpx, auth) as client:
            return (await client.get(URL)).status_code

    for _ in range(3):
        world.live.clear()
        assert asyncio.run(call()) == 200
        world.live.clear()
        assert trio.run(call) == 200


@pytest.mark.parametrize("library", LIBRARIES)
def test_those_who_waited_share_the_failure_of_one_token_request(library: Any) -> None:
    """All wait before the answer comes: the world's token endpoint answers after the last ask."""
    count = 100
    world = World()
    auth = auth_for(DOMAIN)
    waiting = threading.Semaphore(0)
    transport = world.handle(library)

    def handler(request: Any) -> Any:
        for _ in range(count):
            assert waiting.acquire(timeout=60)
        return transport.handle_request(request)

    shared: Any = auth._core.shared
    real_ask = shared.ask

    def ask(*args: Any, **kwargs: Any) -> Any:
        try:
            return real_ask(*args, **kwargs)
        finally:
            waiting.release()

    shared.ask = ask  # counts those who have asked; changes nothing
    world.token_status = 401
    with library.Client(auth=auth, transport=library.MockTransport(handler), timeout=60) as client:
        results = in_threads(count, lambda: client.get(URL))
        assert [type(one) for one in results] == [type(results[0])] * count
        assert isinstance(results[0], TokenRequestError)
        assert isinstance(results[0], library.HTTPError)
        assert len({id(one) for one in results}) == count
        assert world.token_requests == 1
    world.token_status = 200
    auth.forget()
    with world.client(library, auth) as client:
        assert client.get(URL).status_code == 200
    assert world.token_requests == 2


def test_the_failure_comes_to_each_as_an_exception_of_the_callers_library(thebase: Any) -> None:
    import requests

    auth = auth_for(thebase.domain)
    thebase.client.client_secret = "another"
    url = thebase.domain + "/v2/users"
    with ThreadPoolExecutor(3) as pool, thebase.hold_token_requests():
        leader = pool.submit(requests.get, url, auth=auth, timeout=60)
        thebase.wait_for_token_requests(1)
        others = [pool.submit(library.get, url, auth=auth, timeout=60) for library in LIBRARIES]
        wait_until_waiting(auth, 2)
    assert isinstance(leader.exception(), requests.RequestException)
    assert isinstance(others[0].exception(), httpx.HTTPError)
    assert isinstance(others[1].exception(), httpx2.HTTPError)
    assert thebase.token_requests == 1


@pytest.mark.anyio
@pytest.mark.parametrize("library", LIBRARIES)
async def test_a_server_on_which_each_token_ends_the_one_before_does_no_harm(library: Any) -> None:
    world = World(single_token=True)
    auth = auth_for(DOMAIN)
    statuses: list[int] = []
    async with world.async_client(library, auth) as client:

        async def call() -> None:
            statuses.append((await client.get(URL)).status_code)

        for generation in range(1, 6):
            async with anyio.create_task_group() as group:
                for _ in range(50):
                    group.start_soon(call)
            assert world.token_requests == generation
            world.live.clear()
    assert statuses == [200] * 250
