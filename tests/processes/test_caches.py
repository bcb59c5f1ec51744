"""What every cache does, on real files and real servers, and the libraries that it needs."""

from __future__ import annotations

import inspect
import math
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.support.caches import KEY, LEASE, OTHER, at_once, in_thread
from tests.support.databases import Database
from tests.support.pythons import run, without
from thebase_auth.caches import FileTokenCache, RedisTokenCache, TokenCache

# What every cache does


def protocol_methods() -> list[str]:
    return [name for name, member in vars(TokenCache).items() if inspect.isfunction(member)
            and not name.startswith("_")]  # fmt: skip


@pytest.mark.parametrize("kind", [FileTokenCache, RedisTokenCache])
def test_a_cache_has_the_methods_of_the_protocol(kind: type) -> None:
    assert protocol_methods() == ["load", "store", "lock"]
    for name in protocol_methods():
        assert inspect.signature(getattr(kind, name)) == inspect.signature(getattr(TokenCache, name))


class Facts:
    """What holds for each cache. Its subclasses are collected, each for one kind of cache."""

    def test_what_was_never_stored_is_absent(self, cache: TokenCache) -> None:
        assert cache.load(KEY) is None

    def test_what_was_stored_last_is_loaded(self, cache: TokenCache) -> None:
        cache.store(KEY, "first", 60.0)
        cache.store(KEY, "second", None)
        assert cache.load(KEY) == "second"
        assert type(cache.load(KEY)) is str

    def test_each_key_has_its_own_record(self, cache: TokenCache) -> None:
        cache.store(KEY, "one", 60.0)
        cache.store(OTHER, "another", 60.0)
        assert (cache.load(KEY), cache.load(OTHER)) == ("one", "another")

    @pytest.mark.parametrize("lifetime", [0.0, -5.0, 1e-9, 1e300, math.inf, 10**30])
    def test_any_lifetime_can_be_stored(self, cache: TokenCache, lifetime: float) -> None:
        cache.store(KEY, "record", lifetime)
        cache.store(OTHER, "record", 60.0)
        assert cache.load(OTHER) == "record"

    def test_the_lock_is_one_callers_until_it_is_given_back(self, cache: TokenCache) -> None:
        release = cache.lock(KEY, LEASE)
        assert release is not None
        assert cache.lock(KEY, LEASE) is None
        release()
        again = cache.lock(KEY, LEASE)
        assert again is not None
        again()

    def test_the_lock_of_one_key_is_not_that_of_another(self, cache: TokenCache) -> None:
        releases = [cache.lock(KEY, LEASE), cache.lock(OTHER, LEASE)]
        assert None not in releases
        for release in releases:
            release()  # type: ignore[misc]

    def test_a_record_can_be_loaded_and_stored_under_the_lock(self, cache: TokenCache) -> None:
        release = cache.lock(KEY, LEASE)
        cache.store(KEY, "record", 60.0)
        assert cache.load(KEY) == "record"
        release()  # type: ignore[misc]
        assert cache.load(KEY) == "record"

    def test_the_lock_is_given_back_in_another_thread(self, cache: TokenCache) -> None:
        taken = in_thread(lambda: cache.lock(KEY, LEASE))
        assert taken is not None
        assert cache.lock(KEY, LEASE) is None
        in_thread(taken)
        again = in_thread(lambda: cache.lock(KEY, LEASE))
        assert again is not None
        again()

    def test_a_lock_given_back_twice_does_no_harm(self, cache: TokenCache) -> None:
        first = cache.lock(KEY, LEASE)
        first()  # type: ignore[misc]
        second = cache.lock(KEY, LEASE)
        first()  # type: ignore[misc]
        assert cache.lock(KEY, LEASE) is None  # it is still the second one's
        second()  # type: ignore[misc]

    def test_of_many_threads_that_ask_at_once_one_gets_the_lock(self, cache: TokenCache) -> None:
        releases = at_once(20, lambda _: cache.lock(KEY, LEASE))
        got = [release for release in releases if release is not None]
        assert len(got) == 1
        got[0]()

    def test_many_threads_store_and_load_at_once(self, cache: TokenCache) -> None:
        keys = [f"{number:064x}" for number in range(12)]

        def store_and_load(number: int) -> Any:
            cache.store(keys[number], f"record {number}", 60.0)
            return cache.load(keys[number])

        assert at_once(12, store_and_load) == [f"record {number}" for number in range(12)]
        assert [cache.load(key) for key in keys] == [f"record {number}" for number in range(12)]


class TestAFile(Facts):
    @pytest.fixture
    def cache(self, file_cache: FileTokenCache) -> TokenCache:
        return file_cache


class TestADatabase(Facts):
    @pytest.fixture
    def cache(self, redis_cache: RedisTokenCache) -> TokenCache:
        return redis_cache


class TestADatabaseByItsURL(Facts):
    @pytest.fixture
    def cache(self, database: Database) -> TokenCache:
        return database.cache()


# The libraries that are missing

MAKE = """
from thebase_auth.caches import FileTokenCache, RedisTokenCache
try:
    {what}
except ImportError as error:
    print(json.dumps([type(error).__name__, error.name, str(error)]))
else:
    print(json.dumps("made"))
"""
FROM_URL = "RedisTokenCache.from_url('redis://localhost')"


@pytest.mark.parametrize(
    ("missing", "what", "extra"),
    [
        ("filelock", "FileTokenCache()", "file"),
        ("filelock", "FileTokenCache('x')", "file"),
        ("platformdirs", "FileTokenCache()", "file"),
        ("redis", FROM_URL, "redis"),
    ],
)
def test_a_missing_library_is_an_import_error_that_names_the_extra(
    missing: str, what: str, extra: str
) -> None:
    kind, name, text = without({missing}, MAKE.format(what=what))

    assert (kind, name) == ("ImportError", missing)
    assert f"needs {missing}" in text
    assert f"pip install 'thebase-auth[{extra}]'" in text


def test_platformdirs_is_not_needed_where_a_path_is_given() -> None:
    assert without({"platformdirs"}, MAKE.format(what="FileTokenCache('x')")) == "made"


@pytest.mark.parametrize(("library", "what"), [("filelock", "FileTokenCache('x')"), ("redis", FROM_URL)])
def test_a_library_that_is_broken_is_not_reported_as_missing(library: str, what: str, tmp_path: Path) -> None:
    (tmp_path / f"{library}.py").write_text("import what_is_not_there")
    kind, name, text = run(f"sys.path.insert(0, {str(tmp_path)!r})\n" + MAKE.format(what=what))

    assert (kind, name) == ("ModuleNotFoundError", "what_is_not_there")
    assert "thebase-auth[" not in text


def test_the_module_and_its_class_for_redis_need_no_library_at_all() -> None:
    assert run(
        "before = set(sys.modules)\n"
        "from thebase_auth.caches import RedisTokenCache\n"
        "print(json.dumps(sorted({'redis', 'valkey', 'filelock', 'platformdirs'}"
        " & set(sys.modules))))"
    ) == []  # fmt: skip


def test_a_server_that_is_gone_is_an_error_of_the_clients_library() -> None:
    with redis.Redis(port=1, retry=Retry(NoBackoff(), 0)) as client:
        cache = RedisTokenCache(client)
        for call in (
            lambda: cache.load(KEY),
            lambda: cache.store(KEY, "record", None),
            lambda: cache.lock(KEY, LEASE),
        ):
            with pytest.raises(redis.ConnectionError):
                call()
