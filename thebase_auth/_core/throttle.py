# Pauses: for an operation whose every token is rejected, and for a token endpoint that rejects the client.
#
# This server responds with 401, not 403, when the client lacks permission. Only a renewal shows whether
# the token has expired or permission is missing, and it must not be tried for every such call. Permission
# may depend on the record: one operation may be accepted and rejected with the same token, by many callers
# at once.

from __future__ import annotations

import math
from typing import Final, TypeAlias
from urllib.parse import urlsplit

from .errors import TokenRequestError

_REJECTED_TOKENS: Final = 3
_LONGEST_PAUSE: Final = 10.0  # seconds, of an operation
_LONGEST_ENDPOINT_PAUSE: Final = 60.0  # seconds
#: How the token endpoint rejects a client or asks it to slow down. A 200 counts only with an `error`.
_PAUSE_STATUSES: Final = {200, 400, 401, 403, 429}
_FORGOTTEN_AFTER: Final = 120.0  # seconds without a rejection
_MOST_OPERATIONS: Final = 1000  # more than the API has

Operation: TypeAlias = str
"""A kind of call: its method, and the first two segments of its path, in which there are no IDs."""


def operation_of(method: str, url: str) -> Operation:
    """Return the operation of a request."""
    segments = urlsplit(url).path.split("/")
    return f"{method} {'/'.join(segments[:3]) or '/'}"


class Pause:
    """A pause of one second that doubles each time. All times are seconds on a clock that never goes back."""

    def __init__(self, longest: float) -> None:
        self._longest = longest
        self._length = 0.0
        self._until = -math.inf

    def start(self, now: float, seconds: float | None = None) -> float:
        """Start the next pause, of *seconds* if the server has asked for that, and return its length."""
        self._length = min(max(2 * self._length, 1.0), self._longest)
        length = self._length if seconds is None else min(seconds, self._longest)
        self._until = now + length
        return length

    def left(self, now: float) -> float:
        """Return the seconds left; 0 if there is no pause."""
        return max(self._until - now, 0.0)


class EndpointPause:
    """The pause of the token endpoint after it has rejected the client (RFC 6749 section 5.2)."""

    def __init__(self) -> None:
        self._error: TokenRequestError | None = None
        self._pause = Pause(_LONGEST_ENDPOINT_PAUSE)

    def start(self, error: TokenRequestError, now: float) -> TokenRequestError:
        """Start the pause, if *error* is a reason for one, and return the error with the pause's length."""
        if error.status not in _PAUSE_STATUSES or (error.status == 200 and not error.error):
            return error.with_retry_after(None)
        seconds = self._pause.start(now, error.retry_after)
        self._error = error.with_retry_after(seconds)
        return self._error

    def error(self, now: float) -> TokenRequestError | None:
        """Return the error with the seconds left, None if there is no pause."""
        left = self._pause.left(now)
        return self._error.with_retry_after(left) if self._error is not None and left > 0 else None


class _Rejections:
    """The tokens that the server has rejected for one operation, each newer than the one before."""

    def __init__(self) -> None:
        self.count = 0
        self.newest_number = 0  # of a token
        self.last_at = -math.inf
        self.pause = Pause(_LONGEST_PAUSE)


class Throttle:
    """Which operations may not cost a token request now. `Renewal` holds its lock while it records."""

    def __init__(self) -> None:
        self._rejections: dict[Operation, _Rejections] = {}
        self._warned: set[Operation] = set()

    def record_rejection(self, operation: Operation, token_number: int, now: float) -> bool:
        """Record a 401. Return True once, when the first pause starts: permission is probably missing."""
        if len(self._rejections) > _MOST_OPERATIONS:
            self._rejections.clear()
            self._warned.clear()
        rejections = self._rejections.get(operation)
        if rejections is None or now - rejections.last_at > _FORGOTTEN_AFTER:
            rejections = self._rejections[operation] = _Rejections()
        rejections.last_at = now
        if token_number <= rejections.newest_number:
            return False  # a late report, or another call with the same token
        rejections.newest_number = token_number
        rejections.count += 1
        if rejections.count < _REJECTED_TOKENS:
            return False
        rejections.pause.start(now)
        is_first_time = operation not in self._warned
        self._warned.add(operation)
        return is_first_time

    def record_renewal_helped(self, operation: Operation, token_number: int) -> None:
        """Record that a replay was accepted, and forget the rejections of older tokens.

        If the server has rejected this token too, for another record, nothing is forgotten.
        """
        rejections = self._rejections.get(operation)
        if rejections is not None and rejections.newest_number < token_number:
            del self._rejections[operation]

    def is_throttled(self, operation: Operation, now: float) -> bool:
        """Return whether *operation* must not cost a token request now."""
        rejections = self._rejections.get(operation)
        return rejections is not None and rejections.pause.left(now) > 0
