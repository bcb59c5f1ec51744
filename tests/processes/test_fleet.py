"""One token request, however many processes or auth objects share a token by ``cache=``."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import anyio
import pytest

from tests.support.caches import Shared, until
from tests.support.clients import auth_for
from tests.support.processes import CallingProcess
from tests.support.world import DOMAIN, LIBRARIES, URL, World
from thebase_auth.testing import Sandbox

PROCESSES = 8
WORKERS = 100


@pytest.fixture(scope="module")
def fleet() -> Iterator[list[CallingProcess]]:
    with ExitStack() as stack:
        yield [stack.enter_context(CallingProcess()) for _ in range(PROCESSES)]


def test_processes_make_one_token_request_at_a_cold_start_and_each_expiry(
    fleet: list[CallingProcess], shared: Shared
) -> None:
    with Sandbox() as thebase:
        url = f"{thebase.domain}/v2/users"
        for number, process in enumerate(fleet):
            process.begin(thebase.domain, shared.place, library=("requests", "httpx")[number % 2])
        assert answers(fleet) == ["ready"] * PROCESSES

        for expiries in range(3):
            with thebase.hold_token_requests():
                for process in fleet:
                    process.call(url)
                assert answers(fleet) == ["calling"] * PROCESSES
                thebase.wait_for_token_requests(1)
                until(lambda: rejections(thebase) == expiries * PROCESSES)
            assert answers(fleet) == [[200]] * PROCESSES  # and no warnings
            assert thebase.token_requests == 1 + expiries
            thebase.revoke_tokens()


def answers(fleet: list[CallingProcess]) -> list[Any]:
    return [process.answer() for process in fleet]


def rejections(thebase: Sandbox) -> int:
    return sum(call.status == 401 for call in thebase.calls("/v2/users"))


# Auth objects of one process, each as if in another process


def expire(world: World) -> None:
    """Revoke all tokens, and let the next rejections wait for each other."""
    world.live.clear()
    world.callers, world.token_requests, world.rejected = WORKERS, 0, 0
    world.all_rejected.clear()


def test_a_hundred_threads_with_an_auth_object_each_make_one_token_request(shared: Shared) -> None:
    world, cache = World(), shared.cache()
    sessions = [world.session() for _ in range(WORKERS)]
    for session in sessions:
        session.auth = auth_for(DOMAIN, cache=cache, session=world.session())
        assert session.get(URL).status_code == 200
    assert world.token_requests == 1

    for _ in range(2):
        expire(world)
        statuses: list[int] = []

        def call(session: Any) -> None:
            statuses.append(session.get(URL).status_code)

        threads = [threading.Thread(target=call, args=(session,)) for session in sessions]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert statuses == [200] * WORKERS
        assert (world.rejected, world.token_requests) == (WORKERS, 1)


@pytest.mark.anyio
@pytest.mark.parametrize("library", LIBRARIES)
async def test_a_hundred_tasks_with_an_auth_object_each_make_one_token_request(
    library: Any, shared: Shared
) -> None:
    world, cache = World(), shared.cache()
    auths = [auth_for(DOMAIN, cache=cache) for _ in range(WORKERS)]
    async with world.async_client(library, None) as client:
        for auth in auths:
            assert (await client.get(URL, auth=auth)).status_code == 200
        assert world.token_requests == 1

        for _ in range(2):
            expire(world)
            statuses: list[int] = []

            async def call(auth: Any) -> None:
                statuses.append((await client.get(URL, auth=auth)).status_code)

            async with anyio.create_task_group() as tasks:
                for auth in auths:
                    tasks.start_soon(call, auth)
            assert statuses == [200] * WORKERS
            assert (world.rejected, world.token_requests) == (WORKERS, 1)
