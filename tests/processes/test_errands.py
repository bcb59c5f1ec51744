"""What one renewal does at a cache, in a thread, from its look-up until it gives the lock back."""

from __future__ import annotations

import hashlib
import logging
import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import pytest

from tests.support.callers import TokenHold
from tests.support.clients import CLIENTS, Client, auth_for
from tests.support.servers import api_server
from tests.support.sharing import (
    METHODS,
    cache_threads,
    finish,
    key_of,
    lead,
    look,
    record_of,
    renew,
    stored_token,
    until,
)
from tests.support.shelf import ClockOfCalls, Gate, Shelf
from thebase_auth import Token
from thebase_auth._core.pending import WaitFor
from thebase_auth._core.token import CachedToken
from thebase_auth._waiting import blocking
from thebase_auth.caches import _coordinator, _record

DOMAIN = "acme.thebase.co.il"
ONE, TWO = Token("one"), Token("two")


# One thread


def test_one_daemon_thread_for_each_renewal_does_all_of_it_and_ends(client: Client) -> None:
    threads: list[tuple[str, threading.Thread]] = []
    shelf = Shelf(lambda method: threads.append((method, threading.current_thread())))
    with api_server() as (server, api):
        auth = auth_for(server.url, cache=shelf)
        for _ in range(3):
            threads.clear()
            renew(client, auth, server.url, api)
            until(lambda: not cache_threads())
            assert [method for method, _ in threads] == ["load", "lock", "load", "store", "release"]
            [thread] = {one for _, one in threads}
            assert (thread.name, thread.daemon) == ("thebase_auth-cache", True)
        threads.clear()
        assert client.get(auth, server.url + "/a").status == 200
    assert threads == []  # a request with a good token has no business there


def test_a_token_is_stored_for_as_long_as_it_lasts() -> None:
    shelf = Shelf()
    auth = auth_for(DOMAIN, cache=shelf)
    for token in (Token("brief", time.time() + 100), Token("of unknown length")):
        flight, _ = lead(auth, seconds=5)
        finish(auth, flight, token)
        until(lambda: not cache_threads())
        auth.forget()
    brief, unknown = shelf.lifetimes
    assert brief is not None
    assert 50 < brief <= 100
    assert unknown is None


def test_what_an_errand_logs(caplog: pytest.LogCaptureFixture) -> None:
    def failing() -> None:
        raise OSError("lapsed")

    class Lapsing(Shelf):
        def lock(self, key: str, lease: float) -> Any:
            return failing if super().lock(key, lease) else None

    shelf = Lapsing()
    auth = auth_for(DOMAIN, cache=shelf)
    with caplog.at_level(logging.DEBUG, "thebase_auth"):
        flight, _ = lead(auth, seconds=20.0)
        finish(auth, flight, ONE)
        until(lambda: not cache_threads())
        auth._core.shared.token = None
        lead(auth, seconds=20.0)
        until(lambda: not cache_threads())
    assert caplog.messages == [
        "the lock of a token cache was not released: OSError",
        f"took an access token from {shelf!r}",
    ]


def test_what_is_logged_of_a_cache_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    def failing(method: str) -> None:
        raise OSError("full")

    auth = auth_for(DOMAIN, cache=Shelf(failing))
    lead(auth, seconds=20.0)
    until(lambda: not cache_threads())
    assert "failed (OSError: full)" in caplog.text


def test_how_long_the_lock_was_held_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    shelf = Shelf()
    auth = auth_for(DOMAIN, cache=shelf)
    shelf.lock(key_of(auth), 60)
    flight, _ = lead(auth, seconds=1.0)
    until(lambda: not cache_threads())
    auth._core.shared.abandon(flight)
    assert re.search(r"held the lock .* for \d\.\d seconds or more\.", caplog.text)


def test_an_errand_that_cannot_start_is_a_cache_that_fails(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.is_finalizing", lambda: True)
    _, errand = lead(auth_for(DOMAIN, cache=Shelf()), seconds=20.0)
    assert errand is None
    assert "failed (RuntimeError: the interpreter is shutting down)" in caplog.text


@pytest.mark.parametrize(("seconds", "lease"), [(1.0, 0.65), (100.0, 10.0)])
def test_a_lock_is_taken_for_a_share_of_the_callers_time(seconds: float, lease: float) -> None:
    leases: list[float] = []

    class Noting(Shelf):
        def lock(self, key: str, lease: float) -> Any:
            leases.append(lease)
            return super().lock(key, lease)

    auth = auth_for(DOMAIN, cache=Noting())
    flight, _ = lead(auth, seconds=seconds)
    auth._core.shared.abandon(flight)
    assert leases == [pytest.approx(lease)]


@pytest.mark.parametrize("method", METHODS)
def test_all_who_wait_for_one_renewal_take_one_thread(method: str) -> None:
    gate = Gate(method)
    shelf = Shelf(gate)
    with api_server() as (server, api), ThreadPoolExecutor(8) as pool:
        auth = auth_for(server.url, cache=shelf)
        calls = [pool.submit(CLIENTS[0].get, auth, server.url + "/a", timeout=20) for _ in range(8)]
        assert gate.reached.wait(20)
        assert len(cache_threads()) == 1
        gate.opened.set()
        assert [call.result(20).status for call in calls] == [200] * 8
    assert (api.token_requests, shelf.count("store")) == (1, 1)


def test_the_constructor_does_not_compute_the_fingerprint_of_the_secret_but_the_first_errand(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed_in: list[str] = []
    compute = hashlib.pbkdf2_hmac

    def noted(*args: Any, **options: Any) -> bytes:
        computed_in.append(threading.current_thread().name)
        return compute(*args, **options)

    _record._derived.cache_clear()
    monkeypatch.setattr(hashlib, "pbkdf2_hmac", noted)
    with api_server() as (server, api):
        auths = [auth_for(server.url, cache=Shelf()) for _ in range(2)]
        assert computed_in == []
        for auth in auths:
            renew(client, auth, server.url, api)
    assert computed_in == ["thebase_auth-cache"]  # once for each credentials


# Leaders that go away


@pytest.mark.parametrize("method", ["load", "lock"])
def test_an_errand_whose_flight_is_abandoned_gives_the_lock_back_and_stores_nothing(method: str) -> None:
    gate = Gate(method)
    shelf = Shelf(gate)
    auth = auth_for(DOMAIN, cache=shelf)
    flight, _ = lead(auth)
    looking = auth._core.coordinator.load(flight, 20.0)  # type: ignore[union-attr]
    assert next(looking).pending is auth._core.coordinator._last.looked  # type: ignore[union-attr]
    assert gate.reached.wait(20)
    looking.close()
    auth._core.shared.abandon(flight)
    gate.opened.set()
    until(lambda: not cache_threads())
    assert not shelf.locked
    assert shelf.count("store") == 0


def test_an_errand_that_waits_for_the_lock_of_another_ends_at_once_when_its_flight_is_abandoned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_coordinator, "_FIRST_PAUSE", 3600.0)
    monkeypatch.setattr(_coordinator, "_LONGEST_PAUSE", 3600.0)
    monkeypatch.setattr(_coordinator, "_SHARE_FOR_A_PAUSE", 0.5)
    shelf = Shelf()
    auth = auth_for(DOMAIN, cache=shelf)
    shelf.locked.add(key_of(auth))
    flight, _ = lead(auth)
    looking = auth._core.coordinator.load(flight, 3600.0)  # type: ignore[union-attr]
    next(looking)
    until(lambda: flight.wakers)  # it sleeps
    auth._core.shared.abandon(flight)
    until(lambda: not cache_threads())
    assert shelf.count("lock") == 1
    looking.close()


def test_an_errand_whose_flight_is_superseded_gives_the_lock_to_the_next_and_stores_nothing() -> None:
    shelf = Shelf()
    auth = auth_for(DOMAIN, cache=shelf)
    superseded, _ = lead(auth, seconds=20.0)
    assert shelf.locked
    flight, errand = lead(auth, seconds=20.0)  # of the same thread: the other cannot go on meanwhile
    assert errand is not None
    assert (errand.found, shelf.locked) == (None, {key_of(auth)})
    assert finish(auth, superseded, ONE) == ONE
    assert shelf.count("store") == 0
    finish(auth, flight, TWO)
    blocking(errand.wait_until_stored(20.0))
    assert stored_token(shelf, auth) == TWO
    assert not shelf.locked


def test_a_token_is_stored_although_its_leader_goes_away_while_it_is() -> None:
    gate = Gate("store")
    shelf = Shelf(gate)
    auth = auth_for(DOMAIN, cache=shelf)
    flight, errand = lead(auth, seconds=20.0)
    assert errand is not None
    finish(auth, flight, ONE)
    storing = errand.wait_until_stored(20.0)
    assert next(storing).pending is errand.ended
    assert gate.reached.wait(20)
    storing.close()
    gate.opened.set()
    until(lambda: not cache_threads())
    assert stored_token(shelf, auth) == ONE
    assert not shelf.locked


def test_a_token_that_is_refused_before_it_is_stored_is_not_stored() -> None:
    gate = Gate("load")
    shelf = Shelf(gate)
    auth = auth_for(DOMAIN, cache=shelf)
    flight, _ = lead(auth)
    looking = auth._core.coordinator.load(flight, 20.0)  # type: ignore[union-attr]
    next(looking)
    assert gate.reached.wait(20)
    looking.close()
    finish(auth, flight, ONE)
    auth._core.shared.drop(ONE)
    gate.opened.set()
    until(lambda: not cache_threads())
    assert shelf.count("store") == 0
    assert not shelf.locked


# Time that runs out


def test_the_lock_is_given_back_after_its_lease_and_the_token_is_stored_all_the_same(
    monkeypatch: pytest.MonkeyPatch, told: Callable[[], int]
) -> None:
    monkeypatch.setattr(_coordinator, "_LONGEST_LEASE", 0.05)
    leases: list[float] = []

    class Noting(Shelf):
        def lock(self, key: str, lease: float) -> Any:
            leases.append(lease)
            return super().lock(key, lease)

    shelf, hold = Noting(), TokenHold()
    with api_server(hold) as (server, _), ThreadPoolExecutor(1) as pool:
        auth = auth_for(server.url, cache=shelf)
        call = pool.submit(CLIENTS[0].get, auth, server.url + "/a", timeout=20)
        assert hold.arrived.acquire(timeout=20)
        until(lambda: shelf.count("release") == 1)
        assert len(cache_threads()) == 1
        hold.let_go.set()
        assert call.result(20).status == 200
        assert stored_token(shelf, auth) == auth.token
    assert leases == [0.05]
    assert told() == 0


def test_a_lock_that_is_false_is_one_that_another_has() -> None:
    class AcquiredAndRelease(Shelf):
        def lock(self, key: str, lease: float) -> Any:
            release = super().lock(key, lease)
            if release is not None and self.count("lock") < 3:
                release()
                release = None
            return release is not None and release

    shelf = AcquiredAndRelease()
    auth = auth_for(DOMAIN, cache=shelf)
    flight, errand = lead(auth, seconds=20.0)
    assert errand is not None
    assert (errand.found, shelf.count("lock")) == (None, 3)
    auth._core.shared.abandon(flight)


def test_an_errand_does_not_wait_for_a_token_for_good() -> None:
    shelf = Shelf()
    auth = auth_for(DOMAIN, cache=shelf)
    flight, _ = lead(auth, seconds=0.2)
    until(lambda: not cache_threads())
    assert not flight.over
    assert not shelf.locked
    assert shelf.count("store") == 0


def test_a_cache_that_answers_each_call_slowly_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, told: Callable[[], int]
) -> None:
    clock = ClockOfCalls(0.3)
    monkeypatch.setattr(_coordinator, "time", clock)
    shelf = Shelf(clock)
    auth = auth_for(DOMAIN, cache=shelf)
    flight, errand = lead(auth, seconds=1.0)  # half of which it may take to answer
    assert errand is not None
    assert clock.now > 1000.8
    assert shelf.locked
    assert not errand.given_up
    auth._core.shared.abandon(flight)
    assert told() == 0


def test_each_answer_may_take_half_of_the_time_and_all_of_them_nine_tenths(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, gates = ClockOfCalls(0.25), [Gate("load"), Gate("lock"), Gate("load")]
    monkeypatch.setattr(_coordinator, "time", clock)

    def before(method: str) -> None:
        gates[len(shelf.calls) - 1](method)
        clock(method)

    shelf = Shelf(before)
    auth = auth_for(DOMAIN, cache=shelf)
    flight, _ = lead(auth)
    looking = auth._core.coordinator.load(flight, 1.0)  # type: ignore[union-attr]
    left = [next(looking).seconds]
    for gate, following in pairwise(gates):
        gate.opened.set()
        assert following.reached.wait(20)
        left.append(next(looking).seconds)
    gates[-1].opened.set()
    assert left == pytest.approx([0.5, 0.5, 0.4])
    assert not blocking(looking).given_up
    auth._core.shared.abandon(flight)


def test_an_errand_that_hangs_is_left_by_its_leader_and_its_token_is_stored_when_it_goes_on(
    told: Callable[[], int],
) -> None:
    gate = Gate("load")
    shelf = Shelf(gate)
    auth = auth_for(DOMAIN, cache=shelf)
    flight, errand = lead(auth, seconds=0.6)
    assert errand is not None
    assert errand.given_up
    assert told() == 1
    finish(auth, flight, ONE)
    assert list(errand.wait_until_stored(20.0)) == []  # nor waited for a second time
    gate.opened.set()
    until(lambda: not cache_threads())
    assert stored_token(shelf, auth) == ONE
    assert not shelf.locked


def test_no_other_errand_is_begun_until_one_that_hangs_has_ended(told: Callable[[], int]) -> None:
    gate = Gate("load")
    shelf = Shelf(gate)
    auth = auth_for(DOMAIN, cache=shelf)
    coordinator = auth._core.coordinator
    assert coordinator is not None
    first, hanging = lead(auth, seconds=0.6)
    assert hanging is not None
    assert gate.reached.wait(20)
    assert hanging.is_overdue()
    auth._core.shared.abandon(first)
    for _ in range(3):
        flight, _ = lead(auth)
        assert list(coordinator.load(flight, 20.0)) == []  # it does not even wait
        auth._core.shared.abandon(flight)
    assert len(cache_threads()) == shelf.count("load") == told() == 1
    gate.opened.set()
    until(lambda: not cache_threads())
    flight, errand = lead(auth, seconds=20.0)
    assert errand is not None
    assert shelf.locked
    auth._core.shared.abandon(flight)


def test_an_errand_waits_for_the_one_before_and_begins_when_that_has_ended() -> None:
    gate = Gate("store")
    shelf = Shelf(gate)
    auth = auth_for(DOMAIN, cache=shelf)
    shared, coordinator = auth._core.shared, auth._core.coordinator
    assert coordinator is not None
    first, before = lead(auth, seconds=20.0)
    assert before is not None
    finish(auth, first, ONE)
    assert gate.reached.wait(20)
    shared.drop(ONE)
    flight, _ = lead(auth)
    looking = coordinator.load(flight, 20.0)
    assert next(looking) == WaitFor(before.ended, 3.0)
    gate.opened.set()
    until(lambda: before.ended.over)
    errand = blocking(looking)
    assert errand is not None
    assert errand is not before
    assert 10.0 < errand._seconds < 20.0  # what is left after the wait
    assert shelf.locked
    shared.abandon(flight)


def test_an_errand_is_not_begun_where_the_one_before_does_not_end_in_time(
    told: Callable[[], int], caplog: pytest.LogCaptureFixture
) -> None:
    gate = Gate("store")
    shelf = Shelf(gate)
    auth = auth_for(DOMAIN, cache=shelf)
    shared, coordinator = auth._core.shared, auth._core.coordinator
    assert coordinator is not None
    first, before = lead(auth, seconds=20.0)
    finish(auth, first, ONE)
    assert gate.reached.wait(20)
    shared.drop(ONE)
    flight, errand = lead(auth, seconds=0.6)
    assert errand is None
    assert "failed (an earlier call has not ended yet)" in caplog.text
    assert coordinator._last is before
    assert told() == 1
    shared.abandon(flight)
    gate.opened.set()


def test_a_caller_in_a_hurry_that_waits_for_the_one_before_does_not_warn(told: Callable[[], int]) -> None:
    gate = Gate("store")
    auth = auth_for(DOMAIN, cache=Shelf(gate))
    shared = auth._core.shared
    first, _ = lead(auth, seconds=20.0)
    finish(auth, first, ONE)
    assert gate.reached.wait(20)
    shared.drop(ONE)
    flight, errand = lead(auth, seconds=0.02)
    gate.opened.set()
    shared.abandon(flight)
    assert errand is None
    assert told() == 0


def test_a_caller_in_a_hurry_leaves_a_cache_without_a_warning_and_others_wait_for_it(
    caplog: pytest.LogCaptureFixture, told: Callable[[], int]
) -> None:
    gate = Gate("load")
    shelf = Shelf(gate)
    auth = auth_for(DOMAIN, cache=shelf)
    coordinator = auth._core.coordinator
    assert coordinator is not None
    flight, errand = lead(auth, seconds=0.02)
    assert errand is not None
    assert errand.given_up
    assert not coordinator._warned
    assert "failed a caller: it took more than 0.0 seconds" in caplog.text
    auth._core.shared.abandon(flight)
    errand._began = time.monotonic()  # however long that took here
    flight, _ = lead(auth)
    looking = coordinator.load(flight, 20.0)
    assert next(looking).pending is errand.ended
    gate.opened.set()
    shelf.records[key_of(auth)] = record_of(auth, "stored")
    until(lambda: errand.ended.over)
    found = blocking(looking)
    assert found is not None
    assert found.found == "stored"
    auth._core.shared.abandon(flight)
    assert told() == 0


def test_a_leader_whose_time_is_over_while_its_token_is_stored_goes_on(told: Callable[[], int]) -> None:
    gate = Gate("store")
    auth = auth_for(DOMAIN, cache=Shelf(gate))
    flight, errand = lead(auth, seconds=20.0)
    assert errand is not None
    finish(auth, flight, ONE)
    assert [step.seconds for step in errand.wait_until_stored(0.1)] == [0.05]
    assert errand.given_up
    assert told() == 0  # it was in a hurry
    gate.opened.set()


# Locks of others


def test_a_lock_that_another_keeps_for_good_is_skipped_and_warned_of_once(
    client: Client, caplog: pytest.LogCaptureFixture, told: Callable[[], int], short_waits_for_locks: None
) -> None:
    shelf = Shelf()
    with api_server() as (server, api):
        auth = auth_for(server.url, cache=shelf, timeout=2)
        shelf.locked.add(key_of(auth))
        for number in (1, 2):
            assert client.get(auth, server.url + "/a", timeout=2).status == 200
            auth.forget()
            assert caplog.text.count("another process has held the lock of the token cache") == number
        until(lambda: not cache_threads())
        assert shelf.locked == {key_of(auth)}  # it is not ours
        assert told() == 1
        another = auth_for(server.url, cache=shelf)
        assert client.get(another, server.url + "/a").status == 200  # what was stored all the same
    assert api.token_requests == 2


def test_who_waits_for_a_lock_looks_again_until_there_is_a_token() -> None:
    shelf = Shelf()
    auth = auth_for(DOMAIN, cache=shelf)
    shelf.locked.add(key_of(auth))

    def store(method: str) -> None:
        if shelf.count("load") == 3:
            shelf.records[key_of(auth)] = record_of(auth, "from-another")

    shelf.before = store
    flight, errand = lead(auth)
    errand = look(auth, flight, 20.0)
    assert errand is not None
    assert errand.found == "from-another"
    assert isinstance(errand.found, CachedToken)
    assert shelf.count("lock") == 2
    auth._core.shared.abandon(flight)
