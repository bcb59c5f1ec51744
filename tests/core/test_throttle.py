"""Pauses: of operations that reject every token, and of a token endpoint that rejects the client."""

from __future__ import annotations

import itertools

import pytest

from tests.support.renewals import LEADS, USERS, a_rejection
from thebase_auth._core.throttle import EndpointPause, Throttle, operation_of


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("https://acme.thebase.co.il/v2/users", "/v2/users"),
        ("https://acme.thebase.co.il:8443/v2/users/7/notes?limit=5", "/v2/users"),
        ("https://user:password@acme.thebase.co.il/v2/users#a/b", "/v2/users"),
        ("https://acme.thebase.co.il/v2?next=/x/y", "/v2"),
        ("http://[::1]:8080/v2/users/", "/v2/users"),
        ("https://acme.thebase.co.il?limit=5", "/"),
        ("https://acme.thebase.co.il/", "/"),
    ],
)
def test_operation_is_the_method_and_two_segments_of_the_path(url: str, path: str) -> None:
    assert operation_of("GET", url) == f"GET {path}"


@pytest.fixture
def throttle() -> Throttle:
    return Throttle()


def reject(throttle: Throttle, *token_numbers: int, now: float = 0.0) -> list[bool]:
    return [throttle.record_rejection(USERS, number, now) for number in token_numbers]


def test_operation_that_rejects_three_tokens_is_throttled_and_warned_of(throttle: Throttle) -> None:
    assert reject(throttle, 1, 2) == [False, False]
    assert not throttle.is_throttled(USERS, 0.0)

    assert reject(throttle, 3, 4) == [True, False]
    assert throttle.is_throttled(USERS, 0.0)
    assert not throttle.is_throttled(LEADS, 0.0)


def test_throttling_doubles_with_each_rejected_token_up_to_ten_seconds(throttle: Throttle) -> None:
    reject(throttle, 1, 2)
    for number, length in enumerate([1, 2, 4, 8, 10, 10], start=3):
        reject(throttle, number, now=100.0)
        assert throttle.is_throttled(USERS, 100.0 + length - 0.01)
        assert not throttle.is_throttled(USERS, 100.0 + length)


@pytest.mark.parametrize("order", sorted(set(itertools.permutations([1, 1, 2, 2]))))
def test_rejected_tokens_count_once_each_in_any_order(throttle: Throttle, order: tuple[int, ...]) -> None:
    reject(throttle, *order)

    assert not throttle.is_throttled(USERS, 0.0)


def test_rejections_are_forgotten_after_two_minutes(throttle: Throttle) -> None:
    reject(throttle, 1, 2)
    reject(throttle, 2, now=100.0)  # a late report of an older token is a rejection, too
    reject(throttle, 3, now=220.0)
    assert throttle.is_throttled(USERS, 220.0)

    reject(throttle, 4, 5, now=340.1)
    assert not throttle.is_throttled(USERS, 340.1)


@pytest.mark.parametrize(("accepted", "is_forgotten"), [(2, False), (3, False), (4, True)])
def test_accepted_replay_forgets_only_the_rejections_of_older_tokens(
    throttle: Throttle, accepted: int, is_forgotten: bool
) -> None:
    reject(throttle, 1, 2, 3)
    throttle.record_renewal_helped(USERS, accepted)
    throttle.record_renewal_helped(LEADS, accepted)

    assert throttle.is_throttled(USERS, 0.0) != is_forgotten
    reject(throttle, 5)
    assert throttle.is_throttled(USERS, 1.5) != is_forgotten


def test_operations_are_not_remembered_without_bound(throttle: Throttle) -> None:
    for number in range(3000):
        for token_number in (1, 2, 3):
            throttle.record_rejection(f"GET /{number}", token_number, 0.0)

    assert len(throttle._rejections) < 1100
    assert len(throttle._warned) < 1100


# The token endpoint


def length_of(pause: EndpointPause, retry_after: float | None = None) -> float | None:
    return pause.start(a_rejection(retry_after=retry_after), 0.0).retry_after


def test_endpoint_pause_doubles_up_to_a_minute_and_cuts_retry_after() -> None:
    pause = EndpointPause()

    assert [length_of(pause) for _ in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert [length_of(pause, seconds) for seconds in (0.0, 7.0, 3600.0)] == [0, 7, 60]


@pytest.mark.parametrize("status", [400, 401, 403, 429, 200])
def test_rejection_by_the_token_endpoint_starts_a_pause(status: int) -> None:
    pause = EndpointPause()
    error = pause.start(a_rejection(status), 100.0)
    again = pause.error(100.25)

    assert error.retry_after == 1
    assert again is not None
    assert (again.status, again.retry_after, again.__traceback__) == (status, 0.75, None)
    assert pause.error(101.0) is None


@pytest.mark.parametrize(("status", "error"), [(200, None), (302, None), (404, "x"), (500, "x"), (503, None)])
def test_other_responses_start_no_pause(status: int, error: str | None) -> None:
    pause = EndpointPause()

    assert pause.start(a_rejection(status, error, retry_after=9.0), 0.0).retry_after is None
    assert pause.error(0.0) is None
