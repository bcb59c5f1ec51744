"""Nobody hangs: leaders that leave, pools of one, blocked loops, forks, the lock."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from typing import Any

import anyio
import pytest
import requests
from requests.adapters import HTTPAdapter

from tests.support.broken import HTML, HTML_TYPE, broken_server
from tests.support.callers import TokenHold, in_threads, wait_for, wait_until_waiting
from tests.support.clients import Client, auth_for
from tests.support.servers import Answer, Api, Received, api_server
from tests.support.world import LIBRARIES
from thebase_auth import TheBaseAuthError, Token, TokenTimeoutError
from thebase_auth.testing import Sandbox

CALLERS = 20


@pytest.mark.parametrize("size", [1, 2])
def test_a_small_pool_of_requests_full_of_401s_gets_everyone_through(size: int) -> None:
    api = Api()
    api.refusal = (401, HTML_TYPE, HTML)
    with api_server(api) as (server, _), requests.Session() as session:
        session.mount("http://", HTTPAdapter(pool_maxsize=size, pool_block=True))
        session.auth = auth_for(server.url, session=session)
        session.get(server.url + "/warm-up", timeout=20)
        api.revoke()
        results = in_threads(CALLERS, lambda: session.get(server.url + "/a", timeout=20).status_code)
    assert results == [200] * CALLERS
    assert api.token_requests == 2


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("size", [1, 2])
def test_a_small_pool_of_a_sync_client_full_of_401s_gets_everyone_through(library: Any, size: int) -> None:
    api = Api()
    api.refusal = (401, HTML_TYPE, HTML)
    limits = library.Limits(max_connections=size)
    with (
        api_server(api) as (server, _),
        library.Client(auth=auth_for(server.url), limits=limits, timeout=15) as client,
    ):
        client.get(server.url + "/warm-up")
        api.revoke()

        def call() -> int:
            # httpcore looks whether a connection is idle and then whether there is something to read
            # from it; between the two another thread may have begun to use it, and loses it: at once, or,
            # where it is reading already, when its time is up.
            for _ in range(5):
                try:
                    return int(client.get(server.url + "/a").status_code)
                except (library.NetworkError, library.ReadTimeout) as error:
                    assert not isinstance(error, TheBaseAuthError)  # that would be ours
            raise AssertionError("five connections were lost")

        results = in_threads(CALLERS, call)
    assert results == [200] * CALLERS
    assert api.token_requests == 2


@pytest.mark.anyio
@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("streamed", [True, False])
async def test_a_small_pool_of_an_async_client_full_of_401s_gets_everyone_through(
    library: Any, size: int, streamed: bool
) -> None:
    api = Api()
    api.refusal = (401, HTML_TYPE, HTML)
    limits = library.Limits(max_connections=size)
    statuses = []
    with api_server(api) as (server, _):
        async with library.AsyncClient(auth=auth_for(server.url), limits=limits, timeout=20) as client:
            await client.get(server.url + "/warm-up")
            api.revoke()

            async def call() -> None:
                if streamed:
                    async with client.stream("GET", server.url + "/a") as response:
                        statuses.append(response.status_code)
                else:
                    statuses.append((await client.get(server.url + "/a")).status_code)

            async with anyio.create_task_group() as group:
                for _ in range(CALLERS):
                    group.start_soon(call)
    assert statuses == [200] * CALLERS
    assert api.token_requests == 2


@pytest.mark.anyio
@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("leaving", [1, 3])
async def test_cancelled_leaders_are_succeeded_and_nobody_else_is_cancelled(
    library: Any, leaving: int
) -> None:
    hold = TokenHold(held=leaving)
    statuses: list[int] = []
    cancelled = []
    leaders: list[int] = []
    caller: ContextVar[int] = ContextVar("caller")

    async def note_leader(request: Any) -> None:
        if request.url.path == "/oauth/token":
            leaders.append(caller.get())

    with api_server(hold) as (server, _):
        auth = auth_for(server.url)
        hooks = {"request": [note_leader]}
        async with (
            library.AsyncClient(auth=auth, timeout=20, event_hooks=hooks) as client,
            anyio.create_task_group() as group,
        ):
            scopes: list[anyio.CancelScope] = []

            async def call(number: int) -> None:
                caller.set(number)
                with scopes[number]:
                    try:
                        response = await client.get(server.url + "/a")
                    except BaseException:
                        cancelled.append(number)
                        raise
                    statuses.append(response.status_code)

            for number in range(10):
                scopes.append(anyio.CancelScope())
                group.start_soon(call, number)
            for _ in range(leaving):
                await wait_for(lambda: hold.arrived.acquire(blocking=False))
                scopes[leaders[-1]].cancel()
            hold.let_go.set()
    assert statuses == [200] * (10 - leaving)
    assert sorted(cancelled) == sorted(leaders[:leaving])
    assert len(server.to("/oauth/token")) == leaving + 1


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_leader_that_is_killed_natively_in_asyncio_is_succeeded(library: Any) -> None:
    hold = TokenHold()

    async def main(url: str) -> list[Any]:
        async with library.AsyncClient(auth=auth_for(url), timeout=20) as client:
            leader = asyncio.create_task(client.get(url + "/a"))
            await wait_for(lambda: hold.arrived.acquire(blocking=False))
            others = [asyncio.create_task(client.get(url + "/a")) for _ in range(5)]
            await asyncio.sleep(0)
            leader.cancel()
            hold.let_go.set()
            return await asyncio.gather(leader, *others, return_exceptions=True)

    with api_server(hold) as (server, _):
        leader, *others = asyncio.run(main(server.url))
    assert isinstance(leader, asyncio.CancelledError)
    assert [one.status_code for one in others] == [200] * 5


@pytest.mark.anyio
@pytest.mark.parametrize("library", LIBRARIES)
async def test_a_cancelled_waiter_takes_nobody_along(library: Any) -> None:
    hold = TokenHold()
    statuses = []
    with api_server(hold) as (server, _):
        async with (
            library.AsyncClient(auth=auth_for(server.url), timeout=20) as client,
            anyio.create_task_group() as group,
        ):

            async def call(scope: anyio.CancelScope) -> None:
                with scope:
                    statuses.append((await client.get(server.url + "/a")).status_code)

            group.start_soon(call, anyio.CancelScope())
            await wait_for(lambda: hold.arrived.acquire(blocking=False))
            waiters = [anyio.CancelScope() for _ in range(4)]
            for scope in waiters:
                group.start_soon(call, scope)
            await anyio.wait_all_tasks_blocked()
            waiters[0].cancel()
            waiters[2].cancel()
            await anyio.wait_all_tasks_blocked()
            hold.let_go.set()
    assert statuses == [200] * 3
    assert len(server.to("/oauth/token")) == 1


def test_a_leader_that_times_out_is_succeeded(client: Client) -> None:
    hold = TokenHold()
    with api_server(hold) as (server, _), ThreadPoolExecutor(3) as pool:
        hold.api.live.add("old")
        auth = auth_for(server.url, timeout=0.5)
        leader = pool.submit(client.get, auth, server.url + "/a", timeout=0.5)
        assert hold.arrived.acquire(timeout=20)
        auth._core.timeout = 20  # for the others, where the library does not tell their own
        others = [pool.submit(client.get, auth, server.url + "/a", timeout=20) for _ in range(2)]
        assert isinstance(leader.exception(20), client.error)
        statuses = [other.result(20).status for other in others]
        hold.let_go.set()
    assert statuses == [200, 200]
    assert len(server.to("/oauth/token")) == 2


def test_those_who_wait_get_through_when_their_leader_gets_no_answer(client: Client) -> None:
    """The first token request gets no answer at all, and two callers wait for it."""
    with Sandbox() as thebase, ThreadPoolExecutor(3) as pool:
        auth = auth_for(thebase.domain)
        with thebase.hold_token_requests():
            leader = pool.submit(client.get, auth, thebase.domain + "/v2/users", timeout=0.3)
            auth._core.timeout = 0.3
            thebase.wait_for_token_requests(1)
            auth._core.timeout = 20
            others = [
                pool.submit(client.get, auth, thebase.domain + "/v2/users", timeout=20) for _ in range(2)
            ]
            if client.name != "requests":
                assert isinstance(leader.exception(20), client.error)
                thebase.wait_for_token_requests(2)
        assert [other.result(20).status for other in others] == [200, 200]


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_blocking_call_on_the_event_loops_own_thread_fetches_for_itself(library: Any) -> None:
    """The leader is a task of the loop that the blocking call stops: waiting for it would be for ever."""
    hold = TokenHold()

    async def main(url: str) -> tuple[list[int], int]:
        auth = auth_for(url)
        async with library.AsyncClient(auth=auth, timeout=20) as client:
            leader = asyncio.create_task(client.get(url + "/a"))
            await wait_for(lambda: hold.arrived.acquire(blocking=False))
            waiter = asyncio.create_task(client.get(url + "/a"))
            await asyncio.sleep(0)
            blocking = [
                requests.get(url + "/a", auth=auth, timeout=20).status_code,
                library.get(url + "/a", auth=auth, timeout=20).status_code,
            ]
            hold.let_go.set()
            return blocking, (await leader).status_code + (await waiter).status_code

    with api_server(hold) as (server, _):
        assert asyncio.run(main(server.url)) == ([200, 200], 400)
    assert len(server.to("/oauth/token")) == 2


@pytest.mark.anyio
@pytest.mark.parametrize("library", LIBRARIES)
async def test_a_hook_that_makes_a_call_while_its_task_leads_does_not_wait_for_itself(library: Any) -> None:
    with api_server() as (server, _):
        auth = auth_for(server.url)
        audit = library.AsyncClient(auth=auth, timeout=20)

        async def note(request: Any) -> None:
            if request.url.path == "/oauth/token":
                statuses.append((await audit.get(server.url + "/audit")).status_code)

        statuses: list[int] = []
        hooks = {"request": [note]}
        with anyio.fail_after(10):
            async with audit, library.AsyncClient(auth=auth, event_hooks=hooks) as client:
                statuses.append((await client.get(server.url + "/a")).status_code)
    assert statuses == [200, 200]


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_leader_on_a_closed_loop_of_this_thread_holds_nobody_up(library: Any) -> None:
    hold = TokenHold()
    with api_server(hold) as (server, _):
        auth = auth_for(server.url)

        async def lead() -> Any:
            client = library.AsyncClient(auth=auth, timeout=1000)
            task = asyncio.create_task(client.get(server.url + "/a"))
            await wait_for(lambda: hold.arrived.acquire(blocking=False))
            return task, client

        async def call() -> int:
            async with library.AsyncClient(auth=auth, timeout=1000) as client:
                return (await client.get(server.url + "/a")).status_code

        loop = asyncio.new_event_loop()
        task, client = loop.run_until_complete(lead())
        started = time.monotonic()
        assert asyncio.run(call()) == 200
        assert time.monotonic() - started < 100
        hold.let_go.set()
        task.cancel()
        loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
        loop.run_until_complete(client.aclose())
        loop.close()


def test_those_who_wait_supersede_a_leader_whose_time_is_up(client: Client) -> None:
    hold = TokenHold()
    with api_server(hold) as (server, _):
        auth = auth_for(server.url)
        loop = asyncio.new_event_loop()
        frozen = LIBRARIES[0].AsyncClient(auth=auth, timeout=0.2)  # a lease of 0.8 seconds
        task = loop.create_task(frozen.get(server.url + "/a"))
        loop.call_later(0.05, loop.stop)
        loop.run_forever()  # and not again before the end
        assert hold.arrived.acquire(timeout=20)
        auth._core.timeout = 1000  # for requests, which does not tell
        results = in_threads(3, lambda: client.get(auth, server.url + "/a", timeout=1000).status)
        assert results == [200] * 3
        hold.let_go.set()
        task.cancel()
        loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
        loop.run_until_complete(frozen.aclose())
        loop.close()


@pytest.mark.anyio
@pytest.mark.parametrize("library", LIBRARIES)
async def test_a_waiter_prefers_a_newer_token_to_the_one_it_waited_for(library: Any) -> None:
    """It is woken late, and meanwhile the token it waited for has been ended and renewed."""
    hold = TokenHold()
    with api_server(hold) as (server, _):
        auth = auth_for(server.url)
        statuses = []
        async with library.AsyncClient(auth=auth, timeout=20) as client, anyio.create_task_group() as group:

            async def call() -> None:
                statuses.append((await client.get(server.url + "/a")).status_code)

            leader = ThreadPoolExecutor(1)
            first = leader.submit(requests.get, server.url + "/b", auth=auth, timeout=20)
            await wait_for(lambda: hold.arrived.acquire(blocking=False))
            group.start_soon(call)
            await anyio.wait_all_tasks_blocked()
            hold.let_go.set()
            # This loop is blocked now, and the waiter with it.
            assert first.result(20).status_code == 200
            hold.api.revoke()
            assert leader.submit(requests.get, server.url + "/c", auth=auth).result(20).ok
            leader.shutdown()
    assert statuses == [200]
    assert [one.authorization for one in server.to("/a")] == ["Bearer token-2"]


def test_a_silent_token_endpoint_costs_n_callers_one_timeout_not_n(client: Client) -> None:
    with broken_server("is silent") as (url, _):
        auth = auth_for(url, timeout=0.5)
        started = time.monotonic()
        results = in_threads(CALLERS, lambda: client.get(auth, url + "/a", timeout=0.5))
        seconds = time.monotonic() - started
    assert [one for one in results if not isinstance(one, client.error)] == []
    assert seconds < CALLERS * 0.5 / 2


def test_a_waiter_gives_up_after_its_own_timeout(client: Client) -> None:
    hold = TokenHold()
    with api_server(hold) as (server, _), ThreadPoolExecutor(2) as pool:
        auth = auth_for(server.url, timeout=20)
        leader = pool.submit(client.get, auth, server.url + "/a", timeout=20)
        assert hold.arrived.acquire(timeout=20)
        auth._core.timeout = 0.2
        with pytest.raises(client.error, match="waited for another caller") as caught:
            client.get(auth, server.url + "/a", timeout=0.2)
        hold.let_go.set()
        assert isinstance(caught.value, TokenTimeoutError)
        kinds = (requests.Timeout, *(library.TimeoutException for library in LIBRARIES))
        assert isinstance(caught.value, kinds)
        assert leader.result(20).status == 200


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_leader_on_a_stopped_event_loop_is_superseded_when_its_time_is_up(library: Any) -> None:
    hold = TokenHold()
    with api_server(hold) as (server, _):
        auth = auth_for(server.url, timeout=0.2)
        loop = asyncio.new_event_loop()
        client = library.AsyncClient(auth=auth, timeout=0.2)
        task = loop.create_task(client.get(server.url + "/a"))
        loop.call_later(0.05, loop.stop)
        loop.run_forever()  # and never again
        assert hold.arrived.acquire(timeout=20)
        deadline = time.monotonic() + 20
        while True:
            try:
                # In another thread, since this one is the leader's.
                [status] = in_threads(1, lambda: library.get(server.url + "/a", auth=auth, timeout=0.2))
                if not isinstance(status, Exception):
                    break
                assert isinstance(status, library.TimeoutException)  # most often a TokenTimeoutError
            finally:
                assert time.monotonic() < deadline
        assert status.status_code == 200
        hold.let_go.set()
        task.cancel()
        loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
        loop.run_until_complete(client.aclose())
        loop.close()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_fork_in_the_middle_of_a_renewal_leaves_the_child_free(client: Client) -> None:
    hold = TokenHold()
    with api_server(hold) as (server, _), ThreadPoolExecutor(1) as pool:
        auth = auth_for(server.url)
        leader = pool.submit(client.get, auth, server.url + "/a", timeout=20)
        assert hold.arrived.acquire(timeout=20)
        with auth._core.shared._lock:  # as another thread may, at the moment of the fork
            child = os.fork()
            if child == 0:
                try:
                    status = client.get(auth, server.url + "/child", timeout=20).status
                finally:
                    os._exit(0 if "status" in locals() and status == 200 else 1)
        _, code = os.waitpid(child, 0)
        hold.let_go.set()
        assert leader.result(20).status == 200
    assert code == 0
    assert len(server.to("/child")) == 1


def test_those_who_wait_do_so_without_the_lock(client: Client) -> None:
    hold = TokenHold()
    with api_server(hold) as (server, _), ThreadPoolExecutor(2) as pool:
        auth = auth_for(server.url)
        calls = [pool.submit(client.get, auth, server.url + "/a", timeout=20) for _ in range(2)]
        assert hold.arrived.acquire(timeout=20)
        if not client.is_async:
            wait_until_waiting(auth, 1)
        assert auth._core.shared._lock.acquire(blocking=False)
        auth._core.shared._lock.release()
        hold.let_go.set()
        assert [call.result(20).status for call in calls] == [200, 200]


def test_callers_that_get_the_refused_token_again_try_it_once(client: Client) -> None:
    hold = TokenHold()
    hold.api.token_answer["access_token"] = "the-same"
    with api_server(hold) as (server, _), ThreadPoolExecutor(2) as pool:
        auth = auth_for(server.url)
        auth._core.shared.token = Token("the-same")
        both_refused = threading.Barrier(2)

        def refuse(request: Received) -> Answer:
            if request.path == "/oauth/token":
                return hold(request)
            if len(server.to("/a")) <= 2:
                both_refused.wait(20)
            return 401, {}, b"no right"

        server.handler = refuse
        calls = [pool.submit(client.get, auth, server.url + "/a", timeout=20) for _ in range(2)]
        assert hold.arrived.acquire(timeout=20)
        wait_until_waiting(auth, 1)
        hold.let_go.set()
        replies = [call.result(20) for call in calls]
    assert [(reply.status, reply.body) for reply in replies] == [(401, b"no right")] * 2
    assert len(server.to("/oauth/token")) == 1
    assert len(server.to("/a")) == 4


def test_a_signed_request_with_a_good_token_takes_no_lock(client: Client) -> None:
    with api_server() as (server, _), ThreadPoolExecutor(1) as pool:
        auth = auth_for(server.url)
        client.get(auth, server.url + "/warm-up")
        with auth._core.shared._lock:  # reentrant, so that only another thread would be stopped by it
            call = pool.submit(client.get, auth, server.url + "/a", timeout=20)
            assert call.result(20).status == 200
