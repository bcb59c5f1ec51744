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
from dataclasses import replace
from functools import partial
from importlib import import_module
from typing import Any

import anyio
import requests
from anyio.from_thread import start_blocking_portal
from requests.adapters import HTTPAdapter

from thebase_auth import TheBaseAuthError

from . import _bodies
from ._journal import AUTH_ERROR, CANCELLED, FOREIGN, RESPONSE, TRANSPORT_ERROR, Call, Journal

#: Seconds that nearly every call may take for each of its phases: ten times what anything is delayed
#: here, so that whoever runs out of them was forgotten. And those of the calls after the chaos.
PATIENT = 10.0
CALM = 20.0
#: The id of what is asked for without one, which is after the chaos.
CALM_CALL = "in the calm"

#: Asked for after the chaos only, so that nothing that went wrong before has to do with it.
_CALM_PATH = "/v2/tasks/statuses"

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


class Client:
    """A session or client, and the threads or tasks that share it.

    All of them begin in an event loop, which has a thread of its own; what blocks is sent from other threads.

    Attributes:
        complaints: exceptions that nobody took.
        tasks_left: how many there are in the loop when the client has been closed.
        stopped: when it is set, the callers end with the call under way.
    """

    def __init__(self, name: str, url: str, journal: Journal, seed: str, session: requests.Session) -> None:
        """Of the *name* the last two words are the library, and the event loop or else "threads"."""
        self.name = name
        *_, self._library, backend = name.split()
        self._is_async = backend != "threads"
        self._url, self._journal, self._seed = url, journal, seed
        self._numbers = itertools.count(1)
        self._callers: list[Future[Any]] = []
        self.complaints: list[str] = []
        self.stopped = threading.Event()
        self._loop = start_blocking_portal(backend if self._is_async else "asyncio")
        self._portal = self._loop.__enter__()
        self._tasks = self._portal.call(self._prepare_loop)
        self._module = import_module(self._library)
        self._transport_errors: Any = (
            (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)
            if self._library == "requests"
            else self._module.TransportError
        )
        self._client: Any = session if self._library == "requests" else self._small_client(session.auth)

    def close(self) -> None:
        self._portal.call(self._client.aclose if self._is_async else self._client.close)
        self.tasks_left = self._portal.call(_tasks_living) - self._tasks
        self._portal.call(self._portal.stop, True)
        self._loop.__exit__(None, None, None)

    def _small_client(self, auth: Any) -> Any:
        """A `Client` or an `AsyncClient` of httpx or httpx2 with few connections."""
        # httpcore loses a connection when the task that uses it is cancelled at certain moments, with any
        # auth or none (encode/httpcore#1093), until none is left of a few. httpcore2 does not.
        is_lossy = self._is_async and self._library == "httpx"
        limits = self._module.Limits(max_connections=None if is_lossy else _CONNECTIONS)
        hooks = {"request": [_name_call_async if self._is_async else _name_call]}
        make = self._module.AsyncClient if self._is_async else self._module.Client
        return make(auth=auth, limits=limits, trust_env=False, event_hooks=hooks)

    async def _prepare_loop(self) -> int:
        if "asyncio" in self.name:
            asyncio.get_running_loop().set_exception_handler(
                lambda _, context: self.complaints.append(f"{self.name}: {context}")
            )
        return _tasks_living()

    def start(self, count: int) -> None:
        """Let so many callers begin."""
        self._callers = [self._portal.start_task_soon(self._call_again_and_again, n) for n in range(count)]

    def wait(self, until: float) -> int:
        """How many callers have not come to their end in time."""
        done, hanging = wait(self._callers, max(until - time.monotonic(), 0))
        self.complaints += [f"{self.name}: {one.exception()!r}" for one in done if one.exception()]
        return len(hanging)

    def call_in_calm(self) -> Future[Any]:
        call = {"method": "GET", "url": self._url + _CALM_PATH, "timeout": CALM}
        return self._portal.start_task_soon(self._in_its_way, partial(self._client.request, **call))

    async def _in_its_way(self, send: Callable[[], Any]) -> Any:
        return await (send() if self._is_async else anyio.to_thread.run_sync(send))

    async def _call_again_and_again(self, number: int) -> None:
        chance = random.Random(f"{self._seed} {self.name} {number}")
        for call, body in self._calls(chance):
            await anyio.sleep(chance.uniform(0, _LONGEST_PAUSE))
            with self._in_journal(call) as answered:
                send = partial(self._send_async if self._is_async else self._send, call, body, chance)
                by_asyncio = "asyncio" in self.name and chance.random() < 0.5
                cancelling = _cancelled_by_asyncio if by_asyncio else _cancelled_by_anyio
                answered(await cancelling(partial(self._in_its_way, send), call.cancel_after))

    def _send(self, call: Call, body: _bodies.Body, chance: random.Random) -> Any:
        """The answer, which has been read to its end."""
        request, send = self._request(call, body), self._client.send
        if self._library == "requests":
            send = partial(send, timeout=call.timeout)
            if chance.random() < _COPIED:
                request = request.copy()
        with closing(send(request, stream=call.streamed)) as response:
            response.content if self._library == "requests" else response.read()
        return response

    async def _send_async(self, call: Call, body: _bodies.Body, _: random.Random) -> Any:
        response = await self._client.send(self._request(call, body), stream=call.streamed)
        try:
            await response.aread()
        finally:
            await response.aclose()
        return response

    def _calls(self, chance: random.Random) -> Iterator[tuple[Call, _bodies.Body]]:
        """Call after call; at times several by one request object, one after the other."""
        while not self.stopped.is_set():
            call = self._next_call(chance)
            content = _bodies.document(call.id, chance)
            is_sent_again = call.body != _bodies.GENERATOR and chance.random() < _SENT_AGAIN
            with ExitStack() as stack:
                body = _bodies.in_form(call.body, content, self._library, self._is_async, stack)
                yield call, body
                for number in range(2, chance.randint(3, 5) if is_sent_again else 2):
                    yield replace(call, id=f"{call.id}~{number}"), body

    def _next_call(self, chance: random.Random) -> Call:
        method, path = chance.choices(_CALLS, _OFTEN)[0]
        kinds = _bodies.ASYNC_KINDS if self._is_async else _bodies.SYNC_KINDS
        hurried = chance.random() < _HURRIED
        within = chance.choices(_CANCELLED_WITHIN, _CANCELLED)[0] if self._is_async else 0.0
        return Call(
            id=f"{self._seed}-{self.name}-{next(self._numbers)}",
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
                "url": self._url + call.path,
                "headers": headers | body.headers,
            }
            if self._library == "requests":
                body.request = self._client.prepare_request(requests.Request(**common))
            else:
                body.request = self._client.build_request(**common, timeout=call.timeout)
        body.request.headers["X-Call"] = call.id
        return body.request

    @contextmanager
    def _in_journal(self, call: Call) -> Iterator[Callable[[Any], None]]:
        """Take down how a call ends, by an exception or by the answer that is told."""
        self._journal.begin(call)
        _current_call.set(call.id)
        answers: list[Any] = []
        try:
            yield answers.append
        except _CancelledByUsError:
            self._journal.end(call, CANCELLED)
        except BaseException as error:
            kind = FOREIGN
            base = requests.RequestException if self._library == "requests" else self._module.HTTPError
            if isinstance(error, TheBaseAuthError) and isinstance(error, base):
                kind = AUTH_ERROR
            elif isinstance(error, self._transport_errors):
                kind = TRANSPORT_ERROR
            detail = f"{type(error).__module__}.{type(error).__qualname__}: {error}"
            self._journal.end(call, kind, None, detail)
            if not isinstance(error, Exception):
                raise
        else:
            self._journal.end(call, RESPONSE, answers[0].status_code)


def _tasks_living() -> int:
    try:
        return len(asyncio.all_tasks())
    except RuntimeError:  # the loop is that of trio
        import trio

        return trio.lowlevel.current_statistics().tasks_living


class _CancelledByUsError(Exception):
    pass


async def _cancelled_by_anyio(send: Callable[[], Any], seconds: float | None) -> Any:
    """What *send* gives, unless it takes longer."""
    with anyio.move_on_after(seconds):
        return await send()
    raise _CancelledByUsError


async def _cancelled_by_asyncio(send: Callable[[], Any], seconds: float | None) -> Any:
    """The same; asyncio cancels once, and not at each step until the end."""
    try:
        async with asyncio.timeout(seconds) as limit:
            return await send()
    except TimeoutError:
        if limit.expired():
            raise _CancelledByUsError from None
        raise


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


def _name_call(request: Any) -> None:
    """Let a token request tell the sandbox which call it is made for; API requests do already."""
    request.headers.setdefault("X-Call", _current_call.get())


async def _name_call_async(request: Any) -> None:
    _name_call(request)
