# The token that all callers of one auth object share: who fetches it, and who waits.
#
# A caller without a good token asks `Renewal.steps`. It becomes the leader of a flight, which is one look
# into the cache or one token request, or it waits for the flight of another caller. Nothing is handed to a
# particular waiter: when a flight is done, all who wait ask again. So it does not matter who else is
# cancelled, times out or is lost.
#
# A flight ends in one of these ways:
#   1. with a token, which all waiters use;
#   2. with a response that has no token: all waiters raise the same error;
#   3. with a connection failure or a timeout: its leader raises it, and the next waiter leads;
#   4. its leader is cancelled, and the next waiter leads; or a caller blocks its leader, and takes its place;
#   5. it is passed over: it has taken half of a waiter's timeout, and that waiter leads a new flight.
#
# All callers share one Renewal. Its _lock guards writing to token, _flight, _retired and _throttle; if an
# update of _endpoint_pause is lost, that costs a token request. The lock is never held across I/O, an await
# or a user's code. It is reentrant: a signal handler or the garbage collector may ask for a token anywhere.

from __future__ import annotations

import itertools
import os
import threading
import time
import weakref
from collections.abc import Generator
from functools import partial
from typing import Any, Final

from .credentials import Credentials
from .errors import TokenRequestError, TokenTimeoutError, describe
from .flight import Caller, Flight, wait_for
from .throttle import EndpointPause, Operation, Throttle
from .token import Token
from .warnings import logger, record_first_fetch, warn_of_missing_permission

_RETIRED_REMEMBERED: Final = 256  # tokens


class Renewal:
    """The token that all callers of one auth object share, and the right to fetch the next one.

    Attributes:
        token: The token in use, or None.
        credentials: Those that fetch it.
        renews_expired: Whether an expired token is renewed before it is sent. No, until a call with an
            expired token, or one without ``expires_in``, has ended without a response.
        timeout: Seconds: the upper bound of each phase of a token request, and of waiting for others.
    """

    def __init__(self, credentials: Credentials, timeout: float, cache: Any) -> None:
        """Start without a token. *cache* is a `SharedCache` of `caches`, or None."""
        self.token: Token | None = None
        self.renews_expired = False
        self.timeout: Final = timeout
        self.credentials: Final = credentials
        self._cache: Final = cache
        self._has_fetched = False
        self._flight_numbers: Final = itertools.count(1)
        self._flight: Flight | None = None
        self._retired: tuple[Token, ...] = ()  # rejected or replaced
        self._endpoint_pause = EndpointPause()
        self._throttle: Final = Throttle()
        self._lock = threading.RLock()
        _living.add(self)

    def __reduce__(self) -> tuple[Any, ...]:
        # A copy has its own token, and shares the cache: deepcopy does not copy the arguments of a partial.
        return partial(Renewal, self.credentials, self.timeout, self._cache), ()

    def steps(
        self, caller: Caller, rejected: Token | None, *, may_fetch: bool
    ) -> Generator[Any, Any, Token | None]:
        """Obtain a token, in steps: each is a `Wait`, or one of the caller's `fetch`.

        Args:
            caller: Who asks.
            rejected: The token that was rejected, or has expired; None to take any.
            may_fetch: Whether a token request may be sent. If not, a cache may still have a newer token, and
                nothing is raised.

        Returns:
            The token; None if there is no newer one, and none may be fetched.

        Raises:
            TokenRequestError: if the token endpoint responds without a token, or did so and there is a pause.
            TokenTimeoutError: if the caller has waited for two token requests of others, and each has failed
                or has taken half of the caller's timeout; or for one, and no time is left.
            Exception: whatever the caller's `fetch` raises.
        """
        left = caller.timeout
        failures: list[str] = []
        waited_for: Flight | None = None  # no flight is waited for twice
        while True:
            token, flight = self.token, self._flight
            if token is not None and token is not rejected:
                return token
            if waited_for is not None and not may_fetch:
                return None  # one look into the cache is enough, whoever takes it
            if waited_for is not None and waited_for.error is not None:
                raise waited_for.error.copy()  # or the tracebacks of all callers would be in one
            if len(failures) == 2 or (failures and left <= 0):
                raise self._gave_up(failures)
            # With no time left, it leads: nothing has failed that counts for this caller.
            if flight is None or flight is waited_for or left <= 0 or not flight.can_be_waited_for(caller):
                own = Flight(next(self._flight_numbers), caller)
                try:  # KeyboardInterrupt may come right after the assignment in _claim: the flight must end
                    if self._claim(own, token, flight):
                        return (yield from self._lead(own, may_fetch=may_fetch))
                finally:
                    self._end(own)
                continue
            seconds = min(caller.half_timeout, left)
            waited = yield from wait_for(flight, seconds, partial(flight.can_be_waited_for, caller))
            left -= waited
            flight.fail_if_slow(caller, waited)
            failure = flight.failure_for(caller)
            if failure is not None:
                failures.append(failure)
            waited_for = flight

    def _lead(self, flight: Flight, *, may_fetch: bool) -> Generator[Any, Any, Token | None]:
        """Obtain a token from the cache, if there is one, or else from the token endpoint."""
        before, work = self.token, None
        if self._cache is not None:
            may_lock = may_fetch and self._endpoint_pause.error(time.monotonic()) is None
            work = yield from self._cache.start(flight, self._is_known, may_lock=may_lock)
        if work is not None:
            found = yield from work.wait_for_record()
            if found is not None:
                return self._use(flight, found)
        if not may_fetch:
            return None
        try:
            token = yield from self._fetch(flight)
        except Exception:
            newest = self.token
            if newest is None or newest is before:
                raise
            return newest  # of a flight that this one has passed over, or that has passed it over
        if work is not None:
            yield from work.wait_until_stored()
        return token

    def _fetch(self, flight: Flight) -> Generator[Any, Any, Token]:
        """Send the token request, unless the token endpoint is in a pause."""
        flight.error = self._endpoint_pause.error(time.monotonic())
        if flight.error is not None:
            raise flight.error.copy()
        try:
            token = yield from flight.leader.fetch()
        except BaseException as failure:
            if not isinstance(failure, TokenRequestError):
                flight.fail(_failure_of(failure, flight.leader), flight.leader)
                raise
            rejection = failure
        else:
            self._endpoint_pause = EndpointPause()
            logger.debug("fetched an access token from %s", self.credentials.domain)
            if self._cache is None and not self._has_fetched:
                self._has_fetched = True
                record_first_fetch(self.credentials)
            return self._use(flight, token)
        flight.error = self._endpoint_pause.start(rejection, time.monotonic())
        raise flight.error.copy()

    def _claim(self, own: Flight, token: Token | None, flight: Flight | None) -> bool:
        """Put *own* in the place of *flight*, unless something has changed since the caller looked."""
        with self._lock:
            is_unchanged = self.token is token and self._flight is flight
            if is_unchanged:
                self._flight = own
        if is_unchanged and flight is not None:
            flight.finish()
        return is_unchanged

    def _use(self, flight: Flight, token: Token) -> Token:
        """Put the token of *flight* into use, wake all who wait for one, and return the newest token.

        If its leader was passed over, the token arrives late. It is used all the same, unless that of a
        flight that has started later is in use by now.
        """
        with self._lock:
            current, under_way = self.token, self._flight
            if current is not None and token.is_from_cache and token == current:
                token = current  # another flight has found the same record
            else:
                token.number = flight.number
            is_newest = current is None or current is token or current.number < token.number
            if current is not token:
                self._remember(current if is_newest else token)
            if is_newest:
                self.token, self._flight = token, None
        flight.token = token
        flight.finish()
        if is_newest and under_way is not None:  # this flight, or the one that has passed it over
            under_way.token = token
            under_way.finish()
        return self.token or token

    def _end(self, flight: Flight) -> None:
        """End *flight*, whatever has become of it."""
        with self._lock:
            if self._flight is flight:
                self._flight = None
        flight.finish()

    def _gave_up(self, failures: list[str]) -> TokenTimeoutError:
        domain = self.credentials.domain
        reasons = self.credentials.redact("; ".join(dict.fromkeys(failures)))
        return TokenTimeoutError(
            f"no access token from {domain}: this call waited for token requests of others, and gave up"
            f" ({reasons[:600]}). Check that its token endpoint is reachable and responds in time, or give"
            " the call a longer timeout.",
            domain,
        )

    # Retiring tokens, and recording responses.

    def drop(self, token: Token | None) -> None:
        """Retire *token* if it is in use, so that the next request fetches another one."""
        with self._lock:
            if self.token is token:
                self._remember(token)
                self.token = None

    def _remember(self, token: Token | None) -> None:
        """Remember a retired *token* as one of ours. The caller holds the lock."""
        if token is not None:
            self._retired = (*self._retired, token)[-_RETIRED_REMEMBERED:]

    def forget(self) -> None:
        """Retire the token in use, and end the pause of the token endpoint."""
        self._endpoint_pause = EndpointPause()
        self.drop(self.token)

    def token_in(self, authorization: str | bytes | None) -> Token | None:
        """Return our token, in use or retired, in this ``Authorization`` header; else None."""
        text = authorization.decode("latin-1") if isinstance(authorization, bytes) else authorization
        for token in (self.token, *reversed(self._retired)):
            if token is not None and token.authorization == text:
                return token
        return None

    def _is_known(self, token: Token) -> bool:
        return self.token_in(token.authorization) is not None

    def record_no_response(self, token: Token) -> None:
        """Record that a call with *token* has ended without a response.

        An event hook of httpx that raises for a 401 hides it from us, and looks like this. In requests our
        hook runs first.
        """
        if token.expires_at is None or token.is_expired():
            self.renews_expired = True
            self.drop(token)

    def record_response(self, operation: Operation, token: Token | None, *, is_401: bool) -> None:
        """Record a 401, or any other response to a replay.

        Args:
            operation: What was called.
            token: The token that the request carried; None if it was none of ours.
            is_401: Whether it is a 401.
        """
        if token is None:
            return
        must_warn = False
        with self._lock:
            if not is_401:
                self._throttle.record_renewal_helped(operation, token.number)
            elif token is self.token:  # else it may have expired long ago, and says nothing about permission
                must_warn = self._throttle.record_rejection(operation, token.number, time.monotonic())
        if must_warn:
            warn_of_missing_permission(self.credentials, operation)

    def is_throttled(self, operation: Operation, rejected: Token | None) -> bool:
        """Return whether *operation* must not cost a token request now, as it probably lacks permission."""
        is_expired = rejected is not None and rejected.is_expired()
        return not is_expired and self._throttle.is_throttled(operation, time.monotonic())

    def may_have_newer(self, rejected: Token | None) -> bool:
        """Return whether a newer token than *rejected* is there, or may be in the cache."""
        return self._cache is not None or (self.token is not None and self.token is not rejected)


def _failure_of(error: BaseException, leader: Caller) -> str | None:
    """Return what made a token request fail, as a text; None if its caller was cancelled.

    httpx does not pass an exception of its transport to a flow, but closes it. In a thread, that exception
    is the context of GeneratorExit. In a task it is not, but we can see whether the task is being cancelled.
    """
    cause: BaseException | None = error
    while isinstance(cause, GeneratorExit):
        cause = cause.__context__
    if isinstance(cause, Exception):
        return describe(cause)
    return "the connection failed" if cause is None and not leader.is_cancelled() else None


_living: Final[weakref.WeakSet[Renewal]] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    # A thread that the child does not have may hold the lock or lead the flight.
    for renewal in list(_living):
        renewal._lock = threading.RLock()
        renewal._flight = None


if hasattr(os, "register_at_fork"):  # pragma: no branch - not on Windows
    os.register_at_fork(after_in_child=_after_fork_in_child)
