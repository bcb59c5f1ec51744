"""Callers that are cancelled or interrupted leave the lock of the cache free, and are succeeded."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
import threading
import time
from contextlib import suppress
from typing import Any

import anyio
import httpx
import pytest

from tests.support.callers import TokenHold, in_threads, wait_for
from tests.support.clients import CLIENTS, Client, auth_for
from tests.support.servers import Answer, Api, Received, api_server
from tests.support.sharing import BLOCKING, METHODS, cache_threads, key_of, until
from tests.support.shelf import Gate, Shelf
from tests.support.world import LIBRARIES

# Callers that are cancelled or interrupted


@pytest.mark.anyio
@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("stage", [*METHODS, "held by another", "fetch"])
async def test_a_caller_that_is_cancelled_leaves_the_lock_free_and_is_succeeded(
    library: Any, stage: str
) -> None:
    gate = Gate(stage)
    shelf = Shelf(gate)
    hold = TokenHold(held=1 if stage == "fetch" else 0)
    statuses: list[int] = []
    ended = []
    with api_server(hold) as (server, _):
        auth = auth_for(server.url, cache=shelf)
        release = shelf.lock(key_of(auth), 5.0) if stage == "held by another" else None
        reached = {
            "fetch": lambda: hold.arrived.acquire(blocking=False),
            "held by another": lambda: shelf.count("lock") >= 4,
        }.get(stage, gate.reached.is_set)
        async with library.AsyncClient(auth=auth, timeout=20) as client, anyio.create_task_group() as group:
            scope = anyio.CancelScope()

            async def cancelled() -> None:
                with scope:
                    await client.get(server.url + "/cancelled")
                ended.append(True)

            async def call() -> None:
                statuses.append((await client.get(server.url + "/a")).status_code)

            group.start_soon(cancelled)
            await wait_for(reached)
            scope.cancel()
            with anyio.fail_after(2):
                while not ended:
                    await anyio.sleep(0.002)
            for _ in range(3):
                group.start_soon(call)
            await anyio.wait_all_tasks_blocked()
            gate.opened.set()
            hold.let_go.set()
            if release is not None:
                release()
        await wait_for(lambda: not shelf.locked)
    assert scope.cancelled_caught
    assert statuses == [200] * 3
    assert gate.was_opened_in_time


def functions_of(thread: threading.Thread) -> set[str]:
    """The names of those that a thread is in."""
    names, frame = set(), sys._current_frames()[thread.ident or 0]
    while frame is not None:
        names.add(frame.f_code.co_name)
        frame = frame.f_back  # type: ignore[assignment]
    return names


@pytest.mark.parametrize("client", BLOCKING, ids=str)
@pytest.mark.parametrize("stage", [*METHODS, "held by another", "fetch"])
def test_a_caller_that_is_interrupted_leaves_the_lock_free_and_the_next_call_works(
    client: Client, stage: str
) -> None:
    interrupted = threading.Event()

    def interrupt() -> None:
        """As Ctrl-C does, once, while the main thread waits; what it waits for goes on a bit later."""
        if not interrupted.is_set():
            interrupted.set()
            if stage != "fetch":
                until(lambda: "wait_blocking" in functions_of(threading.main_thread()))
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            assert caught.wait(20)

    def before(method: str) -> None:
        if method == stage or (stage == "held by another" and shelf.count("lock") == 4):
            interrupt()

    api = Api()

    def handler(request: Received) -> Answer:
        if stage == "fetch" and request.path == "/oauth/token":
            interrupt()
        return api(request)

    caught = threading.Event()
    shelf = Shelf(before)
    with api_server(handler) as (server, _):
        auth = auth_for(server.url, cache=shelf)
        release = shelf.lock(key_of(auth), 5.0) if stage == "held by another" else None
        try:
            with pytest.raises(KeyboardInterrupt):
                client.get(auth, server.url + "/a", timeout=20)
        finally:
            caught.set()
        if release is not None:
            release()
        until(lambda: not shelf.locked)
        started = time.monotonic()
        assert client.get(auth, server.url + "/a", timeout=20).status == 200
        assert time.monotonic() - started < 5  # not as long as it would wait for a lock
        until(lambda: not shelf.locked)


@pytest.mark.anyio
@pytest.mark.parametrize("library", LIBRARIES)
async def test_callers_that_are_cancelled_while_the_cache_hangs_take_one_thread(library: Any) -> None:
    gate = Gate("load")
    with api_server() as (server, _):
        auth = auth_for(server.url, cache=Shelf(gate))
        try:
            async with library.AsyncClient(auth=auth, timeout=20) as client:
                for _ in range(6):
                    async with anyio.create_task_group() as group:
                        group.start_soon(client.get, server.url + "/a")
                        await anyio.wait_all_tasks_blocked()
                        assert gate.reached.wait(20)
                        group.cancel_scope.cancel()
            assert len(cache_threads()) == 1
        finally:
            gate.opened.set()


@pytest.mark.anyio
@pytest.mark.parametrize("library", LIBRARIES)
async def test_a_lock_that_an_abandoned_errand_gives_back_may_fail_in_any_way(
    library: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    unhandled: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", unhandled.append)
    gate = Gate("lock")

    def before(method: str) -> None:
        gate(method)
        if method == "release":
            raise KeyboardInterrupt

    shelf = Shelf(before)
    with api_server() as (server, _):
        auth = auth_for(server.url, cache=shelf)
        async with library.AsyncClient(auth=auth, timeout=20) as client, anyio.create_task_group() as group:
            group.start_soon(client.get, server.url + "/a")
            await wait_for(gate.reached.is_set)
            group.cancel_scope.cancel()
    gate.opened.set()
    until(lambda: shelf.count("release") == 1 and not cache_threads())
    assert unhandled == []


def test_an_interrupt_that_strikes_when_a_thread_has_just_been_started_leaves_the_lock_free() -> None:
    def strike(frame: Any, event: str, argument: Any) -> None:
        thread = frame.f_locals.get("self")
        if (event, frame.f_code.co_name) == ("return", "start") and isinstance(thread, threading.Thread):
            sys.setprofile(None)
            raise KeyboardInterrupt

    shelf = Shelf()
    with api_server() as (server, _):
        auth = auth_for(server.url, cache=shelf)
        sys.setprofile(strike)
        try:
            with pytest.raises(KeyboardInterrupt):
                CLIENTS[0].get(auth, server.url + "/a")
        finally:
            sys.setprofile(None)
        until(lambda: not cache_threads())
        assert not shelf.locked
        assert CLIENTS[0].get(auth, server.url + "/a").status == 200


def test_a_flow_that_is_dropped_in_another_thread_leaves_the_lock_free() -> None:
    shelf = Shelf()
    auth = auth_for("acme.thebase.co.il", cache=shelf)
    flows = [auth.sync_auth_flow(httpx.Request("GET", "https://acme.thebase.co.il/v2/users"))]
    assert next(flows[0]).url.path == "/oauth/token"
    assert shelf.locked

    def drop() -> None:
        flows.clear()
        gc.collect()

    in_threads(1, drop)
    until(lambda: not shelf.locked)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_event_loop_that_is_thrown_away_in_the_middle_of_a_fetch_leaves_the_lock_free() -> None:
    hold = TokenHold()
    shelf = Shelf()
    with api_server(hold) as (server, _):
        auth = auth_for(server.url, cache=shelf)

        async def main() -> None:
            client = httpx.AsyncClient(auth=auth, timeout=20)
            task = asyncio.create_task(client.get(server.url + "/a"))
            await wait_for(lambda: hold.arrived.acquire(blocking=False))
            assert shelf.locked
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

        loop = asyncio.new_event_loop()
        loop.run_until_complete(main())
        loop.close()
        until(lambda: not shelf.locked)
        hold.let_go.set()
