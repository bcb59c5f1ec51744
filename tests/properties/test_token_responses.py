"""Whatever the token endpoint responds: a token, or the one error, which shows nothing secret.

An error shows neither the secret nor the Basic value as they were sent, nor the token of the response.
"""

from __future__ import annotations

import json
import math
import pickle
import traceback
from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st

import thebase_auth
from tests.properties import looked_at
from tests.support.token_responses import BASIC, CREDENTIALS, DOMAIN, NOW, SECRET
from thebase_auth._core.credentials import TokenResponse
from thebase_auth._core.errors import TokenRequestError
from thebase_auth._core.token import parse_token_response

PACKAGE = str(Path(thebase_auth.__file__).parent)
TOKEN = "t0k~n-that-stands-in-no-text-by-chance"

STATUSES = st.sampled_from([200, 201, 302, 400, 401, 404, 429, 500]) | st.integers()
ECHOES = st.sampled_from([SECRET, BASIC])
SAID = ECHOES.flatmap(lambda said: st.sampled_from([said, f"you sent {said}!", "x" * 290 + said]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | SAID,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SAID, inner, max_size=2),
    max_leaves=6,
)
MEMBERS = ["expires_in", "error", "error_description", "code", "message", "instance"]
DOCUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "access_token": st.just(TOKEN) | VALUES,
        "token_type": st.sampled_from(["bearer", "BEARER"]) | VALUES,
        **dict.fromkeys(MEMBERS, VALUES),
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
BODIES = (
    st.binary(max_size=200)
    | (DOCUMENTS | VALUES).map(lambda document: json.dumps(document).encode())
    | SAID.map(lambda said: f"<title>{said}".encode())
)


@looked_at(times=2)
@given(STATUSES, HEADERS, BODIES)
@example(200, {}, b"[" * 100_000)
@example(200, {}, b'{"access_token": "abc", "expires_in": ' + b"9" * 5000 + b"}")
def test_any_response_is_a_token_or_one_error_that_shows_no_secret(
    status: int, headers: dict[str, str], body: bytes
) -> None:
    try:
        token = parse_token_response(TokenResponse(status, headers, body, NOW), CREDENTIALS)
    except Exception as error:
        assert type(error) is TokenRequestError
        assert (error.domain, error.status) == (DOMAIN, status)
        assert (error.__cause__, error.__context__) == (None, None)
        assert pickle.loads(pickle.dumps(error)).args == error.args
        assert str(error).isprintable()
        assert len(str(error)) < 3000
        assert_shows_no_secret(error)
    else:
        assert 200 <= status < 300
        assert token.access_token
        assert all("\x21" <= character <= "\x7e" for character in token.access_token)
        assert token.expires_at is None or NOW < token.expires_at < math.inf


def assert_shows_no_secret(error: TokenRequestError) -> None:
    report = traceback.TracebackException.from_exception(error, capture_locals=True)
    variables = [frame.locals for frame in report.stack if frame.filename.startswith(PACKAGE)]
    assert variables
    for secret in (SECRET, BASIC, TOKEN):
        assert secret not in f"{error!r} {vars(error)} {variables}"
