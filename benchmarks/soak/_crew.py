"""The callers of one process, which share one auth object."""

from __future__ import annotations

import json
import sys
import time
from concurrent.futures import Future
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks._fleet_worker import Place, cache_at
from thebase_auth import TheBaseAuth

from ._callers import CALM, PATIENT, AsyncClient, SyncClient, small_client, small_session
from ._journal import Journal
from ._leftovers import Watch, resident_bytes
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

    def journal_of(self, process: str) -> Path:
        return Path(self.folder, f"{process}.jsonl")


class Crew:
    """The clients of one process, with their callers. Its public methods are what the process is asked."""

    memory = staticmethod(resident_bytes)

    def __init__(self, process: str, setting: Setting) -> None:
        self._watch = watch = Watch(setting.where[2])
        self._journal = Journal(setting.journal_of(process))
        self._cache = cache_at(setting.place)
        session = small_session()
        self.auth = TheBaseAuth(*setting.where, cache=self._cache, timeout=PATIENT, session=session)
        watch.log.current_token = lambda: self.auth.token
        session.auth = self.auth
        self._clients: list[Any] = []
        for name, (library, callers) in CREWS[process].items():
            kind = AsyncClient if "tasks" in name else SyncClient
            client = session if library == "requests" else small_client(library, kind, self.auth)
            settings = f"{process}, {name}", library, setting.where[0], self._journal, setting.seed
            self._clients.append(kind(*settings, callers, client))

    def start(self) -> None:
        for client in self._clients:
            client.start()

    def stop(self, seconds: float) -> list[str]:
        """Let the calls under way come to their end; the clients some of whose callers hang."""
        for client in self._clients:
            client.stopped.set()
        until = time.monotonic() + seconds
        return [f"{n} of {one.name}" for one in self._clients if (n := one.wait(until))]

    def call_in_calm(self) -> list[str]:
        """Let each client make a call, all at once; those that did not succeed."""
        calls = {one.name: one.in_background(one.call_in_calm) for one in self._clients}
        outcomes = {name: _outcome(call) for name, call in calls.items()}
        return [f"{name}: {outcome}" for name, outcome in outcomes.items() if outcome != "200"]

    def cache_failures(self) -> list[str]:
        return self._watch.log.cache_failures

    def close(self) -> dict[str, list[str]]:
        """Close the clients, and what else was opened for them; what is not as it should be then."""
        for client in self._clients:
            client.close()
        self._journal.close()
        if hasattr(self._cache, "_client"):
            self._cache._client.close()
        complaints = [text for client in self._clients for text in client.complaints]
        tasks = [f"{one.name}: {one.tasks_left}" for one in self._clients if one.tasks_left]
        self._clients.clear()
        return self._watch.found(self.auth, tasks, complaints)


def _outcome(status: Future[int]) -> str:
    try:
        return str(status.result(3 * CALM))
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def main() -> None:
    """Do what is asked, until the standard input ends."""
    process, setting = sys.argv[1:]
    answer_all(Crew(process, Setting(*json.loads(setting))))


if __name__ == "__main__":
    main()
