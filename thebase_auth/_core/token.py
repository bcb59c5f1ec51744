# The access token, and the successful response of the token endpoint (RFC 6749 section 5.1).

from __future__ import annotations

import json
import math
import re
import time
from typing import Any, Final

from .credentials import Credentials, TokenResponse
from .diagnosis import diagnose
from .errors import TokenRequestError

# RFC 6749 appendix A.12, without the space, which would end a header's value.
_ACCESS_TOKEN: Final = re.compile(r"[\x21-\x7e]+")


class Token:
    """An access token.

    Attributes:
        access_token: The token itself. ``repr()`` does not show it.
        expires_at: When it expires by the server's ``expires_in``, in epoch seconds; None if the server
            did not say. The server may accept it for longer, or revoke it sooner.
        authorization: The value of the ``Authorization`` header that carries it.
        number: The number of the flight that obtained it: a newer token has a higher one.
        is_from_cache: Whether another process has fetched it.
    """

    def __init__(
        self, access_token: str, expires_at: float | None = None, *, is_from_cache: bool = False
    ) -> None:
        self.access_token: Final = access_token
        self.expires_at: Final = expires_at
        self.authorization: Final = f"Bearer {access_token}"
        self.is_from_cache: Final = is_from_cache
        self.number: int = 0

    def __repr__(self) -> str:
        return f"Token(expires_at={self.expires_at!r})"

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Token):
            return self.access_token == other.access_token
        return isinstance(other, str) and self.access_token == other

    def __hash__(self) -> int:
        return hash(self.access_token)

    def is_expired(self) -> bool:
        """Return whether ``expires_at`` is known and has passed."""
        return self.expires_at is not None and self.expires_at <= time.time()


def parse_token_response(response: TokenResponse, credentials: Credentials) -> Token:
    """Return the token in *response*.

    Args:
        response: The response.
        credentials: Those that were sent: errors name the domain, and quote the server without the secret.

    Raises:
        TokenRequestError: if there is no usable token in it (RFC 6749 section 5.2).
    """
    outcome = _read(response, credentials)
    if isinstance(outcome, TokenRequestError):
        raise outcome  # here, where no local variable shows what the server sent
    return outcome


def _read(response: TokenResponse, credentials: Credentials) -> Token | TokenRequestError:
    document = _json_of(response.body)
    problem = _problem_with(document)
    has_error = isinstance(document, dict) and bool(document.get("error"))
    if problem or has_error or not 200 <= response.status < 300:
        return diagnose(response, document if isinstance(document, dict) else {}, credentials, problem)
    return Token(document["access_token"], _expires_at(document.get("expires_in"), response.sent_at))


def _json_of(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _problem_with(document: Any) -> str:
    """Return why there is no usable token in *document*; an empty text if there is one."""
    if not isinstance(document, dict):
        return "is not a JSON object"
    access_token, token_type = document.get("access_token"), document.get("token_type")
    if access_token is None:
        return "has no access_token"
    if not isinstance(access_token, str) or not _ACCESS_TOKEN.fullmatch(access_token):
        return "has an access_token that cannot be put in a header"
    if token_type is not None and str(token_type).lower() != "bearer":
        # RFC 6749 section 7.1: a client must not use a token of a type it does not know.
        return "has a token_type other than 'bearer'"
    return ""


def _expires_at(expires_in: Any, sent_at: float) -> float | None:
    # Servers get expires_in wrong in many ways. A wrong one counts as none.
    try:
        seconds = float(expires_in)
    except (TypeError, ValueError, OverflowError):
        return None
    return sent_at + seconds if 0 < seconds < math.inf and expires_in is not True else None
