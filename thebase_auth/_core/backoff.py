# Pauses before asking again: for an operation that refuses every token, for a token endpoint that refuses.
#
# Here: what an operation is, which of them have refused tokens that were fetched on their account, and how
# long a pause is. This server says 401, not 403, where a good token lacks the right, so that only a second
# refusal shows what the first one meant. Not here: who fetches a token (shared_token, whose lock guards
# this state), and the words of the warning (notices).
#
# A strike is a token that was fetched on account of an operation and refused by it. One may be chance: the
# token was revoked meanwhile. From the second on there is a pause before the next renewal on its account.
# An acceptance ends it all. Nothing else counts.
#
# Where renewals have helped before, the right was there, and two strikes may be chance, too: on a server
# where each new token ends the one before, processes without a common cache revoke each other's tokens. So
# it takes more of them until it is believed that the right is gone.

from __future__ import annotations

import math
import re
from typing import Final, NamedTuple, Self

FIRST_PAUSE: Final = 1.0  # seconds
LONGEST_PAUSE: Final = 60.0  # seconds
_STRIKES: Final = 2
_HELPS: Final = 2
_STRIKES_AFTER_HELP: Final = 8
_MOST_OPERATIONS: Final = 1000  # more than an API has

_PATH: Final = "[^:/?#]+://[^/?#]*([^?#]*)"  # of an absolute URL
_ID: Final = r"(?<=/)(?:[0-9]+|[0-9a-fA-F-]{16,})(?=/|\Z)"  # a part of a path


class Operation(NamedTuple):
    """A call of the API: its method, and its path with ``{id}`` in the place of each id."""

    method: str
    path: str

    @classmethod
    def of(cls, method: str, url: str) -> Self:
        """The operation of a request. The vendor's ids are decimal numbers; others use UUIDs."""
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
        """Begin the next one, of so many *seconds* where the server has said how many; give its length."""
        self._length = min(max(2 * self._length, FIRST_PAUSE), LONGEST_PAUSE)
        length = self._length if seconds is None else min(seconds, LONGEST_PAUSE)
        self._until = now + length
        return length

    def left(self, now: float) -> float:
        """Seconds that are left of it; zero or less when it is over."""
        return self._until - now


class _Strikes:
    """An operation that has refused what was fetched on its account."""

    def __init__(self) -> None:
        self.count = 0
        self.pause = Pause()


class Backoff:
    """The operations that have refused a token fetched on their account and none accepted since."""

    def __init__(self) -> None:
        self.strikes: dict[Operation, _Strikes] = {}
        self._helped: dict[Operation, int] = {}  # how many renewals have
        self._warned: set[Operation] = set()

    def strike(self, operation: Operation, now: float) -> bool:
        """Take note of a strike; whether the user is to be told, which is so once for an operation."""
        strikes = self.strikes.pop(operation, None) or _Strikes()
        if len(self.strikes) >= _MOST_OPERATIONS:
            del self.strikes[next(iter(self.strikes))]
        self.strikes[operation] = strikes
        strikes.count += 1
        has_had_the_right = self._helped.get(operation, 0) >= _HELPS
        if strikes.count < (_STRIKES_AFTER_HELP if has_had_the_right else _STRIKES):
            return False
        self._helped.pop(operation, None)
        strikes.pause.begin(now)
        if operation in self._warned or len(self._warned) >= _MOST_OPERATIONS:
            return False
        self._warned.add(operation)
        return True

    def must_wait(self, operation: Operation, now: float) -> bool:
        """Whether it is too early for another renewal on account of *operation*."""
        strikes = self.strikes.get(operation)
        return strikes is not None and strikes.pause.left(now) > 0

    def accepted(self, operation: Operation, *, after_renewal: bool) -> None:
        """*operation* has taken a token; perhaps one that was fetched on its account."""
        self.strikes.pop(operation, None)
        if after_renewal and len(self._helped) < _MOST_OPERATIONS:
            self._helped[operation] = self._helped.get(operation, 0) + 1


def is_acceptance(status: int) -> bool:
    """Whether an answer shows that the token was taken; trouble on the way shows nothing."""
    return status < 500 and status not in {401, 407, 429}
