"""Fixtures of the tests with caches and processes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import pytest

from tests.support.caches import Shared, a_database, a_file, cache_threads, until
from tests.support.databases import SERVERS, Database
from thebase_auth import FileTokenCache


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    """Once a cache works again, no thread of ours is left."""
    yield
    until(lambda: not cache_threads())


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """The messages of the warnings so far."""
    caplog.set_level(logging.DEBUG, "thebase_auth")

    def messages() -> list[str]:
        records = [one for one in caplog.records if one.name == "thebase_auth"]
        return [one.getMessage() for one in records if one.levelno >= logging.WARNING]

    return messages


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tokens.json"


@pytest.fixture
def file_cache(path: Path) -> FileTokenCache:
    return FileTokenCache(path)


@pytest.fixture(scope="session")
def start_database() -> Iterator[Callable[[str], Database]]:
    """Start a server of that kind, or return the one that runs; they run to the end of the session."""
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
def valkey(start_database: Callable[[str], Database]) -> Iterator[Database]:
    """A real Valkey, empty."""
    found = start_database("valkey")
    with found.client() as client:
        client.flushall()
    yield found
    found.close_clients()


@pytest.fixture(params=["file", "redis"])
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shared]:
    """An empty cache of each kind."""
    if request.param == "file":
        yield from a_file(tmp_path)
    else:
        yield from a_database(request.getfixturevalue("valkey"))
