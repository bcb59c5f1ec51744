"""A clock that a test sets."""

from __future__ import annotations

import time


class Clock:
    """Stands in for the module ``time`` in _core and stands still."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.time = time.time

    def monotonic(self) -> float:
        return self.now
