"""Credentials refuse the usual copying slips, make the token request and hide the secret."""

from __future__ import annotations

import base64
import copy
import pickle
import traceback
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from thebase_auth._core.credentials import TOKEN_PATH, TOKEN_REQUEST_BODY, Credentials
from thebase_auth._core.hidden import Hidden
from thebase_auth._core.origin import Origin

# A busy machine is no fault of what is tested.
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

ORIGIN = Origin("https", "acme.thebase.co.il", 443)
CLIENT_ID = "LvTJmqtlvEKyuqvz1brRMg.."
SECRET = "canary-4f1c-K9_x.."
CANARY = "canary"


def credentials(client_id: Any = CLIENT_ID, client_secret: Any = SECRET) -> Credentials:
    return Credentials(ORIGIN, client_id, client_secret)


BAD_VALUES = [
    pytest.param("", "is empty", id="empty"),
    pytest.param(None, "must be text, not NoneType", id="None"),
    pytest.param(CANARY.encode(), "must be text, not bytes", id="bytes"),
    pytest.param(17, "must be text, not int", id="int"),
    pytest.param(" ", "white space", id="blank"),
    pytest.param(f" {CANARY}", "white space", id="leading blank"),
    pytest.param(f"{CANARY} ", "white space", id="trailing blank"),
    pytest.param(f"{CANARY}\n", "white space", id="trailing newline"),
    pytest.param(f"{CANARY}\r\n", "white space", id="trailing line break"),
    pytest.param(f"\t{CANARY}", "white space", id="leading tab"),
    pytest.param(f"\N{NO-BREAK SPACE}{CANARY}", "white space", id="leading no-break space"),
    pytest.param(f"{CANARY}\u2028", "white space", id="trailing line separator"),
    pytest.param(f"{CANARY}\nx", "U+000A", id="newline inside"),
    pytest.param(f"{CANARY}\r\nX-Evil: 1", "U+000D", id="header inside"),
    pytest.param(f"{CANARY}\tx", "U+0009", id="tab inside"),
    pytest.param(f"{CANARY}\x00x", "U+0000", id="null inside"),
    pytest.param(f"{CANARY}\x7f", "U+007F", id="delete"),
    pytest.param(f"{CANARY}\x9b1m", "U+009B", id="C1 control character"),
    pytest.param(f"{CANARY}\u2028x", "U+2028", id="line separator inside"),
    pytest.param(f"{CANARY}\u2029x", "U+2029", id="paragraph separator inside"),
    pytest.param(f"\u200f{CANARY}", "U+200F", id="direction mark in front"),
    pytest.param(f"{CANARY}\u200e", "U+200E", id="direction mark behind"),
    pytest.param(f"{CANARY}\u200bx", "U+200B", id="zero-width space"),
    pytest.param(f"\ufeff{CANARY}", "U+FEFF", id="byte order mark"),
    pytest.param(f"{CANARY}\ud800x", "U+D800", id="lone surrogate"),
]


def assert_not_shown(error: BaseException) -> None:
    shown = "".join(traceback.format_exception_only(error)) + repr(error) + repr(error.args)
    assert CANARY not in shown


@pytest.mark.parametrize(("value", "complaint"), BAD_VALUES)
def test_a_client_id_that_cannot_be_right_is_refused(value: object, complaint: str) -> None:
    with pytest.raises(ValueError) as caught:
        credentials(client_id=value)

    assert type(caught.value) is ValueError
    assert str(caught.value).startswith("client id ")
    assert complaint in str(caught.value)
    assert_not_shown(caught.value)


@pytest.mark.parametrize(("value", "complaint"), BAD_VALUES)
def test_a_client_secret_that_cannot_be_right_is_refused(value: object, complaint: str) -> None:
    with pytest.raises(ValueError) as caught:
        credentials(client_secret=value)

    assert type(caught.value) is ValueError
    assert str(caught.value).startswith("client secret ")
    assert complaint in str(caught.value)
    assert_not_shown(caught.value)


@pytest.mark.parametrize("client_id", [f"{CANARY}:secret", f":{CANARY}", f"{CANARY}:", ":"])
def test_a_client_id_with_a_colon_is_refused(client_id: str) -> None:
    with pytest.raises(ValueError, match="client id has a colon") as caught:
        credentials(client_id=client_id)

    assert_not_shown(caught.value)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("LvTJmqtlvEKyuqvz1brRMg..", id="two dots at the end"),
        pytest.param("-vTJmqtlvEKyuqvz1brRM_..", id="leading hyphen"),
        pytest.param("_", id="one character"),
        pytest.param("two words", id="blank inside"),
        pytest.param("סוד", id="Hebrew"),
        pytest.param("100%25+x&y=z/", id="characters that a form would escape"),
    ],
)
def test_a_chosen_id_or_secret_is_taken_as_it_is(value: str) -> None:
    made = credentials(value, value)

    assert (made.client_id, made.client_secret.reveal()) == (value, value)


def test_a_secret_may_have_a_colon() -> None:
    header = credentials(client_secret="a:b:c").token_request_headers(None)["Authorization"]

    assert isinstance(header, str)
    assert base64.b64decode(header.removeprefix("Basic ")) == f"{CLIENT_ID}:a:b:c".encode()


@pytest.mark.parametrize(
    ("client_id", "client_secret", "header"),
    [
        # RFC 7617 section 2
        pytest.param("Aladdin", "open sesame", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", id="section 2"),
        # RFC 7617 section 2.1: test, and 123 with a pound sign, in UTF-8
        pytest.param("test", "123\u00a3", "Basic dGVzdDoxMjPCow==", id="section 2.1"),
        # RFC 6749 section 2.3.1 shows this pair
        pytest.param(
            "s6BhdRkqt3",
            "7Fjfp0ZBr1KtDRbnfVdmIw",
            "Basic czZCaGRSa3F0Mzo3RmpmcDBaQnIxS3REUmJuZlZkbUl3",
            id="RFC 6749",
        ),
    ],
)
def test_the_token_request_authenticates_by_basic(client_id: str, client_secret: str, header: str) -> None:
    headers = credentials(client_id, client_secret).token_request_headers(None)

    assert headers["Authorization"] == header


def test_a_long_secret_does_not_break_the_header_into_lines() -> None:
    header = credentials(client_secret="s" * 4000).token_request_headers(None)["Authorization"]

    assert "\n" not in header


def test_the_token_request_is_that_of_the_vendors_page() -> None:
    headers = credentials().token_request_headers(None)

    assert TOKEN_PATH == "/oauth/token"
    assert credentials().token_url == "https://acme.thebase.co.il/oauth/token"
    assert TOKEN_REQUEST_BODY == b"grant_type=client_credentials"
    assert set(headers) == {"Accept", "Authorization", "Content-Type"}
    assert headers["Accept"] == "application/json"
    assert headers["Content-Type"] == "application/x-www-form-urlencoded"


@pytest.mark.parametrize("user_agent", ["a program/1.0", b"a program/1.0"])
def test_the_token_request_has_the_user_agent_of_the_request_that_needs_it(user_agent: str | bytes) -> None:
    headers = credentials().token_request_headers(user_agent)

    assert headers == {**credentials().token_request_headers(None), "User-Agent": user_agent}


def test_domain_and_token_url_name_a_port_that_is_not_the_default() -> None:
    made = Credentials(Origin("http", "[::1]", 8000), CLIENT_ID, SECRET)

    assert made.domain == "[::1]:8000"
    assert made.token_url == "http://[::1]:8000/oauth/token"


def test_credentials_do_not_show_the_secret() -> None:
    encoded = base64.b64encode(f"{CLIENT_ID}:{SECRET}".encode()).decode()
    headers = credentials().token_request_headers(None)

    assert type(headers["Authorization"]) is str  # as tools that record requests expect
    for shown in (repr(credentials()), str(credentials()), repr(credentials().client_secret)):
        assert SECRET not in shown
        assert encoded not in shown


def test_one_call_may_change_its_headers_without_changing_anothers() -> None:
    made = credentials()
    made.token_request_headers(None).clear()

    assert str(made.token_request_headers(None)["Authorization"]).startswith("Basic ")


@pytest.mark.parametrize(
    "again",
    [copy.copy, copy.deepcopy, lambda made: pickle.loads(pickle.dumps(made))],
    ids=["copy", "deepcopy", "pickle"],
)
def test_a_copy_of_credentials_is_as_good_and_hides_as_much(
    again: Callable[[Credentials], Credentials],
) -> None:
    made = again(credentials())

    assert (made.origin, made.client_id, made.client_secret.reveal()) == (ORIGIN, CLIENT_ID, SECRET)
    assert made.token_request_headers(None) == credentials().token_request_headers(None)
    assert CANARY not in repr(made) + repr(made.client_secret)


def test_a_traceback_with_variables_of_a_refusal_does_not_show_the_secret() -> None:
    with pytest.raises(ValueError, match="colon") as caught:
        Credentials(ORIGIN, "id:", Hidden(SECRET))

    report = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    report.stack = traceback.StackSummary.from_list(list(report.stack)[1:])  # ours, not the test's
    assert len(report.stack) > 0
    assert CANARY not in "".join(report.format())


SECRETS = st.text(st.characters(min_codepoint=33, max_codepoint=126)).map("canary~{}".format)


@unhurried
@given(SECRETS, st.text(max_size=20), st.text(max_size=20))
def test_a_servers_text_is_shown_without_the_secret(secret: str, before: str, after: str) -> None:
    made = credentials(client_secret=secret)
    encoded = base64.b64encode(f"{CLIENT_ID}:{secret}".encode()).decode()
    text = f"{before}{secret}{after} Basic {encoded} {secret}{secret}"

    redacted = made.redact(text)

    assert secret not in redacted
    assert encoded not in redacted
    assert redacted.endswith("[hidden] [hidden][hidden]")


def test_a_text_without_the_secret_stays_as_it_is() -> None:
    assert credentials().redact(f"no client {CLIENT_ID}") == f"no client {CLIENT_ID}"


NO_DOTS = " The client id does not end in two dots, as those that TheBase makes do."
SWAPPED = (
    " The client secret looks like those that TheBase makes, the client id does not: was it copied whole, or"
    " are the two swapped?"
)


@pytest.mark.parametrize(
    ("client_id", "client_secret", "told"),
    [
        ("abc..", "def..", ""),
        ("abc..", "abc..", " Client id and client secret are the same; was one of them copied twice?"),
        ("my own secret", "LvTJmqtlvEKyuqvz1brRMg..", SWAPPED),
        ("LvTJmqtlvEKyuqvz1brRM..", "LvTJmqtlvEKyuqvz1brRMg..", SWAPPED),
        ("HsXI8gp1B5F2d5EDnGy3Tw..", "LvTJmqtlvEKyuqvz1brRMg..", ""),
        ("HsXI8gp1B5F2d5EDnGy3Tw", "LvTJmqtlvEKyuqvz1brRMg..", NO_DOTS),
        ("HsXI8gp1B5F2d5EDnGy3Tw", "my own secret..", NO_DOTS),
        ("abc", "def..", " The client id does not end in two dots, as those that TheBase makes do."),
        ("'HsXI8gp1B5F2d5EDnGy3Tw..'", "LvTJmqtlvEKyuqvz1brRMg..",
         " The client id is in quotation marks; were they copied along?"),
        ("abc..", "de.", " The client secret does not end in two dots, as those that TheBase makes do."),
        ("abc..", "d...", " The client secret does not end in two dots, as those that TheBase makes do."),
        ("abc..", '"d.."', " The client secret is in quotation marks; were they copied along?"),
        ("'a..'", "d..", " The client id is in quotation marks; were they copied along?"),
        ("'a..", "d..", ""),
    ],
)  # fmt: skip
def test_slips_of_copying_are_reported_without_the_value(
    client_id: str, client_secret: str, told: str
) -> None:
    origin = Origin.of_domain("acme.thebase.co.il")
    assert Credentials(origin, client_id, client_secret).slips() == told
