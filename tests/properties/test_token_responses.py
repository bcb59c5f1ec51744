"""Whatever the token endpoint responds: a token, or the one error, which shows nothing secret.

An error shows neither the secret nor the Basic value as they were sent, nor the token of the response. No
other encoding is promised: a server could think of any.
"""

from __future__ import annotations

import base64
import codecs
import json
import math
import pickle
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

import thebase_auth
from tests.properties import looked_at
from thebase_auth._core.credentials import Credentials, TokenResponse
from thebase_auth._core.errors import TokenRequestError
from thebase_auth._core.origin import Origin
from thebase_auth._core.token import Token, parse_token_response

NOW = 1_700_000_000.0
ORIGIN = Origin("https", "acme.thebase.co.il", 443)
PACKAGE = str(Path(thebase_auth.__file__).parent)
MEMBERS = ("access_token", "token_type", "expires_in", "error", "error_description", "code", "message",
           "instance", "משהו")  # fmt: skip
#: As TheBase makes them; and with what JSON, URLs, base64 and repr() escape.
SECRETS = ["kZ3mY0o7TqWc1uXv9sBf2Q..", "kZ3/m+Y0=o7\"T'q\\W%c&1", "סוד שמור היטב 💫"]
CREDENTIALS = st.sampled_from([Credentials(ORIGIN, "Lv..", secret) for secret in SECRETS])
#: Long enough to stand in no text by chance.
ACCESS_TOKENS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E)).map("t0k~{}".format)
STATUSES = st.sampled_from([200, 201, 204, 302, 307, 400, 401, 404, 429, 500, 503]) | st.integers()


def basic(credentials: Credentials) -> str:
    both = f"{credentials.client_id}:{credentials.client_secret.reveal()}"
    return base64.b64encode(both.encode()).decode()


# Documents that a server could send, as text: json.dumps makes only those that it likes itself.

STRINGS = st.one_of(
    st.text(max_size=20).map(json.dumps),
    st.sampled_from([r'"\ud800"', r'"\udc00\ud800"', r'"\u0000"', '"\x00"', r'"\x"', '"open', '"\n"']),
)
NUMBERS = st.one_of(
    st.integers().map(str),
    st.floats().map(json.dumps),
    st.sampled_from(["NaN", "-Infinity", "1e999", "-0", "01", "1.", "0x1F", "1_000", "9" * 5000]),
)
DEEP = st.integers(1, 3000).map(lambda depth: "[" * depth + "]" * depth)
ATOMS = STRINGS | NUMBERS | st.sampled_from(["null", "true", "false", "nil", "", '"bearer"', '"BEARER"'])
NESTED = st.recursive(
    ATOMS,
    lambda inner: st.lists(inner, max_size=3).map(lambda values: f"[{', '.join(values)}]"),
    max_leaves=6,
)


@st.composite
def documents(draw: st.DrawFn, credentials: Credentials, access_token: str) -> str:
    """Draw an object with the members that we read, each of any type, some with an echo of a secret."""
    secrets = [credentials.client_secret.reveal(), basic(credentials), access_token]
    echo = st.sampled_from(secrets).flatmap(
        lambda said: st.sampled_from([f"you sent {said}!", [said], {said: said}, "x" * 290 + said])
    )
    values = {
        "access_token": st.just(json.dumps(access_token)) | NESTED,
        "token_type": st.just('"bearer"') | NESTED,
        "expires_in": NUMBERS | NESTED,
    }
    members = []
    for name in draw(st.lists(st.sampled_from(MEMBERS), max_size=8)):
        value = draw(values.get(name, NESTED | DEEP) | echo.map(json.dumps))
        members.append(f"{json.dumps(name)}: {value}")
    return "{" + ", ".join(members) + "}"


ENCODINGS: list[Callable[[str], bytes]] = [
    lambda text: text.encode("utf-8", "surrogatepass"),
    lambda text: codecs.BOM_UTF8 + text.encode("utf-8", "surrogatepass"),
    lambda text: text.encode("utf-16", "surrogatepass"),
    lambda text: text.encode("latin-1", "replace"),
    lambda text: text.encode("utf-8", "surrogatepass")[:-1],
    lambda text: f"<title>{text}".encode("utf-8", "surrogatepass"),
]


@st.composite
def headers(draw: st.DrawFn, credentials: Credentials) -> dict[str, str]:
    said = st.sampled_from([credentials.client_secret.reveal(), basic(credentials)])
    values = st.text(max_size=20) | said | said.map("https://a.example/{0}?sent={0}".format)
    names = st.sampled_from(["content-type", "location", "retry-after", "x"])
    kind = draw(st.sampled_from([{}, {"content-type": "text/html"}]))
    return {**draw(st.dictionaries(names, values, max_size=4)), **kind}


def check(response: TokenResponse, credentials: Credentials, access_token: str) -> None:
    """Parse *response*, and check what comes of it."""
    try:
        token = parse_token_response(response, credentials)
    except Exception as error:
        assert_is_the_one_error(error, response.status)
        assert_shows_nothing_secret(error, credentials, access_token)
    else:
        assert_is_usable(token, response.status)


def assert_is_usable(token: Token, status: int) -> None:
    assert 200 <= status < 300
    assert token.access_token
    assert all("\x21" <= character <= "\x7e" for character in token.access_token)
    assert token.expires_at is None or NOW < token.expires_at < math.inf


def assert_is_the_one_error(error: Exception, status: int) -> None:
    assert type(error) is TokenRequestError
    assert str(error).isprintable()
    assert 0 < len(str(error)) < 3000
    assert (error.domain, error.status) == (ORIGIN.host, status)
    assert (error.__cause__, error.__context__) == (None, None)
    assert all(value is None or type(value) in {str, int, float} for value in error.args)
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.args) == (str(error), error.args)


def assert_shows_nothing_secret(error: Exception, credentials: Credentials, access_token: str) -> None:
    report = traceback.TracebackException.from_exception(error, capture_locals=True)
    variables = [frame.locals for frame in report.stack if frame.filename.startswith(PACKAGE)]
    assert variables
    shown = f"{error}\n{error!r}\n{vars(error)}\n{variables}"
    for secret in (credentials.client_secret.reveal(), basic(credentials), access_token):
        assert secret not in shown
        assert repr(secret)[1:-1] not in shown


@looked_at(times=3)
@given(STATUSES, st.binary(max_size=200), CREDENTIALS, st.data())
def test_any_bytes_are_a_token_or_the_one_error(
    status: int, body: bytes, credentials: Credentials, data: st.DataObject
) -> None:
    response = TokenResponse(status, data.draw(headers(credentials)), body, NOW)
    check(response, credentials, "no token at all")


@looked_at(times=3)
@given(STATUSES, st.sampled_from(ENCODINGS), ACCESS_TOKENS, CREDENTIALS, st.data())
def test_any_document_is_a_token_or_the_one_error_and_no_echo_is_shown(
    status: int,
    encode: Callable[[str], bytes],
    access_token: str,
    credentials: Credentials,
    data: st.DataObject,
) -> None:
    body = encode(data.draw(documents(credentials, access_token) | NESTED))
    response = TokenResponse(status, data.draw(headers(credentials)), body, NOW)
    is_known = object_in(body).get("access_token") == access_token  # else it is just some text
    check(response, credentials, access_token if is_known else "no token at all")


def object_in(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


@given(st.binary(min_size=1, max_size=3), st.integers(0, 120), st.integers(0, 120), STATUSES)
@example(b"[" * 100_000, 60, 60, 200)
def test_damaged_document_is_a_token_or_the_one_error(
    damage: bytes, at: int, until: int, status: int
) -> None:
    document = {"access_token": "t0k~n", "token_type": "bearer", "expires_in": 3600, "error": "x"}
    body = json.dumps(document).encode()
    damaged = body[:at] + damage + body[max(at, until) :]
    response = TokenResponse(status, {"content-type": "text/html"}, damaged, NOW)
    check(response, Credentials(ORIGIN, "Lv..", SECRETS[0]), "t0k~n")
