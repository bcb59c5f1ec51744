"""What an auth object knows of a request: whether it is ours, what it carried, what its answer shows."""

from __future__ import annotations

import copy
import logging
import pickle
import time
from pathlib import Path

import pytest

from tests.support.shared_tokens import OTHER, TOKEN, USERS, a_core, renew
from tests.support.token_answers import CREDENTIALS, DOMAIN
from thebase_auth._core.bodies import IN_MEMORY, LARGE, ONCE, Body
from thebase_auth._core.core import Core
from thebase_auth._core.credentials import Credentials
from thebase_auth._core.errors import PlainHTTPError, ReplayError
from thebase_auth._core.origin import Origin
from thebase_auth._core.token import Token
from thebase_auth.caches import FileTokenCache


@pytest.fixture
def core() -> Core:
    """One that has a token."""
    core = a_core(timeout=12.0)
    renew(core.shared, TOKEN)
    return core


# Where a request goes


def test_a_request_to_the_domain_is_ours(core: Core, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        assert core.must_sign(f"https://{DOMAIN}/v2/users")
        assert core.is_ours(f"https://{DOMAIN}/v2/users")

    assert caplog.messages == []


def test_a_request_to_another_host_is_left_unsigned(core: Core, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        assert not core.must_sign("https://evil.com/")
        assert not core.is_ours("https://evil.com/")

    assert caplog.messages == [f"left a request unsigned: it does not go to {DOMAIN}"]


def test_a_request_to_the_domain_over_plain_http_is_an_error(core: Core) -> None:
    with pytest.raises(PlainHTTPError, match=f"a request to {DOMAIN} over http://") as caught:
        core.must_sign(f"http://{DOMAIN}/v2/users")

    assert caught.value.domain == DOMAIN
    assert not core.is_ours(f"http://{DOMAIN}/v2/users")


@pytest.mark.parametrize(
    ("origin", "parts"),
    [
        (Origin("https", DOMAIN, 443), (f"https://{DOMAIN}/", "https", DOMAIN.encode(), None)),
        (Origin("https", DOMAIN, 8443), (f"https://{DOMAIN}:8443/", "https", DOMAIN.encode(), 8443)),
        (Origin("http", "[::1]", 8000), ("http://[::1]:8000/", "http", b"::1", 8000)),
        (Origin("http", "127.0.0.1", 80), ("http://127.0.0.1/", "http", b"127.0.0.1", None)),
    ],
)
def test_the_domain_is_at_hand_in_the_parts_that_libraries_have(
    origin: Origin, parts: tuple[object, ...]
) -> None:
    core = Core(Credentials(origin, "id..", "secret.."), timeout=1, cache=None)

    assert (core.url_prefix, core.scheme, core.raw_host, core.url_port) == parts


# What it carried


@pytest.mark.parametrize("header", ["Bearer abc", b"Bearer abc"])
def test_the_token_that_a_request_carried_is_recognised(core: Core, header: str | bytes) -> None:
    assert core.shared.token_in(header) is TOKEN
    renew(core.shared, OTHER, TOKEN)
    assert core.shared.token_in(header) is TOKEN


@pytest.mark.parametrize("header", [None, "", b"", "Basic abc", "Bearer x", b"Bearer \xe9"])
def test_what_is_none_of_our_tokens_is_not_taken_for_one(core: Core, header: str | bytes | None) -> None:
    assert core.shared.token_in(header) is None


# What its answer shows


@pytest.mark.parametrize(
    ("status", "forgets"),
    [
        *[(status, True) for status in (200, 201, 204, 302, 304, 400, 403, 404, 405, 409, 422)],
        *[(status, False) for status in (401, 407, 429, 500, 502, 503, 504, 599)],
    ],
)
def test_an_answer_that_shows_that_the_token_was_taken_forgets_strikes(
    core: Core, status: int, forgets: bool
) -> None:
    core.shared.backoff.strike(USERS, 0)
    core.note_answer(status, USERS)

    assert (USERS not in core.shared.backoff.strikes) == forgets


def with_a_token_of(core: Core, expires_at: float | None) -> Token:
    token = core.shared.token = Token("dated", expires_at)
    return token


@pytest.mark.parametrize(
    ("body", "length", "risky"),
    [
        (ONCE, None, True),
        (ONCE, 5, True),
        (IN_MEMORY, LARGE + 1, True),
        (IN_MEMORY, LARGE, False),
        (IN_MEMORY, None, False),
    ],
)
def test_a_token_past_its_time_is_not_risked_on_a_body_that_cannot_or_should_not_be_replayed(
    core: Core, body: Body, length: int | None, risky: bool
) -> None:
    token = with_a_token_of(core, time.time() - 1)
    assert core.expired_token_for(body, length) is (token if risky else None)

    for expires_at in (time.time() + 60, None):
        with_a_token_of(core, expires_at)
        assert core.expired_token_for(body, length) is None
    core.shared.token = None
    assert core.expired_token_for(body, length) is None


def test_a_call_without_an_answer_drops_a_token_past_its_time(core: Core) -> None:
    for expires_at in (None, time.time() + 60):
        token = with_a_token_of(core, expires_at)
        core.note_unanswered(token)
        assert core.shared.token is token

    core.note_unanswered(with_a_token_of(core, time.time() - 1))
    assert core.shared.token is None


def test_a_401_that_can_be_neither_replayed_nor_given_back_is_an_error(core: Core) -> None:
    error = core.cannot_replay(USERS)

    assert type(error) is ReplayError
    assert str(error).startswith(f"{DOMAIN} refused the access token of GET /v2/users (401)")
    assert error.domain == DOMAIN


# Copies


def through_pickle(core: Core) -> Core:
    again: Core = pickle.loads(pickle.dumps(core))
    return again


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, through_pickle])
def test_a_copy_has_the_same_settings_and_no_token_yet(core: Core, again: object) -> None:
    assert callable(again)
    copied: Core = again(core)

    assert copied is not core
    assert copied.credentials.token_url == CREDENTIALS.token_url
    assert copied.credentials.client_id == CREDENTIALS.client_id
    assert copied.credentials.client_secret.reveal() == CREDENTIALS.client_secret.reveal()
    assert copied.timeout == 12.0
    assert copied.shared.token is None
    assert copied.number != core.number


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy])
def test_a_copy_in_the_same_process_has_the_same_cache(tmp_path: Path, again: object) -> None:
    assert callable(again)
    cache = FileTokenCache(tmp_path / "tokens")
    core = a_core(cache=cache)

    copied: Core = again(core)
    assert copied._cache is cache
    assert copied.coordinator is not core.coordinator
    assert copied.coordinator is not None
    assert copied.coordinator.shared is copied.shared


def test_a_pickle_takes_its_cache_along(tmp_path: Path) -> None:
    core = a_core(cache=FileTokenCache(tmp_path / "tokens"))

    assert isinstance(through_pickle(core)._cache, FileTokenCache)
