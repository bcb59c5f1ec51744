"""Why some calls ended with a 401: the reasons that the record shows.

Nearly every 401 is followed by a replay with another token. One that a caller gets needs a reason.
"""

from __future__ import annotations

import math
from collections import defaultdict
from typing import NamedTuple

from . import _bodies
from ._journal import RESPONSE, Entry

PERMISSION = "the client lacked permission at that time"
ONE_SHOT = "a body that can be sent once"
ON_PURPOSE = "a live token was rejected on purpose, at the replay"
REVOKED = "the token of the replay was revoked under the call"
CACHED = "two replays, the last with a token from the cache that had been revoked"
THROTTLED = "the operation was throttled, after three rejected tokens"

_LONGEST_PAUSE = 10.0  # seconds


class _Token(NamedTuple):
    issued_at: float
    known_at: float  # by its process, at the latest
    ended_at: float
    fetched_by: tuple[str, str]  # process and path of the call


class _Span(NamedTuple):
    """When something happened, or was known, at the earliest and at the latest."""

    earliest: float
    latest: float
    token: str


class Rejections:
    """Finds the reason of each 401.

    A process throttles an operation that has rejected three tokens: it leaves the operation's 401s as they
    are for 1 s, 2 s, and so on up to 10 s, or until a replay with a newer token is accepted.

    A caller gets a response some time after it was decided, and before the call ends. So a pause starts no
    earlier than its rejection was decided, and ends no later than counted from the end of that call. An
    acceptance was decided after the caller of one rejection had it, and known before the next was decided.
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
                    )
        self._pauses = {operation: self._pauses_of(alike[operation]) for operation in alike}

    def reason(self, entry: Entry) -> str | None:
        """Why the 401 of this call was not replayed, or not once more; None if nothing explains it."""
        *before, last = entry.received
        if last["known"] and not last["has_permission"]:
            return PERMISSION
        if entry.call.body == _bodies.GENERATOR:
            return ONE_SHOT
        if before and last["known"]:
            return ON_PURPOSE
        token = self._tokens.get(last["token"])
        if before and token and token.ended_at <= last["at"]:
            # A token that was there before the 401, or came from the cache, gets another replay.
            if token.fetched_by[0] != entry.operation[0]:
                if len(before) == 2:
                    return CACHED
            elif token.known_at > before[0]["at"]:
                return REVOKED
        pauses = self._pauses[entry.operation]
        is_throttled = any(one.earliest <= entry.end.at and last["at"] <= one.latest for one in pauses)
        return THROTTLED if is_throttled else None

    def life(self, token: str | None, began: float) -> str:
        """When a token was issued and ended, as seen from the beginning of a call, and who fetched it."""
        one = self._tokens.get(token or "")
        if token is None or one is None:
            return ""
        return f"{token[:5]} ({one.issued_at - began:.3f} to {one.ended_at - began:.3f}, {one.fetched_by})"

    def _pauses_of(self, entries: list[Entry]) -> list[_Span]:
        """When one process may have throttled one operation."""
        rejections, helped = [], []
        for entry in entries:
            known_at = [*(one["at"] for one in entry.received[1:]), entry.end.at]
            for one, at in zip(entry.received, known_at, strict=False):
                span, is_replay = _Span(one["at"], at, one["token"]), one is not entry.received[0]
                if one["status"] == 401:
                    rejections.append(span)
                elif is_replay and entry.carried_out and entry.end.outcome == RESPONSE:
                    helped.append(span)
        pauses: list[_Span] = []
        rejected: dict[str, float] = {}  # the tokens since a renewal has helped, and when that was known
        for rejection in sorted(rejections):
            if self._forgotten_at(rejected, helped) < rejection.earliest:
                rejected = {}
            is_another = rejection.token not in rejected
            rejected[rejection.token] = max(rejection.latest, rejected.get(rejection.token, 0.0))
            if is_another and len(rejected) >= 3:
                ends_at = rejection.latest + min(2.0 ** (len(rejected) - 3), _LONGEST_PAUSE)
                ends_at = min(ends_at, self._forgotten_at(rejected, helped))
                pauses.append(rejection._replace(latest=ends_at))
        return pauses

    def _forgotten_at(self, rejected: dict[str, float], helped: list[_Span]) -> float:
        """When a replay with a newer token than these was accepted, at the latest."""
        since = max(rejected.values(), default=math.inf)
        newest = max(map(self._issued_at, rejected), default=math.inf)
        ends = (one.latest for one in helped if one.earliest >= since and self._issued_at(one.token) > newest)
        return min(ends, default=math.inf)

    def _issued_at(self, token: str) -> float:
        return self._tokens[token].issued_at if token in self._tokens else -math.inf
