"""The account of every call and every request: what the callers say beside what the sandbox received.

Each check is a rule that holds for any number of calls, whatever went wrong. What it found is told by
examples.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from . import _bodies
from ._callers import PATIENT
from ._journal import ANSWER, AUTH_ERROR, FOREIGN, Entry

_SHOWN = 5
_TOKEN_PATH = "/oauth/token"
#: The part of all calls that has to succeed, so that the others prove something.
_MOST = 0.5
#: Seconds beyond its own timeouts in which a call may be held up by a machine that does other things.
_ALLOWANCE = 5.0


class Check(NamedTuple):
    """A rule, and what is not so."""

    name: str
    faults: list[str]


@dataclass
class Story:
    """One call from both sides: its entry in the journal, and the requests that arrived for it."""

    entry: Entry
    received: list[dict[str, Any]] = field(default_factory=list)
    token_requests: int = 0

    @property
    def carried_out(self) -> int:
        return sum(one["status"] in (200, 201) for one in self.received)

    @property
    def refusals(self) -> int:
        return sum(one["status"] == 401 for one in self.received)

    @property
    def longest(self) -> float:
        """Seconds that this call may take at most.

        Each time it was sent, it may have waited for a connection and for the answer. Before each
        time, and after the last, it may have waited for a token, or fetched one: for the cache half
        its timeout, for a connection, and for the answer. Connecting and writing take no time on
        loopback. In requests the wait for a connection of a small pool has no timeout of its own: it
        is that for the answers to those who have one.
        """
        times = len(self.received)
        return self.entry.call.timeout * (2 * times + 2.5 * (times + 1)) + _ALLOWANCE


class Account:
    """All that is known when the run is over."""

    def __init__(
        self,
        entries: list[Entry],
        record: list[dict[str, Any]],
        *,
        revocations: int,
        cache_failures: int,
    ) -> None:
        self.stories = {entry.call.id: Story(entry) for entry in entries}
        self.strangers: list[str] = []
        self.token_requests = TokenRequests(revocations=revocations, cache_failures=cache_failures)
        for request in record:
            self._add(request)
        self.token_requests.hurried = sum(
            one.token_requests
            for one in self.stories.values()
            if one.entry.seconds >= one.entry.call.timeout / 2
        )

    def _add(self, request: dict[str, Any]) -> None:
        story = self.stories.get(request["call"])
        if story is None:
            self.strangers.append(f"{request['method']} {request['path']} {request['call']}")
        elif request["path"] == _TOKEN_PATH:
            story.token_requests += 1
            self.token_requests.add(request)
        else:
            story.received.append(request)
            self.token_requests.add_use(request)

    def checks(self) -> list[Check]:
        everyone = self.stories.values()
        outcomes = self.outcomes()
        succeeded = sum(outcomes[f"{ANSWER} {status}"] for status in (200, 201))
        return [
            _all("every call ends once", everyone, lambda one: len(one.entry.ends) == 1),
            _all(
                "every call ends with an answer, an error of its library, or its own cancellation",
                everyone,
                lambda one: one.entry.outcome != FOREIGN,
            ),
            _all("what a caller was answered is what the sandbox answered", everyone, _is_answered),
            Check(
                f"at least {_MOST:.0%} of the calls succeed",
                [f"{succeeded} of {len(everyone)}"] * (succeeded < _MOST * len(everyone)),
            ),
            _all(
                "no call takes longer than its own timeouts allow",
                everyone,
                lambda one: one.entry.seconds <= one.longest,
            ),
            _all(
                "no call that has time enough runs out of it",
                everyone,
                lambda one: one.entry.call.timeout < PATIENT or not _is_timeout(one.entry),
            ),
            _all(
                "every body arrives whole and untouched",
                everyone,
                lambda one: all(request["wrong"] is None for request in one.received),
            ),
            _all("no write is carried out twice", everyone, lambda one: one.carried_out <= 1),
            _all(
                "what ends with an error of thebase_auth was not carried out",
                everyone,
                lambda one: one.entry.outcome != AUTH_ERROR or one.carried_out == 0,
            ),
            _all("nothing is sent again but after a 401", everyone, _is_sent_again_after_401s),
            _all(
                "a body that can be sent once is sent once",
                everyone,
                lambda one: one.entry.call.body != _bodies.GENERATOR or len(one.received) <= 1,
            ),
            _all(
                "no call asks for a token more than once to begin with, and once for each refusal",
                everyone,
                lambda one: one.token_requests <= 1 + one.refusals,
            ),
            Check("every request that arrives is one of a call", self.strangers[:_SHOWN]),
            *self.token_requests.checks(without_answer=len(everyone) - outcomes.total_answers()),
        ]

    def outcomes(self) -> Outcomes:
        return Outcomes(
            f"{one.entry.outcome} {one.entry.status or ''}".strip() for one in self.stories.values()
        )

    def writes(self) -> int:
        """How many bodies arrived."""
        return sum(
            len(one.received) for one in self.stories.values() if one.entry.call.method == "POST"
        )

    def longest_call(self) -> Story | None:
        return max(self.stories.values(), key=lambda one: one.entry.seconds, default=None)


class Outcomes(Counter[str]):
    """How many calls ended in which way."""

    def total_answers(self) -> int:
        return sum(count for outcome, count in self.items() if outcome.startswith(ANSWER))


@dataclass
class TokenRequests:
    """The token requests of all processes, and what explains them.

    A token is fetched where there is none, and where the one that all share has been refused. With a
    cache, who fetches has the lock and has seen in the cache no other token than one refused to it. So
    each token that was issued is the first, or comes after the one before it

    * was ended by a revocation: one for each revocation that ended any token,
    * was refused though it was good: one for each token with such a 401,

    or it is a stray, which did not come in the place of the one in the cache:

    * it reached nobody: the caller was gone or the connection lost. Nobody ever used it.
    * a caller fetched it without the lock, or although another was about to, since half its time was
      over: one for each token request of a call that took half its timeout or longer,
    * a process fetched it without the cache, which had failed: told in the log each time.

    While a new token ends the ones before, a stray ends the token that all share, and explains
    one more. All other token requests brought no token.
    """

    revocations: int
    cache_failures: int
    hurried: int = 0
    arrived: int = 0
    issued: int = 0
    used: set[str] = field(default_factory=set)
    refused_alive: set[str] = field(default_factory=set)

    def add(self, request: dict[str, Any]) -> None:
        self.arrived += 1
        self.issued += request["status"] == 200

    def add_use(self, request: dict[str, Any]) -> None:
        if request["token"] is not None:
            self.used.add(request["token"])
            if request["status"] == 401 and request["known"]:
                self.refused_alive.add(request["token"])

    @property
    def explained(self) -> dict[str, int]:
        """By their causes, how many there may be."""
        unused = self.issued - len(self.used)
        return {
            "the first": 1,
            "revocations": self.revocations,
            "good tokens refused": len(self.refused_alive),
            "brought no token": self.arrived - self.issued,
            "tokens that reached nobody, twice": 2 * unused,
            "token requests of callers in a hurry, twice": 2 * self.hurried,
            "cache failures, twice": 2 * self.cache_failures,
        }

    def checks(self, *, without_answer: int) -> list[Check]:
        may_be = sum(self.explained.values())
        unused = self.issued - len(self.used)
        return [
            Check(
                "no token request but those explained",
                [f"{self.arrived}, and {may_be} are explained: {self.explained}"]
                * (self.arrived > may_be),
            ),
            Check(
                "tokens that nobody used are no more than calls without an answer",
                [f"{unused} tokens, {without_answer} calls"] * (unused > without_answer),
            ),
            Check(
                "no token is used but those issued",
                [f"{len(self.used)} used, {self.issued} issued"] * (unused < 0),
            ),
        ]


def _all(name: str, stories: Iterable[Story], is_so: Any) -> Check:
    faults = [one for one in stories if not is_so(one)]
    shown = [
        f"{one.entry}, {one.entry.seconds:.2f} s; received:"
        f" {[(request['status'], request['wrong']) for request in one.received]}"
        for one in faults[:_SHOWN]
    ]
    return Check(name, shown + [f"and {len(faults) - _SHOWN} more"] * (len(faults) > _SHOWN))


def _is_answered(story: Story) -> bool:
    if story.entry.outcome != ANSWER:
        return True
    return bool(story.received) and story.received[-1]["status"] == story.entry.status


def _is_timeout(entry: Entry) -> bool:
    return "Timeout" in entry.detail or "timed out" in entry.detail


def _is_sent_again_after_401s(story: Story) -> bool:
    """At most twice: a token from the cache may be dead, which shows at the first replay."""
    statuses = [one["status"] for one in story.received]
    return len(statuses) <= 3 and all(status == 401 for status in statuses[:-1])


def by_check(found: Iterable[tuple[str, dict[str, list[str]]]]) -> list[Check]:
    """What each process found, put together: one check of each name."""
    together: dict[str, list[str]] = defaultdict(list)
    for process, faults in found:
        for name, texts in faults.items():
            together[name] += [f"{process}: {text}" for text in texts]
    return [Check(name, faults) for name, faults in together.items()]
