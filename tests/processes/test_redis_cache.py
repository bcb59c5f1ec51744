"""RedisTokenCache on real servers of Redis and Valkey."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import redis
import redis.asyncio
import valkey as valkey_py
import valkey.asyncio

from tests.support.broken import broken_server
from tests.support.caches import FEW, KEY, Warnings, renew, stored_token, until
from tests.support.clients import Client, auth_for
from tests.support.databases import CLIENT_KINDS, Database
from tests.support.servers import api_server
from thebase_auth.caches import RedisTokenCache

NAME = f"thebase_auth:{KEY}"
LOCK = f"{NAME}:lock"


@pytest.fixture
def cache(database: Database) -> RedisTokenCache:
    return RedisTokenCache(database.client())


# Records


@pytest.mark.parametrize(
    ("lifetime", "seconds"), [(60.0, 60), (None, 3600), (math.inf, 30 * 24 * 3600), (0.0, 0.001)]
)
def test_record_expires_with_its_token(
    lifetime: float | None, seconds: float, cache: RedisTokenCache, database: Database
) -> None:
    started = time.monotonic()
    cache.store(KEY, "record", lifetime)
    left = database.client().pttl(NAME) / 1000
    passed = time.monotonic() - started
    assert seconds - passed - 0.002 <= max(left, 0) <= seconds


def test_all_keys_begin_with_the_prefix(cache: RedisTokenCache, database: Database) -> None:
    one = RedisTokenCache(database.client(), prefix="one/")
    one.store(KEY, "record", 60.0)
    release = one.lock(KEY, timeout=5)
    assert sorted(database.client().keys()) == [f"one/{KEY}".encode(), f"one/{KEY}:lock".encode()]
    assert cache.load(KEY) is None
    assert cache.lock(KEY, timeout=0.1) is not None
    release()  # type: ignore[misc]


# The lock


@pytest.mark.parametrize("kind", CLIENT_KINDS)
def test_lease_is_half_of_the_wait_so_a_waiter_inherits_the_lock(kind: str, database: Database) -> None:
    holder, waiter = RedisTokenCache(database.client(kind)), RedisTokenCache(database.client(kind))
    assert holder.lock(KEY, timeout=1) is not None  # and then it dies
    assert 0 < database.client().pttl(LOCK) <= 500
    started = time.monotonic()
    release = waiter.lock(KEY, timeout=1)
    assert release is not None
    assert 0.3 < time.monotonic() - started < 1
    release()


def test_lapsed_lock_is_released_without_harm_to_the_next(cache: RedisTokenCache, database: Database) -> None:
    late = cache.lock(KEY, timeout=0.1)
    until(lambda: not database.client().exists(LOCK))
    late()  # type: ignore[misc]
    late = cache.lock(KEY, timeout=0.1)
    until(lambda: not database.client().exists(LOCK))
    release = cache.lock(KEY, timeout=10)
    late()  # type: ignore[misc]
    assert cache.lock(KEY, timeout=0.05) is None
    release()  # type: ignore[misc]


# Users who may not run scripts


@contextmanager
def user_without(database: Database, permission: str) -> Iterator[dict[str, Any]]:
    """Credentials of a database user who lacks a permission."""
    client = database.client()
    rules = ["on", ">a-password", "~*", "&*", "+@all", permission]
    client.execute_command("ACL", "SETUSER", "someone", *rules)
    yield {"username": "someone", "password": "a-password"}
    client.acl_deluser("someone")


@pytest.mark.parametrize("kind", CLIENT_KINDS)
def test_user_without_scripts_releases_only_its_own_lock(kind: str, database: Database) -> None:
    with user_without(database, "-@scripting") as credentials:
        mine = RedisTokenCache(database.client(kind, **credentials))
        release = mine.lock(KEY, timeout=10)
        assert release is not None
        with pytest.raises(Exception, match="evalsha"):
            release()
        assert not database.client().exists(LOCK)

        late = mine.lock(KEY, timeout=0.1)
        until(lambda: not database.client().exists(LOCK))
        assert RedisTokenCache(database.client()).lock(KEY, timeout=10) is not None
        with pytest.raises(Exception, match="evalsha"):
            late()  # type: ignore[misc]
        assert database.client().exists(LOCK)


@pytest.mark.parametrize("client", FEW, ids=str)
@pytest.mark.parametrize(
    ("lacks", "reason"), [("-@scripting", "evalsha"), ("-set", "'set'"), ("-get", "'get'")]
)
def test_missing_permission_fails_no_request_and_is_in_one_warning(
    lacks: str, reason: str, client: Client, database: Database, warnings: Warnings
) -> None:
    with user_without(database, lacks) as credentials, api_server() as (server, api):
        cache = RedisTokenCache(database.client(**credentials))
        auth = auth_for(server.url, cache=cache)
        started = time.monotonic()
        for _ in range(3):
            renew(client, auth, server.url, api)
            until(lambda: not database.client().keys("*:lock"))
        assert time.monotonic() - started < 10
        assert api.token_requests == 3
        [message] = warnings()
        assert reason in message
        if lacks == "-@scripting":
            assert stored_token(cache, auth) == auth.token


# Clients


@pytest.mark.parametrize("make", [redis.asyncio.Redis, valkey_py.asyncio.Valkey])
def test_asyncio_client_is_an_error(make: Any) -> None:
    with pytest.raises(TypeError) as caught:
        RedisTokenCache(make())
    assert str(caught.value) == (
        "client must not be an asyncio one: RedisTokenCache serves threads and any number of event loops at"
        " once, and blocks none of them; give it redis.Redis(...)"
    )


@pytest.mark.parametrize(
    ("nonsense", "name"), [(redis.Redis, "Redis"), (None, "NoneType"), ("redis://localhost", "str")]
)
def test_what_is_not_a_client_is_an_error(nonsense: Any, name: str) -> None:
    with pytest.raises(TypeError, match=f"redis-py or valkey-py, not {name}$"):
        RedisTokenCache(nonsense)


@pytest.mark.parametrize("construct", [redis.Redis, valkey_py.Valkey])
def test_repr_shows_the_place_and_no_password(construct: Any) -> None:
    with construct(username="someone", password="a-password") as client:
        assert repr(RedisTokenCache(client)) == (
            f"RedisTokenCache(<{construct.__name__} localhost 6379 0>, prefix='thebase_auth:')"
        )


def test_repr_of_a_client_without_a_pool_has_its_class_alone() -> None:
    """As the clients of clusters."""
    assert repr(RedisTokenCache(Clustered())) == "RedisTokenCache(<Clustered>, prefix='thebase_auth:')"


class Clustered:
    def lock(self) -> None: ...


# from_url


def test_repr_from_a_url_of_a_socket_shows_its_path() -> None:
    cache = RedisTokenCache.from_url("unix:///run/valkey.sock")
    assert repr(cache) == "RedisTokenCache(<Redis /run/valkey.sock>, prefix='thebase_auth:')"


def settings_of(cache: RedisTokenCache) -> dict[str, Any]:
    settings: dict[str, Any] = cache._client.connection_pool.connection_kwargs
    return settings


def test_from_url_has_short_timeouts_and_no_retries(database: Database) -> None:
    settings = settings_of(database.cache())
    assert (settings["socket_timeout"], settings["socket_connect_timeout"]) == (1, 1)
    with broken_server("closes") as (url, connections):
        cache = RedisTokenCache.from_url(url.replace("http", "redis", 1))
        with pytest.raises(redis.ConnectionError):
            cache.load(KEY)
        assert len(connections) == 1
        cache._client.close()


def test_options_in_the_url_apply(database: Database) -> None:
    options = "socket_timeout=7&max_connections=9&decode_responses=yes"
    cache = database.cache(database=3, options=options, prefix="mine:")
    cache.store(KEY, "record", 60.0)
    assert settings_of(cache)["socket_timeout"] == 7
    assert cache._client.connection_pool.max_connections == 9
    assert cache.load(KEY) == "record"
    assert database.client(db=3).keys() == [f"mine:{KEY}".encode()]
    assert repr(cache) == f"RedisTokenCache(<Redis 127.0.0.1 {database.port} 3>, prefix='mine:')"
    database.client(db=3).flushdb()


@pytest.mark.parametrize(
    "url", ["localhost:6379", "http://localhost", "redis://user:pass/word@host", "redis://h?db=x"]
)
def test_what_is_not_a_url_of_a_database_is_an_error_that_does_not_show_it(url: str) -> None:
    with pytest.raises(ValueError) as caught:
        RedisTokenCache.from_url(url)
    assert str(caught.value) == (
        "redis-py cannot parse the URL (not shown: a password may be in it); it looks like"
        " redis://user:password@host:port/db, with / in a password written as %2F"
    )
