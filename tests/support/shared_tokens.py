"""Callers of a renewal, as plain values."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from thebase_auth._errors import TokenRequestError
from thebase_auth._refusals import Endpoint
from thebase_auth._renewal import Flight, KeepRefusal, Lead, Renewal, Task, Wait
from thebase_auth._token import Token

TOKEN, OTHER = Token("abc"), Token("def")


USERS, LEADS = Endpoint("GET", "/v2/users"), Endpoint("POST", "/v2/leads/create")


LEASE = 60.0  # seconds


LONG = 30.0  # seconds; longer than anything here takes


def an_error() -> TokenRequestError:
    return TokenRequestError("no", domain="acme.thebase.co.il", status=401, error="invalid_client")


LOOP = object()


def a_task(loop: object = LOOP) -> Task:
    return Task(loop, object())


def ask(
    renewal: Renewal,
    refused: str | None = None,
    endpoint: Endpoint | None = None,
    *,
    now: float = 0,
    blocking: bool = False,
) -> Token | Lead | Wait | KeepRefusal:
    """Ask as a task of its own, or as a caller that blocks its thread."""
    task = None if blocking else a_task()
    return renewal.ask(refused, endpoint=endpoint, now=now, lease=LEASE, task=task)


def led(answer: Token | Lead | Wait | KeepRefusal) -> Flight:
    """The flight of a leader, who lives as long as the flight is referred to."""
    assert isinstance(answer, Lead)
    answer.flight.leader = answer  # type: ignore[attr-defined]
    return answer.flight


def lead(
    renewal: Renewal,
    refused: str | None = None,
    endpoint: Endpoint | None = None,
    *,
    now: float = 0,
    blocking: bool = False,
) -> Flight:
    return led(ask(renewal, refused, endpoint, now=now, blocking=blocking))


def wait(
    renewal: Renewal,
    refused: str | None = None,
    endpoint: Endpoint | None = None,
    *,
    now: float = 0,
    blocking: bool = False,
) -> Flight:
    answer = ask(renewal, refused, endpoint, now=now, blocking=blocking)
    assert isinstance(answer, Wait)
    return answer.flight


ONE, OTHER_TASK, ELSEWHERE = a_task(), a_task(), a_task(loop=object())


Result = TypeVar("Result")


def in_another_thread(function: Callable[[], Result]) -> Result:
    """What *function* gives in a thread of its own; one that is stuck is left behind."""
    result: Future[Result] = Future()

    def run() -> None:
        try:
            result.set_result(function())
        except BaseException as error:
            result.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return result.result(LONG / 3)
