# What the sandbox has received.
#
# Here: a received request, and what a test asks and asserts about several of them. Not here: when a request
# gets into the record (_service).

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from ._messages import TOKEN_PATH, CallPattern

ANYTHING: Final = object()

_MOST_SHOWN: Final = 20  # requests, the last ones


@dataclass(frozen=True, slots=True)
class ReceivedRequest:
    """A request that the sandbox has received.

    Attributes:
        method: the HTTP method, as it was sent.
        path: the decoded path from where the sandbox is mounted, and `?` and the query as it was sent, if
            there is one.
        headers: the header fields, names in lower case; the last of several of one name.
        body: the whole body.
        status: the status code of the answer, also if that was lost on its way; None if there is none
            (yet): the connection was dropped, or the answer is delayed or held.
        client_id: the client whose secret or token it carried; None if the sandbox knows neither.
        reason: why it was not simply carried out, such as `revoked token` or `no such call`; empty if it was.
        at: when it arrived, in seconds since the epoch.
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

    def __str__(self) -> str:
        # The query of a token request may hold a secret, put there by mistake.
        path = TOKEN_PATH if _path(self) == TOKEN_PATH else self.path
        line = f"{self.method} {path} {self.status or 'without an answer'}"
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
    return tuple(one for one in received if pattern.matches(one.method, _path(one)))


def assert_in(
    received: Received, call: str, times: int | None, status: int | None, document: object
) -> Received:
    """Those of the requests that are of a *call*, with this status and this JSON document as body.

    Raises:
        AssertionError: if there are not so many, or none.
        ValueError: if *call* is not a call.
    """
    calls = found = calls_in(received, call)
    with_body: Received = ()
    expected = f"{'at least one' if times is None else times} x {call}"
    if status is not None:
        found = tuple(one for one in found if one.status == status)
        expected += f" with the answer {status}"
    if document is not ANYTHING:
        found, with_body = tuple(one for one in found if _is_json(one, document)), calls
        expected += f" with the body {json.dumps(document, ensure_ascii=False, default=repr)}"
    if len(found) == times or (times is None and found):
        return found
    listing = _listing(received, with_body)
    raise AssertionError(f"expected {expected}, received {len(found)}; all that was received:{listing}")


def _path(request: ReceivedRequest) -> str:
    return request.path.partition("?")[0]


def _is_json(request: ReceivedRequest, document: object) -> bool:
    try:
        return bool(request.json() == document)
    except (ValueError, RecursionError):
        return False


def _listing(received: Received, with_body: Received) -> str:
    """The requests, one a line; token requests without their body, which may hold a secret."""
    lines = [
        f"{one} {one.body.decode(errors='replace')}"
        if one in with_body and _path(one) != TOKEN_PATH
        else str(one)
        for one in received[-_MOST_SHOWN:]
    ]
    if len(received) > _MOST_SHOWN:
        lines.insert(0, f"({len(received) - _MOST_SHOWN} before)")
    return "".join(f"\n  {line}" for line in lines or ["nothing"])
