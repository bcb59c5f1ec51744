"""Many callers at once, and how to wait until they are where a test wants them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import anyio

from tests.support.clients import Client, auth_for
from tests.support.servers import Api, Received, Response, api_server


def in_threads(count: int, call: Callable[[], Any]) -> list[Any]:
    """Run *call* in that many threads at once, and return their results or exceptions."""

    def caught() -> Any:
        try:
            return call()
        except BaseException as error:
            return error

    with ThreadPoolExecutor(count) as pool:
        return [future.result(60) for future in [pool.submit(caught) for _ in range(count)]]


def wait_until(condition: Callable[[], Any]) -> None:
    """Wait for what is going to happen; fail if it does not."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.002)


async def wait_for(condition: Callable[[], bool]) -> None:
    """Do the same in a task."""
    with anyio.fail_after(20):
        while not condition():
            await anyio.sleep(0.002)


def wait_until_waiting(auth: Any, count: int) -> None:
    """Wait until so many callers, in threads or in tasks, wait for the current flight."""
    wait_until(lambda: len(auth._renewal._flight.wakers) >= count)


class HeldTokens(Api):
    """An API that holds its token responses back while `holding`. The test lets go of each one."""

    def __init__(self, *, holding: bool = False) -> None:
        super().__init__()
        self.holding = holding
        self.held: list[threading.Event] = []

    def give_token(self, request: Received) -> Response:
        if self.holding:
            let_go = threading.Event()
            self.held.append(let_go)
            assert let_go.wait(30)
        return super().give_token(request)

    def wait_for_held(self, count: int) -> None:
        """Wait until so many token requests have arrived while `holding`."""
        wait_until(lambda: len(self.held) >= count)

    def let_all_go(self) -> None:
        self.holding = False
        for one in self.held:
            one.set()


@contextmanager
def renewal_held(client: Client, **options: Any) -> Iterator[tuple[str, HeldTokens, Any]]:
    """A URL, its API and an auth object whose token is revoked; token responses are held back."""
    with api_server(HeldTokens()) as (server, api):
        auth = auth_for(server.url, **options)
        assert client.get(auth, server.url + "/warm-up").status == 200
        api.revoke()
        api.holding = True
        try:
            yield server.url + "/a", api, auth
        finally:
            api.let_all_go()
