"""The callers of one process, which share one auth object."""

from __future__ import annotations

import time
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from benchmarks._places import Place, cache_at
from benchmarks._processes import answer_all
from thebase_auth import TheBaseAuth

from ._callers import CALM, PATIENT, Client, small_session
from ._journal import Journal
from ._leftovers import Watch, resident_bytes

#: For each process its clients, and how many threads or tasks share each.
CREWS: dict[str, dict[str, int]] = {
    "main": {"requests threads": 4, "httpx threads": 4, "httpx asyncio": 6, "httpx2 trio": 6},
    "child 1": {"requests threads": 3},
    "child 2": {"httpx2 threads": 3},
    "child 3": {"httpx trio": 3, "httpx2 asyncio": 3},
}


def journal_of(process: str, folder: str) -> Path:
    return Path(folder, f"{process}.jsonl")


class Crew:
    """The clients of one process, with their callers. Its public methods are what the process is asked."""

    memory = staticmethod(resident_bytes)

    def __init__(self, process: str, where: list[str], place: Place, folder: str, seed: str) -> None:
        """*where* is the base URL, the client id and the client secret."""
        self._watch = Watch()
        self._journal = Journal(journal_of(process, folder))
        self._cache = cache_at(place)
        session = small_session()
        self.auth = TheBaseAuth(*where, cache=self._cache, timeout=PATIENT, session=session)
        session.auth = self.auth
        self._callers = {f"{process}, {name}": count for name, count in CREWS[process].items()}
        self._clients = [Client(name, where[0], self._journal, seed, session) for name in self._callers]

    def start(self) -> None:
        for client in self._clients:
            client.start(self._callers[client.name])

    def stop(self, seconds: float) -> list[str]:
        """Let the calls under way come to their end; the clients some of whose callers hang."""
        for client in self._clients:
            client.stopped.set()
        until = time.monotonic() + seconds
        return [f"{n} of {one.name}" for one in self._clients if (n := one.wait(until))]

    def call_in_calm(self) -> list[str]:
        """Let each client make a call, all at once; those that did not succeed."""
        outcomes = {one.name: one.call_in_calm() for one in self._clients}
        return [
            f"{name}: {outcome}" for name, call in outcomes.items() if (outcome := _outcome(call)) != "200"
        ]

    def cache_failures(self) -> list[str]:
        return self._watch.cache_failures

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


def _outcome(call: Future[Any]) -> str:
    try:
        return f"{call.result(3 * CALM).status_code}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"


if __name__ == "__main__":
    answer_all(Crew)
