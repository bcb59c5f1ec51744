"""A caller waits for a flight in a thread, in asyncio or in trio, and harms nobody by leaving."""

from __future__ import annotations

import asyncio
import logging
import math
import sys
import threading
from collections.abc import Awaitable, Callable, Coroutine, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
import trio
import trio.testing

from thebase_auth._errors import TokenRequestError
from thebase_auth._renewal import Flight, Lead, Renewal
from thebase_auth._token import Token
from thebase_auth._waiting import (
    WaitFor,
    awaiting,
    blocking,
    running_task,
    wait_async,
    wait_blocking,
)

TOKEN = Token("abc")
ERROR = TokenRequestError("no", domain="acme.thebase.co.il", status=401)
LONG = 30.0  # seconds; longer than anything here takes
SHORT = 0.02  # seconds


def a_flight() -> Flight:
    answer = Renewal().ask(None, now=0, lease=60, task=None)
    assert isinstance(answer, Lead)
    answer.flight.leader = answer  # type: ignore[attr-defined]
    return answer.flight  # with its leader, who would be missed


def end(flight: Flight, outcome: Token | TokenRequestError | None) -> None:
    flight._renewal.land(flight, outcome)


OUTCOMES = pytest.mark.parametrize(
    "outcome", [TOKEN, ERROR, None], ids=["token", "error", "nothing"]
)


# In a thread


@OUTCOMES
def test_a_thread_that_comes_after_the_landing_does_not_wait(
    outcome: Token | TokenRequestError | None,
) -> None:
    flight = a_flight()
    end(flight, outcome)

    assert wait_blocking(flight.landed, LONG) is True
    assert wait_blocking(flight.landed, 0) is True
    assert wait_blocking(flight.landed, -1) is True


@OUTCOMES
def test_threads_wait_until_another_thread_lands_the_flight(
    outcome: Token | TokenRequestError | None,
) -> None:
    flight = a_flight()
    about_to_wait = threading.Barrier(5)

    def wait() -> bool:
        about_to_wait.wait(LONG)
        return wait_blocking(flight.landed, LONG)

    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(wait) for _ in range(4)]
        about_to_wait.wait(LONG)
        end(flight, outcome)

        assert [one.result(LONG) for one in waiting] == [True] * 4


@pytest.mark.parametrize("seconds", [SHORT, 0, -1])
def test_a_thread_gives_up_in_time_and_the_flight_goes_on(seconds: float) -> None:
    flight = a_flight()

    assert wait_blocking(flight.landed, seconds) is False
    assert not flight.landed.done()
    assert flight.land(TOKEN) is TOKEN
    assert wait_blocking(flight.landed, 0) is True


# In asyncio and in trio


@pytest.mark.anyio
@OUTCOMES
async def test_a_task_that_comes_after_the_landing_does_not_wait(
    outcome: Token | TokenRequestError | None,
) -> None:
    flight = a_flight()
    end(flight, outcome)

    with anyio.fail_after(LONG / 2):
        assert await wait_async(flight.landed, LONG) is True


@pytest.mark.anyio
@OUTCOMES
async def test_tasks_wait_until_a_task_of_their_own_loop_lands_the_flight(
    outcome: Token | TokenRequestError | None,
) -> None:
    flight = a_flight()
    landed: list[bool] = []

    async def wait() -> None:
        landed.append(await wait_async(flight.landed, LONG))

    with anyio.fail_after(LONG / 2):
        async with anyio.create_task_group() as tasks:
            for _ in range(10):
                tasks.start_soon(wait)
            await anyio.lowlevel.checkpoint()
            assert landed == []
            end(flight, outcome)

    assert landed == [True] * 10


@pytest.mark.anyio
async def test_a_task_waits_until_another_thread_lands_the_flight() -> None:
    flight = a_flight()
    about_to_land = threading.Event()

    def land() -> None:
        assert about_to_land.wait(LONG)
        flight.land(TOKEN)

    with anyio.fail_after(LONG / 2):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(anyio.to_thread.run_sync, land)
            await anyio.lowlevel.checkpoint()
            about_to_land.set()
            assert await wait_async(flight.landed, LONG) is True


@pytest.mark.anyio
@pytest.mark.parametrize("seconds", [SHORT, 0, -1])
async def test_a_task_gives_up_in_time_and_the_flight_goes_on(seconds: float) -> None:
    flight = a_flight()

    with anyio.fail_after(LONG / 2):
        assert await wait_async(flight.landed, seconds) is False
    assert not flight.landed.done()
    flight.land(TOKEN)
    assert await wait_async(flight.landed, LONG) is True


@pytest.mark.parametrize("seconds", [0.3, 0, -1])
def test_a_task_of_asyncio_waits_so_long_and_no_longer(seconds: float) -> None:
    flight = a_flight()
    asked: list[float] = []

    async def wait() -> bool:
        loop = asyncio.get_running_loop()
        call_later = loop.call_later

        def noting(delay: float, *rest: Any) -> Any:
            asked.append(delay)
            return call_later(0, *rest)

        loop.call_later = noting  # type: ignore[method-assign]
        return await wait_async(flight.landed, seconds)

    assert asyncio.run(wait()) is False
    assert asked == [max(seconds, 0)]


@pytest.mark.parametrize("seconds", [300, 0, -1])
def test_a_task_of_trio_waits_so_long_and_no_longer(seconds: float) -> None:
    flight = a_flight()

    async def wait() -> float:
        began = trio.current_time()
        assert await wait_async(flight.landed, seconds) is False
        return trio.current_time() - began

    clock = trio.testing.MockClock(autojump_threshold=0)
    assert trio.run(wait, clock=clock) == max(seconds, 0)


@pytest.mark.anyio
async def test_a_task_may_wait_without_a_limit() -> None:
    flight = a_flight()

    with anyio.fail_after(LONG / 2):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait_async, flight.landed, math.inf)
            await anyio.lowlevel.checkpoint()
            flight.land(TOKEN)


@pytest.mark.anyio
async def test_a_cancelled_waiter_cancels_neither_the_flight_nor_another_waiter() -> None:
    flight = a_flight()
    landed: list[str] = []

    async def wait(name: str) -> None:
        await wait_async(flight.landed, LONG)
        landed.append(name)

    with anyio.fail_after(LONG / 2):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait, "patient")
            with anyio.CancelScope() as scope:
                async with anyio.create_task_group() as cancelled:
                    cancelled.start_soon(wait, "cancelled")
                    await anyio.lowlevel.checkpoint()
                    scope.cancel()
            assert scope.cancelled_caught
            assert not flight.landed.done()
            assert not flight.landed.cancelled()
            flight.land(TOKEN)

    assert landed == ["patient"]
    assert flight.outcome() is TOKEN


@pytest.mark.anyio
async def test_a_timeout_around_the_wait_ends_the_wait_and_is_not_taken_for_ours() -> None:
    flight = a_flight()

    with pytest.raises(TimeoutError):
        with anyio.fail_after(SHORT):
            await wait_async(flight.landed, LONG)

    assert not flight.landed.done()


@pytest.mark.anyio
async def test_every_task_has_a_name_of_its_own_and_that_of_its_loop() -> None:
    seen = [running_task(), running_task()]

    async def look() -> None:
        seen.append(running_task())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(look)

    assert seen[0].task is seen[1].task
    assert seen[0].task is not seen[2].task
    assert seen[0].loop is seen[1].loop is seen[2].loop


@pytest.mark.parametrize("run", [asyncio.run, lambda look: trio.run(lambda: look)])
def test_every_loop_has_a_name_of_its_own(run: Callable[[Any], Any]) -> None:
    async def look() -> Any:
        return running_task().loop

    assert run(look()) is not run(look())


def test_outside_every_loop_there_is_no_task() -> None:
    with pytest.raises(RuntimeError):
        running_task()


# Loops that end, and several loops


async def give_up(flight: Flight) -> None:
    assert await wait_async(flight.landed, SHORT) is False


def in_asyncio(function: Callable[[Flight], Coroutine[Any, Any, None]], flight: Flight) -> None:
    asyncio.run(function(flight), debug=True)  # refuses what may not be done from another thread


def in_trio(function: Callable[[Flight], Awaitable[None]], flight: Flight) -> None:
    trio.run(function, flight)


@pytest.mark.parametrize("run", [in_asyncio, in_trio])
def test_a_loop_that_has_ended_does_not_disturb_the_landing(
    run: Callable[[Callable[[Flight], Coroutine[Any, Any, None]], Flight], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    flight = a_flight()
    run(give_up, flight)
    woken = threading.Event()
    flight.landed.add_done_callback(lambda _: woken.set())

    with caplog.at_level(logging.DEBUG):
        flight.land(TOKEN)

    assert woken.is_set()
    assert flight.outcome() is TOKEN
    assert caplog.records == []


def test_one_landing_wakes_threads_and_the_tasks_of_several_loops() -> None:
    flight = a_flight()
    all_wait = threading.Barrier(7)

    async def wait_in_asyncio(flight: Flight) -> None:
        # Runs when this task is suspended, so when it waits.
        asyncio.get_running_loop().call_soon(all_wait.wait, LONG)
        assert await wait_async(flight.landed, LONG) is True

    async def wait_in_trio(flight: Flight) -> None:
        trio.lowlevel.current_trio_token().run_sync_soon(all_wait.wait, LONG)
        assert await wait_async(flight.landed, LONG) is True

    def wait_in_thread() -> None:
        all_wait.wait(LONG)
        assert wait_blocking(flight.landed, LONG) is True

    with ThreadPoolExecutor(6) as pool:
        waiting = [
            *(pool.submit(in_asyncio, wait_in_asyncio, flight) for _ in range(2)),
            *(pool.submit(in_trio, wait_in_trio, flight) for _ in range(2)),
            *(pool.submit(wait_in_thread) for _ in range(2)),
        ]
        all_wait.wait(LONG)
        flight.land(TOKEN)
        for one in waiting:
            one.result(LONG / 3)  # before their own time is over


def test_outside_every_loop_the_wait_says_so() -> None:
    waiting = wait_async(a_flight().landed, SHORT)

    with pytest.raises(RuntimeError, match="event loop"):
        waiting.send(None)


def test_a_task_of_asyncio_waits_where_trio_is_not_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(sys.modules, "trio")
    monkeypatch.setitem(sys.modules, "sniffio", None)  # an import of it fails
    flight = a_flight()

    async def wait() -> bool:
        asyncio.get_running_loop().call_soon(flight.land, TOKEN)
        return await wait_async(flight.landed, LONG)

    assert asyncio.run(wait()) is True


@pytest.mark.anyio
async def test_who_takes_steps_hears_of_each_whether_the_future_was_done() -> None:
    done: Future[str] = Future()
    done.set_result("landed")

    def steps() -> Generator[WaitFor, bool, list[bool]]:
        first = yield WaitFor(done, 5.0)
        second = yield WaitFor(Future(), 0.0)
        return [first, second]

    assert await awaiting(steps()) == [True, False]
    assert blocking(steps()) == [True, False]
