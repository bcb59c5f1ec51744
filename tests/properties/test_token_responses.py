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
from thebase_auth._core.token import parse_token_response

NOW = 1_700_000_000.0
ORIGIN = Origin("https", "acme.thebase.co.il", 443)
PACKAGE = str(Path(thebase_auth.__file__).parent)
TOKEN = "t0k~n-that-stands-in-no-text-by-chance"
#: One as TheBase makes them, and one with what JSON, URLs, base64 and repr() escape.
SECRETS = ["kZ3mY0o7TqWc1uXv9sBf2Q..", "kZ3/m+Y0=o7\"T'q\\W%c&1 היטב 💫"]

STATUSES = st.sampled_from([200, 201, 302, 400, 401, 404, 429, 500]) | st.integers()
ECHOES = st.sampled_from(
    [*SECRETS, *(base64.b64encode(f"Lv..:{one}".encode()).decode() for one in SECRETS), TOKEN]
)
SAID = ECHOES.flatmap(lambda said: st.sampled_from([said, f"you sent {said}!", "x" * 290 + said]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | SAID,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SAID, inner, max_size=2),
    max_leaves=6,
)
DOCUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "access_token": st.just(TOKEN) | VALUES,
        "token_type": st.sampled_from(["bearer", "BEARER"]) | VALUES,
        **dict.fromkeys(["expires_in", "error", "error_description", "code", "message", "instance"], VALUES),
    },
)
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "content-type": st.sampled_from(["text/html", "application/json"]) | SAID,
        "location": SAID.map("https://a.example/{0}?sent={0}".format) | st.text(max_size=20),
        "retry-after": SAID | st.text(max_size=20) | st.integers().map(str),
    },
)
ENCODINGS: list[Callable[[str], bytes]] = [
    lambda text: text.encode("utf-8", "surrogatepass"),
    lambda text: codecs.BOM_UTF8 + text.encode("utf-8", "surrogatepass"),
    lambda text: text.encode("utf-16", "surrogatepass"),
    lambda text: text.encode("utf-8", "surrogatepass")[:-1],
    lambda text: f"<title>{text}".encode("utf-8", "surrogatepass"),
]
BODIES = st.binary(max_size=200) | st.builds(
    lambda document, escape, encode: encode(json.dumps(document, ensure_ascii=escape)),
    DOCUMENTS | VALUES,
    st.booleans(),
    st.sampled_from(ENCODINGS),
)


@looked_at(times=8)
@given(STATUSES, HEADERS, BODIES, st.sampled_from(SECRETS))
@example(200, {}, b"[" * 100_000, SECRETS[0])
@example(200, {}, b'{"access_token": "abc", "expires_in": ' + b"9" * 5000 + b"}", SECRETS[0])
def test_any_response_is_a_token_or_one_error_that_shows_no_secret(
    status: int, headers: dict[str, str], body: bytes, secret: str
) -> None:
    response = TokenResponse(status, headers, body, NOW)
    try:
        token = parse_token_response(response, Credentials(ORIGIN, "Lv..", secret))
    except Exception as error:
        assert_is_the_one_error(error, status)
        shown = {secret, base64.b64encode(f"Lv..:{secret}".encode()).decode()}
        if access_token_in(body) == TOKEN:  # else it is just some text
            shown.add(TOKEN)
        assert_shows_none_of(shown, error)
    else:
        assert 200 <= status < 300
        assert token.access_token
        assert all("\x21" <= character <= "\x7e" for character in token.access_token)
        assert token.expires_at is None or NOW < token.expires_at < math.inf


def access_token_in(body: bytes) -> Any:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return document.get("access_token") if isinstance(document, dict) else None


def assert_is_the_one_error(error: Exception, status: int) -> None:
    assert type(error) is TokenRequestError
    assert str(error).isprintable()
    assert 0 < len(str(error)) < 3000
    assert (error.domain, error.status) == (ORIGIN.host, status)
    assert (error.__cause__, error.__context__) == (None, None)
    assert all(value is None or type(value) in {str, int, float} for value in error.args)
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.args) == (str(error), error.args)


def assert_shows_none_of(secrets: set[str], error: Exception) -> None:
    report = traceback.TracebackException.from_exception(error, capture_locals=True)
    variables = [frame.locals for frame in report.stack if frame.filename.startswith(PACKAGE)]
    assert variables
    shown = f"{error}\n{error!r}\n{vars(error)}\n{variables}"
    for secret in secrets:
        assert secret not in shown
        assert repr(secret)[1:-1] not in shown
