# What a TheBaseAuth knows and decides, whatever the HTTP library.
#
# Here: is a request ours to sign, what did its answer refuse, and how a caller comes by another token: in
# steps that the adapters take, each in its own way of sending and waiting. Not here: sending anything (the
# adapters), who fetches a token (shared_token), and what a 401 means for one request (attempt).

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, Final, TypeAlias, assert_never

from . import notices
from .backoff import Operation, is_acceptance
from .bodies import LARGE, ONCE, Body
from .credentials import Credentials
from .errors import PlainHTTPError, ReplayError, TokenRequestError, TokenTimeoutError
from .origin import Destination
from .pending import Task, WaitFor
from .shared_token import Fetch, Flight, Keep401, SharedToken, Wait, copied
from .time_budget import TimeBudget
from .token import Token

if TYPE_CHECKING:
    from thebase_auth.caches import TokenCache
    from thebase_auth.caches._coordinator import Coordinator

logger: Final = logging.getLogger("thebase_auth")

_numbers: Final = itertools.count()

#: Sends a token request within these timeouts (seconds, by phase), and gives the token that it brings.
FetchSteps: TypeAlias = Callable[[dict[str, float]], Generator[Any, Any, Token]]


class Core:
    """The state and the rules of one auth object. A copy has the same settings and its own token."""

    def __init__(self, credentials: Credentials, *, timeout: float, cache: TokenCache | None) -> None:
        self.credentials: Final = credentials
        self.shared: Final = SharedToken()
        self.strikes: Final = self.shared.backoff.strikes  # of which an acceptance is news
        origin = credentials.origin
        self.url_prefix: Final = origin.url + "/"
        self.scheme: Final = origin.scheme
        self.raw_host: Final = origin.host.strip("[]").encode("ascii")
        self.url_port: Final = None if origin.netloc == origin.host else origin.port
        self._timeout = timeout
        self._cache = cache
        self._coordinator: Coordinator | None = None
        if cache is not None:
            from thebase_auth.caches._coordinator import Coordinator

            self._coordinator = Coordinator(cache, credentials, self.shared)
        self._number = next(_numbers)
        self._warned_of_unsigned = False

    def __reduce__(self) -> tuple[Any, ...]:
        return _made_anew, (self.credentials, self._timeout, self._cache)

    def __deepcopy__(self, memo: object) -> Core:
        # The cache stays the same one: it is there to be shared, and may have sockets and locks.
        return _made_anew(self.credentials, self._timeout, self._cache)

    def must_sign(self, url: str) -> bool:
        """Whether a request to *url* is to be signed.

        Raises:
            PlainHTTPError: if it goes to the domain itself over plain http.
        """
        destination = self.credentials.origin.destination(url)
        if destination is Destination.PLAIN_HTTP:
            domain = self.credentials.domain
            raise PlainHTTPError(
                f"a request to {domain} over http:// was not sent, because anyone on the way could read"
                " its token; write https:// in its URL",
                domain,
            )
        if destination is Destination.ELSEWHERE:
            logger.debug("left a request unsigned: it does not go to %s", self.credentials.domain)
        return destination is Destination.OURS

    def is_own(self, url: str) -> bool:
        """Whether a request that was sent went to the domain: after a redirect it need not have."""
        return self.credentials.origin.destination(url) is Destination.OURS

    def token_in(self, authorization: str | bytes | None) -> Token | None:
        """The token of ours in the header of a request that was sent; None if it is not one of ours.

        After a redirect, or a renewal by another caller, that need not be the one first put on it.
        """
        if isinstance(authorization, bytes):
            authorization = authorization.decode("latin-1")
        return self.shared.known(authorization or "")

    def note_unsigned_401(self, host: str) -> None:
        """Take note that another host has answered an unsigned request by a 401."""
        if not self._warned_of_unsigned:
            self._warned_of_unsigned = True
            notices.of_unsigned_401(self.credentials, host)

    def note_answer(self, status: int, operation: Operation) -> None:
        """Take note of an answer other than 401 to a signed request."""
        if is_acceptance(status):
            self.shared.accepted(operation)

    def came_from_cache(self, token: Token) -> bool:
        """Whether *token* came from the cache. Only the first use shows whether it is still good."""
        return self._coordinator is not None and self._coordinator.has_given(token)

    def too_old_for(self, body: Body, length: int | None) -> Token | None:
        """The current token, if it is past its time and must not be risked on this body.

        The 401 to a body that can be sent once could not be replayed. That to a long one may be lost
        while it is still being sent, and the body would travel twice.
        """
        token = self.shared.token
        risky = body is ONCE or (length is not None and length > LARGE)
        return token if risky and token is not None and token.past_its_time(time.time()) else None

    def note_unanswered(self, token: Token) -> None:
        """Take note that a call with *token* ended without an answer, which may have been a 401."""
        if token.past_its_time(time.time()):
            self.shared.drop(token)

    def seconds_to_read(self, timeout: object) -> float:
        """How long a 401 is read: the call's read timeout, or ours where it has none."""
        return float(timeout) if isinstance(timeout, (int, float)) else self._timeout

    def cannot_replay(self, operation: Operation) -> ReplayError:
        """The error for a 401 that can be neither replayed nor given back."""
        domain = self.credentials.domain
        return ReplayError(
            f"{domain} refused the access token of {operation} (401), and the body changed while another"
            " was fetched, so that it was not sent again; send it once more as you mean it",
            domain,
        )

    def token_steps(
        self,
        fetch: FetchSteps,
        timeouts: dict[str, object],
        *,
        refused: Token | None = None,
        operation: Operation | None = None,
        task: Task | None = None,
        is_shared: Callable[[Exception], bool] = lambda _: False,
    ) -> Generator[Any, Any, Token | None]:
        """Get a token other than *refused*: another caller's, or else one that we fetch.

        Args:
            fetch: Sends the token request. Its steps are the adapter's own; all others are `WaitFor`.
            timeouts: Those of the call, in seconds, by the HTTP library's name for each phase.
            refused: The token that the server refused, or None to take any.
            operation: What refused it, or None if nothing did.
            task: The asking task, or None for a caller that blocks its thread.
            is_shared: Whether a failure of the transport is one that all who wait would have too: not a
                timeout, since they may have more time, nor an exception of another library.

        Returns:
            The token; None only for an *operation* on whose account none is fetched now.
        """
        now = self.now()
        budget = TimeBudget(timeouts, default=self._timeout, now=now)
        superseded = None
        while True:
            step = self.shared.ask(
                refused,
                operation=operation,
                now=now,
                lease=budget.lease,
                task=task,
                superseded=superseded,
            )
            match step:
                case Token():
                    return step
                case Keep401():
                    return None
                case Fetch(flight):
                    return (yield from self._lead(flight, fetch, budget, now, is_shared))
                case Wait(flight):
                    yield self._wait_for(flight, budget, now)
                    if flight.token is not None:
                        # There may be a newer one by now.
                        newest = self.shared.token
                        return flight.token if newest in (None, refused) else newest
                    failure = flight.failure
                    if failure is not None and (isinstance(failure, TokenRequestError) or is_shared(failure)):
                        raise copied(failure)
                    if flight.at_cache or flight.is_lost():
                        superseded = flight
                    now = self._now_within(budget)
                case _:
                    assert_never(step)

    def now(self) -> float:
        """Seconds on the clock of `SharedToken` and `TimeBudget`, which never goes back."""
        return time.monotonic()

    def _lead(
        self,
        flight: Flight,
        fetch: FetchSteps,
        budget: TimeBudget,
        now: float,
        is_shared: Callable[[Exception], bool],
    ) -> Generator[Any, Any, Token]:
        """Get a token from the cache, where there is one, or else from the token endpoint."""
        # A signal may interrupt a finally clause. So there are two, and the flight ends all the same.
        try:
            try:
                flight.begun = True
                return (yield from self._token_of_leader(flight, fetch, budget, now))
            except Exception as error:
                if isinstance(error, TokenRequestError) or is_shared(error):
                    self.shared.fail(flight, error)
                raise
            finally:
                self.shared.abandon(flight)
        finally:
            self.shared.abandon(flight)

    def _token_of_leader(
        self, flight: Flight, fetch: FetchSteps, budget: TimeBudget, now: float
    ) -> Generator[Any, Any, Token]:
        errand = None
        if self._coordinator is not None:
            flight.at_cache = True
            errand = yield from self._coordinator.load(flight, budget.left(now))
            if errand is not None and errand.found is not None:
                return self.shared.finish(flight, errand.found, now=self.now(), fetched=False)
            flight.at_cache = False
            now = self._now_within(budget)
        resting = self.shared.rest_of_endpoint(now)
        if resting is not None:
            raise resting
        try:
            left = budget.timeouts_left(now)
            token = yield from fetch(left)
            self.shared.finish(flight, token, now=self.now())
        except TokenRequestError as error:
            failure = self.shared.refused_by_endpoint(error, self.now())
            raise failure from None
        logger.debug("fetched an access token from %s", self.credentials.domain)
        notices.of_fetch(self.credentials, self._number, self.now())
        if errand is not None:
            yield from errand.wait_until_stored(left["read"])
        return token

    def _wait_for(self, flight: Flight, budget: TimeBudget, now: float) -> WaitFor:
        """How long to wait for another caller: half the time, while that one may be held up at a cache."""
        left = budget.left(now)
        longest = left / 2 if flight.at_cache else left
        return WaitFor(flight, min(longest, flight.lapses_at - now))

    def _now_within(self, budget: TimeBudget) -> float:
        """The time by now, for a caller that has time left.

        Raises:
            TokenTimeoutError: if it has none left.
        """
        now = self.now()
        if budget.left(now) > 0:
            return now
        domain = self.credentials.domain
        raise TokenTimeoutError(
            f"the timeout of this call is over while it waited for another caller to fetch an access"
            f" token from {domain}; if that repeats, the token endpoint answers too slowly or not at all",
            domain,
        )


def _made_anew(credentials: Credentials, timeout: float, cache: TokenCache | None) -> Core:
    return Core(credentials, timeout=timeout, cache=cache)
