"""Callers of a shared token, as plain values."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from tests.support.token_answers import CREDENTIALS
from thebase_auth._core.backoff import Operation
from thebase_auth._core.core import Core
from thebase_auth._core.errors import TokenRequestError
from thebase_auth._core.pending import Task
from thebase_auth._core.shared_token import Decision, Fetch, Flight, SharedToken, Wait
from thebase_auth._core.token import Token

TOKEN, OTHER = Token("abc"), Token("def")
USERS, LEADS = Operation("GET", "/v2/users"), Operation("POST", "/v2/leads/create")
LONGEST = 60.0  # seconds
LONG = 30.0  # seconds; longer than anything here takes
LOOP = object()

Result = TypeVar("Result")


def an_error(status: int = 401, error: str | None = "invalid_client", **said: Any) -> TokenRequestError:
    return TokenRequestError("no", domain="acme.thebase.co.il", status=status, error=error, **said)


def a_task(loop: object = LOOP) -> Task:
    return Task(loop, object(), lambda: False)


ONE, OTHER_TASK, ELSEWHERE = a_task(), a_task(), a_task(loop=object())


def a_core(timeout: float = 30.0, cache: Any = None) -> Core:
    return Core(CREDENTIALS, timeout=timeout, cache=cache)


def ask(
    shared: SharedToken,
    refused: Token | None = None,
    operation: Operation | None = None,
    *,
    now: float = 0,
    blocking: bool = False,
    given_up: Flight | None = None,
) -> Decision:
    """Ask as a new task, or as a caller that blocks its thread."""
    task = None if blocking else a_task()
    return shared.ask(refused, operation=operation, now=now, longest=LONGEST, task=task, given_up=given_up)


def lead(shared: SharedToken, *asked: Any, **options: Any) -> Flight:
    """The flight of a caller that asks, leads and has begun."""
    step = ask(shared, *asked, **options)
    assert isinstance(step, Fetch)
    step.flight.begun = True
    if step.superseded is not None:
        step.superseded.end()
    return step.flight


def wait(shared: SharedToken, *asked: Any, **options: Any) -> Flight:
    """The flight for which a caller that asks has to wait."""
    step = ask(shared, *asked, **options)
    assert isinstance(step, Wait)
    return step.flight


def renew(
    shared: SharedToken,
    token: Token,
    refused: Token | None = None,
    operation: Operation | None = None,
    *,
    now: float = 0,
) -> Token:
    """Lead, and finish with *token*."""
    return shared.finish(lead(shared, refused, operation, now=now), token, now=now)


def in_another_thread(function: Callable[[], Result]) -> Result:
    """What *function* gives in another thread; one that is stuck is left behind."""
    result: Future[Result] = Future()

    def run() -> None:
        try:
            result.set_result(function())
        except BaseException as error:
            result.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return result.result(LONG / 3)
