"""Which tokens of a cache are used, and which are not: revoked, rejected, forgotten, another client's."""

from __future__ import annotations

import gc
import hashlib
import threading
import weakref
from typing import Any

import pytest
import requests

from tests.support.caches import (
    FEW,
    Shared,
    Warnings,
    cache_threads,
    few_clients,
    is_free,
    key_of,
    record_of,
    renew,
    stored_token,
)
from tests.support.callers import wait_until
from tests.support.clients import Client, auth_for, one_time_body
from tests.support.clock import Clock
from tests.support.memory_cache import MemoryCache
from tests.support.servers import Api, api_server
from thebase_auth.caches import FileTokenCache

# In the background


@few_clients
def test_token_stored_while_the_lock_is_waited_for_is_used(client: Client) -> None:
    with api_server() as (server, api):
        api.live.add("from-another")

        def store(method: str) -> None:
            if method == "lock":
                cache.records[key_of(auth)] = record_of(auth, "from-another")

        cache = MemoryCache(store)
        auth = auth_for(server.url, cache=cache)
        assert client.get(auth, server.url + "/a").status == 200
        wait_until(lambda: not cache.locked)
    assert api.token_requests == 0


@few_clients
def test_one_background_thread_per_renewal_and_none_for_a_good_token(client: Client) -> None:
    cache = MemoryCache()
    with api_server() as (server, api):
        auth = auth_for(server.url, cache=cache)
        for number in (1, 2):
            cache.calls.clear()
            renew(client, auth, server.url, api)
            wait_until(lambda: not cache.locked)
            assert cache.calls == ["load", "lock", "load", "store", "release"]
            assert len(cache.threads) == number
        cache.calls.clear()
        assert client.get(auth, server.url + "/a").status == 200
        assert cache.calls == []
    assert threading.current_thread() not in cache.threads
    assert all(one.daemon for one in cache.threads)
    assert cache.lifetimes == pytest.approx([3600, 3600], abs=60)


def test_constructor_does_not_compute_the_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashlib, "pbkdf2_hmac", pytest.fail)
    auth_for("acme.thebase.co.il", cache=MemoryCache())


# Tokens that the server rejects


@few_clients
def test_revoked_token_from_the_cache_costs_one_more_replay(client: Client) -> None:
    with api_server() as (server, api):
        cache = MemoryCache()
        auth = auth_for(server.url, cache=cache)
        renew(client, auth, server.url, api)
        api.revoke()
        cache.records[key_of(auth)] = record_of(auth, "revoked")
        reply = client.get(auth, server.url + "/a")
        assert (reply.status, reply.history) == (200, [401, 401])
        carried = [one.authorization for one in server.to("/a")][-3:]
        assert carried == ["Bearer token-1", "Bearer revoked", "Bearer token-2"]
    assert api.token_requests == 2


@few_clients
def test_cache_of_revoked_tokens_costs_a_call_no_more_than_two_replays(client: Client) -> None:
    def store(method: str) -> None:
        if method == "load":
            cache.records[key_of(auth)] = record_of(auth, f"revoked-{len(cache.calls)}")

    with api_server() as (server, api):
        cache = MemoryCache(store)
        auth = auth_for(server.url, cache=cache)
        reply = client.post(auth, server.url + "/a", b"body")
        assert (reply.status, reply.history) == (401, [401, 401])
        assert len({one.authorization for one in server.to("/a")}) == 3
    assert api.token_requests == 0


@few_clients
def test_throttled_operation_uses_a_newer_token_of_the_cache(
    client: Client, shared: Shared, clock: Clock, warnings: Warnings
) -> None:
    with api_server(Api(one_at_a_time=True)) as (server, api):
        api.rejection = (401, {}, bytes(2**20 + 1))
        mine, other = (auth_for(server.url, cache=shared.cache()) for _ in range(2))
        url = server.url + "/a"
        assert client.get(mine, url).status == client.get(other, url).status == 200
        api.responses["/a"] = api.rejection
        for _ in range(3):
            assert client.get(mine, url).status == 401
        fetched = api.token_requests
        reply = client.get(mine, url)
        assert (reply.status, reply.history, api.token_requests) == (401, [], fetched)
        assert reply.body == api.rejection[2]
        assert len(warnings()) == 1

        del api.responses["/a"]
        other.forget()
        api.revoke()
        assert client.get(other, url).status == 200
        fetched = api.token_requests
        reply = client.get(mine, url)
        assert (reply.status, reply.history, api.token_requests) == (200, [401], fetched)
        assert mine.token == other.token


def test_only_a_token_request_takes_the_lock_and_stores_a_token(clock: Clock, warnings: Warnings) -> None:
    cache, client = MemoryCache(), FEW[0]

    def calls_of(auth: Any, status: int) -> list[str]:
        cache.calls.clear()
        assert client.get(auth, server.url + "/a").status == status
        wait_until(lambda: not cache_threads())
        return cache.calls

    with api_server() as (server, api):
        first, second = (auth_for(server.url, cache=cache) for _ in range(2))
        assert calls_of(first, 200) == ["load", "lock", "load", "store", "release"]
        assert calls_of(second, 200) == ["load"]

        api.responses["/a"] = api.rejection
        for _ in range(2):
            calls_of(first, 401)
        cache.records.clear()
        assert calls_of(first, 401) == ["load"]  # it is throttled


# Tokens that this object has retired


@few_clients
def test_rejected_token_is_not_used_again(client: Client, shared: Shared) -> None:
    with api_server() as (server, api):
        auth = auth_for(server.url, cache=shared.cache())
        for number in (1, 2, 3):
            renew(client, auth, server.url, api)
            assert api.token_requests == number
        api.revoke()
        assert client.post(auth, server.url + "/b", one_time_body(client)).status == 401
        assert auth.token is None
        assert client.get(auth, server.url + "/a").history == []
        assert auth.token == "token-4"


def test_forgotten_token_is_not_used_again_but_by_others(shared: Shared) -> None:
    with api_server() as (server, _):
        auth = auth_for(server.url, cache=shared.cache())
        for number in (1, 2):
            auth.forget()
            assert FEW[0].get(auth, server.url + "/a").status == 200
            assert auth.token == f"token-{number}"
        cache = shared.cache()
        another = auth_for(server.url, cache=cache)
        assert FEW[0].get(another, server.url + "/a").status == 200
        assert another.token == stored_token(cache, another) == "token-2"
        wait_until(lambda: is_free(cache, auth))


def test_request_that_needed_a_token_is_not_kept_in_memory(file_cache: FileTokenCache) -> None:
    """It may have a long body."""
    with api_server() as (server, _):
        auth = auth_for(server.url, cache=file_cache)
        response = requests.get(server.url + "/a", auth=auth, timeout=10)
        seen = weakref.ref(response.request)
        del response
        wait_until(lambda: not cache_threads())
        gc.collect()
        assert seen() is None
