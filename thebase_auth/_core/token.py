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

# RFC 6749 appendix A.12 (VSCHAR) without the space: what can stand in a header by itself.
_SAFE_IN_HEADER: Final = r"[\x21-\x7e]+"
_TITLE: Final = rb"(?i)<title[^>]*>([^<]*)"
_LONGEST_QUOTE: Final = 300  # characters of the server's own words in one message


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
        if isinstance(other, str):
            return self.access_token == other
        return isinstance(other, Token) and self.access_token == other.access_token

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
    """An answer of the token endpoint. The names of ``headers`` may be in any case.

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
    outcome = _read(answer, credentials, epoch)
    if isinstance(outcome, TokenRequestError):
        raise outcome  # here, where no local variable holds what the server sent
    return outcome


def _read(answer: Answer, credentials: Credentials, epoch: float) -> Token | TokenRequestError:
    document = _json_object(answer.body)
    if not 200 <= answer.status < 300:
        return _refusal(answer, document, credentials, epoch)
    if answer.cut:
        return _unusable(f"is {answer.cut}", answer, credentials)
    if document is None:
        return _unusable(f"is {_kind(answer, credentials)}, not a JSON object", answer, credentials)
    access_token = document.get("access_token")
    if access_token is None:
        if document.get("error"):
            return _refusal(answer, document, credentials, epoch)
        return _unusable("has no access_token", answer, credentials)
    if not isinstance(access_token, str) or not re.fullmatch(_SAFE_IN_HEADER, access_token):
        # RFC 6750 section 2.1. Not quoted, since it may be most of a token.
        return _unusable("has an access_token that cannot be put in a header", answer, credentials)
    token_type = document.get("token_type")
    if token_type is not None and str(token_type).lower() != "bearer":
        # RFC 6749 section 7.1: a client must not use a token of a type it does not know.
        shown = credentials.redact(str(token_type)).replace(access_token, "[hidden]")
        quoted = _quote(shown, credentials)
        return _unusable(f"has the token_type {quoted!r} instead of 'bearer'", answer, credentials)
    lifetime = _seconds(document.get("expires_in"))
    return Token(access_token, None if lifetime is None else epoch + lifetime)


def _seconds(expires_in: object) -> float | None:
    # Servers get expires_in wrong in many ways; a wrong one counts as none.
    if isinstance(expires_in, bool) or not isinstance(expires_in, (int, float, str)):
        return None
    try:
        seconds = float(expires_in)
    except (ValueError, OverflowError):
        return None
    return seconds if math.isfinite(seconds) and seconds > 0 else None


def _json_object(body: bytes) -> dict[str, Any] | None:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _kind(answer: Answer, credentials: Credentials) -> str:
    if answer.cut:
        return answer.cut
    if not answer.body:
        return "empty"
    media_type = _quote(answer.headers.get("content-type", "").partition(";")[0], credentials)
    title = _title(answer, credentials)
    titled = f" with the title {title!r}" if title else ""
    return f"{len(answer.body)} bytes of {media_type or 'no media type'}{titled}"


def _is_page(answer: Answer) -> bool:
    """Whether this is a page for people, as firewalls and gateways send it."""
    is_html = "html" in answer.headers.get("content-type", "").lower()
    return is_html and _json_object(answer.body) is None


def _title(answer: Answer, credentials: Credentials) -> str:
    found = re.search(_TITLE, answer.body[:65_536]) if _is_page(answer) else None
    import html  # slow to load, rarely needed

    text = html.unescape(found[1].decode("utf-8", "replace")) if found else ""
    return _quote(" ".join(text.split()), credentials)


def _quote(text: str, credentials: Credentials) -> str:
    # One line without escape sequences: it ends up in logs and terminals.
    printable = "".join(c if c.isprintable() else " " for c in credentials.redact(text))
    return printable[:_LONGEST_QUOTE].strip()


def _unusable(what: str, answer: Answer, credentials: Credentials) -> TokenRequestError:
    return TokenRequestError(
        f"the token endpoint of {credentials.domain} answered {answer.status}, but its answer {what}."
        f" Is {credentials.domain} the domain that TheBase shows under Settings, Webhooks/API,"
        " API token?",
        domain=credentials.domain,
        status=answer.status,
    )


def _refusal(
    answer: Answer, document: dict[str, Any] | None, credentials: Credentials, epoch: float
) -> TokenRequestError:
    fields: dict[str, str] = {}
    token = (document or {}).get("access_token")  # not to be shown
    for name in ("error", "error_description", "code", "message", "instance"):
        value = (document or {}).get(name)
        plain = isinstance(value, (str, int)) and not isinstance(value, bool)
        said = str(value) if plain else ""
        if isinstance(token, str) and token:
            said = said.replace(token, "[hidden]")
        quoted = _quote(said, credentials)
        if quoted:
            fields[name] = quoted
    said = ", ".join(f"{name}: {value}" for name, value in fields.items())
    said = said or _kind(answer, credentials)
    return TokenRequestError(
        f"the token endpoint of {credentials.domain} answered {answer.status} ({said})."
        f" {_advice(answer, fields, credentials)}",
        domain=credentials.domain,
        status=answer.status,
        retry_after=_retry_after(answer.headers.get("retry-after", ""), epoch),
        **fields,
    )


def _retry_after(value: str, epoch: float) -> float | None:
    """Seconds, from a number or a date (RFC 9110 section 10.2.3); None if it is neither."""
    if re.fullmatch("[0-9]{1,9}", value.strip(), re.ASCII):
        return float(value)
    from email.utils import parsedate_to_datetime  # slow to load, rarely needed

    try:
        return max(parsedate_to_datetime(value).timestamp() - epoch, 0.0)
    except (ValueError, OverflowError):
        return None


def _advice(answer: Answer, fields: Mapping[str, str], credentials: Credentials) -> str:
    where = "in TheBase: Settings, Webhooks/API, API token"
    if 300 <= answer.status < 400:
        # Without the query and the fragment, which may carry secrets.
        target = re.split("[?#]", answer.headers.get("location", "no location"))[0]
        return (
            f"A token endpoint that redirects (to {_quote(target, credentials)}) is not followed, so that"
            f" the secret goes nowhere else. Check the domain {where}."
        )
    if answer.status == 429:
        after = _quote(answer.headers.get("retry-after", ""), credentials)
        when = f"in {after} seconds" if after.isdecimal() else f"after {after}" if after else "later"
        return f"Too many requests; try again {when}."
    if answer.status >= 500:
        instance = fields.get("instance")
        tell = f", naming {instance}" if instance else ""
        return f"The server has a problem; try again later, or ask its support{tell}."
    if _is_page(answer) and answer.status != 404:
        if re.search(b"(client|ssl) certificate", answer.body[:65_536].lower()):
            return (
                "That page is about a client certificate: the token request needs the one that your other"
                " requests have. requests takes it from TheBaseAuth(..., session=session); httpx from the"
                " client, httpx.Client(verify=...)."
            )
        return (
            "That is a web page, not an answer of TheBase's API: a firewall or a gateway on the way has"
            " refused the request. Ask whoever runs it; client id and client secret are probably not to"
            " blame."
        )
    match fields.get("error"):
        case "invalid_scope":
            return (
                "The server wants a scope, or knows none that this client may have; no scope was asked"
                f" for. Check what the client id may do {where}, or ask TheBase's support."
            )
        case "unsupported_grant_type" | "unauthorized_client":
            return (
                "The server does not give this client a token for grant_type=client_credentials, the only"
                f" one that its documentation knows. Is {credentials.domain} the right domain, and the"
                f" client id made for the API? Check both {where}."
            )
    if answer.status in {200, 400, 401, 403}:
        return (
            f"Check that client id and client secret belong to {credentials.domain}, are not swapped,"
            f" and were not cancelled: {where.replace(':', ',')}.{credentials.slips()}"
        )
    return f"Is {credentials.domain} the domain that TheBase shows under Settings, Webhooks/API, API token?"
