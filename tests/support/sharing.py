"""One token shared through a cache, by objects of this process and by other processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.support import ROOT
from tests.support.clients import ALL_CLIENTS, CLIENT_ID, CLIENT_SECRET, Client
from tests.support.servers import Api
from thebase_auth import FileTokenCache, RedisTokenCache, Token
from thebase_auth._core.shared_token import Fetch, Flight
from thebase_auth._waiting import blocking
from thebase_auth.caches._coordinator import Errand

METHODS = ["load", "lock", "store", "release"]


FEW = [
    next(one for one in ALL_CLIENTS if one.name == name)
    for name in ("requests", "httpx on asyncio", "httpx2 on trio")
]


BLOCKING = [one for one in ALL_CLIENTS if not one.is_async]


few_clients = pytest.mark.parametrize("client", FEW, ids=str)


each_method_in_some_client = pytest.mark.parametrize(
    ("method", "client"), list(zip(METHODS, [*FEW, FEW[0]], strict=True)), ids=str
)


few_pairs = pytest.mark.parametrize(
    ("client", "shared"),
    [(FEW[0], "file"), (FEW[1], "redis"), (FEW[2], "file")],
    indirect=["shared"],
    ids=str,
)


def until(condition: Callable[[], Any], seconds: float = 10.0) -> None:
    """Wait for what is going to happen; fail if it does not."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.002)


def cache_threads() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name == "thebase_auth-cache"]


def key_of(auth: Any) -> str:
    return str(auth._core.coordinator.record.key)


def record_of(auth: Any, token: str) -> str:
    """What a process with the same credentials would store."""
    return str(auth._core.coordinator.record.write(Token(token)))


def stored_token(cache: Any, auth: Any) -> Token | None:
    """The token that other processes find."""
    found: Token | None = auth._core.coordinator.record.read(cache.load(key_of(auth)), time.time())
    return found


def lead(auth: Any, *, seconds: float | None = None) -> tuple[Flight, Errand | None]:
    """Become the leader of a new flight, as a caller that blocks; with *seconds*, look into the cache."""
    step = auth._core.shared.ask(None, None, time.monotonic(), longest=60.0, task=None)
    assert isinstance(step, Fetch)
    step.flight.begun = True
    if step.superseded is not None:
        step.superseded.end()
    return step.flight, None if seconds is None else look(auth, step.flight, seconds)


def look(auth: Any, flight: Flight, seconds: float) -> Errand | None:
    """What a leader does at the cache before its token request."""
    errand: Errand | None = blocking(auth._core.coordinator.load(flight, seconds))
    return errand


def finish(auth: Any, flight: Flight, token: Token) -> Token:
    """End a flight with what its token request has brought."""
    done: Token = auth._core.shared.finish(flight, token, now=time.monotonic())
    return done


def is_free(cache: Any, auth: Any) -> bool:
    """Whether the lock of the cache can be had; it is given back at once."""
    release = cache.lock(key_of(auth), 5.0)
    if release is None:
        return False
    release()
    return True


@dataclass
class Shared:
    """A cache of one kind, which any number of objects, in any number of processes, are for."""

    kind: str
    where: Any
    cache: Callable[[], Any]
    content: Callable[[], bytes]


@contextmanager
def a_file(tmp_path: Path) -> Iterator[Shared]:
    folder = tmp_path / "cache"

    def content() -> bytes:
        parts = [str(path).encode() + path.read_bytes() for path in folder.iterdir()]
        return b"\n".join(parts)

    path = folder / "tokens.json"
    yield Shared("file", path, lambda: FileTokenCache(path), content)


@contextmanager
def a_database(server: Any) -> Iterator[Shared]:
    with redis.Redis(port=server.port) as connection, ExitStack() as stack:
        connection.flushall()

        def cache() -> RedisTokenCache:
            return RedisTokenCache(stack.enter_context(redis.Redis(port=server.port)))

        def content() -> bytes:
            keys = connection.keys()
            return b"\n".join([*keys, *[connection.get(key) or b"" for key in keys]])

        yield Shared("redis", server.port, cache, content)


def renew(client: Client, auth: Any, url: str, api: Api, timeout: float = 20) -> None:
    """Make a call whose token, if there is one, the server refuses."""
    api.revoke()
    assert client.get(auth, url + "/a", timeout=timeout).status == 200


PREAMBLE = """
import os, signal, sys, threading, time
import requests
from thebase_auth.caches import FileTokenCache, RedisTokenCache
from thebase_auth.requests import TheBaseAuth

url, kind, where, timeout, client_id, client_secret = sys.argv[1:]
timeout = float(timeout)
cache = None
if kind == "file":
    cache = FileTokenCache(where)
if kind == "redis":
    import redis
    cache = RedisTokenCache(redis.Redis(port=int(where), socket_timeout=None))

def auth_with(cache, **options):
    return TheBaseAuth(url, client_id, client_secret, cache=cache, timeout=timeout, **options)

def get(auth):
    return requests.get(url + "/v2/users", auth=auth, timeout=timeout).status_code
"""


CALL = """
try:
    print(get(auth_with(cache)), flush=True)
except requests.RequestException as error:
    print(type(error).__name__, flush=True)
"""


# root may write anywhere, until it gives that right up.
WITHOUT_ROOTS_RIGHTS = """
import ctypes
if os.geteuid() == 0:
    assert ctypes.CDLL(None).capset((ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()) == 0
"""


@contextmanager
def another_process(
    url: str, kind: str, where: object, timeout: float = 20.0, source: str = CALL
) -> Iterator[subprocess.Popen[str]]:
    arguments = [url, kind, str(where), str(timeout), CLIENT_ID, CLIENT_SECRET]
    with subprocess.Popen(
        [sys.executable, "-c", PREAMBLE + source, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def said_by_another_process(*arguments: Any, **options: Any) -> tuple[str, str]:
    """What it printed, and what it logged."""
    with another_process(*arguments, **options) as process:
        out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    return out, err


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """A process that is alive, but stuck."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
