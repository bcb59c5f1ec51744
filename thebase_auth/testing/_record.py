# What the sandbox has received: a request, and how those of one call are found.

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from thebase_auth._core.text import printable

from ._messages import TOKEN_PATH, CallPattern


@dataclass(frozen=True, slots=True)
class ReceivedRequest:
    """A request that the sandbox has received.

    Attributes:
        method: the HTTP method, as it was sent.
        path: the decoded path from where the sandbox is mounted, and `?` and the query as it was sent, if
            there is one.
        headers: the header fields, names in lower case; the last of several of one name.
        body: the whole body.
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
