"""What lies in a cache: only who holds the secret can find it, read it, or have written it."""

from __future__ import annotations

import base64
import json
import string
import urllib.parse
from collections.abc import Callable
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

NOW = 1_800_000_000.0
TOKEN = Token("SlAV32hkKG.-_~+/=", NOW + 3600)
AS_MEMORY: Callable[[bytes], memoryview] = memoryview


def format_of(
    domain: str = "acme.thebase.co.il", client_id: str = CLIENT_ID, client_secret: str = CLIENT_SECRET
) -> RecordFormat:
    return RecordFormat(Credentials(Origin.of_domain(domain), client_id, client_secret))


FORMAT = format_of()
RECORD = FORMAT.write(TOKEN)

access_tokens = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1)
times = st.none() | st.floats(min_value=NOW, exclude_min=True, allow_infinity=False)


# There and back


@given(access_tokens, times)
def test_a_token_comes_back_as_it_was_written(access_token: str, expires_at: float | None) -> None:
    found = FORMAT.read(FORMAT.write(Token(access_token, expires_at)), NOW)

    assert found is not None
    assert found.access_token == access_token
    assert found.expires_at == expires_at
    assert found.authorization == f"Bearer {access_token}"


@given(st.text(), st.none() | st.floats() | st.integers())
def test_whatever_is_written_can_be_read_and_is_a_line_of_ascii(
    access_token: str, expires_at: float | None
) -> None:
    record = FORMAT.write(Token(access_token, expires_at))

    assert record.isascii()
    assert record.isprintable()
    found = FORMAT.read(record, NOW)
    assert found is None or found.access_token == access_token


def test_a_token_without_expires_at_survives_at_any_time() -> None:
    found = FORMAT.read(FORMAT.write(Token("abc")), 1e12)

    assert found == "abc"
    assert found.expires_at is None


def test_a_record_is_read_as_text_and_as_bytes() -> None:
    assert FORMAT.read(RECORD, NOW) == TOKEN
    assert FORMAT.read(RECORD.encode(), NOW) == TOKEN


def test_the_same_credentials_find_each_others_records() -> None:
    _record._derived.cache_clear()  # as in another process
    other = format_of("https://ACME.TheBase.co.il:443/")

    assert other.key == FORMAT.key
    assert other.read(RECORD, NOW) == TOKEN


def test_a_token_that_was_read_shows_as_little_as_any_other() -> None:
    assert TOKEN.access_token not in repr(FORMAT.read(RECORD, NOW))


# What is not read


@pytest.mark.parametrize(("now", "found"), [(NOW + 3599.9, True), (NOW + 3600, False)])
def test_a_token_past_its_time_is_absent(now: float, found: bool) -> None:
    assert (FORMAT.read(RECORD, now) is not None) is found


def test_a_record_of_another_version_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_record, "_VERSION", 2)
    of_version_two = FORMAT.write(TOKEN)
    assert FORMAT.read(of_version_two, NOW) == TOKEN
    assert FORMAT.read(RECORD, NOW) is None
    monkeypatch.undo()
    assert FORMAT.read(of_version_two, NOW) is None


@pytest.mark.parametrize("content", [[2], [2, "token", None, "more"], [2, {"token": "abc"}]])
def test_a_version_to_come_may_hold_other_things(content: Any) -> None:
    text = json.dumps(content)

    assert FORMAT.read(f"{FORMAT._seal(text.encode()).decode()} {text}", NOW) is None


OTHERS = {
    "secret": format_of(client_secret=CLIENT_SECRET + "."),
    "client id": format_of(client_id=CLIENT_ID + "."),
    "domain": format_of("acme2.thebase.co.il"),
    "scheme and port": format_of("http://127.0.0.1:8000"),
    "port": format_of("http://127.0.0.1:8001"),
}


def test_each_part_of_the_credentials_gives_another_key() -> None:
    keys = [FORMAT.key, *(other.key for other in OTHERS.values())]

    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_a_record_of_other_credentials_is_absent(other: RecordFormat) -> None:
    assert FORMAT.read(other.write(TOKEN), NOW) is None
    assert other.read(RECORD, NOW) is None


def test_what_is_joined_of_domain_client_id_and_secret_cannot_be_cut_elsewhere() -> None:
    keys = {
        format_of("acme.thebase.co.il", "a", "bc").key,
        format_of("acme.thebase.co.il", "ab", "c").key,
        format_of("acme.thebase.co.il", 'a","b', "c").key,
    }

    assert len(keys) == 3


@given(
    st.none()
    | st.text()
    | st.text(st.characters(categories=["Cs", "Nd"]))
    | st.binary()
    | st.integers()
    | st.floats()
    | st.lists(st.text())
    | st.builds(bytearray, st.binary())
    | st.builds(AS_MEMORY, st.binary())
)
def test_whatever_a_cache_gives_is_a_token_of_ours_or_nothing(record: Any) -> None:
    assert FORMAT.read(record, NOW) is None


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_any_json_that_is_not_sealed_is_absent(document: Any) -> None:
    text = json.dumps(document)

    assert FORMAT.read(text, NOW) is None
    assert FORMAT.read(f"{'0' * 64} {text}", NOW) is None
    assert FORMAT.read(f"{RECORD.partition(' ')[0]} {text}", NOW) is None


@pytest.mark.parametrize(
    "content",
    [
        "[" * 100_000,
        '[1, "abc", NaN]',
        '[1, "abc", -Infinity]',
        '[1, "abc", 1' + "0" * 5000 + "]",
        '[1, "\\ud800", null]',
        '[1, "\ud800", null]',
        "[1]",
        "{}",
        "\ufeff[]",
        "\0",
        "",
    ],
)
def test_what_would_trouble_a_json_parser_does_not_get_there(content: str) -> None:
    assert FORMAT.read(content, NOW) is None
    assert FORMAT.read(f"{RECORD.partition(' ')[0]} {content}", NOW) is None


def test_a_record_with_any_one_character_changed_is_absent() -> None:
    others = string.printable + "\0é\ud800"
    for position, character in enumerate(RECORD):
        for other in others:
            if other != character:
                tampered = RECORD[:position] + other + RECORD[position + 1 :]
                assert FORMAT.read(tampered, NOW) is None, (position, other)


def test_a_record_that_was_cut_or_added_to_is_absent() -> None:
    for length in range(len(RECORD)):
        assert FORMAT.read(RECORD[:length], NOW) is None
        assert FORMAT.read(RECORD[length + 1 :], NOW) is None
    for more in (" ", "\n", "]", "\0", RECORD):
        assert FORMAT.read(RECORD + more, NOW) is None
        assert FORMAT.read(more + RECORD, NOW) is None


def test_the_seal_of_one_token_does_not_hold_for_another() -> None:
    other = FORMAT.write(Token("planted", NOW + 3600))
    mixed = f"{RECORD.partition(' ')[0]} {other.partition(' ')[2]}"

    assert FORMAT.read(mixed, NOW) is None


# What can be learnt from it


def forms(text: str) -> set[str]:
    """Ways in which *text* could be found in something else, whatever its upper and lower case."""
    plain = text.encode()
    encoded = {
        text,
        urllib.parse.quote_plus(text),
        plain.hex(),
        *(
            # Base64 of it at each of the three offsets at which it may lie in something longer.
            base64.b64encode(b"\0" * before + plain).decode().rstrip("=")[4 if before else 0 : -2]
            for before in range(3)
        ),
        *(text[start : start + 8] for start in range(len(text) - 7)),
    }
    return {form.lower() for form in encoded}


@pytest.mark.parametrize("secret", [CLIENT_SECRET, "קוד סודי למדי", "p@ss:word&more=100%"])
def test_neither_key_nor_record_shows_the_secret_in_any_form(secret: str) -> None:
    seen = format_of(client_secret=secret)
    shown = f"{seen.key} {seen.write(TOKEN)}".lower()

    for form in forms(secret) | forms(f"{CLIENT_ID}:{secret}"):
        assert form not in shown
    assert secret not in repr(vars(seen))


def test_the_key_is_64_lower_case_hexadecimal_digits_without_client_id_or_domain() -> None:
    assert len(FORMAT.key) == 64
    assert set(FORMAT.key) <= set("0123456789abcdef")


def test_what_a_reader_of_the_cache_sees_does_not_give_the_key_of_the_seal() -> None:
    assert FORMAT._seal_key.hex() not in RECORD + FORMAT.key
    assert len(FORMAT._seal_key) == 32


# For how long it is kept


@pytest.mark.parametrize(
    ("expires_at", "seconds"),
    [(NOW + 60, 60.0), (NOW, 0.0), (NOW - 60, 0.0), (None, None), (float("inf"), None), (float("nan"), None)],
)
def test_a_token_is_kept_until_its_time_is_over(expires_at: float | None, seconds: float | None) -> None:
    assert lifetime(Token("abc", expires_at), NOW) == seconds
