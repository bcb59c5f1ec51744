"""What goes silently wrong in a program is said once, at WARNING, and names what is to be changed."""

from __future__ import annotations

import copy
import logging
from collections.abc import Generator
from typing import Any

import pytest

from tests.support.shared_tokens import TOKEN, USERS, a_core
from tests.support.token_answers import CREDENTIALS, DOMAIN
from thebase_auth._core import notices
from thebase_auth._core.caller import Caller
from thebase_auth._core.core import Core
from thebase_auth._core.credentials import Credentials
from thebase_auth._core.origin import Origin
from thebase_auth._core.token import Token


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    assert {(one.name, one.levelno) for one in caplog.records} <= {("thebase_auth", logging.WARNING)}
    return [one.getMessage() for one in caplog.records]


# Several auth objects


def test_two_objects_that_fetch_within_a_minute_are_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    for owner, now in ((1, 10.0), (1, 11.0)):
        notices.of_fetch(CREDENTIALS, owner, now)
    assert warnings(caplog) == []

    for owner, now in ((2, 70.9), (1, 71.0), (3, 72.0)):
        notices.of_fetch(CREDENTIALS, owner, now)
    (text,) = warnings(caplog)
    assert f"from {DOMAIN} for the client id {CREDENTIALS.client_id} within a minute" in text
    assert "Make one and keep it" in text


def test_a_minute_later_is_another_matter(caplog: pytest.LogCaptureFixture) -> None:
    for number in range(5):
        notices.of_fetch(CREDENTIALS, number, 60.0 * number)

    assert warnings(caplog) == []


def test_each_client_id_and_each_domain_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    others = [
        Credentials(CREDENTIALS.origin, "another", "secret"),
        Credentials(Origin("https", "other.thebase.co.il", 443), CREDENTIALS.client_id, "secret"),
    ]
    for owner in range(3):
        for credentials in (CREDENTIALS, *others):
            notices.of_fetch(credentials, owner, 0.0)

    assert len(warnings(caplog)) == 3


def fetch(core: Core) -> None:
    def steps(_: Any) -> Generator[Any, Any, Token]:
        return TOKEN
        yield

    with pytest.raises(StopIteration):
        next(Caller(core, steps, {"connect": 1, "read": 1}).fresh_token(core.shared.token))


def test_one_object_may_fetch_as_often_as_it_must(caplog: pytest.LogCaptureFixture) -> None:
    core = a_core()
    for _ in range(3):
        fetch(core)
    assert warnings(caplog) == []

    fetch(copy.deepcopy(core))
    assert len(warnings(caplog)) == 1


# Hosts, and rights


def test_a_401_of_another_host_to_an_unsigned_request_is_warned_of_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    core = a_core()
    for host in ("www.thebase.co.il", "elsewhere.example"):
        core.note_unsigned_401(host)

    (text,) = warnings(caplog)
    assert text.startswith("www.thebase.co.il answered 401")
    assert f"signs only requests to {DOMAIN}" in text
    assert "auth.base_url" in text


def test_the_warning_of_a_missing_right_has_the_operation_and_where_to_look(
    caplog: pytest.LogCaptureFixture,
) -> None:
    notices.of_missing_right(CREDENTIALS, USERS)

    (text,) = warnings(caplog)
    assert text.startswith(f"GET /v2/users on {DOMAIN} answers 401 even with a new access token")
    assert f"the client id {CREDENTIALS.client_id} probably lacks the right" in text
