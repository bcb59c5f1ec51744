# What goes wrong because a test asked for it.
#
# Here: the faults that are still to come, and which request meets which. Not here: how a connection
# is dropped or an answer delayed (_server, _mounts), and the methods to ask for it (_sandbox).

from __future__ import annotations

from typing import Final, Generic, TypeVar

from ._messages import Answer, CallPattern, Request

Outcome = TypeVar("Outcome")

DROP: Final = Answer(0)
"""No answer: the connection is dropped."""

LOSE: Final = Answer(0, b"lost")
"""The request is carried out, and then the connection is dropped."""


class Coming(Generic[Outcome]):
    """What the next requests meet, each so many times; those asked for first come first."""

    def __init__(self) -> None:
        self._entries: list[tuple[CallPattern, Outcome]] = []

    def add(self, call: str, outcome: Outcome, times: int) -> None:
        """Let the next requests that *call* means meet an outcome.

        Raises:
            ValueError: *call* can mean no request, or *times* is less than 1.
        """
        if times < 1:
            raise ValueError(f"times is {times}; no request would meet it")
        self._entries += [(CallPattern(call), outcome)] * times

    def take(self, request: Request) -> Outcome | None:
        """What this request meets, and is used up by it."""
        for place, (pattern, outcome) in enumerate(self._entries):
            if pattern.means(request.method, request.path):
                del self._entries[place]
                return outcome
        return None
