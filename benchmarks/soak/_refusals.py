"""Each call from both sides, and why a 401 was the answer of some: the reasons that the record shows.

Nearly every 401 is followed by a replay with another token. One that a caller gets needs a reason.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from . import _bodies
from ._journal import ANSWER, Entry

RIGHT = "the right was refused at that time"
ONCE = "a body that can be sent once"
ON_PURPOSE = "a live token was refused on purpose, at the replay"
REVOKED = "the token of the replay was revoked under it"
STALE = "two replays of a request signed long before: dead tokens, the last from the cache"
TWICE = "two tokens were revoked under the call, before its replay"
PAUSE = "a pause of the operation, after two strikes"

_LONGEST_PAUSE = 60.0  # seconds


@dataclass
class Story:
    """One call from both sides: its entry in the journal, and the requests that arrived for it."""

    entry: Entry
    received: list[dict[str, Any]] = field(default_factory=list)
    token_requests: list[dict[str, Any]] = field(default_factory=list)

    @property
    def carried_out(self) -> int:
        return sum(one["status"] in (200, 201) for one in self.received)

    @property
    def refusals(self) -> int:
        return sum(one["status"] == 401 for one in self.received)

    @property
    def is_sent_again(self) -> bool:
        """Whether it carried what an earlier call had been signed with; httpx signs each time."""
        return "~" in self.entry.call.id and "requests" in self.entry.call.client

    @property
    def operation(self) -> tuple[str, str]:
        """Process and path; each path has one method here."""
        return self.entry.call.client.partition(",")[0], self.entry.call.path


class _Token(NamedTuple):
    issued_at: float
    known_at: float  # by its process, at the latest
    ended_at: float
    fetched_by: tuple[str, str]  # process and path of the call
    after_401: bool


class _Span(NamedTuple):
    """When something happened, or was known, at the earliest and at the latest."""

    earliest: float
    latest: float


class Refusals:
    """Finds the reason of each 401.

    A strike is a token that was fetched after a 401 of an operation, and refused by it. From the second
    strike on without an acceptance in between, a process leaves the 401s of the operation as they are: for
    1 s, 2 s, and so on up to 60 s, or until it has an acceptance. Where renewals have helped before, that
    takes eight strikes; two are enough here.

    A caller gets an answer some time after it was decided, and before the call ends. So a pause begins no
    earlier than its strike was decided, and ends no later than counted from the end of that call. An
    acceptance was decided after the caller of one strike had it, and known before the next was decided.
    """

    def __init__(self, stories: list[Story]) -> None:
        self._tokens: dict[str, _Token] = {}
        alike: dict[tuple[str, str], list[Story]] = defaultdict(list)
        uses: dict[str, float] = {}
        for story in stories:
            alike[story.operation].append(story)
            for one in story.received:
                uses[one["token"]] = min(one["at"], uses.get(one["token"], math.inf))
        for story in stories:
            for one in story.token_requests:
                if one["issued"]:
                    self._tokens[one["issued"]] = _Token(
                        issued_at=one["at"],
                        known_at=min(uses.get(one["issued"], math.inf), max(one["at"], story.entry.end.at)),
                        ended_at=one["ended"] or math.inf,
                        fetched_by=story.operation,
                        after_401=any(use["at"] < one["at"] for use in story.received),
                    )
        self._pauses = {operation: self._pauses_of(alike[operation]) for operation in alike}

    def reason(self, story: Story) -> str | None:
        """Why the 401 of this call was not replayed, or not once more; None if nothing explains it."""
        *before, last = story.received
        if last["known"] and not last["has_right"]:
            return RIGHT
        if story.entry.call.body == _bodies.GENERATOR:
            return ONCE
        if before and last["known"]:
            return ON_PURPOSE
        token = self._tokens.get(last["token"])
        if before and token and token.ended_at <= last["at"]:
            # One from the cache, which another process has fetched, gets another replay. So does a request
            # signed long before; there is one for both.
            is_borrowed = token.fetched_by[0] != story.operation[0]
            is_last = not is_borrowed or len(before) == 2
            if is_last and token.ended_at > before[-1]["at"]:
                return REVOKED
            if is_last and token.known_at > story.entry.began:
                return TWICE
            if is_last and is_borrowed and story.is_sent_again:
                return STALE
        ended = story.entry.end.at
        pauses = self._pauses[story.operation]
        in_pause = any(one.earliest <= ended and last["at"] <= one.latest for one in pauses)
        return PAUSE if in_pause else None

    def life(self, token: str | None, began: float) -> str:
        """When a token was issued and ended, as seen from the beginning of a call, and who fetched it."""
        one = self._tokens.get(token or "")
        if token is None or one is None:
            return ""
        return f"{token[:5]} ({one.issued_at - began:.3f} to {one.ended_at - began:.3f}, {one.fetched_by})"

    def _pauses_of(self, stories: list[Story]) -> list[_Span]:
        """When one process may have paused one operation."""
        accepted = [
            _Span(one.received[-1]["at"], one.entry.end.at)
            for one in stories
            if one.carried_out and one.entry.end.outcome == ANSWER
        ]
        pauses: list[_Span] = []
        count, known = 0, 0.0
        for strike in self._strikes(stories):
            if any(known < one.earliest and one.latest < strike.earliest for one in accepted):
                count = 0
            count, known = count + 1, strike.latest
            if count > 1:
                over = known + min(2.0 ** (count - 2), _LONGEST_PAUSE)
                ends = [one.latest for one in accepted if known < one.earliest]
                pauses.append(_Span(strike.earliest, min([over, *ends])))
        return pauses

    def _strikes(self, stories: list[Story]) -> list[_Span]:
        """When the callers of one operation got to know that it refuses a token fetched for it."""
        uses: dict[str, list[tuple[float, Entry]]] = defaultdict(list)
        for story in stories:
            for one in story.received:
                token = self._tokens.get(one["token"])
                is_ours = token and token.after_401 and token.fetched_by == story.operation
                if one["status"] == 401 and is_ours:
                    uses[one["token"]].append((one["at"], story.entry))
        return sorted(
            _Span(
                min(at for at, _ in these),
                min(
                    [entry.end.at for _, entry in these if entry.end.outcome == ANSWER]
                    or [max(entry.end.at for _, entry in these)]
                ),
            )
            for these in uses.values()
        )
