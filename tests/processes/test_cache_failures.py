"""A cache that is down, slow, hanging or raises fails no request; one warning per outage says why."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Callable
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
    few_clients,
    is_free,
    key_of,
    record_of,
    renew,
    stored_token,
    until,
)
from tests.support.callers import TokenHold
from tests.support.clients import CLIENT_SECRET, Client, auth_for
from tests.support.databases import Database, stoppable_valkey_server
from tests.support.memory_cache import METHODS, Gate, MemoryCache
from tests.support.processes import stopped
from tests.support.servers import BASIC, api_server
from thebase_auth import RedisTokenCache

# Down


@few_clients
def test_stopped_server_fails_no_request_and_each_outage_is_one_warning(
    client: Client, warnings: Warnings
) -> None:
    with (
        stoppable_valkey_server() as server,
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


@few_clients
def test_hanging_server_fails_no_request_and_takes_one_thread(
    client: Client, valkey: Database, warnings: Warnings
) -> None:
    patient: Any = {"socket_timeout": None, "socket_connect_timeout": None}
    with redis.Redis(port=valkey.port, **patient) as connection, api_server() as (web, api):
        cache = RedisTokenCache(connection)
        auth = auth_for(web.url, cache=cache, timeout=1)
        key_of(auth)  # the fingerprint may take long on a busy machine
        pid = valkey.pid
        for outage in (1, 2):
            with stopped(pid):
                for _ in range(5):
                    renew(client, auth, web.url, api, timeout=1)
                assert len(cache_threads()) == 1
                assert len(warnings()) == outage
            until(lambda: not cache_threads())
            renew(client, auth, web.url, api)
            until(lambda: is_free(cache, auth))
            assert stored_token(cache, auth) == auth.token


@few_clients
@pytest.mark.parametrize("method", METHODS)
def test_cache_that_hangs_delays_one_request_and_takes_one_thread(
    client: Client, method: str, warnings: Warnings
) -> None:
    gate = Gate(method)
    with api_server() as (server, api):
        shelf = MemoryCache(gate)
        auth = auth_for(server.url, cache=shelf, timeout=1)
        key_of(auth)
        seconds = []
        for _ in range(4):
            started = time.monotonic()
            renew(client, auth, server.url, api, timeout=1)
            seconds.append(time.monotonic() - started)
        assert sum(seconds[1:]) < 1.5  # it is not waited for again
        assert len(cache_threads()) == 1
        assert len(warnings()) == 1
        gate.opened.set()
        until(lambda: not cache_threads())
        assert not shelf.locked
        renew(client, auth, server.url, api)
        until(lambda: not shelf.locked)
        assert stored_token(shelf, auth) == auth.token
        assert len(warnings()) == 1


@few_clients
def test_waiters_go_on_before_the_leader_has_stored_its_token(client: Client) -> None:
    gate, hold = Gate("store"), TokenHold()
    with api_server(hold) as (server, _), ThreadPoolExecutor(4) as pool:
        auth = auth_for(server.url, cache=MemoryCache(gate))
        leader = pool.submit(client.get, auth, server.url + "/a", timeout=20)
        assert hold.arrived.acquire(timeout=20)
        others = [pool.submit(client.get, auth, server.url + "/a", timeout=20) for _ in range(3)]
        hold.let_go.set()
        assert gate.reached.wait(20)
        assert [other.result(20).status for other in others] == [200] * 3
        assert not leader.done()
        gate.opened.set()
        assert leader.result(20).status == 200
    assert gate.was_opened_in_time


@pytest.mark.parametrize("client", FEW[1:], ids=str)  # in requests a cold call's own timeout is not known
def test_caller_in_a_hurry_leads_while_another_waits_for_the_cache(client: Client) -> None:
    gate = Gate("load")
    with api_server() as (server, _), ThreadPoolExecutor(1) as pool:
        auth = auth_for(server.url, cache=MemoryCache(gate), timeout=20)
        leader = pool.submit(client.get, auth, server.url + "/a", timeout=20)
        assert gate.reached.wait(20)
        assert client.get(auth, server.url + "/a", timeout=2).status == 200
        assert not leader.done()
        gate.opened.set()
        assert leader.result(30).status == 200
    assert gate.was_opened_in_time


# Raising

FAILURES: list[Callable[[], BaseException]] = [
    lambda: RuntimeError("on purpose"),
    KeyboardInterrupt,
    lambda: SystemExit(3),
    lambda: StopIteration(5),
    asyncio.CancelledError,
]


@few_clients
@pytest.mark.parametrize("method", METHODS)
def test_cache_that_raises_anything_fails_no_request_and_keeps_no_lock(
    client: Client, method: str, warnings: Warnings
) -> None:
    with api_server() as (server, api):
        for number, failure in enumerate(FAILURES, 1):

            def fail(called: str) -> None:
                if called == method:
                    raise failure()

            shelf = MemoryCache(fail)
            auth = auth_for(server.url, cache=shelf)
            for _ in range(2):
                renew(client, auth, server.url, api)
                until(lambda: not shelf.locked and not cache_threads())
            assert len(warnings()) == number


class OldCache(MemoryCache):
    """A cache for version 0.2, whose `lock` did not wait."""

    def lock(self, key: str, lease: float) -> Any:  # type: ignore[override]
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


def test_renewal_for_which_no_thread_can_start_goes_on_without_the_cache(
    warnings: Warnings, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = threading.Thread.start

    def fail(thread: threading.Thread) -> None:
        if thread.name == "thebase_auth-cache":
            raise RuntimeError("can't start new thread")
        start(thread)

    shelf = MemoryCache()
    with api_server() as (server, api):
        auth = auth_for(server.url, cache=shelf)
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", fail)
            for _ in range(2):
                renew(FEW[0], auth, server.url, api)
    assert shelf.calls == []
    [message] = warnings()
    assert "can't start new thread" in message


# What a warning may show


class MuteError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no message")


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

        auth = auth_for(server.url, cache=MemoryCache(fail))
        api.live.add(token)
        assert FEW[0].get(auth, server.url + "/a").status == 200
        until(lambda: not cache_threads())
    assert len(warnings()) == 1
    for secret in (CLIENT_SECRET, BASIC.removeprefix("Basic "), token[:20]):
        assert secret not in caplog.text


@pytest.mark.parametrize("failure", [MuteError(), ValueError("x" * 100_000)], ids=["mute", "long"])
def test_error_without_a_message_or_with_a_long_one_is_logged(failure: Exception, warnings: Warnings) -> None:
    def fail(method: str) -> None:
        raise failure

    with api_server() as (server, api):
        auth = auth_for(server.url, cache=MemoryCache(fail))
        renew(FEW[0], auth, server.url, api)
    [message] = warnings()
    assert type(failure).__name__ in message
    assert len(message) < 1000


# Everything at once


@pytest.mark.parametrize("seed", range(2))
def test_cache_that_fails_at_random_fails_no_call_and_keeps_no_lock(seed: int) -> None:
    chance = random.Random(seed)

    def fail(method: str) -> None:
        match chance.randrange(8):
            case 0:
                raise OSError("on purpose")
            case 1:
                raise SystemExit
            case 2:
                time.sleep(chance.random() / 20)

    shelf = MemoryCache(fail)
    with api_server() as (server, _):
        auths = [auth_for(server.url, cache=shelf) for _ in range(3)]

        def work(number: int) -> list[int]:
            client = FEW[number % len(FEW)]
            statuses = []
            for round_ in range(8):
                auth = auths[(number + round_) % len(auths)]
                auth.forget()
                statuses.append(client.get(auth, server.url + "/a", timeout=20).status)
            return statuses

        with ThreadPoolExecutor(14) as pool:
            assert list(pool.map(work, range(14), timeout=60)) == [[200] * 8] * 14
    until(lambda: not shelf.locked)
