"""A leader that an exception strikes, at whatever line of this package, holds nobody up."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import httpx
import pytest

import thebase_auth
from tests.support.clients import auth_for
from tests.support.world import DOMAIN, URL, World

PACKAGE = str(Path(thebase_auth.__file__).parent)


class Struck(BaseException):
    """As a signal's handler, a debugger or `gevent.Timeout` may raise it anywhere."""


class Strike:
    """Raises at the line of this package that is so many lines after the beginning."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.where: str | None = None

    def __call__(self, frame: FrameType, event: str, arg: Any) -> Any:
        return self.line if frame.f_code.co_filename.startswith(PACKAGE) else None

    def line(self, frame: FrameType, event: str, arg: Any) -> Any:
        if event == "line":
            self.number -= 1
            if self.number == 0:
                self.where = f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
                raise Struck
        return self.line


def with_requests(world: World, auth: Any) -> int:
    with world.session() as session:
        return session.get(URL, auth=auth, timeout=20).status_code


def with_httpx(world: World, auth: Any) -> int:
    with world.client(httpx, auth) as client:
        status: int = client.get(URL).status_code
    return status


def with_asyncio(world: World, auth: Any) -> int:
    async def call() -> int:
        async with world.async_client(httpx, auth) as client:
            status: int = (await client.get(URL)).status_code
        return status

    return asyncio.run(call())


CALLS: list[Callable[[World, Any], int]] = [with_requests, with_httpx, with_asyncio]


def in_a_thread(call: Callable[[], object]) -> Any:
    """The result of *call* in a thread of its own, or what it raised; None if it takes too long."""
    results: list[object] = []

    def run() -> None:
        try:
            results.append(call())
        except BaseException as error:
            results.append(error)
        finally:
            sys.settrace(None)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(20)
    return results[0] if results else None


def strikes(call: Callable[[World, Any], int], *, renewal: bool) -> Iterator[tuple[Strike, Any]]:
    """Strike a call at each of its lines; with the result of another one, after it."""
    for number in range(1, 2000):
        world = World()
        auth = auth_for(DOMAIN, session=world.session())
        if renewal:
            call(world, auth)
            world.live.clear()
        strike = Strike(number)

        def leader() -> int:
            sys.settrace(strike)
            return call(world, auth)

        kept = in_a_thread(leader)
        if strike.where is None:
            assert kept == 200
            return

        def others() -> int:
            call(world, auth)
            world.live.clear()
            return call(world, auth)

        yield strike, in_a_thread(others)


@pytest.mark.parametrize(
    "renewal",
    [pytest.param(False, id="first request"), pytest.param(True, id="renewal", marks=pytest.mark.slow)],
)
@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__name__)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_another_caller_gets_through_wherever_the_leader_was_struck(
    call: Callable[[World, Any], int], renewal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("thebase_auth._waiting._LOOK_AGAIN", 0.02)
    results = [(strike.where, result) for strike, result in strikes(call, renewal=renewal)]
    assert len(results) > 100
    assert [where for where, result in results if result != 200] == []
