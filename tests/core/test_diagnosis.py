"""A response without a token is quoted in part, shows no secret, and says what to do."""

from __future__ import annotations

import pickle
from collections.abc import Callable

import pytest

from tests.support.token_responses import BASIC, GOOD, NOW, SECRET, a_response, error_of
from thebase_auth._core.credentials import TokenResponse


def test_error_quotes_and_keeps_what_the_server_said() -> None:
    oauth = {"error": "invalid_client", "error_description": "No client"}
    problem = {"code": 401, "message": "אין הרשאה", "type": "canary", "instance": "tag:ecid/w4"}
    error = error_of(a_response({**oauth, **problem}, status=401, media_type="application/problem+json"))

    assert (
        "(error: invalid_client, error_description: No client, code: 401, message: אין הרשאה,"
        " instance: tag:ecid/w4). Check that client id and client secret belong to"
    ) in str(error)
    assert (error.error, error.error_description) == ("invalid_client", "No client")
    assert (error.code, error.message, error.instance) == ("401", "אין הרשאה", "tag:ecid/w4")


@pytest.mark.parametrize("value", ["", "\x1b", None, ["canary"], {"text": "canary"}, True], ids=repr)
def test_error_member_that_is_not_text_is_ignored(value: object) -> None:
    names = ("error", "error_description", "code", "message", "instance")
    error = error_of(a_response(dict.fromkeys(names, value), status=401))

    assert [getattr(error, name) for name in names] == [None] * 5
    assert "canary" not in str(error)


@pytest.mark.parametrize(
    ("page", "described"),
    [
        (b"<html>canary".ljust(467_009), "467009 bytes of text/html"),
        (b"<TITLE lang='en'>\n A &amp;\t B \n</TITLE>", "39 bytes of text/html with the title 'A &amp; B'"),
        (b" " * 65_536 + b"<title>canary", "65549 bytes of text/html"),
    ],
)
def test_web_page_is_described_by_its_title(page: bytes, described: str) -> None:
    error = error_of(a_response(page, status=403, media_type="text/html; charset=utf-8"))

    assert f"({described}). That is a web page" in str(error)
    assert "canary" not in str(error)


@pytest.mark.parametrize("status", [201, 302, 401, 503])
def test_token_in_a_response_with_an_error_is_neither_used_nor_shown(status: int) -> None:
    error = error_of(a_response({**GOOD, "error": "odd"}, status=status))

    assert GOOD["access_token"] not in str(error)


@pytest.mark.parametrize("rest", ["?code=canary", "#access_token=canary"])
def test_redirect_is_named_without_its_query_and_fragment(rest: str) -> None:
    error = error_of(TokenResponse(302, {"location": f"https://elsewhere.example/a{rest}"}, b"", NOW))

    assert "It redirects to https://elsewhere.example/a, and" in str(error)


@pytest.mark.parametrize(
    ("after", "advice", "seconds"),
    [
        ("120", "in 120 seconds", 120.0),
        ("Tue, 14 Nov 2023 22:14:20 GMT", "in 60 seconds", 60.0),
        ("Fri, 31 Dec 1999 23:59:59 GMT", "later", None),
        ("0", "later", None),
        ("1234567890", "later", None),
        ("Tue, 99 Nov 2023 22:14:20 GMT", "later", None),
        ("", "later", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(after: str, advice: str, seconds: float | None) -> None:
    error = error_of(TokenResponse(429, {"retry-after": after}, b"", NOW))

    assert f"Too many requests; try again {advice}." in str(error)
    assert error.retry_after == seconds


# What a server says reaches logs and terminals.


def a_page(said: str) -> TokenResponse:
    return a_response(f"<title>{said}".encode("utf-8", "replace"), status=403, media_type="text/html")


PLACES: list[Callable[[str], TokenResponse]] = [
    lambda said: a_response({"error": said}, status=500),
    lambda said: a_response({"instance": said}, status=500),
    lambda said: TokenResponse(302, {"location": said}, b"", NOW),
    lambda said: TokenResponse(401, {"content-type": said}, b"x", NOW),
    lambda said: TokenResponse(200, {"content-type": said}, b"x", NOW),
    a_page,
]
each_place = pytest.mark.parametrize("place", PLACES)


@each_place
@pytest.mark.parametrize("echo", [SECRET, BASIC])
def test_secret_that_the_server_echoes_is_hidden(place: Callable[[str], TokenResponse], echo: str) -> None:
    error = error_of(place(f"you sent {echo}!"))

    assert "[hidden]!" in str(error)
    assert echo not in f"{error!r}{pickle.dumps(error)!r}"
    for padding in range(285, 301):  # nor is it shown in part where the text is cut
        assert "canary" not in str(error_of(place("x" * padding + SECRET)))


def test_token_that_the_server_echoes_is_hidden() -> None:
    document = {**GOOD, "message": f"could not keep {GOOD['access_token']}!"}

    assert error_of(a_response(document, status=500)).message == "could not keep [hidden]!"
    assert error_of(a_response({"access_token": "", "message": "no"}, status=500)).message == "no"


@each_place
def test_text_of_the_server_is_shown_on_one_line_and_cut(place: Callable[[str], TokenResponse]) -> None:
    text = str(error_of(place("one\n\r\t\x00\x1b[31m\x9b\u2028\u202e\ud800two" + "x" * 100_000)))

    assert "one" in text
    assert "two" in text
    assert text.isprintable()
    assert 250 < text.count("x") < 900
