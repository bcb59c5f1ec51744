# How a caller waits for somebody else: in a thread, in asyncio, in trio.
#
# Here: three ways of waiting for one thread-safe future with a time limit, and who it is that would
# wait. Not here: what the future brings, and what to do next (_renewal, _sharing, the adapters).
#
# asyncio.wrap_future is not used: it cancels the future, and so the flight of everybody, when one
# waiter is cancelled. A lock or event of one event loop cannot be kept on an auth object that
# several loops share; so each waiter has one of its own to wait for, which the future's callback sets
# from whatever thread it runs in.

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Generator
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from ._renewal import Task

if TYPE_CHECKING:
    import asyncio

Result = TypeVar("Result")


class WaitFor(NamedTuple):
    """Step of those who do not wait themselves: wait at most so many seconds; the result is whether
    the future is done by then.
    """

    future: Future[Any]
    seconds: float


def wait_blocking(future: Future[Any], seconds: float) -> bool:
    """Wait at most *seconds* for *future* to be done; True if it is."""
    try:
        future.exception(timeout=seconds)
    except TimeoutError:
        return False
    return True


async def wait_async(future: Future[Any], seconds: float) -> bool:
    """Wait at most *seconds* for *future* to be done, in asyncio or trio; True if it is."""
    if _in_trio():
        await _wait_trio(future, seconds)
    else:
        await _wait_asyncio(future, seconds)
    return future.done()


def blocking(steps: Generator[WaitFor, bool, Result]) -> Result:
    """Take *steps* to their end in this thread, and give what they give."""
    done = None
    try:
        while True:
            done = wait_blocking(*steps.send(done))  # type: ignore[arg-type]
    except StopIteration as end:
        result: Result = end.value
        return result
    finally:
        steps.close()


async def awaiting(steps: Generator[WaitFor, bool, Result]) -> Result:
    """Take *steps* to their end in this task of asyncio or trio, and give what they give."""
    done = None
    try:
        while True:
            done = await wait_async(*steps.send(done))  # type: ignore[arg-type]
    except StopIteration as end:
        result: Result = end.value
        return result
    finally:
        steps.close()


def running_task() -> Task:
    """The task of asyncio or trio that runs this."""
    if _in_trio():
        import trio

        return Task(trio.lowlevel.current_trio_token(), trio.lowlevel.current_task())
    import asyncio

    return Task(asyncio.get_running_loop(), asyncio.current_task())


async def _wait_asyncio(landed: Future[Any], seconds: float) -> None:
    import asyncio

    # Ten thousand may wait: one future each, and one timer, are nearly all that it takes.
    loop = asyncio.get_running_loop()
    woken = loop.create_future()
    wake = partial(_wake, woken)
    landed.add_done_callback(_Waker(loop.call_soon_threadsafe, wake))
    timer = loop.call_later(max(seconds, 0), wake)
    try:
        await woken
    finally:
        timer.cancel()


def _wake(woken: asyncio.Future[None]) -> None:
    if not woken.done():
        woken.set_result(None)


async def _wait_trio(landed: Future[Any], seconds: float) -> None:
    import trio

    token, event = trio.lowlevel.current_trio_token(), trio.Event()
    landed.add_done_callback(_Waker(token.run_sync_soon, event.set))
    with trio.move_on_after(max(seconds, 0)):
        await event.wait()


class _Waker:
    """Callback of a future, which may call it in any thread: has *wake* called in the waiter's loop."""

    __slots__ = ("_schedule", "_wake")

    def __init__(self, schedule: Callable[..., object], wake: Callable[[], object]) -> None:
        self._schedule = schedule
        self._wake = wake

    def __call__(self, _: Future[Any]) -> None:
        # RuntimeError (trio's RunFinishedError is one): the waiter's loop has ended, and it with it.
        with contextlib.suppress(RuntimeError):
            self._schedule(self._wake)


def _in_trio() -> bool:
    if "trio" not in sys.modules:
        return False
    import sniffio  # comes with trio

    try:
        return sniffio.current_async_library() == "trio"
    except sniffio.AsyncLibraryNotFoundError:
        return False
