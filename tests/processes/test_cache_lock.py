"""The lock of a cache: holders that die, hang, are superseded or cancelled, and callers' timeouts."""

from __future__ import annotations

import asyncio
import random
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
import requests

from tests.support.broken import broken_server
from tests.support.caches import (
    Shared,
    Warnings,
    cache_threads,
    few_clients,
    is_free,
    key_of,
    renew,
    stored_token,
    until,
)
from tests.support.callers import TokenHold, in_threads, wait_for
from tests.support.clients import Client, auth_for
from tests.support.memory_cache import METHODS, Gate, MemoryCache
from tests.support.processes import calling_process
from tests.support.servers import Api, Received, Response, api_server
from thebase_auth import FileTokenCache
from thebase_auth.testing import Sandbox

# Another process that dies or is stuck with the lock


@few_clients
def test_others_inherit_the_lock_of_a_process_that_died(client: Client, shared: Shared) -> None:
    with Sandbox() as thebase:
        url = thebase.domain + "/v2/users"
        with thebase.hold_token_requests(), calling_process(thebase.domain, shared.place, timeout=8) as other:
            other.call(url)
            thebase.wait_for_token_requests(1)
            other.kill()
        auths = [auth_for(thebase.domain, cache=shared.cache(), timeout=8) for _ in range(3)]
        started = time.monotonic()
        with ThreadPoolExecutor(3) as pool:
            calls = [pool.submit(client.get, auth, url, timeout=8) for auth in auths]
            assert [call.result(20).status for call in calls] == [200] * 3
        assert time.monotonic() - started < 8
        assert thebase.token_requests == 2  # that of the dead process, and one of an heir
        until(lambda: is_free(shared.cache(), auths[0]))


@few_clients
def test_lock_that_is_never_released_is_waited_for_half_of_the_timeout(
    client: Client, warnings: Warnings
) -> None:
    shelf = MemoryCache()
    with api_server() as (server, api):
        auth = auth_for(server.url, cache=shelf, timeout=2)
        shelf.lock(key_of(auth), timeout=1)  # another process, for good
        started = time.monotonic()
        for _ in range(2):
            renew(client, auth, server.url, api, timeout=2)
            until(lambda: stored_token(shelf, auth) == auth.token)
        assert 1 < time.monotonic() - started < 4
        assert api.token_requests == 2
    assert max(shelf.timeouts) <= 1
    assert shelf.locked == {key_of(auth)}  # it is not ours to release
    assert len(warnings()) == 1


# Token endpoints that fail


@few_clients
def test_silent_token_endpoint_fails_each_process_within_its_own_timeout(
    client: Client, shared: Shared
) -> None:
    with Sandbox() as thebase, thebase.hold_token_requests():
        url = thebase.domain + "/v2/users"
        with calling_process(thebase.domain, shared.place, timeout=1) as other:
            started = time.monotonic()
            other.call(url)
            thebase.wait_for_token_requests(1)
            auth = auth_for(thebase.domain, cache=shared.cache(), timeout=1)
            with pytest.raises(client.error):
                client.get(auth, url, timeout=1)
            assert [other.answer(), other.answer()[0]] == ["calling", "ReadTimeout"]
            assert time.monotonic() - started < 6
    until(lambda: is_free(shared.cache(), auth))


@few_clients
def test_many_callers_of_a_silent_token_endpoint_do_not_queue(client: Client) -> None:
    with broken_server("is silent") as (url, _):
        shelf = MemoryCache()
        auth = auth_for(url, cache=shelf, timeout=0.5)
        started = time.monotonic()
        results = in_threads(20, lambda: client.get(auth, url + "/a", timeout=0.5))
        assert time.monotonic() - started < 20 * 0.5 / 2
    assert [one for one in results if not isinstance(one, client.error)] == []
    until(lambda: not shelf.locked)


# Leaders that are superseded


def test_superseded_leader_neither_keeps_the_lock_nor_holds_up_the_next(shared: Shared) -> None:
    """A leader on an event loop cannot go on while the loop's thread makes a blocking call."""
    hold, cache = TokenHold(), shared.cache()

    async def main(auth: Any, url: str) -> float:
        async with httpx.AsyncClient(auth=auth, timeout=20) as client:
            leader = asyncio.create_task(client.get(url))
            await wait_for(lambda: hold.arrived.acquire(blocking=False))
            started = time.monotonic()
            assert requests.get(url, auth=auth, timeout=20).status_code == 200
            seconds = time.monotonic() - started
            hold.let_go.set()
            assert (await leader).status_code == 200
            return seconds

    with api_server(hold) as (server, _):
        auth = auth_for(server.url, cache=cache, timeout=20)
        assert asyncio.run(main(auth, server.url + "/a")) < 8  # it would wait 10 seconds for the lock
        until(lambda: is_free(cache, auth))
        assert stored_token(cache, auth) == auth.token


@few_clients
def test_lost_token_request_costs_half_of_the_timeout_and_no_lock(client: Client) -> None:
    hold, shelf = TokenHold(), MemoryCache()
    with api_server(hold) as (server, _), ThreadPoolExecutor(1) as pool:
        auth = auth_for(server.url, cache=shelf, timeout=4)
        leader = pool.submit(client.get, auth, server.url + "/a", timeout=4)
        assert hold.arrived.acquire(timeout=20)
        started = time.monotonic()
        assert client.get(auth, server.url + "/a", timeout=4).status == 200
        assert time.monotonic() - started < 3.5
        hold.let_go.set()
        assert leader.result(20).status == 200
        until(lambda: not shelf.locked)


# Callers that are cancelled or interrupted

STAGES = [*METHODS, "locked by another", "fetch"]


@pytest.mark.anyio
@pytest.mark.parametrize("stage", STAGES)
async def test_cancelled_caller_releases_the_lock_and_another_leads(stage: str) -> None:
    gate, hold = Gate(stage), TokenHold(held=1 if stage == "fetch" else 0)
    shelf = MemoryCache(gate)
    statuses: list[int] = []
    with api_server(hold) as (server, _):
        auth = auth_for(server.url, cache=shelf)
        release = shelf.lock(key_of(auth), timeout=1) if stage == "locked by another" else None

        def reached() -> bool:
            if stage == "fetch":
                return hold.arrived.acquire(blocking=False)
            return gate.reached.is_set() or (release is not None and shelf.calls.count("lock") == 2)

        async with httpx.AsyncClient(auth=auth, timeout=20) as client:

            async def call() -> None:
                statuses.append((await client.get(server.url + "/a")).status_code)

            async with anyio.create_task_group() as cancelled:
                cancelled.start_soon(client.get, server.url + "/cancelled")
                await wait_for(reached)
                with anyio.fail_after(2):
                    cancelled.cancel_scope.cancel()
            async with anyio.create_task_group() as group:
                for _ in range(3):
                    group.start_soon(call)
                await anyio.wait_all_tasks_blocked()
                gate.opened.set()
                hold.let_go.set()
                if release is not None:
                    release()
        await wait_for(lambda: not shelf.locked)
    assert statuses == [200] * 3
    assert gate.was_opened_in_time
    assert len(shelf.records) == 1  # the others have not passed over the cache


@pytest.mark.anyio
async def test_callers_cancelled_while_the_cache_hangs_take_one_thread() -> None:
    gate = Gate("load")
    with api_server() as (server, _):
        auth = auth_for(server.url, cache=MemoryCache(gate))
        try:
            async with httpx.AsyncClient(auth=auth, timeout=20) as client:
                for _ in range(5):
                    async with anyio.create_task_group() as group:
                        group.start_soon(client.get, server.url + "/a")
                        await anyio.wait_all_tasks_blocked()
                        assert gate.reached.wait(20)
                        group.cancel_scope.cancel()
            assert len(cache_threads()) == 1
        finally:
            gate.opened.set()


@pytest.mark.parametrize("stage", ["load", "lock", "fetch"])
def test_interrupted_caller_releases_the_lock(stage: str) -> None:
    """Ctrl-C strikes the main thread once, while it waits."""
    interrupted = threading.Event()

    def interrupt() -> None:
        if not interrupted.is_set():
            interrupted.set()
            threading.Event().wait(0.2)  # until the main thread waits
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            assert caught.wait(20)

    api = Api()

    def handler(request: Received) -> Response:
        if stage == "fetch" and request.path == "/oauth/token":
            interrupt()
        return api(request)

    caught = threading.Event()
    shelf = MemoryCache(lambda method: interrupt() if method == stage else None)
    with api_server(handler) as (server, _), httpx.Client(timeout=20) as client:
        auth = auth_for(server.url, cache=shelf)
        try:
            with pytest.raises(KeyboardInterrupt):
                client.get(server.url + "/a", auth=auth)
        finally:
            caught.set()
        until(lambda: not shelf.locked)
        started = time.monotonic()
        assert client.get(server.url + "/a", auth=auth).status_code == 200
        assert time.monotonic() - started < 5
        until(lambda: not shelf.locked)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of httpx, when cancelled
@pytest.mark.anyio
async def test_callers_cancelled_at_random_cost_the_others_nothing(tmp_path: Path) -> None:
    chance = random.Random(1)
    with api_server() as (server, _):
        cache = FileTokenCache(tmp_path / "tokens.json")
        auth = auth_for(server.url, cache=cache)
        async with httpx.AsyncClient(auth=auth, timeout=20) as client:

            async def abandon(seconds: float) -> None:
                with anyio.move_on_after(seconds):
                    await client.get(server.url + "/a")

            for _ in range(15):
                auth.forget()
                async with anyio.create_task_group() as group:
                    for _ in range(4):
                        group.start_soon(abandon, chance.random() / 50)
                    assert (await client.get(server.url + "/a")).status_code == 200
        until(lambda: is_free(cache, auth))
