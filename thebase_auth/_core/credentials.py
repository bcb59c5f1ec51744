# The client's credentials, and the token request and its response as plain data (RFC 6749 section 4.4; Basic
# authentication: RFC 7617).

from __future__ import annotations

import base64
import unicodedata
from collections.abc import Mapping
from typing import Any, Final

from .origin import Origin

TOKEN_PATH: Final = "/oauth/token"  # noqa: S105 - a path, from the vendor's page
TOKEN_REQUEST_BODY: Final = b"grant_type=client_credentials"
#: The environment variables with domain, client ID and client secret.
VARIABLES: Final = ("THEBASE_DOMAIN", "THEBASE_CLIENT_ID", "THEBASE_CLIENT_SECRET")

# Control and invisible characters, halves of surrogate pairs, line and paragraph separators.
_INVISIBLE: Final = {"Cc", "Cf", "Cs", "Zl", "Zp"}


class Secret:
    """A text that ``repr()`` does not show.

    It is not a `str`, because tools that print local variables know strings, and cut them before
    they ask for a repr.
    """

    def __init__(self, text: Any) -> None:
        self._text = text

    def __repr__(self) -> str:
        return "'[hidden]'"

    def reveal(self) -> Any:
        """Return the text. Do not keep it in a local variable of a function that may raise."""
        return self._text


def hidden(value: object) -> Any:
    """Return *value* as a `Secret`, also where bytes were given by mistake; anything else as it is."""
    return Secret(value) if isinstance(value, (str, bytes)) else value


class Credentials:
    """A domain, and the client ID and client secret that it has issued.

    Attributes:
        origin: Scheme, host and port of the domain.
        domain: The domain as messages name it.
        token_url: The token endpoint's URL (RFC 6749 section 3.2).

    Raises:
        ValueError: if the client ID or the client secret cannot be right. The message says which and
            why, and shows neither.
    """

    def __init__(self, origin: Origin, client_id: str, client_secret: str | Secret) -> None:
        secret: Secret = hidden(client_secret)
        del client_secret
        for name, value in (("client id", client_id), ("client secret", secret)):
            problem = _problem_with(value)
            if problem:
                raise ValueError(f"{name} {problem}")
        if ":" in client_id:
            raise ValueError(
                "client id has a colon, which Basic authentication cannot carry (RFC 7617 section 2);"
                " were id and secret pasted together?"
            )
        self.origin: Final = origin
        self.domain: Final = origin.netloc
        self.token_url: Final = origin.url + TOKEN_PATH
        self.client_id: Final = client_id
        self.client_secret: Final = secret

    def token_request_headers(self, user_agent: str | bytes | None) -> dict[str, str | bytes]:
        """Return the headers of the token request; its method is POST, its body `TOKEN_REQUEST_BODY`.

        ID and secret go into Basic as they are. The vendor asks for plain Basic, not for the form encoding
        of RFC 6749 section 2.3.1, and both give the same for the IDs and secrets that it issues.

        Args:
            user_agent: The ``User-Agent`` of the user's request: some firewalls reject requests without one.
        """
        headers: dict[str, str | bytes] = {
            "Accept": "application/json",  # or an error may be a page of HTML
            "Authorization": f"Basic {self._basic()}",
            "Content-Type": "application/x-www-form-urlencoded",
        }
        if user_agent is not None:
            headers["User-Agent"] = user_agent
        return headers

    def redact(self, text: str) -> str:
        """Return *text* without the secret, in both forms in which it was sent."""
        for sent in (self._basic(), self.client_secret.reveal()):
            text = text.replace(sent, "[hidden]")
        return text

    def _basic(self) -> str:
        return base64.b64encode(f"{self.client_id}:{self.client_secret.reveal()}".encode()).decode()


class TokenResponse:
    """A response of the token endpoint itself, not of the target of a redirect.

    Attributes:
        status: The HTTP status.
        headers: The headers; their names are case-insensitive.
        body: The body.
        sent_at: When the request was sent, in epoch seconds: ``expires_in`` counts from then.
    """

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes, sent_at: float) -> None:
        self.status: Final = status
        self.headers: Final = headers
        self.body: Final = body
        self.sent_at: Final = sent_at

    def __repr__(self) -> str:
        return f"TokenResponse(status={self.status})"


def _problem_with(value: object) -> str:
    text = value.reveal() if isinstance(value, Secret) else value
    if not isinstance(text, str):
        return f"must be text, not {type(text).__name__}"
    if not text:
        return "is empty"
    if text != text.strip():
        return "begins or ends with white space; was it copied with a line break?"
    for character in text:
        if unicodedata.category(character) in _INVISIBLE:
            return (
                f"has a control or invisible character (U+{ord(character):04X}); copy it again from TheBase"
            )
    return ""
