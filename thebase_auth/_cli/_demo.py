# `thebase-auth demo`: the plugin at work in requests, httpx and AsyncClient, and a check on it.
#
# Here: the run against a sandbox, and the account of it. Each line of the account is a statement,
# what should have happened beside what did; and what did is taken from the sandbox's record of what
# it received, or from an answer, never from the plugin. Not here: the sandbox (testing), exit codes
# (__init__).
#
# One TheBaseAuth serves all clients, and these work in turn, so that a token request in the record
# belongs to the client whose turn it was.

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
from requests.adapters import HTTPAdapter

from thebase_auth import TheBaseAuth
from thebase_auth.testing import ReceivedRequest, Sandbox

# For each call: far more than a loopback server takes.
_TIMEOUT: Final = 10.0  # seconds

# For many callers to get a first answer, while no token request is answered.
_HOLD: Final = 5.0  # seconds

# Between two looks at the sandbox's record, while calls are under way.
_LOOK_AGAIN: Final = 0.005  # seconds

_JSON: Final = {"Accept": "application/json"}
_LEAD: Final = {"name": "ישראל ישראלי", "f_name": "ישראל", "phone": "0501234567"}
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
    """What the responses of requests and of httpx have in common.

    Attributes:
        status_code: The status of the answer.
    """

    status_code: int

    def json(self) -> Any:
        """The parsed body."""


Call: TypeAlias = futures.Future[Any]


@dataclass(frozen=True, slots=True)
class Client:
    """A client of either library, sync or async. A call is started in a thread or task of its own.

    Attributes:
        get: Starts to get a URL.
        post: Starts to post JSON to a URL.
    """

    get: Callable[[str], Call]
    post: Callable[[str, dict[str, str]], Call]


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
        requested = f"{1 + len(parts)} token requests"
        arrived = _plural(thebase.token_requests, "token request")
        account.tell("sandbox", [Statement("in all", requested, arrived)])
    if account.wrong:
        account.write(f"{account.wrong} of {account.told} lines are not as they should be")
    else:
        account.write(f"all {account.told} lines are as they should be")
    return not account.wrong


def _one_works_on(client: Client, thebase: Sandbox) -> Iterator[Statement]:
    """Create a lead and list the users; then lose the token, and create another lead."""
    before = thebase.received
    lead = client.post(thebase.domain + _LEADS, _LEAD).result()
    yield token_statement(before, thebase.received)
    yield lead_statement(lead)
    yield users_statement(client.get(thebase.domain + _USERS).result())
    before = thebase.received
    thebase.revoke_tokens()
    call = client.post(thebase.domain + _LEADS, _LEAD)
    futures.wait([call])  # an error is told after what led to it
    yield from renewal_statements(before, thebase.received, f"POST {_LEADS}")
    yield lead_statement(call.result())


def _many_meet_one_expiry(client: Client, thebase: Sandbox, *, callers: int) -> Iterator[Statement]:
    """Let all callers lose the token at once, and none get another before each has its 401."""
    client.get(thebase.domain + _USERS).result()  # there must be a token to lose
    before = thebase.received
    thebase.revoke_tokens()
    with thebase.hold_token_requests():
        calls = [client.get(thebase.domain + _USERS) for _ in range(callers)]
        deadline = time.monotonic() + _HOLD
        while (
            sum(one.status == 401 for one in thebase.received[len(before) :]) < callers
            and time.monotonic() < deadline
            and not all(call.done() for call in calls)
        ):
            time.sleep(_LOOK_AGAIN)
    futures.wait(calls, timeout=_TIMEOUT)
    call = f"GET {_USERS}"
    yield from renewal_statements(before, thebase.received, call, callers=callers)
    yield Statement("answered", f"{callers} x 200", _tally(outcome(one) for one in calls))


def token_statement(before: Sequence[ReceivedRequest], received: Sequence[ReceivedRequest]) -> Statement:
    """Whose token the first call of a client carries: it fetches one only if there is none.

    Args:
        before: What the sandbox had received before that call.
        received: What it has received after the call, *before* included.
    """
    news = received[len(before) :]
    shared = _tokens(before[-1:]) == _tokens(news[-1:]) != set()
    return Statement(
        "token",
        f"shared: {_counted(0, before)}" if before else f"fetched: {_counted(1, before)}",
        f"{'shared' if shared else 'fetched'}: {_counted(_token_requests(news), before)}",
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
    renewed = next((place for place, one in enumerate(news) if one.path == _TOKEN), len(news))
    refused = [one for one in news[:renewed] if one.status == 401]
    again = [one for one in news[renewed:] if one.path != _TOKEN]
    refused_again = [one for one in again if one.status == 401]

    calls = f"{callers} x {call}"
    later = f", for {_calls(refused_again)} after it" if refused_again else ""
    expected = f"401 for {calls} before the renewal"
    yield Statement("revoked", expected, f"401 for {_calls(refused)} before the renewal{later}")

    yield Statement("renewed", _counted(1, before), _counted(_token_requests(news), before))

    other_token = len(_tokens(again)) == 1 and _tokens(again).isdisjoint(_tokens(refused))
    token = "another token" if other_token else "not another token"
    yield Statement(
        "replayed",
        f"{calls}, {_bodies(refused, refused)}, another token",
        f"{_calls(again)}, {_bodies(again, refused)}, {token}",
    )


def lead_statement(answer: Answer) -> Statement:
    """What creating a lead brought."""
    expected, status = "201, an id", answer.status_code
    if status != 201:
        return Statement("lead", expected, str(status))
    lead = answer.json()
    known = str(lead.get("id")).isdecimal()
    detail = f" {lead.get('id')}, {lead.get('message')}"
    return Statement("lead", expected, f"{status}, {'an id' if known else 'no id'}", detail)


def users_statement(answer: Answer) -> Statement:
    """What listing the users brought."""
    expected, status = "200, 2 users", answer.status_code
    if status != 200:
        return Statement("users", expected, str(status))
    users = answer.json()["items"]
    detail = "".join(f", {user['name']}" for user in users)
    return Statement("users", expected, f"{status}, {_plural(len(users), 'user')}", detail)


def outcome(call: Call) -> str:
    """The status of a call's answer, or what came in its place."""
    if not call.done():
        return "no answer"
    error = call.exception()
    return str(call.result().status_code) if error is None else type(error).__name__


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _counted(new: int, before: Sequence[ReceivedRequest]) -> str:
    """So many new token requests, and how many that makes with those before."""
    return f"{_plural(new, 'token request')}, {_token_requests(before) + new} so far"


def _token_requests(received: Sequence[ReceivedRequest]) -> int:
    return sum(one.path == _TOKEN for one in received)


def _tokens(received: Iterable[ReceivedRequest]) -> set[str]:
    return {one.headers.get("authorization", "") for one in received}


def _calls(received: Iterable[ReceivedRequest]) -> str:
    return _tally(f"{one.method} {one.path}" for one in received)


def _bodies(received: Sequence[ReceivedRequest], others: Sequence[ReceivedRequest]) -> str:
    """How long the bodies received are together, and whether they are those of the others."""
    size = sum(len(one.body) for one in received)
    if not size:
        return "no body"
    same = Counter(one.body for one in received) == Counter(one.body for one in others)
    return f"the same {size} bytes" if same else f"{size} other bytes"


def _tally(names: Iterable[str]) -> str:
    return ", ".join(f"{count} x {name}" for name, count in Counter(names).items()) or "nothing"


@contextmanager
def _requests_client(session: requests.Session, auth: TheBaseAuth, callers: int) -> Iterator[Client]:
    session.auth = auth
    session.headers.update(_JSON)
    # Nothing of the machine's proxies or .netrc: all this happens on loopback.
    session.trust_env = False
    session.mount("http://", HTTPAdapter(pool_maxsize=callers))
    with session, futures.ThreadPoolExecutor(callers) as threads:
        yield Client(
            get=lambda url: threads.submit(session.get, url, timeout=_TIMEOUT),
            post=lambda url, lead: threads.submit(session.post, url, json=lead, timeout=_TIMEOUT),
        )


@contextmanager
def _httpx_client(auth: TheBaseAuth) -> Iterator[Client]:
    opened = httpx.Client(auth=auth, headers=_JSON, timeout=_TIMEOUT, trust_env=False)
    with opened as client, futures.ThreadPoolExecutor(1) as threads:
        yield Client(
            get=lambda url: threads.submit(client.get, url),
            post=lambda url, lead: threads.submit(client.post, url, json=lead),
        )


@contextmanager
def _async_client(auth: TheBaseAuth, callers: int) -> Iterator[Client]:
    limits = httpx.Limits(max_connections=callers, max_keepalive_connections=callers)
    opened = httpx.AsyncClient(auth=auth, headers=_JSON, timeout=_TIMEOUT, limits=limits, trust_env=False)
    # The event loop runs in a thread of its own, in which the portal starts the tasks.
    with (
        anyio.from_thread.start_blocking_portal() as portal,
        portal.wrap_async_context_manager(opened) as client,
    ):
        yield Client(
            get=lambda url: portal.start_task_soon(client.get, url),
            post=lambda url, lead: portal.start_task_soon(partial(client.post, url, json=lead)),
        )
