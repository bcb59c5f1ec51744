# The command `demo`: the plugin at work in requests, httpx and AsyncClient.
#
# Here: the run against a sandbox, and its clients. Not here: the report of it (_report), and the sandbox
# (testing).
#
# One TheBaseAuth serves all clients. They work in turn, and so a token request in the record belongs to the
# client whose turn it was.

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from typing import Any, Final, NamedTuple, TextIO, TypeAlias

import anyio
import anyio.from_thread
import httpx
import requests
from requests.adapters import HTTPAdapter

from thebase_auth import TheBaseAuth
from thebase_auth.testing import Sandbox

from ._report import (
    Report,
    Statement,
    answers_statement,
    lead_statement,
    plural,
    renewal_statements,
    token_statement,
    users_statement,
)

# In seconds:
_TIMEOUT: Final = 10.0  # of each call, far more than a loopback server takes
_HOLD: Final = 5.0  # how long many callers may take to get a 401 each
_PAUSE: Final = 0.005  # between two looks at the record, while calls are under way

_JSON: Final = {"Accept": "application/json"}
_LEAD: Final = {"name": "ישראל ישראלי", "f_name": "ישראל", "phone": "0501234567"}
_LEADS, _USERS = "/v2/leads/create", "/v2/users"

Call: TypeAlias = futures.Future[Any]


class Client(NamedTuple):
    """A client of either library, sync or async. Each call runs in its own thread or task."""

    get: Callable[[str], Call]
    post: Callable[[str, dict[str, str]], Call]


OpenClient: TypeAlias = Callable[[], AbstractContextManager[Client]]
Script: TypeAlias = Callable[[Client, Sandbox, Report], None]


def run_demo(out: TextIO, sandbox: Sandbox | None = None, *, callers: int = 100) -> bool:
    """Let the plugin work against a sandbox, and print a report as it goes.

    Args:
        out: Where to print. Neither a token nor the secret is shown.
        sandbox: What to run against, not yet started; by default a new one.
        callers: How many callers meet one expiry together.

    Returns:
        Whether every line was right.

    Raises:
        OSError: if the sandbox cannot start.
    """
    began = time.monotonic()
    report = Report(out)
    with sandbox or Sandbox() as thebase:
        session = requests.Session()
        pair = (thebase.client_id, thebase.client_secret)
        auth = TheBaseAuth(thebase.domain, *pair, timeout=_TIMEOUT, session=session)
        open_requests = partial(_requests_client, session, auth, callers)
        open_httpx = partial(_httpx_client, auth)
        open_async = partial(_async_client, auth, callers)
        parts: list[tuple[str, OpenClient, Script]] = [
            ("A program that uses requests", open_requests, _one_works_on),
            ("A program that uses httpx", open_httpx, _one_works_on),
            ("A program that uses httpx with asyncio", open_async, _one_works_on),
            (f"{callers} threads at the same moment", open_requests, partial(_many_work_on, callers=callers)),
            (
                f"{callers} asyncio tasks at the same moment",
                open_async,
                partial(_many_work_on, callers=callers),
            ),
        ]
        report.text(
            f"A TheBase for tests runs on this machine, at {thebase.domain}. All programs share one"
            " TheBaseAuth. Each line is checked by what that server received and answered."
        )
        for title, open_client, script in parts:
            report.title(title)
            try:
                with open_client() as client:
                    script(client, thebase, report)
            except (requests.RequestException, httpx.HTTPError) as error:
                got = f"{type(error).__name__}: {error}"
                report.add([Statement("the program goes on", "an answer", got)])
        report.title("All together")
        expected = plural(1 + len(parts), "token request")
        got = plural(thebase.token_requests, "token request")
        claim = "one at first, one for each that ended"
        report.add([Statement(claim, expected, got)])
        refused = sum(one.status == 401 for one in thebase.received)
    took = f"{time.monotonic() - began:.1f} s"
    if report.wrong:
        report.title(f"{report.wrong} of {report.count} lines are wrong ({took})", "red")
    else:
        report.title(f"All {report.count} lines are right ({took})", "green")
        report.text(
            f"{len(parts)} times a token ended while it was in use, and {refused} calls were refused. Each"
            " was sent again with a new token, and no program saw an error."
        )
        report.text("All it takes: session.auth = TheBaseAuth(...)")
    return not report.wrong


def _one_works_on(client: Client, thebase: Sandbox, report: Report) -> None:
    """Create a lead and list the users; then lose the token, and create another lead."""
    before = thebase.received
    lead = client.post(thebase.domain + _LEADS, _LEAD).result()
    claim = "it takes the token that is there" if before else "it fetches a token"
    report.add([token_statement(claim, before, thebase.received)])
    report.add([lead_statement("it creates a lead", lead)])
    users = client.get(thebase.domain + _USERS).result()
    report.add([users_statement("it lists the users", users)])
    before = thebase.received
    thebase.revoke_tokens()
    report.event("TheBase ends the token")
    call = client.post(thebase.domain + _LEADS, _LEAD)
    futures.wait([call])  # its error comes after what led to it
    report.add(renewal_statements(before, thebase.received, f"POST {_LEADS}"))
    report.add([lead_statement("all that the program sees is its lead", call.result())])


def _many_work_on(client: Client, thebase: Sandbox, report: Report, *, callers: int) -> None:
    """Let all callers lose the token at once, and none get another before each has its 401."""
    client.get(thebase.domain + _USERS).result()  # fetches the token that is to be lost
    before = thebase.received
    thebase.revoke_tokens()
    report.event(f"TheBase ends the token, and all {callers} call at once")
    with thebase.hold_token_requests():
        calls = [client.get(thebase.domain + _USERS) for _ in range(callers)]
        deadline = time.monotonic() + _HOLD
        refused = 0
        while refused < callers and time.monotonic() < deadline and not all(call.done() for call in calls):
            time.sleep(_PAUSE)
            refused = sum(one.status == 401 for one in thebase.received[len(before) :])
            report.progress(refused, callers, "refused")
    with suppress(TimeoutError):
        for done, _ in enumerate(futures.as_completed(calls, timeout=_TIMEOUT), 1):
            report.progress(done, callers, "answered")
    report.add(renewal_statements(before, thebase.received, f"GET {_USERS}", callers=callers))
    report.add([answers_statement(f"all {callers} get their answer", calls)])


@contextmanager
def _requests_client(session: requests.Session, auth: TheBaseAuth, callers: int) -> Iterator[Client]:
    session.auth = auth
    session.headers.update(_JSON)
    session.trust_env = False  # no proxy and no .netrc: all this happens on loopback
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
    # The portal runs an event loop in another thread.
    with (
        anyio.from_thread.start_blocking_portal() as portal,
        portal.wrap_async_context_manager(opened) as client,
    ):
        yield Client(
            get=lambda url: portal.start_task_soon(client.get, url),
            post=lambda url, lead: portal.start_task_soon(partial(client.post, url, json=lead)),
        )
