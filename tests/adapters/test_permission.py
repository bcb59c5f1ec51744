"""A call that lacks permission, for which this server says 401, does not cost a token request each time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.callers import in_threads
from tests.support.clients import Client
from tests.support.clock import Clock
from tests.support.permission import api_without_permission

Warnings = Callable[[], list[str]]

PAUSES = [1, 2]  # seconds


def throttle(client: Client, auth: Any, url: str) -> None:
    """Let an operation reject three tokens: the current one and two that are fetched for it."""
    for _ in range(2):
        assert client.get(auth, url).history == [401]


def test_operation_is_throttled_after_it_rejected_three_tokens(
    client: Client, clock: Clock, warnings: Warnings
) -> None:
    with api_without_permission(client, "/no") as (server, api, auth):
        throttle(client, auth, server.url + "/no")
        server.received.clear()
        replies = [client.get(auth, server.url + "/no") for _ in range(5)]

    assert [(one.status, one.body, one.history) for one in replies] == [(401, b"no permission", [])] * 5
    assert [one.authorization for one in server.received] == ["Bearer token-3"] * 5
    assert api.token_requests == 3
    assert auth.token.access_token == "token-3"
    assert len(warnings()) == 1


def test_permission_that_depends_on_the_record_costs_few_tokens(
    client: Client, clock: Clock, warnings: Warnings
) -> None:
    with api_without_permission(client, "/v2/leads/2") as (server, api, auth):
        for number in range(8):
            assert client.get(auth, server.url + "/v2/leads/1").status == 200
            assert client.get(auth, f"{server.url}/v2/leads/2{number}").status == 401
    assert api.token_requests == 3
    assert len(warnings()) == 1


def test_revoked_tokens_are_renewed_each_time(client: Client, clock: Clock, warnings: Warnings) -> None:
    """Any response but a 401 to a replay shows that the renewal has helped."""
    with api_without_permission(client) as (server, api, auth):
        api.responses["/a"] = (404, {}, b"")
        for token_requests in range(2, 8):
            api.revoke()
            for _ in range(2):
                assert client.get(auth, server.url + "/a").status == 404
            assert api.token_requests == token_requests
    assert warnings() == []


def test_expired_token_is_renewed_while_throttled(
    client: Client, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with api_without_permission(client, "/no") as (server, api, auth):
        throttle(client, auth, server.url + "/no")
        api.forbidden = ()
        api.revoke()
        assert client.get(auth, server.url + "/no").status == 401
        clock.time = lambda: time.time() + 3601
        assert client.get(auth, server.url + "/no").status == 200
    assert api.token_requests == 4


# Redirects


def test_operation_behind_a_redirect_is_the_one_that_is_throttled(
    client: Client, clock: Clock, warnings: Warnings
) -> None:
    with api_without_permission(client, "/no") as (server, api, auth):
        api.responses["/hop"] = (302, {"Location": "/no"}, b"")
        for _ in range(3):
            assert client.get(auth, server.url + "/hop", follow_redirects=True).status == 401
        assert client.get(auth, server.url + "/no").history == []
        assert api.token_requests == 3
        api.revoke()
        assert client.get(auth, server.url + "/hop").status == 302
    (text,) = warnings()
    assert "GET /no" in text


# Many callers


def test_many_callers_with_and_without_permission_fetch_one_token_a_pause(
    client: Client, clock: Clock, warnings: Warnings
) -> None:
    start = threading.Barrier(6)
    with api_without_permission(client, "/v2/leads/2") as (server, api, auth):

        def call() -> list[int]:
            start.wait(20)
            return [client.get(auth, f"{server.url}/v2/leads/{lead}").status for lead in (1, 2) * 3]

        for token_requests, pause in enumerate(PAUSES, 3):
            assert in_threads(6, call) == [[200, 401] * 3] * 6
            assert api.token_requests == token_requests
            clock.now += pause
    assert len(warnings()) == 1
