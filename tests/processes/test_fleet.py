"""Many processes, and many auth objects in one process, that share one token by ``cache=``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
import redis

from tests.support import ROOT
from tests.support.clients import auth_for
from tests.support.databases import Database
from tests.support.world import DOMAIN, LIBRARIES, URL, World
from thebase_auth.caches import FileTokenCache, RedisTokenCache
from thebase_auth.testing import Sandbox

PROCESSES = 8
WORKERS = 100
LONGEST = 300.0  # seconds that the processes may live


class Fleet:
    """Processes that make a call when they are told to; half with requests, half with httpx."""

    def __init__(self) -> None:
        environment = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
        self.processes = [
            subprocess.Popen(
                [sys.executable, "-m", "tests.support.fleet_process"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=environment,
                cwd=ROOT,
            )
            for _ in range(PROCESSES)
        ]

    def begin(self, thebase: Sandbox, cache: tuple[str, str]) -> None:
        """Let each make a new client, auth object and cache object."""
        credentials = (thebase.domain, thebase.client_id, thebase.client_secret)
        for number, process in enumerate(self.processes):
            library = ("requests", "httpx")[number % 2]
            tell(process, {"library": library, "credentials": credentials, "cache": cache})
        assert self.hear() == ["ready"] * PROCESSES

    def call(self, url: str) -> None:
        """Let each make a call; returns when all are about to."""
        for process in self.processes:
            tell(process, {"get": url})
        assert self.hear() == ["calling"] * PROCESSES

    def hear(self) -> list[Any]:
        """The next line of each."""
        return [json.loads(process.stdout.readline()) for process in self.processes]  # type: ignore[union-attr]

    def end(self) -> None:
        for process in self.processes:
            try:
                process.communicate(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()

    def kill(self) -> None:
        for process in self.processes:
            process.kill()


def tell(process: subprocess.Popen[str], command: Any) -> None:
    assert process.stdin is not None
    process.stdin.write(json.dumps(command) + "\n")
    process.stdin.flush()


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    fleet = Fleet()
    too_long = threading.Timer(LONGEST, fleet.kill)
    too_long.daemon = True
    too_long.start()
    yield fleet
    fleet.end()
    too_long.cancel()


@pytest.fixture
def fleet_valkey_url(valkey: Database) -> str:
    """A real Valkey, with nothing in it."""
    with valkey.client() as client:
        client.flushall()
    return f"redis://127.0.0.1:{valkey.port}"


@pytest.fixture(params=["file", "valkey"])
def fleet_place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """A cache with nothing in it, for processes: its kind, and its path or URL."""
    if request.param == "file":
        return "file", str(tmp_path / "tokens.json")
    return "valkey", request.getfixturevalue("fleet_valkey_url")


@pytest.fixture(params=["file", "valkey"])
def fleet_cache(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """A cache with nothing in it, for the auth objects of this process."""
    if request.param == "file":
        yield FileTokenCache(tmp_path / "tokens.json")
        return
    with redis.Redis.from_url(request.getfixturevalue("fleet_valkey_url")) as client:
        yield RedisTokenCache(client, prefix=uuid.uuid4().hex)


# Processes


def test_one_token_request_of_many_processes_at_cold_start_and_at_each_expiry(
    thebase: Sandbox, fleet: Fleet, fleet_place: tuple[str, str]
) -> None:
    url = f"{thebase.domain}/v2/users"
    fleet.begin(thebase, fleet_place)

    with thebase.hold_token_requests():
        fleet.call(url)
        thebase.wait_for_token_requests(1)
    assert fleet.hear() == [[200]] * PROCESSES  # and no warnings
    assert thebase.token_requests == 1

    for expiries in (1, 2):
        thebase.revoke_tokens()
        with thebase.hold_token_requests():
            fleet.call(url)
            until(lambda: refusals(thebase) == expiries * PROCESSES)
        assert fleet.hear() == [[200]] * PROCESSES
        assert thebase.token_requests == 1 + expiries


def refusals(thebase: Sandbox) -> int:
    return sum(call.status == 401 for call in thebase.calls("/v2/users"))


def until(happened: Callable[[], bool]) -> None:
    stop_waiting_at = time.monotonic() + 20
    while not happened():
        assert time.monotonic() < stop_waiting_at
        time.sleep(0.005)


# Auth objects of one process, each as if in another process


def expire(world: World) -> None:
    """Refuse what has been issued, and let the next refusals wait for each other."""
    world.live.clear()
    world.callers, world.token_requests, world.refused = WORKERS, 0, 0
    world.all_refused.clear()


def test_one_token_request_of_a_hundred_threads_with_an_auth_object_each(fleet_cache: Any) -> None:
    world = World()
    sessions = [world.session() for _ in range(WORKERS)]
    for session in sessions:
        session.auth = auth_for(DOMAIN, cache=fleet_cache, session=world.session())
        assert session.get(URL).status_code == 200
    assert world.token_requests == 1

    for _ in range(2):
        expire(world)
        statuses: list[int] = []
        threads = [
            threading.Thread(target=lambda one=one: statuses.append(one.get(URL).status_code))
            for one in sessions
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert statuses == [200] * WORKERS
        assert (world.refused, world.token_requests) == (WORKERS, 1)


@pytest.mark.anyio
@pytest.mark.parametrize("library", LIBRARIES)
async def test_one_token_request_of_a_hundred_tasks_with_an_auth_object_each(
    library: Any, fleet_cache: Any
) -> None:
    world = World()
    auths = [auth_for(DOMAIN, cache=fleet_cache) for _ in range(WORKERS)]
    async with world.async_client(library, None) as client:
        for auth in auths:
            assert (await client.get(URL, auth=auth)).status_code == 200
        assert world.token_requests == 1

        for _ in range(2):
            expire(world)
            statuses: list[int] = []

            async def call(auth: Any) -> None:
                statuses.append((await client.get(URL, auth=auth)).status_code)

            async with anyio.create_task_group() as tasks:
                for auth in auths:
                    tasks.start_soon(call, auth)
            assert statuses == [200] * WORKERS
            assert (world.refused, world.token_requests) == (WORKERS, 1)
