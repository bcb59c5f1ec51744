"""A caller waits for another in a thread, in asyncio or in trio, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Coroutine, Generator
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
import trio

from tests.support.renewals import LONG
from thebase_auth._core.flight import Caller, Event, Wait
from thebase_auth._waiting import async_caller, run_blocking, wait_async, wait_blocking

SHORT = 0.02  # seconds
#: Longer than the tests wait for a thread, so that only a wake-up ends a wait.
LONGER = 10 * LONG


@pytest.fixture
def event() -> Event:
    return Event()


@pytest.mark.anyio
async def test_thread_and_task_stop_waiting_in_time_and_leave_no_waker(event: Event) -> None:
    wait_blocking(event, SHORT)
    assert not event.wakers

    with anyio.fail_after(LONG):
        await wait_async(event, SHORT)
    assert not event.wakers
    assert not event.done


class FinishedMeanwhile(set[Callable[[], object]]):
    """The wakers of an event that is finished just before a waiter adds its own."""

    def __init__(self, event: Event) -> None:
        super().__init__()
        self.event = event

    def add(self, waker: Callable[[], object]) -> None:
        self.event.finish()
        super().add(waker)


@pytest.mark.anyio
async def test_event_that_is_done_before_the_waker_is_there_wakes_at_once(event: Event) -> None:
    event.wakers = FinishedMeanwhile(event)
    with anyio.fail_after(LONG):
        await wait_async(event, LONGER)
    await anyio.to_thread.run_sync(wait_blocking, event, LONGER)

    assert not event.wakers


@pytest.mark.anyio
async def test_cancelled_waiter_leaves_no_waker_and_wakes_nobody(event: Event) -> None:
    with anyio.fail_after(LONG):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait_async, event, LONGER)
            async with anyio.create_task_group() as cancelled:
                cancelled.start_soon(wait_async, event, LONGER)
                await anyio.wait_all_tasks_blocked()
                cancelled.cancel_scope.cancel()
            assert len(event.wakers) == 1
            event.finish()
    assert not event.wakers


def test_task_waits_where_trio_is_not_installed(monkeypatch: pytest.MonkeyPatch, event: Event) -> None:
    monkeypatch.delitem(sys.modules, "trio")
    asyncio.run(wait_async(event, SHORT))
    assert not event.wakers


def test_task_waits_while_another_thread_imports_trio(monkeypatch: pytest.MonkeyPatch, event: Event) -> None:
    monkeypatch.setitem(sys.modules, "trio", ModuleType("trio"))  # it has no attributes yet
    asyncio.run(wait_async(event, SHORT))
    assert not event.wakers


# Several loops, and loops that have ended


def in_asyncio(function: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    return asyncio.run(function(), debug=True)  # raises at what may not be done from another thread


def test_one_event_wakes_threads_and_tasks_of_several_loops(event: Event) -> None:
    all_wait = threading.Barrier(7)

    async def wait_in_asyncio() -> None:
        asyncio.get_running_loop().call_soon(all_wait.wait, LONG)  # it runs when this task waits
        await wait_async(event, LONGER)

    async def wait_in_trio() -> None:
        trio.lowlevel.current_trio_token().run_sync_soon(all_wait.wait, LONG)
        await wait_async(event, LONGER)

    def wait_in_thread() -> None:
        all_wait.wait(LONG)
        wait_blocking(event, LONGER)

    with ThreadPoolExecutor(6) as pool:
        waiting = [
            *(pool.submit(in_asyncio, wait_in_asyncio) for _ in range(2)),
            *(pool.submit(trio.run, wait_in_trio) for _ in range(2)),
            *(pool.submit(wait_in_thread) for _ in range(2)),
        ]
        all_wait.wait(LONG)
        event.finish()
        for one in waiting:
            one.result(LONG)


def close_loop_while_a_task_waits(event: Event) -> None:
    """Run a task until it waits, and close its loop without cancelling it, as some programs do."""
    loop = asyncio.new_event_loop()
    task = loop.create_task(wait_async(event, LONGER))
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()


def end_trio_while_a_task_waits(event: Event) -> None:
    """Leave the waker behind, as if another thread had taken it just before."""
    wakers: list[Any] = []

    async def wait() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait_async, event, LONGER)
            await trio.testing.wait_all_tasks_blocked()
            wakers.extend(event.wakers)
            nursery.cancel_scope.cancel()

    trio.run(wait)
    event.wakers.update(wakers)


@pytest.mark.parametrize("end_loop", [close_loop_while_a_task_waits, end_trio_while_a_task_waits])
def test_waiter_whose_loop_was_closed_does_not_keep_others_asleep(
    event: Event, end_loop: Callable[[Event], None]
) -> None:
    end_loop(event)
    woken: list[bool] = []
    for _ in range(10):  # a set has no order
        event.wakers.add(lambda: woken.append(True))
    event.finish()

    assert len(woken) == 10


# Who waits


@pytest.mark.anyio
async def test_task_is_a_caller_and_not_lost_while_it_runs() -> None:
    one, same, others = async_caller(), async_caller(), list[Caller]()

    async def ask() -> None:
        others.append(async_caller())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)

    assert not one.can_go_on_while_waiting(same)
    assert one.can_go_on_while_waiting(others[0])
    assert not one.is_lost()


def test_task_of_asyncio_is_lost_when_it_or_its_loop_has_ended() -> None:
    async def ask() -> Any:
        return async_caller()

    async def ask_another() -> Any:
        ended = await asyncio.create_task(ask())
        assert ended.is_lost()
        return async_caller()

    assert asyncio.run(ask_another()).is_lost()


@pytest.mark.anyio
async def test_caller_knows_whether_its_task_is_being_cancelled() -> None:
    seen: list[bool] = []

    async def wait() -> None:
        caller = async_caller()
        seen.append(caller.is_cancelled())
        try:
            await anyio.sleep_forever()
        finally:
            seen.append(caller.is_cancelled())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()

    assert seen == [False, True]


def test_steps_are_closed_when_their_wait_is_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[str] = []

    def steps() -> Generator[Wait, None, None]:
        try:
            yield Wait(Event(), SHORT)
        finally:
            closed.append("closed")

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("thebase_auth._waiting.wait_blocking", interrupt)
    running = steps()
    with pytest.raises(KeyboardInterrupt):
        run_blocking(running)

    assert closed == ["closed"]
