"""Auth objects, and sessions that hold them, pickle, copy and survive a fork."""

from __future__ import annotations

import copy
import inspect
import os
import pickle
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import redis
import requests

import thebase_auth.requests
from tests.support.clients import CLIENT_ID, CLIENT_SECRET, Client, auth_for
from thebase_auth.caches import FileTokenCache, RedisTokenCache
from thebase_auth.testing import Sandbox

WAYS = [
    pytest.param(copy.copy, id="copy"),
    pytest.param(copy.deepcopy, id="deepcopy"),
    *(
        pytest.param(lambda one, p=protocol: pickle.loads(pickle.dumps(one, p)), id=f"pickle {protocol}")
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
    ),
]
CACHES = [
    pytest.param(lambda folder: None, id="no cache"),
    pytest.param(lambda folder: FileTokenCache(folder / "tokens.json"), id="file"),
    # Nobody listens there: a copy is made without a word to the server.
    pytest.param(lambda folder: RedisTokenCache.from_url("redis://localhost:1"), id="redis"),
]


@pytest.fixture
def thebase() -> Any:
    with Sandbox(client_id=CLIENT_ID, client_secret=CLIENT_SECRET) as sandbox:
        yield sandbox


@pytest.mark.parametrize("way", WAYS[1:])
def test_a_copy_keeps_each_option(way: Callable[[Any], Any], tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "cache": FileTokenCache(tmp_path / "tokens"),
        "timeout": 12.0,
        "session": requests.Session(),
    }
    known = inspect.signature(thebase_auth.requests.TheBaseAuth).parameters.values()
    assert options.keys() == {one.name for one in known if one.kind is one.KEYWORD_ONLY}

    auth = thebase_auth.requests.TheBaseAuth("acme.thebase.co.il", CLIENT_ID, CLIENT_SECRET, **options)
    copied = way(auth)
    assert (copied._core.timeout, repr(copied._core._cache)) == (12.0, repr(options["cache"]))
    assert isinstance(copied._session, requests.Session)


@pytest.mark.parametrize("way", WAYS[1:])
@pytest.mark.parametrize("cache", CACHES)
def test_a_copy_keeps_the_credentials_and_the_cache_and_makes_its_own_locks(
    way: Callable[[Any], Any], cache: Callable[[Path], Any], tmp_path: Path
) -> None:
    auth = auth_for("acme.thebase.co.il", timeout=12, cache=cache(tmp_path))
    copied = way(auth)

    assert repr(copied) == repr(auth)
    ours, theirs = auth._core, copied._core
    assert theirs.credentials.client_secret.reveal() == CLIENT_SECRET
    assert theirs.timeout == 12
    assert theirs.shared is not ours.shared
    assert theirs.shared._lock is not ours.shared._lock
    assert repr(theirs._cache) == repr(ours._cache)
    assert (theirs.coordinator is None) == (ours.coordinator is None)
    if ours.coordinator is not None:
        assert theirs.coordinator.shared is theirs.shared
        assert theirs.coordinator.record.key == ours.coordinator.record.key


def test_a_shallow_copy_has_the_same_token() -> None:
    auth = auth_for("acme.thebase.co.il")

    assert copy.copy(auth)._core is auth._core


@pytest.mark.parametrize("cache", CACHES[1:])
def test_a_deep_copy_within_the_process_has_the_very_same_cache(
    cache: Callable[[Path], Any], tmp_path: Path
) -> None:
    auth = auth_for("acme.thebase.co.il", cache=cache(tmp_path))

    assert copy.deepcopy(auth)._core._cache is auth._core._cache
    both = copy.deepcopy({"first": auth, "again": auth})
    assert both["first"]._core._cache is auth._core._cache


def test_with_a_live_client_a_copy_can_be_made_but_no_pickle() -> None:
    cache = RedisTokenCache(redis.Redis(port=1))
    auth = auth_for("acme.thebase.co.il", cache=cache)

    assert copy.deepcopy(auth)._core._cache is cache
    with pytest.raises(TypeError, match=r"live client cannot be pickled.*RedisTokenCache\.from_url"):
        pickle.dumps(auth)


def test_a_pickle_of_a_redis_cache_is_made_anew_from_its_url() -> None:
    cache = RedisTokenCache.from_url("redis://:hunter2@localhost:1/3", prefix="mine:")
    copied = pickle.loads(pickle.dumps(cache))

    assert repr(copied) == repr(cache) == "RedisTokenCache(<Redis localhost 1 3>, prefix='mine:')"
    settings = copied._client.connection_pool.connection_kwargs
    assert (settings["password"], settings["socket_timeout"]) == ("hunter2", 1)


def test_a_cache_that_cannot_be_copied_is_shared_by_a_deep_copy() -> None:
    class LockedTokenCache:
        def __init__(self) -> None:
            self.mutex = threading.Lock()

        def load(self, key: str) -> None: ...
        def store(self, key: str, record: str, lifetime: float | None) -> None: ...
        def lock(self, key: str, lease: float) -> None: ...

    auth = auth_for("acme.thebase.co.il", cache=LockedTokenCache())

    assert copy.deepcopy(auth)._core._cache is auth._core._cache


def test_a_deep_copy_of_two_holders_of_one_auth_object_has_one_auth_object() -> None:
    auth = auth_for("acme.thebase.co.il")
    first, second = copy.deepcopy([auth, auth])

    assert first is second is not auth


def test_a_deep_copy_of_what_refers_to_itself_refers_to_itself() -> None:
    auth: Any = auth_for("acme.thebase.co.il")
    auth.itself = auth
    copied = copy.deepcopy(auth)

    assert copied.itself is copied is not auth


@pytest.mark.parametrize("way", WAYS[1:])
@pytest.mark.parametrize("cache", CACHES[:2])
def test_a_copy_signs(
    way: Callable[[Any], Any], cache: Callable[[Path], Any], client: Client, thebase: Sandbox, tmp_path: Path
) -> None:
    auth = auth_for(thebase.domain, cache=cache(tmp_path))
    url = thebase.domain + "/v2/users"
    assert client.get(auth, url).status == 200
    copied = way(auth)

    assert copied.token is None
    assert client.get(copied, url).status == 200
    assert client.get(auth, url).status == 200
    assert thebase.token_requests == (2 if auth._core._cache is None else 1)


@pytest.mark.parametrize("way", WAYS[1:])
@pytest.mark.parametrize("cache", CACHES[:2])
def test_a_copy_of_a_session_signs(
    way: Callable[[Any], Any], cache: Callable[[Path], Any], thebase: Sandbox, tmp_path: Path
) -> None:
    with requests.Session() as session:
        session.auth = auth_for(thebase.domain, cache=cache(tmp_path))
        assert session.get(thebase.domain + "/v2/users", timeout=10).status_code == 200
        with way(session) as copied:
            assert copied.auth is not session.auth
            thebase.revoke_tokens()
            assert copied.get(thebase.domain + "/v2/users", timeout=10).status_code == 200


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("cache", CACHES[:2])
def test_a_child_forked_in_the_middle_of_a_renewal_can_use_the_object(
    cache: Callable[[Path], Any], client: Client, thebase: Sandbox, tmp_path: Path
) -> None:
    auth = auth_for(thebase.domain, cache=cache(tmp_path))
    url = thebase.domain + "/v2/users"
    assert client.get(auth, url).status == 200
    thebase.revoke_tokens()
    shared = auth._core._cache is not None
    with ThreadPoolExecutor(1) as pool:
        with thebase.hold_token_requests():
            renewing = pool.submit(client.get, auth, url)
            thebase.wait_for_token_requests(2)
            child = os.fork()
            if child == 0:
                try:
                    os._exit(client.get(auth, url).status - 200)
                finally:
                    os._exit(99)
            if not shared:  # the child asks by itself, and then waits for its answer
                thebase.wait_for_token_requests(3)
        assert renewing.result(30).status == 200
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert thebase.token_requests == (2 if shared else 3)
    assert client.get(auth, url).status == 200
