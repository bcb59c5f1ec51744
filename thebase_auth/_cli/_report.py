# The report of the demo.
#
# Here: its lines, each of which compares what should have happened with what did, and where the latter comes
# from: the sandbox's record of received requests, or an answer; never the plugin. Not here: the run (_demo).

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TextIO, TypeAlias

from thebase_auth.testing import ReceivedRequest

if TYPE_CHECKING:
    import httpx
    import requests

    Response: TypeAlias = requests.Response | httpx.Response

_TOKEN_PATH: Final = "/oauth/token"  # noqa: S105


@dataclass(frozen=True, slots=True)
class Statement:
    """One line of the report.

    Attributes:
        topic: A word for its subject.
        expected: What should have happened.
        got: What happened.
        detail: What is worth showing, but differs from run to run.
    """

    topic: str
    expected: str
    got: str
    detail: str = ""

    @property
    def holds(self) -> bool:
        """Whether it happened as expected."""
        return self.got == self.expected

    def __str__(self) -> str:
        text = self.got if self.holds else f"expected {self.expected}, got {self.got}"
        return f"{self.topic:<9} {text}{self.detail}"


class Report:
    """Prints statements as they come, and counts them.

    Attributes:
        count: How many there were.
        wrong: How many of them did not hold.
    """

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self.count = 0
        self.wrong = 0

    def add(self, heading: str, statements: Iterable[Statement]) -> None:
        """Print *statements* one by one, the *heading* before the first."""
        for statement in statements:
            self.count += 1
            self.wrong += not statement.holds
            self.write(f"{heading:<12} {statement}")
            heading = ""

    def write(self, line: str) -> None:
        """Print a line at once, with question marks for what *out* cannot encode."""
        encoding = self._out.encoding or "utf-8"
        text = line.encode(encoding, "replace").decode(encoding)
        print(text, file=self._out, flush=True)


def token_statement(before: Sequence[ReceivedRequest], received: Sequence[ReceivedRequest]) -> Statement:
    """Whose token the first call of a client carries: a client fetches one only if there is none.

    Args:
        before: What the sandbox had received before that call.
        received: What it has received after the call, *before* included.
    """
    news = received[len(before) :]
    is_shared = _tokens(before[-1:]) == _tokens(news[-1:]) != set()
    return Statement(
        "token",
        f"shared: {_counted(0, before)}" if before else f"fetched: {_counted(1, before)}",
        f"{'shared' if is_shared else 'fetched'}: {_counted(_token_requests(news), before)}",
    )


def renewal_statements(
    before: Sequence[ReceivedRequest],
    received: Sequence[ReceivedRequest],
    call: str,
    *,
    callers: int = 1,
) -> Iterator[Statement]:
    """What got a 401, how often the token was renewed, and what was replayed.

    Args:
        before: What the sandbox had received before it revoked the token.
        received: What it has received after the calls that followed, *before* included.
        call: Method and path of these calls.
        callers: How many of them there were.
    """
    news = received[len(before) :]
    renewal = next((place for place, one in enumerate(news) if one.path == _TOKEN_PATH), len(news))
    refused = [one for one in news[:renewal] if one.status == 401]
    replayed = [one for one in news[renewal:] if one.path != _TOKEN_PATH]
    refused_later = [one for one in replayed if one.status == 401]

    calls = f"{callers} x {call}"
    later = f", for {_calls(refused_later)} after it" if refused_later else ""
    expected = f"401 for {calls} before the renewal"
    yield Statement("revoked", expected, f"401 for {_calls(refused)} before the renewal{later}")

    yield Statement("renewed", _counted(1, before), _counted(_token_requests(news), before))

    is_other = len(_tokens(replayed)) == 1 and _tokens(replayed).isdisjoint(_tokens(refused))
    token = "another token" if is_other else "not another token"
    yield Statement(
        "replayed",
        f"{calls}, {_bodies(refused, refused)}, another token",
        f"{_calls(replayed)}, {_bodies(replayed, refused)}, {token}",
    )


def lead_statement(response: Response) -> Statement:
    """What creating a lead brought."""
    expected, status = "201, an id", response.status_code
    if status != 201:
        return Statement("lead", expected, str(status))
    lead = response.json()
    has_id = str(lead.get("id")).isdecimal()
    detail = f" {lead.get('id')}, {lead.get('message')}"
    return Statement("lead", expected, f"{status}, {'an id' if has_id else 'no id'}", detail)


def users_statement(response: Response) -> Statement:
    """What listing the users brought."""
    expected, status = "200, 2 users", response.status_code
    if status != 200:
        return Statement("users", expected, str(status))
    users = response.json()["items"]
    detail = "".join(f", {user['name']}" for user in users)
    return Statement("users", expected, f"{status}, {plural(len(users), 'user')}", detail)


def answers_statement(calls: Sequence[Future[Any]]) -> Statement:
    """Whether every call got its answer."""
    return Statement("answered", f"{len(calls)} x 200", _tally(outcome(call) for call in calls))


def outcome(call: Future[Any]) -> str:
    """The status of a call's answer, or the name of its exception."""
    if not call.done():
        return "no answer"
    error = call.exception()
    return str(call.result().status_code) if error is None else type(error).__name__


def plural(count: int, noun: str) -> str:
    """A number of things, in words."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _counted(new: int, before: Sequence[ReceivedRequest]) -> str:
    """The number of new token requests, and of all so far."""
    return f"{plural(new, 'token request')}, {_token_requests(before) + new} so far"


def _token_requests(received: Iterable[ReceivedRequest]) -> int:
    return sum(one.path == _TOKEN_PATH for one in received)


def _tokens(received: Iterable[ReceivedRequest]) -> set[str]:
    return {one.headers.get("authorization", "") for one in received}


def _calls(received: Iterable[ReceivedRequest]) -> str:
    return _tally(f"{one.method} {one.path}" for one in received)


def _bodies(received: Iterable[ReceivedRequest], others: Iterable[ReceivedRequest]) -> str:
    """The length of all bodies, and whether they are those of the *others*."""
    bodies = Counter(one.body for one in received)
    size = sum(map(len, bodies.elements()))
    if not size:
        return "no body"
    is_same = bodies == Counter(one.body for one in others)
    return f"the same {size} bytes" if is_same else f"{size} other bytes"


def _tally(names: Iterable[str]) -> str:
    return ", ".join(f"{count} x {name}" for name, count in Counter(names).items()) or "nothing"
