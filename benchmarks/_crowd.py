"""Up to a thousand workers in one process, each with an auth object of its own, one cache for all.

The API is in the process too: no socket but those of the cache. Its token endpoint takes 100 ms. All
workers hold the same token, which is then revoked; the 401s are kept back until everybody has earned
one, and then given to all at once. *Wait* is from that moment to the answer of a worker's replay. Each
worker of requests is a thread, and each of httpx.AsyncClient a task of one event loop. Timeouts are
those that the libraries have by themselves (for httpx 5 seconds).
"""

from __future__ import annotations

import asyncio
import io
import itertools
import json
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import requests
from requests.adapters import BaseAdapter

from . import _peers
from ._fleet_worker import Place, cache_at, fresh
from ._timing import distribution, table

_TOKEN_SECONDS = 0.1
_SERVER = _peers.Server("https://acme.thebase.co.il")
_URL = f"{_SERVER.url}/v2/users"
_HEAD = ("", "workers", "token requests", "median wait", "90 %", "longest", "failed")


def run(places: dict[str, Place], sizes: tuple[int, ...]) -> list[str]:
    """Measure and print; the promises that were broken."""
    broken: list[str] = []
    for title, measure in (
        ("workers: threads of requests", _threads),
        ("workers: tasks of httpx.AsyncClient", _tasks),
    ):
        rows: list[tuple[str, ...]] = []
        for name, place in places.items():
            for size in sizes:
                api = _Api(size)
                warnings = _Warnings()
                logging.getLogger("thebase_auth").addHandler(warnings)
                measure(api, cache_at(fresh(place)))
                logging.getLogger("thebase_auth").removeHandler(warnings)
                rows.append(api.row(name))
                broken += api.broken(f"{title}, {name}, {size}", size if place is None else 1)
                broken += [f"{title}, {name}, {size}: {text}" for text in sorted(warnings.texts)]
        table(title, _HEAD, rows)
    return broken


class _Warnings(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.add(record.getMessage())


@dataclass(slots=True)
class _Api:
    """Gives tokens, and answers calls: 200, or 401 as soon as all workers have earned theirs.

    Tokens take their time from the expiry on.
    """

    workers: int
    token_requests: int = 0
    live: set[str] = field(default_factory=set)
    refused: int = 0
    refused_at: float = 0.0
    token_seconds: float = 0.0
    all_refused: threading.Event = field(default_factory=threading.Event)
    waits: list[float] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    numbers: Any = field(default_factory=itertools.count)

    def token(self) -> bytes:
        with self.lock:
            self.token_requests += 1
            token = f"token-{next(self.numbers)}"
            self.live.add(token)
            answer = {"access_token": token, "token_type": "bearer", "expires_in": 3600}
        return json.dumps(answer).encode()

    def accepts(self, authorization: str) -> bool:
        with self.lock:
            if authorization.removeprefix("Bearer ") in self.live:
                return True
            self.refused += 1
            if self.refused == self.workers:
                self.refused_at = time.perf_counter()
                self.all_refused.set()
            return False

    def expire(self) -> None:
        self.live.clear()
        self.token_requests = self.refused = 0
        self.token_seconds = _TOKEN_SECONDS

    def call(self, get: Callable[[], Any]) -> None:
        """Make a worker's call, and note how long it waited."""
        if get().status_code == 200:
            self.waits.append(time.perf_counter() - self.refused_at)

    def row(self, name: str) -> tuple[str, ...]:
        return (
            name,
            f"{self.workers:,}",
            f"{self.token_requests}",
            *distribution(self.waits),
            f"{self.workers - len(self.waits)}",
        )

    def broken(self, row: str, wanted: int) -> list[str]:
        wrong = [f"{row}: {self.token_requests} token requests"] * (self.token_requests != wanted)
        failed = self.workers - len(self.waits)
        return wrong + [f"{row}: {failed} calls failed"] * (failed > 0)


# requests


class _Adapter(BaseAdapter):
    def __init__(self, api: _Api) -> None:
        super().__init__()
        self._api = api

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        response = requests.Response()
        response.url, response.request = request.url or "", request
        response.connection = self  # type: ignore[assignment]
        response.status_code, content = 200, b"{}"
        if response.url == _SERVER.token_url:
            time.sleep(self._api.token_seconds)
            content = self._api.token()
        elif not self._api.accepts(str(request.headers["Authorization"])):
            self._api.all_refused.wait(60)
            response.status_code = 401
        response.raw = io.BytesIO(content)
        return response

    def close(self) -> None:
        pass


def _threads(api: _Api, cache: Any) -> None:
    from thebase_auth.requests import TheBaseAuth

    adapter = _Adapter(api)
    lending = _peers.session_by(adapter)
    sessions = [
        _peers.session_by(
            adapter, TheBaseAuth(_SERVER.url, *_SERVER.credentials, cache=cache, session=lending)
        )
        for _ in range(api.workers)
    ]
    for session in sessions:
        session.trust_env = False
        session.get(_URL)  # takes the token from the cache
    api.expire()
    threads = [
        threading.Thread(target=api.call, args=(lambda session=session: session.get(_URL),))
        for session in sessions
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


# httpx


def _tasks(api: _Api, cache: Any) -> None:
    asyncio.run(_in_tasks(api, cache))


async def _in_tasks(api: _Api, cache: Any) -> None:
    import httpx

    from thebase_auth.httpx import TheBaseAuth

    all_refused = asyncio.Event()

    async def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/oauth/token":
            await asyncio.sleep(api.token_seconds)
            return httpx.Response(200, content=api.token())
        if api.accepts(request.headers["Authorization"]):
            return httpx.Response(200)
        if api.all_refused.is_set():
            all_refused.set()
        await all_refused.wait()
        return httpx.Response(401)

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        auths = [TheBaseAuth(_SERVER.url, *_SERVER.credentials, cache=cache) for _ in range(api.workers)]
        for auth in auths:
            await client.get(_URL, auth=auth)
        api.expire()

        async def worker(auth: TheBaseAuth) -> None:
            response = await client.get(_URL, auth=auth)
            api.call(lambda: response)

        await asyncio.gather(*[worker(auth) for auth in auths], return_exceptions=True)
