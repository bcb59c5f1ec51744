"""The lock of a cache: holders that die, hang, are passed over or cancelled, and callers' timeouts."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import httpx
import pytest
import requests

from tests.support.caches import Shared, Warnings, is_free, key_of, one_client, renew, stored_token
from tests.support.callers import HeldTokens, wait_for, wait_until
from tests.support.clients import Client, auth_for
from tests.support.memory_cache import METHODS, Gate, MemoryCache
from tests.support.processes import python
from tests.support.servers import Api, Received, Response, api_server
from thebase_auth.testing import Sandbox

# Another process that dies or is stuck with the lock


@one_client
def test_others_inherit_the_lock_of_a_process_that_died(client: Client, shared: Shared) -> None:
    with Sandbox() as thebase:
        call = "get(auth_with(timeout=4))"
        with thebase.hold_token_requests(), python(call, thebase.domain, shared.place) as other:
            thebase.wait_for_token_requests(1)
            other.kill()
        url = thebase.domain + "/v2/users"
        auths = [auth_for(thebase.domain, cache=shared.cache(), timeout=4) for _ in range(3)]
        started = time.monotonic()
        with ThreadPoolExecutor(3) as pool:
            calls = [pool.submit(client.get, auth, url, timeout=4) for auth in auths]
            assert [call.result(20).status for call in calls] == [200] * 3
        assert time.monotonic() - started < 4
        assert thebase.token_requests == 2  # that of the dead process, and one of an heir
        wait_until(lambda: is_free(shared.cache(), auths[0]))


@one_client
def test_lock_that_is_never_released_is_waited_for_half_of_the_timeout(
    client: Client, warnings: Warnings
) -> None:
    cache = MemoryCache()
    with api_server() as (server, api):
        auth = auth_for(server.url, cache=cache, timeout=1)
        cache.lock(key_of(auth), timeout=1)  # another process, for good
        started = time.monotonic()
        for _ in range(2):
            renew(client, auth, server.url, api, timeout=1)
            wait_until(lambda: stored_token(cache, auth) == auth.token)
        assert 0.5 < time.monotonic() - started < 4
        assert api.token_requests == 2
    assert max(cache.timeouts[1:]) <= 0.5
    assert cache.locked == {key_of(auth)}  # it is not ours to release
    [message] = warnings()
    assert "(another process has held its lock for 0.45 seconds)" in message


# Leaders that are passed over


def test_leader_that_is_passed_over_keeps_no_lock_and_delays_no_one(shared: Shared) -> None:
    """A leader on an event loop cannot go on while the loop's thread makes a blocking call."""
    cache = shared.cache()

    async def main(auth: Any, url: str, api: HeldTokens) -> float:
        async with httpx.AsyncClient(auth=auth, timeout=20) as client:
            leader = asyncio.create_task(client.get(url))
            await wait_for(lambda: len(api.held) == 1)
            api.holding = False
            started = time.monotonic()
            assert requests.get(url, auth=auth, timeout=20).status_code == 200
            seconds = time.monotonic() - started
            api.let_all_go()
            assert (await leader).status_code == 200
            return seconds

    with api_server(HeldTokens(holding=True)) as (server, api):
        auth = auth_for(server.url, cache=cache, timeout=20)
        assert asyncio.run(main(auth, server.url + "/a", api)) < 8  # it would wait 10 seconds for the lock
        wait_until(lambda: is_free(cache, auth))
        assert stored_token(cache, auth) == auth.token


# Callers that are cancelled or interrupted


@pytest.mark.anyio
@pytest.mark.parametrize("stage", [*METHODS, "locked by another", "fetch"])
async def test_cancelled_caller_releases_the_lock_and_another_leads(stage: str) -> None:
    gate, handler = Gate(stage), HeldTokens(holding=stage == "fetch")
    cache = MemoryCache(gate)
    statuses: list[int] = []
    with api_server(handler) as (server, api):
        auth = auth_for(server.url, cache=cache)
        release = cache.lock(key_of(auth), timeout=1) if stage == "locked by another" else None

        def reached() -> bool:
            if stage == "fetch":
                return len(api.held) == 1
            return gate.reached.is_set() or (release is not None and cache.calls.count("lock") == 2)

        async with httpx.AsyncClient(auth=auth, timeout=20) as client:

            async def call() -> None:
                statuses.append((await client.get(server.url + "/a")).status_code)

            async with anyio.create_task_group() as cancelled:
                cancelled.start_soon(client.get, server.url + "/cancelled")
                await wait_for(reached)
                api.holding = False
                with anyio.fail_after(2):
                    cancelled.cancel_scope.cancel()
            async with anyio.create_task_group() as group:
                for _ in range(3):
                    group.start_soon(call)
                await anyio.wait_all_tasks_blocked()
                gate.opened.set()
                api.let_all_go()
                if release is not None:
                    release()
        await wait_for(lambda: not cache.locked)
    assert statuses == [200] * 3
    assert gate.was_opened_in_time
    assert len(cache.records) == 1  # the others have not bypassed the cache


@pytest.mark.parametrize("stage", ["load", "lock", "fetch"])
def test_interrupted_caller_releases_the_lock(stage: str) -> None:
    """Ctrl-C strikes the main thread once, while it waits."""
    interrupted, caught = threading.Event(), threading.Event()

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

    cache = MemoryCache(lambda method: interrupt() if method == stage else None)
    with api_server(handler) as (server, _), httpx.Client(timeout=20) as client:
        auth = auth_for(server.url, cache=cache)
        try:
            with pytest.raises(KeyboardInterrupt):
                client.get(server.url + "/a", auth=auth)
        finally:
            caught.set()
        wait_until(lambda: not cache.locked)
        started = time.monotonic()
        assert client.get(server.url + "/a", auth=auth).status_code == 200
        assert time.monotonic() - started < 5
        wait_until(lambda: not cache.locked)
