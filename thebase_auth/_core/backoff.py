# Back-off: pauses for an operation that refuses every token, and for a token endpoint that refuses.
#
# Here: what an operation is, which operations have strikes, and how long a pause is. Not here: who fetches a
# token (shared_token, whose lock guards this state), and the text of the warning (notices).
#
# This server answers 401, not 403, where the client lacks a right, so that a renewal is the only way to find
# out what a 401 means. A strike is a token that was fetched for an operation and refused by it. The first may
# be chance: the token was revoked in between. From the second on, a pause comes before the next renewal for
# this operation. When the operation accepts a token, its strikes are forgotten. Nothing else counts.
#
# Where renewals have helped an operation before, two strikes may be chance as well: on a server where each
# new token ends the one before, processes without a common cache revoke each other's tokens. There it takes
# more.

from __future__ import annotations

import math
import re
from typing import Final, NamedTuple, Self

FIRST_PAUSE: Final = 1.0  # seconds
LONGEST_PAUSE: Final = 60.0  # seconds
_STRIKES: Final = 2
_HELPS: Final = 2  # renewals
_STRIKES_AFTER_HELP: Final = 8
_MOST_OPERATIONS: Final = 1000  # more than an API has

_PATH: Final = "[^:/?#]+://[^/?#]*([^?#]*)"  # of an absolute URL
_ID: Final = r"(?<=/)(?:[0-9]+|[0-9a-fA-F-]{16,})(?=/|\Z)"


class Operation(NamedTuple):
    """A call of the API: its method, and its path with ``{id}`` in the place of each id."""

    method: str
    path: str

    @classmethod
    def of(cls, method: str, url: str) -> Self:
        """The operation of a request. Ids are decimal numbers, as the vendor's are, or UUIDs."""
        found = re.match(_PATH, url)
        return cls(method, re.sub(_ID, "{id}", (found and found[1]) or "/"))

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


class Pause:
    """A pause that is twice as long each time: 1 s, 2 s, and so on up to 60 s.

    All times are seconds on a clock that never goes back.
    """

    def __init__(self) -> None:
        self._length = 0.0
        self._until = -math.inf

    def begin(self, now: float, seconds: float | None = None) -> float:
        """Begin the next pause, of *seconds* if the server has said how many, and return its length."""
        self._length = min(max(2 * self._length, FIRST_PAUSE), LONGEST_PAUSE)
        length = self._length if seconds is None else min(seconds, LONGEST_PAUSE)
        self._until = now + length
        return length

    def left(self, now: float) -> float:
        """Seconds left; zero or less when it is over."""
        return self._until - now


class _Strikes(Pause):
    """The strikes of one operation, and its pause."""

    count = 0


class Backoff:
    """The operations with strikes, and those that renewals have helped."""

    def __init__(self) -> None:
        self.strikes: dict[Operation, _Strikes] = {}
        self._helped: dict[Operation, int] = {}  # how many renewals
        self._warned: set[Operation] = set()

    def strike(self, operation: Operation, now: float) -> bool:
        """Count a strike. True, once for each operation: warn the user that a right may be missing."""
        strikes = self.strikes.pop(operation, None) or _Strikes()
        if len(self.strikes) >= _MOST_OPERATIONS:
            del self.strikes[next(iter(self.strikes))]
        self.strikes[operation] = strikes
        strikes.count += 1
        has_had_the_right = self._helped.get(operation, 0) >= _HELPS
        if strikes.count < (_STRIKES_AFTER_HELP if has_had_the_right else _STRIKES):
            return False
        self._helped.pop(operation, None)
        strikes.begin(now)
        if operation in self._warned or len(self._warned) >= _MOST_OPERATIONS:
            return False
        self._warned.add(operation)
        return True

    def must_wait(self, operation: Operation, now: float) -> bool:
        """Whether it is too early for another renewal for *operation*."""
        strikes = self.strikes.get(operation)
        return strikes is not None and strikes.left(now) > 0

    def accepted(self, operation: Operation, *, after_renewal: bool) -> None:
        """Forget the strikes of *operation*, which has accepted a token."""
        self.strikes.pop(operation, None)
        if after_renewal and len(self._helped) < _MOST_OPERATIONS:
            self._helped[operation] = self._helped.get(operation, 0) + 1
