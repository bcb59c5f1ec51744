"""A cache that is down, slow, hanging or raises fails no request; one warning per outage says why."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.support.caches import (
    FEW,
    Warnings,
    cache_threads,
    key_of,
    one_client,
    record_of,
    renew,
    stored_token,
)
from tests.support.callers import wait_until
from tests.support.clients import CLIENT_SECRET, Client, auth_for
from tests.support.databases import valkey_server
from tests.support.memory_cache import METHODS, Gate, MemoryCache
from tests.support.renewals import a_thread
from tests.support.servers import BASIC, api_server
from tests.support.token_responses import CREDENTIALS
from thebase_auth import RedisTokenCache
from thebase_auth._core.flight import Flight, Wait
from thebase_auth.caches._shared import CacheWork, SharedCache

# Down


@one_client
def test_stopped_server_fails_no_request_and_each_outage_is_one_warning(
    client: Client, warnings: Warnings
) -> None:
    with (
        valkey_server() as server,
        redis.Redis(port=server.port, retry=Retry(NoBackoff(), 0)) as connection,
        api_server() as (web, api),
    ):
        cache = RedisTokenCache(connection)
        auth = auth_for(web.url, cache=cache)
        renew(client, auth, web.url, api)
        for outage in (1, 2):
            server.stop()
            for _ in range(3):
                renew(client, auth, web.url, api)
            assert len(warnings()) == outage
            assert "ConnectionError" in warnings()[-1]
            server.start()
            renew(client, auth, web.url, api)
            assert stored_token(cache, auth) == auth.token


# Hanging


@one_client
@pytest.mark.parametrize("method", METHODS)
def test_cache_that_hangs_delays_one_request_and_takes_one_thread(
    client: Client, method: str, warnings: Warnings
) -> None:
    gate = Gate(method)
    with api_server() as (server, api):
        cache = MemoryCache(gate)
        auth = auth_for(server.url, cache=cache, timeout=1)
        key_of(auth)  # the fingerprint may take long on a busy machine
        seconds = []
        for _ in range(4):
            started = time.monotonic()
            renew(client, auth, server.url, api, timeout=1)
            seconds.append(time.monotonic() - started)
        assert sum(seconds[1:]) < 1.5  # it is not waited for again
        assert len(cache_threads()) == 1
        [message] = warnings()
        assert f"({method}() took more than 0.5 seconds)" in message
        gate.opened.set()
        wait_until(lambda: not cache_threads())
        assert not cache.locked
        renew(client, auth, server.url, api)
        wait_until(lambda: not cache.locked)
        assert stored_token(cache, auth) == auth.token
        assert len(warnings()) == 1


def test_caller_in_a_hurry_leads_while_another_waits_for_the_cache() -> None:
    client = FEW[1]  # in requests a cold call's own timeout is not known
    gate = Gate("load")
    with api_server() as (server, _), ThreadPoolExecutor(1) as pool:
        auth = auth_for(server.url, cache=MemoryCache(gate), timeout=20)
        leader = pool.submit(client.get, auth, server.url + "/a", timeout=20)
        assert gate.reached.wait(20)
        assert client.get(auth, server.url + "/a", timeout=1).status == 200
        assert not leader.done()
        gate.opened.set()
        assert leader.result(30).status == 200
    assert gate.was_opened_in_time


def test_cache_that_was_not_waited_for_gets_the_token_without_its_lock() -> None:
    gate = Gate("load")
    cache = MemoryCache(gate)
    with api_server() as (server, _):
        auth = auth_for(server.url, cache=cache, timeout=0.5)
        assert FEW[0].get(auth, server.url + "/a").status == 200
        gate.opened.set()
        wait_until(lambda: not cache_threads())
    assert cache.calls == ["load", "load", "store"]
    assert stored_token(cache, auth) == auth.token


def test_wait_for_earlier_work_leaves_less_time_for_the_cache() -> None:
    gate = Gate("load")
    shared = SharedCache(MemoryCache(gate), CREDENTIALS)

    def start(timeout: float) -> Generator[Wait, Any, CacheWork | None]:
        leader = a_thread()
        leader.timeout = timeout
        return shared.start(Flight(1, leader), lambda token: False, may_lock=False)

    with pytest.raises(StopIteration) as end:
        next(start(timeout=8))
    earlier = end.value.value
    second = start(timeout=8)
    for _ in range(4):  # three waits of a second take as long as that
        next(second)
    gate.opened.set()
    earlier.join()
    with pytest.raises(StopIteration) as end:
        next(second)
    assert end.value.value._seconds == pytest.approx(1, abs=0.5)


# Raising

FAILURES: list[Callable[[], BaseException]] = [
    lambda: RuntimeError("on purpose"),
    KeyboardInterrupt,
    lambda: StopIteration(5),
]


@one_client
@pytest.mark.parametrize("method", METHODS)
def test_cache_that_raises_anything_fails_no_request_and_keeps_no_lock(
    client: Client, method: str, warnings: Warnings
) -> None:
    with api_server() as (server, api):
        for number, failure in enumerate(FAILURES, 1):

            def fail(called: str) -> None:
                if called == method:
                    raise failure()

            cache = MemoryCache(fail)
            auth = auth_for(server.url, cache=cache)
            for _ in range(2):
                renew(client, auth, server.url, api)
                wait_until(lambda: not cache.locked and not cache_threads())
            assert len(warnings()) == number


def test_renewal_goes_on_without_the_cache_if_no_thread_can_start(
    warnings: Warnings, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = threading.Thread.start

    def fail(thread: threading.Thread) -> None:
        if thread.name == "thebase_auth-cache":
            raise RuntimeError("can't start new thread")
        start(thread)

    cache = MemoryCache()
    with api_server() as (server, api):
        auth = auth_for(server.url, cache=cache)
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", fail)
            for _ in range(2):
                renew(FEW[0], auth, server.url, api)
    assert cache.calls == []
    [message] = warnings()
    assert "can't start new thread" in message


# The warning


@pytest.mark.parametrize(
    ("method", "failure", "reason"),
    [
        ("load", OSError("down"), "OSError: down"),
        ("lock", OSError("no\nroom"), "it cannot be locked: OSError: no room"),
        ("store", OSError("full"), "OSError: full"),
        ("release", OSError("gone"), "OSError: gone"),
        ("load", ValueError("x" * 1000), f"ValueError: {'x' * 288}"),
    ],
)
def test_warning_names_the_cache_and_says_what_failed(
    method: str, failure: Exception, reason: str, warnings: Warnings
) -> None:
    def fail(called: str) -> None:
        if called == method:
            raise failure

    cache = MemoryCache(fail)
    with api_server() as (server, api):
        auth = auth_for(server.url, cache=cache)
        renew(FEW[0], auth, server.url, api)
        wait_until(lambda: not cache_threads())
    [message] = warnings()
    assert message == (
        f"the token cache {cache!r} failed ({reason}). Requests to {auth.domain} go on without it: this"
        " process fetches its own access tokens. This warning is not repeated until the cache works again."
    )


@pytest.mark.parametrize("method", METHODS)
def test_error_that_quotes_credentials_is_logged_without_them(
    method: str, caplog: pytest.LogCaptureFixture, warnings: Warnings
) -> None:
    token = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.c2lnbmF0dXJl"
    with api_server() as (server, api):
        api.token_response["access_token"] = token

        def fail(called: str) -> None:
            if called == method:
                record = record_of(auth, token)
                known = token if method in {"store", "release"} else record
                raise RuntimeError(f"{CLIENT_SECRET} {BASIC} {known} {record[:100]} {token}")

        auth: Any = auth_for(server.url, cache=MemoryCache(fail))
        api.live.add(token)
        assert FEW[0].get(auth, server.url + "/a").status == 200
        wait_until(lambda: not cache_threads())
    assert len(warnings()) == 1
    for secret in (CLIENT_SECRET, BASIC.removeprefix("Basic "), token[:20]):
        assert secret not in caplog.text
    if method in {"store", "release"}:
        assert "RuntimeError: [hidden] Basic [hidden] [hidden] " in caplog.text
