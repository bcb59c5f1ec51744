# Who fetches the token, and who waits for whom.
#
# Here: the token in use, the one token request that may be under way (a flight), and the lock of
# both. Nothing here does I/O, reads a clock or waits; the adapters do, and tell.
# "Renewal" because client credentials know no refresh token (RFC 6749 section 4.4.3).
#
# Callers share these, all written under Renewal._lock: Renewal.token, _flight, _dead and refusals, and
# Flight.over. The outcome of a flight is announced through its future after the lock is released.
# The lock is never held across I/O, an await, a callback or a user's code. Renewal.token, and whether
# there are refusals at all, may be read without it. It is reentrant because a flow that is garbage
# collected ends its flight, and that can happen anywhere, also in a thread that holds the lock.
#
# The life of a flight. ask() either gives a token that is not the refused one, or makes the caller
# the leader of a new flight, or sends it to wait for the flight under way. The leader lands it with
# a token or an error, which all who wait share. A leader that vanishes (cancelled, timed out, its
# connection lost: in httpx they all look alike) lands it with nothing; then each waiter asks again,
# and whoever comes first leads. Nothing is handed to a particular waiter, so a waiter that vanishes
# too is never missed.
#
# Some leaders cannot be waited for, and are deposed: one whose time was up long ago (its event loop
# was stopped, say), one that cannot go on while the asking caller waits, because both live in one
# thread and are not tasks of one loop, or because both are the same task (a hook of the user's that
# makes a call), and one that is held up at a cache for longer than the asking caller can wait. What
# a deposed leader brings home serves its own caller alone.

from __future__ import annotations

import os
import threading
import weakref
from collections import deque
from concurrent.futures import Future
from copy import copy
from types import TracebackType
from typing import Final, NamedTuple, Self, TypeAlias

from ._errors import TokenRequestError
from ._refusals import Endpoint, Refusals
from ._token import Token

Outcome: TypeAlias = Token | TokenRequestError | None

_DEAD_REMEMBERED: Final = 16  # tokens; one would do, if others did not renew at the same time


class Task(NamedTuple):
    """An async caller: its event loop and its task. A caller that blocks its thread has none."""

    loop: object
    task: object


class Lead:
    """Answer of `Renewal.ask`: send the token request, and land the flight with what it brings."""

    __slots__ = ("flight",)

    def __init__(self, flight: Flight) -> None:
        self.flight = flight

    def __del__(self) -> None:
        # An exception may strike between the answer and the with block: a signal, an interrupt.
        self.flight.vanish()


class Wait(NamedTuple):
    """Answer of `Renewal.ask`: another caller sends the token request; wait until it has landed."""

    flight: Flight


class KeepRefusal(NamedTuple):
    """Answer of `Renewal.ask`: no renewal now; the 401 is the caller's answer."""


class Flight:
    """One token request under way. Its leader holds it in a ``with`` block, left in any manner."""

    def __init__(
        self,
        renewal: Renewal,
        *,
        endpoint: Endpoint | None,
        now: float,
        lease: float,
        task: Task | None,
    ) -> None:
        self.landed: Future[Outcome] = Future()
        self.at_cache = renewal.has_cache  # and has not come to its token request yet
        self.endpoint = endpoint
        self.asked_at = now
        self.lapses_at = now + lease
        self.over = False
        self._renewal = renewal
        self._task = task
        self._thread = threading.get_ident()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._renewal.land(self, error if isinstance(error, TokenRequestError) else None)

    def land(self, token: Token, *, now: float | None = None, fetched: bool = True) -> Token:
        """End the flight with *token*, for the leader and for all who wait, and give it back.

        Args:
            token: The token.
            now: Seconds on the clock of `Renewal.ask`; if None, the time of the asking.
            fetched: Whether it cost a token request, and was not found in a cache.
        """
        if not fetched:
            self.endpoint = None
        self._renewal.land(self, token, now=now)
        return token

    def vanish(self) -> None:
        """End the flight with nothing, unless it has landed."""
        self._renewal.land(self, None)

    def outcome(self) -> Token | None:
        """The token that a landed flight brought, or None if its leader vanished.

        Raises:
            TokenRequestError: the leader's failure, as an instance of the caller's own.
        """
        outcome = self.landed.result(timeout=0)
        if isinstance(outcome, TokenRequestError):
            raise copy(outcome)
        return outcome

    def cannot_be_waited_for(self, *, now: float, task: Task | None) -> bool:
        """Whether the leader is overdue, or cannot go on while the asking caller waits."""
        if now >= self.lapses_at:
            return True
        if self._thread != threading.get_ident():
            return False
        mine, leaders = task, self._task
        return (
            mine is None
            or leaders is None
            or mine.loop is not leaders.loop
            or mine.task is leaders.task
        )


class Renewal:
    """The token that all callers of one auth object share, and the right to fetch the next one."""

    def __init__(self, *, has_cache: bool = False) -> None:
        self.has_cache = has_cache
        self.token: Token | None = None
        self.refusals = Refusals()
        self._dead: deque[str] = deque(maxlen=_DEAD_REMEMBERED)
        self._flight: Flight | None = None
        self._lock = threading.RLock()
        _living.add(self)

    def ask(
        self,
        refused: str | None,
        *,
        endpoint: Endpoint | None = None,
        now: float,
        lease: float,
        task: Task | None,
        in_vain: Flight | None = None,
    ) -> Token | Lead | Wait | KeepRefusal:
        """Ask for a token other than the one that was refused.

        Args:
            refused: The access token that the server refused, or None to take any.
            endpoint: The endpoint that refused it, or None if it was not refused by any.
            now: Seconds on a clock that never goes back.
            lease: Seconds that the caller needs at most for a token request, should it lead.
            task: The asking task, or None for a caller that blocks its thread.
            in_vain: The flight for which the caller has waited half its time. It is deposed if its
                leader, who may be more patient, is still at a cache that does not answer.
        """
        with self._lock:
            self._bury(refused)
            if self.token is not None and self.token.access_token != refused:
                return self.token
            under_way = self._flight
            if under_way is not None and not (
                under_way.cannot_be_waited_for(now=now, task=task)
                or (under_way is in_vain and under_way.at_cache)
            ):
                return Wait(under_way)
            if endpoint is not None and self._is_too_early(endpoint, now):
                return KeepRefusal()
            lead = Lead(Flight(self, endpoint=endpoint, now=now, lease=lease, task=task))
            self._flight = lead.flight
        if under_way is not None:
            under_way.vanish()
        return lead

    def landed(self, flight: Flight, refused: str | None) -> Token | None:
        """What a caller that has waited for *flight* goes on with; None if it has to ask again.

        That is what the flight brought, or a newer token, if another flight has landed meanwhile.

        Raises:
            TokenRequestError: the failure of the flight, as an instance of the caller's own.
        """
        brought, newest = flight.outcome(), self.token
        if brought is None or newest is None or newest.access_token == refused:
            return brought
        return newest

    def land(self, flight: Flight, outcome: Outcome, *, now: float | None = None) -> None:
        """End *flight*; of several calls the first one counts. A deposed leader changes nothing."""
        with self._lock:
            if flight is self._flight:
                self._flight = None
                if isinstance(outcome, Token):
                    self.token = outcome
                    if flight.endpoint is not None:
                        landed_at = flight.asked_at if now is None else now
                        self.refusals.fetched(flight.endpoint, landed_at)
            late, flight.over = flight.over, True
        if not late:
            flight.landed.set_result(outcome)

    def drop(self) -> None:
        """Forget the token, and do not take it again from others who still have it."""
        with self._lock:
            if self.token is not None:
                self._bury(self.token.access_token)
                self.token = None

    def drop_refused(self, refused: str, endpoint: Endpoint, *, now: float) -> bool:
        """Forget the token if it still is the one that was refused: its 401 will not be replayed.

        Args:
            refused: The access token.
            endpoint: The endpoint that refused it.
            now: Seconds on the clock of `ask`.

        Returns:
            Whether that token was fetched on account of the endpoint.
        """
        with self._lock:
            if self.token is None or self.token.access_token != refused:
                return False
            again = endpoint in self.refusals.entries
            if not self._is_too_early(endpoint, now):
                if self._flight is None or self._flight.endpoint != endpoint:  # not twice for one
                    self.refusals.fetched(endpoint, now)
                self.drop()
            return again

    def is_final(self, refused: str, endpoint: Endpoint, *, now: float) -> bool:
        """Whether `ask` would say `KeepRefusal`: to know it before the 401 is read."""
        with self._lock:
            replaced = self.token is not None and self.token.access_token != refused
            busy = self._flight is not None
            return not replaced and not busy and self._is_too_early(endpoint, now)

    def refused_again(self, token: Token, endpoint: Endpoint, *, now: float) -> bool:
        """Take note that *endpoint* refused the replay too; true if that token was fetched for it."""
        with self._lock:
            return token is self.token and self.refusals.refused_again(endpoint, now)

    def accepted(self, endpoint: Endpoint) -> None:
        """Take note that *endpoint* takes the token again."""
        with self._lock:
            self.refusals.accepted(endpoint)

    def to_be_told(self, endpoint: Endpoint) -> bool:
        """Whether the user has not been told yet that *endpoint* says no; true once."""
        with self._lock:
            return self.refusals.to_be_told(endpoint)

    def is_dead(self, token: Token) -> bool:
        """Whether *token* is one that was refused or dropped here, whoever else still offers it."""
        with self._lock:
            return token.access_token in self._dead

    def _is_too_early(self, endpoint: Endpoint, now: float) -> bool:
        """Whether *endpoint*, which refuses the current token, has to wait for the next renewal."""
        return self.refusals.must_wait(endpoint, now) and self.refusals.refused_again(endpoint, now)

    def _bury(self, access_token: str | None) -> None:
        if access_token is not None and access_token not in self._dead:
            self._dead.append(access_token)

    def _after_fork_in_child(self) -> None:
        # The lock may be held, and the flight led, by a thread that the child does not have.
        self._lock = threading.RLock()
        self._flight = None


_living: weakref.WeakSet[Renewal] = weakref.WeakSet()


def _renew_locks() -> None:
    for renewal in list(_living):
        renewal._after_fork_in_child()


if hasattr(os, "register_at_fork"):  # pragma: no branch - not on Windows
    os.register_at_fork(after_in_child=_renew_locks)
