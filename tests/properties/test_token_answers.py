"""Whatever bytes the token endpoint answers: a token, or the one error, which shows nothing secret.

Kept out of an error are the secret and the Basic value as they were sent, in whatever way JSON or a URL
escapes them, and the access token of the very answer. No other encoding is promised: a server could think
of any.
"""

from __future__ import annotations

import base64
import codecs
import json
import math
import pickle
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from requests.structures import CaseInsensitiveDict

import thebase_auth
from tests.properties import looked_at
from thebase_auth import httpx2 as for_httpx2
from thebase_auth import requests as for_requests
from thebase_auth._core.credentials import Credentials
from thebase_auth._core.errors import TokenRequestError, bind
from thebase_auth._core.origin import Origin
from thebase_auth._core.token import Answer, Token, parse_token_response

NOW = 1_700_000_000.0
ORIGIN = Origin("https", "acme.thebase.co.il", 443)
MEMBERS = ("access_token", "token_type", "expires_in", "error", "error_description", "code", "message",
           "instance", "משהו")  # fmt: skip

# As TheBase makes them; and with what JSON, URLs, base64 and repr() escape.
SECRETS = ["kZ3mY0o7TqWc1uXv9sBf2Q..", "kZ3/m+Y0=o7\"T'q\\W%c&1", "סוד שמור היטב 💫"]
CREDENTIALS = st.sampled_from(
    [Credentials(ORIGIN, client_id, secret) for secret in SECRETS for client_id in ("Lv..", "Lv...")]
)
# Long enough to stand in no text by chance.
ACCESS_TOKENS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E)).map("t0k~{}".format)


def basic(credentials: Credentials) -> str:
    both = f"{credentials.client_id}:{credentials.client_secret.reveal()}"
    return base64.b64encode(both.encode()).decode()


# Documents that a server could send, as text: json.dumps makes only those that it likes itself.


def escaped(text: str) -> str:
    return '"' + "".join(f"\\u{ord(c):04x}" for c in text if ord(c) < 0x10000) + '"'


STRINGS = st.one_of(
    st.text(max_size=20).map(json.dumps),
    st.text(max_size=20).map(lambda text: json.dumps(text, ensure_ascii=False)),
    st.text(max_size=10).map(escaped),
    st.sampled_from([r'"\ud800"', r'"\udc00\ud800"', r'"\u0000"', '"\x00"', r'"\x"', '"open', '"\n"']),
)
NUMBERS = st.one_of(
    st.integers().map(str),
    st.floats().map(json.dumps),
    st.sampled_from(["NaN", "Infinity", "-Infinity", "1e999", "-0", "01", "1.", "0x1F", "1_000"]),
    st.integers(300, 6000).map("9".__mul__),
)
DEEP = st.builds(
    lambda opening, closing, depth, cut: opening * depth + "1" + closing * (depth - cut),
    *(st.just("["), st.just("]")), st.integers(1, 3000), st.integers(0, 1)
) | st.builds(lambda depth: '{"a":' * depth + "1" + "}" * depth, st.integers(1, 3000))  # fmt: skip
ATOMS = STRINGS | NUMBERS | st.sampled_from(["null", "true", "false", "nil", "", '"bearer"', '"BEARER"'])


def joined_object(members: list[tuple[str, str]]) -> str:
    return "{" + ", ".join(f"{name}: {value}" for name, value in members) + "}"


def objects(values: st.SearchStrategy[str], *, max_size: int = 4) -> st.SearchStrategy[str]:
    """Objects whose names may come twice, or be no strings."""
    names = st.sampled_from(MEMBERS).map(json.dumps) | ATOMS
    return st.lists(st.tuples(names, values), max_size=max_size).map(joined_object)


NESTED = st.recursive(
    ATOMS,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]") | objects(inner, max_size=3)
    ),
    max_leaves=6,
)


@st.composite
def documents(draw: st.DrawFn, credentials: Credentials, access_token: str) -> str:
    """An object with the members that we read, each of them of any type, with or without an echo."""
    token = json.dumps(access_token)
    echoes = [
        credentials.client_secret.reveal(),
        basic(credentials),
        f"Basic {basic(credentials)}",
        access_token,
    ]
    echo = st.sampled_from(echoes).flatmap(
        lambda said: st.sampled_from([
            json.dumps(f"you sent {said}!"), json.dumps([said]), json.dumps({said: said}),
            json.dumps(said, ensure_ascii=False), escaped(said), json.dumps(quote(said, safe="")),
            json.dumps("x" * 290 + said), json.dumps(f"https://a/?b={quote(said)}"),
        ])
    )  # fmt: skip
    values = {
        "access_token": st.just(token) | NESTED | echo,
        "token_type": st.just('"bearer"') | NESTED | echo,
        "expires_in": NUMBERS | NESTED,
    }
    members = draw(st.lists(st.sampled_from(MEMBERS), max_size=8))
    pairs = [(json.dumps(name), draw(values.get(name, NESTED | echo | DEEP))) for name in members]
    return joined_object(pairs)


ENCODINGS: list[Callable[[str], bytes]] = [
    lambda text: text.encode("utf-8", "surrogatepass"),
    lambda text: codecs.BOM_UTF8 + text.encode("utf-8", "surrogatepass"),
    lambda text: text.encode("utf-16", "surrogatepass"),
    lambda text: text.encode("utf-16-be", "surrogatepass"),
    lambda text: text.encode("utf-32-le", "surrogatepass"),
    lambda text: text.encode("latin-1", "replace"),
    lambda text: text.encode("utf-8", "surrogatepass")[:-1],
    lambda text: b"\r\n\t " + text.encode("utf-8", "surrogatepass") + b" \n",
    lambda text: text.encode("utf-8", "surrogatepass") + b"\x00",
    lambda text: f"<html>{text}</html>".encode("utf-8", "surrogatepass"),
]


@st.composite
def header_mappings(draw: st.DrawFn, credentials: Credentials) -> Mapping[str, str]:
    """Headers as each library gives them, and as a plain mapping."""
    said = st.sampled_from([credentials.client_secret.reveal(), basic(credentials)])
    values = st.one_of(
        st.text(max_size=20),
        said,
        said.map("https://a.example/?sent={}".format),
        said.map(lambda text: f"https://a.example/{quote(text, safe='')}#top"),
    )
    names = st.sampled_from(["content-type", "Content-Type", "LOCATION", "location", "Retry-After", "x"])
    headers = draw(st.dictionaries(names, values, max_size=4))
    kind = draw(st.sampled_from(["dict", "requests", "httpx"]))
    if kind == "dict":
        return headers
    if kind == "requests":
        return CaseInsensitiveDict(headers)
    raw = [(name.encode(), text.encode("utf-8", "surrogatepass")) for name, text in headers.items()]
    return httpx.Headers(raw)


STATUSES = st.sampled_from([200, 201, 204, 302, 307, 400, 401, 404, 429, 500, 503]) | st.integers()


PACKAGE = str(Path(thebase_auth.__file__).parent)


def shown_by(error: TokenRequestError) -> str:
    """All that can be seen of an error, also by an error report that prints variables."""
    frames = traceback.TracebackException.from_exception(error, capture_locals=True)
    ours = [str(one.locals) for one in frames.stack if one.filename.startswith(PACKAGE)]
    assert ours
    return f"{error}\n{error!r}\n{error.args}\n{vars(error)}\n{pickle.dumps(error)!r}\n{ours}"


def assert_is_the_one_error(error: BaseException, status: int) -> TokenRequestError:
    assert type(error) is TokenRequestError
    assert str(error).isprintable()
    assert 0 < len(str(error)) < 3000
    assert (error.domain, error.status) == (ORIGIN.host, status)
    assert error.__cause__ is None
    assert error.__context__ is None
    for value in (*error.args, *vars(error).values()):
        assert value is None or type(value) in (str, int, float)
    assert tuple(vars(error).values()) == error.args[1:]
    for kind in (error, *(bind(error, (one.TokenRequestError,), None) for one in (for_requests, for_httpx2))):
        for again in (pickle.loads(pickle.dumps(kind)), type(kind)(*kind.args)):
            assert (type(again), str(again), again.args) == (type(kind), str(error), error.args)
    return error


def forms(secret: str) -> list[str]:
    """A secret as it is, and as JSON and a URL escape it, if that is another text."""
    return [secret, json.dumps(secret)[1:-1], quote(secret), quote(secret, safe=""), repr(secret)[1:-1]]


def assert_shows_no_secret(error: TokenRequestError, credentials: Credentials, token: str) -> None:
    shown = shown_by(error)
    for secret in (credentials.client_secret.reveal(), basic(credentials)):
        assert [form for form in forms(secret) if form in shown] == []
    assert token not in shown


@looked_at(times=3)
@given(STATUSES, st.binary(max_size=200), st.data())
def test_any_bytes_are_a_token_or_the_one_error(status: int, body: bytes, data: st.DataObject) -> None:
    credentials = data.draw(CREDENTIALS)
    answer = Answer(status, data.draw(header_mappings(credentials)), body)
    try:
        token = parse_token_response(answer, credentials=credentials, epoch=NOW)
    except Exception as error:
        assert_shows_no_secret(assert_is_the_one_error(error, status), credentials, "no token")
    else:
        assert_is_usable(token, status)


def assert_is_usable(token: Token, status: int) -> None:
    assert type(token) is Token
    assert 200 <= status < 300
    assert token.access_token
    assert all("\x21" <= character <= "\x7e" for character in token.access_token)
    assert token.authorization == f"Bearer {token.access_token}"
    assert token.expires_at is None or NOW < token.expires_at < math.inf
    assert repr(token) == f"Token(expires_at={token.expires_at!r})"


@looked_at(times=3)
@given(STATUSES, st.sampled_from(ENCODINGS), ACCESS_TOKENS, st.data())
def test_any_document_is_a_token_or_the_one_error_and_an_echo_is_not_shown(
    status: int, encode: Callable[[str], bytes], access_token: str, data: st.DataObject
) -> None:
    credentials = data.draw(CREDENTIALS)
    body = encode(data.draw(documents(credentials, access_token) | NESTED))
    answer = Answer(status, data.draw(header_mappings(credentials)), body)
    try:
        token = parse_token_response(answer, credentials=credentials, epoch=NOW)
    except Exception as error:
        given = read(body).get("access_token")
        assert_shows_no_secret(
            assert_is_the_one_error(error, status),
            credentials,
            access_token if given == access_token else "no token",
        )
    else:
        assert_is_usable(token, status)


def read(body: bytes) -> dict[str, Any]:
    """The object in *body*, if there is one."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


@given(st.binary(min_size=1, max_size=3), st.integers(0, 200), st.integers(0, 200), STATUSES)
def test_a_good_answer_that_was_damaged_on_its_way_is_a_token_or_the_one_error(
    damage: bytes, at: int, until: int, status: int
) -> None:
    document: dict[str, Any] = {"access_token": "t0k~n", "token_type": "bearer", "expires_in": 3600}
    body = json.dumps(document | {"error": "x", "instance": "y"}).encode()
    damaged = body[:at] + damage + body[max(at, until) :]
    credentials = Credentials(ORIGIN, "Lv..", SECRETS[0])
    try:
        token = parse_token_response(Answer(status, {}, damaged), credentials=credentials, epoch=NOW)
    except Exception as error:
        assert_shows_no_secret(assert_is_the_one_error(error, status), credentials, "t0k~n")
    else:
        assert_is_usable(token, status)


@pytest.mark.parametrize("status", [200, 401])
@given(depth=st.integers(1, 5000))
def test_no_depth_is_another_error(status: int, depth: int) -> None:
    body = b'{"access_token": "abc", "token_type": ' + b"[" * depth + b"]" * depth + b"}"
    with pytest.raises(TokenRequestError) as caught:
        parse_token_response(
            Answer(status, {}, body), credentials=Credentials(ORIGIN, "Lv..", SECRETS[0]), epoch=NOW
        )
    assert_is_the_one_error(caught.value, status)
