# The access token, and the answer of the token endpoint.
#
# Here: RFC 6749 sections 5.1 (a token) and 5.2 (an error), ORDS's problem document, a firewall's page, and
# the messages that say what to do. A pure function of the answer and the time: whatever the answer is, it
# returns a Token or raises TokenRequestError. Not here: the token request (credentials, the adapters).

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any, Final

from .credentials import Credentials
from .errors import TokenRequestError
from .hidden import without_token
from .origin import SETTINGS

_OF_CERTIFICATE: Final = (
    "That page is about a client certificate: the token request needs the one that your other requests have."
    " requests takes it from TheBaseAuth(..., session=session), httpx from httpx.Client(verify=...)."
)
_OF_PAGE: Final = (
    "That is a web page, not an answer of TheBase's API: a firewall or a gateway on the way has refused the"
    " request. Ask whoever runs it; client id and client secret are probably not to blame."
)


class Token:
    """An access token.

    Attributes:
        access_token: The token itself. ``repr()`` does not show it.
        expires_at: When it expires by the server's ``expires_in``, in epoch seconds; None if the server
            did not say. The server may accept it for longer, or stop sooner.
        authorization: The value of the ``Authorization`` header that carries it.
    """

    __slots__ = ("access_token", "authorization", "expires_at")

    def __init__(self, access_token: str, expires_at: float | None = None) -> None:
        self.access_token: Final = access_token
        self.expires_at: Final = expires_at
        self.authorization: Final = f"Bearer {access_token}"

    def __repr__(self) -> str:
        return f"Token(expires_at={self.expires_at!r})"

    def __eq__(self, other: object) -> bool:
        # Also to a `str`, so that it can be compared with the text of a token.
        return self.access_token == (other.access_token if isinstance(other, Token) else other)

    def __hash__(self) -> int:
        return hash(self.access_token)

    def __reduce__(self) -> tuple[type[Token], tuple[str, float | None]]:
        return Token, (self.access_token, self.expires_at)

    def past_its_time(self, epoch: float) -> bool:
        """Whether ``expires_at`` is known and over, *epoch* seconds after the epoch."""
        return self.expires_at is not None and self.expires_at <= epoch


class CachedToken(Token):
    """A token from a cache, where it may have been dead for long. Only its first use shows that."""

    __slots__ = ()


class Answer:
    """An answer of the token endpoint. Its ``headers`` find a name in any case, as those of the libraries do.

    Attributes:
        cut: Why the body is incomplete, such as "longer than 1 MiB"; "" if it is complete.
    """

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes, cut: str = "") -> None:
        self.status = status
        self.headers = headers
        self.body = body
        self.cut = cut

    def __repr__(self) -> str:
        return f"Answer(status={self.status})"


def parse_token_response(answer: Answer, *, credentials: Credentials, epoch: float) -> Token:
    """Read the answer of the token endpoint.

    Args:
        answer: The answer, redirects not followed.
        credentials: Those that were sent: the error names the domain, and quotes the server without
            the secret.
        epoch: Seconds since the epoch when the request was sent; ``expires_in`` is counted from it.

    Raises:
        TokenRequestError: if there is no usable token in it.
    """
    outcome = _Reader(answer, credentials, epoch).read()
    if isinstance(outcome, TokenRequestError):
        raise outcome  # here, where no local variable holds what the server sent
    return outcome


class _Reader:
    """One answer of the token endpoint, and what can be said of it."""

    def __init__(self, answer: Answer, credentials: Credentials, epoch: float) -> None:
        self._answer = answer
        self._credentials = credentials
        self._epoch = epoch
        self._is_it_the_domain = f"Is {credentials.domain} the domain that TheBase shows under {SETTINGS}?"
        try:
            document = json.loads(answer.body)
        except (ValueError, RecursionError):
            document = None
        self._is_object = isinstance(document, dict)
        self._document: dict[str, Any] = document if isinstance(document, dict) else {}
        self._media_type = answer.headers.get("content-type", "").partition(";")[0]
        # A page for people, as firewalls and gateways send it.
        self._is_page = "html" in self._media_type.lower() and not self._is_object
        self._beginning = answer.body[:65_536]  # of a page; more is not searched

    def read(self) -> Token | TokenRequestError:
        answer, document = self._answer, self._document
        access_token = document.get("access_token")
        if not 200 <= answer.status < 300 or (access_token is None and document.get("error")):
            return self._refusal()
        if answer.cut:
            return self._unusable(f"is {answer.cut}")
        if not self._is_object:
            return self._unusable(f"is {self._kind()}, not a JSON object")
        if access_token is None:
            return self._unusable("has no access_token")
        if not isinstance(access_token, str) or not re.fullmatch(r"[\x21-\x7e]+", access_token):
            # RFC 6749 appendix A.12, without the space. Not quoted, since it may be most of a token.
            return self._unusable("has an access_token that cannot be put in a header")
        token_type = document.get("token_type")
        if token_type is not None and str(token_type).lower() != "bearer":
            # RFC 6749 section 7.1: a client must not use a token of a type it does not know.
            return self._unusable(f"has the token_type {self._quote(str(token_type))!r} instead of 'bearer'")
        return Token(access_token, _expiry(document.get("expires_in"), self._epoch))

    def _refusal(self) -> TokenRequestError:
        said: dict[str, str] = {}
        for name in ("error", "error_description", "code", "message", "instance"):
            value = self._document.get(name)
            if type(value) in {str, int} and (quoted := self._quote(str(value))):
                said[name] = quoted
        shown = ", ".join(f"{name}: {quoted}" for name, quoted in said.items()) or self._kind()
        retry_after = _retry_after(self._answer.headers.get("retry-after", ""), self._epoch)
        return self._error(f" ({shown}). {self._advice(said)}", retry_after=retry_after, **said)

    def _unusable(self, what: str) -> TokenRequestError:
        return self._error(f", but its answer {what}. {self._is_it_the_domain}")

    def _error(self, what: str, **evidence: Any) -> TokenRequestError:
        domain, status = self._credentials.domain, self._answer.status
        text = f"the token endpoint of {domain} answered {status}{what}"
        return TokenRequestError(text, domain, status, **evidence)

    def _quote(self, text: str) -> str:
        """What the server said, for logs and terminals: without secret and token, on one line, and cut."""
        text = self._credentials.redact(text)
        token = self._document.get("access_token")
        if token and isinstance(token, str):
            text = without_token(text, token)
        printable = "".join(c if c.isprintable() else " " for c in text)
        return printable[:300].strip()

    def _kind(self) -> str:
        body = self._answer.body
        if self._answer.cut or not body:
            return self._answer.cut or "empty"
        kind = f"{len(body)} bytes of {self._quote(self._media_type) or 'no media type'}"
        found = re.search(rb"(?i)<title[^>]*>([^<]*)", self._beginning) if self._is_page else None
        if found is None:
            return kind
        import html  # slow to load, rarely needed

        words = html.unescape(found[1].decode("utf-8", "replace")).split()
        title = self._quote(" ".join(words))
        return f"{kind} with the title {title!r}" if title else kind

    def _advice(self, said: Mapping[str, str]) -> str:
        domain, headers, status = self._credentials.domain, self._answer.headers, self._answer.status
        if 300 <= status < 400:
            # Without the query and the fragment, which may carry secrets.
            target = self._quote(re.split("[?#]", headers.get("location", "no location"))[0])
            return (
                f"A token endpoint that redirects (to {target}) is not followed, so that the secret goes"
                f" nowhere else. {self._is_it_the_domain}"
            )
        if status == 429:
            after = self._quote(headers.get("retry-after", ""))
            when = f"in {after} seconds" if after.isdecimal() else f"after {after}" if after else "later"
            return f"Too many requests; try again {when}."
        if status >= 500:
            naming = f", naming {said['instance']}" if "instance" in said else ""
            return f"The server has a problem; try again later, or ask its support{naming}."
        if self._is_page and status != 404:
            is_about_certificate = re.search(rb"(?i)(client|ssl) certificate", self._beginning)
            return _OF_CERTIFICATE if is_about_certificate else _OF_PAGE
        if said.get("error") in {"invalid_scope", "unsupported_grant_type", "unauthorized_client"}:
            return (
                "The server refuses what it was asked: a token for grant_type=client_credentials, the only"
                " one that its documentation knows; no scope was asked for. Check what the client id may do"
                f" in TheBase: {SETTINGS}, and whether {domain} is the domain there; or ask its support."
            )
        if status in {200, 400, 401, 403}:
            return (
                f"Check that client id and client secret belong to {domain}, are not swapped, and were not"
                f" cancelled: in TheBase, {SETTINGS}.{self._credentials.slips()}"
            )
        return self._is_it_the_domain


def _expiry(expires_in: Any, epoch: float) -> float | None:
    # Servers get expires_in wrong in many ways; a wrong one counts as none.
    try:
        seconds = float(expires_in)
    except (TypeError, ValueError, OverflowError):
        return None
    return epoch + seconds if 0 < seconds < math.inf and expires_in is not True else None


def _retry_after(value: str, epoch: float) -> float | None:
    """Seconds, from a number or a date (RFC 9110 section 10.2.3); None if it is neither."""
    if re.fullmatch("[0-9]{1,9}", value.strip(), re.ASCII):
        return float(value)
    from email.utils import parsedate_to_datetime  # slow to load, rarely needed

    try:
        return max(parsedate_to_datetime(value).timestamp() - epoch, 0.0)
    except (ValueError, OverflowError):
        return None
