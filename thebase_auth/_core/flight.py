# A flight: one attempt to obtain a token, from a cache or by a token request; its leader and its waiters.

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
        self.wakers: set[Callable[[], object]] = set()  # one for each waiter; any thread may call it

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
    """A step: wait for *event*, at most *seconds*."""

    event: Event
    seconds: float


class Caller:
    """Who asks for a token: a thread that blocks, or a task of an event loop.

    Attributes:
        timeout: Seconds that it may wait for other callers.
        shortest_timeout: Seconds: the shortest of all the timeouts of its token request.
        fetch: Sends its token request, in steps, and returns the token.
        is_lost: Whether its task or event loop has ended (asyncio only).
        is_cancelled: Whether its task is being cancelled. A thread cannot tell, and says yes: if its flow is
            closed without an exception, it was abandoned.
    """

    def __init__(
        self,
        task: object = None,
        loop: object = None,
        is_lost: Callable[[], bool] = lambda: False,
        is_cancelled: Callable[[], bool] = lambda: True,
    ) -> None:
        self.timeout = 0.0
        self.shortest_timeout = 0.0
        self.fetch: Callable[[], Generator[Any, Any, Token]]
        self.is_lost = is_lost
        self.is_cancelled = is_cancelled
        self._task = task
        self._loop = loop
        self._thread = threading.get_ident()

    @property
    def half_timeout(self) -> float:
        """Seconds: the longest wait for one leader, or for a cache."""
        return self.timeout / 2

    def can_go_on_while_waiting(self, other: Caller) -> bool:
        """Return whether this caller can still run while *other* waits for it: no thread waits for itself."""
        if self.is_lost():
            return False
        if self._thread != other._thread:
            return True
        return self._loop is not None and self._loop is other._loop and self._task is not other._task

    def is_as_patient_as(self, other: Caller) -> bool:
        """Return whether this caller has as much time as *other*, for waiting and for a token request."""
        return self.timeout >= other.timeout and self.shortest_timeout >= other.shortest_timeout


class Flight(Event):
    """One attempt to obtain a token, and its result.

    Attributes:
        number: Its place in the order in which flights have started. Its token gets the same number.
        leader: The caller that sends the token request.
        token: The token.
        error: The response without a token, for all who wait.
    """

    def __init__(self, number: int, leader: Caller) -> None:
        super().__init__()
        self.number: Final = number
        self.leader: Final = leader
        self.token: Token | None = None
        self.error: TokenRequestError | None = None
        self._failure: str | None = None
        self._failed_for = leader

    def can_be_waited_for(self, caller: Caller) -> bool:
        """Return whether the leader can go on while *caller* waits for it."""
        return self.leader.can_go_on_while_waiting(caller)

    def fail(self, failure: str | None, caller: Caller) -> None:
        """Record a failure.

        Args:
            failure: What has failed; None if the leader was cancelled.
            caller: For whom it failed: the leader or a waiter.
        """
        self._failure, self._failed_for = failure, caller

    def fail_if_slow(self, waiter: Caller, waited: float) -> None:
        """Record a failure if the flight has taken half of *waiter*'s timeout, and still goes on.

        Args:
            waiter: Who has waited.
            waited: For how many seconds; see `wait_for`.
        """
        is_slow = waited >= waiter.half_timeout
        if is_slow and not self.done and self.can_be_waited_for(waiter):
            self.fail(f"one took more than {waiter.half_timeout:.2g} seconds", waiter)

    def failure_for(self, caller: Caller) -> str | None:
        """Return what has failed, unless it failed for somebody who had less time than *caller*.

        An impatient caller's timeout says nothing to a patient one.
        """
        return self._failure if self._failed_for.is_as_patient_as(caller) else None


def wait_for(
    event: Event, seconds: float, is_worthwhile: Callable[[], bool] = lambda: True
) -> Generator[Wait, Any, float]:
    """Wait while it is worthwhile, and return how many seconds it took.

    They are counted, since a test may have frozen the clock.
    """
    waited = 0.0
    while not event.done and waited < seconds and is_worthwhile():
        started = time.monotonic()
        step = min(_LOOK_AGAIN, seconds - waited)
        yield Wait(event, step)
        elapsed = time.monotonic() - started
        waited += min(step, elapsed) if event.done else step
    return waited
