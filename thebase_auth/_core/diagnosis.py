# What a response of the token endpoint without a token means, and what to do about it.
#
# The response may be an error of RFC 6749 section 5.2, a problem document (RFC 9457), or a web page.

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from .credentials import Credentials, TokenResponse
from .errors import TokenRequestError
from .origin import SETTINGS

_ABOUT_PAGE: Final = (
    "That is a web page, not a response of TheBase's API: a firewall or a gateway on the way has rejected the"
    " request. Ask whoever runs it; client id and client secret are probably not to blame."
)
_LONGEST_QUOTE: Final = 300  # characters
#: Word processors and messengers put the curly ones in the place of the straight ones.
_QUOTATION_MARKS: Final = "\"'`“”„‟‘’‚‛«»״׳"  # noqa: RUF001 - they are alike on purpose
_SEARCHED: Final = 65_536  # bytes of a page


def diagnose(
    response: TokenResponse, document: Mapping[str, Any], credentials: Credentials, problem: str
) -> TokenRequestError:
    """Return the error that explains *response*.

    Args:
        response: The response.
        document: Its JSON object; empty if it has none.
        credentials: Those that were sent.
        problem: Why a successful response has no usable token, such as "has no access_token".
    """
    return _Diagnosis(response, document, credentials).error(problem)


class _Diagnosis:
    def __init__(
        self, response: TokenResponse, document: Mapping[str, Any], credentials: Credentials
    ) -> None:
        self._response = response
        self._document = document
        self._credentials = credentials
        self._media_type = response.headers.get("content-type", "").partition(";")[0]
        self._is_page = "html" in self._media_type.lower() and not document
        self._domain_question = f"Is {credentials.domain} the domain that TheBase shows under {SETTINGS}?"

    def error(self, problem: str) -> TokenRequestError:
        domain, status = self._credentials.domain, self._response.status
        message = f"the token endpoint of {domain} responded with {status}"
        if 200 <= status < 300 and not self._document.get("error"):
            described = f" ({self._body_in_words()})" if not self._document else ""
            message += f", but its response {problem}{described}. {self._domain_question}"
            return TokenRequestError(message, domain, status)
        said = self._said()
        shown = ", ".join(f"{name}: {text}" for name, text in said.items()) or self._body_in_words()
        retry_after = _seconds(self._response.headers.get("retry-after", ""), self._response.sent_at)
        message += f" ({shown}). {self._advice(said, retry_after)}"
        return TokenRequestError(message, domain, status, retry_after=retry_after, **said)

    def _said(self) -> dict[str, Any]:
        said = {}
        for name in ("error", "error_description", "code", "message", "instance"):
            value = self._document.get(name)
            if type(value) in {str, int} and (quoted := self._quote(str(value))):
                said[name] = quoted
        return said

    def _quote(self, text: str) -> str:
        """Return what the server said without secret and token, on one line, and cut."""
        text = self._credentials.redact(text)
        access_token = self._document.get("access_token")
        if isinstance(access_token, str) and access_token:
            text = text.replace(access_token, "[hidden]")
        printable = "".join(c if c.isprintable() else " " for c in text)
        return printable[:_LONGEST_QUOTE].strip()

    def _body_in_words(self) -> str:
        body = self._response.body
        if not body:
            return "empty"
        kind = f"{len(body)} bytes of {self._quote(self._media_type) or 'no media type'}"
        title = re.search(rb"(?i)<title[^>]*>([^<]*)", body[:_SEARCHED]) if self._is_page else None
        if title is None:
            return kind
        words = self._quote(title[1].decode("utf-8", "replace")).split()
        return f"{kind} with the title '{' '.join(words)}'"

    def _advice(self, said: Mapping[str, str], retry_after: float | None) -> str:
        domain, headers, status = self._credentials.domain, self._response.headers, self._response.status
        if 300 <= status < 400:
            # Without the query and the fragment, which may carry secrets.
            target = self._quote(re.split("[?#]", headers.get("location", "no location"))[0])
            return (
                f"It redirects to {target}, and a token from elsewhere is not used. {self._domain_question}"
            )
        if status == 429:
            when = f"in {retry_after:.0f} seconds" if retry_after is not None else "later"
            return f"Too many requests; try again {when}."
        if status >= 500:
            naming = f", naming {said['instance']}" if "instance" in said else ""
            return f"The server has a problem; try again later, or ask its support{naming}."
        if self._is_page and status != 404:
            return _ABOUT_PAGE
        if status in {200, 400, 401, 403}:
            return (
                f"Check that client id and client secret belong to {domain}, are not swapped, and were not"
                f" cancelled: in TheBase, {SETTINGS}.{_copying_mistakes(self._credentials)}"
            )
        return self._domain_question


def _copying_mistakes(credentials: Credentials) -> str:
    """Return what looks like a mistake in copying ID or secret, without showing either."""
    client_id, secret = credentials.client_id, credentials.client_secret.reveal()
    if client_id == secret:
        return " Client id and client secret are the same; was one of them copied twice?"
    hints = ""
    for name, value in (("id", client_id), ("secret", secret)):
        if value[0] in _QUOTATION_MARKS and value[-1] in _QUOTATION_MARKS:
            hints += f" The client {name} is in quotation marks; were they copied along?"
        elif not value.endswith("..") or value.endswith("..."):
            hints += f" The client {name} does not end in two dots, as those that TheBase makes do."
    return hints


def _seconds(retry_after: str, sent_at: float) -> float | None:
    """Return ``Retry-After`` in seconds, from a number or a date (RFC 9110 section 10.2.3).

    None if it is neither, or asks for no time at all: a clock may be wrong, and there should be a pause.
    """
    if re.fullmatch("[0-9]{1,9}", retry_after.strip()):
        return float(retry_after) or None
    from email.utils import parsedate_to_datetime  # slow to load

    try:
        seconds = parsedate_to_datetime(retry_after).timestamp() - sent_at
    except (ValueError, OverflowError):
        return None
    return seconds if seconds > 0 else None
