"""Auth objects, and sessions that hold them, pickle, copy and survive a fork."""

from __future__ import annotations

import copy
import inspect
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

import thebase_auth.requests
from tests.support.callers import renewal_held
from tests.support.clients import CLIENT_ID, CLIENT_SECRET, Client, auth_for
from tests.support.memory_cache import MemoryCache
from tests.support.processes import fork_with_threads, in_a_child, needs_fork
from tests.support.servers import api_server
from tests.support.world import DOMAIN
from thebase_auth.caches import FileTokenCache, RedisTokenCache

Way = Callable[[Any], Any]

ways = pytest.mark.parametrize(
    "way",
    [
        pytest.param(copy.deepcopy, id="deepcopy"),
        pytest.param(lambda one: pickle.loads(pickle.dumps(one)), id="pickle"),
    ],
)


def cache_of(auth: Any) -> Any:
    return auth._renewal._cache.cache


@ways
def test_copy_keeps_every_option(way: Way) -> None:
    options: dict[str, Any] = {
        "cache": RedisTokenCache.from_url("redis://localhost:1"),  # nobody listens there
        "timeout": 12.0,
        "session": requests.Session(),
    }
    known = inspect.signature(thebase_auth.requests.TheBaseAuth).parameters.values()
    assert options.keys() == {one.name for one in known if one.kind is one.KEYWORD_ONLY}

    auth = thebase_auth.requests.TheBaseAuth(DOMAIN, CLIENT_ID, CLIENT_SECRET, **options)
    copied = way(auth)
    assert repr(copied) == repr(auth)
    assert copied._renewal.timeout == 12.0
    assert repr(cache_of(copied)) == repr(options["cache"])
    assert isinstance(copied._session, requests.Session)


@ways
def test_copy_signs_by_itself_and_shares_the_cache(way: Way, client: Client, tmp_path: Path) -> None:
    with api_server() as (server, api), ThreadPoolExecutor(1) as pool:
        auth = auth_for(server.url, cache=FileTokenCache(tmp_path / "tokens.json"))
        assert client.get(auth, server.url + "/a").status == 200
        copied = way(auth)
        assert copied.token is None
        with auth._renewal._lock:  # a copy has a lock of its own
            assert pool.submit(client.get, copied, server.url + "/a").result(20).status == 200
    assert api.token_requests == 1


@ways
def test_copy_of_a_session_signs(way: Way) -> None:
    with api_server() as (server, api), requests.Session() as session:
        session.auth = auth_for(server.url)
        assert session.get(server.url + "/a", timeout=10).status_code == 200
        with way(session) as copied:
            assert copied.auth is not session.auth
            api.revoke()
            assert copied.get(server.url + "/a", timeout=10).status_code == 200


def test_deep_copy_shares_a_cache_that_cannot_be_copied() -> None:
    cache = MemoryCache()  # it has a lock
    assert cache_of(copy.deepcopy(auth_for(DOMAIN, cache=cache))) is cache


@needs_fork
@fork_with_threads
def test_child_forked_in_the_middle_of_a_renewal_can_use_the_object(client: Client) -> None:
    with renewal_held(client) as (url, api, auth), ThreadPoolExecutor(1) as pool:
        renewing = pool.submit(client.get, auth, url, timeout=20)
        api.wait_for_held(1)
        api.holding = False
        assert in_a_child(lambda: client.get(auth, url, timeout=20).status == 200)
        api.let_all_go()
        assert renewing.result(30).status == 200
        assert client.get(auth, url).status == 200
