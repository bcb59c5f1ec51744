# How long one caller may spend on a token.
#
# Here: the caller's own timeouts turned into the bounds of its token request and of its wait for
# another caller's. Not here: reading them from a library's request (the adapters), or a clock.

from __future__ import annotations

from collections.abc import Mapping


class TimeBudget:
    """The bounds of one caller, in seconds.

    Attributes:
        timeouts: For each phase of a token request, by the HTTP library's own name for it.
    """

    def __init__(self, timeouts: Mapping[str, object], *, default: float, now: float) -> None:
        """Take the timeouts of the call, and *default* for a phase in which it has none.

        Not even a call that may take for ever (``timeout=None``) waits for ever for a token.
        """
        self.timeouts = {
            phase: float(seconds) if isinstance(seconds, (int, float)) else default
            for phase, seconds in timeouts.items()
        }
        self._began = now

    @property
    def lease(self) -> float:
        """How long this caller's token request may take when every phase takes its longest."""
        return sum(self.timeouts.values())

    def left(self, now: float) -> float:
        """Seconds until this caller gives up waiting for others, zero or less when they are over."""
        return max(self.timeouts["connect"], self.timeouts["read"]) - (now - self._began)

    def timeouts_left(self, now: float) -> dict[str, float]:
        """The timeouts for a token request that begins only now, perhaps after a wait."""
        left = self.left(now)
        return {phase: min(seconds, left) for phase, seconds in self.timeouts.items()}
