"""A successful response of the token endpoint is a usable token, or an error that says why not."""

from __future__ import annotations

import codecs
import copy
import json
import math
import pickle
import time
from collections.abc import Callable

import pytest

from tests.support.token_responses import GOOD, NOW, WHERE, a_response, error_of, parse
from thebase_auth._core.credentials import TokenResponse
from thebase_auth._core.token import Token


def test_response_of_the_vendors_page_is_a_token() -> None:
    token = parse(a_response(GOOD))

    assert token.access_token == "HsXI8gp1B5F2d5EDnGy3Tw"
    assert token.authorization == "Bearer HsXI8gp1B5F2d5EDnGy3Tw"
    assert token.expires_at == NOW + 3600


@pytest.mark.parametrize(
    "response",
    [
        a_response(GOOD, status=201),
        a_response(GOOD, media_type="text/html"),
        a_response({**GOOD, "token_type": "BEARER", "scope": 7, "error": None, "משהו": [1]}),
        a_response(codecs.BOM_UTF8 + json.dumps(GOOD).encode()),
        a_response(json.dumps(GOOD).encode("utf-16")),
        a_response(b'{"access_token": "first", "access_token": "HsXI8gp1B5F2d5EDnGy3Tw"}'),
    ],
)
def test_odd_response_with_a_token_is_used(response: TokenResponse) -> None:
    assert parse(response) == GOOD["access_token"]


@pytest.mark.parametrize("access_token", ["!", "~", "eyJh.eyJz.c2ln-_", "x" * 8000])
def test_token_that_can_go_into_a_header_is_used(access_token: str) -> None:
    assert parse(a_response({"access_token": access_token})) == access_token


@pytest.mark.parametrize(
    "access_token",
    ["", "canary 2", "canary\r\nX-Evil: 1", "canary\n", "canary\x7f", "canaryé", ["canary"]],
    ids=ascii,
)
def test_token_that_cannot_go_into_a_header_is_an_error_that_hides_it(access_token: object) -> None:
    error = error_of(a_response({**GOOD, "access_token": access_token}))

    assert "its response has an access_token that cannot be put in a header" in str(error)
    assert "canary" not in str(error)


@pytest.mark.parametrize("token_type", ["mac", "", "bearer ", "ｂｅａｒｅｒ", False, ["bearer"]])
def test_token_of_another_type_is_an_error(token_type: object) -> None:
    error = error_of(a_response({**GOOD, "token_type": token_type}))

    assert "has a token_type other than 'bearer'" in str(error)
    assert GOOD["access_token"] not in str(error)


@pytest.mark.parametrize(
    ("expires_in", "lifetime"),
    [(3599.75, 3599.75), ("3600", 3600.0), (" 3.6e3 ", 3600.0), (10**15, 1e15)]
    + [(wrong, None) for wrong in (0, -1, "an hour", "NaN", "1e999", True, None, [3600], math.inf, 10**400)],
)
def test_wrong_expires_in_counts_as_none(expires_in: object, lifetime: float | None) -> None:
    token = parse(a_response({**GOOD, "expires_in": expires_in}))

    assert token == GOOD["access_token"]
    assert token.expires_at == (None if lifetime is None else NOW + lifetime)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "is not a JSON object (empty)"),
        (b"access_token=abc", "is not a JSON object (16 bytes of text/x-odd)"),
        (b'{"access_token": "a\xff"}', "is not a JSON object"),
        (b'{"access_token": "abc", "expires_in": ' + b"1" * 5000 + b"}", "is not a JSON object"),
        (b"[" * 200_000, "is not a JSON object"),
        (b'{"token": "canary"}', "has no access_token"),
        (b'{"access_token": null}', "has no access_token"),
    ],
)
def test_successful_response_without_a_token_is_an_error(body: bytes, problem: str) -> None:
    error = error_of(a_response(body, media_type="text/x-odd; charset=utf-8"))

    assert f"responded with 200, but its response {problem}" in str(error)
    assert WHERE in str(error)
    assert "canary" not in str(error)


def test_response_does_not_show_its_body() -> None:
    assert repr(a_response({"access_token": "canary"})) == "TokenResponse(status=200)"


# The token itself


@pytest.mark.parametrize(
    "copied", [lambda one: one, copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))]
)
def test_token_and_its_copies_are_not_shown(copied: Callable[[Token], Token]) -> None:
    token = copied(Token("canary", 5.0))

    assert (token.access_token, token.authorization, token.expires_at) == ("canary", "Bearer canary", 5.0)
    assert f"{token} {token!r}" == "Token(expires_at=5.0) Token(expires_at=5.0)"


def test_token_has_expired_from_the_moment_that_the_server_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: NOW)

    assert Token("abc", NOW).is_expired()
    assert not Token("abc", NOW + 0.001).is_expired()
    assert not Token("abc").is_expired()


def test_tokens_are_equal_by_their_text() -> None:
    assert Token("abc", 5.0) == Token("abc", 6.0) == "abc"
    assert hash(Token("abc", 5.0)) == hash("abc")
    assert Token("abc") not in ("abd", Token("abd"), 7, b"abc")
