# `thebase-auth demo`: the plugin at work in requests, httpx and httpx.AsyncClient, and a check on it.
#
# Here: the run against a sandbox, and the account of it. A line of the account is a statement: what
# should have happened beside what did, and the latter is taken from the sandbox's record of what it
# received, or from an answer, never from the plugin. Not here: the sandbox (testing), exit codes (_cli).
#
# One TheBaseAuth serves all clients, one client at a time, so that a token request in the record
# belongs to the client in whose part of the run it stands.

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent import futures
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol, TextIO, TypeAlias

import anyio
import anyio.from_thread
import httpx
import requests

from . import TheBaseAuth
from .testing import ReceivedRequest, Sandbox

# To each call, and to each wait of the demo's own: far more than a loopback server takes.
_TIMEOUT: Final = 10.0  # seconds

# Between two looks at the sandbox's record, while calls are under way.
_LOOK_AGAIN: Final = 0.005  # seconds

_JSON: Final = {"Accept": "application/json"}
_LEAD: Final = {"name": "ישראל", "f_name": "ישראלי", "phone": "0501234567"}
_TOKEN, _LEADS, _USERS = "/oauth/token", "/v2/leads/create", "/v2/users"


@dataclass(frozen=True, slots=True)
class Statement:
    """One line of the account.

    Attributes:
        topic: What it is about, in a word.
        expected: What the line should say.
        got: What it must say, going by the record or an answer.
        detail: What is worth showing, yet differs from run to run.
    """

    topic: str
    expected: str
    got: str
    detail: str = ""

    @property
    def holds(self) -> bool:
        """Whether things are as expected."""
        return self.got == self.expected

    def __str__(self) -> str:
        text = self.got if self.holds else f"expected {self.expected}, got {self.got}"
        return f"{self.topic:<9} {text}{self.detail}"


class Account:
    """Prints statements as they come, and counts them.

    Attributes:
        told: How many there were.
        wrong: How many of them did not hold.
    """

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self.told = 0
        self.wrong = 0

    def tell(self, teller: str, statements: Iterable[Statement]) -> None:
        """Print *statements* one by one, the name of their *teller* before the first."""
        for statement in statements:
            self.told += 1
            self.wrong += not statement.holds
            self.write(f"{teller:<12} {statement}")
            teller = ""

    def write(self, line: str) -> None:
        """Print a line at once, with question marks for what *out* cannot encode."""
        encoding = self._out.encoding or "utf-8"
        text = line.encode(encoding, "replace").decode(encoding)
        print(text, file=self._out, flush=True)


class Answer(Protocol):
    """What the responses of requests and of httpx have in common."""

    @property
    def status_code(self) -> int:
        """The status of the answer."""

    def json(self) -> Any:
        """The parsed body."""


@dataclass(frozen=True, slots=True)
class Client:
    """A client of either library, sync or async, with the three calls that the demo makes.

    Attributes:
        get: Gets a URL and waits for the answer.
        post: Posts JSON to a URL and waits for the answer.
        start: Starts to get a URL, in a thread or task of its own.
    """

    get: Callable[[str], Answer]
    post: Callable[[str, dict[str, str]], Answer]
    start: Callable[[str], futures.Future[Any]]


OpenClient: TypeAlias = Callable[[], AbstractContextManager[Client]]
Script: TypeAlias = Callable[[Client, Sandbox], Iterator[Statement]]


def run(out: TextIO, sandbox: Sandbox | None = None, *, callers: int = 100) -> bool:
    """Let the plugin work against a sandbox, and print an account of it as it goes.

    Args:
        out: Where the account goes. Neither a token nor the secret is in it.
        sandbox: What to run against, not yet started; by default a fresh one.
        callers: How many callers meet one expiry together.

    Returns:
        Whether everything was as it should be.

    Raises:
        OSError: the sandbox cannot start.
    """
    account = Account(out)
    with Sandbox() if sandbox is None else sandbox as thebase:
        session = requests.Session()
        auth = TheBaseAuth(
            thebase.domain,
            thebase.client_id,
            thebase.client_secret,
            timeout=_TIMEOUT,
            session=session,
        )
        open_requests = partial(_requests_client, session, auth, callers)
        open_httpx = partial(_httpx_client, auth)
        open_async = partial(_async_client, auth, callers)
        one_expiry = partial(_many_meet_one_expiry, callers=callers)
        parts: list[tuple[str, OpenClient, Script]] = [
            ("requests", open_requests, _one_works_on),
            ("httpx", open_httpx, _one_works_on),
            ("AsyncClient", open_async, _one_works_on),
            (f"{callers} threads", open_requests, one_expiry),
            (f"{callers} tasks", open_async, one_expiry),
        ]
        account.write(f"a sandbox at {thebase.domain}, and one TheBaseAuth for all that follows")
        for teller, open_client, script in parts:
            try:
                with open_client() as client:
                    account.tell(teller, script(client, thebase))
            except (requests.RequestException, httpx.HTTPError) as error:
                got = f"{type(error).__name__}: {error}"
                account.tell(teller, [Statement("stopped", "an answer", got)])
    if account.wrong:
        account.write(f"{account.wrong} of {account.told} lines are not as they should be")
    else:
        account.write(f"all {account.told} lines are as they should be")
    return not account.wrong


def _one_works_on(client: Client, thebase: Sandbox) -> Iterator[Statement]:
    """Create a lead and list the users; then lose the token, and create another lead."""
    before = thebase.received
    lead = client.post(thebase.domain + _LEADS, _LEAD)
    yield token_statement(before, thebase.received)
    yield lead_statement(lead)
    yield users_statement(client.get(thebase.domain + _USERS))
    before = thebase.received
    thebase.revoke_tokens()
    lead = client.post(thebase.domain + _LEADS, _LEAD)
    yield from renewal_statements(before, thebase.received, f"POST {_LEADS}")
    yield lead_statement(lead)


def _many_meet_one_expiry(client: Client, thebase: Sandbox, *, callers: int) -> Iterator[Statement]:
    """Let all callers lose the token at once, and none get another before each has its 401."""
    before = thebase.received
    thebase.revoke_tokens()
    with thebase.hold_token_requests():
        calls = [client.start(thebase.domain + _USERS) for _ in range(callers)]
        deadline = time.monotonic() + _TIMEOUT
        while (
            len(thebase.received) < len(before) + callers
            and time.monotonic() < deadline
            and not all(call.done() for call in calls)
        ):
            time.sleep(_LOOK_AGAIN)
    futures.wait(calls, timeout=_TIMEOUT)
    call = f"GET {_USERS}"
    yield from renewal_statements(before, thebase.received, call, callers=callers)
    yield Statement("answered", f"{callers} x 200", _tally(_outcome(call) for call in calls))


def token_statement(
    before: Sequence[ReceivedRequest], received: Sequence[ReceivedRequest]
) -> Statement:
    """Where the token of a client's first call comes from: it is fetched only if there was none.

    Args:
        before: What the sandbox had received before the client's first call.
        received: What it has received after that, *before* included.
    """
    if before:
        fetched, origin = 0, "the token already in use"
    else:
        fetched, origin = 1, "a first token"
    news = received[len(before) :]
    carried = news[-1].headers.get("authorization") if news else None
    return Statement(
        "token",
        f"{_token_requests(fetched, fetched + _count(before))}: {origin}",
        f"{_token_requests(_count(news), _count(received))}: {_compared(carried, before)}",
    )


def renewal_statements(
    before: Sequence[ReceivedRequest],
    received: Sequence[ReceivedRequest],
    call: str,
    *,
    callers: int = 1,
) -> Iterator[Statement]:
    """What got a 401, who renewed and what was replayed.
    """
