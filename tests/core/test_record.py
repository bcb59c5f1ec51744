"""A record in a cache: without the secret, nobody can find it, forge it, or read the secret from it."""

from __future__ import annotations

import base64
import json
import time
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

TOKEN = Token("SlAV32hkKG.-_~+/=", time.time() + 3600)


def format_of(
    domain: str = "acme.thebase.co.il", client_id: str = CLIENT_ID, client_secret: str = CLIENT_SECRET
) -> RecordFormat:
    return RecordFormat(Credentials(Origin.of_domain(domain), client_id, client_secret))


FORMAT = format_of()
RECORD = FORMAT.write(TOKEN)


@pytest.mark.parametrize("expires_at", [None, 4e9])
def test_token_is_read_as_it_was_written_also_by_another_process(expires_at: float | None) -> None:
    record = FORMAT.write(Token('!"SlAV~', expires_at))
    _record._derived.cache_clear()  # as in another process
    other = format_of("https://ACME.TheBase.co.il:443/")
    assert record.isascii()
    assert record.isprintable()
    assert other.key == FORMAT.key
    for form in (record, record.encode()):
        found = other.read(form)
        assert found is not None
        assert (found.access_token, found.expires_at) == ('!"SlAV~', expires_at)
        assert found.is_from_cache


# What is not read


def test_expired_token_is_absent() -> None:
    assert FORMAT.read(FORMAT.write(Token("abc", time.time()))) is None


@pytest.mark.parametrize("content", [[2, "token", None], [2], [2, {}]])
def test_record_of_a_later_version_is_absent(content: Any) -> None:
    text = json.dumps(content)
    assert FORMAT.read(f"{FORMAT._seal(text.encode()).decode()} {text}") is None


OTHERS = {
    "secret": format_of(client_secret=CLIENT_SECRET + "."),
    "client id": format_of(client_id=CLIENT_ID + "."),
    "domain": format_of("acme2.thebase.co.il"),
    "port": format_of("acme.thebase.co.il:8443"),
    "cut elsewhere": format_of(client_id=CLIENT_ID[:-1], client_secret=CLIENT_ID[-1] + CLIENT_SECRET),
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_record_of_other_credentials_has_another_key_and_is_absent(other: RecordFormat) -> None:
    assert other.key != FORMAT.key
    assert FORMAT.read(other.write(TOKEN)) is None


@given(st.none() | st.text(st.characters()) | st.binary() | st.integers() | st.lists(st.text()))
def test_anything_else_from_a_cache_is_absent(record: Any) -> None:
    assert FORMAT.read(record) is None
    if isinstance(record, str):
        assert FORMAT.read(f"{seal_of(RECORD)} {record}") is None


def seal_of(record: str) -> str:
    return record.partition(" ")[0]


CHANGES: dict[str, Callable[[str], str]] = {
    "end": lambda record: record[:-1],
    "token": lambda record: record.replace("SlAV", "SlAW"),
    "time": lambda record: record.replace(f"{TOKEN.expires_at}", "null"),
    "planted": lambda record: f"{seal_of(record)} {FORMAT.write(Token('planted')).partition(' ')[2]}",
    "empty": lambda record: "",
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_changed_record_is_absent_and_not_parsed(
    change: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = change(FORMAT.write(TOKEN))
    monkeypatch.setattr(json, "loads", pytest.fail)
    assert FORMAT.read(changed) is None


# What it shows


def test_neither_key_nor_record_shows_the_secret() -> None:
    shown = f"{FORMAT.key} {RECORD} {vars(FORMAT)}"
    pair = f"{CLIENT_ID}:{CLIENT_SECRET}".encode()
    for form in (CLIENT_SECRET, CLIENT_SECRET.encode().hex(), base64.b64encode(pair).decode()):
        assert form not in shown
    assert len(FORMAT.key) == 64
    assert set(FORMAT.key) <= set("0123456789abcdef")
    assert FORMAT._seal_key.hex() not in RECORD + FORMAT.key


def test_lifetime_is_the_time_left_until_the_token_expires() -> None:
    assert lifetime(Token("abc", time.time() + 60)) == pytest.approx(60, abs=2)
    assert lifetime(Token("abc", time.time() - 60)) == 0
    assert lifetime(Token("abc", time.time() + 1e9)) == 30 * 24 * 3600
    assert lifetime(Token("abc")) == 3600
