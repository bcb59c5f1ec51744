"""An endpoint that refuses even a fresh token costs little, and harms no other."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.forbidding import ID, PAUSES
from tests.support.world import DOMAIN, URL
from thebase_auth._refusals import (
    FIRST_PAUSE,
    LONGEST_PAUSE,
    Endpoint,
    Refusals,
    is_acceptance,
    lacks_scope,
)

USERS, LEADS = Endpoint("GET", "/v2/users"), Endpoint("POST", "/v2/leads/create")


# What an endpoint is


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
        (
            "https://acme.thebase.co.il/v2/proxy/https://elsewhere/x",
            "/v2/proxy/https://elsewhere/x",
        ),
        ("/v2/users", "/"),
    ],
)
def test_the_path_of_an_endpoint_is_what_the_server_is_asked_for(url: str, path: str) -> None:
    assert Endpoint.of("GET", url) == ("GET", path)


@pytest.mark.parametrize(
    ("path", "endpoint"),
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
def test_an_endpoint_has_an_id_in_the_place_of_each_number(path: str, endpoint: str) -> None:
    assert Endpoint.of("GET", f"https://{DOMAIN}{path}") == ("GET", endpoint)


def test_each_method_is_an_endpoint_of_its_own() -> None:
    assert Endpoint.of("GET", URL) != Endpoint.of("DELETE", URL)


def test_the_numbers_of_the_host_are_no_ids() -> None:
    assert Endpoint.of("GET", "http://127.0.0.1:8000/v2/users").path == "/v2/users"


@given(st.text())
def test_any_url_is_some_endpoint(url: str) -> None:
    assert Endpoint.of("GET", url).path.startswith("/")


# How long an endpoint has to wait


@pytest.fixture
def refusals() -> Refusals:
    return Refusals()


def test_an_endpoint_of_which_nothing_is_known_does_not_wait(refusals: Refusals) -> None:
    assert not refusals.must_wait(USERS, 0.0)
    assert not refusals.refused_again(USERS, 0.0)
    refusals.accepted(USERS)
    assert not refusals.entries


def test_an_endpoint_waits_a_second_after_the_first_renewal_on_its_account(
    refusals: Refusals,
) -> None:
    refusals.fetched(USERS, 100.0)

    assert refusals.must_wait(USERS, 100.0)
    assert refusals.must_wait(USERS, 100.75)
    assert not refusals.must_wait(USERS, 101.0)
    assert not refusals.must_wait(LEADS, 100.0)


def test_the_pause_begins_when_the_endpoint_is_seen_to_refuse_the_new_token(
    refusals: Refusals,
) -> None:
    refusals.fetched(USERS, 100.0)

    assert refusals.refused_again(USERS, 130.0)
    assert refusals.must_wait(USERS, 130.75)
    assert not refusals.must_wait(USERS, 131.0)


def test_further_refusals_of_the_same_token_do_not_make_the_pause_longer(
    refusals: Refusals,
) -> None:
    refusals.fetched(USERS, 100.0)
    for moment in (100.0, 100.25, 100.5, 100.75):
        assert refusals.refused_again(USERS, moment)

    assert not refusals.must_wait(USERS, 101.0)


def test_the_pause_doubles_up_to_a_minute(refusals: Refusals) -> None:
    now, seen = 0.0, []
    for _ in PAUSES:
        refusals.fetched(USERS, now)
        refusals.refused_again(USERS, now)
        pause = next(
            step / 4 for step in range(1000) if not refusals.must_wait(USERS, step / 4 + now)
        )
        seen.append(pause)
        now += pause

    assert seen == PAUSES
    assert (seen[0], seen[-1]) == (FIRST_PAUSE, LONGEST_PAUSE)


def test_an_acceptance_ends_the_pause_and_the_next_is_the_first_again(refusals: Refusals) -> None:
    for _ in range(5):
        refusals.fetched(USERS, 0.0)
    refusals.accepted(USERS)
    assert not refusals.must_wait(USERS, 0.0)

    refusals.fetched(USERS, 0.0)
    assert refusals.must_wait(USERS, 0.75)
    assert not refusals.must_wait(USERS, 1.0)


def test_an_acceptance_is_that_of_one_endpoint(refusals: Refusals) -> None:
    refusals.fetched(USERS, 0.0)
    refusals.fetched(LEADS, 0.0)
    refusals.accepted(LEADS)

    assert refusals.must_wait(USERS, 0.5)
    assert not refusals.must_wait(LEADS, 0.5)


def test_an_endpoint_that_is_called_ten_times_a_second_for_ten_minutes_costs_sixteen_renewals(
    refusals: Refusals,
) -> None:
    renewals = 0
    for tick in range(6000):
        now = tick / 10
        if not refusals.must_wait(USERS, now):
            refusals.fetched(USERS, now)
            renewals += 1
        assert refusals.refused_again(USERS, now)

    assert renewals <= 16


def test_the_user_is_told_of_an_endpoint_once(refusals: Refusals) -> None:
    assert refusals.to_be_told(USERS)
    assert not refusals.to_be_told(USERS)
    assert refusals.to_be_told(LEADS)
    refusals.accepted(USERS)
    assert not refusals.to_be_told(USERS)


def test_endpoints_without_number_take_no_memory_without_bound(refusals: Refusals) -> None:
    for number in range(5000):
        endpoint = Endpoint("GET", f"/v2/x{number}")
        refusals.fetched(endpoint, 0.0)
        refusals.to_be_told(endpoint)

    assert len(refusals.entries) == 1000
    assert len(refusals._told) == 1000
    assert refusals.must_wait(endpoint, 0.5)  # the last one is among them


def test_the_endpoint_that_was_renewed_for_longest_ago_is_forgotten_first(
    refusals: Refusals,
) -> None:
    refusals.fetched(USERS, 0.0)
    refusals.fetched(LEADS, 0.0)
    for number in range(998):
        refusals.fetched(Endpoint("GET", f"/v2/x{number}"), 0.0)
    refusals.fetched(LEADS, 1.0)
    assert USERS in refusals.entries
    refusals.fetched(Endpoint("GET", "/v2/one-more"), 1.0)

    assert USERS not in refusals.entries
    assert refusals.must_wait(LEADS, 2.5)


@pytest.mark.parametrize(
    ("status", "accepted"),
    [
        *[(status, True) for status in (200, 201, 204, 302, 304, 400, 403, 404, 405, 409, 422)],
        *[(status, False) for status in (401, 407, 429, 500, 502, 503, 504, 599)],
    ],
)
def test_trouble_on_the_way_is_no_acceptance(status: int, accepted: bool) -> None:
    assert is_acceptance(status) is accepted


# The challenge that says that another token would not help


@pytest.mark.parametrize(
    "challenges",
    [
        'Bearer error="insufficient_scope"',
        "Bearer error=insufficient_scope",
        'bearer ERROR="insufficient_scope"',
        'BEARER\terror = "insufficient_scope"',
        'Bearer realm="x", error="insufficient_scope"',
        'Bearer realm="x",error="insufficient_scope",scope="a b"',
        'Bearer realm="a \\" b, c=d", error="insufficient_scope"',
        'Bearer realm="", error="insufficient_scope"',
        'Bearer realm="\\\\", error="insufficient_scope"',
        'Basic realm="x", Bearer error="insufficient_scope"',
        'Basic realm="Basic, Digest", Bearer realm="y", error="insufficient_scope"',
        'Bearer realm="x", error="insufficient_scope", Basic realm="x"',
        'Negotiate, Bearer error="insufficient_scope"',
        'Negotiate YIIZ==, Bearer error="insufficient_scope"',
        'Negotiate a/b+c=, Bearer error="insufficient_scope"',
        'Bearer error="invalid_token", Bearer error="insufficient_scope"',
        ', ,Bearer ,error="insufficient_scope"',
        'Bearer realm="Größe", error="insufficient_scope"',
    ],
)
def test_insufficient_scope_is_found_in_any_spelling(challenges: str) -> None:
    assert lacks_scope(challenges)


@pytest.mark.parametrize(
    "challenges",
    [
        None,
        "",
        "Bearer",
        "Bearer insufficient_scope",
        'Bearer realm="Oracle REST Data Services", error="invalid_token"',
        'Bearer error="Insufficient_Scope"',
        'Bearer error="insufficient_scope_of_work"',
        'Bearer error="in sufficient_scope"',
        'Bearer xerror="insufficient_scope"',
        'Bearer error_description="insufficient_scope"',
        'Bearer realm="error=insufficient_scope"',
        'Bearer realm="a", error="invalid_token", error_description="Bearer error=insufficient_scope"',
        'Bearer realm="a\\", error=\\"insufficient_scope"',
        'Bearer realm="a\\", error=\\"insufficient_scope\\""',
        'Basic error="insufficient_scope"',
        'Basic realm="Bearer error=insufficient_scope"',
        'Bearer realm="x", Basic realm="y", error="insufficient_scope"',
        'DPoP error="insufficient_scope"',
        'XBearer error="insufficient_scope"',
        'error="insufficient_scope"',
        'Bearer error="insufficient_scope',
        'Bearer realm="x, error="insufficient_scope"',
        '"Bearer" error="invalid_token"',
        "\x00\xff\ud800",
    ],
)
def test_what_only_looks_like_insufficient_scope_is_not_taken_for_it(
    challenges: str | None,
) -> None:
    assert not lacks_scope(challenges)


@given(st.text() | st.text('BearerBasic error="insufficient_scope",\\ \t=/'))
def test_no_challenge_is_too_wild_to_be_read(challenges: str) -> None:
    assert lacks_scope(challenges) in {True, False}


TRICKY = ["insufficient_scope", "invalid_token", "x", 'Bearer error="insufficient_scope"', "\\", '"',
          ", Bearer error=insufficient_scope", ""]  # fmt: skip
names = st.sampled_from(["realm", "error", "Error", "scope", "error_description"])
parameters = st.lists(st.tuples(names, st.sampled_from(TRICKY)), min_size=1)
schemes = st.sampled_from(["Bearer", "bearer", "Basic", "Digest", "DPoP"])


@given(
    st.lists(st.tuples(schemes, parameters | st.sampled_from(["", "YIIZ==", "YIIZ"]))),
    st.sampled_from([",", ", ", " , ", ",\t"]),
)
def test_insufficient_scope_is_found_where_it_is_and_nowhere_else(
    challenges: list[tuple[str, Any]], comma: str
) -> None:
    header = comma.join(
        scheme + " " + (rest if isinstance(rest, str) else comma.join(map(quoted, rest)))
        for scheme, rest in challenges
    )
    expected = any(
        scheme.lower() == "bearer" and name.lower() == "error" and value == "insufficient_scope"
        for scheme, rest in challenges
        if not isinstance(rest, str)
        for name, value in rest
    )

    assert lacks_scope(header) == expected


def quoted(parameter: tuple[str, str]) -> str:
    name, value = parameter
    return f'{name}="{value.replace(chr(92), chr(92) * 2).replace(chr(34), chr(92) + chr(34))}"'


@pytest.mark.parametrize("piece", ['a="', "a ", "a=", '\\"', 'a="\\"', " ", "=", "Bearer error="])
def test_a_long_challenge_is_read_in_no_time(piece: str) -> None:
    start = time.process_time()
    lacks_scope(piece * 20_000)
    lacks_scope('a="' + piece * 20_000)
    assert time.process_time() - start < 2
