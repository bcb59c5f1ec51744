"""RedisTokenCache on real servers of Redis and Valkey."""

from __future__ import annotations

import math
import pickle
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
import redis.asyncio
import valkey
import valkey.asyncio
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.support.caches import KEY, LEASE, OTHER, at_once
from tests.support.databases import CLIENT_KINDS, Database
from thebase_auth.caches import FileTokenCache, RedisTokenCache

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
    give_up_at = time.monotonic() + 10
    while client.exists(name):
        assert time.monotonic() < give_up_at


def test_a_lock_ends_by_itself_after_its_lease(
    redis_cache: RedisTokenCache, database: Database
) -> None:
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
def test_what_is_no_text_under_the_key_is_absent_and_gets_overwritten(
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

    assert sorted(database.client().keys()) == [
        f"one/{KEY}".encode(),
        f"one/{KEY}:lock".encode(),
    ]
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


@pytest.mark.parametrize("kind", CLIENT_KINDS)
def test_many_threads_do_with_a_pool_of_five_connections(kind: str, database: Database) -> None:
    cache = RedisTokenCache(database.client(kind, max_connections=5))

    def use(number: int) -> Any:
        key = f"{number:064x}"
        for _ in range(3):
            release = cache.lock(key, LEASE)
            assert release is not None
            assert cache.lock(key, LEASE) is None
            cache.store(key, f"record {number}", 60.0)
            release()
        return cache.load(key)

    assert at_once(20, use) == [f"record {number}" for number in range(20)]


# Which clients it takes


@pytest.mark.parametrize(
    "make",
    [redis.asyncio.Redis, valkey.asyncio.Valkey],
    ids=["redis.asyncio", "valkey.asyncio"],
)
def test_an_asyncio_client_is_refused(make: Any) -> None:
    with pytest.raises(TypeError, match=r"asyncio .* redis\.Redis"):
        RedisTokenCache(make())


@pytest.mark.parametrize("kind", [redis.Redis, valkey.Valkey, redis.asyncio.Redis])
def test_a_class_in_the_place_of_a_client_is_refused(kind: Any) -> None:
    with pytest.raises(TypeError, match=f"not {kind.__name__}"):
        RedisTokenCache(kind)


@pytest.mark.parametrize("nonsense", [None, "redis://localhost", {}, object()])
def test_what_is_no_client_is_refused(nonsense: Any) -> None:
    with pytest.raises(TypeError, match="redis-py or valkey-py, not "):
        RedisTokenCache(nonsense)


@pytest.mark.parametrize("construct", [redis.Redis, valkey.Valkey])
def test_neither_repr_nor_a_refusal_shows_the_password(construct: Any) -> None:
    with construct(username="someone", password="a-password") as client:
        assert repr(RedisTokenCache(client)) == (
            f"RedisTokenCache(<{construct.__name__} localhost 6379 0>, prefix='thebase_auth:')"
        )


@pytest.mark.parametrize("path", ["", b""])
def test_an_empty_path_is_refused(path: Any) -> None:
    with pytest.raises(ValueError, match="path is empty"):
        FileTokenCache(path)


# Copies


def copied(cache: RedisTokenCache, database: Database) -> RedisTokenCache:
    copy: RedisTokenCache = pickle.loads(pickle.dumps(cache))
    database.to_be_closed(copy._client)
    return copy


@pytest.mark.parametrize("kind", CLIENT_KINDS)
def test_a_copy_by_pickle_uses_the_same_database_through_a_client_of_its_own(
    kind: str, database: Database
) -> None:
    client = database.client(kind, db=3, socket_timeout=7.0)
    cache = RedisTokenCache(client, prefix="mine:")
    cache.store(KEY, "record", 60.0)
    copy = copied(copied(cache, database), database)

    assert copy._client is not client
    assert type(copy._client) is type(client)
    assert copy.load(KEY) == "record"
    settings = copy._client.connection_pool.connection_kwargs
    for name in ("db", "socket_timeout", "decode_responses"):
        assert settings[name] == client.connection_pool.connection_kwargs[name]
    release = copy.lock(KEY, LEASE)
    assert cache.lock(KEY, LEASE) is None
    release()  # type: ignore[misc]
    assert database.client(db=3).keys() == [f"mine:{KEY}".encode()]


@pytest.mark.parametrize("kind", CLIENT_KINDS)
def test_a_copy_has_no_timeout_where_its_original_has_none(kind: str, database: Database) -> None:
    cache = RedisTokenCache(database.client(kind, socket_timeout=None))
    copy = copied(cache, database)

    assert copy.load(KEY) is None
    [connection] = copy._client.connection_pool._available_connections
    assert connection.socket_timeout is None


def connect_under_a_name(connection: Any) -> None:
    connection.client_name = "somebody"
    connection.on_connect()


@pytest.mark.parametrize(
    ("kind", "setting"),
    [("redis-py", "redis_connect_func"), ("valkey-py", "valkey_connect_func")],
)
def test_a_copy_does_on_connecting_what_its_original_does(
    kind: str, setting: str, database: Database
) -> None:
    pool_of = {"redis-py": redis.ConnectionPool, "valkey-py": valkey.ConnectionPool}[kind]
    pool = pool_of(port=database.port, **{setting: connect_under_a_name})
    client = database.to_be_closed(type(database.client(kind))(connection_pool=pool))
    copy = copied(RedisTokenCache(client), database)

    assert copy.load(KEY) is None
    assert copy._client.client_getname() in {"somebody", b"somebody"}


class ConnectionOfOurOwn(redis.Connection):
    """As the one over TLS, or to a socket in the file system, is a class of its own."""


def test_a_copy_connects_in_the_same_way(database: Database) -> None:
    pool = redis.ConnectionPool(connection_class=ConnectionOfOurOwn, port=database.port)
    cache = RedisTokenCache(database.to_be_closed(redis.Redis(connection_pool=pool)))
    copy = copied(cache, database)

    assert copy.load(KEY) is None
    [connection] = copy._client.connection_pool._available_connections
    assert type(connection) is ConnectionOfOurOwn


@pytest.mark.parametrize("library", [redis, valkey])
def test_a_copy_keeps_the_bounds_of_the_pool(library: Any, database: Database) -> None:
    pool = library.BlockingConnectionPool(port=database.port, max_connections=3, timeout=2)
    construct = library.Redis if library is redis else library.Valkey
    cache = RedisTokenCache(database.to_be_closed(construct(connection_pool=pool)))
    copy = copied(cache, database)

    assert copy.load(KEY) is None
    made = copy._client.connection_pool
    assert (type(made), made.max_connections, made.timeout) == (type(pool), 3, 2)


def test_a_copy_of_a_client_with_an_url_goes_to_the_same_place(database: Database) -> None:
    client = redis.Redis.from_url(f"redis://127.0.0.1:{database.port}/2?max_connections=9")
    cache = RedisTokenCache(database.to_be_closed(client))
    cache.store(KEY, "record", 60.0)
    copy = copied(cache, database)

    assert copy.load(KEY) == "record"
    assert copy._client.connection_pool.max_connections == 9


@pytest.fixture
def user(database: Database) -> Iterator[tuple[str, str]]:
    """Name and password of a user of the database; others are still let in without."""
    client = database.client()
    client.acl_setuser("someone", enabled=True, passwords=["+a-password"], keys="*",
                       categories=["+@all"])  # fmt: skip
    yield "someone", "a-password"
    client.acl_deluser("someone")


def test_a_copy_logs_in_as_its_original_did(user: tuple[str, str], database: Database) -> None:
    name, password = user
    clients = [
        database.client("redis-py", username=name, password=password),
        database.client("valkey-py", username=name, password=password),
        database.client(
            "redis-py", credential_provider=redis.UsernamePasswordCredentialProvider(name, password)
        ),
        database.client(
            "valkey-py",
            credential_provider=valkey.UsernamePasswordCredentialProvider(name, password),
        ),
    ]
    for client in clients:
        copy = copied(RedisTokenCache(client), database)
        copy.store(KEY, "record", 60.0)
        assert copy.load(KEY) == "record"
        assert copy._client.acl_whoami() in {name, name.encode()}


def test_a_copy_tries_again_as_often_as_its_original(database: Database) -> None:
    cache = RedisTokenCache(database.client("redis-py", retry=Retry(NoBackoff(), 5)))
    copy = copied(cache, database)

    assert copy.load(KEY) is None
    assert copy._client.connection_pool.connection_kwargs["retry"]._retries == 5


def unusable(cache: RedisTokenCache, name: str) -> bool:
    for call in (
        lambda: cache.load(KEY),
        lambda: cache.store(KEY, "record", None),
        lambda: cache.lock(KEY, LEASE),
    ):
        with pytest.raises(RuntimeError, match=f"class {name} cannot be pickled; make the RedisTo"):
            call()
    return True


class ClientOfAnotherKind:
    """What a wrapper, or a client for a cluster, may be like."""

    def __init__(self, somewhere: str) -> None:
        self.somewhere = somewhere

    def lock(self, name: str, **options: Any) -> Any:
        raise NotImplementedError


def test_a_client_that_cannot_be_rebuilt_says_so_when_its_copy_is_used() -> None:
    copy = pickle.loads(pickle.dumps(RedisTokenCache(ClientOfAnotherKind("x"), prefix="mine:")))

    assert unusable(copy, "ClientOfAnotherKind")
    assert unusable(pickle.loads(pickle.dumps(copy)), "ClientOfAnotherKind")
    assert "mine:" in repr(copy)


def test_a_client_of_a_class_that_pickle_cannot_name_says_so_when_its_copy_is_used() -> None:
    class Local(redis.Redis):
        pass

    with Local() as client:
        assert unusable(pickle.loads(pickle.dumps(RedisTokenCache(client))), "Local")


def test_a_client_whose_way_to_log_in_cannot_be_pickled_says_so_when_its_copy_is_used() -> None:
    class Provider(redis.CredentialProvider):
        def get_credentials(self) -> tuple[str]:
            return ("a-password",)

    with redis.Redis(credential_provider=Provider()) as client:
        assert unusable(pickle.loads(pickle.dumps(RedisTokenCache(client))), "Redis")


def test_a_client_of_a_sentinel_says_so_when_its_copy_is_used(database: Database) -> None:
    sentinel = redis.Sentinel([("127.0.0.1", database.port)])
    client = database.to_be_closed(sentinel.master_for("mymaster"))

    assert unusable(pickle.loads(pickle.dumps(RedisTokenCache(client))), "Redis")
    for one in sentinel.sentinels:
        one.close()
