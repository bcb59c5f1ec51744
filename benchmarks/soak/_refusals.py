"""Why a 401 was the answer of some calls: the reasons that the record shows.

Nearly every 401 is followed by a replay with another token. One that a caller gets needs a reason.
"""

from __future__ import annotations

import math
from collections import defaultdict
from typing import NamedTuple

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

    def __init__(self, entries: list[Entry]) -> None:
        self._tokens: dict[str, _Token] = {}
        alike: dict[tuple[str, str], list[Entry]] = defaultdict(list)
        uses: dict[str, float] = {}
        for entry in entries:
            alike[entry.operation].append(entry)
            for one in entry.received:
                uses[one["token"]] = min(one["at"], uses.get(one["token"], math.inf))
        for entry in entries:
            for one in entry.token_requests:
                if one["issued"]:
                    self._tokens[one["issued"]] = _Token(
                        issued_at=one["at"],
                        known_at=min(uses.get(one["issued"], math.inf), max(one["at"], entry.end.at)),
                        ended_at=one["ended"] or math.inf,
                        fetched_by=entry.operation,
                        after_401=any(use["at"] < one["at"] for use in entry.received),
                    )
        self._pauses = {operation: self._pauses_of(alike[operation]) for operation in alike}

    def reason(self, entry: Entry) -> str | None:
        """Why the 401 of this call was not replayed, or not once more; None if nothing explains it."""
        *before, last = entry.received
        if last["known"] and not last["has_right"]:
            return RIGHT
        if entry.call.body == _bodies.GENERATOR:
            return ONCE
        if before and last["known"]:
            return ON_PURPOSE
        token = self._tokens.get(last["token"])
        if before and token and token.ended_at <= last["at"]:
            # One from the cache, which another process has fetched, gets another replay. So does a request
            # signed long before; there is one for both.
            is_borrowed = token.fetched_by[0] != entry.operation[0]
            is_last = not is_borrowed or len(before) == 2
            if is_last and token.ended_at > before[-1]["at"]:
                return REVOKED
            if is_last and token.known_at > entry.began:
                return TWICE
            if is_last and is_borrowed and entry.is_sent_again:
                return STALE
        ended = entry.end.at
        pauses = self._pauses[entry.operation]
        in_pause = any(one.earliest <= ended and last["at"] <= one.latest for one in pauses)
        return PAUSE if in_pause else None

    def life(self, token: str | None, began: float) -> str:
        """When a token was issued and ended, as seen from the beginning of a call, and who fetched it."""
        one = self._tokens.get(token or "")
        if token is None or one is None:
            return ""
        return f"{token[:5]} ({one.issued_at - began:.3f} to {one.ended_at - began:.3f}, {one.fetched_by})"

    def _pauses_of(self, entries: list[Entry]) -> list[_Span]:
        """When one process may have paused one operation."""
        accepted = [
            _Span(one.received[-1]["at"], one.end.at)
            for one in entries
            if one.carried_out and one.end.outcome == ANSWER
        ]
        pauses: list[_Span] = []
        count, known = 0, 0.0
        for strike in self._strikes(entries):
            if any(known < one.earliest and one.latest < strike.earliest for one in accepted):
                count = 0
            count, known = count + 1, strike.latest
            if count > 1:
                over = known + min(2.0 ** (count - 2), _LONGEST_PAUSE)
                ends = [one.latest for one in accepted if known < one.earliest]
                pauses.append(_Span(strike.earliest, min([over, *ends])))
        return pauses

    def _strikes(self, entries: list[Entry]) -> list[_Span]:
        """When the callers of one operation got to know that it refuses a token fetched for it."""
        uses: dict[str, list[tuple[float, Entry]]] = defaultdict(list)
        for entry in entries:
            for one in entry.received:
                token = self._tokens.get(one["token"])
                is_ours = token and token.after_401 and token.fetched_by == entry.operation
                if one["status"] == 401 and is_ours:
                    uses[one["token"]].append((one["at"], entry))
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
