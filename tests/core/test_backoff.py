"""An operation that refuses what is fetched on its account costs little, and harms no other."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.forbidding import ID, PAUSES
from tests.support.shared_tokens import LEADS, USERS
from tests.support.world import DOMAIN, URL
from thebase_auth._core.backoff import (
    _HELPS,
    _STRIKES_AFTER_HELP,
    FIRST_PAUSE,
    LONGEST_PAUSE,
    Backoff,
    Operation,
    Pause,
)

# What an operation is


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("https://acme.thebase.co.il/v2/users", "/v2/users"),
        ("https://acme.thebase.co.il:8443/v2/users?limit=5&a=/b", "/v2/users"),
        ("https://acme.thebase.co.il/v2/users#part/of/it", "/v2/users"),
        ("https://acme.thebase.co.il/v2/users?next=https://elsewhere/x#y?z", "/v2/users"),
        ("https://acme.thebase.co.il/", "/"),
        ("https://acme.thebase.co.il", "/"),
        ("https://acme.thebase.co.il?limit=5", "/"),
        ("http://[::1]:8080/v2//users/", "/v2//users/"),
        ("https://acme.thebase.co.il/v2/proxy/https://elsewhere/x", "/v2/proxy/https://elsewhere/x"),
        ("/v2/users", "/"),
    ],
)
def test_the_path_of_an_operation_is_what_the_server_is_asked_for(url: str, path: str) -> None:
    assert Operation.of("GET", url) == ("GET", path)


@pytest.mark.parametrize(
    ("path", "operation"),
    [
        ("/v2/users", "/v2/users"),
        (f"/v2/products/{ID}", "/v2/products/{id}"),
        (f"/v2/products/{ID}/", "/v2/products/{id}/"),
        (f"/v2/accounts/{ID}/notes/7", "/v2/accounts/{id}/notes/{id}"),
        ("/v2/products/7?with=8", "/v2/products/{id}"),
        ("/v2/products/7a", "/v2/products/7a"),
        ("/v2/products/-7", "/v2/products/-7"),
        ("/v2/products/7/8/9", "/v2/products/{id}/{id}/{id}"),
        ("/v2/products/7\n", "/v2/products/7\n"),
        ("/v2/products/7:8", "/v2/products/7:8"),
        ("/2/users", "/{id}/users"),
        ("/v2/files/0f8fad5b-d9cb-469f-a165-70867728950e", "/v2/files/{id}"),
        ("/v2/workingDays/addWorkingDays", "/v2/workingDays/addWorkingDays"),
        ("/", "/"),
        ("", "/"),
    ],
)
def test_an_operation_has_an_id_in_the_place_of_each_number(path: str, operation: str) -> None:
    assert Operation.of("GET", f"https://{DOMAIN}{path}") == ("GET", operation)


def test_each_method_is_another_operation() -> None:
    assert Operation.of("GET", URL) != Operation.of("DELETE", URL)


def test_an_operation_is_shown_as_method_and_path() -> None:
    assert str(USERS) == "GET /v2/users"


def test_the_numbers_of_the_host_are_no_ids() -> None:
    assert Operation.of("GET", "http://127.0.0.1:8000/v2/users").path == "/v2/users"


@given(st.text())
def test_any_url_is_some_operation(url: str) -> None:
    assert Operation.of("GET", url).path.startswith("/")


# Pauses


def test_a_pause_is_over_before_it_has_begun() -> None:
    assert Pause().left(0.0) <= 0


def test_a_pause_is_twice_as_long_each_time_up_to_a_minute() -> None:
    pause = Pause()

    assert [pause.begin(10.0) for _ in PAUSES] == PAUSES
    assert (PAUSES[0], PAUSES[-1]) == (FIRST_PAUSE, LONGEST_PAUSE)
    assert pause.left(69.75) == 0.25
    assert pause.left(70.0) == 0


def test_a_pause_lasts_as_long_as_the_server_says_up_to_a_minute() -> None:
    pause = Pause()

    assert [pause.begin(10.0, seconds) for seconds in (0.0, 7.0, 60.0, 3600.0)] == [0, 7, 60, 60]
    assert pause.left(10.0) == 60
    assert pause.begin(10.0) == 16  # the fifth one


# Strikes


@pytest.fixture
def backoff() -> Backoff:
    return Backoff()


def accept(backoff: Backoff, operation: Operation, *, after_renewal: bool = False) -> None:
    backoff.accepted(operation, after_renewal=after_renewal)


def strikes(backoff: Backoff, count: int, now: float = 0.0) -> list[bool]:
    return [backoff.strike(USERS, now) for _ in range(count)]


def test_an_operation_of_which_nothing_is_known_does_not_wait(backoff: Backoff) -> None:
    assert not backoff.must_wait(USERS, 0.0)
    accept(backoff, USERS)
    assert not backoff.strikes


def test_one_strike_may_be_chance(backoff: Backoff) -> None:
    assert strikes(backoff, 1) == [False]
    assert not backoff.must_wait(USERS, 0.0)


def test_from_the_second_strike_on_an_operation_waits(backoff: Backoff) -> None:
    strikes(backoff, 1, now=10.0)
    strikes(backoff, 1, now=100.0)

    assert backoff.must_wait(USERS, 100.0)
    assert backoff.must_wait(USERS, 100.75)
    assert not backoff.must_wait(USERS, 101.0)
    assert not backoff.must_wait(LEADS, 100.0)


def test_the_pause_doubles_up_to_a_minute(backoff: Backoff) -> None:
    strikes(backoff, 1)
    now = 0.0
    for pause in PAUSES:
        strikes(backoff, 1, now)
        assert backoff.must_wait(USERS, now + pause - 0.25)
        now += pause
        assert not backoff.must_wait(USERS, now)


def test_an_acceptance_forgets_the_strikes_of_its_operation_only(backoff: Backoff) -> None:
    strikes(backoff, 7)
    for _ in range(2):
        backoff.strike(LEADS, 0.0)
    accept(backoff, USERS)

    assert not backoff.must_wait(USERS, 0.0)
    assert backoff.must_wait(LEADS, 0.75)
    strikes(backoff, 1)
    assert not backoff.must_wait(USERS, 0.0)
    strikes(backoff, 1)
    assert backoff.must_wait(USERS, 0.75)
    assert not backoff.must_wait(USERS, 1.0)


def test_where_renewals_have_helped_it_takes_more_strikes(backoff: Backoff) -> None:
    for _ in range(_HELPS):
        accept(backoff, USERS, after_renewal=True)
        accept(backoff, USERS)
    assert strikes(backoff, _STRIKES_AFTER_HELP - 1) == [False] * (_STRIKES_AFTER_HELP - 1)
    assert not backoff.must_wait(USERS, 0.0)

    assert strikes(backoff, 1) == [True]
    assert backoff.must_wait(USERS, 0.75)
    assert not backoff.must_wait(USERS, 1.0)
    accept(backoff, USERS)
    strikes(backoff, 2)  # it has lost the right
    assert backoff.must_wait(USERS, 0.75)


def test_operations_that_were_helped_take_no_memory_without_bound(backoff: Backoff) -> None:
    for number in range(1100):
        accept(backoff, Operation("GET", f"/v2/x{number}"), after_renewal=True)

    assert len(backoff._helped) == 1000


def test_ten_calls_a_second_for_ten_minutes_cost_seventeen_strikes(backoff: Backoff) -> None:
    count = 0
    for tick in range(6000):
        if not backoff.must_wait(USERS, tick / 10):
            strikes(backoff, 1, tick / 10)
            count += 1

    assert count <= 17


def test_the_user_is_warned_of_an_operation_once_at_its_second_strike(backoff: Backoff) -> None:
    assert strikes(backoff, 4) == [False, True, False, False]
    accept(backoff, USERS)
    assert strikes(backoff, 3) == [False] * 3
    assert [backoff.strike(LEADS, 0.0) for _ in range(2)] == [False, True]


def test_operations_without_number_take_no_memory_without_bound(backoff: Backoff) -> None:
    operations = [Operation("GET", f"/v2/x{number}") for number in range(1100)]
    told = [[backoff.strike(operation, 0.0) for _ in range(2)] for operation in operations]

    assert told == [[False, True]] * 1000 + [[False, False]] * 100
    assert len(backoff.strikes) == len(backoff._warned) == 1000
    assert backoff.must_wait(operations[-1], 0.5)


def test_the_operation_whose_last_strike_is_longest_ago_is_forgotten_first(backoff: Backoff) -> None:
    backoff.strike(USERS, 0.0)
    backoff.strike(LEADS, 0.0)
    for number in range(998):
        backoff.strike(Operation("GET", f"/v2/x{number}"), 0.0)
    backoff.strike(USERS, 1.0)
    assert set(backoff.strikes) >= {USERS, LEADS}
    backoff.strike(Operation("GET", "/v2/one-more"), 1.0)

    assert USERS in backoff.strikes
    assert LEADS not in backoff.strikes
