# Endpoints that say no whatever token they get.
#
# Here: what an endpoint is, which of them refuse even a fresh token, and how long each has to wait
# for the next renewal on its account; and the one challenge that tells at once that a new token
# would not help (RFC 6750 section 3.1). This server says 401, not 403, where a good token lacks the
# right, so that only the second refusal shows what the first one meant. Not here: renewing
# (_renewal, whose lock guards this state), and the words of the warning (_auth).
#
# The life of an entry. It begins when a token has been fetched on account of an endpoint. The next
# renewal on its account then has to wait: one second, and twice as long after each further one, up to
# a minute; it waits from the moment when the endpoint is seen to refuse the replay too. An acceptance
# ends it.

from __future__ import annotations

import re
from typing import Final, NamedTuple, Self

FIRST_PAUSE: Final = 1.0  # seconds
LONGEST_PAUSE: Final = 60.0  # seconds
_MOST_ENTRIES: Final = 1000  # of each kind; more endpoints than an API has

_PATH: Final = re.compile("[^:/?#]+://[^/?#]*([^?#]*)")  # of an absolute URL
_ID: Final = re.compile(r"(?<=/)(?:[0-9]+|[0-9a-fA-F-]{16,})(?=/|\Z)")  # a part of a path
# RFC 9110 sections 11.2 and 5.6: a parameter with its value, or a word that begins a challenge.
_CHALLENGE_PART: Final = re.compile(
    r"""(?P<name>[!#$%&'*+.^_`|~\w-]+)
        (?:[ \t]*=[ \t]*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<plain>[!#$%&'*+.^_`|~\w-]+)))?""",
    re.ASCII | re.VERBOSE,
)


class Endpoint(NamedTuple):
    """A call of the API: its method, and its path with ``{id}`` in the place of each id."""

    method: str
    path: str

    @classmethod
    def of(cls, method: str, url: str) -> Self:
        """The endpoint of a request. The vendor's ids are decimal numbers; others use UUIDs."""
        found = _PATH.match(url)
        return cls(method, _ID.sub("{id}", (found and found[1]) or "/"))

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


class _Refusal:
    """What is known of an endpoint on whose account a token has been fetched."""

    __slots__ = ("judged", "pause", "until")

    def __init__(self, pause: float, until: float) -> None:
        self.pause = pause
        self.until = until
        self.judged = False  # whether the endpoint has refused what was fetched last


class Refusals:
    """The endpoints that have not accepted the token fetched on their account.

    All times are seconds on a clock that never goes back.
    """

    def __init__(self) -> None:
        self.entries: dict[Endpoint, _Refusal] = {}
        self._told: set[Endpoint] = set()

    def fetched(self, endpoint: Endpoint, now: float) -> None:
        """A token has been fetched, or is going to be, on account of *endpoint*."""
        before = self.entries.pop(endpoint, None)
        pause = FIRST_PAUSE if before is None else min(2 * before.pause, LONGEST_PAUSE)
        if len(self.entries) >= _MOST_ENTRIES:
            del self.entries[next(iter(self.entries))]
        self.entries[endpoint] = _Refusal(pause, now + pause)

    def must_wait(self, endpoint: Endpoint, now: float) -> bool:
        """Whether it is too early for another renewal on account of *endpoint*."""
        entry = self.entries.get(endpoint)
        return entry is not None and now < entry.until

    def refused_again(self, endpoint: Endpoint, now: float) -> bool:
        """*endpoint* refuses the current token too; true if that was fetched on its account."""
        entry = self.entries.get(endpoint)
        if entry is None:
            return False
        if not entry.judged:
            entry.judged = True
            entry.until = now + entry.pause
        return True

    def accepted(self, endpoint: Endpoint) -> None:
        """*endpoint* takes the current token."""
        self.entries.pop(endpoint, None)

    def to_be_told(self, endpoint: Endpoint) -> bool:
        """Whether the user has not been told of *endpoint* yet; true once."""
        if endpoint in self._told or len(self._told) >= _MOST_ENTRIES:
            return False
        self._told.add(endpoint)
        return True


def is_acceptance(status: int) -> bool:
    """Whether an answer shows that the token was taken; trouble on the way shows nothing."""
    return status < 500 and status not in {401, 407, 429}


def lacks_scope(challenges: str | None) -> bool:
    """Whether a ``WWW-Authenticate`` header says ``Bearer … error="insufficient_scope"``."""
    scheme = ""
    for part in _CHALLENGE_PART.finditer(challenges or ""):
        value = part["quoted"] if part["plain"] is None else part["plain"]
        if value is None:
            scheme = part["name"].lower()
        elif (scheme, part["name"].lower(), value) == ("bearer", "error", "insufficient_scope"):
            return True
    return False
