"""A caller's own timeouts bound its token request and its wait for another caller's."""

from __future__ import annotations

import math
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.clients import auth_for
from tests.support.clock import Clock
from tests.support.world import DOMAIN
from thebase_auth import TheBaseAuth, TokenTimeoutError
from thebase_auth._patience import Patience
from thebase_auth._renewal import Lead
from thebase_auth._token import Token
from thebase_auth.caches import FileTokenCache

# A busy machine is no fault of what is tested.
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

NOW = 1000.0


def patience(default: float = 30.0, **timeouts: object) -> Patience:
    return Patience.of_call(timeouts, default=default, now=NOW)


def test_the_timeouts_of_the_call_are_taken() -> None:
    assert patience(connect=3, read=5.5).timeouts == {"connect": 3.0, "read": 5.5}


@pytest.mark.parametrize("none", [None, "5", object()], ids=["None", "text", "object"])
def test_a_phase_without_a_timeout_gets_the_default(none: object) -> None:
    assert patience(7.0, connect=none, read=5).timeouts == {"connect": 7.0, "read": 5.0}


@pytest.mark.parametrize("zero", [0, 0.0], ids=["int", "float"])
def test_a_timeout_of_zero_is_not_taken_for_none(zero: float) -> None:
    bounded = patience(7.0, connect=zero, read=zero)

    assert bounded.timeouts == {"connect": 0.0, "read": 0.0}
    assert bounded.deadline == NOW


def test_every_phase_of_the_library_is_kept_under_its_own_name() -> None:
    bounded = patience(connect=1, read=2, write=3, pool=None)

    assert bounded.timeouts == {"connect": 1.0, "read": 2.0, "write": 3.0, "pool": 30.0}


@pytest.mark.parametrize(("connect", "read"), [(3, 5), (5, 3), (5, 5)])
def test_a_caller_waits_for_others_as_long_as_for_a_server(connect: int, read: int) -> None:
    assert patience(connect=connect, read=read).deadline == NOW + 5


def test_a_long_time_for_a_free_connection_does_not_prolong_the_wait() -> None:
    assert patience(connect=3, read=5, write=60, pool=60).deadline == NOW + 5


def test_a_call_that_may_take_for_ever_does_not_wait_for_ever() -> None:
    assert patience(connect=None, read=None).deadline == NOW + 30


def test_a_token_request_lasts_at_most_all_its_phases_together() -> None:
    assert patience(connect=1, read=2, write=3, pool=4).lease == 10.0


@pytest.mark.parametrize(
    ("now", "left"), [(NOW, 5.0), (NOW + 2, 3.0), (NOW + 5, 0.0), (1010, -5.0)]
)
def test_the_time_left_counts_down_to_the_deadline(now: float, left: float) -> None:
    assert patience(connect=3, read=5).left(now) == left


def test_a_token_request_at_once_has_the_timeouts_of_the_call() -> None:
    bounded = patience(connect=3, read=5, write=4, pool=2)

    assert bounded.timeouts_left(NOW) == dict(bounded.timeouts)


def test_a_token_request_after_a_wait_has_the_time_that_is_left() -> None:
    bounded = patience(connect=3, read=5, write=60, pool=1)

    assert bounded.timeouts_left(NOW + 3) == {
        "connect": 2.0,
        "read": 2.0,
        "write": 2.0,
        "pool": 1.0,
    }


SECONDS = st.none() | st.floats(0, 1e6) | st.integers(0, 1000)


@unhurried
@given(st.dictionaries(st.sampled_from(["write", "pool"]), SECONDS), SECONDS, SECONDS,
       st.floats(0.1, 1e3), st.floats(0, 1e6))  # fmt: skip
def test_no_wait_and_no_phase_is_unbounded(
    others: dict[str, object], connect: object, read: object, default: float, later: float
) -> None:
    bounded = patience(default, connect=connect, read=read, **others)
    now = NOW + later

    assert math.isfinite(bounded.deadline)
    assert bounded.deadline >= NOW
    assert bounded.lease >= bounded.deadline - NOW - 1e-3
    for phase, seconds in bounded.timeouts_left(now).items():
        assert seconds <= bounded.timeouts[phase]
        assert seconds <= bounded.left(now)


# What a caller makes of it, step by step


def leader_of(auth: TheBaseAuth, lease: float) -> Lead:
    """Another thread's right to fetch the token."""
    with ThreadPoolExecutor(1) as another:
        ask = another.submit(auth._renewal.ask, None, now=NOW, lease=lease, task=None)
        answer = ask.result()
    assert isinstance(answer, Lead)
    return answer


def fetch(timeouts: dict[str, float]) -> Generator[Any, Any, Token]:
    yield timeouts
    return Token("fetched")


def steps_of(auth: TheBaseAuth, refused: str | None = None) -> Generator[Any, Any, Token | None]:
    """Those of a caller that has eight seconds."""
    return auth._token_steps(fetch, {"connect": 3, "read": 8}, refused=refused)


@pytest.mark.parametrize(
    ("lease", "has_cache", "wait"), [(60, False, 8), (60, True, 4), (5, False, 5), (3, True, 3)]
)
def test_a_caller_waits_for_another_as_long_as_that_one_may_take_and_it_has_time(
    clock: Clock, tmp_path: Path, lease: float, has_cache: bool, wait: float
) -> None:
    cache = FileTokenCache(tmp_path / "tokens") if has_cache else None
    auth = auth_for(DOMAIN, cache=cache)
    leader = leader_of(auth, lease)

    assert next(steps_of(auth)) == (leader.flight.landed, wait)


@pytest.mark.parametrize("left", [0.25, 1.0])
def test_a_caller_whose_leader_vanishes_goes_on_with_the_time_that_is_left(
    clock: Clock, left: float
) -> None:
    auth = auth_for(DOMAIN)
    leader = leader_of(auth, lease=60)
    steps = steps_of(auth)
    next(steps)
    leader.flight.vanish()
    clock.now += 8 - left

    assert steps.send(True) == {"connect": left, "read": left}
    with pytest.raises(StopIteration) as end:
        steps.send(None)
    assert end.value.value.access_token == "fetched"


def test_a_caller_whose_time_is_over_when_its_leader_vanishes_gives_up(clock: Clock) -> None:
    auth = auth_for(DOMAIN)
    leader = leader_of(auth, lease=60)
    steps = steps_of(auth)
    next(steps)
    leader.flight.vanish()
    clock.now += 8

    with pytest.raises(TokenTimeoutError, match=f"from {DOMAIN}; if that repeats"):
        steps.send(True)


def test_a_caller_goes_on_with_what_its_leader_brought_though_the_refused_token_has_come_again(
    clock: Clock,
) -> None:
    auth = auth_for(DOMAIN)
    leader = leader_of(auth, lease=60)
    auth._renewal.token = Token("refused")
    steps = steps_of(auth, refused="refused")
    next(steps)
    leader.flight.land(Token("brought"), now=NOW)
    auth._renewal.token = Token("refused")

    with pytest.raises(StopIteration) as end:
        steps.send(True)
    assert end.value.value.access_token == "brought"
