"""A cache that a user wrote: what the constructor accepts, and what becomes of one for version 0.2."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis

import thebase_auth.httpx
import thebase_auth.httpx2
import thebase_auth.requests
from tests.support.caches import Warnings, few_clients, renew
from tests.support.clients import CLIENT_ID, CLIENT_SECRET, Client, auth_for
from tests.support.servers import api_server
from tests.support.shelf import Shelf
from thebase_auth import FileTokenCache

NOT_CACHES: list[Any] = [
    "tokens.json",
    Path("tokens.json"),
    redis.Redis(),
    FileTokenCache,
    {},
    True,
    threading,
]


@pytest.mark.parametrize("nonsense", NOT_CACHES, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize(
    "module", [thebase_auth, thebase_auth.requests, thebase_auth.httpx, thebase_auth.httpx2]
)
def test_what_is_not_a_cache_is_an_error_that_says_what_is(nonsense: Any, module: Any) -> None:
    hint = r"FileTokenCache\(path\) or RedisTokenCache\(client\) of thebase_auth\.caches"
    with pytest.raises(TypeError, match=rf"{hint}; it is of type {type(nonsense).__name__}$") as caught:
        module.TheBaseAuth("acme.thebase.co.il", CLIENT_ID, CLIENT_SECRET, cache=nonsense)
    assert CLIENT_SECRET not in str(caught.value)


def test_cache_with_async_methods_is_an_error() -> None:
    class Async(Shelf):
        async def load(self, key: str) -> Any:
            return None

    with pytest.raises(TypeError, match="plain methods"):
        auth_for("acme.thebase.co.il", cache=Async())


class OldCache:
    """A cache for version 0.2, whose `lock` did not wait."""

    def __init__(self) -> None:
        self.records: dict[str, str] = {}

    def load(self, key: str) -> str | None:
        return self.records.get(key)

    def store(self, key: str, record: str, lifetime: float | None) -> None:
        self.records[key] = record

    def lock(self, key: str, lease: float) -> Callable[[], object] | None:
        raise AssertionError("never called: a wait is not a lease")

    def __repr__(self) -> str:
        return "<our old cache>"


@few_clients
def test_cache_for_version_0_2_fails_with_a_warning_that_names_it(client: Client, warnings: Warnings) -> None:
    with api_server() as (server, api):
        auth = auth_for(server.url, cache=OldCache())
        for _ in range(3):
            renew(client, auth, server.url, api)
        assert api.token_requests == 3
    [message] = warnings()
    assert "<our old cache>" in message
    assert "'timeout'" in message


@few_clients
def test_lock_that_returns_false_has_not_been_acquired(client: Client) -> None:
    class AcquiredAndRelease(Shelf):
        def lock(self, key: str, *, timeout: float) -> Any:
            self._called("lock")
            return False

    shelf = AcquiredAndRelease()
    with api_server() as (server, api):
        auth = auth_for(server.url, cache=shelf)
        renew(client, auth, server.url, api)
    assert "lock" in shelf.calls
    assert "release" not in shelf.calls
