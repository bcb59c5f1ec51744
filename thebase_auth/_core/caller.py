# How one caller gets a token: it takes the token in use, waits for another caller, or leads.
#
# Here: the way to a token, in steps that the adapters take: they send and wait. Not here: who leads
# (shared_token), and what a leader does at a cache (the coordinator).

from __future__ import annotations

import random
from collections.abc import Callable, Generator
from typing import Any, Final, Generic, TypeAlias, TypeVar, assert_never, cast

from . import notices
from .backoff import Operation
from .core import Core
from .errors import TokenRequestError, TokenTimeoutError
from .notices import logger
from .pending import Pending, Task, WaitFor
from .shared_token import Fetch, Flight, Keep401, Wait, copied
from .time_budget import TimeBudget
from .token import Token

_OUT_OF_STEP: Final = 0.05  # seconds

AdapterStep = TypeVar("AdapterStep")
#: Sends a token request within these timeouts (seconds, by phase), and returns its token.
FetchSteps: TypeAlias = Callable[[dict[str, float]], Generator[AdapterStep, Any, Token]]


class Caller(Generic[AdapterStep]):
    """One call that needs a token."""

    def __init__(
        self,
        core: Core,
        fetch: FetchSteps[AdapterStep],
        timeouts: dict[str, object],
        *,
        task: Task | None = None,
        is_shared: Callable[[Exception], bool] = lambda _: False,
    ) -> None:
        """Take what this call brings along; its time begins when it asks for a token.

        Args:
            core: The auth object's core.
            fetch: Sends the token request, in steps of the adapter's own; all other steps are `WaitFor`.
            timeouts: The timeouts of the call, in seconds, by phase: ``connect``, ``read``, and whatever else
                the HTTP library has.
            task: The asking task, or None for a caller that blocks its thread.
            is_shared: Whether all who wait would fail like this too. Not after a timeout, since they may have
                more time, and not with an exception of another library.
        """
        self._core = core
        self._shared = core.shared
        self._fetch = fetch
        self._task = task
        self._is_shared = is_shared
        self.budget: Final = TimeBudget(timeouts, default=core.timeout)
        self._now = 0.0  # as of the last look at the clock

    def fresh_token(self, expired: Token | None = None) -> Generator[AdapterStep | WaitFor, Any, Token]:
        """Get a token before a request is sent: a newer one than *expired*, or that if there is no other."""
        try:
            # Never None: back-off applies only to operations.
            return cast("Token", (yield from self.renew(expired, None)))
        except Exception as error:
            if expired is None:
                raise
            logger.debug("going on with an expired access token: %s", type(error).__name__)
            return expired

    def renew(
        self, other_than: Token | None, operation: Operation | None
    ) -> Generator[AdapterStep | WaitFor, Any, Token | None]:
        """Get a token after a 401, or None if it is too early for another renewal, and the 401 stands.

        Args:
            other_than: The token that the server refused; None if it is not known which.
            operation: What refused it, or None if nothing did.
        """
        shared, budget = self._shared, self.budget
        self._now = budget.began = self._core.now()
        if operation in self._core.strikes:
            # Processes that revoke each other's tokens get out of step.
            yield WaitFor(Pending(), random.uniform(0, _OUT_OF_STEP))  # noqa: S311
        given_up = None
        while True:
            decision = shared.ask(
                other_than, operation, self._now, longest=budget.longest, task=self._task, given_up=given_up
            )
            match decision:
                case Token():
                    return decision
                case Keep401():
                    return None
                case Fetch(flight, superseded):
                    return (yield from self._lead(flight, superseded))
                case Wait(flight):
                    left = budget.left(self._now)
                    longest = left / 2 if flight.at_cache else left  # a cache may hold it up
                    yield WaitFor(flight, min(longest, flight.overdue_at - self._now))
                    if flight.token is not None:
                        # By now there may be a newer one.
                        newest = shared.token
                        return flight.token if newest in (None, other_than) else newest
                    if flight.failure is not None and self._shares(flight.failure):
                        raise copied(flight.failure)
                    if flight.at_cache or flight.is_lost():
                        given_up = flight  # and supersede it, if it is still under way
                    self._check_time("for another caller to fetch an access token")
                case _:
                    assert_never(decision)

    def _lead(
        self, flight: Flight, superseded: Flight | None
    ) -> Generator[AdapterStep | WaitFor, Any, Token]:
        try:
            try:
                flight.begun = True
                if superseded is not None:
                    superseded.end()
                return (yield from self._token_of_leader(flight))
            except Exception as error:
                self._shared.abandon(flight, error if self._shares(error) else None)
                raise
            except BaseException:
                self._shared.abandon(flight)
                raise
        finally:
            self._shared.abandon(flight)  # once more, because a signal may have interrupted its end

    def _token_of_leader(self, flight: Flight) -> Generator[AdapterStep | WaitFor, Any, Token]:
        """Get a token from the cache, where there is one, or else from the token endpoint."""
        core, shared = self._core, self._shared
        errand = None
        if core.coordinator is not None:
            errand = yield from core.coordinator.load(flight, self.budget.left(self._now))
            if errand is not None and errand.found is not None:
                return shared.finish(flight, errand.found, now=core.now())
            flight.at_cache = False
            self._check_time("for the token cache, to get an access token")
        resting = shared.error_during_pause(self._now)
        if resting is not None:
            raise resting
        try:
            left = self.budget.timeouts_left(self._now)
            token = yield from self._fetch(left)
            shared.finish(flight, token, now=core.now())
        except TokenRequestError as error:
            failure = shared.note_endpoint_error(error, core.now())
            raise failure from None
        logger.debug("fetched an access token from %s", core.credentials.domain)
        notices.of_fetch(core.credentials, core.number, core.now())
        if errand is not None:
            yield from errand.wait_until_stored(left["read"])
        return token

    def _shares(self, failure: Exception) -> bool:
        return isinstance(failure, TokenRequestError) or self._is_shared(failure)

    def _check_time(self, waited: str) -> None:
        """Read the clock.

        Raises:
            TokenTimeoutError: if this caller has no time left.
        """
        self._now = self._core.now()
        if self.budget.left(self._now) > 0:
            return
        domain = self._core.credentials.domain
        raise TokenTimeoutError(
            f"this call timed out while it waited {waited} for {domain}; if that happens again, the token"
            " endpoint or the cache is too slow, or the timeout of the call too short",
            domain,
        )
