"""Many callers at once: so many threads, or so many tasks of one event loop, make one call each."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Any


def in_threads(callers: int, call: Callable[[], Any]) -> tuple[float, list[Any]]:
    """Let so many threads, which are there already, call; the seconds, and their answers or errors."""
    answers: list[Any] = []
    ready = threading.Barrier(callers + 1)

    def one_caller() -> None:
        ready.wait()
        try:
            answers.append(call())
        except Exception as error:
            answers.append(error)

    threads = [threading.Thread(target=one_caller) for _ in range(callers)]
    for thread in threads:
        thread.start()
    ready.wait()
    started = perf_counter()
    for thread in threads:
        thread.join()
    return perf_counter() - started, answers


async def in_tasks(callers: int, call: Callable[[], Awaitable[Any]]) -> tuple[float, list[Any]]:
    """The same with tasks of the running event loop."""
    calls = [call() for _ in range(callers)]
    started = perf_counter()
    answers = await asyncio.gather(*calls, return_exceptions=True)
    return perf_counter() - started, answers


def failed(answers: list[Any], *, status: int = 200) -> int:
    """How many got no answer, or one with another status; the first error is printed."""
    errors = [answer for answer in answers if isinstance(answer, BaseException)]
    if errors:
        print(f"  a call failed: {type(errors[0]).__name__}: {errors[0]}")
    return sum(getattr(answer, "status_code", 0) != status for answer in answers)
