"""A caller's own timeouts bound its token request and its wait for another caller's."""

from __future__ import annotations

import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from thebase_auth._core.time_budget import TimeBudget

# A busy machine is no fault of what is tested.
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

NOW = 1000.0


def budget(default: float = 30.0, **timeouts: object) -> TimeBudget:
    bounded = TimeBudget(timeouts, default=default)
    bounded.began = NOW
    return bounded


def test_the_timeouts_of_the_call_are_taken() -> None:
    assert budget(connect=3, read=5.5).timeouts == {"connect": 3.0, "read": 5.5}


@pytest.mark.parametrize("none", [None, "5", object()], ids=["None", "text", "object"])
def test_a_phase_without_a_timeout_gets_the_default(none: object) -> None:
    assert budget(7.0, connect=none, read=5).timeouts == {"connect": 7.0, "read": 5.0}


@pytest.mark.parametrize("zero", [0, 0.0], ids=["int", "float"])
def test_a_timeout_of_zero_is_not_taken_for_none(zero: float) -> None:
    bounded = budget(7.0, connect=zero, read=zero)

    assert bounded.timeouts == {"connect": 0.0, "read": 0.0}
    assert bounded.left(NOW) == 0


def test_every_phase_of_the_library_is_kept_under_its_own_name() -> None:
    bounded = budget(connect=1, read=2, write=3, pool=None)

    assert bounded.timeouts == {"connect": 1.0, "read": 2.0, "write": 3.0, "pool": 30.0}


@pytest.mark.parametrize(("connect", "read"), [(3, 5), (5, 3), (5, 5)])
def test_a_caller_waits_for_others_as_long_as_for_a_server(connect: int, read: int) -> None:
    assert budget(connect=connect, read=read).left(NOW) == 5


def test_a_long_time_for_a_free_connection_does_not_prolong_the_wait() -> None:
    assert budget(connect=3, read=5, write=60, pool=60).left(NOW) == 5


def test_a_call_that_may_take_any_time_does_not_wait_without_end() -> None:
    assert budget(connect=None, read=None).left(NOW) == 30


def test_a_token_request_lasts_at_most_all_its_phases_together() -> None:
    assert budget(connect=1, read=2, write=3, pool=4).longest == 10.0


@pytest.mark.parametrize(("now", "left"), [(NOW, 5.0), (NOW + 2, 3.0), (NOW + 5, 0.0), (1010, -5.0)])
def test_the_time_left_counts_down_to_the_deadline(now: float, left: float) -> None:
    assert budget(connect=3, read=5).left(now) == left


def test_a_token_request_at_once_has_the_timeouts_of_the_call() -> None:
    bounded = budget(connect=3, read=5, write=4, pool=2)

    assert bounded.timeouts_left(NOW) == dict(bounded.timeouts)


def test_a_token_request_after_a_wait_has_the_time_that_is_left() -> None:
    bounded = budget(connect=3, read=5, write=60, pool=1)

    assert bounded.timeouts_left(NOW + 3) == {"connect": 2.0, "read": 2.0, "write": 2.0, "pool": 1.0}


SECONDS = st.none() | st.floats(0, 1e6) | st.integers(0, 1000)


@unhurried
@given(st.dictionaries(st.sampled_from(["write", "pool"]), SECONDS), SECONDS, SECONDS,
       st.floats(0.1, 1e3), st.floats(0, 1e6))  # fmt: skip
def test_no_wait_and_no_phase_is_unbounded(
    others: dict[str, object], connect: object, read: object, default: float, later: float
) -> None:
    bounded = budget(default, connect=connect, read=read, **others)
    now = NOW + later

    assert 0 <= bounded.left(NOW) < math.inf
    assert bounded.longest >= bounded.left(NOW)
    for phase, seconds in bounded.timeouts_left(now).items():
        assert seconds <= bounded.timeouts[phase]
        assert seconds <= bounded.left(now)
