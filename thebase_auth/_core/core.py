# The state and the rules of one auth object.
#
# Here: must a request be signed, and what does its answer say. The only module of the core that reads a
# clock. Not here: how a caller gets a token (caller), and what a 401 means (attempt).

from __future__ import annotations

import itertools
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from . import notices
from .backoff import Operation
from .bodies import LARGE, ONCE, Body
from .credentials import Credentials
from .errors import PlainHTTPError, ReplayError
from .notices import logger
from .origin import Destination
from .shared_token import SharedToken
from .token import Token

if TYPE_CHECKING:
    from thebase_auth.caches import TokenCache
    from thebase_auth.caches._coordinator import Coordinator

_numbers: Final = itertools.count()


class Core:
    """The state and the rules of one auth object. A copy has the same settings and its own token."""

    def __init__(self, credentials: Credentials, *, timeout: float, cache: TokenCache | None) -> None:
        self.credentials: Final = credentials
        self.now: Final = time.monotonic  # the core's clock, which never goes back
        self.shared: Final = SharedToken(has_cache=cache is not None)
        self.strikes: Final = self.shared.backoff.strikes  # the same dict, to be looked at without the lock
        origin = credentials.origin
        # Short cuts of `must_sign` for the adapters, which say yes only where it would.
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
        self.hook: Any = None  # requests' hook for bodies in memory, made once; a copy has another
        self.number: Final = next(_numbers)
        self._warned_of_unsigned = False

    def __reduce__(self) -> tuple[Any, ...]:
        # In a function, which a deep copy does not copy, for the cache is there to be shared.
        return partial(Core, self.credentials, timeout=self.timeout, cache=self._cache), ()

    def must_sign(self, url: str) -> bool:
        """Whether to sign a request to *url*.

        Raises:
            PlainHTTPError: if it goes to the domain over plain http.
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

    def is_ours(self, url: str) -> bool:
        """Whether *url* is on the domain. After a redirect, a signed request may have gone elsewhere."""
        return self.credentials.origin.destination(url) is Destination.OURS

    def note_unsigned_401(self, host: str) -> None:
        """Take note that another host has answered an unsigned request with 401."""
        if not self._warned_of_unsigned:
            self._warned_of_unsigned = True
            notices.of_unsigned_401(self.credentials, host)

    def note_answer(self, status: int, operation: Operation) -> None:
        """Take note of the answer to a signed request. Trouble on the way says nothing about its token."""
        if status < 500 and status not in {401, 407, 429}:
            self.shared.accepted(operation)

    def expired_token_for(self, body: Body, length: int | None) -> Token | None:
        """The current token if it has expired and is not worth a try with this body, else None.

        A body that can be sent only once could not be replayed after a 401. With a long one, the 401 may
        be lost while the body is still being sent, and the body would travel twice.
        """
        token = self.shared.token
        risky = body is ONCE or (length is not None and length > LARGE)
        return token if risky and token is not None and token.past_its_time(time.time()) else None

    def note_unanswered(self, token: Token) -> None:
        """Take note that a call with *token* ended without an answer: drop the token if it has expired."""
        if token.past_its_time(time.time()):
            self.shared.drop(token)

    def cannot_replay(self, operation: Operation) -> ReplayError:
        """The error for a 401 that can be neither replayed nor returned."""
        domain = self.credentials.domain
        return ReplayError(
            f"{domain} refused the access token of {operation} (401), and its body changed before it could be"
            " sent again with a new token; make the call again",
            domain,
        )
