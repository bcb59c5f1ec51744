# Warnings, each logged once, about what goes wrong silently in a program that uses this package.
#
# Here: the logger, the warnings that are not about one failed call, and when they are due. Not here: errors
# (errors, token), and warnings about a cache (the coordinator).

from __future__ import annotations

import logging
from typing import Final

from .backoff import Operation
from .credentials import Credentials
from .origin import SETTINGS

logger: Final = logging.getLogger("thebase_auth")

# For each token endpoint and client id: the auth object that fetched the last token, and when.
_last_fetch: dict[tuple[str, str], tuple[int, float]] = {}
_warned: set[tuple[str, str]] = set()


def of_fetch(credentials: Credentials, owner: int, now: float) -> None:
    """Warn, once for each client id, if two auth objects have fetched a token within a minute.

    Args:
        credentials: Whose token it is.
        owner: The number of the auth object.
        now: Seconds on a clock that never goes back.
    """
    key = (credentials.token_url, credentials.client_id)
    other, before = _last_fetch.get(key, (owner, now))
    _last_fetch[key] = (owner, now)
    if other != owner and now - before < 60 and key not in _warned:
        _warned.add(key)
        logger.warning(
            "several TheBaseAuth objects of this process have each fetched an access token from %s for the"
            " client id %s within a minute. Make one and keep it: one object serves any number of sessions,"
            " clients, threads and tasks, and fetches a token only when one is needed. This warning is not"
            " repeated.",
            credentials.domain,
            credentials.client_id,
        )


def of_unsigned_401(credentials: Credentials, host: str) -> None:
    """Warn that an unsigned request got a 401."""
    logger.warning(
        "%s answered 401 to a request without an access token: TheBaseAuth signs only requests to %s, which"
        " is another host. If both are meant to be the same, build the URLs of the requests from"
        " auth.base_url. This warning is not repeated.",
        host,
        credentials.domain,
    )


def of_missing_right(credentials: Credentials, operation: Operation) -> None:
    """Warn that an operation refuses one new token after another."""
    logger.warning(
        "%s on %s answers 401 even with a new access token: the client id %s probably lacks the right to this"
        " call. Check its rights in TheBase: %s. The caller gets the 401, and"
        " new tokens are tried more and more rarely. This warning is not repeated.",
        operation,
        credentials.domain,
        credentials.client_id,
        SETTINGS,
    )
