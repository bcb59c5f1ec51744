# The token that all callers of one auth object share, and who of them fetches the next one.
#
# Here: the token in use, the one token request that may be under way (a flight), what came of it, and the
# lock of all this. Nothing here does I/O, reads a clock or waits; core does all that.
#
# Callers share these, all written under SharedToken._lock: token, _in_use_since, backoff, _former,
# _of_superseded, _fetched_for, _flight, _failure, _pause, and Flight.over with its result. The lock is never
# held across I/O, an await, a callback or a user's code; all but _fetched_for and _flight may be read without
# it. It is reentrant because a flow that is garbage collected ends its flight, and that can happen anywhere,
# also in a thread that holds the lock.
#
# The life of a flight. ask() either gives a token that is not the refused one, or makes the caller the
# leader of a new flight, or sends it to wait for the flight under way. The leader begins it, and finishes
# it with a token or a failure, which all who wait share. A leader that goes without either (cancelled,
# timed out, its connection lost: in httpx they all look alike) abandons it; then each waiter asks again,
# and whoever comes first leads. Nothing is handed to a particular waiter, so a waiter that goes too is
# never missed.
#
# Some leaders cannot be waited for, and are superseded: one that was interrupted before it began, one whose
# event loop has stopped or whose lease is over, one that cannot go on while the asking caller waits (both
# live in one thread and are not tasks of one loop, or are the same task: a hook of the user's that makes a
# call), and one that is held up at a cache for longer than the asking caller can wait. What a superseded
# leader fetches serves its own caller only.

from __future__ import annotations

import math
import os
import threading
import weakref
from collections.abc import Callable
from copy import copy
from functools import update_wrapper
from typing import Concatenate, Final, ParamSpec, TypeAlias, TypeVar

from .backoff import Backoff, Operation, Pause
from .errors import TokenRequestError, with_retry_after
from .pending import Pending, Task
from .token import Token

_FORMER_REMEMBERED: Final = 256  # tokens; a request may be sent again long after it was signed
_FRESH: Final = 60.0  # seconds that a token may be in use, if its first refusal is to be a strike
#: What the token endpoint says when it refuses the client (RFC 6749 section 5.2), or has had enough of it.
_REFUSALS: Final = {200, 400, 401, 403, 429}

_Args = ParamSpec("_Args")
_Result = TypeVar("_Result")


class Fetch:
    """Answer of `SharedToken.ask`: send the token request, and finish the flight with what it brings."""

    __match_args__ = ("flight",)

    def __init__(self, flight: Flight) -> None:
        self.flight = flight


class Wait:
    """Answer of `SharedToken.ask`: another caller sends the token request; wait until that is over."""

    __match_args__ = ("flight",)

    def __init__(self, flight: Flight) -> None:
        self.flight = flight


class Keep401:
    """Answer of `SharedToken.ask`: no renewal now; the 401 is the caller's answer."""


Step: TypeAlias = Token | Fetch | Wait | Keep401


class Flight(Pending):
    """One token request under way.

    Attributes:
        begun: Whether its leader has come to the code that ends it in any case.
        at_cache: Whether its leader is looking into a cache, before its token request.
        token: What it brought, once it is over; None if it failed or was abandoned.
        failure: Why it brought none; None if it was abandoned.
    """

    def __init__(self, operation: Operation | None, lapses_at: float, task: Task | None) -> None:
        super().__init__()
        self.operation = operation
        self.lapses_at = lapses_at
        self.begun = False
        self.at_cache = False
        self.token: Token | None = None
        self.failure: Exception | None = None
        self._task = task
        self._thread = threading.get_ident()

    def is_lost(self) -> bool:
        """Whether its leader was interrupted before it began, or its event loop has stopped."""
        return not self.begun or (self._task is not None and self._task.is_gone())

    def can_be_waited_for(self, now: float, task: Task | None) -> bool:
        """Whether its leader is in time, and can go on while the asking caller waits."""
        if now >= self.lapses_at:
            return False
        if self._thread != threading.get_ident():
            return True
        if self._task is None or task is None:
            return False
        return self._task.loop is task.loop and self._task.task is not task.task


def _locked(
    method: Callable[Concatenate[SharedToken, _Args], _Result],
) -> Callable[Concatenate[SharedToken, _Args], _Result]:
    """Call *method* with the lock held, and give it back wherever an exception strikes in between."""

    def with_lock(self: SharedToken, /, *args: _Args.args, **options: _Args.kwargs) -> _Result:
        # In one line: no line of ours comes between the end of the method and the release.
        with self._lock: return method(self, *args, **options)  # fmt: skip  # noqa: E701

    update_wrapper(with_lock, method)
    return with_lock


class SharedToken:
    """The token that all callers of one auth object share, and the right to fetch the next one."""

    def __init__(self) -> None:
        self.token: Token | None = None
        self._in_use_since = math.inf  # when it came into use
        self.backoff = Backoff()
        self._former: tuple[Token, ...] = ()  # refused, dropped or replaced
        self._of_superseded: tuple[Token, ...] = ()  # what superseded leaders use
        self._fetched_for: Operation | None = None  # the token in use, unless that has accepted it
        self._flight: Flight | None = None
        self._failure: TokenRequestError | None = None  # of the token endpoint, while it has to rest
        self._pause = Pause()
        self._lock = threading.RLock()
        _living.add(self)

    def known(self, authorization: str) -> Token | None:
        """The token of ours, in use or before, that this value of a header carries."""
        for token in (self.token, *self._former, *self._of_superseded):
            if token is not None and token.authorization == authorization:
                return token
        return None

    def is_older(self, token: Token, sent_at: float) -> bool:
        """Whether another token was in use at that time, and still is."""
        return self.token not in (None, token) and self._in_use_since < sent_at

    def is_former(self, token: Token) -> bool:
        """Whether *token* was refused or dropped here, whoever else still offers it."""
        return token in self._former

    def ask(
        self,
        other_than: Token | None,
        *,
        operation: Operation | None = None,
        now: float,
        lease: float,
        task: Task | None,
        superseded: Flight | None = None,
    ) -> Step:
        """Ask for a token.

        Args:
            other_than: The token that the server refused, or None to take any.
            operation: What refused it, or None if nothing did.
            now: Seconds on a clock that never goes back.
            lease: Seconds that the caller needs at most for a token request, should it lead.
            task: The asking task, or None for a caller that blocks its thread.
            superseded: A flight for which the caller does not wait any longer.
        """
        step, ended = self._next_step(
            other_than, operation, now, lease=lease, task=task, superseded=superseded
        )
        if ended is not None:
            ended.end()
        return step

    @_locked
    def _next_step(
        self,
        other_than: Token | None,
        operation: Operation | None,
        now: float,
        *,
        lease: float,
        task: Task | None,
        superseded: Flight | None,
    ) -> tuple[Step, Flight | None]:
        """The next step, and the flight that it supersedes."""
        self._remember(other_than)
        if self.token is not None and self.token != other_than:
            return self.token, None
        under_way = self._flight
        if under_way is not None and under_way is not superseded and under_way.can_be_waited_for(now, task):
            return Wait(under_way), None
        if operation is not None and self.backoff.must_wait(operation, now):
            return Keep401(), None
        self._flight = Flight(operation, now + lease, task)
        return Fetch(self._flight), under_way

    def finish(self, flight: Flight, token: Token, *, now: float, fetched: bool = True) -> Token:
        """End *flight* with *token*, for all who wait, and give it back.

        Args:
            flight: The flight. If it was superseded, nobody waits, and the token is its leader's only.
            token: The token.
            now: Seconds on a clock that never goes back.
            fetched: Whether it cost a token request, and was not found in a cache.
        """
        self._replace(flight, token, now=now, fetched=fetched)
        flight.end()
        return token

    def fail(self, flight: Flight, failure: Exception) -> None:
        """End *flight* with a failure that all who wait share."""
        self._remove(flight, failure)
        flight.end()

    def abandon(self, flight: Flight) -> None:
        """End *flight* with nothing, unless it is over. All who wait ask again."""
        self._remove(flight, None)
        flight.end()

    @_locked
    def _replace(self, flight: Flight, token: Token, *, now: float, fetched: bool) -> None:
        if flight is not self._flight:
            self._of_superseded = (*self._of_superseded, token)[-_FORMER_REMEMBERED:]
            return
        self._flight = None
        self._remember(self.token)
        self.token = flight.token = token
        self._in_use_since = now
        self._fetched_for = flight.operation if fetched else None
        if fetched:
            self._failure, self._pause = None, Pause()

    @_locked
    def _remove(self, flight: Flight, failure: Exception | None) -> None:
        if flight is self._flight:
            self._flight = None
            flight.failure = failure

    @_locked
    def refused_by_endpoint(self, failure: TokenRequestError, now: float) -> TokenRequestError:
        """Take note of an answer of the token endpoint without a token; give the error to raise."""
        if failure.status not in _REFUSALS or (failure.status == 200 and not failure.error):
            return with_retry_after(failure, None)
        seconds = self._pause.begin(now, failure.retry_after)
        # Not the one that is raised: its traceback would keep the caller's variables alive.
        self._failure = with_retry_after(failure, seconds)
        return with_retry_after(failure, seconds)

    def rest_of_endpoint(self, now: float) -> TokenRequestError | None:
        """What the token endpoint said last, while it must not be asked again; else None."""
        failure, left = self._failure, self._pause.left(now)
        return None if failure is None or left <= 0 else with_retry_after(failure, left)

    @_locked
    def forget(self) -> None:
        """Drop the token, and what the token endpoint said last."""
        self._failure, self._pause = None, Pause()
        if self.token is not None:
            self.drop(self.token)

    @_locked
    def drop(self, token: Token) -> None:
        """Drop *token*, if it is still the one in use, and do not take it again from a cache."""
        self._remember(token)
        if token == self.token:
            self.token = self._fetched_for = None

    @_locked
    def must_keep_401(self, refused: Token, operation: Operation, *, now: float) -> bool:
        """Whether `ask` would say `Keep401`: to know it before the 401 is read."""
        replaced = self.token is not None and self.token != refused
        busy = self._flight is not None
        return not replaced and not busy and self.backoff.must_wait(operation, now)

    @_locked
    def refused(self, token: Token, operation: Operation, *, now: float) -> bool:
        """Take note of a 401 to *token*; whether the user is to be told that a right is missing."""
        if token is not self.token or operation != self._fetched_for:
            return False
        self._fetched_for = None  # once for each token, however many callers it fails
        if now - self._in_use_since > _FRESH:
            return False  # it was good, perhaps, and its time is over
        return self.backoff.strike(operation, now)

    def is_acceptance_news(self) -> bool:
        """Whether `accepted` has anything to take note of."""
        return self._fetched_for is not None or bool(self.backoff.strikes)

    def accepted(self, operation: Operation) -> None:
        """Take note that *operation* has taken a token."""
        if operation not in self.backoff.strikes and operation != self._fetched_for:
            return  # without the lock, while another operation refuses all
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

    def _after_fork_in_child(self) -> None:
        # The lock may be held, and the flight led, by a thread that the child does not have.
        self._lock = threading.RLock()
        self._flight = None


def copied(failure: Exception) -> Exception:
    """The same for another caller: one exception, raised by many, would collect all their tracebacks."""
    try:
        another = copy(failure)
    except Exception:  # noqa: BLE001 - a class of somebody else's that cannot be copied
        return failure
    return another if isinstance(another, Exception) else failure


_living: weakref.WeakSet[SharedToken] = weakref.WeakSet()


def _renew_locks() -> None:
    for shared in list(_living):
        shared._after_fork_in_child()


if hasattr(os, "register_at_fork"):  # pragma: no branch - not on Windows
    os.register_at_fork(after_in_child=_renew_locks)
