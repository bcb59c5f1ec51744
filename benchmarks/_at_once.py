"""Many callers at once: so many threads, or so many tasks of one event loop, make one call each."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Any

from ._in_memory import FORMS, REQUESTS, Api, Form
from ._peers import Peer

#: Threads that share a session, and tasks that share a client.
CROWDS = [form for form in FORMS if form == REQUESTS or form.is_async]


def who_calls(form: Form) -> str:
    return f"{form}, {'tasks' if form.is_async else 'threads'}"


def ready_to_expire(form: Form, peer: Peer) -> tuple[Api, Callable[[], Any]]:
    """A server, and a call to it by a client that has its first token, which is over by the clock."""
    api = Api(expires_in=1)
    client, _ = peer(form, api)
    get = partial(client.get, api.url)
    at_once(form, 1, get)
    return api, get


def at_once(form: Form, callers: int, get: Callable[[], Any]) -> float:
    """The seconds until so many callers, who begin at one moment, all have a good answer."""
    seconds, answers = asyncio.run(_in_tasks(callers, get)) if form.is_async else _in_threads(callers, get)
    assert [answer.status_code for answer in answers] == [200] * callers
    return seconds


def _in_threads(callers: int, get: Callable[[], Any]) -> tuple[float, list[Any]]:
    answers: list[Any] = []
    ready = threading.Barrier(callers + 1)

    def one_caller() -> None:
        ready.wait()
        answers.append(get())

    threads = [threading.Thread(target=one_caller) for _ in range(callers)]
    for thread in threads:
        thread.start()
    ready.wait()
    started = perf_counter()
    for thread in threads:
        thread.join()
    return perf_counter() - started, answers


async def _in_tasks(callers: int, get: Callable[[], Any]) -> tuple[float, list[Any]]:
    calls = [get() for _ in range(callers)]
    started = perf_counter()
    answers = await asyncio.gather(*calls)
    return perf_counter() - started, answers
