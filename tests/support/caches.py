"""What the tests of caches have in common."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import pytest

from tests.support.clients import ALL_CLIENTS, CLIENT_ID, CLIENT_SECRET, Client
from tests.support.servers import Api
from thebase_auth import Token
from thebase_auth._core.credentials import Credentials
from thebase_auth._core.origin import Origin
from thebase_auth.caches._record import RecordFormat

KEY = "a1" * 32
OTHER = "b2" * 32

#: The messages of the warnings so far.
Warnings: TypeAlias = Callable[[], list[str]]

#: One client for each way to wait: threads, asyncio, trio.
FEW = [one for one in ALL_CLIENTS if one.name in {"requests", "httpx on asyncio", "httpx2 on trio"}]

few_clients = pytest.mark.parametrize("client", FEW, ids=str)
#: For tests that wait for seconds: with one client, and with the others if slow tests are asked for.
one_client = pytest.mark.parametrize(
    "client", [FEW[1], *(pytest.param(one, marks=pytest.mark.slow) for one in (FEW[0], FEW[2]))], ids=str
)


@dataclass
class Shared:
    """A cache of one kind at one place, for any number of objects in any number of processes."""

    place: tuple[str, str]
    cache: Callable[[], Any]


def cache_threads() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name == "thebase_auth-cache"]


def format_of(auth: Any) -> RecordFormat:
    """Key and form of the records of an auth object with the tests' credentials."""
    return RecordFormat(Credentials(Origin.of_domain(auth.base_url), CLIENT_ID, CLIENT_SECRET))


def key_of(auth: Any) -> str:
    return format_of(auth).key


def record_of(auth: Any, token: str) -> str:
    """What a process with the same credentials would store."""
    return format_of(auth).write(Token(token))


def stored_token(cache: Any, auth: Any) -> Token | None:
    """The token that other processes find."""
    return format_of(auth).read(cache.load(key_of(auth)))


def is_free(cache: Any, auth: Any) -> bool:
    """Return True if the lock of the cache is free; it is released at once."""
    release = cache.lock(key_of(auth), timeout=0.1)
    if release is None:
        return False
    release()
    return True


def renew(client: Client, auth: Any, url: str, api: Api, timeout: float = 20) -> None:
    """Make a call after the server has revoked all tokens."""
    api.revoke()
    assert client.get(auth, url + "/a", timeout=timeout).status == 200
