"""Promise 14: an endpoint that refuses even a fresh token costs little, and harms no other."""

from __future__ import annotations

import io
import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import anyio
import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from tests.support.clients import (
    CLIENT_ID,
    CLIENT_SECRET,
    CLIENTS,
    Client,
    Requests,
    auth_for,
    one_time_body,
)
from tests.support.clock import Clock
from tests.support.servers import Answer, Api, Received, Server, api_server
from tests.support.world import DOMAIN, LIBRARIES, URL, World
from thebase_auth._refusals import (
    FIRST_PAUSE,
    LONGEST_PAUSE,
    Endpoint,
    Refusals,
    is_acceptance,
    lacks_scope,
)
from thebase_auth._renewal import Lead, Renewal
from thebase_auth._token import Token

PAUSES = [1, 2, 4, 8, 16, 32, 60, 60]  # seconds
USERS, LEADS = Endpoint("GET", "/v2/users"), Endpoint("POST", "/v2/leads/create")
ID = "253960413951646409173244928790043995930"


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


# Through every client


class Forbidding(Api):
    """An API that refuses whatever token it gets where a path begins with one of ``forbidden``."""

    def __init__(self, *forbidden: str, challenge: str | None = None) -> None:
        super().__init__()
        self.forbidden = forbidden
        self.challenge = {} if challenge is None else {"WWW-Authenticate": challenge}

    def __call__(self, request: Received) -> Answer:
        if self.forbidden and request.path.startswith(self.forbidden):
            return 401, self.challenge, b"no right"
        return super().__call__(request)


@contextmanager
def forbidding(
    client: Client, *forbidden: str, **options: Any
) -> Iterator[tuple[Server, Forbidding, Any]]:
    """Such an API, and an auth object that has a token."""
    api = Forbidding(*forbidden, **options)
    with api_server(api) as (server, _):
        auth = auth_for(server.url)
        assert client.get(auth, server.url + "/warm-up").status == 200
        yield server, api, auth


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """The texts of the warnings so far."""

    def texts() -> list[str]:
        records = [one for one in caplog.records if one.name == "thebase_auth"]
        return [one.getMessage() for one in records if one.levelno >= logging.WARNING]

    return texts


def test_promise_14_the_first_refusal_costs_one_renewal_and_one_replay(client: Client) -> None:
    with forbidding(client, "/no") as (server, api, auth):
        reply = client.post(auth, server.url + "/no", b"body")

    assert (reply.status, reply.body, reply.history) == (401, b"no right", [401])
    assert api.token_requests == 2
    assert [(one.authorization, one.body) for one in server.to("/no")] == [
        ("Bearer token-1", b"body"),
        ("Bearer token-2", b"body"),
    ]


def test_promise_14_so_does_the_first_request_of_all(client: Client) -> None:
    with api_server(Forbidding("/no")) as (server, api):
        assert client.get(auth_for(server.url), server.url + "/no").status == 401

    assert api.token_requests == 2
    assert len(server.to("/no")) == 2


def test_promise_14_a_call_in_the_pause_costs_nothing_and_gets_the_401(
    client: Client, clock: Clock
) -> None:
    with forbidding(client, "/no") as (server, _, auth):
        client.post(auth, server.url + "/no", b"body")
        server.received.clear()
        replies = [client.post(auth, server.url + "/no", b"body") for _ in range(3)]

    assert [(one.status, one.body, one.history) for one in replies] == [(401, b"no right", [])] * 3
    assert [(one.path, one.authorization, one.body) for one in server.received] == [
        ("/no", "Bearer token-2", b"body")
    ] * 3
    assert auth.token.access_token == "token-2"


def test_promise_14_the_pause_doubles_up_to_a_minute(client: Client, clock: Clock) -> None:
    with forbidding(client, "/no") as (server, api, auth):
        client.get(auth, server.url + "/no")
        for renewals, pause in enumerate(PAUSES, 2):
            clock.now += pause - 0.25
            assert client.get(auth, server.url + "/no").status == 401
            assert api.token_requests == renewals
            clock.now += 0.25
            server.received.clear()
            assert client.get(auth, server.url + "/no").status == 401
            assert api.token_requests == renewals + 1
            assert len(server.to("/no")) == 2


def test_promise_14_an_acceptance_without_a_renewal_resets_it(client: Client, clock: Clock) -> None:
    with forbidding(client, "/no") as (server, api, auth):
        for pause in (*PAUSES[:3], 0):
            client.get(auth, server.url + "/no")
            clock.now += pause
        api.forbidden = ()
        assert client.get(auth, server.url + "/no").status == 200
        before = api.token_requests
        api.revoke()
        assert client.get(auth, server.url + "/no").status == 200
        assert api.token_requests == before + 1

        api.forbidden = ("/no",)
        client.get(auth, server.url + "/no")
        client.get(auth, server.url + "/no")
        assert api.token_requests == before + 2
        clock.now += 1
        client.get(auth, server.url + "/no")
        assert api.token_requests == before + 3


def test_promise_14_an_acceptance_of_the_replay_leaves_no_pause(
    client: Client, clock: Clock, warnings: Callable[[], list[str]]
) -> None:
    with forbidding(client) as (server, api, auth):
        for renewals in range(1, 6):
            api.revoke()
            assert client.get(auth, server.url + "/a").status == 200
            assert api.token_requests == 1 + renewals
    assert auth._renewal.refusals.entries == {}
    assert warnings() == []


@pytest.mark.parametrize("status", [429, 503])
def test_promise_14_trouble_on_the_way_resets_nothing(
    client: Client, clock: Clock, status: int
) -> None:
    with forbidding(client, "/no") as (server, api, auth):
        client.get(auth, server.url + "/no")
        api.forbidden, api.answers["/no"] = (), (status, {}, b"")
        assert client.get(auth, server.url + "/no").status == status
        api.forbidden = ("/no",)
        assert client.get(auth, server.url + "/no").status == 401
    assert api.token_requests == 2


def test_promise_14_another_endpoint_renews_as_before(
    client: Client, clock: Clock, warnings: Callable[[], list[str]]
) -> None:
    with forbidding(client, "/no") as (server, api, auth):
        client.get(auth, server.url + "/no")
        for renewals in range(3, 6):
            api.revoke()
            client.get(auth, server.url + "/no")
            assert client.post(auth, server.url + "/yes", b"body").status == 200
            assert api.token_requests == renewals
            assert client.get(auth, server.url + "/no").status == 401
            assert api.token_requests == renewals
    assert len(warnings()) == 1


def test_promise_14_an_acceptance_of_another_method_or_path_resets_nothing(
    client: Client, clock: Clock
) -> None:
    with forbidding(client, "/no") as (server, api, auth):
        client.get(auth, server.url + "/no")
        api.forbidden = ()
        assert client.post(auth, server.url + "/no").status == 200
        assert client.get(auth, server.url + "/yes").status == 200
        api.forbidden = ("/no",)
        client.get(auth, server.url + "/no")
    assert api.token_requests == 2


def test_promise_14_each_endpoint_has_a_pause_of_its_own(
    client: Client, clock: Clock, warnings: Callable[[], list[str]]
) -> None:
    with forbidding(client, "/no") as (server, api, auth):
        for _ in range(3):
            client.get(auth, server.url + "/no/a")
            client.get(auth, server.url + "/no/b")
            client.post(auth, server.url + "/no/b")
    assert api.token_requests == 4
    assert len(warnings()) == 3


def test_promise_14_many_ids_are_one_endpoint_and_one_warning(
    client: Client, clock: Clock, warnings: Callable[[], list[str]]
) -> None:
    with forbidding(client, "/v2/products/") as (server, api, auth):
        for number in range(20):
            url = f"{server.url}/v2/products/{int(ID) + number}?q={number}"
            assert client.send(auth, "DELETE", url).status == 401
    assert api.token_requests == 2
    assert len(warnings()) == 1


def test_promise_14_the_warning_says_what_to_check_and_nothing_that_is_secret(
    client: Client, clock: Clock, warnings: Callable[[], list[str]]
) -> None:
    with forbidding(client, "/v2/products/") as (server, _, auth):
        for pause in PAUSES[:3]:
            client.send(auth, "DELETE", server.url + "/v2/products/7?phone=0501234567")
            clock.now += pause
    (text,) = warnings()
    assert "DELETE /v2/products/{id} on " in text
    for part in (server.url.partition("://")[2], CLIENT_ID, "lacks the right", "Settings"):
        assert part in text
    for part in (CLIENT_SECRET, "token-1", "token-2", "token-3", "0501234567", "Basic "):
        assert part not in text


def test_promise_14_a_token_that_is_over_is_no_reason_for_a_warning(
    client: Client, warnings: Callable[[], list[str]]
) -> None:
    with forbidding(client) as (server, api, auth):
        for _ in range(3):
            api.revoke()
            assert client.get(auth, server.url + "/a").status == 200
            api.revoke()
            assert client.post(auth, server.url + "/b", one_time_body(client)).status == 401
            assert client.post(auth, server.url + "/b", one_time_body(client)).status == 200
    assert warnings() == []


# The challenge


SCOPE = 'Bearer realm="ORDS", error="insufficient_scope", scope="products"'


def test_promise_14_insufficient_scope_costs_nothing_but_the_call(
    client: Client, warnings: Callable[[], list[str]]
) -> None:
    with forbidding(client, "/no", challenge=SCOPE) as (server, api, auth):
        for _ in range(3):
            reply = client.post(auth, server.url + "/no", b"body")
            assert (reply.status, reply.body, reply.history) == (401, b"no right", [])
        body = one_time_body(client)
        assert client.post(auth, server.url + "/no", body).body == b"no right"
    assert api.token_requests == 1
    assert [one.authorization for one in server.to("/no")] == ["Bearer token-1"] * 4
    assert auth.token.access_token == "token-1"
    (text,) = warnings()
    assert "POST /no on " in text


def test_promise_14_insufficient_scope_makes_no_other_endpoint_wait(client: Client) -> None:
    with forbidding(client, "/no", challenge=SCOPE) as (server, api, auth):
        client.get(auth, server.url + "/no")
        api.revoke()
        assert client.get(auth, server.url + "/yes").status == 200
        api.forbidden = ()
        api.revoke()
        assert client.get(auth, server.url + "/no").status == 200
    assert api.token_requests == 3


def test_promise_14_insufficient_scope_may_be_the_answer_to_the_replay(
    client: Client, warnings: Callable[[], list[str]]
) -> None:
    with forbidding(client, challenge=SCOPE) as (server, api, auth):

        def expired_first(request: Received) -> Answer:
            api.forbidden = () if request.authorization == "Bearer token-1" else ("/no",)
            return api(request)

        api.revoke()
        server.handler = expired_first
        for _ in range(3):
            reply = client.get(auth, server.url + "/no")
            assert (reply.status, reply.body) == (401, b"no right")
    assert api.token_requests == 2
    assert len(server.to("/no")) == 4
    assert len(warnings()) == 1


def test_promise_14_insufficient_scope_in_several_headers_is_found() -> None:
    # All three libraries make one of them, with commas.
    answer = requests.Response()
    answer.headers["WWW-Authenticate"] = f'Basic realm="x", {SCOPE}'
    assert lacks_scope(answer.headers.get("www-authenticate"))
    for library in LIBRARIES:
        headers = [("WWW-Authenticate", 'Basic realm="x"'), ("www-authenticate", SCOPE)]
        assert lacks_scope(library.Response(401, headers=headers).headers.get("WWW-Authenticate"))


@pytest.mark.parametrize("library", LIBRARIES)
def test_promise_14_insufficient_scope_leaves_the_body_of_the_401_to_the_caller(
    library: Any,
) -> None:
    with forbidding(CLIENTS[0], "/no", challenge=SCOPE) as (server, _, auth):
        with library.Client(auth=auth) as http, http.stream("GET", server.url + "/no") as response:
            assert not response.is_stream_consumed
            assert b"".join(response.iter_raw()) == b"no right"


def test_promise_14_insufficient_scope_leaves_the_body_of_the_401_to_the_caller_of_requests() -> (
    None
):
    with forbidding(CLIENTS[0], "/no", challenge=SCOPE) as (server, _, auth):
        with requests.get(server.url + "/no", auth=auth, stream=True, timeout=10) as response:
            assert response.raw.read() == b"no right"


def test_promise_14_insufficient_scope_of_another_host_is_not_ours(
    client: Client, warnings: Callable[[], list[str]]
) -> None:
    elsewhere = Server(lambda _: (401, {"WWW-Authenticate": SCOPE}, b""))
    with forbidding(client) as (server, api, auth), elsewhere.running():
        api.answers["/a"] = (302, {"Location": elsewhere.url + "/a"}, b"")
        reply = client.get(auth, server.url + "/a", follow_redirects=True)
        assert reply.status == 401
        assert client.get(auth, elsewhere.url + "/a").status == 401
    assert warnings() == []


# Bodies that can be sent only once


def test_promise_14_a_body_that_can_be_sent_once_costs_a_renewal_no_more_often(
    client: Client, clock: Clock, warnings: Callable[[], list[str]]
) -> None:
    with forbidding(client, "/no") as (server, api, auth):

        def send(times: int) -> int:
            for _ in range(times):
                server.received.clear()
                reply = client.post(auth, server.url + "/no", one_time_body(client))
                assert (reply.status, reply.body, reply.history) == (401, b"no right", [])
                assert [one.body for one in server.to("/no")] == [b"once"]
            return api.token_requests

        assert send(1) == 1
        assert auth.token is None  # so that the next request gets a fresh one
        assert warnings() == []
        assert send(5) == 2
        assert len(warnings()) == 1
        for renewals, pause in enumerate(PAUSES, 2):
            clock.now += pause - 0.25
            assert send(2) == renewals
            clock.now += 0.25
            assert send(3) == renewals + 1
    assert len(warnings()) == 1


def test_promise_14_it_is_one_pause_for_bodies_of_all_kinds(client: Client, clock: Clock) -> None:
    with forbidding(client, "/no") as (server, api, auth):
        client.post(auth, server.url + "/no", b"body")
        for _ in range(3):
            client.post(auth, server.url + "/no", one_time_body(client))
            client.post(auth, server.url + "/no", b"body")
    assert api.token_requests == 2


# Redirects


def test_promise_14_what_another_host_answers_counts_for_no_endpoint(
    client: Client, clock: Clock, warnings: Callable[[], list[str]]
) -> None:
    statuses = iter([200, 401, 200, 401])
    elsewhere = Server(lambda _: (next(statuses), {}, b""))
    with forbidding(client, "/no") as (server, api, auth), elsewhere.running():
        client.get(auth, server.url + "/no")
        for path in ("/no", "/yes"):
            api.answers["/hop"] = (302, {"Location": elsewhere.url + path}, b"")
            for expected in (200, 401):
                reply = client.get(auth, server.url + "/hop", follow_redirects=True)
                assert reply.status == expected
        assert {one.authorization for one in elsewhere.received} == {None}
        assert client.get(auth, server.url + "/no").status == 401
        assert api.token_requests == 2
        api.revoke()
        assert client.get(auth, server.url + "/yes").status == 200
        assert api.token_requests == 3
    assert len(warnings()) == 1


@pytest.mark.parametrize("status", [200, 401])
def test_promise_14_what_another_host_answers_to_a_redirected_replay_counts_for_no_endpoint(
    client: Client, clock: Clock, warnings: Callable[[], list[str]], status: int
) -> None:
    elsewhere = Server(lambda _: (status, {}, b""))
    with forbidding(client, "/no") as (server, api, auth), elsewhere.running():
        client.get(auth, server.url + "/no")
        api.answers["/hop"] = (302, {"Location": elsewhere.url + "/no"}, b"")
        api.answers["/hip"] = (302, {"Location": elsewhere.url + "/hip"}, b"")
        for path in ("/hop", "/hip"):
            api.revoke()
            reply = client.get(auth, server.url + path, follow_redirects=True)
            assert reply.status == status
        assert api.token_requests == 4
        assert client.get(auth, server.url + "/no").status == 401
        assert api.token_requests == 4
    assert len(warnings()) == 1


def test_promise_14_an_endpoint_behind_a_redirect_is_the_one_that_refused(
    client: Client, clock: Clock, warnings: Callable[[], list[str]]
) -> None:
    with forbidding(client, "/no") as (server, api, auth):
        api.answers["/hop"] = (302, {"Location": "/no"}, b"")
        for _ in range(3):
            assert client.get(auth, server.url + "/hop", follow_redirects=True).status == 401
        assert client.get(auth, server.url + "/no").status == 401
        assert api.token_requests == 2
        api.revoke()
        assert client.get(auth, server.url + "/hop").status == 302
        assert api.token_requests == 3
    (text,) = warnings()
    assert "GET /no on " in text


# Many callers


class Closed(World):
    """A world that refuses every token."""

    def accepts(self, authorization: str) -> bool:
        self.live.clear()
        return super().accepts(authorization)

    def handle_async(self, library: Any) -> Any:
        transport = super().handle_async(library)

        async def handler(request: Any) -> Any:
            await anyio.lowlevel.checkpoint()  # as a network would
            response = await transport.handle_async_request(request)
            await anyio.lowlevel.checkpoint()
            return response

        return library.MockTransport(handler)


THREADS, TASKS, CALLS = 100, 200, 20


def free_running(call: Callable[[], int]) -> None:
    """Have many threads make calls, one after the other, all of which are refused."""
    start = threading.Barrier(THREADS)

    def run() -> list[int]:
        start.wait(60)
        return [call() for _ in range(CALLS)]

    with ThreadPoolExecutor(THREADS) as pool:
        results = [future.result(60) for future in [pool.submit(run) for _ in range(THREADS)]]
    assert results == [[401] * CALLS] * THREADS


@pytest.mark.parametrize("once", [False, True], ids=["no body", "a body that can be sent once"])
def test_promise_14_a_hundred_threads_of_requests_cost_one_renewal_a_pause(
    clock: Clock, warnings: Callable[[], list[str]], once: bool
) -> None:
    world = Closed()
    auth = auth_for(DOMAIN, session=world.session())
    local = threading.local()

    def call() -> int:
        if not hasattr(local, "session"):
            local.session = world.session()
            local.session.auth = auth
        body = iter([b"once"]) if once else None
        answer: int = local.session.post(URL, data=body, timeout=60).status_code
        return answer

    for renewals, pause in enumerate(PAUSES[:3], 1):
        free_running(call)
        assert world.token_requests == 1 + renewals
        assert world.refused <= renewals * THREADS * (CALLS + 1)
        clock.now += pause
    assert len(warnings()) == 1


@pytest.mark.parametrize("once", [False, True], ids=["no body", "a body that can be sent once"])
@pytest.mark.parametrize("library", LIBRARIES)
def test_promise_14_a_hundred_threads_of_httpx_cost_one_renewal_a_pause(
    library: Any, clock: Clock, warnings: Callable[[], list[str]], once: bool
) -> None:
    world = Closed()
    with world.client(library, auth_for(DOMAIN)) as http:
        for renewals, pause in enumerate(PAUSES[:3], 1):
            free_running(
                lambda: http.post(URL, content=iter([b"once"]) if once else None).status_code
            )
            assert world.token_requests == 1 + renewals
            assert world.refused <= renewals * THREADS * (CALLS + 1)
            clock.now += pause
    assert len(warnings()) == 1


@pytest.mark.anyio
@pytest.mark.parametrize("library", LIBRARIES)
async def test_promise_14_two_hundred_tasks_cost_one_renewal_a_pause(
    library: Any, clock: Clock, warnings: Callable[[], list[str]]
) -> None:
    world = Closed()
    async with world.async_client(library, auth_for(DOMAIN)) as http:

        async def call() -> None:
            for _ in range(CALLS):
                assert (await http.get(URL)).status_code == 401

        for renewals, pause in enumerate(PAUSES[:3], 1):
            async with anyio.create_task_group() as group:
                for _ in range(TASKS):
                    group.start_soon(call)
            assert world.token_requests == 1 + renewals
            assert world.refused <= renewals * TASKS * (CALLS + 1)
            clock.now += pause
    assert len(warnings()) == 1


def test_promise_14_one_instance_has_one_pause_for_every_library(
    clock: Clock, warnings: Callable[[], list[str]]
) -> None:
    with forbidding(CLIENTS[0], "/no") as (server, api, auth):
        for client in CLIENTS * 2:
            assert client.get(auth, server.url + "/no").status == 401
    assert api.token_requests == 2
    assert len(warnings()) == 1


def test_promise_14_a_caller_in_the_pause_goes_on_with_the_token_that_another_is_fetching(
    client: Client, clock: Clock
) -> None:
    """The right is granted, and goes with new tokens alone; another endpoint has just led."""
    with forbidding(client, "/no") as (server, api, auth):
        client.get(auth, server.url + "/no")

        def granted_and_renewed_while_under_way(request: Received) -> Answer:
            if request.path == "/no" and request.authorization == "Bearer token-2":
                api.revoke()
                Requests("another").get(auth, server.url + "/yes")
                api.forbidden = ()
            return api(request)

        server.handler = granted_and_renewed_while_under_way
        assert client.get(auth, server.url + "/no").status == 200
    assert api.token_requests == 3
    assert auth._renewal.refusals.entries == {}


def test_promise_14_forgetting_the_token_is_no_renewal_on_account_of_the_endpoint(
    client: Client, clock: Clock
) -> None:
    with forbidding(client, "/no") as (server, api, auth):
        client.get(auth, server.url + "/no")
        auth.forget()
        for _ in range(3):
            assert client.get(auth, server.url + "/no").status == 401
    assert api.token_requests == 3
    assert len(server.to("/no")) == 5


def test_promise_14_a_server_that_gives_the_same_token_again_is_asked_no_more_often(
    client: Client, clock: Clock, warnings: Callable[[], list[str]]
) -> None:
    api = Forbidding("/no")
    api.token_answer["access_token"] = "same"
    api.live.add("same")
    with api_server(api) as (server, _):
        auth = auth_for(server.url)
        for renewals, pause in enumerate(PAUSES[:4], 1):
            for _ in range(3):
                assert client.get(auth, server.url + "/no").status == 401
            assert api.token_requests == 1 + renewals
            clock.now += pause
    assert len(warnings()) == 1


def test_promise_14_a_renewal_that_fails_begins_no_pause(client: Client, clock: Clock) -> None:
    with forbidding(client) as (server, api, auth):
        api.revoke()
        api.token_answer["access_token"] = None
        with pytest.raises(client.error):
            client.get(auth, server.url + "/a")
        del api.token_answer["access_token"]
        assert client.get(auth, server.url + "/a").status == 200


def replay_meets_trouble(
    client: Client, server: Server, api: Forbidding, auth: Any, path: str
) -> None:
    """A call whose token is over; one is fetched, and the answer to the replay does not tell of it."""
    api.revoke()
    server.handler = lambda request: (
        (503, {}, b"") if request.authorization == "Bearer token-2" else api(request)
    )
    assert client.get(auth, server.url + path).status == 503
    server.handler = api
    assert api.token_requests == 2


def test_promise_14_a_replay_that_meets_trouble_leaves_a_pause_of_a_second(
    client: Client, clock: Clock, warnings: Callable[[], list[str]]
) -> None:
    with forbidding(client) as (server, api, auth):
        replay_meets_trouble(client, server, api, auth, "/a")
        clock.now += 1
        api.revoke()
        assert client.get(auth, server.url + "/a").status == 200
    assert auth._renewal.refusals.entries == {}
    assert warnings() == []


def test_promise_14_the_next_call_shows_that_the_new_token_is_refused_too(
    client: Client, clock: Clock, warnings: Callable[[], list[str]]
) -> None:
    with forbidding(client) as (server, api, auth):
        replay_meets_trouble(client, server, api, auth, "/no")
        assert warnings() == []
        api.forbidden = ("/no",)
        assert client.get(auth, server.url + "/no").status == 401
    assert api.token_requests == 2
    assert len(warnings()) == 1


# What did not hold at first


class UsersError(Exception):
    def __init__(self, response: Any) -> None:
        self.response = response


@pytest.mark.parametrize("library", LIBRARIES)
def test_an_exception_of_a_hook_stays_what_it_is_whatever_its_response_has(library: Any) -> None:
    def hook(response: Any) -> None:
        if response.status_code == 401:
            raise UsersError(library.Response(401))  # made by hand: it has no request

    with forbidding(CLIENTS[0], "/no") as (server, _, auth):
        with library.Client(auth=auth, event_hooks={"response": [hook]}) as http:
            with pytest.raises(UsersError):
                http.get(server.url + "/no")


@pytest.mark.parametrize("library", LIBRARIES)
def test_promise_14_insufficient_scope_costs_nothing_where_a_hook_raises_because_of_it(
    library: Any, clock: Clock
) -> None:
    hooks = {"response": [lambda response: response.raise_for_status()]}
    with forbidding(CLIENTS[0], "/no", challenge=SCOPE) as (server, api, auth):
        with library.Client(auth=auth, event_hooks=hooks) as http:
            for _ in range(3):
                with pytest.raises(library.HTTPStatusError):
                    http.get(server.url + "/no")
    assert api.token_requests == 1


@pytest.mark.parametrize("library", LIBRARIES)
def test_promise_14_an_endpoint_that_says_no_costs_one_renewal_where_a_hook_raises_because_of_it(
    library: Any, clock: Clock, warnings: Callable[[], list[str]], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "thebase_auth")
    hooks = {"response": [lambda response: response.raise_for_status()]}
    with forbidding(CLIENTS[0], "/no") as (server, api, auth):
        with library.Client(auth=auth, event_hooks=hooks) as http:
            for _ in range(4):
                with pytest.raises(library.HTTPStatusError):
                    http.get(server.url + "/no")
    assert api.token_requests == 2
    assert caplog.text.count("not replaying GET /no after a 401") == 1
    assert [text.partition(" answers 401")[0] for text in warnings()] == [
        f"GET /no on {server.url[7:]}"
    ]


@pytest.mark.parametrize("library", LIBRARIES)
def test_promise_8_a_hook_that_raises_because_of_another_hosts_401_drops_no_token(
    library: Any, clock: Clock, warnings: Callable[[], list[str]]
) -> None:
    def hook(response: Any) -> None:
        if response.status_code == 401:
            response.raise_for_status()

    elsewhere = Server(lambda _: (401, {}, b""))
    with forbidding(CLIENTS[0]) as (server, api, auth), elsewhere.running():
        api.answers["/a"] = (302, {"Location": elsewhere.url + "/login"}, b"")
        options = {"event_hooks": {"response": [hook]}, "follow_redirects": True}
        with library.Client(auth=auth, **options) as http:
            for _ in range(3):
                with pytest.raises(library.HTTPStatusError):
                    http.get(server.url + "/a")
                http.get(server.url + "/b")
    assert api.token_requests == 1
    assert warnings() == []  # it says: GET /login on <our domain>
    assert auth._renewal.refusals.entries == {}


@pytest.mark.parametrize("library", LIBRARIES)
def test_promise_14_in_the_pause_the_raw_body_of_the_401_is_left_to_the_caller(
    library: Any, clock: Clock
) -> None:
    with forbidding(CLIENTS[0], "/no") as (server, _, auth), library.Client(auth=auth) as http:
        for _ in range(2):
            with http.stream("GET", server.url + "/no") as response:
                assert b"".join(response.iter_raw()) == b"no right"


def test_promise_14_in_the_pause_the_raw_body_of_the_401_is_left_to_the_caller_of_requests(
    clock: Clock,
) -> None:
    with forbidding(CLIENTS[0], "/no") as (server, _, auth):
        for _ in range(2):
            with requests.get(server.url + "/no", auth=auth, stream=True, timeout=10) as response:
                assert response.raw.read() == b"no right"


@pytest.mark.parametrize("client", CLIENTS[1:], ids=str)
def test_promise_14_an_accepted_replay_counts_though_another_has_renewed_meanwhile(
    client: Client, clock: Clock, warnings: Callable[[], list[str]]
) -> None:
    with forbidding(client) as (server, api, auth):

        def renewed_by_another_meanwhile(request: Received) -> Answer:
            if request.path == "/a" and request.authorization == "Bearer token-2":
                auth.forget()
                Requests("another").get(auth, server.url + "/b")
            return api(request)

        api.revoke()
        server.handler = renewed_by_another_meanwhile
        assert client.get(auth, server.url + "/a").status == 200
        api.revoke()
        assert client.get(auth, server.url + "/a").status == 200
    assert warnings() == []


@pytest.mark.parametrize("client", [one for one in CLIENTS if not one.is_async], ids=str)
def test_promise_15_an_accepted_call_takes_no_lock_while_another_endpoint_says_no(
    client: Client, clock: Clock
) -> None:
    with forbidding(client, "/no") as (server, _, auth), ThreadPoolExecutor(1) as pool:
        client.get(auth, server.url + "/no")
        with auth._renewal._lock:
            call = pool.submit(client.get, auth, server.url + "/yes")
            try:
                assert call.result(5).status == 200
            finally:
                auth._renewal._lock.release()  # for the thread that waits
                call.exception(60)
                auth._renewal._lock.acquire()


def test_promise_14_the_pause_has_not_passed_when_a_slow_token_request_ends(
    clock: Clock,
) -> None:
    """The first to be renewed for has not been replayed yet; others find the new token refused."""
    with forbidding(CLIENTS[0], "/no") as (server, api, auth):

        def slow(request: Received) -> Answer:
            if request.path == "/oauth/token" and api.token_requests == 1:
                clock.now += 2
            if request.authorization == "Bearer token-2" and not another:
                another.append(request)
                Requests("another").get(auth, server.url + "/no")
            return api(request)

        another: list[Received] = []
        server.handler = slow
        assert CLIENTS[0].get(auth, server.url + "/no").status == 401
    assert api.token_requests == 2


def test_promise_14_a_drop_while_another_fetches_for_the_same_endpoint_is_no_renewal_of_its_own() -> (
    None
):
    renewal = Renewal()
    renewal.token = Token("abc")
    lead = renewal.ask("abc", endpoint=USERS, now=0, lease=60, task=None)
    assert isinstance(lead, Lead)
    renewal.drop_refused("abc", USERS, now=0)
    lead.flight.land(Token("def"))

    assert renewal.refusals.must_wait(USERS, 0.75)
    assert not renewal.refusals.must_wait(USERS, 1.0)  # it is 2 s


class ReadWithCare:
    """The body of a 401 that, when it is read, lets another call be made first."""

    def __init__(self, first: Callable[[], object]) -> None:
        self.first = first

    def __iter__(self) -> Iterator[bytes]:
        self.first()
        yield b"no right"


@pytest.mark.parametrize("library", LIBRARIES)
def test_promise_14_a_pause_that_begins_while_the_401_is_read_keeps_it(
    library: Any, warnings: Callable[[], list[str]]
) -> None:
    """Another caller's token is dropped meanwhile, on account of the same endpoint."""
    auth = auth_for("https://acme.thebase.co.il")
    calls: list[str] = []

    class Stream(ReadWithCare, library.SyncByteStream):  # type: ignore[misc]
        pass

    def handler(request: Any) -> Any:
        calls.append(request.url.path)
        if request.url.path == "/oauth/token":
            return library.Response(200, json={"access_token": f"token-{len(calls)}"})
        if len(calls) == 2:
            return library.Response(401, stream=Stream(another))
        return library.Response(401)

    def another() -> None:
        assert client.post(url, content=iter([b"once"])).status_code == 401

    url = "https://acme.thebase.co.il/no"
    with library.Client(auth=auth, transport=library.MockTransport(handler)) as client:
        reply = client.post(url, content=b"body")
        assert (reply.status_code, reply.content) == (401, b"no right")
    assert calls == ["/oauth/token", "/no", "/no"]
    [warning] = warnings()
    assert warning.startswith("POST /no on acme.thebase.co.il answers 401")


def test_promise_14_a_pause_that_begins_while_the_401_is_read_keeps_it_in_requests(
    warnings: Callable[[], list[str]],
) -> None:
    calls: list[str] = []

    class Raw(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            if len(calls) == 2:
                calls.append("read")
                reply = session.post(url, data=iter([b"once"]))
                assert reply.status_code == 401
            return b""

    class Adapter(requests.adapters.BaseAdapter):
        def send(self, request: Any, *_: Any, **__: Any) -> requests.Response:
            response = requests.Response()
            response.request, response.url = request, request.url
            response.connection = self  # type: ignore[attr-defined]
            response.raw = Raw()
            response.status_code = 401
            if request.url.endswith("/oauth/token"):
                response.status_code = 200
                response.raw = io.BytesIO(b'{"access_token": "token-1"}')
            calls.append(request.path_url)
            return response

        def close(self) -> None:
            pass

    url = "https://acme.thebase.co.il/no"
    with requests.Session() as lending, requests.Session() as session:
        for one in (lending, session):
            one.mount("https://", Adapter())
            one.trust_env = False
        session.auth = auth_for("https://acme.thebase.co.il", session=lending)
        assert session.post(url, data=b"body").status_code == 401
    assert calls == ["/oauth/token", "/no", "read", "/no"]
    [warning] = warnings()
    assert warning.startswith("POST /no on acme.thebase.co.il answers 401")


def test_promise_14_a_redirect_is_an_acceptance(client: Client, clock: Clock) -> None:
    """Also one to another host, whose answer says nothing of the token."""
    elsewhere = Server(lambda _: (200, {}, b"a file"))
    with forbidding(client) as (server, api, auth), elsewhere.running():
        api.answers["/file"] = (302, {"Location": elsewhere.url + "/it"}, b"")
        for _ in range(3):
            api.revoke()
            reply = client.get(auth, server.url + "/file", follow_redirects=True)
            assert (reply.status, reply.body) == (200, b"a file")
            assert auth._renewal.refusals.entries == {}
