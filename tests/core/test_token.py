"""An answer of the token endpoint is a usable token, or an error that says what to do."""

from __future__ import annotations

import codecs
import copy
import json
import math
import pickle
from collections.abc import Callable, Mapping

import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from requests.structures import CaseInsensitiveDict

from tests.support.token_answers import BASIC, GOOD, NOW, SECRET, WHERE, answer, parse, refused
from thebase_auth._core.errors import TokenRequestError
from thebase_auth._core.token import Answer, Token

# A busy machine is no fault of what is tested.
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


# A token: RFC 6749 section 5.1


def test_the_answer_of_the_vendors_page_is_a_token() -> None:
    token = parse(answer(GOOD))

    assert token == Token("HsXI8gp1B5F2d5EDnGy3Tw", NOW + 3600)
    assert token.authorization == "Bearer HsXI8gp1B5F2d5EDnGy3Tw"


@pytest.mark.parametrize("status", [200, 201, 202, 299])
def test_any_success_may_bring_a_token(status: int) -> None:
    assert parse(answer(GOOD, status=status)).access_token == GOOD["access_token"]


@pytest.mark.parametrize("media_type", ["application/json; charset=utf-8", "text/plain", "text/html", ""])
def test_a_token_is_taken_whatever_its_media_type_says(media_type: str) -> None:
    assert parse(answer(GOOD, media_type=media_type)).access_token == GOOD["access_token"]


def test_other_members_are_ignored() -> None:
    # RFC 6749 section 5.1: the client MUST ignore unrecognised value names.
    document = {"error": None, "refresh_token": "x", "scope": 7, **GOOD, "משהו": [1]}

    assert parse(answer(document)) == parse(answer(GOOD))


@pytest.mark.parametrize(
    "encode",
    [
        pytest.param(lambda text: codecs.BOM_UTF8 + text.encode(), id="UTF-8 with a BOM"),
        pytest.param(lambda text: text.encode("utf-16"), id="UTF-16"),
        pytest.param(lambda text: text.encode("utf-32-be"), id="UTF-32"),
        pytest.param(lambda text: f"\r\n\t {text} \n".encode(), id="white space around it"),
    ],
)
def test_json_is_read_in_each_of_its_encodings(encode: Callable[[str], bytes]) -> None:
    assert parse(answer(encode(json.dumps(GOOD)))) == parse(answer(GOOD))


def test_of_duplicate_keys_the_last_counts() -> None:
    body = b'{"access_token": "first", "access_token": "second", "expires_in": 1}'

    assert parse(answer(body)).access_token == "second"


@pytest.mark.parametrize("token_type", ["bearer", "Bearer", "BEARER", None])
def test_the_token_type_is_bearer_in_any_case_or_left_out(token_type: str | None) -> None:
    document = {**GOOD, "token_type": token_type}
    left_out = {"access_token": "abc"}

    assert parse(answer(document)) == parse(answer(GOOD))
    assert parse(answer(left_out)).access_token == "abc"


@pytest.mark.parametrize(
    "token_type",
    ["mac", "DPoP", "N_A", "", " bearer", "bearer ", "bearers", "ｂｅａｒｅｒ", 1, True, False, 0,
     [], ["bearer"], {"bearer": 1}, 1.5],
    ids=repr,
)  # fmt: skip
def test_a_token_of_another_type_is_refused(token_type: object) -> None:
    # RFC 6749 section 7.1
    error = refused(answer({**GOOD, "token_type": token_type}))

    assert "token_type" in str(error)
    assert "bearer" in str(error)
    assert GOOD["access_token"] not in str(error)


@pytest.mark.parametrize(
    ("expires_in", "lifetime"),
    [
        pytest.param(3600, 3600.0, id="number"),
        pytest.param(1, 1.0, id="one second"),
        pytest.param(0.5, 0.5, id="fraction"),
        pytest.param(3599.75, 3599.75, id="float"),
        pytest.param("3600", 3600.0, id="number as text"),
        pytest.param("3.6e3", 3600.0, id="float as text"),
        pytest.param(" 3600 ", 3600.0, id="text with blanks"),
        pytest.param(10**15, 1e15, id="30 million years"),
        pytest.param(0, None, id="zero"),
        pytest.param(-1, None, id="negative"),
        pytest.param("-3600", None, id="negative as text"),
        pytest.param("0", None, id="zero as text"),
        pytest.param("", None, id="empty text"),
        pytest.param("an hour", None, id="text"),
        pytest.param("3600s", None, id="text with a unit"),
        pytest.param("NaN", None, id="NaN as text"),
        pytest.param("Infinity", None, id="infinity as text"),
        pytest.param("1e999", None, id="too large as text"),
        pytest.param(True, None, id="true"),
        pytest.param(False, None, id="false"),
        pytest.param(None, None, id="null"),
        pytest.param([3600], None, id="list"),
        pytest.param({"seconds": 3600}, None, id="object"),
        pytest.param(math.nan, None, id="NaN"),
        pytest.param(math.inf, None, id="infinity"),
        pytest.param(-math.inf, None, id="minus infinity"),
        pytest.param(10**400, None, id="more than a float can hold"),
    ],
)
def test_a_wrong_lifetime_counts_as_none_and_the_token_is_used(
    expires_in: object, lifetime: float | None
) -> None:
    token = parse(answer({**GOOD, "expires_in": expires_in}))

    assert token.access_token == GOOD["access_token"]
    assert token.expires_at == (None if lifetime is None else NOW + lifetime)


def test_a_lifetime_may_be_left_out() -> None:
    assert parse(answer({"access_token": "abc"})).expires_at is None


def test_a_lifetime_of_more_digits_than_python_converts_is_an_error_of_the_answer() -> None:
    refused(answer(b'{"access_token": "abc", "expires_in": ' + b"1" * 5000 + b"}"))


@pytest.mark.parametrize(
    "access_token",
    [
        pytest.param("HsXI8gp1B5F2d5EDnGy3Tw", id="the vendor's"),
        pytest.param("eyJh.eyJz.c2ln-_", id="JWT"),
        pytest.param("!", id="lowest character"),
        pytest.param("~", id="highest character"),
        pytest.param("a+/b==", id="base64"),
        pytest.param("x" * 8000, id="long"),
    ],
)
def test_a_token_that_can_stand_in_a_header_is_taken(access_token: str) -> None:
    assert parse(answer({"access_token": access_token})).access_token == access_token


@pytest.mark.parametrize(
    "access_token",
    [
        pytest.param("", id="empty"),
        pytest.param(" ", id="blank"),
        pytest.param("canary 2", id="blank inside"),
        pytest.param(" canary", id="leading blank"),
        pytest.param("canary\n", id="trailing newline"),
        pytest.param("canary\r\nX-Evil: 1", id="header"),
        pytest.param("canary\x00", id="null"),
        pytest.param("canary\x7f", id="delete"),
        pytest.param("canary\x80", id="control character beyond ASCII"),
        pytest.param("canaryé", id="Latin-1"),
        pytest.param("canaryטוקן", id="Hebrew"),
        pytest.param("canary\u200f", id="direction mark"),
        pytest.param("canary\ud800", id="lone surrogate"),
        pytest.param(None, id="null value"),
        pytest.param(17, id="number"),
        pytest.param(True, id="true"),
        pytest.param(["canary"], id="list"),
        pytest.param({"token": "canary"}, id="object"),
    ],
)
def test_a_token_that_cannot_stand_in_a_header_is_refused_and_not_quoted(access_token: object) -> None:
    error = refused(answer({**GOOD, "access_token": access_token}))

    assert "access_token" in str(error)
    assert "canary" not in str(error)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"null", id="null"),
        pytest.param(b"[]", id="list"),
        pytest.param(b'"HsXI8gp1B5F2d5EDnGy3Tw"', id="text"),
        pytest.param(b"3600", id="number"),
        pytest.param(b"access_token=abc&token_type=bearer", id="form"),
        pytest.param(b'{"access_token": "abc"', id="cut short"),
        pytest.param(b'{"access_token": "abc"}}', id="garbage behind it"),
        pytest.param(b"{'access_token': 'abc'}", id="single quotes"),
        pytest.param(b'{"access_token": "a\xff"}', id="not UTF-8"),
        pytest.param(b"<!DOCTYPE html><html></html>", id="HTML"),
        pytest.param(b"[" * 200_000, id="deep nesting"),
        pytest.param(b'{"a":' * 200_000, id="deep nesting of objects"),
        pytest.param(b"\x00" * 100, id="nulls"),
        pytest.param(codecs.BOM_UTF8, id="BOM alone"),
    ],
)
def test_an_answer_that_is_not_a_json_object_is_refused(body: bytes) -> None:
    error = refused(answer(body, media_type="text/x-odd; charset=utf-8"))

    assert ("text/x-odd" if body else "empty") in str(error)
    assert "charset" not in str(error)
    assert WHERE in str(error)


def test_an_object_without_a_token_is_refused() -> None:
    error = refused(answer({"token": "canary", "items": []}))

    assert "has no access_token" in str(error)
    assert "canary" not in str(error)


def test_a_token_nested_as_deeply_as_json_goes_gives_no_other_error() -> None:
    # Reading and showing a value have limits of their own; between them lies a trap.
    for depth in range(850, 1010):
        nested = b"[" * depth + b"]" * depth
        refused(answer(b'{"access_token": "abc", "token_type": ' + nested + b"}"))


def test_an_answer_that_names_no_media_type_is_described_all_the_same() -> None:
    assert "3 bytes of no media type" in str(refused(Answer(200, {}, b"abc")))


@pytest.mark.parametrize("headers", [httpx.Headers, CaseInsensitiveDict], ids=["httpx", "requests"])
@pytest.mark.parametrize("name", ["content-type", "Content-Type", "CONTENT-TYPE"])
def test_the_names_of_headers_may_be_in_any_case(
    headers: Callable[[dict[str, str]], Mapping[str, str]], name: str
) -> None:
    assert "text/x-odd" in str(refused(Answer(200, headers({name: "text/x-odd"}), b"abc")))


@pytest.mark.parametrize("document", [GOOD, {}, b"no JSON"], ids=["token", "object", "no JSON"])
def test_an_answer_that_was_not_read_to_its_end_is_refused(document: object) -> None:
    error = refused(answer(document, cut="longer than 1 MiB"))

    assert "but its answer is longer than 1 MiB." in str(error)
    assert WHERE in str(error)


# The token itself


def test_a_token_is_past_its_time_from_the_second_on_that_the_server_named() -> None:
    token = Token("abc", NOW)

    assert not token.past_its_time(NOW - 0.001)
    assert token.past_its_time(NOW)
    assert token.past_its_time(NOW + 1)


def test_a_token_without_a_lifetime_is_never_past_its_time() -> None:
    assert not Token("abc").past_its_time(math.inf)


def test_a_token_of_the_epoch_is_past_its_time() -> None:
    assert Token("abc", 0.0).past_its_time(NOW)


COPIES = [
    pytest.param(lambda token: token, id="itself"),
    pytest.param(copy.copy, id="copy"),
    pytest.param(copy.deepcopy, id="deepcopy"),
    pytest.param(lambda token: pickle.loads(pickle.dumps(token)), id="pickle"),
]


@pytest.mark.parametrize("again", COPIES)
def test_a_token_and_its_copies_are_sent_as_they_are_and_not_shown(again: Callable[[Token], Token]) -> None:
    token = again(Token("canary-4f1c", 5.0))

    assert token.access_token == "canary-4f1c"
    assert token.authorization == "Bearer canary-4f1c"
    assert type(token.access_token) is type(token.authorization) is str
    assert token.expires_at == 5.0
    assert repr(token) == str(token) == f"{token}" == "Token(expires_at=5.0)"


def test_tokens_are_the_same_by_value() -> None:
    assert Token("abc", 5.0) == Token("abc", 5.0)
    assert hash(Token("abc", 5.0)) == hash(Token("abc", 5.0)) == hash("abc")
    assert Token("abc", 5.0) != Token("abd", 5.0)
    assert Token("abc", 5.0) == Token("abc", 6.0)  # the server knows it by its text only
    assert Token("abc", 5.0) == "abc"
    assert Token("abc", 5.0) != "abd"
    assert Token("abc", 5.0) != 7


# Whatever the answer is, it gives a token or this one error.

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
MEMBERS = st.sampled_from([
    "access_token", "token_type", "expires_in", "error", "error_description", "code", "message",
    "instance",
])  # fmt: skip
VALUES = JSON | st.sampled_from(["bearer", "abc", SECRET, BASIC, "Bearer", 3600, "3600"])
DOCUMENTS = st.dictionaries(MEMBERS, VALUES).map(lambda document: json.dumps(document).encode())
BODIES = st.binary(max_size=50) | DOCUMENTS | JSON.map(lambda value: json.dumps(value).encode())
HEADERS = st.dictionaries(
    st.sampled_from(["content-type", "location", "retry-after", "server"]),
    st.text(max_size=20) | st.sampled_from([SECRET, BASIC]),
)


@unhurried
@given(st.sampled_from([200, 201, 302, 400, 401, 404, 429, 500]) | st.integers(0, 1000), HEADERS,
       BODIES)  # fmt: skip
@example(200, {}, b'{"access_token": "abc", "expires_in": 1e999}')
@example(200, {}, b'{"access_token": "abc", "expires_in": -Infinity}')
def test_any_answer_is_a_token_or_a_token_request_error(
    status: int, headers: dict[str, str], body: bytes
) -> None:
    try:
        token = parse(Answer(status, headers, body))
    except TokenRequestError as error:
        shown = str(error) + repr(error) + repr(error.args)
        assert SECRET not in shown
        assert BASIC not in shown
        assert str(error).isprintable()
        assert len(str(error)) < 3000
        assert error.status == status
    else:
        assert 200 <= status < 300
        assert token.access_token in json.loads(body).values()
        httpx.Headers({"Authorization": token.authorization}).raw  # noqa: B018 - encodes it
        assert token.expires_at is None or math.isfinite(token.expires_at) > 0


@unhurried
@given(
    st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E)).map("canary~{}".format),
    st.dictionaries(MEMBERS, VALUES | st.just("TOKEN") | st.just(["TOKEN"]) | st.just("x TOKEN x")),
)
def test_the_token_of_an_answer_is_never_shown(access_token: str, document: dict[str, object]) -> None:
    document["access_token"] = "TOKEN"
    body = json.dumps(document).encode().replace(b"TOKEN", json.dumps(access_token).encode()[1:-1])
    given_answer = Answer(200, {"content-type": "application/json"}, body)
    try:
        token = parse(given_answer)
    except TokenRequestError as error:
        shown = f"{error}{error!r}{error.args}"
    else:
        shown = f"{token}{token!r}{given_answer!r}"
    assert access_token not in shown


def test_an_answer_does_not_show_its_headers_and_its_body() -> None:
    given_answer = answer({**GOOD, "access_token": "canary"}, Set_Cookie="canary")

    assert "canary" not in repr(given_answer)
    assert "200" in repr(given_answer)
