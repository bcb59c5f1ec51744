"""RedisTokenCache made from a URL: its options, and that it can be pickled, copied and forked with."""

from __future__ import annotations

import copy
import pickle
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
import requests

from tests.support.broken import broken_server
from tests.support.caches import KEY, LEASE, fork_with_threads, in_a_child, in_thread, needs_fork
from tests.support.clients import CLIENTS, auth_for
from tests.support.databases import Database
from tests.support.sharing import few_clients, said_by_another_process, stored_token
from thebase_auth.caches import RedisTokenCache, _redis
from thebase_auth.testing import Sandbox

COPIES: dict[str, Callable[[Any], Any]] = {
    "pickle": lambda one: pickle.loads(pickle.dumps(one)),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
}

any_copy = pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)


def settings_of(cache: RedisTokenCache) -> dict[str, Any]:
    settings: dict[str, Any] = cache._client.connection_pool.connection_kwargs
    return settings


# What it makes of a URL


def test_it_has_timeouts_of_a_second_and_does_not_try_again(database: Database) -> None:
    cache = database.cache()

    assert type(cache._client) is redis.Redis
    settings = settings_of(cache)
    assert (settings["socket_timeout"], settings["socket_connect_timeout"]) == (1, 1)
    assert settings["retry"] is None


def test_a_server_that_closes_each_connection_is_asked_once() -> None:
    with broken_server("closes") as (url, taken):
        cache = RedisTokenCache.from_url(url.replace("http", "redis", 1))
        with pytest.raises(redis.ConnectionError):
            cache.load(KEY)
        assert len(taken) == 1
        cache._client.close()


def test_options_in_the_url_have_their_effect(database: Database) -> None:
    cache = database.cache(
        database=3, options="socket_timeout=7&max_connections=9&decode_responses=yes", prefix="mine:"
    )
    cache.store(KEY, "record", 60.0)

    assert settings_of(cache)["socket_timeout"] == 7
    assert cache._client.connection_pool.max_connections == 9
    assert cache.load(KEY) == "record"
    assert database.client(db=3).keys() == [f"mine:{KEY}".encode()]
    assert repr(cache) == f"RedisTokenCache(<Redis 127.0.0.1 {database.port} 3>, prefix='mine:')"


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="this system has no such sockets")
def test_the_urls_of_tls_and_of_a_socket_in_the_file_system_are_taken(tmp_path: Path) -> None:
    tls = RedisTokenCache.from_url("rediss://cache.example:6380/1")
    assert tls._client.connection_pool.connection_class is redis.SSLConnection
    local = RedisTokenCache.from_url(f"unix://{tmp_path}/redis.sock?db=2")
    assert repr(local) == f"RedisTokenCache(<Redis {tmp_path}/redis.sock 2>, prefix='thebase_auth:')"


@pytest.mark.parametrize(
    "url", ["", "localhost:6379", "http://localhost", "redis://localhost:port", "redis://h?db=x"]
)
def test_what_is_not_a_url_of_a_database_is_refused(url: str) -> None:
    with pytest.raises(ValueError):
        RedisTokenCache.from_url(url)


@contextmanager
def with_password(database: Database) -> Iterator[str]:
    """A URL of a user of the database; others are still let in without."""
    client = database.client()
    client.acl_setuser("someone", enabled=True, passwords=["+a-password"], keys="*",
                       categories=["+@all"])  # fmt: skip
    yield f"redis://someone:a-password@127.0.0.1:{database.port}"
    client.acl_deluser("someone")


@any_copy
def test_a_password_in_the_url_is_used_kept_by_a_copy_and_shown_by_neither(
    copied: Callable[[Any], Any], database: Database
) -> None:
    with with_password(database) as url:
        cache = database.closing(RedisTokenCache.from_url(url))
        for one in (cache, database.closing(copied(cache))):
            one.store(KEY, "record", 60.0)
            assert one.load(KEY) == "record"
            assert one._client.acl_whoami() in {"someone", b"someone"}
            assert "password" not in repr(one) + repr(vars(one)["_url"])


# Copies


class OurCache(RedisTokenCache):
    """As a user may derive one."""


@any_copy
@pytest.mark.parametrize("kind", [RedisTokenCache, OurCache])
def test_a_copy_uses_the_same_database_through_its_own_client(
    kind: type[RedisTokenCache], copied: Callable[[Any], Any], database: Database
) -> None:
    url = f"redis://127.0.0.1:{database.port}/3?socket_timeout=7"
    cache = database.closing(kind.from_url(url, prefix="mine:"))
    cache.store(KEY, "record", 60.0)
    another = database.closing(copied(database.closing(copied(cache))))

    assert type(another) is kind
    assert another._client is not cache._client
    assert settings_of(another)["socket_timeout"] == 7
    assert another.load(KEY) == "record"
    release = another.lock(KEY, LEASE)
    assert cache.lock(KEY, LEASE) is None
    release()  # type: ignore[misc]
    assert database.client(db=3).keys() == [f"mine:{KEY}".encode()]


def test_the_name_in_a_pickle_stays_one_that_can_be_found() -> None:
    """A pickle may be read by a later version."""
    cache = RedisTokenCache.from_url("redis://localhost")

    assert cache.__reduce__() == (_redis._from_url, (RedisTokenCache, "redis://localhost", "thebase_auth:"))
    assert type(cache.__reduce__()[1][1]) is str


@few_clients
@any_copy
def test_an_auth_object_that_has_one_is_copied_and_the_copy_shares_the_token(
    client: Any, copied: Callable[[Any], Any], database: Database
) -> None:
    with Sandbox() as thebase:
        url = thebase.domain + "/v2/users"
        cache = database.cache()
        auth = auth_for(thebase.domain, cache=cache)
        another = copied(auth)
        database.closing(another._core.coordinator.cache)
        assert client.get(auth, url).status == 200
        assert client.get(another, url).status == 200
        assert thebase.token_requests == 1
        assert stored_token(cache, auth) == another.token


def test_a_session_that_has_one_can_be_pickled(database: Database) -> None:
    with Sandbox() as thebase, requests.Session() as session:
        session.auth = auth_for(thebase.domain, cache=database.cache())
        with pickle.loads(pickle.dumps(session)) as another:
            database.closing(another.auth._core.coordinator.cache)
            for one in (session, another):
                assert one.get(thebase.domain + "/v2/users").status_code == 200
        assert thebase.token_requests == 1


def test_processes_that_are_given_the_url_share_the_token(database: Database) -> None:
    source = """
cache = RedisTokenCache.from_url(f"redis://127.0.0.1:{where}")
print(get(auth_with(cache)))
"""
    with Sandbox() as thebase:
        for _ in range(2):
            out, err = said_by_another_process(thebase.domain, "url", database.port, source=source)
            assert (out, err) == ("200\n", "")
        auth = auth_for(thebase.domain, cache=database.cache())
        assert CLIENTS[0].get(auth, thebase.domain + "/v2/users").status == 200
        assert thebase.token_requests == 1


# Forks


@needs_fork
@fork_with_threads
def test_a_forked_child_uses_its_own_connection(database: Database) -> None:
    cache = database.cache()
    cache.store(KEY, "record", 60.0)  # over a connection that the child gets, too
    ours = cache._client.client_id()

    def use() -> bool:
        same = cache._client.client_id() == ours
        in_thread(in_thread(lambda: cache.lock(KEY, LEASE)))
        cache.store(KEY, f"of the child, {same}", 60.0)
        return cache.load(KEY) == "of the child, False"

    assert in_a_child(use)
    assert cache._client.client_id() == ours
    assert cache.load(KEY) == "of the child, False"
