"""The lock of a cache: holders that die, are stuck or superseded, and callers whose time runs out."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.support.broken import broken_server
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
    few_clients,
    few_pairs,
    is_free,
    key_of,
    until,
)
from tests.support.shelf import Gate, Shelf
from tests.support.world import LIBRARIES
from thebase_auth import TokenRequestError
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
        assert time.monotonic() - started < 10
        assert thebase.token_requests == 2
        assert is_free(shared.cache(), auth)


@pytest.mark.parametrize("client", FEW[:2], ids=str)
def test_a_holder_that_is_killed_is_succeeded_when_its_lease_has_ended(client: Client, valkey: Any) -> None:
    with a_database(valkey) as shared, Sandbox() as thebase:
        with (
            thebase.hold_token_requests(),
            another_process(thebase.domain, shared.kind, shared.where, timeout=1.2) as other,
        ):
            thebase.wait_for_token_requests(1)
            other.kill()
            other.wait()
        auth = auth_for(thebase.domain, cache=shared.cache(), timeout=6)
        started = time.monotonic()
        assert client.get(auth, thebase.domain + "/v2/users", timeout=6).status == 200
        assert time.monotonic() - started < 4  # not as long as it would wait for a lock
        assert thebase.token_requests == 2
        assert is_free(shared.cache(), auth)


@few_pairs
def test_a_holder_that_is_stuck_delays_others_by_a_bounded_time_and_fails_nobody(
    client: Client, shared: Shared, short_waits_for_locks: None
) -> None:
    with Sandbox() as thebase, another_process(thebase.domain, shared.kind, shared.where) as other:
        with thebase.hold_token_requests():
            thebase.wait_for_token_requests(1)
            other.send_signal(signal.SIGSTOP)
        auths = [auth_for(thebase.domain, cache=shared.cache(), timeout=3) for _ in range(2)]
        started = time.monotonic()
        with ThreadPoolExecutor(6) as pool:
            calls = [
                pool.submit(client.get, auth, thebase.domain + "/v2/users", timeout=3) for auth in auths * 3
            ]
            assert [call.result(20).status for call in calls] == [200] * 6
        assert time.monotonic() - started < 6
        assert thebase.token_requests <= 3
        other.send_signal(signal.SIGCONT)
        assert other.communicate(timeout=20)[0] == "200\n"
        until(lambda: is_free(shared.cache(), auths[0]))


@few_pairs
def test_a_token_endpoint_that_never_answers_fails_each_process_within_about_its_own_timeout(
    client: Client, shared: Shared
) -> None:
    source = "started = time.monotonic()\n" + CALL + "print(time.monotonic() - started < 2 * timeout + 3)\n"
    with Sandbox() as thebase, thebase.hold_token_requests():
        with another_process(thebase.domain, shared.kind, shared.where, timeout=0.8, source=source) as other:
            thebase.wait_for_token_requests(1)
            auth = auth_for(thebase.domain, cache=shared.cache(), timeout=0.8)
            started = time.monotonic()
            with pytest.raises(client.error):
                client.get(auth, thebase.domain + "/v2/users", timeout=0.8)
            assert time.monotonic() - started < 4.6
            assert other.communicate(timeout=20)[0] == "ReadTimeout\nTrue\n"
    until(lambda: is_free(shared.cache(), auth))


@few_clients
def test_n_callers_of_a_silent_token_endpoint_fail_within_one_timeout_not_n(client: Client) -> None:
    with broken_server("is silent") as (url, _):
        shelf = Shelf()
        auth = auth_for(url, cache=shelf, timeout=0.5)
        started = time.monotonic()
        results = in_threads(20, lambda: client.get(auth, url + "/a", timeout=0.5))
        assert time.monotonic() - started < 20 * 0.5 / 2
    assert [one for one in results if not isinstance(one, Exception)] == []
    until(lambda: not shelf.locked)


@few_clients
def test_a_wrong_secret_is_reported_as_clearly_with_a_cache_and_frees_the_lock(
    client: Client, shared: Shared, told: Callable[[], int]
) -> None:
    with Sandbox(client_secret="another") as thebase:
        cache = shared.cache()
        auth = auth_for(thebase.domain, cache=cache)
        for attempt in (1, 2):
            auth.forget()  # or it would not be asked again so soon
            with pytest.raises(client.error) as caught:
                client.get(auth, thebase.domain + "/v2/users")
            assert isinstance(caught.value, TokenRequestError)
            assert caught.value.status == 401
            assert CLIENT_SECRET not in str(caught.value)
            assert thebase.token_requests == attempt
            until(lambda: is_free(cache, auth))
        thebase.client.client_secret = CLIENT_SECRET
        auth.forget()
        assert client.get(auth, thebase.domain + "/v2/users").status == 200
    assert told() == 0


# Leaders that are superseded


@pytest.mark.parametrize("library", LIBRARIES)
def test_the_lock_of_a_superseded_leader_is_free_for_the_one_that_supersedes_it(
    library: Any, shared: Shared
) -> None:
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

    with api_server(hold) as (server, _):
        auth = auth_for(server.url, cache=cache)
        statuses, seconds = asyncio.run(main(auth, server.url))
        assert statuses == [200, 200]
        assert seconds < 3
        until(lambda: is_free(shared.cache(), auth))


# Time that runs out


def test_a_token_request_that_outlasts_the_lease_is_not_a_failure_of_the_cache(
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


@pytest.mark.parametrize("client", [ALL_CLIENTS[1], ALL_CLIENTS[3], ALL_CLIENTS[6]], ids=str)
@pytest.mark.parametrize("trouble", ["hangs", "is locked by another"])
def test_a_caller_with_less_time_does_not_fail_because_its_leader_is_patient_with_the_cache(
    client: Client, trouble: str, short_waits_for_locks: None
) -> None:
    gate = Gate("load")
    shelf = Shelf(gate if trouble == "hangs" else lambda method: None)
    with api_server() as (server, _), ThreadPoolExecutor(2) as pool:
        auth = auth_for(server.url, cache=shelf, timeout=20)
        if trouble != "hangs":
            shelf.locked.add(key_of(auth))
        leader = pool.submit(client.get, auth, server.url + "/a", timeout=20)
        until(lambda: shelf.count("load") > 0)
        try:
            assert client.get(auth, server.url + "/a", timeout=2).status == 200
        finally:
            gate.opened.set()
            shelf.locked.clear()
        assert leader.result(30).status == 200
