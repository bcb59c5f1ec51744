"""A caller waits for another in a thread, in asyncio or in trio, and harms nobody by leaving."""

from __future__ import annotations

import asyncio
import logging
import math
import sys
import threading
from collections.abc import Awaitable, Callable, Coroutine, Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
import trio
import trio.testing

from tests.support.shared_tokens import LONG
from thebase_auth._core.pending import Pending, WaitFor
from thebase_auth._waiting import blocking, running_task, wait_async, wait_blocking
from thebase_auth.testing._mounts import awaiting

SHORT = 0.02  # seconds


class Lost(Pending):
    """One that will never be over, and says so."""

    def is_lost(self) -> bool:
        return True


@pytest.fixture
def pending() -> Pending:
    return Pending()


@pytest.fixture
def looks_again_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("thebase_auth._waiting._LOOK_AGAIN", SHORT)


@pytest.fixture
def never_looks_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that only its wake-up ends a wait."""
    monkeypatch.setattr("thebase_auth._waiting._LOOK_AGAIN", 10 * LONG)


# In a thread


def test_a_thread_that_comes_after_the_end_does_not_wait(pending: Pending) -> None:
    pending.end()

    for seconds in (math.inf, 0, -1):
        wait_blocking(pending, seconds)


@pytest.mark.usefixtures("never_looks_again")
def test_threads_wait_until_another_thread_ends_it(pending: Pending) -> None:
    about_to_wait = threading.Barrier(5)

    def wait() -> bool:
        about_to_wait.wait(LONG)
        wait_blocking(pending, LONG)
        return pending.over

    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(wait) for _ in range(4)]
        about_to_wait.wait(LONG)
        pending.end()

        assert [one.result(LONG / 3) for one in waiting] == [True] * 4


@pytest.mark.parametrize("seconds", [SHORT, 0, -1])
def test_a_thread_gives_up_in_time_and_can_still_be_woken(pending: Pending, seconds: float) -> None:
    wait_blocking(pending, seconds)
    assert not pending.over

    pending.end()
    assert not pending.wakers


@pytest.mark.usefixtures("looks_again_soon")
def test_a_thread_looks_again_if_its_wake_up_was_lost(pending: Pending) -> None:
    def lose_the_wake_up() -> None:
        for _ in range(10_000):
            if pending.wakers:
                break
            threading.Event().wait(SHORT / 10)
        pending.wakers.clear()
        pending.over = True

    with ThreadPoolExecutor(1) as pool:
        losing = pool.submit(lose_the_wake_up)
        wait_blocking(pending, LONG)
        losing.result(LONG)
    assert pending.over


@pytest.mark.usefixtures("looks_again_soon")
def test_a_thread_waits_no_longer_for_what_is_lost() -> None:
    lost = Lost()
    wait_blocking(lost, math.inf)

    assert not lost.over


# In asyncio and in trio


@pytest.mark.anyio
async def test_a_task_that_comes_after_the_end_does_not_wait(pending: Pending) -> None:
    pending.end()

    with anyio.fail_after(LONG / 2):
        await wait_async(pending, LONG)


@pytest.mark.anyio
@pytest.mark.usefixtures("never_looks_again")
async def test_tasks_wait_until_a_task_of_their_loop_ends_it(pending: Pending) -> None:
    gone_on: list[bool] = []

    async def wait() -> None:
        await wait_async(pending, math.inf)
        gone_on.append(pending.over)

    with anyio.fail_after(LONG / 2):
        async with anyio.create_task_group() as tasks:
            for _ in range(10):
                tasks.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            assert gone_on == []
            pending.end()

    assert gone_on == [True] * 10


@pytest.mark.anyio
@pytest.mark.usefixtures("never_looks_again")
async def test_a_task_waits_until_another_thread_ends_it(pending: Pending) -> None:
    async def end() -> None:
        await anyio.wait_all_tasks_blocked()
        await anyio.to_thread.run_sync(pending.end)

    with anyio.fail_after(LONG / 2):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(end)
            await wait_async(pending, LONG)
            assert pending.over


@pytest.mark.anyio
@pytest.mark.parametrize("seconds", [SHORT, 0, -1])
async def test_a_task_gives_up_in_time_and_can_still_be_woken(pending: Pending, seconds: float) -> None:
    with anyio.fail_after(LONG / 2):
        await wait_async(pending, seconds)
    assert not pending.over

    pending.end()
    assert not pending.wakers
    await anyio.lowlevel.checkpoint()


@pytest.mark.anyio
@pytest.mark.usefixtures("looks_again_soon")
async def test_a_task_looks_again_if_its_wake_up_was_lost(pending: Pending) -> None:
    async def lose_the_wake_up() -> None:
        while not pending.wakers:
            await anyio.lowlevel.checkpoint()
        pending.wakers.clear()
        pending.over = True

    with anyio.fail_after(LONG / 2):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lose_the_wake_up)
            await wait_async(pending, LONG)
    assert pending.over


@pytest.mark.anyio
@pytest.mark.usefixtures("looks_again_soon")
async def test_a_task_waits_no_longer_for_what_is_lost() -> None:
    lost = Lost()
    with anyio.fail_after(LONG / 2):
        await wait_async(lost, LONG)

    assert not lost.over


@pytest.mark.parametrize(("seconds", "looks"), [(2.5, [1.0, 1.0, 0.5]), (0.3, [0.3]), (0, []), (-1, [])])
def test_a_task_of_asyncio_looks_again_each_second_until_its_time_is_over(
    pending: Pending, seconds: float, looks: list[float]
) -> None:
    asked: list[float] = []

    async def wait() -> None:
        loop = asyncio.get_running_loop()
        began, call_later = loop.time(), loop.call_later
        loop.time = lambda: began + sum(asked)  # type: ignore[method-assign]

        def at_once(delay: float, *rest: Any) -> Any:
            asked.append(round(delay, 6))
            return call_later(0, *rest)

        loop.call_later = at_once  # type: ignore[assignment,method-assign]
        await wait_async(pending, seconds)

    asyncio.run(wait())
    assert asked == looks


@pytest.mark.parametrize("seconds", [300, 2.5, 0, -1])
def test_a_task_of_trio_waits_so_long_and_no_longer(pending: Pending, seconds: float) -> None:
    looks: list[float] = []

    def look() -> bool:
        looks.append(trio.current_time() - began[0])
        return False

    began: list[float] = []
    pending.is_lost = look  # type: ignore[method-assign]

    async def wait() -> float:
        began.append(trio.current_time())
        await wait_async(pending, seconds)
        return trio.current_time() - began[0]

    clock = trio.testing.MockClock(autojump_threshold=0)
    assert trio.run(wait, clock=clock) == max(seconds, 0)
    assert looks == [*range(1, math.ceil(seconds)), *([seconds] if seconds > 0 else [])]


@pytest.mark.anyio
async def test_a_cancelled_waiter_ends_neither_what_it_waited_for_nor_another_wait(pending: Pending) -> None:
    gone_on: list[str] = []

    async def wait(name: str) -> None:
        await wait_async(pending, LONG)
        gone_on.append(name)

    with anyio.fail_after(LONG / 2):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait, "patient")
            async with anyio.create_task_group() as cancelled:
                cancelled.start_soon(wait, "cancelled")
                await anyio.wait_all_tasks_blocked()
                cancelled.cancel_scope.cancel()
            assert not pending.over
            pending.end()

    assert gone_on == ["patient"]


@pytest.mark.anyio
async def test_a_timeout_around_the_wait_ends_the_wait_and_is_not_taken_for_ours(pending: Pending) -> None:
    with pytest.raises(TimeoutError):
        with anyio.fail_after(SHORT):
            await wait_async(pending, LONG)

    assert not pending.over


# Who it is that waits


@pytest.mark.anyio
async def test_a_task_knows_itself_and_its_loop_and_is_not_gone_while_it_runs() -> None:
    seen = [running_task(), running_task()]

    async def look() -> None:
        seen.append(running_task())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(look)

    assert seen[0].task is seen[1].task
    assert seen[0].task is not seen[2].task
    assert seen[0].loop is seen[1].loop is seen[2].loop
    assert not seen[0].is_gone()


def test_a_task_of_asyncio_is_gone_when_it_or_its_loop_has_ended() -> None:
    async def look() -> Any:
        return running_task()

    async def look_at_another() -> Any:
        ended = await asyncio.create_task(look())
        assert ended.is_gone()
        return running_task()

    assert asyncio.run(look_at_another()).is_gone()


def test_a_callback_of_asyncio_that_is_not_a_task_is_gone_with_its_loop() -> None:
    found: list[Any] = []

    async def run() -> None:
        asyncio.get_running_loop().call_soon(lambda: found.append(running_task()))
        await asyncio.sleep(0)
        assert not found[0].is_gone()

    asyncio.run(run())
    assert found[0].task is None
    assert found[0].is_gone()


@pytest.mark.parametrize("run", [asyncio.run, lambda look: trio.run(lambda: look)])
def test_every_loop_is_another_one(run: Callable[[Any], Any]) -> None:
    async def look() -> Any:
        return running_task().loop

    assert run(look()) is not run(look())


def test_outside_every_loop_there_is_no_task() -> None:
    with pytest.raises(RuntimeError):
        running_task()


# Loops that end, and several loops


def in_asyncio(function: Callable[[Pending], Coroutine[Any, Any, None]], pending: Pending) -> None:
    asyncio.run(function(pending), debug=True)  # refuses what may not be done from another thread


def in_trio(function: Callable[[Pending], Awaitable[None]], pending: Pending) -> None:
    trio.run(function, pending)


@pytest.mark.parametrize("run", [in_asyncio, in_trio])
def test_a_loop_that_has_ended_does_not_disturb_those_who_are_woken(
    run: Callable[[Callable[[Pending], Coroutine[Any, Any, None]], Pending], None],
    pending: Pending,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def give_up(pending: Pending) -> None:
        await wait_async(pending, SHORT)

    run(give_up, pending)
    woken = threading.Event()
    pending.wakers.append(woken.set)
    with caplog.at_level(logging.DEBUG):
        pending.end()

    assert woken.is_set()
    assert caplog.records == []


@pytest.mark.usefixtures("never_looks_again")
def test_one_end_wakes_threads_and_the_tasks_of_several_loops(pending: Pending) -> None:
    all_wait = threading.Barrier(7)

    async def wait_in_asyncio(pending: Pending) -> None:
        # Runs when this task is suspended, so when it waits.
        asyncio.get_running_loop().call_soon(all_wait.wait, LONG)
        await wait_async(pending, LONG)

    async def wait_in_trio(pending: Pending) -> None:
        trio.lowlevel.current_trio_token().run_sync_soon(all_wait.wait, LONG)
        await wait_async(pending, LONG)

    def wait_in_thread() -> None:
        all_wait.wait(LONG)
        wait_blocking(pending, LONG)

    with ThreadPoolExecutor(6) as pool:
        waiting = [
            *(pool.submit(in_asyncio, wait_in_asyncio, pending) for _ in range(2)),
            *(pool.submit(in_trio, wait_in_trio, pending) for _ in range(2)),
            *(pool.submit(wait_in_thread) for _ in range(2)),
        ]
        all_wait.wait(LONG)
        pending.end()
        for one in waiting:
            one.result(LONG / 3)  # before their own time is over


def test_outside_every_loop_the_wait_says_so(pending: Pending) -> None:
    waiting = wait_async(pending, SHORT)

    with pytest.raises(RuntimeError, match="event loop"):
        waiting.send(None)


def test_a_task_of_asyncio_waits_where_trio_is_not_installed(
    monkeypatch: pytest.MonkeyPatch, pending: Pending
) -> None:
    monkeypatch.delitem(sys.modules, "trio")
    monkeypatch.setitem(sys.modules, "sniffio", None)  # an import of it fails

    async def wait() -> None:
        asyncio.get_running_loop().call_soon(pending.end)
        await wait_async(pending, LONG)

    asyncio.run(wait())
    assert pending.over


# Those who do not wait themselves


def steps_that_wait(*pendings: Pending, closed: list[str]) -> Generator[WaitFor, None, str]:
    try:
        for pending in pendings:
            yield WaitFor(pending, SHORT)
        return "result"
    finally:
        closed.append("closed")


@pytest.mark.anyio
async def test_steps_are_taken_one_after_another_to_their_result(pending: Pending) -> None:
    pending.end()
    closed: list[str] = []

    assert await awaiting(steps_that_wait(pending, Pending(), closed=closed)) == "result"
    assert blocking(steps_that_wait(pending, Pending(), closed=closed)) == "result"
    assert closed == ["closed"] * 2


@pytest.mark.anyio
async def test_steps_are_closed_when_their_wait_is_interrupted(
    monkeypatch: pytest.MonkeyPatch, pending: Pending
) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("thebase_auth._waiting.wait_blocking", interrupted)
    monkeypatch.setattr("thebase_auth.testing._mounts.wait_async", interrupted)
    closed: list[str] = []
    kept = [steps_that_wait(pending, closed=closed) for _ in range(2)]
    with pytest.raises(KeyboardInterrupt):
        blocking(kept[0])
    with pytest.raises(KeyboardInterrupt):
        await awaiting(kept[1])

    assert closed == ["closed"] * 2
