"""A refusal of the token endpoint is quoted in part, hides what is secret, and says what to do."""

from __future__ import annotations

import pickle
from collections.abc import Callable

import pytest

from tests.support.token_answers import BASIC, DOMAIN, GOOD, SECRET, WHERE, answer, refused
from thebase_auth._core.token import Answer

# An error: RFC 6749 section 5.2, and ORDS's problem document


def test_an_oauth_error_is_quoted_and_kept_as_evidence() -> None:
    error = refused(answer({"error": "invalid_client", "error_description": "No such client"}, status=401))

    assert (error.error, error.error_description) == ("invalid_client", "No such client")
    assert (error.code, error.message, error.instance) == (None, None, None)
    assert "error: invalid_client, error_description: No such client" in str(error)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 500, 555])
def test_a_problem_document_is_quoted_and_kept_as_evidence(status: int) -> None:
    instance = "tag:oracle.com,2020:ecid/w4UbuYdZgYcyPtP86tRUrg"
    problem = {
        "code": "Unauthorized",
        "message": "אין הרשאה",
        "type": "tag:oracle.com,2020:error/Unauthorized",
        "instance": instance,
    }
    error = refused(answer(problem, status=status, media_type="application/problem+json"))

    assert (error.code, error.message) == ("Unauthorized", "אין הרשאה")
    assert error.instance == instance
    assert (error.error, error.error_description) == (None, None)
    assert f"code: Unauthorized, message: אין הרשאה, instance: {instance}" in str(error)


@pytest.mark.parametrize("status", [302, 400, 401, 403, 404, 429, 500, 502, 503, 555])
def test_a_page_of_html_is_described_and_not_quoted(status: int) -> None:
    page = b"<html>canary</html>".ljust(467_009)
    error = refused(answer(page, status=status, media_type="text/html; charset=utf-8"))

    assert "467009 bytes of text/html" in str(error)
    assert "canary" not in str(error)
    said = (error.error, error.error_description, error.code, error.message, error.instance)
    assert said == (None,) * 5


@pytest.mark.parametrize("media_type", ["application/json", "application/problem+json"])
@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"null", b'{"error": {"code": 7}}', b"<p>"])
@pytest.mark.parametrize(
    ("status", "advice"),
    [
        (100, f"Is {DOMAIN} the domain"),
        (301, "redirects"),
        (302, "redirects"),
        (304, "redirects"),
        (307, "redirects"),
        (308, "redirects"),
        (400, "Check that client id and client secret belong to"),
        (401, "Check that client id and client secret belong to"),
        (403, "Check that client id and client secret belong to"),
        (404, f"Is {DOMAIN} the domain"),
        (405, f"Is {DOMAIN} the domain"),
        (429, "Too many requests; try again later"),
        (500, "try again later, or ask its support"),
        (502, "try again later, or ask its support"),
        (503, "try again later, or ask its support"),
        (504, "try again later, or ask its support"),
        (555, "try again later, or ask its support"),
        (599, "try again later, or ask its support"),
    ],
)
def test_every_refusal_says_what_to_do(status: int, advice: str, body: bytes, media_type: str) -> None:
    error = refused(answer(body, status=status, media_type=media_type))

    assert advice in str(error)
    assert (WHERE in str(error)) == (status < 429)


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        ("invalid_scope", "no scope was asked for. Check what the client id may do in"),
        ("unsupported_grant_type", "for grant_type=client_credentials, the only one"),
        ("unauthorized_client", "for grant_type=client_credentials, the only one"),
        ("invalid_client", "Check that client id and client secret belong to"),
        ("server_error", "Check that client id and client secret belong to"),
    ],
)
@pytest.mark.parametrize("status", [200, 400, 401, 403])
def test_an_oauth_error_says_what_to_do_also_under_the_status_of_a_success(
    status: int, error: str, advice: str
) -> None:
    document = {"error": error, "error_description": "No"}
    told = refused(answer(document, status=status))

    assert (told.error, told.error_description) == (error, "No")
    assert f"answered {status} (error: {error}, error_description: No). " in str(told)
    assert advice in str(told)
    assert WHERE in str(told).replace("Base,", "Base:")


# A page for people


@pytest.mark.parametrize("status", [100, 400, 401, 403, 405])
def test_a_page_for_people_is_laid_to_a_firewall_and_not_to_the_credentials(status: int) -> None:
    text = str(refused(answer(b"<html>", status=status, media_type="Text/HTML; charset=utf-8")))

    assert "a firewall or a gateway on the way has refused the request" in text
    assert WHERE not in text
    assert "Check that client id" not in text


@pytest.mark.parametrize(
    ("status", "advice"),
    [(302, "redirects"), (404, f"Is {DOMAIN} the domain"), (429, "Too many"), (502, "has a problem")],
)
def test_a_page_for_people_says_no_less_where_the_status_says_enough(status: int, advice: str) -> None:
    text = str(refused(answer(b"<html>", status=status, media_type="text/html")))

    assert advice in text
    assert "firewall" not in text


@pytest.mark.parametrize("status", [400, 403])
def test_a_page_about_a_client_certificate_says_where_to_give_it(status: int) -> None:
    page = b"<html><title>400 No required SSL Certificate was sent</title>"
    text = str(refused(answer(page, status=status, media_type="text/html")))

    assert "needs the one that your other requests have" in text
    assert "session=session" in text
    assert "firewall" not in text


@pytest.mark.parametrize(
    ("page", "title"),
    [
        (b"<title>Just a moment...</title>", "'Just a moment...'"),
        (b"<html><TITLE lang='en'>\n Access\t denied \n</TITLE>", "'Access denied'"),
        (b"<title>403 &mdash; A &amp; B</title>", "'403 — A & B'"),
        ("<title>אין גישה</title>".encode(), "'אין גישה'"),
        (b"<title>never closed", "'never closed'"),
        (b"<title>a\xffb</title><title>another</title>", "'a\ufffdb'"),
    ],
)
@pytest.mark.parametrize("status", [200, 403])
def test_the_title_of_a_page_is_reported(page: bytes, title: str, status: int) -> None:
    text = str(refused(answer(page, status=status, media_type="text/html")))

    assert f"{len(page)} bytes of text/html with the title {title}" in text


@pytest.mark.parametrize(
    ("page", "media_type"),
    [
        (b"<title></title>", "text/html"),
        (b"<title> \n&nbsp;</title>", "text/html"),
        (b"<h1>no title</h1>", "text/html"),
        (b" " * 65_536 + b"<title>too late</title>", "text/html"),
        (b"<title>canary</title>", "text/plain"),
    ],
)
def test_a_page_without_a_title_is_described_without_one(page: bytes, media_type: str) -> None:
    text = str(refused(answer(page, status=403, media_type=media_type)))

    assert f"{len(page)} bytes of {media_type})." in text


def test_a_refusal_that_was_not_read_to_its_end_says_so() -> None:
    text = str(refused(answer(b"<p>", status=401, cut="not at its end after 5 seconds")))

    assert "answered 401 (not at its end after 5 seconds)." in text


# Tokens in refusals, redirects, and when to come again


@pytest.mark.parametrize("status", [0, 100, 199, 300, 302, 400, 401, 429, 500])
def test_a_token_in_a_refusal_is_not_used(status: int) -> None:
    error = refused(answer(GOOD, status=status, Location="https://evil.com/"))

    assert GOOD["access_token"] not in str(error)


@pytest.mark.parametrize(
    "document",
    [
        {"access_token": "\\" * 30 + "x", "error": "\\" * 90},
        {"access_token": "\ud800", "error": "\ud800 %"},
        {"access_token": "%" * 100_000, "error": "%" * 100_000, "message": "%25" * 100_000},
    ],
    ids=["backslashes", "half a character", "long"],
)
def test_an_odd_token_in_a_refusal_does_no_harm(document: dict[str, str]) -> None:
    assert refused(answer(document, status=400)).status == 400


def test_a_token_that_a_refusal_repeats_is_not_shown() -> None:
    document = {**GOOD, "error": "odd", "message": f"could not keep {GOOD['access_token']}!"}
    error = refused(answer(document, status=500))

    assert error.message == "could not keep [hidden]!"
    assert GOOD["access_token"] not in str(error)


@pytest.mark.parametrize("access_token", [None, "", 7, ["no"], {"no": 1}], ids=repr)
def test_what_is_no_token_takes_nothing_out_of_a_refusal(access_token: object) -> None:
    document = {"access_token": access_token, "message": "no 7 times"}

    assert refused(answer(document, status=500)).message == "no 7 times"


def test_a_redirect_is_named_with_its_target() -> None:
    error = refused(answer(b"", status=302, Location="https://login.thebase.co.il/oauth/token"))

    assert "(to https://login.thebase.co.il/oauth/token)" in str(error)


def test_a_redirect_without_a_target_is_survived() -> None:
    assert "(to no location)" in str(refused(answer(b"", status=302)))


@pytest.mark.parametrize(
    ("after", "advice"),
    [
        ("120", "try again in 120 seconds."),
        ("Fri, 31 Dec 1999 23:59:59 GMT", "try again after Fri, 31 Dec 1999 23:59:59 GMT."),
        ("", "try again later."),
        ("\t", "try again later."),
    ],
)
def test_too_many_requests_says_when_to_try_again(after: str, advice: str) -> None:
    assert advice in str(refused(answer(b"", status=429, Retry_After=after)))


@pytest.mark.parametrize("status", [200, 302, 400, 401, 403, 429, 503])
@pytest.mark.parametrize(
    ("after", "seconds"),
    [
        ("120", 120.0),
        (" 7 ", 7.0),
        ("0", 0.0),
        ("999999999", 999_999_999.0),
        ("Tue, 14 Nov 2023 22:14:20 GMT", 60.0),
        ("Tue, 14 Nov 2023 22:13:20 GMT", 0.0),
        ("Fri, 31 Dec 1999 23:59:59 GMT", 0.0),
        ("1234567890", None),
        ("1.5", None),
        ("-1", None),
        ("٣", None),
        ("soon", None),
        ("Tue, 99 Nov 2023 22:14:20 GMT", None),
        ("", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(status: int, after: str, seconds: float | None) -> None:
    error = refused(Answer(status, {"retry-after": after}, b'{"error": "odd"}'))

    assert error.retry_after == seconds


def test_a_server_in_trouble_gives_the_id_that_its_support_needs() -> None:
    error = refused(answer({"instance": "tag:oracle.com,2020:ecid/w4Ub"}, status=500))

    assert "ask its support, naming tag:oracle.com,2020:ecid/w4Ub." in str(error)


@pytest.mark.parametrize("value", ["", None, ["canary"], {"text": "canary"}], ids=repr)
def test_an_error_member_that_is_not_text_counts_as_absent(value: object) -> None:
    names = ("error", "error_description", "code", "message", "instance")
    error = refused(answer(dict.fromkeys(names, value), status=401))

    assert [getattr(error, name) for name in names] == [None] * 5
    assert "canary" not in str(error)


def test_an_error_member_that_is_a_number_is_quoted_as_text() -> None:
    error = refused(answer({"code": 401, "message": "no"}, status=401))

    assert error.code == "401"
    assert "code: 401, message: no" in str(error)


@pytest.mark.parametrize("value", ["\n", " ", "\x1b", "\u200f"], ids=ascii)
def test_an_error_member_with_nothing_to_show_counts_as_absent(value: str) -> None:
    error = refused(answer({"error": value, "message": "No such client"}, status=401))

    assert error.error is None
    assert "answered 401 (message: No such client)" in str(error)


# What a server says reaches logs and terminals


PLACES: dict[str, Callable[[str], Answer]] = {
    **{
        name: lambda said, name=name: answer({name: said}, status=500)  # type: ignore[misc]
        for name in ("error", "error_description", "code", "message", "instance")
    },
    "token_type": lambda said: answer({**GOOD, "token_type": said}),
    "token_type as a list": lambda said: answer({**GOOD, "token_type": [said]}),
    "Location": lambda said: Answer(302, {"location": said}, b""),
    "Retry-After": lambda said: Answer(429, {"retry-after": said}, b""),
    "title": lambda said: Answer(
        403, {"content-type": "text/html"}, f"<title>{said}".encode("utf-8", "replace")
    ),
    "Content-Type of a refusal": lambda said: Answer(401, {"content-type": said}, b"x"),
    "Content-Type of a success": lambda said: Answer(200, {"content-type": said}, b"x"),
}


@pytest.mark.parametrize("echo", [SECRET, BASIC, f"Basic {BASIC}"], ids=["raw", "base64", "header"])
@pytest.mark.parametrize("place", PLACES)
def test_a_secret_that_the_server_echoes_is_hidden(place: str, echo: str) -> None:
    error = refused(PLACES[place](f"you sent {echo}!"))

    assert "[hidden]!" in str(error)
    for shown in (str(error), repr(error), repr(error.args), repr(pickle.dumps(error))):
        assert SECRET not in shown
        assert BASIC not in shown


@pytest.mark.parametrize("place", PLACES)
def test_a_secret_at_the_end_of_a_long_text_is_not_half_shown(place: str) -> None:
    for padding in range(280, 301):
        assert "canary" not in str(refused(PLACES[place]("x" * padding + SECRET)))


@pytest.mark.parametrize("repeated", ["a+c/1==", "a%2Bc%2F1%3D%3D"])
def test_a_token_that_the_server_repeats_in_its_type_is_hidden(repeated: str) -> None:
    error = refused(answer({**GOOD, "access_token": "a+c/1==", "token_type": f"mac {repeated}"}))

    assert repeated not in str(error)
    assert "mac [hidden]" in str(error)


@pytest.mark.parametrize(
    "control",
    ["\n", "\r", "\t", "\x00", "\x1b[31m", "\x7f", "\x9b", "\u2028", "\u202e", "\u200f", "\ud800"],
    ids=ascii,
)
@pytest.mark.parametrize("place", PLACES)
def test_what_a_server_says_stays_on_one_line_without_control_characters(place: str, control: str) -> None:
    text = str(refused(PLACES[place](f"one{control}two")))

    assert "one" in text
    assert control not in text
    assert text.isprintable()
    text.encode()


def test_hebrew_is_quoted_as_it_is() -> None:
    assert "message: אין הרשאה 💫" in str(refused(answer({"message": "אין הרשאה 💫"}, status=401)))


@pytest.mark.parametrize("place", PLACES)
def test_what_a_server_says_is_quoted_up_to_a_limit(place: str) -> None:
    error = refused(PLACES[place]("x" * 100_000))

    assert str(error).count("x") < 1000
    assert "x" * 290 in str(error)
    assert all(len(str(value)) <= 300 for value in error.args[1:])
