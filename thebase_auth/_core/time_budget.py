# How long one caller may spend on a token.
#
# Here: the timeouts of the call, as bounds for its token request and for its wait for another caller's. Not
# here: reading them from a request (the adapters), and the clock.

from __future__ import annotations

from collections.abc import Mapping


class TimeBudget:
    """The time of one caller, in seconds.

    Attributes:
        timeouts: For each phase of a token request, by the HTTP library's own name for it.
        longest: How long a token request takes if every phase takes its longest.
        began: When the caller began to ask for a token.
    """

    def __init__(self, timeouts: Mapping[str, object], *, default: float) -> None:
        """Take the timeouts of the call, and *default* for each phase without one.

        Even a call without any timeout (``timeout=None``) does not wait forever for a token.
        """
        self.timeouts = {
            phase: float(seconds) if isinstance(seconds, (int, float)) else default
            for phase, seconds in timeouts.items()
        }
        self.longest = sum(self.timeouts.values())
        self.began = 0.0

    def left(self, now: float) -> float:
        """Seconds until this caller stops waiting for others; zero or less when none are left."""
        return max(self.timeouts["connect"], self.timeouts["read"]) - (now - self.began)

    def timeouts_left(self, now: float) -> dict[str, float]:
        """The timeouts of a token request that begins now, perhaps after a wait."""
        left = self.left(now)
        return {phase: min(seconds, left) for phase, seconds in self.timeouts.items()}
