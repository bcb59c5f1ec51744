"""A cache in memory that a test can make wait or fail."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

METHODS = ["load", "lock", "store", "release"]


class MemoryCache:
    """A cache as a user may write one. *before* is called with the name of each method, in its thread."""

    def __init__(self, before: Callable[[str], object] = lambda method: None) -> None:
        self.before = before
        self.records: dict[str, Any] = {}
        self.lifetimes: list[float] = []
        self.timeouts: list[float] = []
        self.locked: set[str] = set()
        self.calls: list[str] = []
        self.threads: set[threading.Thread] = set()
        self._unlocked = threading.Condition()

    def load(self, key: str) -> Any:
        self._called("load")
        return self.records.get(key)

    def store(self, key: str, record: str, lifetime: float) -> Any:
        self._called("store")
        self.lifetimes.append(lifetime)
        self.records[key] = record

    def lock(self, key: str, *, timeout: float) -> Any:
        self._called("lock")
        self.timeouts.append(timeout)
        with self._unlocked:
            if not self._unlocked.wait_for(lambda: key not in self.locked, timeout):
                return None
            self.locked.add(key)
        return lambda: self._release(key)

    def _release(self, key: str) -> None:
        try:
            self._called("release")
        finally:
            with self._unlocked:
                self.locked.discard(key)
                self._unlocked.notify_all()

    def _called(self, method: str) -> None:
        self.calls.append(method)
        self.threads.add(threading.current_thread())
        self.before(method)


class Gate:
    """Blocks the callers of *method* until it is opened."""

    def __init__(self, method: str) -> None:
        self.method = method
        self.reached = threading.Event()
        self.opened = threading.Event()
        self.was_opened_in_time = True

    def __call__(self, method: str) -> None:
        if method == self.method:
            self.reached.set()
            self.was_opened_in_time &= self.opened.wait(20)
