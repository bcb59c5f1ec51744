"""Recorded tests: nothing secret in a cassette, and it plays, also where a token was renewed."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import re
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import httpx
import httpx2
import pytest
import requests

import thebase_auth
import thebase_auth.httpx
import thebase_auth.httpx2
import thebase_auth.requests
from tests.support.pythons import run_pytest
from thebase_auth.testing import Sandbox, vcr_filters

CLIENT_ID = "canary/id+=.."
CLIENT_SECRET = "canary/secret+&=.."
GZIP = {"Content-Encoding": "gzip"}


@pytest.fixture
def recorded() -> Iterator[Sandbox]:
    """A sandbox with a secret that every encoding changes, and tokens as no other has them."""
    with Sandbox(client_id=CLIENT_ID, client_secret=CLIENT_SECRET) as thebase:
        yield thebase


def give_tokens(thebase: Sandbox, compressed: bool, *tokens: str) -> None:
    """Let the next token responses be of a server that compresses, and adds what may be secret."""
    for token in tokens:
        document = {
            "access_token": token,
            "token_type": "bearer",
            "expires_in": 1,
            "refresh_token": "canary-r",
        }
        body = json.dumps(document).encode()
        if compressed:
            thebase.answer_next("/oauth/token", 200, gzip.compress(body), headers=GZIP)
        else:
            thebase.answer_next("/oauth/token", 200, body)


def take(thebase: Sandbox, compressed: bool) -> None:
    """Let the sandbox refuse the first token at the second call."""
    give_tokens(thebase, compressed, "canary-one", "canary-two")
    thebase.answer_next("GET /v2/users", 200, json={"items": [1]})
    thebase.answer_next("GET /v2/users", 401)
    thebase.answer_next("GET /v2/users", 200, gzip.compress(b'{"items": [2]}'), headers=GZIP)


def two_calls(get: Callable[[str], Any], domain: str) -> None:
    for number in (1, 2):
        response = get(f"{domain}/v2/users")
        assert response.status_code == 200
        assert response.json() == {"items": [number]}


def with_requests(domain: str) -> None:
    with requests.Session() as session:
        session.auth = thebase_auth.requests.TheBaseAuth(domain, CLIENT_ID, CLIENT_SECRET)
        two_calls(session.get, domain)


def with_httpx(domain: str) -> None:
    with httpx.Client(auth=thebase_auth.httpx.TheBaseAuth(domain, CLIENT_ID, CLIENT_SECRET)) as client:
        two_calls(client.get, domain)


def with_httpx_async(domain: str) -> None:
    async def main() -> None:
        auth = thebase_auth.httpx.TheBaseAuth(domain, CLIENT_ID, CLIENT_SECRET)
        async with httpx.AsyncClient(auth=auth) as client:
            for number in (1, 2):
                response = await client.get(f"{domain}/v2/users")
                assert response.json() == {"items": [number]}

    asyncio.run(main())


def with_httpx2(domain: str) -> None:
    with httpx2.Client(auth=thebase_auth.httpx2.TheBaseAuth(domain, CLIENT_ID, CLIENT_SECRET)) as client:
        two_calls(client.get, domain)


def seen_in(cassette: Path) -> str:
    """All that a cassette shows, whatever it is encoded in."""
    text = cassette.read_text("utf-8")
    layers = [text]
    for encoded in re.findall(r"[A-Za-z0-9+/\s\\n]{16,}={0,2}", text):
        with suppress(ValueError):
            content = base64.b64decode(re.sub(r"\s|\\n", "", encoded) + "==")
            layers.append(content.decode("latin-1"))
            with suppress(OSError, EOFError, zlib.error):
                layers.append(gzip.decompress(content).decode("latin-1"))
    return "\n".join(layers)


def assert_nothing_secret_in(cassette: Path) -> None:
    seen = seen_in(cassette)
    assert "/v2/users" in seen  # or nothing was recorded
    basic = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
    for secret in ("canary", CLIENT_SECRET, quote(CLIENT_SECRET), quote_plus(CLIENT_SECRET), basic):
        assert secret not in seen
    assert len(set(re.findall(r"token-\d", seen))) == 2  # they can be told apart


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("serializer", ["yaml", "json"])
@pytest.mark.parametrize("calls", [with_requests, with_httpx, with_httpx_async, with_httpx2])
def test_vcrpy(
    recorded: Sandbox, tmp_path: Path, calls: Callable[[str], None], serializer: str, compressed: bool
) -> None:
    vcr = pytest.importorskip("vcr")
    take(recorded, compressed)
    recorder = vcr.VCR(**vcr_filters(), serializer=serializer, cassette_library_dir=str(tmp_path))
    with recorder.use_cassette("cassette"):
        calls(recorded.domain)
    recorded.assert_levers_used()
    headers = [one.headers["authorization"] for one in recorded.calls("GET *")]
    assert headers == ["Bearer canary-one", "Bearer canary-one", "Bearer canary-two"]
    assert_nothing_secret_in(tmp_path / "cassette")

    asked = len(recorded.received)
    player = vcr.VCR(
        **vcr_filters(), serializer=serializer, record_mode="none", cassette_library_dir=str(tmp_path)
    )
    with player.use_cassette("cassette") as cassette:
        calls(recorded.domain)
    assert cassette.all_played
    assert len(recorded.received) == asked


RECORDED = """
import os

import pytest
import requests

from thebase_auth.requests import TheBaseAuth
from thebase_auth.testing import vcr_filters

@pytest.fixture(scope="module")
def vcr_config():
    return vcr_filters()

@pytest.mark.vcr
def test_users():
    auth = TheBaseAuth.from_env()
    for number in (1, 2):
        response = requests.get(auth.base_url + "/v2/users", auth=auth, timeout=5)
        assert response.json() == {"items": [number]}
"""


def test_pytest_recording(recorded: Sandbox, tmp_path: Path) -> None:
    pytest.importorskip("pytest_recording")
    take(recorded, compressed=True)
    settings = {
        "THEBASE_DOMAIN": recorded.domain,
        "THEBASE_CLIENT_ID": CLIENT_ID,
        "THEBASE_CLIENT_SECRET": CLIENT_SECRET,
    }
    ended = run_pytest(tmp_path, RECORDED, "--record-mode=once", **settings)
    assert "1 passed" in ended.stdout, ended.stdout
    recorded.assert_levers_used()
    assert_nothing_secret_in(tmp_path / "cassettes" / "test_it" / "test_users.yaml")
    asked = len(recorded.received)
    settings["THEBASE_CLIENT_SECRET"] = "another"
    ended = run_pytest(tmp_path, RECORDED, "--record-mode=none", "--block-network", **settings)
    assert "1 passed" in ended.stdout, ended.stdout
    assert len(recorded.received) == asked


def quote_credentials(thebase: Sandbox) -> None:
    """Let responses, header fields and a URL repeat what was sent to the sandbox."""
    basic = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
    sent = {"error": f"Basic {basic}", "error_description": CLIENT_SECRET}
    thebase.answer_next("/oauth/token", 400, json=sent, headers={"X-Sent": basic})
    give_tokens(thebase, False, "canary/token-one", "canary/token-two")
    token = {"X-Sent": "Bearer canary/token-one"}
    thebase.redirect_next("GET /v2/users", "/v2/users?token=canary%2Ftoken-one")
    thebase.answer_next("GET /v2/users", 401, b"unknown: canary/token-one", "text/plain", headers=token)
    thebase.answer_next("GET /v2/users", 200, gzip.compress(b'["canary/token-two"]'), headers=GZIP)


def calls_that_are_quoted(session: requests.Session, domain: str, token: str) -> None:
    def get() -> requests.Response:
        auth = thebase_auth.requests.TheBaseAuth(domain, CLIENT_ID, CLIENT_SECRET, session=session)
        return session.get(f"{domain}/v2/users", auth=auth)

    with pytest.raises(thebase_auth.TokenRequestError, match="400"):
        get()
    response = get()
    assert (response.status_code, response.json()) == (200, [token])


@pytest.mark.parametrize("serializer", ["yaml", "json"])
def test_vcrpy_stores_no_secret_that_a_response_quotes(
    recorded: Sandbox, tmp_path: Path, serializer: str
) -> None:
    vcr = pytest.importorskip("vcr")
    quote_credentials(recorded)
    for mode, token in (("once", "canary/token-two"), ("none", "token-2")):
        recorder = vcr.VCR(
            **vcr_filters(), serializer=serializer, record_mode=mode, cassette_library_dir=str(tmp_path)
        )
        with recorder.use_cassette("cassette"), requests.Session() as session:
            calls_that_are_quoted(session, recorded.domain, token)
    recorded.assert_levers_used()
    assert_nothing_secret_in(tmp_path / "cassette")


# Without a recorder


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<h1>",
        b"[]",
        b"1",
        b'"access_token"',
        b'{"items": []}',
        b"\xff",
        b"\x1f\x8b",
        gzip.compress(b"{}" * 100)[:20],
        gzip.compress(b'{"a": 1}'),
        b"[" * 100_000,
        "טקסט",
    ],
    ids=range(12),
)
def test_what_is_not_a_token_response_is_stored_as_it_is(body: Any) -> None:
    response = {"status": {"code": 200}, "headers": {"X": ["1"], "Y": "2"}, "body": {"string": body}}
    assert vcr_filters()["before_record_response"](response) is response


@pytest.mark.parametrize(
    ("document", "kept"),
    [
        ({"access_token": "canary"}, {"access_token": "token-1"}),
        (
            {"token_type": "bearer", "access_token": "canary", "expires_in": "soon", "id_token": "canary"},
            {"token_type": "bearer", "expires_in": "soon", "access_token": "token-1"},
        ),
        ({"access_token": ["canary"]}, {"access_token": None}),
    ],
)
def test_a_token_response_is_made_anew(document: Any, kept: Any) -> None:
    headers = {"Content-Length": ["9"], "Set-Cookie": ["canary"]}
    before: Any = {"status": {"code": 200}, "headers": headers, "body": {"string": json.dumps(document)}}
    after = vcr_filters()["before_record_response"](before)
    assert json.loads(after["body"]["string"]) == kept
    assert after["headers"] == {"Content-Type": ["application/json"]}
    assert before["body"]["string"] == json.dumps(document)  # what the program gets


def test_a_compressed_response_without_a_token_is_stored_as_it_is() -> None:
    response = {"headers": {"Content-Encoding": "gzip"}, "body": {"string": gzip.compress(b"[]")}}
    assert vcr_filters()["before_record_response"](response) is response


@pytest.mark.parametrize("encoding", ["deflate", ["deflate"]])
@pytest.mark.parametrize("library", ["urllib3", "httpx", "httpx2"])
def test_a_token_response_is_decompressed_by_what_is_installed(
    monkeypatch: pytest.MonkeyPatch, library: str, encoding: Any
) -> None:
    """What vcrpy cannot decompress, such as zstd."""
    for other in {"urllib3", "httpx", "httpx2"} - {library}:
        monkeypatch.setitem(sys.modules, other, None)
    content = zlib.compress(b'{"access_token": "canary"}')
    response = {"headers": {"content-encoding": encoding}, "body": {"string": content}}
    after = vcr_filters()["before_record_response"](response)
    assert json.loads(after["body"]["string"]) == {"access_token": "token-1"}


class Recorded:
    """As much of a request of vcrpy as is used."""

    def __init__(self, uri: str, authorization: Any = "Basic canary") -> None:
        self.uri = uri
        self.headers = {"authorization": authorization, "Accept": "*/*"}
        self.body = b"client_secret=canary%2F"


def test_a_request_keeps_no_credentials() -> None:
    without_credentials = vcr_filters()["before_record_request"]
    token_request = without_credentials(Recorded("https://a/oauth/token?client_secret=canary"))
    assert vars(token_request) == {
        "uri": "https://a/oauth/token",
        "headers": {"Accept": "*/*"},
        "body": b"grant_type=client_credentials",
    }
    other = without_credentials(Recorded("https://a/v2/users?limit=1", b"Bearer canary"))
    assert other.headers == {"Accept": "*/*"}
    assert (other.uri, other.body) == ("https://a/v2/users?limit=1", b"client_secret=canary%2F")


def test_a_response_that_quotes_what_was_sent_is_stored_without_it() -> None:
    hooks = vcr_filters()
    pair = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
    hooks["before_record_request"](Recorded("https://a/oauth/token", f"Basic {pair}"))
    issued = {"headers": {}, "body": {"string": b'{"access_token": "canary-token-long"}'}}
    assert json.loads(hooks["before_record_response"](issued)["body"]["string"])["access_token"] == "token-1"
    body = f"no permission: {pair}, {quote(CLIENT_SECRET)}, canary-token-long".encode()
    headers = {
        "Content-Length": ["99"],
        "Location": f"/?secret={quote_plus(CLIENT_SECRET)}",
        "X": ["canary-token-long"],
    }
    stored = hooks["before_record_response"](
        {"status": {"code": 401}, "headers": headers, "body": {"string": body}}
    )
    assert stored["body"] == {"string": b"no permission: hidden, hidden, token-1"}
    assert stored["headers"] == {"Location": "/?secret=hidden", "X": ["token-1"]}
    again = hooks["before_record_request"](Recorded("https://a/v2/users?token=canary-token-long"))
    assert again.uri == "https://a/v2/users?token=token-1"
