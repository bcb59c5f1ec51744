# What a TheBaseAuth knows and decides, whatever the HTTP library.
#
# Here: is a request ours to sign, which token did it carry, what does its answer say. Not here: how a caller
# comes by a token (caller), and what a 401 means for one request (attempt). The clock of all is read here.

from __future__ import annotations

import itertools
import logging
import time
from typing import TYPE_CHECKING, Any, Final

from . import notices
from .backoff import Operation, is_acceptance
from .bodies import LARGE, ONCE, Body
from .credentials import Credentials
from .errors import PlainHTTPError, ReplayError
from .origin import Destination
from .shared_token import SharedToken
from .token import Token

if TYPE_CHECKING:
    from thebase_auth.caches import TokenCache
    from thebase_auth.caches._coordinator import Coordinator

logger: Final = logging.getLogger("thebase_auth")

_numbers: Final = itertools.count()


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
        self.timeout = timeout
        self._cache = cache
        self.coordinator: Coordinator | None = None
        if cache is not None:
            from thebase_auth.caches._coordinator import Coordinator

            self.coordinator = Coordinator(cache, credentials, self.shared)
        self.number: Final = next(_numbers)
        self._warned_of_unsigned = False

    def __reduce__(self) -> tuple[Any, ...]:
        return _made_anew, (self.credentials, self.timeout, self._cache)

    def __deepcopy__(self, memo: object) -> Core:
        # The cache stays the same one: it is there to be shared, and may have sockets and locks.
        return _made_anew(self.credentials, self.timeout, self._cache)

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
        return self.coordinator is not None and self.coordinator.has_given(token)

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
        return float(timeout) if isinstance(timeout, (int, float)) else self.timeout

    def cannot_replay(self, operation: Operation) -> ReplayError:
        """The error for a 401 that can be neither replayed nor given back."""
        domain = self.credentials.domain
        return ReplayError(
            f"{domain} refused the access token of {operation} (401), and the body changed while another"
            " was fetched, so that it was not sent again; send it once more as you mean it",
            domain,
        )

    def now(self) -> float:
        """Seconds on the clock of `SharedToken` and `TimeBudget`, which never goes back."""
        return time.monotonic()


def _made_anew(credentials: Credentials, timeout: float, cache: TokenCache | None) -> Core:
    return Core(credentials, timeout=timeout, cache=cache)
