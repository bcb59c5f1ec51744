"""Many callers at once, and how to wait until they are where a test wants them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio

from tests.support.servers import Answer, Api, Received


def in_threads(count: int, call: Callable[[], Any]) -> list[Any]:
    """Run *call* in that many threads at once; its results, exceptions among them."""

    def caught() -> Any:
        try:
            return call()
        except Exception as error:
            return error

    with ThreadPoolExecutor(count) as pool:
        return [future.result(60) for future in [pool.submit(caught) for _ in range(count)]]


def wait_until_waiting(auth: Any, count: int) -> None:
    """Until that many callers, in threads or in tasks, wait for the flight under way."""
    flight = auth._renewal._flight
    while len(flight.wakers) < count:
        threading.Event().wait(0.002)


class TokenHold:
    """A token endpoint whose first answers wait for the test; the rest of it is an `Api`."""

    def __init__(self, held: int = 1) -> None:
        self.api = Api()
        self.held = held
        self.arrived = threading.Semaphore(0)
        self.let_go = threading.Event()

    def __call__(self, request: Received) -> Answer:
        if request.path == "/oauth/token" and self.held > 0:
            self.held -= 1
            self.arrived.release()
            assert self.let_go.wait(30)
        return self.api(request)


async def wait_for(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(20):
        while not condition():
            await anyio.sleep(0.002)
