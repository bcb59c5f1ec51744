"""RedisTokenCache on a real server, with the clients of redis-py and valkey-py."""

from __future__ import annotations

import time
from typing import Any

import pytest
import redis
import redis.asyncio
import valkey
import valkey.asyncio

from tests.support.broken import broken_server
from tests.support.caches import KEY
from tests.support.callers import wait_until
from tests.support.databases import CLIENT_KINDS, Database
from thebase_auth.caches import RedisTokenCache

NAME = f"thebase_auth:{KEY}"
LOCK = f"{NAME}:lock"
each_kind = pytest.mark.parametrize("kind", CLIENT_KINDS)


@pytest.fixture
def cache(database: Database) -> RedisTokenCache:
    return RedisTokenCache(database.client())


# Records


@pytest.mark.parametrize(("lifetime", "seconds"), [(60.0, 60), (0.0, 0.001)])
def test_record_expires_with_its_token(
    lifetime: float, seconds: float, cache: RedisTokenCache, database: Database
) -> None:
    started = time.monotonic()
    cache.store(KEY, "record", lifetime)
    left = database.client().pttl(NAME) / 1000
    passed = time.monotonic() - started
    assert seconds - passed - 0.002 <= max(left, 0) <= seconds


# The lock


def wait_for_the_end_of_the_lease(database: Database) -> None:
    wait_until(lambda: not database.client().exists(LOCK))


@each_kind
def test_lease_is_half_of_the_wait_so_a_waiter_inherits_the_lock(kind: str, database: Database) -> None:
    holder, waiter = RedisTokenCache(database.client(kind)), RedisTokenCache(database.client(kind))
    assert holder.lock(KEY, timeout=1) is not None  # and then it dies
    assert 0 < database.client().pttl(LOCK) <= 500
    started = time.monotonic()
    release = waiter.lock(KEY, timeout=1)
    assert release is not None
    assert 0.3 < time.monotonic() - started < 1
    release()


def test_expired_lock_is_released_without_harm_to_the_next(
    cache: RedisTokenCache, database: Database
) -> None:
    late = cache.lock(KEY, timeout=0.1)
    wait_for_the_end_of_the_lease(database)
    late()  # type: ignore[misc]
    release = cache.lock(KEY, timeout=10)
    late()  # type: ignore[misc]
    assert cache.lock(KEY, timeout=0.05) is None
    release()  # type: ignore[misc]


@each_kind
def test_user_without_permission_for_scripts_releases_its_own_lock(kind: str, database: Database) -> None:
    database.client().execute_command(
        "ACL", "SETUSER", "someone", "on", ">a-password", "~*", "&*", "+@all", "-@scripting"
    )
    mine = RedisTokenCache(database.client(kind, username="someone", password="a-password"))
    release = mine.lock(KEY, timeout=10)
    assert release is not None
    with pytest.raises(Exception, match="evalsha"):
        release()
    assert not database.client().exists(LOCK)

    late = mine.lock(KEY, timeout=0.1)
    wait_for_the_end_of_the_lease(database)
    assert RedisTokenCache(database.client()).lock(KEY, timeout=10) is not None
    with pytest.raises(Exception, match="evalsha"):
        late()  # type: ignore[misc]
    assert database.client().exists(LOCK)


# Clients


@pytest.mark.parametrize("make", [redis.asyncio.Redis, valkey.asyncio.Valkey])
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
def test_wrong_client_is_an_error(nonsense: Any, name: str) -> None:
    with pytest.raises(TypeError, match=f"redis-py or valkey-py, not {name}$"):
        RedisTokenCache(nonsense)


class ClusterClient:
    """Has no pool."""

    def lock(self) -> None: ...


@pytest.mark.parametrize(
    ("client", "shown"),
    [
        (redis.Redis(username="someone", password="a-password"), "Redis localhost 6379 0"),
        (valkey.Valkey(username="someone", password="a-password"), "Valkey localhost 6379 0"),
        (redis.Redis(unix_socket_path="/run/valkey.sock"), "Redis /run/valkey.sock 0"),
        (ClusterClient(), "ClusterClient"),
    ],
    ids=["redis", "valkey", "socket", "cluster"],
)
def test_repr_shows_the_place_and_no_password(client: Any, shown: str) -> None:
    assert repr(RedisTokenCache(client)) == f"RedisTokenCache(<{shown}>, prefix='thebase_auth:')"


# from_url


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


@pytest.mark.parametrize("url", ["localhost:6379", "redis://user:pass/word@host", "redis://h?db=x"])
def test_wrong_url_is_an_error_that_does_not_show_it(url: str) -> None:
    with pytest.raises(ValueError) as caught:
        RedisTokenCache.from_url(url)
    assert str(caught.value) == (
        "redis-py cannot parse the URL (not shown: a password may be in it); it looks like"
        " redis://user:password@host:port/db, with / in a password written as %2F"
    )
