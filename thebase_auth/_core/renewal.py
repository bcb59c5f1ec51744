# The token that all callers of one auth object share: who fetches it, who waits, and when a 401 is final.
#
# A caller without a good token asks `Renewal.steps`. It becomes the leader of a flight, which is one token request, or it
# waits for the flight of another caller. Nothing is handed from a leader to a particular waiter: when a flight is
# done, with a token or without one, all its waiters ask again. So it does not matter who else is cancelled, times
# out or is lost. These are the ways in which a flight ends:
#   1. with a token, which all waiters use;
#   2. with a response that has no token: all waiters raise the same error;
#   3. with a connection failure or a timeout: the leader raises it, and the next waiter leads;
#   4. its leader is cancelled, or cannot go on while the asking caller waits: somebody else leads;
#   5. a waiter has waited for it for half of its time, and leads in its place.
#
# Shared by all callers, and written under Renewal._lock: token, _flight, _retired, renews_expired, the pause of the
# token endpoint, and the throttle. The lock is never held across I/O, an await or a user's code. It is reentrant,
# since a signal handler or the garbage collector may ask for a token anywhere.

from __future__ import annotations

import itertools
import os
import threading
import time
import weakref
from collections.abc import Callable, Generator
from functools import partial
from typing import Any, Final, Protocol, TypeAlias

from .credentials import Credentials
from .errors import TokenRequestError, TokenTimeoutError
from .flight import Caller, Event, Flight, wait_for
from .throttle import Operation, Pause, Throttle
from .token import Token
from .warnings import logger, record_fetch, warn_of_missing_permission

_LONGEST_PAUSE: Final = 60.0  # seconds, of the token endpoint
_RETIRED_REMEMBERED: Final = 256  # tokens
#: How the token endpoint rejects a client (RFC 6749 section 5.2) or asks it to slow down; 200: with an `error`.
_REJECTIONS: Final = {200, 400, 401, 403, 429}


class CacheWork(Protocol):
    """The work at a cache for one flight, in the background; see `caches`."""

    looked: Event
    finished: Event
    found: Token | None

    def give_up(self, seconds: float) -> None: ...


class SharedCache(Protocol):
    """What `Renewal` needs of a cache."""

    def start(
        self, flight: Flight, seconds: float, is_known: Callable[[Token], bool], *, may_lock: bool
    ) -> CacheWork | None: ...


_numbers: Final = itertools.count()  # of auth objects

Steps: TypeAlias = Generator[Any, Any, Token]


class Renewal:
    """The token that all callers of one auth object share, and the right to fetch the next one.

    Attributes:
        token: The token in use, or None.
        renews_expired: Whether an expired token is renewed before it is sent with any request.
        timeout: Seconds: the upper bound of each phase of a token request, and of waiting for others.
    """

    def __init__(self, credentials: Credentials, timeout: float, cache: SharedCache | None) -> None:
        self.token: Token | None = None
        self.renews_expired = False
        self.timeout: Final = timeout
        self._credentials: Final = credentials
        self._cache: Final = cache
        self._number: Final = next(_numbers)
        self._numbers: Final = itertools.count(1)  # of flights
        self._flight: Flight | None = None
        self._retired: tuple[Token, ...] = ()  # rejected or replaced
        self._endpoint_error: TokenRequestError | None = None  # during the pause
        self._endpoint_pause = Pause(_LONGEST_PAUSE)
        self._throttle: Final = Throttle()
        self._lock = threading.RLock()
        _living.add(self)

    def __reduce__(self) -> tuple[Any, ...]:
        # A copy has its own token. A partial, because deepcopy does not copy functions and the cache must stay shared.
        return partial(Renewal, self._credentials, self.timeout, self._cache), ()

    def steps(
        self,
        rejected: Token | None,
        operation: Operation | None,
        fetch: Callable[[], Steps],
        caller: Caller,
    ) -> Generator[Any, Any, Token | None]:
        """Obtain a token, in steps: each is a `Wait`, or one of the adapter's `fetch`.

        Args:
            rejected: A token that is of no use; None to take any.
            operation: What it was rejected for; None if nothing was.
            fetch: Sends a token request, and returns its token.
            caller: Who asks.

        Returns:
            The token; None if *operation* must not cost a token request now, and nobody has a newer token.

        Raises:
            TokenRequestError: if the token endpoint responds without a token, or did so and there is a pause.
            TokenTimeoutError: if two token requests of others have failed or taken too long, while this
                caller waited for them.
        """
        throttled = operation is not None and self.is_throttled(operation, rejected)
        left = caller.timeout
        failures: list[str] = []
        passed_over: Flight | None = None
        while True:
            token, flight = self.token, self._flight
            if token is not None and token is not rejected:
                return token
            if flight is not None and not flight.leader.can_go_on_while_waiting(caller):
                passed_over = flight
            must_lead = flight is None or flight is passed_over
            if len(failures) == 2 or (left <= 0 and not must_lead):
                if throttled:
                    return None
                raise self._gave_up(failures)
            if must_lead:
                own = Flight(next(self._numbers), caller)
                try:  # It encloses the assignment in _claim: an interruption must not leave the flight without an end.
                    if self._claim(own, token, flight):
                        return (yield from self._lead(own, fetch, throttled=throttled))
                finally:
                    self._end(own)
                continue
            assert flight is not None
            seconds = min(caller.timeout / 2, left)
            left -= yield from wait_for(flight, seconds, caller)
            if flight.error is not None and not throttled:
                raise flight.error.with_retry_after(flight.error.retry_after)
            if flight.done:
                # A caller with less time than this one may have failed for that reason alone.
                if flight.failure and flight.leader.timeout >= caller.timeout:
                    failures.append(flight.failure)
            elif flight.leader.can_go_on_while_waiting(caller):
                passed_over = flight
                failures.append(f"another one took more than {seconds:g} seconds")

    def _lead(
        self, flight: Flight, fetch: Callable[[], Steps], *, throttled: bool
    ) -> Generator[Any, Any, Token | None]:
        """Obtain a token from the cache, if there is one, or else from the token endpoint."""
        half = flight.leader.timeout / 2
        work = None
        if self._cache is not None:
            work = self._cache.start(flight, half, self._is_known, may_lock=not throttled)
        if work is not None:
            yield from wait_for(work.looked, half)
            if work.found is not None:
                return self._use(flight, work.found)
            if not work.looked.done:
                work.give_up(half)
                work = None
        if throttled:
            return None
        error = self._error_during_pause()
        if error is None:
            try:
                token = yield from fetch()
            except TokenRequestError as response:
                error = self._record_error(response)
            except BaseException as failure:
                flight.failure = _failure_of(failure)
                raise
        if error is not None:
            flight.error = error
            raise error.with_retry_after(error.retry_after)
        token = self._use(flight, token)
        logger.debug("fetched an access token from %s", self._credentials.domain)
        if self._cache is None:
            record_fetch(self._credentials, self._number)
        if work is not None:
            # The process may end right after this call, and the background work with it.
            yield from wait_for(work.finished, half)
            if not work.finished.done:
                work.give_up(half)
        return token

    def _claim(self, own: Flight, token: Token | None, flight: Flight | None) -> bool:
        """Make *own* the flight in the place of *flight*, unless something has changed since the caller looked."""
        with self._lock:
            is_unchanged = self.token is token and self._flight is flight
            if is_unchanged:
                self._flight = own
        if is_unchanged and flight is not None:
            flight.finish()
        return is_unchanged

    def _use(self, flight: Flight, token: Token) -> Token:
        """Put the token of *flight* into use, wake all who wait for one, and return the newest token.

        The token of a flight whose leader was passed over arrives late. It is used all the same, unless a flight that
        has started later was faster.
        """
        token.number = flight.number
        with self._lock:
            other, current = self._flight, self.token
            is_newest = current is None or current.number < token.number
            retired = current if is_newest else token
            if retired is not None:
                self._retired = (*self._retired, retired)[-_RETIRED_REMEMBERED:]
            if is_newest:
                self.token = token
                self._flight = None
        if not token.is_from_cache:
            self._end_pause()
        flight.token = token
        flight.finish()
        if is_newest and other is not None:
            other.token = token
            other.finish()
        return self.token or token

    def _end(self, flight: Flight) -> None:
        """End *flight*, whatever has become of it."""
        with self._lock:
            if self._flight is flight:
                self._flight = None
        flight.finish()

    def _gave_up(self, failures: list[str]) -> TokenTimeoutError:
        domain = self._credentials.domain
        what_failed = "; ".join(failures) or "their callers were cancelled"
        return TokenTimeoutError(
            f"no access token from {domain}: this call waited for the token requests of other callers, and gave up"
            f" ({self._credentials.redact(what_failed)}). Check that the token endpoint of {domain} can be reached"
            " and responds in time, or give the call a longer timeout.",
            domain,
        )

    # The pause of the token endpoint.

    def _record_error(self, error: TokenRequestError) -> TokenRequestError:
        """Record a response without a token, and return the error with the seconds of the pause that follows."""
        if error.status not in _REJECTIONS or (error.status == 200 and not error.error):
            return error.with_retry_after(None)
        with self._lock:
            seconds = self._endpoint_pause.start(time.monotonic(), error.retry_after)
            self._endpoint_error = error.with_retry_after(seconds)
        return error.with_retry_after(seconds)

    def _error_during_pause(self) -> TokenRequestError | None:
        error, left = self._endpoint_error, self._endpoint_pause.left(time.monotonic())
        return None if error is None or left <= 0 else error.with_retry_after(left)

    def _end_pause(self) -> None:
        self._endpoint_error = None
        self._endpoint_pause = Pause(_LONGEST_PAUSE)

    def forget(self) -> None:
        """Retire the token in use, and end the pause of the token endpoint."""
        self._end_pause()
        self.drop(self.token)

    # What becomes of a token.

    def drop(self, token: Token | None) -> None:
        """Retire *token* if it is in use, so that the next request fetches another one."""
        with self._lock:
            if token is not None and self.token is token:
                self._retired = (*self._retired, token)[-_RETIRED_REMEMBERED:]
                self.token = None

    def token_in(self, authorization: str | bytes | None) -> Token | None:
        """Return the token, in use or retired, in this ``Authorization`` header; None if it is not one of ours."""
        text = authorization.decode("latin-1") if isinstance(authorization, bytes) else authorization
        for token in (self.token, *reversed(self._retired)):
            if token is not None and token.authorization == text:
                return token
        return None

    def _is_known(self, token: Token) -> bool:
        return self.token_in(token.authorization) is not None

    def must_renew_first(self, token: Token, can_be_replayed: Callable[[], bool]) -> bool:
        """Return whether *token* has expired, and must not be tried with a request.

        Args:
            token: The token in use.
            can_be_replayed: Whether the request can safely be sent again after a 401.
        """
        return token.is_expired() and (self.renews_expired or not can_be_replayed())

    def record_no_response(self, token: Token) -> None:
        """Record that a call with *token* has ended without a response.

        An event hook of httpx that raises for a 401 hides it from us, and looks like this.
        """
        if token.expires_at is None or token.is_expired():
            self.renews_expired = True
            self.drop(token)

    def record_response(self, operation: Operation, token: Token | None, *, rejected: bool) -> None:
        """Record a 401, or that a replay was accepted.

        Args:
            operation: What was called.
            token: The token that the request carried; None if it was none of ours.
            rejected: Whether it is a 401.
        """
        if token is None:
            return
        must_warn = False
        with self._lock:
            if rejected:
                must_warn = self._throttle.record_rejection(operation, token.number, time.monotonic())
            else:
                self._throttle.record_renewal_helped(operation, token.number)
        if must_warn:
            warn_of_missing_permission(self._credentials, operation)

    def is_throttled(self, operation: Operation, rejected: Token | None) -> bool:
        """Return whether a 401 must not cost a token request now, since the client probably lacks permission."""
        if rejected is not None and rejected.is_expired():
            return False
        return self._throttle.is_throttled(operation, time.monotonic())

    def is_final(self, operation: Operation, rejected: Token | None) -> bool:
        """Return whether a 401 stands as it is: *operation* is throttled, and there is no newer token to try."""
        has_newer = self.token is not None and self.token is not rejected
        return not has_newer and self._cache is None and self.is_throttled(operation, rejected)


def _failure_of(error: BaseException) -> str | None:
    """Return what made a token request fail, as a text; None if its caller was cancelled.

    A flow of httpx is only closed. Then the exception that ended its request is the context.
    """
    cause: BaseException | None = error
    while isinstance(cause, GeneratorExit):
        cause = cause.__context__
    return f"{type(cause).__name__}: {cause}" if isinstance(cause, Exception) else None


_living: Final[weakref.WeakSet[Renewal]] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    # A thread that the child does not have may hold the lock or lead the flight.
    for renewal in list(_living):
        renewal._lock = threading.RLock()
        renewal._flight = None


if hasattr(os, "register_at_fork"):  # pragma: no branch - not on Windows
    os.register_at_fork(after_in_child=_after_fork_in_child)
