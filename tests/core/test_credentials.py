"""Credentials that cannot be right are rejected, and the secret is in the token request alone."""

from __future__ import annotations

import base64
import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from thebase_auth._core.credentials import TOKEN_REQUEST_BODY, Credentials, Secret, hidden
from thebase_auth._core.origin import Origin

ORIGIN = Origin("https", "acme.thebase.co.il", 443)
CLIENT_ID = "LvTJmqtlvEKyuqvz1brRMg.."
CANARY = "canary"
SECRET = f"{CANARY}-4f1c-K9_x.."
COPIES = [copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))]


def credentials(client_id: Any = CLIENT_ID, client_secret: Any = SECRET) -> Credentials:
    return Credentials(ORIGIN, client_id, client_secret)


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ("", "is empty"),
        (CANARY.encode(), "must be text, not bytes"),
        (f"{CANARY}\r\n", "white space"),
        (f"\N{NO-BREAK SPACE}{CANARY}", "white space"),
        (f"{CANARY}\r\nX-Evil: 1", "U+000D"),
        (f"{CANARY}\x00x", "U+0000"),
        (f"{CANARY}\u2029x", "U+2029"),
        (f"\u200f{CANARY}", "U+200F"),
        (f"{CANARY}\ud800x", "U+D800"),
    ],
)
def test_invalid_id_or_secret_is_an_error_that_does_not_show_it(value: object, complaint: str) -> None:
    for name, make in [("id", lambda: credentials(value)), ("secret", lambda: credentials(CLIENT_ID, value))]:
        with pytest.raises(ValueError) as caught:
            make()
        assert str(caught.value).startswith(f"client {name} ")
        assert complaint in str(caught.value)
        assert CANARY not in repr(caught.value)


def test_client_id_with_a_colon_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="client id has a colon") as caught:
        credentials(f"{CANARY}:x")

    assert CANARY not in repr(caught.value)


@pytest.mark.parametrize(
    ("client_id", "client_secret", "header"),
    [
        ("Aladdin", "open sesame", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),  # RFC 7617 section 2
        ("test", "123\u00a3", "Basic dGVzdDoxMjPCow=="),  # section 2.1
        ("100%25+x&y=z", "a:b..", f"Basic {base64.b64encode(b'100%25+x&y=z:a:b..').decode()}"),  # as they are
    ],
)
def test_token_request_authenticates_with_basic(client_id: str, client_secret: str, header: str) -> None:
    headers = credentials(client_id, client_secret).token_request_headers("a program/1.0")

    assert headers == {
        "Accept": "application/json",
        "Authorization": header,
        "Content-Type": "application/x-www-form-urlencoded",
        "User-Agent": "a program/1.0",
    }
    assert TOKEN_REQUEST_BODY == b"grant_type=client_credentials"
    assert "User-Agent" not in credentials().token_request_headers(None)


def test_domain_and_token_url_name_a_port_that_is_not_the_default() -> None:
    made = Credentials(Origin("http", "[::1]", 8000), CLIENT_ID, SECRET)

    assert (made.domain, made.token_url) == ("[::1]:8000", "http://[::1]:8000/oauth/token")


def test_text_of_a_server_is_shown_without_the_secret() -> None:
    basic = str(credentials().token_request_headers(None)["Authorization"])

    assert credentials().redact(f"{SECRET} {basic} {SECRET}{SECRET}{CLIENT_ID}") == (
        f"[hidden] Basic [hidden] [hidden][hidden]{CLIENT_ID}"
    )


@pytest.mark.parametrize("copied", [lambda secret: secret, *COPIES])
def test_secret_and_its_copies_are_not_shown(copied: Callable[[Any], Any]) -> None:
    secret = copied(Secret(SECRET))

    assert secret.reveal() == SECRET
    assert not isinstance(secret, str)  # tools cut strings before they ask for a repr
    assert str([secret]) == "['[hidden]']"


def test_only_text_is_hidden() -> None:
    secret = hidden(SECRET)

    assert secret.reveal() == SECRET
    assert hidden(secret) is secret
    assert hidden(None) is None
