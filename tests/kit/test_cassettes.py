"""Recorded tests: nothing secret in a cassette, and it plays, also where a token was renewed."""

from __future__ import annotations

import base64
import gzip
import io
import json
import re
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, quote_plus, unquote

import httpx
import httpx2
import pytest
import requests

from tests.support.pythons import run_pytest
from thebase_auth import TheBaseAuth, TokenRequestError
from thebase_auth.testing import Sandbox, vcr_filters

CLIENT_ID = "id+=.."
CLIENT_SECRET = "canary/secret+&=.."
PAIR = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
TOKEN = "canary/token+one=="
OTHER = "canary/token+two=="
CANARY = re.compile("canary|Y2FuYX|NhbmFy|jYW5hc")  # as it is, and at each place in base64
GZIP = {"Content-Encoding": "gzip"}
CLIENTS = [requests.Session, httpx.Client, httpx2.Client]


@pytest.fixture
def thebase() -> Iterator[Sandbox]:
    """A sandbox with a secret that every encoding changes; the plugin sees to its levers."""
    with Sandbox(client_id=CLIENT_ID, client_secret=CLIENT_SECRET) as thebase:
        yield thebase


def prepare_tokens(thebase: Sandbox) -> None:
    for token in (TOKEN, OTHER):
        document = {"access_token": token, "token_type": "bearer", "expires_in": 9, "refresh_token": "canary"}
        thebase.answer_next("/oauth/token", 200, json=document)


def prepare_renewal(thebase: Sandbox) -> None:
    """Let the sandbox reject the first token at the second call."""
    prepare_tokens(thebase)
    thebase.answer_next("GET /v2/users", 200, json={"items": [1]})
    thebase.answer_next("GET /v2/users", 401)
    thebase.answer_next("GET /v2/users", 200, gzip.compress(b'{"items": [2]}'), headers=GZIP)


def record_and_play(calls: Callable[[], object], thebase: Sandbox, folder: Path, **options: Any) -> Path:
    """Record the calls, then play them: the server receives nothing, and no response is left over."""
    vcr = pytest.importorskip("vcr")
    for mode in ("once", "none"):
        received = len(thebase.received)
        recorder = vcr.VCR(**vcr_filters(), record_mode=mode, cassette_library_dir=str(folder), **options)
        with recorder.use_cassette("cassette") as cassette:
            calls()
    assert cassette.all_played
    assert len(thebase.received) == received
    return folder / "cassette"


def assert_nothing_secret_in(cassette: Path) -> None:
    seen = cassette.read_text("utf-8")
    assert "/v2/users" in seen  # or nothing was recorded
    assert not CANARY.search(unquote(seen))
    assert "!!binary" not in seen  # all can be read
    assert set(re.findall(r"token-\d", seen)) == {"token-1", "token-2"}  # they can be told apart


@pytest.mark.parametrize("serializer", ["yaml", "json"])
@pytest.mark.parametrize("client", CLIENTS)
def test_renewal_is_played(thebase: Sandbox, tmp_path: Path, client: Any, serializer: str) -> None:
    prepare_renewal(thebase)

    def calls() -> None:
        with client() as session:
            session.auth = TheBaseAuth(thebase.domain, CLIENT_ID, CLIENT_SECRET)
            for number in (1, 2):
                assert session.get(f"{thebase.domain}/v2/users").json() == {"items": [number]}

    assert_nothing_secret_in(record_and_play(calls, thebase, tmp_path, serializer=serializer))
    sent = [one.headers["authorization"] for one in thebase.calls("GET *")]
    assert sent == [f"Bearer {token}" for token in (TOKEN, TOKEN, OTHER)]


RECORDED = """
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
    responses = [requests.get(auth.base_url + "/v2/users", auth=auth, timeout=5) for _ in range(2)]
    assert [one.json() for one in responses] == [{"items": [1]}, {"items": [2]}]
"""


def test_pytest_recording(thebase: Sandbox, tmp_path: Path) -> None:
    pytest.importorskip("pytest_recording")
    prepare_renewal(thebase)
    settings = {"THEBASE_DOMAIN": thebase.domain, "THEBASE_CLIENT_ID": CLIENT_ID}
    for secret, *options in ((CLIENT_SECRET, "--record-mode=once"), ("another", "--block-network")):
        ended = run_pytest(tmp_path, RECORDED, *options, **settings, THEBASE_CLIENT_SECRET=secret)
        assert "1 passed" in ended.stdout, ended.stdout
    assert len(thebase.received) == 5
    assert_nothing_secret_in(tmp_path / "cassettes" / "test_it" / "test_users.yaml")


@pytest.mark.parametrize("client", CLIENTS)
def test_no_secret_that_is_quoted_is_stored(thebase: Sandbox, tmp_path: Path, client: Any) -> None:
    error = {"error": f"Basic {PAIR}", "error_description": CLIENT_SECRET}
    thebase.answer_next("/oauth/token", 400, json=error, headers={"X-Sent": PAIR})
    prepare_tokens(thebase)
    quoted = {"X-Sent": f"Bearer {TOKEN}", "Location": f"/?token={quote(TOKEN, safe='')}"}
    thebase.answer_next("GET /v2/users", 401, TOKEN, "text/plain", headers=quoted)
    thebase.answer_next("GET /v2/users", 200, gzip.compress(f'["{OTHER}"]'.encode()), headers=GZIP)
    thebase.answer_next("POST *", 201, times=5)
    names = iter([OTHER, "token-2"])  # while it records, and while it plays

    def calls() -> None:
        url, content = f"{thebase.domain}/v2/users", "data" if client is requests.Session else "content"
        with client() as session:
            session.auth = TheBaseAuth(thebase.domain, CLIENT_ID, CLIENT_SECRET)
            with pytest.raises(TokenRequestError, match="400"):
                session.get(url)
            session.auth = TheBaseAuth(thebase.domain, CLIENT_ID, CLIENT_SECRET)
            token = next(names)
            assert session.get(url).json() == [token]
            session.headers["Cookie"] = f"session={token}"
            target, text = f"{url}?token={quote_plus(token)}", json.dumps({"token": token}).encode()
            for body in (text, io.BytesIO(text), iter([text[:15], text[15:]])):
                session.post(target, **{content: body})
            session.post(target, json={"token": token})
            session.post(target, headers=GZIP, **{content: gzip.compress(text)})

    matched = ["method", "uri", "body", "headers"]
    assert_nothing_secret_in(record_and_play(calls, thebase, tmp_path, match_on=matched))
    for received in thebase.calls("POST /v2/users"):  # the server gets what the program sends
        assert received.path == f"/v2/users?token={quote_plus(OTHER)}"
        assert received.headers["cookie"] == f"session={OTHER}"
        is_compressed = "content-encoding" in received.headers
        content = gzip.decompress(received.body) if is_compressed else received.body
        assert json.loads(content) == {"token": OTHER}


# Without a recorder


class Recorded(NamedTuple):
    """As much of a request of vcrpy as is used."""

    method: str = "POST"
    uri: str = "https://a/v2/users"
    body: Any = b""
    headers: dict[str, Any] = {}


def filters() -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """The two hooks, which have seen the secret and the token."""
    hooks = vcr_filters()
    on_request, on_response = hooks["before_record_request"], hooks["before_record_response"]
    on_request(Recorded(headers={"Authorization": f"Basic {PAIR}"}))
    on_response(response(json.dumps({"access_token": TOKEN})))
    return on_request, on_response


def response(body: Any, **headers: Any) -> dict[str, Any]:
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return {"status": {"code": 200}, "headers": headers, "body": {"string": body}}


@pytest.mark.parametrize(
    "body",
    [b"", b"<h1>", b"[]", b'"access_token"', b"\xff", b"\x1f\x8b", b"[" * 100_000, "טקסט", None],
    ids=range(9),
)
def test_response_without_a_token_is_stored_as_it_is(body: Any) -> None:
    without_token = filters()[1]
    given = response(body, X=["1"], Content_Encoding=["unknown"], Content_Length="9")
    assert without_token(given) == given
    assert without_token({**given, "body": {}})["body"] == {"string": b""}  # of aiohttp


@pytest.mark.parametrize(("token", "name"), [("canary", "token-2"), (["canary"], None), ("\ud800", None)])
def test_token_response_has_nothing_but_a_made_up_token(token: Any, name: str | None) -> None:
    document = {"token_type": "bearer", "access_token": token, "expires_in": "soon", "id_token": "canary"}
    given = response(json.dumps(document), Content_Length=["9"], Set_Cookie=["canary"])
    stored = filters()[1](given)
    kept = {"token_type": "bearer", "access_token": name, "expires_in": "soon"}
    assert json.loads(stored["body"]["string"]) == kept
    assert stored["headers"] == {"Content-Type": ["application/json"]}
    assert given["body"]["string"] == json.dumps(document)  # what the program gets


def test_tokens_of_a_cassette_keep_their_names() -> None:
    without_token = filters()[1]
    for token, name in (("token-3", "token-3"), ("new", "token-2"), ("newer", "token-4"), ("new", "token-2")):
        stored = without_token(response(json.dumps({"access_token": token})))
        assert json.loads(stored["body"]["string"]) == {"access_token": name}


@pytest.mark.parametrize("library", ["urllib3", "httpx", "httpx2"])
def test_bodies_are_decompressed_by_what_is_installed(monkeypatch: pytest.MonkeyPatch, library: str) -> None:
    for other in {"urllib3", "httpx", "httpx2"} - {library}:
        monkeypatch.setitem(sys.modules, other, None)
    without_credentials, without_token = filters()
    content = zlib.compress(f'["{TOKEN}"]'.encode())
    for encoding in ("deflate", ["deflate"], b"deflate"):
        stored = without_token(response(content, content_encoding=encoding, Content_Length=["9"]))
        assert (stored["headers"], stored["body"]) == ({}, {"string": b'["token-1"]'})
    request = without_credentials(Recorded(body=content, headers={"content-encoding": "deflate"}))
    assert (request.headers, request.body) == ({}, b'["token-1"]')
    already = response(f'["{TOKEN}"]'.encode(), content_encoding="deflate")
    assert without_token(already)["body"] == {"string": b'["token-1"]'}


def in_json(text: str) -> str:
    return text.replace("/", r"\/").replace("+", r"\u002B")


def in_base64(text: str) -> str:
    return base64.b64encode(json.dumps({"n": "\xfe\xff", "it": text}).encode()).decode()


@pytest.mark.parametrize(
    "spelled",
    [
        str,
        quote_plus,
        lambda text: re.sub("%..", lambda code: code[0].lower(), quote(text, safe="")),
        lambda text: quote(quote_plus(text)),
        in_json,
        lambda text: quote(in_json(text)),
        in_base64,
        lambda text: quote_plus(in_base64(text)),
        lambda text: in_base64(f".{text}").replace("+", "-").replace("/", "_"),
        lambda text: in_base64(f"..{text}"),
    ],
    ids=range(10),
)
@pytest.mark.parametrize("secret", [TOKEN, CLIENT_SECRET, PAIR])
def test_no_spelling_of_a_secret_is_stored(secret: str, spelled: Callable[[str], str]) -> None:
    without_credentials, without_token = filters()
    text = spelled(secret)
    name = {TOKEN: "token-1"}.get(secret, "hidden")
    headers = {"X": text, "Y": text.encode()}
    chunks = [text[:5].encode(), text[5:].encode()]
    bodies = (text, text.encode(), io.BytesIO(text.encode()), chunks, iter(chunks), iter([(text, 1)]))
    for body in (*bodies, {text: [text]}):
        request = without_credentials(Recorded("GET", f"https://a/v2/{text}?a={text}", body, headers))
        stored = without_token(response(text.encode(), Content_Length=["99"], X=[text, text]))
        for one in (request, stored):
            assert name in str(one)
            assert not CANARY.search(unquote(unquote(str(one))))
        assert "Content-Length" not in stored["headers"]


def test_request_keeps_no_credentials() -> None:
    without_credentials = filters()[0]
    for credentials in (f"bearer {OTHER}", f"Bearer {OTHER}".encode(), "Basic canary", "Digest canary"):
        headers = {"authorization": credentials, "Accept": "*/*", "content-length": 9}
        stored = without_credentials(Recorded("GET", f"https://a/v2/users?1&t={OTHER}", None, headers))
        assert stored == Recorded("GET", stored.uri, None, {"Accept": "*/*"})
    assert stored.uri == "https://a/v2/users?1&t=hidden"
    every_character = "".join(f"%{ord(character):02x}" for character in OTHER)
    assert without_credentials(Recorded(uri=f"https://a/?{every_character}")).uri == "https://a/?hidden"
    stored = without_credentials(Recorded(uri="https://a/oauth/token?secret=canary", body=b"secret=canary"))
    assert stored == Recorded(uri="https://a/oauth/token", body=b"grant_type=client_credentials")
