"""Callers of a `Renewal` whose steps a test takes by hand."""

from __future__ import annotations

import itertools
from collections.abc import Generator
from typing import Any

from tests.support.token_responses import CREDENTIALS, DOMAIN
from thebase_auth._core.errors import TokenRequestError
from thebase_auth._core.flight import Caller, Event, Wait
from thebase_auth._core.renewal import Renewal
from thebase_auth._core.throttle import Operation
from thebase_auth._core.token import Token

LONG = 30.0  # seconds; longer than anything here takes
TIMEOUT = 8.0  # seconds
USERS, LEADS = "GET /v2/users", "POST /v2/leads"
LOOP = object()
_FETCH = object()

_threads = itertools.count(-1, -1)  # no thread has these numbers


def a_renewal(cache: Any = None, timeout: float = LONG) -> Renewal:
    return Renewal(CREDENTIALS, timeout, cache)


def a_rejection(status: int = 401, error: str | None = "invalid_client", **said: Any) -> TokenRequestError:
    return TokenRequestError("no", DOMAIN, status, error, **said)


def a_thread() -> Caller:
    """Return a caller that blocks a thread of its own."""
    caller = Caller()
    caller._thread = next(_threads)
    return caller


def a_task(loop: object = LOOP) -> Caller:
    """Return another task of an event loop of this thread."""
    return Caller(object(), loop)


class Driven:
    """A caller, driven by hand: what it does now, and what has come of it.

    Attributes:
        waits_for: The event for which it waits, or None.
        is_fetching: Whether it has sent a token request.
        result: The token that it got.
        error: The exception that it raised.
        is_done: Whether it has finished.
    """

    def __init__(
        self,
        renewal: Renewal,
        rejected: Token | None = None,
        operation: Operation | None = None,
        *,
        caller: Caller | None = None,
        timeout: float = TIMEOUT,
    ) -> None:
        self.caller = caller or a_thread()
        self.caller.timeout, self.caller.fetch = timeout, self._fetch
        self.result: Token | None = None
        self.error: BaseException | None = None
        self.is_done = False
        self.fetches = 0
        may_fetch = operation is None or not renewal.is_throttled(operation, rejected)
        self._steps = renewal.steps(self.caller, rejected, may_fetch=may_fetch)
        self._step: Any = None
        self.go_on()

    def _fetch(self) -> Generator[Any, Any, Token]:
        self.fetches += 1
        outcome = yield _FETCH
        if isinstance(outcome, BaseException):
            raise outcome
        token: Token = outcome
        return token

    def go_on(self, outcome: Token | BaseException | None = None) -> None:
        """Take the next step: the wait is over, or the token request ends with *outcome*."""
        assert not self.is_done
        assert (self._step is _FETCH) == (outcome is not None)
        try:
            self._step = self._steps.send(outcome)
        except StopIteration as end:
            self.result, self.is_done, self._step = end.value, True, None
        except BaseException as error:
            self.error, self.is_done, self._step = error, True, None

    def cancel(self) -> None:
        """Close it where it is, as httpx closes a flow."""
        self._steps.close()
        self.is_done, self._step = True, None

    @property
    def is_fetching(self) -> bool:
        return self._step is _FETCH

    @property
    def waits_for(self) -> Event | None:
        return self._step.event if isinstance(self._step, Wait) else None

    def time_out(self) -> float:
        """Let time pass until it stops waiting for this event, and return the seconds."""
        event, seconds = self.waits_for, 0.0
        assert event is not None
        while self.waits_for is event:
            seconds += self._step.seconds
            self.go_on()
        return seconds


def renew(renewal: Renewal, token: Token | None = None, rejected: Token | None = None) -> Token:
    """Fetch a token with nobody else around, and return it."""
    token = token or Token("fetched")
    leader = Driven(renewal, rejected or renewal.token)
    leader.go_on(token)
    assert leader.result is token
    return token
