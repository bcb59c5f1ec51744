"""The callers of one process: threads and tasks that share an auth object, and call again and again."""

from __future__ import annotations

import asyncio
import gc
import io
import itertools
import json
import logging
import random
import threading
import time
import traceback
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import anyio
import httpx
import httpx2
import requests

from thebase_auth import TheBaseAuth, TheBaseAuthError
from thebase_auth.testing import ReceivedRequest

CALLS = ("GET /v2/users", "POST /v2/leads/create", "POST /v2/notes/create")
#: Only the last call of each caller, when nothing goes wrong any more.
LAST_CALL = "GET /v2/tasks/statuses"
#: Seconds that most calls have for each of their phases: many times what the server delays anything.
PATIENT = 10.0
CONNECTIONS = 2  # of a client, so that callers have to wait for one

_CALLERS = 3  # of each kind
_LONGEST_PAUSE = 0.2  # seconds, between two calls of a caller
_ERRORS = {requests: requests.RequestException, httpx: httpx.HTTPError, httpx2: httpx2.HTTPError}
_DESCRIPTORS = Path("/proc/self/fd")


@dataclass
class Call:
    """One call: what its caller wanted and got, and what the server received.

    Attributes:
        id: The `User-Agent` of its requests and of its token requests, by which the server knows them.
        timeout: Seconds, for each phase.
        cancel_after: Seconds after which its caller cancels it; None for never.
        started: When, in seconds since the epoch, as `ended`.
        outcome: The status of its response, "cancelled", or the kind of its exception.
    """

    id: str
    name: str
    body: str
    content: bytes
    timeout: float
    cancel_after: float | None
    started: float = 0.0
    ended: float = 0.0
    outcome: str = ""
    detail: str = ""
    requests: list[ReceivedRequest] = field(default_factory=list)
    token_requests: list[ReceivedRequest] = field(default_factory=list)

    @property
    def received(self) -> list[ReceivedRequest]:
        """All requests, in the order of their arrival."""
        return sorted((*self.requests, *self.token_requests), key=lambda one: one.at)


class Report(NamedTuple):
    """What the callers of a process did.

    Attributes:
        calls: All calls.
        shown: Log lines, and what an error tracker would show of exceptions.
        leftovers: What is left over at the end.
    """

    calls: list[Call]
    shown: set[str]
    leftovers: list[str]


class Crew(logging.Handler):
    """The callers. As a handler, it keeps all log lines."""

    def __init__(self, process: int, auth: TheBaseAuth, session: requests.Session, stopped: Any) -> None:
        super().__init__()
        self._process, self._auth, self._session, self._stopped = process, auth, session, stopped
        self._report = Report([], set(), [])
        self._numbers = itertools.count(1)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a log line."""
        self._report.shown.add(self.format(record))

    def run(self, started: Any, reports: Any) -> None:
        """Let all callers call until they are stopped, look at what is left over, and report."""
        started.wait()
        logging.getLogger().addHandler(self)
        logging.getLogger("thebase_auth").setLevel(logging.DEBUG)
        threads, descriptors = set(threading.enumerate()), len([*_DESCRIPTORS.iterdir()])
        client = httpx.Client(auth=self._auth, limits=httpx.Limits(max_connections=CONNECTIONS))
        callers = [
            *[partial(self._call_in_thread, requests, self._session)] * _CALLERS,
            *[partial(self._call_in_thread, httpx, client)] * _CALLERS,
            # httpcore loses a connection when a task is cancelled at certain moments, with any auth or none
            # (encode/httpcore#1093), until none is left of a few. httpcore2 does not.
            partial(anyio.run, self._call_in_tasks, httpx, None),
            partial(anyio.run, self._call_in_tasks, httpx2, CONNECTIONS, backend="trio"),
        ]
        running = [threading.Thread(target=caller) for caller in callers]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()
        self._session.close()
        client.close()
        give_up_at = time.monotonic() + 10
        while (left := set(threading.enumerate()) - threads) and time.monotonic() < give_up_at:
            time.sleep(0.05)
        gc.collect()
        self._report.leftovers.extend(map(repr, left))
        if (count := len([*_DESCRIPTORS.iterdir()])) > descriptors:
            self._report.leftovers.append(f"{count - descriptors} descriptors")
        reports.put(self._report)

    def _call_in_thread(self, library: Any, client: Any) -> None:
        for call in self._calls(library.__name__):
            time.sleep(random.uniform(0, _LONGEST_PAUSE))
            with self._recorded(call, library):
                call.outcome = str(client.request(**self._arguments(call, library)).status_code)

    async def _call_in_tasks(self, library: Any, connections: int | None) -> None:
        client = library.AsyncClient(auth=self._auth, limits=library.Limits(max_connections=connections))
        async with client, anyio.create_task_group() as tasks:
            for _ in range(_CALLERS):
                tasks.start_soon(self._call_in_task, library, client)
        if library is httpx and len(asyncio.all_tasks()) > 1:
            self._report.leftovers.append(f"{asyncio.all_tasks()}")

    async def _call_in_task(self, library: Any, client: Any) -> None:
        for call in self._calls(f"async {library.__name__}"):
            await anyio.sleep(random.uniform(0, _LONGEST_PAUSE))
            with self._recorded(call, library), anyio.move_on_after(call.cancel_after):
                call.outcome = "cancelled"
                call.outcome = str((await client.request(**self._arguments(call, library))).status_code)

    def _calls(self, kind: str) -> Iterator[Call]:
        """Yield call after call, and a last one when nothing goes wrong any more."""
        bodies = ("bytes", "generator") if "async" in kind else ("bytes", "generator", "file")
        is_last = False
        while not is_last:
            is_last = self._stopped.is_set()
            name = LAST_CALL if is_last else random.choice(CALLS)
            id_ = f"{self._process} {kind} {next(self._numbers)}"
            text = "x" * random.choices((10, 5_000, 1_300_000), (90, 9, 1))[0]
            lead = {"name": id_, "f_name": "משה", "phone": "0501234567", "msg": "?", "text": text}
            is_write = name.startswith("POST")
            is_hurried = random.random() < 0.05 and not is_last
            is_cancelled = random.random() < 0.3 and not is_last
            yield Call(
                id_,
                name,
                body=random.choice(bodies) if is_write else "",
                content=json.dumps(lead).encode() if is_write else b"",
                timeout=random.uniform(0.02, 0.3) if is_hurried else PATIENT,
                cancel_after=random.choice((0.01, 0.03, 0.3)) * random.random() if is_cancelled else None,
            )

    def _arguments(self, call: Call, library: Any) -> dict[str, Any]:
        method, path = call.name.split()
        content: Any = call.content
        if call.body == "file":
            content = io.BytesIO(content)
        elif call.body == "generator":
            content = _generator(content) if "async" in call.id else iter([content])
        accept = random.choice(("application/json", "*/*"))  # otherwise a 401 is a long page
        headers = {"User-Agent": call.id, "Accept": accept, "Content-Type": "application/json"}
        body = {"data" if library is requests else "content": content}
        url = self._auth.base_url + path
        return {"method": method, "url": url, "headers": headers, "timeout": call.timeout, **body}

    @contextmanager
    def _recorded(self, call: Call, library: Any) -> Iterator[None]:
        """Record how a call ends."""
        call.started = time.time()
        try:
            yield
        except Exception as error:
            is_theirs = isinstance(error, _ERRORS[library]) and not isinstance(error, TheBaseAuthError)
            call.outcome = "transport error" if is_theirs else type(error).__name__
            call.detail = repr(error)
            self._report.shown.update(_rendered(error))
        call.ended = time.time()
        self._report.calls.append(call)


async def _generator(content: bytes) -> AsyncIterator[bytes]:
    yield content


def _rendered(error: BaseException) -> Iterator[str]:
    """Yield what an error tracker would show: all texts, and the local variables of this package."""
    yield "".join(traceback.format_exception(error)) + repr(error)
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if "/thebase_auth/" in frame.f_code.co_filename:
            yield repr(frame.f_locals)
