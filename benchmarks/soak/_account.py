"""The account of every call and every request: what the callers say beside what the sandbox received.

Each check is a rule that holds for any number of calls, whatever went wrong. What it found is told by
examples.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

from . import _bodies
from ._callers import PATIENT
from ._journal import AUTH_ERROR, FOREIGN, RESPONSE, Entry
from ._rejections import Rejections

_SHOWN = 5
#: Not a ReadTimeout: threads that share a client may lose a connection to each other, between httpcore's look
#: whether it is idle and its look whether there is something to read from it. The one that reads then waits
#: for its whole time. Nor a TokenTimeoutError, unless the caller has waited in vain: two token requests that
#: failed are reason enough.
_TIMEOUT = re.compile("(Pool|Connect|Write)Timeout|connection pool|took more than|were cancelled")
#: The part of all calls that has to succeed, so that the others prove something.
_MOST = 0.5
#: Seconds beyond its own timeouts in which a call may be held up by a machine that does other things.
_ALLOWANCE = 5.0


class Check(NamedTuple):
    """A rule, and what is not so."""

    name: str
    faults: list[str]


class Account:
    """All that is known when the run is over.

    A token is fetched where there is none, and where the one that all share has been rejected. With a
    cache, who fetches has the lock and has seen in the cache no other token than one rejected for it. So
    each token that was issued is the first, or comes after the one before it

    * was ended by a revocation: one for each revocation that ended any token,
    * was rejected though it was good: one for each token with such a 401,

    or it is a stray, which did not come in the place of the one in the cache:

    * it reached nobody: the caller was gone or the connection lost. Nobody ever used it.
    * a caller fetched it without the lock, or although another was about to, since half its time was
      over: one for each token request of a call that took half its timeout or longer,
    * a process fetched it without the cache, which had failed: told in the log each time.

    While a new token ends the ones before, a stray ends the token that all share, and explains
    one more. All other token requests brought no token.

    Attributes:
        reasons: of the 401s that callers got, how many have which; None for none.
        explained: by their causes, how many token requests there may be.
    """

    def __init__(
        self, entries: list[Entry], record: list[Any], *, revocations: int, cache_failures: int
    ) -> None:
        self._entries = entries
        self._strangers = _bring_together(entries, record)
        received = [one for entry in entries for one in entry.received]
        asked = [one for entry in entries for one in entry.token_requests]
        issued = {one["issued"] for one in asked} - {None}
        used = {one["token"] for one in received} - {None}
        hurried = (len(one.token_requests) for one in entries if one.seconds >= one.call.timeout / 2)
        rejected_alive = {one["token"] for one in received if one["status"] == 401 and one["known"]}
        self.token_requests = len(asked)
        self.explained = Counter(
            {
                "the first": 1,
                "revocations": revocations,
                "good tokens rejected": len(rejected_alive),
                "brought no token": len(asked) - len(issued),
                "tokens that reached nobody, twice": 2 * len(issued - used),
                "token requests of callers in a hurry, twice": 2 * sum(hurried),
                "cache failures, twice": 2 * cache_failures,
            }
        )
        self._unused, self._forged = len(issued - used), len(used - issued)
        self._rejections = Rejections(entries)
        self._reason = {
            one.call.id: self._rejections.reason(one) for one in entries if one.received and one.got(401)
        }
        self.reasons = Counter(self._reason.values())
        self.outcomes = Counter(f"{one.end.outcome} {one.end.status or ''}".strip() for one in entries)

    def checks(self) -> list[Check]:
        may_be = self.explained.total()
        succeeded = sum(one.got(200, 201) for one in self._entries)
        without_response = sum(one.end.outcome != RESPONSE for one in self._entries)
        rules: dict[str, Callable[[Entry], bool]] = {
            "every call ends once": lambda one: len(one.ends) == 1,
            "every call ends with a response, an error of its library, or its own cancellation": (
                lambda one: one.end.outcome != FOREIGN
            ),
            "the response that a caller got is the sandbox's last one": _is_the_last_response,
            "every 401 that reaches a caller has its reason": (
                lambda one: self._reason.get(one.call.id, "none is needed") is not None
            ),
            "no call takes longer than its own timeouts allow": (lambda one: one.seconds <= _longest(one)),
            "no call that has time enough runs out of it": (
                lambda one: one.call.timeout < PATIENT or not _TIMEOUT.search(one.end.detail)
            ),
            "every body arrives whole and untouched": (
                lambda one: all(request["wrong"] is None for request in one.received)
            ),
            "no write is carried out twice": lambda one: one.carried_out <= 1,
            "what ends with an error of thebase_auth was not carried out": (
                lambda one: one.end.outcome != AUTH_ERROR or one.carried_out == 0
            ),
            "nothing is sent again but after a 401, with another token": _is_sent_again_after_401s,
            "a body that can be sent once is sent once": (
                lambda one: one.call.body != _bodies.GENERATOR or len(one.received) <= 1
            ),
            "no call asks for a token more than once to begin with, and once for each 401": (
                lambda one: len(one.token_requests) <= 1 + one.rejections
            ),
        }
        return [
            *(self._check_all(name, is_so) for name, is_so in rules.items()),
            rule(
                f"at least {_MOST:.0%} of the calls succeed",
                succeeded >= _MOST * len(self._entries),
                f"{succeeded} of {len(self._entries)}",
            ),
            Check("every request that arrives is one of a call", self._strangers[:_SHOWN]),
            rule(
                "no token request but those explained",
                self.token_requests <= may_be,
                f"{self.token_requests}, and {may_be} are explained: {dict(self.explained)}",
            ),
            rule(
                "tokens that nobody used are no more than calls without a response",
                self._unused <= without_response,
                f"{self._unused} tokens, {without_response} calls",
            ),
            rule("no token is used but those issued", not self._forged, f"{self._forged}"),
        ]

    def _check_all(self, name: str, is_so: Callable[[Entry], bool]) -> Check:
        faults = [one for one in self._entries if not is_so(one)]
        shown = [_told(one, self._rejections) for one in faults[:_SHOWN]]
        return Check(name, shown + [f"and {len(faults) - _SHOWN} more"] * (len(faults) > _SHOWN))


def _bring_together(entries: list[Entry], record: list[Any]) -> list[str]:
    """Give each entry what arrived for it; what arrived for none."""
    strangers = []
    known = {entry.call.id: entry for entry in entries}
    for request in record:
        entry = known.get(request["call"])
        if entry is None:
            strangers.append(f"{request['method']} {request['path']} {request['call']}")
        elif request["path"] == "/oauth/token":
            entry.token_requests.append(request)
        else:
            entry.received.append(request)
    return strangers


def rule(name: str, is_so: bool, fault: str) -> Check:
    """A rule about the whole."""
    return Check(name, [] if is_so else [fault])


def _told(entry: Entry, rejections: Rejections) -> str:
    """The call, and what arrived for it: when, with which token that lived from when to when."""
    began = entry.began
    requests = sorted([*entry.received, *entry.token_requests], key=lambda one: one["at"])
    shown = [
        f"{one['at'] - began:.3f} s: {one['status']} {one['wrong'] or ''}"
        f" {rejections.life(one['token'] or one['issued'], began)}"
        for one in requests
    ]
    return f"{entry}, {entry.seconds:.3f} s; received: {shown}"


def _longest(entry: Entry) -> float:
    """Seconds that this call may take at most.

    Each time it was sent, it may have waited for a connection and for the response. Before each time, and
    after the last, it may have waited for others, for the cache, and for a connection and a response of its
    own token request. Connecting and writing take no time on loopback. In requests the wait for a
    connection of a small pool has no timeout of its own: it is that for the responses before.
    """
    times = len(entry.received)
    return entry.call.timeout * (2 * times + 4 * (times + 1)) + _ALLOWANCE


def _is_the_last_response(entry: Entry) -> bool:
    statuses = [one["status"] for one in entry.received[-1:]]
    return entry.end.outcome != RESPONSE or statuses == [entry.end.status]


def _is_sent_again_after_401s(entry: Entry) -> bool:
    """At most twice: the first replay may have had a token that was not fetched since the 401."""
    return len(entry.received) <= 3 and all(
        one["status"] == 401 and one["token"] != again["token"] for one, again in pairwise(entry.received)
    )
