"""The lock of a cache: holders that die, are stuck, deposed, forked or too late."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests

from tests.support import ROOT
from tests.support.broken import broken_server
from tests.support.caches import needs_fork
from tests.support.callers import TokenHold, in_threads, wait_for
from tests.support.clients import ALL_CLIENTS, CLIENT_SECRET, CLIENTS, Client, auth_for
from tests.support.servers import api_server
from tests.support.sharing import (
    CALL,
    FEW,
    Shared,
    a_database,
    a_file,
    another_process,
    cache_threads,
    few_clients,
    few_pairs,
    is_free,
    key_of,
    until,
)
from tests.support.shelf import Gate, Shelf
from tests.support.world import LIBRARIES
from thebase_auth import (
    Token,
    TokenRequestError,
)
from thebase_auth._sharing import _Failed
from thebase_auth._waiting import blocking
from thebase_auth.testing import Sandbox

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
def test_a_wrong_secret_is_told_as_clearly_with_a_cache_and_frees_the_lock(
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


@pytest.mark.parametrize("client", [ALL_CLIENTS[1], ALL_CLIENTS[3], ALL_CLIENTS[6]], ids=str)
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
