"""A cache in memory that a test can make wait or fail."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any


class Shelf:
    """A cache as a user may write one. *before* is called with the name of each method, in its thread."""

    def __init__(self, before: Callable[[str], object] = lambda method: None) -> None:
        self.before = before
        self.records: dict[str, Any] = {}
        self.lifetimes: list[float | None] = []
        self.locked: set[str] = set()
        self.calls: list[tuple[str, int]] = []
        self._guard = threading.Lock()

    def load(self, key: str) -> Any:
        self._called("load")
        return self.records.get(key)

    def store(self, key: str, record: str, lifetime: float | None) -> Any:
        self._called("store")
        self.lifetimes.append(lifetime)
        self.records[key] = record

    def lock(self, key: str, lease: float) -> Any:
        self._called("lock")
        with self._guard:
            if key in self.locked:
                return None
            self.locked.add(key)
        return lambda: self._release(key)

    def _release(self, key: str) -> None:
        try:
            self._called("release")
        finally:
            self.locked.discard(key)

    def _called(self, method: str) -> None:
        self.calls.append((method, threading.get_ident()))
        self.before(method)

    def count(self, method: str) -> int:
        return [name for name, _ in self.calls].count(method)


class Gate:
    """Stops whoever comes to it, until it is opened."""

    def __init__(self, method: str) -> None:
        self.method = method
        self.reached = threading.Event()
        self.opened = threading.Event()
        self.was_opened_in_time = True

    def __call__(self, method: str) -> None:
        if method == self.method:
            self.reached.set()
            self.was_opened_in_time &= self.opened.wait(20)


class ClockOfCalls:
    """Stands for the module ``time``: each call of a cache takes so many seconds, and all else none."""

    def __init__(self, seconds: float) -> None:
        self.now, self.seconds = 1000.0, seconds
        self.time = time.time

    def __call__(self, method: str) -> None:
        self.now += self.seconds

    def monotonic(self) -> float:
        return self.now
