# The token that all callers of one auth object share, and which of them fetches the next one: single flight.
#
# Here: the token in use, the one token request that may be under way (a flight), its result, and the lock
# that guards all this. Not here: I/O, clocks and waiting (caller, the adapters).
#
# Callers share these, all written under SharedToken._lock: token, _in_use_since, backoff, _former,
# _of_superseded, _fetched_for, _flight, _failure, _pause, and the result of a flight (what else a flight
# has, its leader alone writes). Each may be read without the lock, where it does not matter whether another
# thread is about to change it. The lock is never held across I/O, an await, a callback or a user's code. It
# is reentrant, because a flow that is garbage collected ends its flight, and the collector may run
# anywhere, also in a thread that holds the lock.
#
# The life of a flight: ask() returns a token other than the refused one, or makes the caller the leader of
# a new flight, or makes it a waiter of the flight under way. The leader ends the flight with a token, or
# with a failure that the waiters share if they would fail alike. A leader that leaves without either
# (cancelled, timed out, its connection lost: in httpx these look alike) abandons it. Then every waiter asks
# again, and the first one leads. Nothing is handed to a particular waiter, so it does not matter if that
# one leaves too.
#
# A leader that cannot be waited for is superseded, and what it fetches serves only its own caller:
# * it was interrupted before it began, or its event loop has stopped (Flight.is_lost);
# * its time is over, or it cannot go on while the asking caller waits, since both are in one thread and are
#   not two tasks of one loop (Flight.can_be_waited_for);
# * a cache holds it up for longer than the asking caller can wait (Caller.renew gives it up).

from __future__ import annotations

import math
import os
import threading
import weakref
from collections.abc import Callable
from copy import copy
from typing import Final, NamedTuple, TypeAlias, TypeVar

from .backoff import Backoff, Operation, Pause
from .errors import TokenRequestError, with_retry_after
from .pending import Pending, Task
from .token import CachedToken, Token

_FORMER_REMEMBERED: Final = 256  # tokens: a request may be sent long after it was signed
_STRIKE_WITHIN: Final = 60.0  # seconds in use; the refusal of an older token is no strike
#: How the token endpoint refuses a client (RFC 6749 section 5.2) or asks it to slow down; 200: with an error.
_REFUSALS: Final = {200, 400, 401, 403, 429}

_Method = TypeVar("_Method", bound=Callable[..., object])


class Fetch(NamedTuple):
    """Decision: lead this flight, that is, send the token request, and end the one that it supersedes."""

    flight: Flight
    superseded: Flight | None


class Wait(NamedTuple):
    """Decision: another caller leads this flight; wait for it."""

    flight: Flight


class Keep401:
    """Decision: no renewal now; the 401 is the caller's answer."""


Decision: TypeAlias = Token | Fetch | Wait | Keep401


class Flight(Pending):
    """One token request under way.

    Attributes:
        begun: Whether its leader has reached the code that is sure to end it.
        at_cache: Whether its leader is looking into a cache, before its token request.
        token: Its result, once it is over; None if it failed or was abandoned.
        failure: Why there is no token; None if it was abandoned.
    """

    def __init__(
        self, operation: Operation | None, overdue_at: float, task: Task | None, *, at_cache: bool = False
    ) -> None:
        super().__init__()
        self.operation = operation
        self.overdue_at = overdue_at
        self.begun = False
        self.at_cache = at_cache
        self.token: Token | None = None
        self.failure: Exception | None = None
        self._task = task
        self._thread = threading.get_ident()

    def is_lost(self) -> bool:
        """Whether its leader was interrupted before it began, or its event loop has stopped."""
        return not self.begun or (self._task is not None and self._task.is_gone())

    def can_be_waited_for(self, now: float, task: Task | None) -> bool:
        """Whether its leader is in time, and can go on while the asking caller waits."""
        if now >= self.overdue_at:
            return False
        if self._thread != threading.get_ident():
            return True
        if self._task is None or task is None:
            return False
        return self._task.loop is task.loop and self._task.task is not task.task


def _locked(method: _Method) -> _Method:
    """Call *method* with the lock held; the lock is released wherever an exception comes."""

    def with_lock(self: SharedToken, *args: object, **options: object) -> object:
        # On one line, so that not even a line tracer can step in between the method's end and the release.
        with self._lock: return method(self, *args, **options)  # fmt: skip  # noqa: E701

    return with_lock  # type: ignore[return-value] # it has the signature of *method*


class SharedToken:
    """The token that all callers of one auth object share, and the right to fetch the next one."""

    def __init__(self, *, has_cache: bool = False) -> None:
        self.token: Token | None = None
        self._has_cache = has_cache
        self._in_use_since = math.inf  # when `token` came into use
        self.backoff = Backoff()
        self._former: tuple[Token, ...] = ()  # refused, dropped or replaced
        self._of_superseded: tuple[Token, ...] = ()  # in use by superseded leaders
        self._fetched_for: Operation | None = None  # what `token` was fetched for, until that accepts it
        self._flight: Flight | None = None
        self._failure: TokenRequestError | None = None  # of the token endpoint, during its pause
        self._pause = Pause()
        self._lock = threading.RLock()
        _living.add(self)

    def token_in(self, authorization: str | bytes | None) -> Token | None:
        """The token, in use now or formerly, in this ``Authorization`` header of a request; or None.

        After a redirect, or a renewal by another caller, it may differ from the one first put there.
        """
        text = authorization.decode("latin-1") if isinstance(authorization, bytes) else authorization
        for token in (self.token, *self._former, *self._of_superseded):
            if token is not None and token.authorization == text:
                return token
        return None

    def was_replaced_before(self, token: Token, sent_at: float) -> bool:
        """Whether the token in use is another one, and was so before *sent_at*."""
        return self.token not in (None, token) and self._in_use_since < sent_at

    def is_former(self, token: Token) -> bool:
        """Whether *token* was refused, dropped or replaced here, even if a cache still offers it."""
        return token in self._former

    @_locked
    def ask(
        self,
        other_than: Token | None,
        operation: Operation | None,
        now: float,
        *,
        longest: float,
        task: Task | None,
        given_up: Flight | None = None,
    ) -> Decision:
        """Ask for a token.

        Args:
            other_than: A token not to be given: the refused one. None to take any.
            operation: What refused it, or None if nothing did.
            now: Seconds on a clock that never goes back.
            longest: Seconds that the caller's token request takes at most, if it leads.
            task: The asking task, or None for a caller that blocks its thread.
            given_up: A flight for which the caller no longer waits.
        """
        self._remember(other_than)
        if self.token is not None and self.token != other_than:
            return self.token
        under_way = self._flight
        if under_way is not None and under_way is not given_up and under_way.can_be_waited_for(now, task):
            return Wait(under_way)
        if operation is not None and self.backoff.must_wait(operation, now):
            return Keep401()
        if under_way is not None:
            under_way.over = True  # superseded; its waiters see it within a second, should nobody wake them
        self._flight = Flight(operation, now + longest, task, at_cache=self._has_cache)
        return Fetch(self._flight, under_way)

    def finish(self, flight: Flight, token: Token, *, now: float) -> Token:
        """End *flight* with *token*, for all who wait, and return the token.

        Args:
            flight: The flight. If it was superseded, the token serves only its leader.
            token: The token.
            now: Seconds on a clock that never goes back.
        """
        self._replace(flight, token, now)
        flight.end()
        return token

    def abandon(self, flight: Flight, failure: Exception | None = None) -> None:
        """End *flight* without a token, unless it is over. All who wait share the *failure*, or ask again."""
        self._remove(flight, failure)
        flight.end()

    @_locked
    def _replace(self, flight: Flight, token: Token, now: float) -> None:
        if flight is not self._flight:  # superseded
            self._of_superseded = (*self._of_superseded, token)[-_FORMER_REMEMBERED:]
            return
        self._remember(self.token)
        self._former = tuple(former for former in self._former if former != token)
        self._flight = None
        self._in_use_since = now
        self.token = flight.token = token
        self._fetched_for = None
        if not isinstance(token, CachedToken):
            self._fetched_for = flight.operation
            self._failure, self._pause = None, Pause()

    @_locked
    def _remove(self, flight: Flight, failure: Exception | None) -> None:
        if flight is self._flight:
            self._flight, flight.failure = None, failure

    @_locked
    def note_endpoint_error(self, failure: TokenRequestError, now: float) -> TokenRequestError:
        """Take note of an answer of the token endpoint without a token, and return the error to raise."""
        if failure.status not in _REFUSALS or (failure.status == 200 and not failure.error):
            return with_retry_after(failure, None)
        seconds = self._pause.begin(now, failure.retry_after)
        # A copy: the traceback of the one that is raised would keep the caller's variables alive.
        self._failure = with_retry_after(failure, seconds)
        return with_retry_after(failure, seconds)

    def error_during_pause(self, now: float) -> TokenRequestError | None:
        """The last error of the token endpoint during its pause, or None."""
        failure = self._failure
        if failure is None or (left := self._pause.left(now)) <= 0:
            return None
        return with_retry_after(failure, left)

    @_locked
    def forget(self) -> None:
        """Drop the token, and end the pause of the token endpoint."""
        self._failure, self._pause = None, Pause()
        if self.token is not None:
            self.drop(self.token)

    @_locked
    def drop(self, token: Token) -> None:
        """Drop *token* if it is in use, and never take it from a cache again."""
        self._remember(token)
        if token == self.token:
            self.token = self._fetched_for = None

    @_locked
    def must_keep_401(self, refused: Token, operation: Operation, *, now: float) -> bool:
        """Whether `ask` would return `Keep401`, as far as that is known before the 401 is read."""
        replaced = self.token is not None and self.token != refused
        busy = self._flight is not None
        return not replaced and not busy and self.backoff.must_wait(operation, now)

    @_locked
    def note_refusal(self, token: Token, operation: Operation, *, now: float) -> bool:
        """Take note of a 401 to *token*. True: warn the user that a right may be missing."""
        if token is not self.token or operation != self._fetched_for:
            return False
        self._fetched_for = None  # one strike for a token, however many callers it fails
        if now - self._in_use_since > _STRIKE_WITHIN:
            return False  # it may have been good, and expired since
        return self.backoff.strike(operation, now)

    def is_acceptance_news(self) -> bool:
        """Whether there is anything for `accepted` to take note of."""
        return self._fetched_for is not None or bool(self.backoff.strikes)

    def accepted(self, operation: Operation) -> None:
        """Take note that *operation* has accepted a token."""
        if operation not in self.backoff.strikes and operation != self._fetched_for:
            return  # without the lock
        self._accept(operation)

    @_locked
    def _accept(self, operation: Operation) -> None:
        after_renewal = operation == self._fetched_for
        if after_renewal:
            self._fetched_for = None
        self.backoff.accepted(operation, after_renewal=after_renewal)

    def _remember(self, former: Token | None) -> None:
        if former is not None and former not in self._former:
            self._former = (*self._former, former)[-_FORMER_REMEMBERED:]


def copied(failure: Exception) -> Exception:
    """A copy for another caller: one exception raised by many would collect all their tracebacks."""
    try:
        another = copy(failure)
    except Exception:  # noqa: BLE001 - some classes cannot be copied
        return failure
    return another if isinstance(another, Exception) else failure


_living: weakref.WeakSet[SharedToken] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    # A thread that the child does not have may hold the lock or lead the flight.
    for shared in list(_living):
        shared._lock, shared._flight = threading.RLock(), None


if hasattr(os, "register_at_fork"):  # pragma: no branch - not on Windows
    os.register_at_fork(after_in_child=_after_fork_in_child)
