# Waiting in a thread, in asyncio, in trio.
#
# Here: how to wait for something `Pending`, with a time limit, and which task would wait. Not here: what to
# do afterwards (the core, the coordinator, the adapters).
#
# Several event loops may share an auth object, so no lock or event of one loop can be kept on it. Instead,
# each waiter makes its own, and adds to what is pending a function by which any thread can wake it. If that
# wake-up is lost, the waiter looks again within a second.

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Generator
from typing import Final, TypeVar

from ._core.pending import Pending, Task, WaitFor

Result = TypeVar("Result")

_LOOK_AGAIN: Final = 1.0  # seconds


def wait_blocking(pending: Pending, seconds: float) -> None:
    """Wait at most *seconds* until *pending* is over, or lost."""
    deadline = time.monotonic() + seconds
    asleep = threading.Lock()
    asleep.acquire()
    pending.wakers.append(asleep.release)
    while not pending.over and (left := deadline - time.monotonic()) > 0:
        if not asleep.acquire(timeout=min(left, _LOOK_AGAIN)) and pending.is_lost():
            return


async def wait_async(pending: Pending, seconds: float) -> None:
    """Wait at most *seconds* until *pending* is over, or lost, in asyncio or trio."""
    if _in_trio():
        await _wait_trio(pending, seconds)
    else:
        await _wait_asyncio(pending, seconds)


def blocking(steps: Generator[WaitFor, None, Result]) -> Result:
    """Take all *steps* in this thread, and return their result."""
    try:
        while True:
            wait_blocking(*next(steps))
    except StopIteration as end:
        result: Result = end.value
        return result
    finally:
        steps.close()


def running_task() -> Task:
    """The current task of asyncio or trio."""
    if _in_trio():
        import trio

        return Task(trio.lowlevel.current_trio_token(), trio.lowlevel.current_task(), lambda: False)
    import asyncio

    loop, task = asyncio.get_running_loop(), asyncio.current_task()

    def is_gone() -> bool:
        return not loop.is_running() or (task is not None and task.done())

    return Task(loop, task, is_gone)


async def _wait_asyncio(pending: Pending, seconds: float) -> None:
    import asyncio

    # Ten thousand tasks may wait: a future and a timer is nearly all that each of them costs.
    loop = asyncio.get_running_loop()
    asleep = loop.create_future()

    def wake() -> None:
        if not asleep.done():
            asleep.set_result(None)

    # In its own thread, the loop can be woken without a system call.
    pending.wakers.append(_from_any_thread(loop.call_soon_threadsafe, wake, at_once_in=threading.get_ident()))
    deadline = loop.time() + seconds
    while not pending.over and (left := deadline - loop.time()) > 0:
        timer = loop.call_later(min(left, _LOOK_AGAIN), wake)
        try:
            await asleep
        finally:
            timer.cancel()
        if pending.over or pending.is_lost():
            return
        asleep = loop.create_future()


async def _wait_trio(pending: Pending, seconds: float) -> None:
    import trio

    woken = trio.Event()
    token = trio.lowlevel.current_trio_token()
    pending.wakers.append(_from_any_thread(token.run_sync_soon, woken.set))
    deadline = trio.current_time() + seconds
    while not pending.over and (left := deadline - trio.current_time()) > 0:
        with trio.move_on_after(min(left, _LOOK_AGAIN)):
            await woken.wait()
        if not pending.over and pending.is_lost():
            return


def _from_any_thread(
    schedule: Callable[..., object], wake: Callable[[], object], *, at_once_in: int | None = None
) -> Callable[[], None]:
    def wake_or_schedule() -> None:
        # RuntimeError (trio's RunFinishedError is one): the waiter's loop has ended.
        with contextlib.suppress(RuntimeError):
            if threading.get_ident() == at_once_in:
                wake()
            else:
                schedule(wake)

    return wake_or_schedule


def _in_trio() -> bool:
    if "trio" not in sys.modules:
        return False
    import sniffio  # comes with trio

    try:
        return sniffio.current_async_library() == "trio"
    except sniffio.AsyncLibraryNotFoundError:
        return False
