# The report of the demo.
#
# Here: its lines, each of which compares what should have happened with what did, and where the latter comes
# from: the sandbox's record of received requests, or an answer; never the plugin. How they look at a
# terminal, and in a pipe. Not here: the run (_demo).

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TextIO, TypeAlias

import click

from thebase_auth._core.credentials import TOKEN_PATH
from thebase_auth.testing import ReceivedRequest

from ._screen import columns, fold, is_coloured

if TYPE_CHECKING:
    import httpx
    import requests

    Response: TypeAlias = requests.Response | httpx.Response

_CLAIM: Final = 38  # columns of what a line claims, before what shows it
_WIDE: Final = 80  # columns of a terminal that has room for both side by side
_BAR: Final = 20  # columns
_SIGNS: Final = "\N{CHECK MARK} \N{BALLOT X} \N{RIGHTWARDS ARROW} \N{FULL BLOCK}\N{LIGHT SHADE}"
_ERASE: Final = "\r\x1b[K"  # what the line of the cursor shows


@dataclass(frozen=True, slots=True)
class Statement:
    """One line of the report.

    Attributes:
        claim: What it says, in words.
        expected: What should have happened.
        got: What happened.
        detail: What is worth showing, but differs from run to run.
    """

    claim: str
    expected: str
    got: str
    detail: str = ""

    @property
    def holds(self) -> bool:
        """Whether it happened as expected."""
        return self.got == self.expected

    @property
    def evidence(self) -> str:
        """What happened, beside what should have happened if that is something else."""
        return (self.got if self.holds else f"expected {self.expected}, got {self.got}") + self.detail


class Report:
    """Prints statements as they come, and counts them: in colours at a terminal, a line each in a pipe.

    Attributes:
        count: How many there were.
        wrong: How many of them did not hold.
    """

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._encoding = out.encoding or "utf-8"
        self._is_live = is_coloured(out) and self._encodable(_SIGNS) == _SIGNS
        self._right, self._wrong, self._event = _SIGNS.split()[:3] if self._is_live else ("ok", "no", "--")
        self.count = 0
        self.wrong = 0

    def add(self, statements: Iterable[Statement]) -> None:
        """Print *statements* one by one: what each claims, and what shows it."""
        for one in statements:
            self.count += 1
            self.wrong += not one.holds
            mark = self._right if one.holds else self._wrong
            colour = "green" if one.holds else "red"
            claim, evidence, indent = f"  {mark} {one.claim:<{_CLAIM}} ", one.evidence, _CLAIM + 5
            if (columns(self._out) or _WIDE) < _WIDE:
                claim, evidence, indent = f"  {mark} {one.claim}: {evidence}", "", 4
            line = fold(claim + evidence, self._out, " " * indent)
            length = len(claim) if evidence else len(line)
            claim, evidence = line[:length], line[length:]
            claim = claim.replace(mark, self._styled(mark, fg=colour, bold=True), 1)
            self._print(claim + self._styled(evidence, dim=True))

    def title(self, text: str, colour: str | None = None) -> None:
        """Begin a part."""
        self._print("\n" + self._styled(fold(text, self._out, ""), fg=colour, bold=True))

    def event(self, text: str) -> None:
        """Tell what is done to the programs, as opposed to what they do."""
        self._print(self._styled(fold(f"  {self._event} {text}", self._out, "    "), fg="yellow"))

    def text(self, text: str) -> None:
        """Print sentences."""
        self._print(fold(text, self._out, ""))

    def progress(self, done: int, total: int, what: str) -> None:
        """Show at a terminal how many are done, until the next line takes the place of it."""
        if self._is_live:
            full = _BAR * done // total
            bar = _SIGNS[-2] * full + _SIGNS[-1] * (_BAR - full)
            click.echo(f"{_ERASE}  {bar} {done} of {total} {what}", file=self._out, color=True, nl=False)

    def _print(self, text: str) -> None:
        erase = _ERASE if self._is_live else ""
        click.echo(erase + self._encodable(text), file=self._out, color=self._is_live)

    def _styled(self, text: str, **style: Any) -> str:
        return click.style(text, **style) if self._is_live else text

    def _encodable(self, text: str) -> str:
        """The text with question marks for what *out* cannot encode."""
        return text.encode(self._encoding, "replace").decode(self._encoding)


def token_statement(
    claim: str, before: Sequence[ReceivedRequest], received: Sequence[ReceivedRequest]
) -> Statement:
    """Whose token the first call of a client carries: a client fetches one only if there is none.

    Args:
        claim: What the line says.
        before: What the sandbox had received before that call.
        received: What it has received after the call, *before* included.
    """
    news = received[len(before) :]
    is_shared = _tokens(before[-1:]) == _tokens(news[-1:]) != set()
    return Statement(
        claim,
        f"{plural(0 if before else 1, 'token request')}, {'the same' if before else 'a new'} token",
        f"{plural(_token_requests(news), 'token request')}, {'the same' if is_shared else 'a new'} token",
    )


def renewal_statements(
    before: Sequence[ReceivedRequest], received: Sequence[ReceivedRequest], call: str, *, callers: int = 1
) -> Iterator[Statement]:
    """What got a 401, how often the token was renewed, and what was replayed.

    Args:
        before: What the sandbox had received before it revoked the token.
        received: What it has received after the calls that followed, *before* included.
        call: Method and path of these calls.
        callers: How many of them there were.
    """
    news = received[len(before) :]
    renewal = next((place for place, one in enumerate(news) if one.path == TOKEN_PATH), len(news))
    refused = [one for one in news[:renewal] if one.status == 401]
    replayed = [one for one in news[renewal:] if one.path != TOKEN_PATH]
    refused_later = [one for one in replayed if one.status == 401]

    calls = _times(callers, call)
    later = f", and after the renewal for {_calls(refused_later)}" if refused_later else ""
    many = callers > 1
    yield Statement(
        f"all {callers} calls are refused" if many else "its next call is refused",
        f"401 for {calls}",
        f"401 for {_calls(refused)}{later}",
    )
    yield Statement(
        f"1 fetches a new token, {callers - 1} wait" if many else "it fetches a new token",
        plural(1, "token request"),
        plural(_token_requests(news), "token request"),
    )
    is_other = len(_tokens(replayed)) == 1 and _tokens(replayed).isdisjoint(_tokens(refused))
    token = "a new token" if is_other else "not a new token"
    yield Statement(
        f"all {callers} are sent again" if many else "it sends the same call again",
        f"{_bodies(refused, refused) or calls}, a new token",
        f"{_replay(calls, refused, replayed)}, {token}",
    )


def lead_statement(claim: str, response: Response) -> Statement:
    """What creating a lead brought."""
    expected, status = "201, an id", response.status_code
    if status != 201:
        return Statement(claim, expected, str(status))
    lead = response.json()
    text = str(lead.get("id"))
    detail = f" {text if len(text) < 8 else f'...{text[-4:]}'}, {lead.get('message')}"
    return Statement(claim, expected, f"{status}, {'an id' if text.isdecimal() else 'no id'}", detail)


def users_statement(claim: str, response: Response) -> Statement:
    """What listing the users brought."""
    expected, status = "200, 2 users", response.status_code
    if status != 200:
        return Statement(claim, expected, str(status))
    users = response.json()["items"]
    detail = "".join(f", {user['name']}" for user in users)
    return Statement(claim, expected, f"{status}, {plural(len(users), 'user')}", detail)


def answers_statement(claim: str, calls: Sequence[Future[Any]]) -> Statement:
    """Whether every call got its answer."""
    return Statement(claim, _times(len(calls), "200"), _tally(outcome(call) for call in calls))


def outcome(call: Future[Any]) -> str:
    """The status of a call's answer, or the name of its exception."""
    if not call.done():
        return "no answer"
    error = call.exception()
    return str(call.result().status_code) if error is None else type(error).__name__


def plural(count: int, noun: str) -> str:
    """A number of things, in words."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _token_requests(received: Iterable[ReceivedRequest]) -> int:
    return sum(one.path == TOKEN_PATH for one in received)


def _tokens(received: Iterable[ReceivedRequest]) -> set[str]:
    return {one.headers.get("authorization", "") for one in received}


def _calls(received: Iterable[ReceivedRequest]) -> str:
    return _tally(f"{one.method} {one.path}" for one in received)


def _replay(calls: str, refused: Sequence[ReceivedRequest], replayed: Sequence[ReceivedRequest]) -> str:
    """The bodies of what was sent again; beside them the calls, if they are others or have no body."""
    sent, bodies = _calls(replayed), _bodies(replayed, refused)
    if sent == calls and bool(bodies) == bool(_bodies(refused, refused)):
        return bodies or sent
    return f"{sent}, {bodies or 'no body'}"


def _bodies(received: Iterable[ReceivedRequest], others: Iterable[ReceivedRequest]) -> str:
    """The length of all bodies, and whether they are those of the *others*; nothing if they are empty."""
    bodies = Counter(one.body for one in received)
    size = sum(map(len, bodies.elements()))
    if not size:
        return ""
    is_same = bodies == Counter(one.body for one in others)
    return f"the same {size} bytes" if is_same else f"{size} other bytes"


def _tally(names: Iterable[str]) -> str:
    return ", ".join(_times(count, name) for name, count in Counter(names).items()) or "nothing"


def _times(count: int, name: str) -> str:
    return name if count == 1 else f"{count} x {name}"
