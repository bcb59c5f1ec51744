"""The callers of one process, which share one auth object; run as a program, those of a child."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks._fleet_worker import Place, cache_at
from thebase_auth import TheBaseAuth

from ._callers import CALM, PATIENT, AsyncClient, SyncClient, small_client, small_session
from ._journal import Journal
from ._processes import answer_all

#: For each process its clients, each with its library and how many threads or tasks share it.
CREWS: dict[str, dict[str, tuple[str, int]]] = {
    "main": {
        "requests threads": ("requests", 4),
        "httpx threads": ("httpx", 4),
        "httpx asyncio tasks": ("httpx", 6),
        "httpx2 trio tasks": ("httpx2", 6),
    },
    "child 1": {"requests threads": ("requests", 3)},
    "child 2": {"httpx2 threads": ("httpx2", 3)},
    "child 3": {"httpx trio tasks": ("httpx", 3), "httpx2 asyncio tasks": ("httpx2", 3)},
}


class Setting(NamedTuple):
    """What every process has to know."""

    where: list[str]  # base URL, client id, client secret
    place: Place
    folder: str
    seed: str
    longest: float  # seconds that callers may run

    def journal_of(self, process: str) -> Path:
        return Path(self.folder, f"{process}.jsonl")


class Crew:
    """The clients of one process, with their callers."""

    def __init__(self, process: str, setting: Setting) -> None:
        self.tasks_left: list[str] = []
        self.complaints: list[str] = []
        self._journal = Journal(setting.journal_of(process))
        self._cache = cache_at(setting.place)
        session = small_session()
        self.auth = TheBaseAuth(*setting.where, cache=self._cache, timeout=PATIENT, session=session)
        session.auth = self.auth
        self._clients: list[Any] = [
            self._client(f"{process}, {name}", library, callers, session, setting)
            for name, (library, callers) in CREWS[process].items()
        ]

    def _client(
        self, name: str, library: str, callers: int, session: Any, setting: Setting
    ) -> SyncClient | AsyncClient:
        common = name, library, setting.where[0], self._journal, setting.seed
        kind = "AsyncClient" if "tasks" in name else "Client"

        def make() -> Any:
            return session if library == "requests" else small_client(library, kind, self.auth)

        if kind == "Client":
            return SyncClient(*common, callers=callers, make=make)
        backend = "trio" if "trio" in name else "asyncio"
        return AsyncClient(
            *common, callers=callers, make=make, backend=backend, longest=setting.longest
        )

    def start(self) -> None:
        for client in self._clients:
            client.start()

    def stop(self, seconds: float) -> list[str]:
        """Let the calls under way come to their end; the clients some of whose callers hang."""
        for client in self._clients:
            client.stop()
        until = time.monotonic() + seconds
        return [f"{n} of {one.name}" for one in self._clients if (n := one.wait(until))]

    def call_in_calm(self) -> Callable[[], dict[str, str]]:
        """Let each client make a call, all at once; the result waits, and gives their statuses."""
        statuses: dict[str, Future[int]] = {one.name: one.call_in_calm() for one in self._clients}
        return lambda: {name: _outcome(status) for name, status in statuses.items()}

    def close(self) -> None:
        """Close the clients, and what else was opened for them."""
        for client in self._clients:
            client.close()
        self._journal.close()
        if hasattr(self._cache, "_client"):
            self._cache._client.close()

    def forget_clients(self) -> None:
        """Ask the clients, which have been closed, what they had to complain of, and let them go."""
        for client in self._clients:
            if isinstance(client, AsyncClient):
                self.complaints += [f"{client.name}: {text}" for text in client.complaints]
                if client.tasks_left != 0:
                    self.tasks_left.append(f"{client.name}: {client.tasks_left}")
        self._clients.clear()


def _outcome(status: Future[int]) -> str:
    try:
        return str(status.result(3 * CALM))
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def main() -> None:
    """Be a child: do what is asked, until the standard input ends."""
    from ._leftovers import Watch, resident_bytes

    process, text = sys.argv[1:]
    setting = Setting(*json.loads(text))
    with Watch(setting.where[2]) as watch:
        crew = Crew(process, setting)
        watch.log.current_token = lambda: crew.auth.token

        def answer(what: str, details: list[Any]) -> Any:
            match what:
                case "start":
                    return crew.start()
                case "memory":
                    return resident_bytes()
                case "stop":
                    return crew.stop(*details)
                case "call in calm":
                    return crew.call_in_calm()()
                case "cache failures":
                    return watch.log.cache_failures
                case _:
                    crew.close()
                    return watch.found(crew)

        answer_all(answer)


if __name__ == "__main__":
    main()
