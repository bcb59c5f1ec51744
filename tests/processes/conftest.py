"""Fixtures of the tests with caches and processes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.support.clients import pytest_generate_tests
from tests.support.databases import CLIENT_KINDS, SERVERS, Database
from tests.support.sharing import Shared, a_database, a_file, cache_threads, until
from thebase_auth import FileTokenCache, RedisTokenCache
from thebase_auth.caches import _coordinator

__all__ = ["pytest_generate_tests"]


@pytest.fixture(params=CLIENT_KINDS)
def shared_client(request: pytest.FixtureRequest, database: Database) -> Any:
    """A client of each library, on each server."""
    return database.client(request.param)


@pytest.fixture
def redis_cache(shared_client: Any) -> RedisTokenCache:
    return RedisTokenCache(shared_client)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tokens.json"


@pytest.fixture
def file_cache(path: Path) -> FileTokenCache:
    return FileTokenCache(path)


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    """Once a cache answers again, no thread of ours is left."""
    yield
    until(lambda: not cache_threads())


@pytest.fixture
def short_waits_for_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock of another is waited for a third of the time; the rest is enough on a busy machine."""
    monkeypatch.setattr(_coordinator, "_SHARES_FOR_WAITING", (0.3, 0.35))


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Callable[[], int]:
    """How many warnings of a failing cache there have been."""
    caplog.set_level(logging.DEBUG, "thebase_auth")
    return lambda: sum(
        one.levelno == logging.WARNING and "token cache" in one.getMessage() for one in caplog.records
    )


@pytest.fixture(scope="session")
def start_database() -> Iterator[Callable[[str], Database]]:
    """Start a server of that kind, or give the one that runs; they run to the end of the session."""
    with ExitStack() as running:
        yield cache(lambda kind: running.enter_context(SERVERS[kind]()))


@pytest.fixture(params=SERVERS)
def database(request: pytest.FixtureRequest, start_database: Callable[[str], Database]) -> Iterator[Database]:
    """Each kind of real database server that this machine has, empty, without a password."""
    found = start_database(request.param)
    with found.client() as client:
        client.flushall()
    yield found
    found.close_clients()


@pytest.fixture
def valkey(start_database: Callable[[str], Database]) -> Database:
    """A real Valkey."""
    return start_database("valkey")


@pytest.fixture(params=["file", "redis"])
def shared(request: pytest.FixtureRequest, tmp_path: Path, valkey: Any) -> Iterator[Shared]:
    with a_file(tmp_path) if request.param == "file" else a_database(valkey) as one:
        yield one
