"""RedisTokenCache on real servers of Redis and Valkey."""

from __future__ import annotations

import copy
import math
import pickle
import time
from collections.abc import Callable
from typing import Any

import pytest
import redis
import redis.asyncio
import valkey
import valkey.asyncio

from tests.support.caches import KEY, LEASE, OTHER
from tests.support.clients import auth_for
from tests.support.databases import CLIENT_KINDS, Database
from thebase_auth.caches import RedisTokenCache

# A database


@pytest.mark.parametrize(
    ("lifetime", "milliseconds"),
    [
        (60.0, 60_000),
        (0.5, 500),
        (None, 3_600_000),
        (1e300, 30 * 24 * 3_600_000),
        (math.inf, 30 * 24 * 3_600_000),
    ],
)
def test_a_record_expires_with_its_token(
    lifetime: float | None, milliseconds: int, redis_cache: RedisTokenCache, database: Database
) -> None:
    client = database.client()
    began = time.monotonic()
    redis_cache.store(KEY, "record", lifetime)
    left = client.pttl(f"thebase_auth:{KEY}")
    passed = (time.monotonic() - began) * 1000

    assert milliseconds - passed - 2 <= left <= milliseconds


@pytest.mark.parametrize("lifetime", [0.0, -1.0, 1e-9])
def test_a_record_without_a_future_is_gone_in_a_moment(
    lifetime: float, redis_cache: RedisTokenCache, database: Database
) -> None:
    client = database.client()
    redis_cache.store(KEY, "record", lifetime)

    assert client.pttl(f"thebase_auth:{KEY}") in {-2, 0, 1}


def until_gone(client: Any, name: str) -> None:
    stop_waiting_at = time.monotonic() + 10
    while client.exists(name):
        assert time.monotonic() < stop_waiting_at


def test_a_lock_ends_by_itself_after_its_lease(redis_cache: RedisTokenCache, database: Database) -> None:
    client = database.client()
    began = time.monotonic()
    assert redis_cache.lock(KEY, 0.2) is not None
    assert -1 != client.pttl(f"thebase_auth:{KEY}:lock") <= 200  # -1 would be for good
    until_gone(client, f"thebase_auth:{KEY}:lock")

    assert time.monotonic() - began >= 0.19
    assert redis_cache.lock(KEY, LEASE) is not None


def test_a_lock_that_ended_by_itself_is_given_back_without_harm_to_the_next(
    redis_cache: RedisTokenCache, database: Database
) -> None:
    late = redis_cache.lock(KEY, 0.05)
    until_gone(database.client(), f"thebase_auth:{KEY}:lock")
    assert late is not None
    late()  # a cache that works well: no error

    late = redis_cache.lock(KEY, 0.05)
    until_gone(database.client(), f"thebase_auth:{KEY}:lock")
    next_one = redis_cache.lock(KEY, LEASE)
    late()  # type: ignore[misc]
    assert redis_cache.lock(KEY, LEASE) is None
    next_one()  # type: ignore[misc]
    assert redis_cache.lock(KEY, LEASE) is not None


@pytest.mark.parametrize("lease", [0.0, -1.0, 0.0004, 1e-12])
def test_a_lock_with_next_to_no_lease_ends_all_the_same(
    lease: float, redis_cache: RedisTokenCache, database: Database
) -> None:
    assert redis_cache.lock(KEY, lease) is not None
    until_gone(database.client(), f"thebase_auth:{KEY}:lock")


PLANTED: dict[str, Callable[[Any, str], Any]] = {
    "a list": lambda client, name: client.rpush(name, "a", "b"),
    "a hash": lambda client, name: client.hset(name, "a", "b"),
    "a stream": lambda client, name: client.xadd(name, {"a": "b"}),
    "binary garbage": lambda client, name: client.set(name, bytes(range(256))),
}


@pytest.mark.parametrize("plant", PLANTED.values(), ids=PLANTED)
def test_what_is_not_text_under_the_key_is_absent_and_gets_overwritten(
    plant: Callable[[Any, str], Any], redis_cache: RedisTokenCache, database: Database
) -> None:
    plant(database.client(), f"thebase_auth:{KEY}")

    assert redis_cache.load(KEY) is None
    assert redis_cache.load(OTHER) is None  # the connection is good after it
    redis_cache.store(KEY, "record", 60.0)
    assert redis_cache.load(KEY) == "record"


def test_what_a_client_turns_into_something_else_than_text_is_absent(
    redis_cache: RedisTokenCache, shared_client: Any
) -> None:
    shared_client.set_response_callback("GET", lambda response, **options: [response])
    redis_cache.store(KEY, "record", 60.0)

    assert redis_cache.load(KEY) is None


def test_what_is_planted_under_the_lock_counts_as_somebody_elses_lock(
    redis_cache: RedisTokenCache, database: Database
) -> None:
    database.client().rpush(f"thebase_auth:{KEY}:lock", "a")

    assert redis_cache.lock(KEY, LEASE) is None


def test_all_names_begin_with_the_prefix(shared_client: Any, database: Database) -> None:
    one, another = RedisTokenCache(shared_client, prefix="one/"), RedisTokenCache(shared_client)
    one.store(KEY, "record", 60.0)
    release = one.lock(KEY, LEASE)

    assert sorted(database.client().keys()) == [f"one/{KEY}".encode(), f"one/{KEY}:lock".encode()]
    assert another.load(KEY) is None
    assert another.lock(KEY, LEASE) is not None
    release()  # type: ignore[misc]


def test_the_clients_of_all_libraries_share_one_record_and_one_lock(database: Database) -> None:
    several = [RedisTokenCache(database.client(kind)) for kind in CLIENT_KINDS]
    several[0].store(KEY, "record", 60.0)
    assert [cache.load(KEY) for cache in several] == ["record"] * len(several)
    release = several[0].lock(KEY, LEASE)
    assert [cache.lock(KEY, LEASE) for cache in several] == [None] * len(several)
    release()  # type: ignore[misc]
    assert several[-1].lock(KEY, LEASE) is not None


# Which clients it takes


@pytest.mark.parametrize(
    "make", [redis.asyncio.Redis, valkey.asyncio.Valkey], ids=["redis.asyncio", "valkey.asyncio"]
)
def test_an_asyncio_client_is_refused(make: Any) -> None:
    with pytest.raises(TypeError, match=r"asyncio .* redis\.Redis"):
        RedisTokenCache(make())


@pytest.mark.parametrize("kind", [redis.Redis, valkey.Valkey, redis.asyncio.Redis])
def test_a_class_in_the_place_of_a_client_is_refused(kind: Any) -> None:
    with pytest.raises(TypeError, match=f"not {kind.__name__}"):
        RedisTokenCache(kind)


@pytest.mark.parametrize("nonsense", [None, "redis://localhost", {}, object()])
def test_what_is_not_a_client_is_refused(nonsense: Any) -> None:
    with pytest.raises(TypeError, match=f"redis-py or valkey-py, not {type(nonsense).__name__}$"):
        RedisTokenCache(nonsense)


@pytest.mark.parametrize("construct", [redis.Redis, valkey.Valkey])
def test_neither_repr_nor_a_refusal_shows_the_password(construct: Any) -> None:
    with construct(username="someone", password="a-password") as client:
        assert repr(RedisTokenCache(client)) == (
            f"RedisTokenCache(<{construct.__name__} localhost 6379 0>, prefix='thebase_auth:')"
        )


# Copies


@pytest.mark.parametrize("construct", [redis.Redis, valkey.Valkey])
@pytest.mark.parametrize("how", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_live_client_can_be_neither_pickled_nor_copied_and_it_says_what_can(
    construct: Any, how: Callable[[Any], Any]
) -> None:
    with construct(password="a-password") as client:
        cache = RedisTokenCache(client)
        auth = auth_for("acme.thebase.co.il", cache=cache)
        with pytest.raises(TypeError, match=r"RedisTokenCache\.from_url\(url\)") as caught:
            how(cache)
        assert "a-password" not in str(caught.value)
        with pytest.raises(TypeError, match=r"RedisTokenCache\.from_url\(url\)"):
            pickle.dumps(auth)
        # In one process a copy has no need of another client.
        assert copy.deepcopy(auth)._core.coordinator.cache is cache  # type: ignore[union-attr]
