# The client's credentials, and the token request.
#
# Here: which client ids and secrets are refused, Basic authentication (RFC 7617), and the token request of
# RFC 6749 section 4.4.2 as plain data. Not here: sending it (the adapters), and its answer (token).

from __future__ import annotations

import base64
import re
import unicodedata
from typing import Final

from .hidden import Hidden, hidden, redacted
from .origin import Origin

TOKEN_PATH: Final = "/oauth/token"  # noqa: S105 - a path, from the vendor's page
TOKEN_REQUEST_BODY: Final = b"grant_type=client_credentials"
#: Where domain, client id and client secret are in the environment.
VARIABLES: Final = ("THEBASE_DOMAIN", "THEBASE_CLIENT_ID", "THEBASE_CLIENT_SECRET")


class Credentials:
    """What TheBase's settings screen gives: where to ask, and as whom.

    Attributes:
        domain: The domain, as messages name it.
        token_url: The token endpoint's URL (RFC 6749 section 3.2).

    Raises:
        ValueError: if the client id or the client secret cannot be right. The text says which, and
            what is wrong with it, without showing either.
    """

    def __init__(self, origin: Origin, client_id: str, client_secret: str | Hidden) -> None:
        secret: Hidden = hidden(client_secret)
        del client_secret
        for name, value in (("client id", client_id), ("client secret", secret)):
            if problem := _problem_with(value):  # in another frame, which the error does not keep
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
        """Headers of the token request; its method is POST, its body `TOKEN_REQUEST_BODY`.

        *user_agent* is that of the request that needs the token: firewalls refuse requests without one.

        By ``Accept`` the server chooses between JSON and HTML. Id and secret go into Basic as they are: the
        vendor asks for plain Basic (RFC 7617), not for the form encoding of RFC 6749 section 2.3.1, and the
        ids and secrets it issues are the same in both.
        """
        return {
            "Accept": "application/json",
            "Authorization": f"Basic {self._user_pass()}",
            "Content-Type": "application/x-www-form-urlencoded",
            **({} if user_agent is None else {"User-Agent": user_agent}),
        }

    def slips(self) -> str:
        """What looks like a mistake in copying id or secret, without showing either."""
        if self.client_id == self.client_secret.reveal():
            return " Client id and client secret are the same; was one of them copied twice?"
        if _made_by_thebase(self.client_secret.reveal()) and not _made_by_thebase(self.client_id):
            return (
                " The client secret looks like those that TheBase makes, the client id does not: was it"
                " copied whole, or are the two swapped?"
            )
        told = ""
        for name, value in (("id", self.client_id), ("secret", self.client_secret.reveal())):
            if value[0] in "\"'" and value[0] == value[-1]:
                told += f" The client {name} is in quotation marks; were they copied along?"
            elif not value.endswith("..") or value.endswith("..."):
                told += f" The client {name} does not end in two dots, as those that TheBase makes do."
        return told

    def redact(self, text: str) -> str:
        """*text* without the secret, in both forms in which it was sent."""
        return redacted(redacted(text, self._user_pass()), self.client_secret.reveal())

    def _user_pass(self) -> str:
        return base64.b64encode(f"{self.client_id}:{self.client_secret.reveal()}".encode()).decode()


def _made_by_thebase(value: str) -> bool:
    """Whether it is 16 bytes in base64url and two dots, quotation marks and missing dots aside."""
    return re.fullmatch(r"[\w-]{22}", value.strip("\"'."), re.ASCII) is not None


def _problem_with(value: object) -> str:
    text = value.reveal() if isinstance(value, Hidden) else value
    if not isinstance(text, str):
        return f"must be text, not {type(text).__name__}"
    if not text:
        return "is empty"
    if text != text.strip():
        return "begins or ends with white space; was it copied with a line break?"
    for character in text:
        if unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"}:
            return (
                f"has a control or invisible character (U+{ord(character):04X}); copy it again from TheBase"
            )
    return ""
