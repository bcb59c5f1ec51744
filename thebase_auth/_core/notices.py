# What goes silently wrong in a program that uses this package, said once, as a warning in the log.
#
# Here: the words of those warnings that are not about one failed call, and when they are due. Not here:
# the errors of calls (errors, token), and what a cache has to say (the coordinator).

from __future__ import annotations

import logging
from typing import Final

from .backoff import Operation
from .credentials import Credentials

logger: Final = logging.getLogger("thebase_auth")

_SHORT_TIME: Final = 60.0  # seconds; the vendor's tokens are good for an hour

# For each URL and client id: which auth object has fetched a token last, and when.
_last_fetch: dict[tuple[str, str], tuple[int, float]] = {}
_warned: set[tuple[str, str]] = set()


def of_fetch(credentials: Credentials, owner: int, now: float) -> None:
    """Warn, once for a client id, when two auth objects have each fetched a token within a minute.

    Args:
        credentials: Whose token it is.
        owner: The number of the auth object.
        now: Seconds on a clock that never goes back.
    """
    key = (credentials.origin.url, credentials.client_id)
    other, before = _last_fetch.get(key, (owner, now))
    _last_fetch[key] = (owner, now)
    if other != owner and now - before < _SHORT_TIME and key not in _warned:
        _warned.add(key)
        logger.warning(
            "several TheBaseAuth objects of this process have each fetched an access token from %s for the"
            " client id %s within a minute. Make one and keep it: one object serves any number of sessions,"
            " clients, threads and tasks, and fetches a token only when one is needed. This is said once.",
            credentials.domain,
            credentials.client_id,
        )


def of_unsigned_401(credentials: Credentials, host: str) -> None:
    """Warn that a request was answered by a 401 because it was not signed."""
    logger.warning(
        "%s answered 401 to a request without an access token: TheBaseAuth signs requests to %s only, and"
        " that is another host. If both are meant to be the same, make the URLs of the requests from"
        " auth.base_url. This is said once.",
        host,
        credentials.domain,
    )


def of_missing_right(credentials: Credentials, operation: Operation) -> None:
    """Warn that an operation refuses one token after another."""
    logger.warning(
        "%s on %s answers 401, and another access token does not change that: the client id %s probably"
        " lacks the right to this call. Check what it may do in TheBase: Settings, Webhooks/API, API token."
        " This is said once; the caller gets the 401, and another token is tried ever more rarely.",
        operation,
        credentials.domain,
        credentials.client_id,
    )
