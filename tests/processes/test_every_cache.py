"""What FileTokenCache and RedisTokenCache have in common, on real files and a real server."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.caches import KEY, OTHER
from tests.support.callers import in_threads
from tests.support.databases import CLIENT_KINDS, Database
from thebase_auth.caches import FileTokenCache, RedisTokenCache, TokenCache

MakeCache = Callable[[], TokenCache]


@pytest.fixture(params=["file", *CLIENT_KINDS, "url"])
def make_cache(request: pytest.FixtureRequest, path: Path) -> MakeCache:
    """Make another object for one and the same cache."""
    if request.param == "file":
        return lambda: FileTokenCache(path)
    database: Database = request.getfixturevalue("database")
    if request.param == "url":
        return database.cache
    return lambda: RedisTokenCache(database.client(request.param))


@pytest.fixture
def cache(make_cache: MakeCache) -> TokenCache:
    return make_cache()


def lock(cache: TokenCache, key: str = KEY, timeout: float = 10.0) -> Callable[[], object]:
    release = cache.lock(key, timeout=timeout)
    assert release is not None
    return release


def test_last_record_of_each_key_is_loaded(cache: TokenCache, make_cache: MakeCache) -> None:
    assert cache.load(KEY) is None
    cache.store(KEY, "first", 60.0)
    cache.store(KEY, "second", 60.0)
    cache.store(OTHER, "another", 60.0)
    for one in (cache, make_cache()):
        assert (one.load(KEY), one.load(OTHER)) == ("second", "another")
        assert type(one.load(KEY)) is str


def test_lock_has_one_holder_and_other_keys_have_other_locks(
    cache: TokenCache, make_cache: MakeCache
) -> None:
    release = lock(cache)
    assert make_cache().lock(KEY, timeout=0.05) is None
    lock(cache, OTHER)()
    cache.store(KEY, "record", 60.0)  # the lock does not block its holder
    assert cache.load(KEY) == "record"
    release()
    lock(make_cache())()


def test_lock_released_twice_does_not_release_that_of_another(cache: TokenCache) -> None:
    first = lock(cache)
    first()
    second = lock(cache)
    first()
    assert cache.lock(KEY, timeout=0.05) is None
    second()


def test_many_threads_lock_store_and_load_at_once(make_cache: MakeCache) -> None:
    inside: list[int] = []

    def work() -> Any:
        cache, key = make_cache(), f"{threading.get_ident():064x}"
        release = lock(cache, timeout=30)
        inside.append(1)
        assert inside == [1]
        inside.pop()
        release()
        cache.store(key, key, 60.0)
        return cache.load(key) == key

    assert in_threads(10, work) == [True] * 10


MAKERS: dict[str, Callable[[], Any]] = {
    "FileTokenCache needs filelock: install the extra 'file'": lambda: FileTokenCache("x"),
    "FileTokenCache needs platformdirs: install the extra 'file'": FileTokenCache,
    "RedisTokenCache.from_url needs redis: install the extra 'redis'": lambda: RedisTokenCache.from_url(
        "redis://localhost"
    ),
}


@pytest.mark.parametrize("message", MAKERS)
def test_missing_library_is_an_import_error_that_names_the_extra(
    message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = message.partition(" needs ")[2].partition(":")[0]
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImportError) as caught:
        MAKERS[message]()
    assert str(caught.value) == message
