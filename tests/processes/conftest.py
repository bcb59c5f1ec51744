"""Fixtures of the tests with caches and processes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.caches import Shared, cache_threads
from tests.support.callers import wait_until
from tests.support.databases import Database, valkey_server
from thebase_auth import FileTokenCache


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    """Once a cache works again, no thread of ours is left."""
    yield
    wait_until(lambda: not cache_threads())


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
def running_database() -> Iterator[Database]:
    with valkey_server() as server:
        yield Database(server.port)


@pytest.fixture
def database(running_database: Database) -> Iterator[Database]:
    """A real Valkey, empty, without a password."""
    running_database.client().flushall()
    yield running_database
    running_database.close_clients()


@pytest.fixture(params=["file", "redis"])
def shared(request: pytest.FixtureRequest, path: Path) -> Shared:
    """An empty cache of each kind."""
    if request.param == "file":
        return Shared(("file", str(path)), lambda: FileTokenCache(path))
    database: Database = request.getfixturevalue("database")
    options = "socket_timeout=10&socket_connect_timeout=10"  # on a busy machine one second is too short
    url = f"redis://127.0.0.1:{database.port}/0?{options}"
    return Shared(("redis", url), lambda: database.cache(options=options))
