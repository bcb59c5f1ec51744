# The command `demo`: a token is revoked under load, and the server's record shows what the plugin did.

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from typing import Final

import click
import httpx
import requests
from requests.adapters import HTTPAdapter

from thebase_auth import TheBaseAuth
from thebase_auth._core.credentials import TOKEN_PATH
from thebase_auth.testing import ReceivedRequest, Sandbox

_CALLERS: Final = 100
_TIMEOUT: Final = 10.0  # seconds
_JSON: Final = {"Accept": "application/json"}
_LEAD: Final = {"name": "ישראל ישראלי", "f_name": "ישראל", "phone": "0501234567"}


def run_demo() -> bool:
    """Run the demo, and print a line per step.

    Returns:
        Whether every line is true.
    """
    with Sandbox() as thebase, requests.Session() as session:
        auth = TheBaseAuth(
            thebase.domain, thebase.client_id, thebase.client_secret, timeout=_TIMEOUT, session=session
        )
        session.auth = auth
        session.headers.update(_JSON)
        session.trust_env = False  # no proxy and no .netrc: the server is on this machine
        session.mount("http://", HTTPAdapter(pool_maxsize=_CALLERS))
        demo = _Demo(thebase)
        try:
            demo.run(session, auth)
        except (requests.RequestException, httpx.HTTPError) as error:
            demo.check("every call gets a response: ", "yes", f"{type(error).__name__}: {error}")
    if demo.is_true:
        click.echo("\nAll it takes: session.auth = TheBaseAuth(...)")
    return demo.is_true


class _Demo:
    """The steps of the demo.

    Attributes:
        is_true: Whether every line so far was true.
    """

    def __init__(self, thebase: Sandbox) -> None:
        self.is_true = True
        self._thebase = thebase
        self._seen = 0  # requests in the server's record that a line has shown

    def run(self, session: requests.Session, auth: TheBaseAuth) -> None:
        users = f"{self._thebase.domain}/v2/users"
        leads = f"{self._thebase.domain}/v2/leads/create"
        click.echo("A fake TheBase server on this machine, requests, httpx,")
        click.echo("and one TheBaseAuth. This is what the server records:\n")
        session.get(users, timeout=_TIMEOUT)
        self.check_record("the first call: ", "token request, 200")
        self._revoke("the token")
        session.post(leads, json=_LEAD, timeout=_TIMEOUT)
        self.check_record("creating a lead: ", "401, token request, 201")
        for callers, call_all in (
            ("threads", lambda: _call_in_threads(session, users)),
            ("tasks", lambda: _call_in_tasks(auth, users)),
        ):
            self._revoke(f"the token of {_CALLERS} {callers}")
            statuses = self._call_together(call_all)
            times = f"{_CALLERS} x"
            self.check_record("", f"{times} 401, token request, {times} 200")
            self.check(f"all {callers} get their response: ", f"{times} 200", _summary(map(str, statuses)))
        self.check("in all: ", "4 token requests", f"{self._thebase.token_requests} token requests")

    def check_record(self, claim: str, expected: str) -> None:
        """Print what the server has recorded since the last line, and whether it is as expected."""
        news = self._thebase.received[self._seen :]
        self._seen += len(news)
        self.check(claim, expected, _summary(map(_event, news)))

    def check(self, claim: str, expected: str, got: str) -> None:
        """Print a line, and whether it is true."""
        if got == expected:
            click.echo(f"ok  {claim}{expected}")
        else:
            self.is_true = False
            click.echo(f"NO  {claim}expected {expected}; got {got}")

    def _revoke(self, what: str) -> None:
        self._thebase.revoke_tokens()
        click.echo(f"    the server revokes {what}")

    def _call_together(self, call_all: Callable[[], list[int]]) -> list[int]:
        """Let each caller get its 401 before one of them gets a token, and return their statuses."""
        deadline = time.monotonic() + _TIMEOUT / 2
        with ThreadPoolExecutor(1) as background, self._thebase.hold_token_requests():
            calls = background.submit(call_all)
            while self._rejected() < _CALLERS and not calls.done() and time.monotonic() < deadline:
                time.sleep(0.01)
        return calls.result()

    def _rejected(self) -> int:
        return sum(one.status == 401 for one in self._thebase.received[self._seen :])


def _call_in_threads(session: requests.Session, url: str) -> list[int]:
    with ThreadPoolExecutor(_CALLERS) as threads:
        calls = [threads.submit(session.get, url, timeout=_TIMEOUT) for _ in range(_CALLERS)]
    return [call.result().status_code for call in calls]


def _call_in_tasks(auth: TheBaseAuth, url: str) -> list[int]:
    async def call_all() -> list[int]:
        # httpcore spends seconds on a hundred idle connections.
        limits = httpx.Limits(max_connections=_CALLERS, max_keepalive_connections=0)
        async with httpx.AsyncClient(
            auth=auth, headers=_JSON, timeout=_TIMEOUT, limits=limits, trust_env=False
        ) as client:
            responses = await asyncio.gather(*(client.get(url) for _ in range(_CALLERS)))
        return [response.status_code for response in responses]

    return asyncio.run(call_all())


def _event(received: ReceivedRequest) -> str:
    if received.path != TOKEN_PATH:
        return str(received.status)
    return "token request" if received.status == 200 else f"token request: {received.status}"


def _summary(events: Iterable[str]) -> str:
    """The events in their order, equal neighbours as one: ``100 x 401, token request``."""
    counted = [(len([*group]), event) for event, group in groupby(events)]
    return ", ".join(event if count == 1 else f"{count} x {event}" for count, event in counted) or "nothing"
