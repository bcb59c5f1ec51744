# Waiting for an event in a thread, in asyncio and in trio.
#
# Several event loops may share an auth object, so no lock or event of one loop can be kept on it. Each waiter
# makes its own, and leaves a function by which any thread can wake it.

from __future__ import annotations

import contextlib
import math
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from typing import TypeVar

from ._core.flight import Caller, Event, Wait

Result = TypeVar("Result")


def wait_blocking(event: Event, seconds: float) -> None:
    """Wait for *event* in this thread, at most *seconds*."""
    asleep = threading.Lock()
    asleep.acquire()
    with _waker(event, asleep.release):
        if not event.done:
            asleep.acquire(timeout=seconds)


async def wait_async(event: Event, seconds: float) -> None:
    """Wait for *event* in asyncio or trio, at most *seconds*."""
    if _in_trio():
        await _wait_trio(event, seconds)
    else:
        await _wait_asyncio(event, seconds)


def run_blocking(steps: Generator[Wait, None, Result]) -> Result:
    """Run *steps* in this thread, and return their result."""
    try:
        while True:
            wait_blocking(*next(steps))
    except StopIteration as end:
        result: Result = end.value
        return result
    finally:
        steps.close()


def async_caller() -> Caller:
    """Return the current task of asyncio or trio as a caller."""
    if _in_trio():
        import trio

        def is_cancelled_in_trio() -> bool:
            return trio.current_effective_deadline() == -math.inf

        task, trio_token = trio.lowlevel.current_task(), trio.lowlevel.current_trio_token()
        return Caller(task, trio_token, is_cancelled=is_cancelled_in_trio)
    import asyncio

    loop, asyncio_task = asyncio.get_running_loop(), asyncio.current_task()

    def is_lost() -> bool:
        return not loop.is_running() or (asyncio_task is not None and asyncio_task.done())

    def is_cancelled() -> bool:
        return asyncio_task is None or asyncio_task.cancelling() > 0

    return Caller(asyncio_task, loop, is_lost, is_cancelled)


async def _wait_asyncio(event: Event, seconds: float) -> None:
    import asyncio

    # Ten thousand tasks may wait: a future and a timer is nearly all that each of them costs.
    loop = asyncio.get_running_loop()
    asleep = loop.create_future()

    def finish() -> None:
        if not asleep.done():
            asleep.set_result(None)

    def wake() -> None:
        with contextlib.suppress(RuntimeError):  # the waiter's loop has been closed
            loop.call_soon_threadsafe(finish)

    with _waker(event, wake):
        if event.done:
            return
        timer = loop.call_later(seconds, finish)
        try:
            await asleep
        finally:
            timer.cancel()


async def _wait_trio(event: Event, seconds: float) -> None:
    import trio

    asleep, trio_token = trio.Event(), trio.lowlevel.current_trio_token()

    def wake() -> None:
        with contextlib.suppress(trio.RunFinishedError):
            trio_token.run_sync_soon(asleep.set)

    with _waker(event, wake), trio.move_on_after(seconds):
        if not event.done:
            await asleep.wait()


@contextlib.contextmanager
def _waker(event: Event, wake: Callable[[], object]) -> Iterator[None]:
    event.wakers.add(wake)
    try:
        yield
    finally:
        event.wakers.discard(wake)


def _in_trio() -> bool:
    trio = sys.modules.get("trio")
    if trio is None:
        return False
    try:
        trio.lowlevel.current_task()
    except (RuntimeError, AttributeError):  # not in a task; or another thread is importing trio right now
        return False
    return True
