"""A cache that is down, full, slow, corrupt or wrong about the time fails no request."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.support.callers import TokenHold
from tests.support.clients import CLIENTS, Client, auth_for
from tests.support.databases import stoppable_valkey_server
from tests.support.servers import api_server
from tests.support.sharing import (
    FEW,
    METHODS,
    WITHOUT_ROOTS_RIGHTS,
    a_file,
    cache_threads,
    each_method_in_some_client,
    few_clients,
    is_free,
    key_of,
    renew,
    said_by_another_process,
    stopped,
    stored_token,
    until,
)
from tests.support.shelf import Gate, Shelf
from thebase_auth import FileTokenCache, RedisTokenCache, Token
from thebase_auth.testing import Sandbox

# A cache that is down, or hangs


@few_clients
def test_a_server_that_is_stopped_fails_no_request_and_is_warned_of_once_per_outage(
    client: Client, told: Callable[[], int]
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
            assert told() == outage
            server.start()
            renew(client, auth, web.url, api)
            assert stored_token(cache, auth) == auth.token


@few_clients
def test_a_server_that_hangs_fails_no_request_takes_one_thread_and_is_warned_of_once_per_outage(
    client: Client, valkey: Any, told: Callable[[], int], caplog: pytest.LogCaptureFixture
) -> None:
    patient: Any = {"socket_timeout": None, "socket_connect_timeout": None}
    with redis.Redis(port=valkey.port, **patient) as connection, api_server() as (web, api):
        connection.flushall()
        cache = RedisTokenCache(connection)
        auth = auth_for(web.url, cache=cache, timeout=1)
        renew(client, auth, web.url, api)
        before = told()  # more than none if the machine was busy at the start
        for outage in (1, 2):
            with stopped(valkey.pid):
                for _ in range(5):
                    renew(client, auth, web.url, api, timeout=1)
                assert caplog.text.count("an earlier call has not ended yet") == 4 * outage  # no waits
                assert len(cache_threads()) == 1
                assert told() == before + outage
            until(lambda: not cache_threads())
            renew(client, auth, web.url, api)
            assert stored_token(cache, auth) == auth.token
            assert is_free(cache, auth)


@each_method_in_some_client
def test_a_cache_that_hangs_in_any_of_its_methods_delays_one_request_and_takes_one_thread(
    client: Client, method: str, told: Callable[[], int]
) -> None:
    gate = Gate(method)
    with api_server() as (server, api):
        shelf = Shelf(gate)
        auth = auth_for(server.url, cache=shelf, timeout=1)
        key_of(auth)  # the fingerprint takes its time on a busy machine
        for _ in range(4):
            renew(client, auth, server.url, api, timeout=1)
        assert len(cache_threads()) == 1
        assert told() == 1
        gate.opened.set()
        until(lambda: not cache_threads())
        assert not shelf.locked
        renew(client, auth, server.url, api)
        # One that went on so late has a token that is not the one in use any more.
        assert shelf.count("store") == (1 if method in {"load", "lock"} else 2)
        assert told() == 1


@few_clients
def test_those_who_wait_for_a_leader_go_on_before_it_has_stored_its_token(client: Client) -> None:
    gate = Gate("store")
    hold = TokenHold()
    with api_server(hold) as (server, _), ThreadPoolExecutor(4) as pool:
        auth = auth_for(server.url, cache=Shelf(gate))
        leader = pool.submit(client.get, auth, server.url + "/a", timeout=20)
        assert hold.arrived.acquire(timeout=20)
        others = [pool.submit(client.get, auth, server.url + "/a", timeout=20) for _ in range(3)]
        hold.let_go.set()
        assert gate.reached.wait(20)
        assert [other.result(20).status for other in others] == [200] * 3
        assert gate.was_opened_in_time
        assert not leader.done()
        gate.opened.set()
        assert leader.result(20).status == 200


@pytest.mark.slow
def test_a_cache_that_answers_each_call_slowly_fails_no_request(client: Client) -> None:
    slowly = Shelf(lambda _: threading.Event().wait(1.2))
    with api_server() as (server, _):
        auth = auth_for(server.url, cache=slowly, timeout=3)
        assert client.get(auth, server.url + "/a", timeout=3).status == 200


# A file system that does not play along


@few_clients
def test_a_directory_that_may_not_be_written_fails_no_request_and_is_warned_of_once(
    client: Client, tmp_path: Path
) -> None:
    source = f"""
import logging
logging.basicConfig(format="%(levelname)s %(message)s")
from tests.support.clients import ALL_CLIENTS, auth_for
client = next(one for one in ALL_CLIENTS if one.name == {client.name!r})
{WITHOUT_ROOTS_RIGHTS}
auth = auth_for(url, cache=cache)
for _ in range(3):
    auth.forget()
    print(client.get(auth, url + "/v2/users").status)
"""
    folder = tmp_path / "read-only"
    folder.mkdir()
    folder.chmod(0o555)
    with Sandbox() as thebase:
        for path in (folder / "tokens.json", folder / "deeper" / "tokens.json")[: 1 + (client is FEW[0])]:
            out, err = said_by_another_process(thebase.domain, "file", path, source=source)
            assert out == "200\n" * 3
            assert err.count("WARNING") == 1
            assert "PermissionError" in err
    assert list(folder.iterdir()) == []


class FullDisk(FileTokenCache):
    def store(self, key: str, record: str, lifetime: float | None) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@few_clients
def test_a_full_disk_fails_no_request_and_is_warned_of_once(
    client: Client, tmp_path: Path, told: Callable[[], int]
) -> None:
    with api_server() as (server, api):
        cache = FullDisk(tmp_path / "tokens.json")
        auth = auth_for(server.url, cache=cache)
        for _ in range(4):
            renew(client, auth, server.url, api)
            until(lambda: is_free(cache, auth))
    assert told() == 1


def test_a_file_that_may_not_grow_leaves_the_old_one_whole_and_no_rubbish(tmp_path: Path) -> None:
    source = """
import logging, resource
logging.basicConfig(format="%(levelname)s %(message)s")
auth = auth_with(cache)
print(get(auth))
resource.setrlimit(resource.RLIMIT_FSIZE, (64, resource.RLIM_INFINITY))
for _ in range(2):
    auth.forget()
    print(get(auth))
"""
    path = tmp_path / "cache" / "tokens.json"
    with Sandbox() as thebase:
        out, err = said_by_another_process(thebase.domain, "file", path, source=source)
        assert out == "200\n" * 3
        assert err.count("WARNING") == 1
        assert "File too large" in err
        before = thebase.token_requests
        auth = auth_for(thebase.domain, cache=FileTokenCache(path))
        assert CLIENTS[0].get(auth, thebase.domain + "/v2/users").status == 200
        assert thebase.token_requests == before
    assert not path.with_name(f".{path.name}.new").exists()


@few_clients
def test_a_path_that_cannot_be_a_file_fails_no_request(
    client: Client, tmp_path: Path, told: Callable[[], int]
) -> None:
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "folder").mkdir()
    paths = [tmp_path / "file" / "tokens.json", tmp_path / "folder", tmp_path / ("x" * 300)]
    with api_server() as (server, api):
        for number, path in enumerate(paths, 1):
            auth = auth_for(server.url, cache=FileTokenCache(path))
            for _ in range(2):
                renew(client, auth, server.url, api)
            assert told() == number
    assert (tmp_path / "file").read_text() == "in the way"
    assert not list(tmp_path.rglob("*.new"))


FOREIGN = {
    "empty": b"",
    "cut off": b'{"6f1e',
    "binary": bytes(range(256)),
    "a list": b"[1, 2]",
    "a number": b"1e999",
    "other shapes": b'{"a": 1, "b": [], "c": ["x", "y"], "d": [null, 1e999]}',
    "deep": b"[" * 100_000,
    "huge": b" " * 3_000_000,
    "a long number": b"9" * 10_000,
}


@few_clients
def test_what_lies_at_the_path_and_is_not_ours_fails_no_request(
    client: Client, tmp_path: Path, told: Callable[[], int]
) -> None:
    path = tmp_path / "tokens.json"
    with api_server() as (server, api):
        for content in FOREIGN.values():
            path.write_bytes(content)
            path.chmod(0o600)
            before = api.token_requests
            for _ in range(2):
                auth = auth_for(server.url, cache=FileTokenCache(path))
                assert client.get(auth, server.url + "/a").status == 200
            assert api.token_requests == before + 1
    assert told() == 0


@few_clients
@pytest.mark.parametrize("of", ["records", "lock", "update"])
def test_a_link_that_lies_in_the_way_fails_no_request_and_leaves_its_target_untouched(
    client: Client, tmp_path: Path, of: str, told: Callable[[], int]
) -> None:
    path = tmp_path / "cache" / "tokens.json"
    path.parent.mkdir()
    target = tmp_path / "target"
    target.write_text("precious")
    target.chmod(0o600)
    with api_server() as (server, api):
        auth = auth_for(server.url, cache=FileTokenCache(path))
        names = {
            "records": path.name,
            "lock": f"{path.name}.{key_of(auth)[:16]}.lock",
            "update": f"{path.name}.update.lock",
        }
        (path.parent / names[of]).symlink_to(target)
        for _ in range(2):
            renew(client, auth, server.url, api)
    assert target.read_text() == "precious"
    assert told() == (0 if of == "records" else 1)


@few_clients
def test_a_pipe_at_the_path_is_not_waited_for(
    client: Client, tmp_path: Path, told: Callable[[], int]
) -> None:
    os.mkfifo(tmp_path / "tokens.json", 0o600)
    with api_server() as (server, api):
        auth = auth_for(server.url, cache=FileTokenCache(tmp_path / "tokens.json"))
        renew(client, auth, server.url, api)
    assert told() == 0


# Clocks


class ShiftedClock:
    """Stands for the module ``time``."""

    def __init__(self) -> None:
        self.shift = 0.0

    def time(self) -> float:
        return time.time() + self.shift

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> ShiftedClock:
    clock = ShiftedClock()
    for module in ("_core.core", "_httpx", "_httpx_flow", "caches._coordinator", "caches._file", "requests"):
        monkeypatch.setattr(f"thebase_auth.{module}.time", clock)
    return clock


@few_clients
def test_a_clock_that_jumps_back_an_hour_fails_no_request(
    client: Client, tmp_path: Path, clock: ShiftedClock, told: Callable[[], int]
) -> None:
    with a_file(tmp_path) as shared, api_server() as (server, api):
        first, second = (auth_for(server.url, cache=shared.cache()) for _ in range(2))
        renew(client, first, server.url, api)
        clock.shift = -3600
        assert client.get(second, server.url + "/a").status == 200
        assert api.token_requests == 1
        renew(client, second, server.url, api)
        assert client.get(first, server.url + "/a").status == 200
        assert api.token_requests == 2
    assert told() == 0


@few_clients
def test_a_clock_that_jumps_forward_a_day_and_back_fails_no_request(
    client: Client, tmp_path: Path, clock: ShiftedClock, told: Callable[[], int]
) -> None:
    with a_file(tmp_path) as shared, api_server() as (server, api):
        for shift, token_requests in ((0, 1), (86400, 2), (86400, 2), (0, 2)):
            clock.shift = shift
            auth = auth_for(server.url, cache=shared.cache())
            assert client.get(auth, server.url + "/a").status == 200
            assert api.token_requests == token_requests
        renew(client, auth, server.url, api)
        assert api.token_requests == 3
    assert told() == 0


# A cache that fails in its own way

FAILURES: list[Callable[[], BaseException]] = [
    lambda: RuntimeError("on purpose"),
    lambda: OSError(errno.EIO, "on purpose"),
    KeyboardInterrupt,
    lambda: SystemExit(3),
    GeneratorExit,
    lambda: StopIteration(5),
    TimeoutError,
    asyncio.CancelledError,
    lambda: BaseExceptionGroup("on purpose", [KeyboardInterrupt()]),
]


@few_clients
@pytest.mark.parametrize("method", METHODS)
def test_a_cache_that_raises_anything_fails_no_request_and_keeps_no_lock(
    client: Client, method: str, told: Callable[[], int]
) -> None:
    with api_server() as (server, api):
        for number, failure in enumerate(FAILURES, 1):

            def fail(called: str, failure: Any = failure) -> None:
                if called == method:
                    raise failure()

            shelf = Shelf(fail)
            auth = auth_for(server.url, cache=shelf)
            for _ in range(2):
                renew(client, auth, server.url, api)
                until(lambda: not shelf.locked)
            assert told() == number or method == "release"


def test_a_cache_that_fails_at_the_second_look_keeps_no_lock(client: Client, told: Callable[[], int]) -> None:
    def fail(method: str) -> None:
        if shelf.count("load") % 2 == 0 and method == "load":
            raise RuntimeError("on purpose")

    with api_server() as (server, api):
        shelf = Shelf(fail)
        auth = auth_for(server.url, cache=shelf)
        for _ in range(2):
            renew(client, auth, server.url, api)
            until(lambda: not shelf.locked)
    assert told() == 1


class UnprintableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


@few_clients
def test_a_cache_whose_errors_have_no_text_fails_no_request(client: Client, told: Callable[[], int]) -> None:
    def fail(method: str) -> None:
        raise UnprintableError

    with api_server() as (server, api):
        auth = auth_for(server.url, cache=Shelf(fail))
        renew(client, auth, server.url, api)
    assert told() == 1


GARBAGE: list[Any] = [
    *[True, 0, 5, -1.5, float("nan"), 2**5000, 1j, "", "x", "[]", "[1]", "[1, 2, 3]", "{}", "null"],
    *['[1, "token", null, "seal"]', '[1, "token", null, "\u05e9"]', '[1, "t", null, null]', b"", b"\xff"],
    *[bytearray(b"[1]"), [], {}, set(), object(), object, len, Exception("x"), range(3)],
    *["[" * 100_000, "9" * 5000, '"\\ud800"', "x" * 1_000_000, Token("token")],
]


@each_method_in_some_client
def test_a_cache_that_gives_garbage_fails_no_request(client: Client, method: str) -> None:
    with api_server() as (server, api):
        for number, garbage in enumerate(GARBAGE, 1):

            class Giving(Shelf):
                def load(self, key: str, garbage: Any = garbage) -> Any:
                    return garbage if method == "load" else super().load(key)

                def store(self, *args: Any, garbage: Any = garbage) -> Any:
                    super().store(*args)
                    return garbage if method == "store" else None

                def lock(self, key: str, lease: float, garbage: Any = garbage) -> Any:
                    release = super().lock(key, lease)
                    if method == "lock":
                        release()
                        return garbage
                    return release and (lambda: [release(), garbage][method == "release"])

            auth = auth_for(server.url, cache=Giving())
            assert client.get(auth, server.url + "/a").status == 200
            assert api.token_requests == number
