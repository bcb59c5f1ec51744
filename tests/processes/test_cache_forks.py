"""Processes that fork, end, or may start no thread, while they share a token by a cache."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support import ROOT
from tests.support.caches import fork_with_threads, in_a_child, needs_fork
from tests.support.callers import TokenHold
from tests.support.clients import CLIENTS, Client, auth_for
from tests.support.servers import api_server
from tests.support.sharing import (
    FEW,
    Shared,
    a_file,
    another_process,
    cache_threads,
    each_method_in_some_client,
    few_pairs,
    is_free,
    renew,
    said_by_another_process,
    stopped,
    until,
)
from tests.support.shelf import Gate, Shelf
from thebase_auth.testing import Sandbox

# Forks


@few_pairs
@needs_fork
@fork_with_threads
def test_a_fork_while_a_leader_holds_the_lock_leaves_child_and_parent_free(
    client: Client, shared: Shared, short_waits_for_locks: None
) -> None:
    hold = TokenHold()
    with api_server(hold) as (server, _), ThreadPoolExecutor(1) as pool:
        auth = auth_for(server.url, cache=shared.cache(), timeout=20)
        leader = pool.submit(client.get, auth, server.url + "/a", timeout=20)
        assert hold.arrived.acquire(timeout=20)

        def call() -> bool:
            auth._core.timeout = 3
            status = client.get(auth, server.url + "/child", timeout=3).status
            gc.collect()
            return status == 200

        assert in_a_child(call)
        assert not is_free(shared.cache(), auth)
        hold.let_go.set()
        assert leader.result(20).status == 200
        until(lambda: is_free(shared.cache(), auth))
    assert len(server.to("/child")) == 1


@each_method_in_some_client
@needs_fork
@fork_with_threads
def test_a_fork_while_an_errand_runs_leaves_child_and_parent_free(
    client: Client, method: str, short_waits_for_locks: None
) -> None:
    gate = Gate(method)
    shelf = Shelf(gate)
    with api_server() as (server, _), ThreadPoolExecutor(1) as pool:
        auth = auth_for(server.url, cache=shelf, timeout=20)
        leader = pool.submit(client.get, auth, server.url + "/a", timeout=20)
        assert gate.reached.wait(20)

        def call() -> bool:
            """The thread is not there, but what it had locked is; its flight is not waited for."""
            auth._core.timeout = 3
            shelf.before = lambda method: None
            auth.forget()
            before = shelf.count("load")
            status = client.get(auth, server.url + "/child", timeout=3).status
            until(lambda: not cache_threads())
            return status == 200 and shelf.count("load") > before

        assert in_a_child(call)
        gate.opened.set()
        assert leader.result(20).status == 200
        until(lambda: not cache_threads())
    assert gate.was_opened_in_time
    assert not shelf.locked


@needs_fork
@fork_with_threads
def test_a_child_that_ends_the_flow_of_its_parent_does_not_release_the_parents_lock(shared: Shared) -> None:
    auth = auth_for("acme.thebase.co.il", cache=shared.cache())
    flow = auth.sync_auth_flow(httpx.Request("GET", "https://acme.thebase.co.il/v2/users"))
    assert next(flow).url.path == "/oauth/token"

    def end() -> bool:
        flow.close()
        gc.collect()
        return not cache_threads()

    assert in_a_child(end)
    assert not is_free(shared.cache(), auth)
    flow.close()
    until(lambda: is_free(shared.cache(), auth))


@needs_fork
@fork_with_threads
def test_a_parent_that_dies_with_the_lock_takes_it_along_although_its_child_lives(tmp_path: Path) -> None:
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
            assert time.monotonic() - started < 5
        finally:
            os.kill(child, signal.SIGKILL)


# Ends


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


@pytest.mark.parametrize(("client", "what"), [*[(one, "thread") for one in FEW], (FEW[0], "server")], ids=str)
def test_an_interpreter_ends_at_once_although_its_cache_hangs(client: Client, what: str, valkey: Any) -> None:
    source = f"""
from tests.support.clients import ALL_CLIENTS, auth_for
class Hanging:
    def load(self, key):
        threading.Event().wait()
    store = lock = load
if cache is None:
    cache = Hanging()
client = next(one for one in ALL_CLIENTS if one.name == {client.name!r})
print(client.get(auth_for(url, cache=cache, timeout=2), url + "/v2/users", timeout=2).status, flush=True)
assert any(one.name == "thebase_auth-cache" for one in threading.enumerate())
"""
    kind = "redis" if what == "server" else "none"
    with Sandbox() as thebase, ExitStack() as stack:
        if what == "server":
            stack.enter_context(stopped(valkey.pid))
        process = stack.enter_context(another_process(thebase.domain, kind, valkey.port, source=source))
        assert process.stdout is not None
        assert process.stdout.readline() == "200\n"
        assert process.wait(timeout=20) == 0
        _, err = process.communicate()
    assert "Traceback" not in err


def test_a_call_made_while_the_interpreter_ends_succeeds() -> None:
    source = """
import atexit
auth = auth_with(cache)
atexit.register(lambda: print(get(auth), flush=True))
"""
    with Sandbox() as thebase:
        out, _ = said_by_another_process(thebase.domain, "file", "~/tokens.json", source=source, timeout=5)
    assert out == "200\n"


def test_a_process_that_may_start_no_thread_goes_on_by_itself(tmp_path: Path) -> None:
    """None for its first look, or none any more when the lock is to be freed."""
    source = """
import logging
from requests.adapters import HTTPAdapter
logging.basicConfig(format="%(levelname)s %(message)s")

def no_more_threads():
    threading.stack_size(1 << 46)  # more memory than there are addresses
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
    with Sandbox() as thebase:
        out, err = said_by_another_process(thebase.domain, "file", tmp_path / "tokens.json", source=source)
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
