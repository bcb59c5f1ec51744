# What the sandbox has received: a request, and how those of one call are found.

from __future__ import annotations

import itertools
import json
import re
import time
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from thebase_auth._text import printable

from ._messages import TOKEN_PATH, CallPattern, Reason

_LONGEST: Final = 1000  # bytes of a line that is no request
_REQUEST_LINE: Final = re.compile(r"([A-Z]+) (\S.*?)( HTTP/\d\.\d)?")


@dataclass(frozen=True, slots=True)
class ReceivedRequest:
    """A request that the sandbox has received.

    Attributes:
        method: the HTTP method, as it was sent; `-` if that cannot be read.
        path: the decoded path, and `?` and the query as it was sent, if there is one; `-` if that cannot be
            read.
        headers: the header fields, names in lower case; the last of several of one name.
        body: the whole body; for `thebase-auth sandbox`, its beginning.
        status: the status code of the response, also if that was lost on its way; None if there is none
            (yet): the connection was dropped, or the response is delayed or held.
        client_id: the client whose secret or token it carried; None if the sandbox knows neither.
        reason: why it was not simply carried out, such as `revoked token` or `no such call`; empty if it was.
        at: when it arrived, in seconds since the epoch.
        number: in the order of arrival; no two requests of this process have the same.
    """

    method: str
    path: str
    # Headers and body may hold a secret or a token; a failed assertion prints the repr.
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    status: int | None
    client_id: str | None = field(default=None, repr=False)
    reason: str = field(default="", repr=False)
    at: float = field(default=0.0, repr=False, compare=False)
    number: int = field(default_factory=itertools.count(1).__next__, repr=False, compare=False)

    def __str__(self) -> str:
        # The query of a token request may hold a secret, put there by mistake.
        path = TOKEN_PATH if path_of(self) == TOKEN_PATH else printable(self.path)
        line = f"{self.method} {path} {self.status or 'without a response'}"
        return f"{line} ({self.reason})" if self.reason else line

    def json(self) -> Any:
        """The body, parsed as JSON.

        Raises:
            ValueError: it is not JSON.
        """
        return json.loads(self.body)


Received: TypeAlias = tuple[ReceivedRequest, ...]


def calls_in(received: Received, call: str) -> Received:
    """Those of the requests that are of a *call*.

    Raises:
        ValueError: if *call* is not a call.
    """
    pattern = CallPattern(call)
    return tuple(one for one in received if pattern.matches(one.method, path_of(one)))


def path_of(request: ReceivedRequest) -> str:
    """Its path without the query."""
    return request.path.partition("?")[0]


def malformed(head: bytes, error: str) -> ReceivedRequest:
    """What is known of a request that cannot be read: as little as possible, for a header may be a secret.

    Args:
        head: Its first bytes.
        error: What the parser said; nothing if the client closed the connection.
    """
    line = head.partition(b"\n")[0][:_LONGEST].decode(errors="replace").rstrip("\r")
    found = _REQUEST_LINE.fullmatch(line)
    method, path = found.group(1, 2) if found else ("-", "-")
    reason = why_broken(error)
    if head.startswith(b"\x16\x03"):
        reason = Reason(
            "TLS on a port without it; use http://", "חיבור TLS לפורט בלי TLS; השתמשו ב־\u2066http://\u2069"
        )
    elif error and re.search(r"[^!-~]", path):
        reason = Reason(
            "the URL has characters that must be percent-encoded",
            "בכתובת יש תווים שצריך לקודד (percent-encoding)",
        )
    return ReceivedRequest(method, path, {}, b"", 400 if error else None, reason=reason, at=time.time())


def why_broken(error: str) -> Reason:
    """The reason for a broken request, without the bytes that the parser quotes, which may be a secret.

    Args:
        error: What the parser said; nothing if the client closed the connection.
    """
    if not error:
        return Reason("the client closed the connection too early", "החיבור נסגר באמצע הבקשה")
    error = error.partition(": b")[0]
    return Reason(f"malformed HTTP: {error}", f"ה־\u2066HTTP\u2069 לא תקין: \u2066{error}\u2069")
