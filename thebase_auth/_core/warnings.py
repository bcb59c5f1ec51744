# Warnings, each logged once, of what would otherwise go wrong silently.

from __future__ import annotations

import logging
from collections import Counter
from typing import Final

from .credentials import Credentials
from .origin import SETTINGS
from .throttle import Operation

logger: Final = logging.getLogger("thebase_auth")

# How many auth objects have fetched a token, for each token endpoint and client ID.
_first_fetches: Counter[tuple[str, str]] = Counter()


def record_first_fetch(credentials: Credentials) -> None:
    """Record that an auth object has fetched its first token, and warn if it is the second one to do so."""
    key = (credentials.token_url, credentials.client_id)
    _first_fetches[key] += 1
    if _first_fetches[key] != 2 or credentials.origin.is_loopback:
        return
    logger.warning(
        "several TheBaseAuth objects of this process have each fetched an access token from %s for the"
        " client id %s. Make one and keep it: one object serves any number of sessions, clients, threads"
        " and tasks, and fetches a token only when one is needed. This warning is not repeated.",
        credentials.domain,
        credentials.client_id,
    )


def warn_of_unsigned_401(credentials: Credentials, host: str) -> None:
    """Warn that a request to another host than the domain, and so without a token, got a 401."""
    logger.warning(
        "%s responded with 401 to a request without an access token: TheBaseAuth signs only requests to %s,"
        " which is another host. If both are meant to be the same, build the URLs of the requests from"
        " auth.base_url. This warning is not repeated.",
        host,
        credentials.domain,
    )


def warn_of_missing_permission(credentials: Credentials, operation: Operation) -> None:
    """Warn that the server rejects one new token after another for an operation."""
    logger.warning(
        "%s on %s: the server rejected three access tokens in a row, each newer than the one before. The"
        " client id %s probably lacks permission for this call. Check its permissions in TheBase: %s. Callers"
        " get the 401, and another token is fetched for it only now and then. This warning is not repeated.",
        operation,
        credentials.domain,
        credentials.client_id,
        SETTINGS,
    )
