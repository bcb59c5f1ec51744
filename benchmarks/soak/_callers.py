"""The callers: threads and tasks that make one call after the other, by one client of each kind.

A client is shared by its callers, and most have fewer connections than callers. Its calls go to the journal.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextlib import ExitStack
from contextvars import ContextVar
from importlib import import_module
from queue import Empty, SimpleQueue
from typing import Any

import anyio
import requests
from requests.adapters import HTTPAdapter

from thebase_auth import TheBaseAuthError

from . import _bodies
from ._journal import (
    ANSWER,
    AUTH_ERROR,
    CANCELLED,
    FOREIGN,
    TRANSPORT_ERROR,
    Call,
    Journal,
)

#: Seconds that nearly every call may take for each of its phases: ten times what anything is delayed
#: here, so that whoever runs out of them was forgotten. And those of the calls after the chaos.
PATIENT = 10.0
CALM = 20.0
#: Asked for after the chaos alone, so that nothing that went wrong before has to do with it.
CALM_PATH = "/v2/tasks/statuses"
CALM_CALL = "in the calm"

_CALLS = (("GET", "/v2/users"), ("POST", "/v2/leads/create"), ("POST", "/v2/notes/create"))
_OFTEN = (45, 35, 20)
_LONGEST_PAUSE = 0.15  # seconds, between two calls of one caller
_HURRIED = 0.05  # how many of the calls have hardly any time
_CANCELLED = 0.1  # how many of those in tasks are cancelled
_STREAMED = 0.2  # how many read their answer for themselves
_WITHOUT_ACCEPT = 0.1  # how many get their 401 as a long page of HTML
_CONNECTIONS = 2

_current_call: ContextVar[str] = ContextVar("_current_call", default=CALM_CALL)


class _Client:
    """What the clients of all kinds have in common."""

    is_async = False

    def __init__(self, name: str, library: str, url: str, journal: Journal, seed: str) -> None:
        self.name = name
        self._library = library
        self._url = url
        self._journal = journal
        self._seed = seed
        self._stopped = threading.Event()
        self._numbers = itertools.count(1)
        module = import_module(library)
        self._errors = (
            (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)
            if library == "requests"
            else (module.TransportError,)
        )
        self._base = requests.RequestException if library == "requests" else module.HTTPError

    def stop(self) -> None:
        """Let no caller begin another call."""
        self._stopped.set()

    def _next_call(self, chance: random.Random) -> Call:
        method, path = chance.choices(_CALLS, _OFTEN)[0]
        kinds = _bodies.ASYNC_KINDS if self.is_async else _bodies.SYNC_KINDS
        hurried = chance.random() < _HURRIED
        cancelled = self.is_async and chance.random() < _CANCELLED
        return Call(
            id=f"{self._seed}-{self.name}-{next(self._numbers)}",
            client=self.name,
            method=method,
            path=path,
            body=chance.choice(kinds) if method == "POST" else _bodies.NONE,
            timeout=chance.uniform(0.01, 0.3) if hurried else PATIENT,
            json_errors=chance.random() >= _WITHOUT_ACCEPT,
            streamed=chance.random() < _STREAMED,
            cancel_after=chance.uniform(0, 0.03) if cancelled else None,
        )

    def _arguments(self, call: Call) -> dict[str, Any]:
        headers = {"X-Call": call.id} | ({"Accept": "application/json"} if call.json_errors else {})
        return {
            "method": call.method,
            "url": self._url + call.path,
            "headers": headers,
            "timeout": call.timeout,
        }

    def _note_error(self, call: Call, error: BaseException, seconds: float) -> None:
        kind = FOREIGN
        if isinstance(error, TheBaseAuthError) and isinstance(error, self._base):
            kind = AUTH_ERROR
        elif isinstance(error, self._errors):
            kind = TRANSPORT_ERROR
        detail = f"{type(error).__module__}.{type(error).__qualname__}: {error}"
        self._journal.end(call, kind, seconds, detail=detail)

    def _calm_call(self) -> dict[str, Any]:
        return {"method": "GET", "url": self._url + CALM_PATH, "timeout": CALM}


class SyncClient(_Client):
    """A session of requests or a client of httpx or httpx2, and the threads that share it."""

    def __init__(self, *args: Any, callers: int, make: Callable[[], Any]) -> None:
        super().__init__(*args)
        self._client = make()
        self._threads = [
            threading.Thread(target=self._call_again_and_again, args=(number,), daemon=True)
            for number in range(callers)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def wait(self, until: float) -> int:
        """How many callers have not come to their end in time."""
        for thread in self._threads:
            thread.join(max(until - time.monotonic(), 0))
        return sum(thread.is_alive() for thread in self._threads)

    def call_in_calm(self) -> Future[int]:
        status: Future[int] = Future()
        threading.Thread(target=self._call_in_calm, args=(status,), daemon=True).start()
        return status

    def close(self) -> None:
        self._client.close()

    def _call_in_calm(self, status: Future[int]) -> None:
        try:
            status.set_result(self._client.request(**self._calm_call()).status_code)
        except Exception as error:
            status.set_exception(error)

    def _call_again_and_again(self, number: int) -> None:
        chance = random.Random(f"{self._seed} {self.name} {number}")
        while not self._stopped.wait(chance.uniform(0, _LONGEST_PAUSE)):
            call = self._next_call(chance)
            content = _bodies.document(call.id, chance)
            self._journal.begin(call)
            _current_call.set(call.id)
            began = time.monotonic()
            try:
                with ExitStack() as stack:
                    body = _bodies.in_sync_form(call.body, content, self._library, stack)
                    status = self._send(call, body)
            except BaseException as error:
                self._note_error(call, error, time.monotonic() - began)
            else:
                self._journal.end(call, ANSWER, time.monotonic() - began, status=status)

    def _send(self, call: Call, body: dict[str, Any]) -> int:
        """The status of the answer, which has been read to its end."""
        arguments = self._arguments(call) | body
        if not call.streamed:
            response = self._client.request(**arguments)
        elif self._library == "requests":
            with self._client.request(**arguments, stream=True) as response:
                response.content  # noqa: B018 - reads it
        else:
            with self._client.stream(**arguments) as response:
                response.read()
        status: int = response.status_code
        return status


class AsyncClient(_Client):
    """An async client, its event loop in a thread of its own, and the tasks that share it."""

    is_async = True

    def __init__(
        self, *args: Any, callers: int, make: Callable[[], Any], backend: str, longest: float
    ) -> None:
        super().__init__(*args)
        self._make = make
        self._callers = callers
        self._backend = backend
        self._longest = longest  # seconds that the loop may run
        self._asked: SimpleQueue[Future[int] | None] = SimpleQueue()
        self._running = callers
        self._ended = threading.Event()
        self.complaints: list[str] = []
        self.tasks_left: int | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wait(self, until: float) -> int:
        """How many callers have not come to their end in time."""
        self._ended.wait(max(until - time.monotonic(), 0))
        return self._running

    def call_in_calm(self) -> Future[int]:
        status: Future[int] = Future()
        self._asked.put(status)
        return status

    def close(self) -> None:
        self._asked.put(None)
        self._thread.join(CALM)

    def _run(self) -> None:
        try:
            anyio.run(self._main, backend=self._backend)
        except BaseException as error:
            self.complaints.append(f"its event loop ended with {error!r}")
        finally:
            self._ended.set()

    async def _main(self) -> None:
        if self._backend == "asyncio":
            asyncio.get_running_loop().set_exception_handler(
                lambda _, context: self.complaints.append(f"{context}")
            )
        before = _tasks_living(self._backend)
        with anyio.fail_after(self._longest):
            async with self._make() as client:
                async with anyio.create_task_group() as group:
                    for number in range(self._callers):
                        group.start_soon(self._call_again_and_again, client, number)
                self._ended.set()
                await self._answer_until_closed(client)
        self.tasks_left = _tasks_living(self._backend) - before

    async def _answer_until_closed(self, client: Any) -> None:
        while True:
            try:
                asked = self._asked.get_nowait()
            except Empty:
                await anyio.sleep(0.005)
                continue
            if asked is None:
                return
            try:
                asked.set_result((await client.request(**self._calm_call())).status_code)
            except Exception as error:
                asked.set_exception(error)

    async def _call_again_and_again(self, client: Any, number: int) -> None:
        chance = random.Random(f"{self._seed} {self.name} {number}")
        while not self._stopped.is_set():
            await anyio.sleep(chance.uniform(0, _LONGEST_PAUSE))
            call = self._next_call(chance)
            content = _bodies.document(call.id, chance)
            by_task = self._backend == "asyncio" and chance.random() < 0.5
            cancelling = _cancelling_a_task if by_task else _cancelling_a_scope
            self._journal.begin(call)
            _current_call.set(call.id)
            await self._attempt(client, call, content, cancelling)
        self._running -= 1

    async def _attempt(
        self, client: Any, call: Call, content: dict[str, Any], cancelling: Callable[..., Any]
    ) -> None:
        async def send() -> int:
            arguments = self._arguments(call) | _bodies.in_async_form(call.body, content)
            if call.streamed:
                async with client.stream(**arguments) as response:
                    await response.aread()
            else:
                response = await client.request(**arguments)
            status: int = response.status_code
            return status

        began = time.monotonic()
        try:
            if call.cancel_after is None:
                status = await send()
            else:
                status = await cancelling(send, call.cancel_after)
        except _CancelledByUsError:
            self._journal.end(call, CANCELLED, time.monotonic() - began)
        except BaseException as error:
            self._note_error(call, error, time.monotonic() - began)
            if not isinstance(error, Exception):
                raise
        else:
            self._journal.end(call, ANSWER, time.monotonic() - began, status=status)


class _CancelledByUsError(Exception):
    pass


async def _cancelling_a_task(send: Callable[[], Awaitable[Any]], seconds: float) -> Any:
    """What *send* gives, unless it takes longer: then its task is cancelled."""
    task = asyncio.ensure_future(send())
    await asyncio.wait({task}, timeout=seconds)
    cancelled = task.cancel()
    try:
        return await task
    except asyncio.CancelledError:
        if cancelled:
            raise _CancelledByUsError from None
        raise


async def _cancelling_a_scope(send: Callable[[], Awaitable[Any]], seconds: float) -> Any:
    """The same by a scope of anyio."""
    with anyio.move_on_after(seconds):
        return await send()
    raise _CancelledByUsError


def _tasks_living(backend: str) -> int:
    if backend == "asyncio":
        return len(asyncio.all_tasks())
    import trio

    return trio.lowlevel.current_statistics().tasks_living


class _NamingAdapter(HTTPAdapter):
    def send(
        self, request: requests.PreparedRequest, *args: Any, **kwargs: Any
    ) -> requests.Response:
        _name_call(request)
        return super().send(request, *args, **kwargs)


def small_session() -> requests.Session:
    """A session of requests whose callers have to wait for a connection at times."""
    session = requests.Session()
    session.trust_env = False
    session.mount("http://", _NamingAdapter(pool_maxsize=_CONNECTIONS, pool_block=True))
    return session


def small_client(library: str, kind: str, auth: Any) -> Any:
    """A `Client` or an `AsyncClient` of httpx or httpx2 with few connections."""
    module = import_module(library)
    # httpcore loses a connection when the task that uses it is cancelled at certain moments, with any auth
    # or none (encode/httpcore#1093), until none is left of a few. httpcore2 does not.
    lossy = (library, kind) == ("httpx", "AsyncClient")
    limits = module.Limits(max_connections=None if lossy else _CONNECTIONS)
    hook = _name_call_async if kind == "AsyncClient" else _name_call
    return getattr(module, kind)(
        auth=auth, limits=limits, trust_env=False, event_hooks={"request": [hook]}
    )


def _name_call(request: Any) -> None:
    """Let a token request tell the sandbox which call it is made for; API requests do already."""
    request.headers.setdefault("X-Call", _current_call.get())


async def _name_call_async(request: Any) -> None:
    _name_call(request)


def wait_for(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether *condition* comes true in time."""
    give_up_at = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= give_up_at:
            return False
        time.sleep(0.01)
    return True
