"""The callers: threads and tasks that make one call after the other, by one client of each kind.

A client is shared by its callers, and most have fewer connections than callers. Its calls go to the journal.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import ExitStack, closing, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from typing import Any, ClassVar

import anyio
import requests
from anyio.from_thread import start_blocking_portal
from requests.adapters import HTTPAdapter

from thebase_auth import TheBaseAuthError

from . import _bodies
from ._journal import ANSWER, AUTH_ERROR, CANCELLED, FOREIGN, TRANSPORT_ERROR, Call, Journal

#: Seconds that nearly every call may take for each of its phases: ten times what anything is delayed
#: here, so that whoever runs out of them was forgotten. And those of the calls after the chaos.
PATIENT = 10.0
CALM = 20.0
#: Asked for after the chaos only, so that nothing that went wrong before has to do with it.
CALM_PATH = "/v2/tasks/statuses"
CALM_CALL = "in the calm"

_CALLS = (("GET", "/v2/users"), ("POST", "/v2/leads/create"), ("POST", "/v2/notes/create"))
_OFTEN = (45, 35, 20)
_LONGEST_PAUSE = 0.15  # seconds, between two calls of one caller
_HURRIED = 0.05  # how many of the calls have hardly any time
#: Seconds within which calls in tasks are cancelled, and how many: most have ended by then, but for those
#: whose 401 drips.
_CANCELLED_WITHIN = (0.0, 0.03, 0.4)
_CANCELLED = (50, 10, 40)
_STREAMED = 0.2  # how many read their answer for themselves
_WITHOUT_ACCEPT = 0.1  # how many get their 401 as a long page of HTML
_SENT_AGAIN = 0.15  # how many request objects are sent several times
_COPIED = 0.2  # how often a copy of the prepared request is sent
_CONNECTIONS = 2

_current_call: ContextVar[str] = ContextVar("_current_call", default=CALM_CALL)


@dataclass(eq=False)
class _Client:
    """What the clients of all kinds have in common; *client* is the library's own."""

    name: str
    library: str
    url: str
    journal: Journal
    seed: str
    count: int  # of callers
    client: Any

    is_async = False
    tasks_left = 0
    in_background: ClassVar[Any]
    _call_again_and_again: ClassVar[Any]

    def __post_init__(self) -> None:
        self.complaints: list[str] = []
        self._callers: list[Future[Any]] = []
        self.stopped = threading.Event()
        self._numbers = itertools.count(1)
        self._calm_call = {"method": "GET", "url": self.url + CALM_PATH, "timeout": CALM}
        module = import_module(self.library)
        self._errors = (
            (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)
            if self.library == "requests"
            else (module.TransportError,)
        )
        self._base = requests.RequestException if self.library == "requests" else module.HTTPError

    def start(self) -> None:
        """Let the callers begin."""
        self._callers = [
            self.in_background(self._call_again_and_again, number) for number in range(self.count)
        ]

    def wait(self, until: float) -> int:
        """How many callers have not come to their end in time."""
        done, hanging = wait(self._callers, max(until - time.monotonic(), 0))
        self.complaints += [f"{self.name}: {one.exception()!r}" for one in done if one.exception()]
        return len(hanging)

    def _calls(self, chance: random.Random) -> Iterator[tuple[Call, _bodies.Body]]:
        """Call after call; at times several by one request object, one after the other."""
        while not self.stopped.is_set():
            call = self._next_call(chance)
            content = _bodies.document(call.id, chance)
            is_sent_again = call.body != _bodies.GENERATOR and chance.random() < _SENT_AGAIN
            with ExitStack() as stack:
                body = _bodies.in_form(call.body, content, self.library, self.is_async, stack)
                yield call, body
                for number in range(2, chance.randint(3, 5) if is_sent_again else 2):
                    yield replace(call, id=f"{call.id}~{number}"), body

    def _next_call(self, chance: random.Random) -> Call:
        method, path = chance.choices(_CALLS, _OFTEN)[0]
        kinds = _bodies.ASYNC_KINDS if self.is_async else _bodies.SYNC_KINDS
        hurried = chance.random() < _HURRIED
        within = chance.choices(_CANCELLED_WITHIN, _CANCELLED)[0] if self.is_async else 0.0
        return Call(
            id=f"{self.seed}-{self.name}-{next(self._numbers)}",
            client=self.name,
            method=method,
            path=path,
            body=chance.choice(kinds) if method == "POST" else _bodies.NONE,
            timeout=chance.uniform(0.01, 0.3) if hurried else PATIENT,
            json_errors=chance.random() >= _WITHOUT_ACCEPT,
            streamed=chance.random() < _STREAMED,
            cancel_after=chance.uniform(0, within) if within else None,
        )

    def _request(self, call: Call, body: _bodies.Body) -> Any:
        """The request object, as the libraries make it; if it is sent again, with its body rewound."""
        body.rewind()
        if body.request is None:
            headers = {"Accept": "application/json"} if call.json_errors else {}
            common: dict[str, Any] = body.arguments | {
                "method": call.method,
                "url": self.url + call.path,
                "headers": {"X-Call": call.id} | headers | body.headers,
            }
            if self.library == "requests":
                body.request = self.client.prepare_request(requests.Request(**common))
            else:
                body.request = self.client.build_request(**common, timeout=call.timeout)
        body.request.headers["X-Call"] = call.id
        return body.request

    @contextmanager
    def _in_journal(self, call: Call) -> Iterator[Callable[[Any], None]]:
        """Take down how a call ends, by an exception or by the answer that is told."""
        self.journal.begin(call)
        _current_call.set(call.id)
        answers: list[Any] = []
        try:
            yield answers.append
        except _CancelledByUsError:
            self.journal.end(call, CANCELLED)
        except BaseException as error:
            kind = FOREIGN
            if isinstance(error, TheBaseAuthError) and isinstance(error, self._base):
                kind = AUTH_ERROR
            elif isinstance(error, self._errors):
                kind = TRANSPORT_ERROR
            detail = f"{type(error).__module__}.{type(error).__qualname__}: {error}"
            self.journal.end(call, kind, None, detail)
            if not isinstance(error, Exception):
                raise
        else:
            self.journal.end(call, ANSWER, answers[0].status_code)


class SyncClient(_Client):
    """A session of requests or a client of httpx or httpx2, and the threads that share it."""

    def close(self) -> None:
        self.client.close()

    def in_background(self, function: Callable[..., Any], *args: Any) -> Future[Any]:
        result: Future[Any] = Future()

        def run() -> None:
            try:
                result.set_result(function(*args))
            except BaseException as error:
                result.set_exception(error)

        threading.Thread(target=run, daemon=True).start()
        return result

    def call_in_calm(self) -> int:
        return int(self.client.request(**self._calm_call).status_code)

    def _call_again_and_again(self, number: int) -> None:
        chance = random.Random(f"{self.seed} {self.name} {number}")
        for call, body in self._calls(chance):
            time.sleep(chance.uniform(0, _LONGEST_PAUSE))
            with self._in_journal(call) as answered:
                answered(self._send(call, body, chance))

    def _send(self, call: Call, body: _bodies.Body, chance: random.Random) -> Any:
        """The answer, which has been read to its end."""
        request, send = self._request(call, body), self.client.send
        if self.library == "requests":
            send = partial(send, timeout=call.timeout)
            if chance.random() < _COPIED:
                request = request.copy()
        with closing(send(request, stream=call.streamed)) as response:
            response.content if self.library == "requests" else response.read()
        return response


class AsyncClient(_Client):
    """An async client, its event loop in a thread of its own, and the tasks that share it."""

    is_async = True

    def __post_init__(self) -> None:
        super().__post_init__()
        self.backend = "trio" if "trio" in self.name else "asyncio"
        self._loop = start_blocking_portal(self.backend)
        self._portal = self._loop.__enter__()
        self._tasks = self._portal.call(self._prepare_loop)

    def in_background(self, function: Callable[..., Any], *args: Any) -> Future[Any]:
        return self._portal.start_task_soon(function, *args)

    def close(self) -> None:
        self._portal.call(self.client.aclose)
        self.tasks_left = self._portal.call(self._tasks_living) - self._tasks
        self._portal.call(self._portal.stop, True)
        self._loop.__exit__(None, None, None)

    def _prepare_loop(self) -> int:
        if self.backend == "asyncio":
            asyncio.get_running_loop().set_exception_handler(
                lambda _, context: self.complaints.append(f"{self.name}: {context}")
            )
        return self._tasks_living()

    def _tasks_living(self) -> int:
        if self.backend == "asyncio":
            return len(asyncio.all_tasks())
        import trio

        return trio.lowlevel.current_statistics().tasks_living

    async def call_in_calm(self) -> int:
        return int((await self.client.request(**self._calm_call)).status_code)

    async def _call_again_and_again(self, number: int) -> None:
        chance = random.Random(f"{self.seed} {self.name} {number}")
        for call, body in self._calls(chance):
            await anyio.sleep(chance.uniform(0, _LONGEST_PAUSE))
            by_task = self.backend == "asyncio" and chance.random() < 0.5
            cancelling = _cancelling_a_task if by_task else _cancelling_a_scope
            with self._in_journal(call) as answered:
                answered(await cancelling(partial(self._send, call, body), call.cancel_after))

    async def _send(self, call: Call, body: _bodies.Body) -> Any:
        """The answer, which has been read to its end."""
        response = await self.client.send(self._request(call, body), stream=call.streamed)
        try:
            await response.aread()
        finally:
            await response.aclose()
        return response


class _CancelledByUsError(Exception):
    pass


async def _cancelling_a_task(send: Callable[[], Any], seconds: float | None) -> Any:
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


async def _cancelling_a_scope(send: Callable[[], Any], seconds: float | None) -> Any:
    """The same by a scope of anyio."""
    with anyio.move_on_after(seconds):
        return await send()
    raise _CancelledByUsError


class _NamingAdapter(HTTPAdapter):
    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        _name_call(request)
        return super().send(request, *args, **kwargs)


def small_session() -> requests.Session:
    """A session of requests whose callers have to wait for a connection at times."""
    session = requests.Session()
    session.trust_env = False
    session.mount("http://", _NamingAdapter(pool_maxsize=_CONNECTIONS, pool_block=True))
    return session


def small_client(library: str, kind: type[_Client], auth: Any) -> Any:
    """A `Client` or an `AsyncClient` of httpx or httpx2 with few connections."""
    module = import_module(library)
    # httpcore loses a connection when the task that uses it is cancelled at certain moments, with any auth
    # or none (encode/httpcore#1093), until none is left of a few. httpcore2 does not.
    is_lossy = library == "httpx" and kind.is_async
    limits = module.Limits(max_connections=None if is_lossy else _CONNECTIONS)
    hooks = {"request": [_name_call_async if kind.is_async else _name_call]}
    make = module.AsyncClient if kind.is_async else module.Client
    return make(auth=auth, limits=limits, trust_env=False, event_hooks=hooks)


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
