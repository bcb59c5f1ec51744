# A flight: one token request, the caller that leads it, and those who wait.

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from typing import Any, Final, NamedTuple

from .errors import TokenRequestError
from .token import Token

_LOOK_AGAIN: Final = 1.0  # seconds: a wake-up may be lost


class Event:
    """Something that one caller waits for and another completes; see `_waiting` for how to wait."""

    def __init__(self) -> None:
        self.done = False
        self.wakers: set[Callable[[], object]] = set()  # one for each waiter; each may be called in any thread

    def finish(self) -> None:
        """Wake all waiters. It may be called again after an interruption."""
        self.done = True
        while self.wakers:
            try:
                wake = self.wakers.pop()
            except KeyError:  # another thread took the last one
                return
            wake()


class Wait(NamedTuple):
    """A step: wait at most so many seconds for an event."""

    event: Event
    seconds: float


class Caller:
    """Who asks for a token: a thread that blocks, or a task of an event loop."""

    def __init__(
        self,
        timeout: float,
        *,
        task: object = None,
        loop: object = None,
        is_lost: Callable[[], bool] = lambda: False,
    ) -> None:
        """Make a caller of the current thread.

        Args:
            timeout: Seconds that it may wait for other callers.
            task: The asking task; None for a caller that blocks its thread.
            loop: The event loop of that task.
            is_lost: Whether the task or its loop has ended.
        """
        self.timeout = timeout
        self.is_lost = is_lost
        self._task = task
        self._loop = loop
        self._thread = threading.get_ident()

    def can_go_on_while_waiting(self, other: Caller) -> bool:
        """Return whether this caller can go on while *other* waits for it."""
        if self.is_lost():
            return False
        if self._thread != other._thread:
            return True
        return self._loop is not None and self._loop is other._loop and self._task is not other._task


class Flight(Event):
    """One token request, its leader, and in the end a token or a failure.

    Attributes:
        number: Its place in the order in which flights have started, and so that of its token.
        token: The token, once it is done.
        error: The response without a token, for all who wait.
        failure: What the leader's library raised, as a text; None if the leader was cancelled.
    """

    def __init__(self, number: int, leader: Caller) -> None:
        super().__init__()
        self.number: Final = number
        self.leader: Final = leader
        self.token: Token | None = None
        self.error: TokenRequestError | None = None
        self.failure: str | None = None


def wait_for(event: Event, seconds: float, caller: Caller | None = None) -> Generator[Wait, Any, float]:
    """Wait, and return how many seconds it took: counted, since a test may have frozen the clock.

    Args:
        event: What to wait for.
        seconds: How long to wait at most.
        caller: Who waits for the leader of a flight; it stops when that leader cannot go on.
    """
    waited = 0.0
    while not event.done and waited < seconds:
        if isinstance(event, Flight) and caller is not None and not event.leader.can_go_on_while_waiting(caller):
            break
        before = time.monotonic()
        step = min(_LOOK_AGAIN, seconds - waited)
        yield Wait(event, step)
        waited += min(step, time.monotonic() - before) if event.done else step
    return waited
