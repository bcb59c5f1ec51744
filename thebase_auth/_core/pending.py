# Something that one caller waits for and another brings about.
#
# Here: what is pending, the step "wait for it", and who may wait. Not here: waiting (_waiting), and what is
# waited for (shared_token, the coordinator of the caches).

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import NamedTuple


class Pending:
    """Something that is over at some time, by whatever thread; _waiting waits for it."""

    def __init__(self) -> None:
        self.over = False
        self.wakers: deque[Callable[[], object]] = deque()  # one of each waiter

    def end(self) -> None:
        """Wake all who wait. It can be called again, should it have been interrupted."""
        self.over = True
        while self.wakers:
            try:
                wake = self.wakers.popleft()
            except IndexError:  # another thread has taken the last one
                return
            wake()

    def is_lost(self) -> bool:
        """Whether there is no sense in waiting on; asked by those who have waited for a second."""
        return False


class Task:
    """An async caller: its event loop, its task, and whether these have come to their end.

    A caller that blocks its thread has none.
    """

    def __init__(self, loop: object, task: object, is_gone: Callable[[], bool]) -> None:
        self.loop = loop
        self.task = task
        self.is_gone = is_gone


class WaitFor(NamedTuple):
    """Step of those who do not wait themselves: wait at most so many seconds for something pending."""

    pending: Pending
    seconds: float
