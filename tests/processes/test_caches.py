"""FileTokenCache on real files and between real processes; RedisTokenCache on real servers."""

from __future__ import annotations

import inspect
import math
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import pytest
import redis
import redis.asyncio
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.support.caches import (
    KEY,
    LEASE,
    OTHER,
    at_once,
    fork_with_threads,
    in_thread,
    needs_fork,
)
from tests.support.databases import Database
from tests.support.pythons import run, without
from thebase_auth import caches
from thebase_auth.caches import FileTokenCache, RedisTokenCache, TokenCache

# What every cache does


def protocol_methods() -> list[str]:
    return [name for name, member in vars(TokenCache).items() if inspect.isfunction(member)
            and not name.startswith("_")]  # fmt: skip


@pytest.mark.parametrize("kind", [FileTokenCache, RedisTokenCache])
def test_a_cache_has_the_methods_of_the_protocol(kind: type) -> None:
    assert protocol_methods() == ["load", "store", "lock"]
    for name in protocol_methods():
        assert inspect.signature(getattr(kind, name)) == inspect.signature(
            getattr(TokenCache, name)
        )


class Facts:
    """What holds for each cache. Its subclasses are collected, each with a cache of its own."""

    def test_what_was_never_stored_is_absent(self, cache: TokenCache) -> None:
        assert cache.load(KEY) is None

    def test_what_was_stored_last_is_loaded(self, cache: TokenCache) -> None:
        cache.store(KEY, "first", 60.0)
        cache.store(KEY, "second", None)
        assert cache.load(KEY) == "second"
        assert type(cache.load(KEY)) is str

    def test_each_key_has_a_record_of_its_own(self, cache: TokenCache) -> None:
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


# The libraries that are missing

MAKE = """
from thebase_auth.caches import FileTokenCache, RedisTokenCache
try:
    FileTokenCache({argument})
except ImportError as error:
    print(json.dumps([type(error).__name__, error.name, str(error)]))
else:
    print(json.dumps("made"))
"""


@pytest.mark.parametrize(
    ("missing", "argument"), [("filelock", ""), ("filelock", "'x'"), ("platformdirs", "")]
)
def test_a_missing_library_is_an_import_error_that_names_the_extra(
    missing: str, argument: str
) -> None:
    kind, _, text = without({missing}, MAKE.format(argument=argument))

    assert kind == "ImportError"
    assert f"needs {missing}" in text
    assert "pip install 'thebase-auth[file]'" in text


def test_platformdirs_is_not_needed_where_a_path_is_given() -> None:
    assert without({"platformdirs"}, MAKE.format(argument="'x'")) == "made"


def test_a_library_that_is_broken_is_not_reported_as_missing() -> None:
    kind, name, text = without(
        set(), "sys.modules['filelock._api'] = None\n" + MAKE.format(argument="'x'")
    )

    assert (kind, name) == ("ModuleNotFoundError", "filelock._api")
    assert "thebase-auth[" not in text


def test_the_module_and_its_class_for_redis_need_no_library_at_all() -> None:
    assert run(
        "before = set(sys.modules)\n"
        "from thebase_auth.caches import RedisTokenCache\n"
        "print(json.dumps(sorted({'redis', 'valkey', 'filelock', 'platformdirs'}"
        " & set(sys.modules))))"
    ) == []  # fmt: skip


# How many threads use a cache at once


@pytest.fixture(params=["file", "redis"])
def any_cache(request: pytest.FixtureRequest, file_cache: Any, database: Database) -> Any:
    return file_cache if request.param == "file" else RedisTokenCache(database.client())


@contextmanager
def all_turns_taken(cache: Any) -> Iterator[Any]:
    """As by threads that do not come to an end; gives what ends the first of them."""
    with ExitStack() as others, ExitStack() as first:
        for _ in range(caches._CALLS_AT_ONCE - 1):
            others.enter_context(cache._turns.one())
        first.enter_context(cache._turns.one())
        yield first.close
    assert cache._turns._free._value == caches._CALLS_AT_ONCE


def test_a_few_threads_at_a_time_read_a_file(
    file_cache: FileTokenCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, most = [0], [0]
    records, count = file_cache._records, threading.Lock()
    together = threading.Barrier(caches._CALLS_AT_ONCE)

    def counted() -> Any:
        with count:
            reading[0] += 1
            most[0] = max(most[0], reading[0])
        together.wait(10)
        with count:
            reading[0] -= 1
        return records()

    monkeypatch.setattr(file_cache, "_records", counted)
    assert at_once(20, lambda _: file_cache.load(KEY)) == [None] * 20
    assert most[0] == caches._CALLS_AT_ONCE


def test_a_thread_waits_for_its_turn_as_long_as_others_come_to_an_end(
    any_cache: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caches, "_NOBODY_ENDS", 0.02)
    any_cache.store(KEY, "record", 60.0)
    with all_turns_taken(any_cache) as end_one, ThreadPoolExecutor(1) as pool:
        any_cache._turns._ended_at = time.monotonic() + 3600
        waiting = pool.submit(any_cache.load, KEY)
        with pytest.raises(TimeoutError):
            waiting.result(0.5)
        end_one()
        assert waiting.result(10) == "record"


def test_a_thread_goes_on_without_a_turn_when_nobody_comes_to_an_end_for_a_second(
    any_cache: Any,
) -> None:
    any_cache.store(KEY, "record", 60.0)
    with all_turns_taken(any_cache):
        began = time.monotonic()
        assert in_thread(lambda: any_cache.load(KEY)) == "record"
        assert 0.9 < time.monotonic() - began < 10


@needs_fork
@fork_with_threads
def test_a_forked_child_uses_the_cache_though_its_parent_had_all_turns(any_cache: Any) -> None:
    any_cache.store(KEY, "record", 60.0)
    with all_turns_taken(any_cache):
        with any_cache._turns._free._cond:  # as another thread may, at the moment of the fork
            child = os.fork()
            if child == 0:
                found = None
                with suppress(BaseException):
                    began = time.monotonic()
                    found = any_cache.load(KEY)
                    found = found if time.monotonic() - began < 0.9 else "too late"
                os._exit(7 if found == "record" else 1)
        assert os.waitstatus_to_exitcode(wait_for(child)) == 7
    assert any_cache.load(KEY) == "record"


def wait_for(child: int) -> int:
    """The status with which *child* ended; it is killed if it does not."""
    killer = threading.Timer(20, os.kill, (child, 9))
    killer.start()
    _, status = os.waitpid(child, 0)
    killer.cancel()
    killer.join()
    return status


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
