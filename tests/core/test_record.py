"""A record in a cache: without the secret, nobody can find it, forge it, or read the secret from it."""

from __future__ import annotations

import base64
import json
import string
import time
import urllib.parse
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.clients import CLIENT_ID, CLIENT_SECRET
from thebase_auth import Token
from thebase_auth._core.credentials import Credentials
from thebase_auth._core.origin import Origin
from thebase_auth.caches import _record
from thebase_auth.caches._record import RecordFormat, lifetime

TOKEN = Token("SlAV32hkKG.-_~+/=", time.time() + 3600)


def format_of(
    domain: str = "acme.thebase.co.il", client_id: str = CLIENT_ID, client_secret: str = CLIENT_SECRET
) -> RecordFormat:
    return RecordFormat(Credentials(Origin.of_domain(domain), client_id, client_secret))


FORMAT = format_of()
RECORD = FORMAT.write(TOKEN)
SEAL = RECORD.partition(" ")[0]

access_tokens = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1)
times = st.none() | st.floats(min_value=4e9, allow_infinity=False)


@given(access_tokens, times)
def test_token_is_read_as_it_was_written(access_token: str, expires_at: float | None) -> None:
    record = FORMAT.write(Token(access_token, expires_at))
    assert record.isascii()
    assert record.isprintable()
    for form in (record, record.encode()):
        found = FORMAT.read(form)
        assert found is not None
        assert (found.access_token, found.expires_at) == (access_token, expires_at)
        assert found.is_from_cache


def test_same_credentials_read_each_others_records() -> None:
    _record._derived.cache_clear()  # as in another process
    other = format_of("https://ACME.TheBase.co.il:443/")
    assert other.key == FORMAT.key
    assert other.read(RECORD) == TOKEN


# What is not read


def test_expired_token_is_absent() -> None:
    assert FORMAT.read(FORMAT.write(Token("abc", time.time()))) is None


@pytest.mark.parametrize("content", [[2, "token", None], [2], [2, "token", None, "more"], [2, {}]])
def test_record_of_a_later_version_is_absent(content: Any) -> None:
    text = json.dumps(content)
    assert FORMAT.read(f"{FORMAT._seal(text.encode()).decode()} {text}") is None


OTHERS = {
    "secret": format_of(client_secret=CLIENT_SECRET + "."),
    "client id": format_of(client_id=CLIENT_ID + "."),
    "domain": format_of("acme2.thebase.co.il"),
    "scheme and port": format_of("http://127.0.0.1:8000"),
    "port": format_of("http://127.0.0.1:8001"),
    "cut elsewhere": format_of(client_id=CLIENT_ID[:-1], client_secret=CLIENT_ID[-1] + CLIENT_SECRET),
}


def test_each_part_of_the_credentials_changes_the_key() -> None:
    assert len({FORMAT.key, *(other.key for other in OTHERS.values())}) == 1 + len(OTHERS)


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_record_of_other_credentials_is_absent(other: RecordFormat) -> None:
    assert FORMAT.read(other.write(TOKEN)) is None


@given(st.none() | st.text() | st.text(st.characters(categories=["Cs", "Nd"])) | st.binary() | st.integers()
       | st.lists(st.text()) | st.builds(bytearray, st.binary()))  # fmt: skip
def test_anything_else_from_a_cache_is_absent(record: Any) -> None:
    assert FORMAT.read(record) is None
    if isinstance(record, str):
        assert FORMAT.read(f"{SEAL} {record}") is None


@pytest.mark.parametrize("content", ["[" * 100_000, '[1, "abc", NaN]', '[1, "\ud800", null]', "{}", "\0", ""])
def test_unsealed_json_is_not_parsed(content: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json, "loads", pytest.fail)
    assert FORMAT.read(content) is None
    assert FORMAT.read(f"{SEAL} {content}") is None


def test_record_with_one_character_changed_is_absent() -> None:
    for position, character in enumerate(RECORD):
        for other in set(string.printable + "\0é\ud800") - {character}:
            assert FORMAT.read(RECORD[:position] + other + RECORD[position + 1 :]) is None, (position, other)


def test_truncated_or_extended_record_is_absent() -> None:
    for length in range(len(RECORD)):
        assert FORMAT.read(RECORD[:length]) is None
        assert FORMAT.read(RECORD[length + 1 :]) is None
    for more in (" ", "\n", "]", "\0", RECORD):
        assert FORMAT.read(RECORD + more) is None
        assert FORMAT.read(more + RECORD) is None


def test_seal_of_one_token_is_invalid_for_another() -> None:
    other = FORMAT.write(Token("planted", time.time() + 3600))
    assert FORMAT.read(f"{SEAL} {other.partition(' ')[2]}") is None


# What it shows


def forms(text: str) -> set[str]:
    """Ways in which *text* could be found in something else, in lower case."""
    plain = text.encode()
    # Base64 of it at each of the three offsets at which it may lie in something longer.
    encoded = [base64.b64encode(b"\0" * before + plain).decode().rstrip("=") for before in range(3)]
    cores = [one[4 if before else 0 : -2] for before, one in enumerate(encoded)]
    parts = [text[start : start + 8] for start in range(len(text) - 7)]
    return {form.lower() for form in (text, urllib.parse.quote_plus(text), plain.hex(), *cores, *parts)}


@pytest.mark.parametrize("secret", [CLIENT_SECRET, "קוד סודי למדי", "p@ss:word&more=100%"])
def test_neither_key_nor_record_shows_the_secret_in_any_form(secret: str) -> None:
    seen = format_of(client_secret=secret)
    shown = f"{seen.key} {seen.write(TOKEN)}".lower()
    for form in forms(secret) | forms(f"{CLIENT_ID}:{secret}"):
        assert form not in shown
    assert secret not in repr(vars(seen))


def test_key_is_64_hexadecimal_digits_and_unlike_the_key_of_the_seal() -> None:
    assert len(FORMAT.key) == 64
    assert set(FORMAT.key) <= set("0123456789abcdef")
    assert FORMAT._seal_key.hex() not in RECORD + FORMAT.key


def test_lifetime_is_the_time_left_until_the_token_expires() -> None:
    assert lifetime(Token("abc", time.time() + 60)) == pytest.approx(60, abs=2)
    assert lifetime(Token("abc", time.time() - 60)) == 0
    assert lifetime(Token("abc")) is None
