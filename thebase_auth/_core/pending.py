# Something that one caller waits for and another completes.
#
# Here: what can be waited for, the step "wait for it", and the tasks that wait. Not here: waiting itself
# (_waiting), and what is waited for (shared_token, the coordinator of the caches).

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import NamedTuple


class Pending:
    """Something that another thread or task completes; see _waiting for how to wait for it."""

    def __init__(self) -> None:
        self.over = False
        self.wakers: deque[Callable[[], object]] = deque()  # one for each waiter

    def end(self) -> None:
        """Wake all waiters. It may be called again after an interruption."""
        self.over = True
        while self.wakers:
            try:
                wake = self.wakers.popleft()
            except IndexError:  # another thread took the last one
                return
            wake()

    def is_lost(self) -> bool:
        """Whether it may never be over. Waiters ask once a second."""
        return False


class Task:
    """An async caller: its event loop, its task, and whether they have ended.

    A caller that blocks its thread has none.
    """

    def __init__(self, loop: object, task: object, is_gone: Callable[[], bool]) -> None:
        self.loop = loop
        self.task = task
        self.is_gone = is_gone


class WaitFor(NamedTuple):
    """Step: wait at most so many seconds for something pending."""

    pending: Pending
    seconds: float
