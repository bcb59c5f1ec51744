# What TheBaseAuth is in every HTTP library.
#
# Here: the constructor and its options, the public token, and what can be said and done about one
# request without an HTTP library: is it ours to sign, what did its answer refuse, how does it come by
# another token. Not here: sending anything (the adapters), and who fetches a token (_renewal).

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Generator
from copy import deepcopy
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias

from ._body import LARGE, ONCE, Body
from ._credentials import Credentials
from ._errors import PlainHTTPError, ReplayError, TokenTimeoutError
from ._hidden import hidden
from ._origin import Destination, Origin
from ._patience import Patience
from ._refusals import Endpoint, is_acceptance, lacks_scope
from ._renewal import Flight, KeepRefusal, Lead, Renewal, Task
from ._token import Token, carried_token
from ._waiting import WaitFor

if TYPE_CHECKING:
    from ._sharing import Sharing, Turn
    from .caches import TokenCache

logger: Final = logging.getLogger("thebase_auth")

DEFAULT_TIMEOUT: Final = 30.0  # seconds

#: Sends a token request within these timeouts (seconds, by phase), and gives the token that it brings.
Fetch: TypeAlias = Callable[[dict[str, float]], Generator[Any, Any, Token]]


class AuthCore:
    """Base of every ``TheBaseAuth``: credentials, one shared token, and the rules for using it."""

    def __init__(
        self,
        domain: str,
        client_id: str,
        client_secret: str,
        *,
        cache: TokenCache | None = None,
        timeout: float = DEFAULT_TIMEOUT,
    ) -> None:
        """Check the settings; nothing is sent before the first request.

        Args:
            domain: The domain as TheBase shows it; a host name, with ``https://`` or without.
            client_id: The client id that belongs to it.
            client_secret: The client secret that belongs to the client id.
            cache: Where this process shares the token with others: a `FileTokenCache`, a
                `RedisTokenCache`, or an object of your own with the methods of `TokenCache`. None keeps
                it in memory.
            timeout: Seconds for each phase of a token request (connect, read, write, pool) for which
                the call has no timeout of its own.

        Raises:
            ValueError: if an argument cannot be right; the text says which and what is wrong with
                it, and shows no secret.
            TypeError: if *cache* is no cache.
        """
        client_secret = hidden(client_secret)  # from the variables of a traceback, too
        self._credentials = Credentials(Origin.of_domain(domain), client_id, client_secret)
        self._timeout = _seconds("timeout", timeout)
        self._cache = _checked(cache)
        self._set_up()

    def _set_up(self) -> None:
        """Make what a copy of this object must make for itself, and what saves time later."""
        self._renewal = Renewal(has_cache=self._cache is not None)
        self._sharing: Sharing | None = None
        if self._cache is not None:
            from ._sharing import Sharing

            self._sharing = Sharing(self._cache, self._credentials, self._renewal)
        self._url_prefix = self._credentials.origin.url + "/"

    def __getstate__(self) -> dict[str, Any]:
        # A copy has the credentials and makes the rest for itself: no lock, no token goes along.
        own = {"_renewal", "_sharing"}
        return {name: value for name, value in vars(self).items() if name not in own}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._set_up()

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        # The cache stays the same one: it is there to be shared, and may have sockets and locks.
        memo[id(self._cache)] = self._cache
        copied = type(self).__new__(type(self))
        memo[id(self)] = copied
        copied.__setstate__(deepcopy(self.__getstate__(), memo))
        return copied

    def __repr__(self) -> str:
        if not hasattr(self, "_credentials"):  # refused settings, looked at in a traceback
            return f"<{type(self).__name__}>"
        credentials = self._credentials
        return f"{type(self).__name__}({credentials.domain!r}, client_id={credentials.client_id!r})"

    @property
    def base_url(self) -> str:
        """What the URLs of the domain begin with, such as ``https://acme.thebase.co.il``."""
        return self._credentials.origin.url

    @property
    def token(self) -> Token | None:
        """The current access token, or None before the first request and after `forget`."""
        return self._renewal.token

    def forget(self) -> None:
        """Drop the current token, so that the next request fetches another one."""
        self._renewal.drop()

    def _now(self) -> float:
        """Seconds on the clock of `Renewal` and `Patience`, which never goes back."""
        return time.monotonic()

    def _is_borrowed(self, token: Token) -> bool:
        """Whether *token* came from the cache. Only the first use shows whether it is still good."""
        return self._sharing is not None and any(one is token for one in [*self._sharing.taken])

    def _turn(self) -> Turn | NoTurn:
        """The dealings of a leader with the cache."""
        return NO_TURN if self._sharing is None else self._sharing.turn()

    def _destination(self, url: str) -> Destination:
        """Say what *url* is to the domain.

        Raises:
            PlainHTTPError: if it is the domain itself over plain http.
        """
        destination = self._credentials.origin.destination(url)
        if destination is Destination.PLAIN_HTTP:
            domain = self._credentials.domain
            raise PlainHTTPError(
                f"a request to {domain} over http:// was not sent, because anyone on the way could read"
                " its token; write https:// in its URL",
                domain=domain,
            )
        if destination is Destination.ELSEWHERE:
            logger.debug("left a request unsigned: it does not go to %s", self._credentials.domain)
        return destination

    def _token_for_us(self, url: str, authorization: str | bytes | None) -> str | None:
        """The access token that an answer to this request is about; None if it is not for us.

        It is the token that the request *carried* when it was last sent: after a redirect, or a
        renewal by another caller, that need not be the one first put on it, nor any of ours.
        """
        if self._credentials.origin.destination(url) is not Destination.OURS:
            return None
        return carried_token(authorization)

    def _is_final(self, refused: str, endpoint: Endpoint, challenges: str | None) -> bool:
        """Whether a 401 is left as it is, and unread: a new token would not help, or not yet."""
        must_wait = self._renewal.is_final(refused, endpoint, now=self._now())
        if not must_wait and not lacks_scope(challenges):
            return False
        self._tell_of_refusal(endpoint)
        return True

    def _drop_refused(self, refused: str, endpoint: Endpoint) -> None:
        """Drop the token that a 401 refused which is not going to be replayed."""
        logger.debug(
            "not replaying %s after a 401: its body cannot be sent once more, or the 401 could not be"
            " read to its end; the next request fetches another access token",
            endpoint,
        )
        if self._renewal.drop_refused(refused, endpoint, now=self._now()):
            self._tell_of_refusal(endpoint)

    def _cannot_replay(self, endpoint: Endpoint) -> ReplayError:
        """The error for a 401 that can be neither replayed nor given back."""
        domain = self._credentials.domain
        return ReplayError(
            f"{domain} refused the access token of {endpoint} (401), and the body changed while another one"
            " was fetched, so that it was not sent again; send it once more as you mean it",
            domain=domain,
        )

    def _refused_again(self, token: Token, endpoint: Endpoint) -> None:
        """Take note that the replay, with *token*, was answered by a 401 too."""
        if self._renewal.refused_again(token, endpoint, now=self._now()):
            self._tell_of_refusal(endpoint)

    def _note_acceptance(self, status: int, endpoint: Endpoint) -> None:
        """Take note of an answer other than 401 to a signed request, while any endpoint says no."""
        if endpoint in self._renewal.refusals.entries and is_acceptance(status):
            self._renewal.accepted(endpoint)

    def _tell_of_refusal(self, endpoint: Endpoint) -> None:
        """Warn, once for each endpoint, that it refuses whatever token it gets."""
        if self._renewal.to_be_told(endpoint):
            credentials = self._credentials
            logger.warning(
                "%s on %s answers 401, and another access token does not change that: the client id %s"
                " probably lacks the right to this call. Check what it may do in TheBase: Settings,"
                " Webhooks/API, API token. This is said once; the caller gets the 401, and another token"
                " is tried ever more rarely, if at all.",
                endpoint,
                credentials.domain,
                credentials.client_id,
            )

    def _too_old_for(self, body: Body, length: int | None) -> str | None:
        """The current token, if it is past its time and must not be risked on this body.

        The 401 to a body that can be sent once could not be replayed. That to a long one may be lost while
        it is still being sent, and the body would travel twice.
        """
        token = self._renewal.token
        risky = body is ONCE or (length is not None and length > LARGE)
        if risky and token is not None and token.past_its_time(time.time()):
            return token.access_token
        return None

    def _token_steps(
        self,
        fetch: Fetch,
        timeouts: dict[str, object],
        *,
        refused: str | None,
        endpoint: Endpoint | None = None,
        task: Task | None = None,
    ) -> Generator[Any, Any, Token | None]:
        """Get a token other than *refused*: another caller's, or else one that we fetch.

        Args:
            fetch: Sends the token request. Its steps are the adapter's own; all others are `WaitFor`.
            timeouts: Those of the call, in seconds, by the HTTP library's name for each phase.
            refused: The access token that the server refused, or None to take any.
            endpoint: The endpoint that refused it, or None if it was not refused by any.
            task: The asking task, or None for a caller that blocks its thread.

        Returns:
            The token; None only for an *endpoint* on whose account none is fetched now.
        """
        now = self._now()
        patience = Patience.of_call(timeouts, default=self._timeout, now=now)
        in_vain = None
        while True:
            step = self._renewal.ask(
                refused,
                endpoint=endpoint,
                now=now,
                lease=patience.lease,
                task=task,
                in_vain=in_vain,
            )
            if isinstance(step, Token):
                return step
            if isinstance(step, KeepRefusal):
                return None
            if isinstance(step, Lead):
                return (yield from self._lead(step.flight, fetch, patience, now))
            if (yield self._wait_for(step.flight, patience, now)):
                token = self._renewal.landed(step.flight, refused)
                if token is not None:
                    return token
            in_vain = step.flight
            now = self._still_patient(patience)

    def _lead(
        self, flight: Flight, fetch: Fetch, patience: Patience, now: float
    ) -> Generator[Any, Any, Token]:
        """Bring home a token: from the cache, where there is one, or else from the token endpoint."""
        with flight, self._turn() as turn:
            found = yield from turn.take(patience.left(now))
            if found is not None:
                return flight.land(found, fetched=False)
            flight.at_cache = False
            if turn.waited:
                now = self._still_patient(patience)
            left = patience.timeouts_left(now)
            token = flight.land((yield from fetch(left)), now=self._now())
            yield from turn.give(token, left["read"])
            return token

    def _wait_for(self, flight: Flight, patience: Patience, now: float) -> WaitFor:
        """How long to wait for another caller: half the time, while that one may be held up at a cache."""
        left = patience.left(now)
        longest = left / 2 if flight.at_cache else left
        return WaitFor(flight.landed, min(longest, flight.lapses_at - now))

    def _still_patient(self, patience: Patience) -> float:
        """The time by now, for a caller that waited for another in vain and has time left.

        Raises:
            TokenTimeoutError: if it has none left.
        """
        now = self._now()
        if patience.left(now) > 0:
            return now
        domain = self._credentials.domain
        raise TokenTimeoutError(
            f"the timeout of this call is over while it waited for another caller to fetch an access"
            f" token from {domain}; if that repeats, the token endpoint answers too slowly or not at all",
            domain=domain,
        )


class NoTurn:
    """A leader's dealings with the cache where there is none; see `Turn` in _sharing."""

    waited: Final = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def take(self, seconds: float) -> Generator[WaitFor, bool, None]:  # noqa: ARG002
        """Find nothing."""
        yield from ()

    def give(self, token: Token, seconds: float) -> Generator[WaitFor, bool, None]:  # noqa: ARG002
        """Store nothing."""
        yield from ()


NO_TURN: Final = NoTurn()


def settings_from_env() -> tuple[str, str, str]:
    """Domain, client id and client secret from the environment.

    Raises:
        ValueError: if one of the variables is missing or empty; the text names them all.
    """
    names = ("THEBASE_DOMAIN", "THEBASE_CLIENT_ID", "THEBASE_CLIENT_SECRET")
    missing = [name for name in names if not os.environ.get(name)]
    if missing:
        raise ValueError(f"unset or empty in the environment: {', '.join(missing)}")
    domain, client_id, client_secret = (os.environ[name] for name in names)
    return domain, client_id, client_secret


def _checked(cache: Any) -> Any:
    missing = [
        name for name in ("load", "store", "lock") if not callable(getattr(cache, name, None))
    ]
    if cache is None:
        return None
    if not missing and not isinstance(cache, type):
        from inspect import iscoroutinefunction

        if any(iscoroutinefunction(getattr(cache, name)) for name in ("load", "store", "lock")):
            raise TypeError(
                "cache must have plain methods: they are called in threads, not awaited"
            )
        return cache
    if isinstance(cache, type):
        raise TypeError(f"cache must be a token cache, not a class: write {cache.__name__}(...)")
    if isinstance(cache, (str, os.PathLike)):
        hint = "for a file, give it thebase_auth.caches.FileTokenCache(path)"
    elif hasattr(cache, "execute_command"):
        hint = "for Redis or Valkey, give it thebase_auth.caches.RedisTokenCache(client)"
    else:
        hint = f"it lacks {' and '.join(missing)}, see thebase_auth.caches.TokenCache"
    raise TypeError(f"cache must be a token cache, not {type(cache).__name__}: {hint}")


def _seconds(option: str, value: Any) -> float:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if is_number and 0 < value <= threading.TIMEOUT_MAX:
        return float(value)
    given = repr(value) if is_number else f"of type {type(value).__name__}"
    raise ValueError(
        f"{option} must be a positive number of seconds that the machine can wait; it is {given}"
    )
