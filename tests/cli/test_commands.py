"""The commands `token` and `request`."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import requests

from tests.support.command_line import Run
from tests.support.databases import free_port
from tests.support.sandbox import LEAD
from thebase_auth.testing import Sandbox

CREATE = ("request", "POST", "/v2/leads/create", "--json")


# token


def test_token_prints_only_a_token_or_a_header(run: Run, thebase: Sandbox) -> None:
    code, out, err = run("token")
    assert (code, err, run("token", "--header")[1]) == (0, "", f"Authorization: Bearer {out}")
    assert re.fullmatch(r"[\w-]{22}\n", out)
    headers = {"Authorization": f"Bearer {out.strip()}"}
    assert requests.get(f"{thebase.domain}/v2/users", headers=headers, timeout=5).status_code == 200


def test_token_is_kept_from_run_to_run_until_it_is_rejected(run: Run, thebase: Sandbox) -> None:
    first = run("token")[1]
    assert run("token")[1] == first
    assert run("request", "GET", "/v2/users")[0] == 0
    assert thebase.token_requests == 1
    assert run("token", "--no-cache")[1] != first
    assert run("token")[1] == first
    assert thebase.token_requests == 2
    thebase.revoke_tokens()
    for _ in range(2):
        assert run("request", "GET", "/v2/users")[0] == 0
    assert thebase.token_requests == 3


def test_user_without_a_home_is_told_of_no_cache(
    run: Run, monkeypatch: pytest.MonkeyPatch, thebase: Sandbox
) -> None:
    def nowhere(*_: object, **__: object) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr("platformdirs.user_cache_path", nowhere)
    message = "thebase-auth: Could not determine home directory. Use --no-cache\n"
    assert run("token") == (2, "", message)
    assert run("token", "--no-cache")[0] == 0


# request


def test_request_prints_json_with_indentation(run: Run) -> None:
    code, out, err = run("request", "get", "/v2/users?limit=1")
    assert (code, err) == (0, "GET /v2/users?limit=1: 200 OK\n")
    assert json.loads(out)["items"][0]["name"] == "משה"
    assert '\n  "items": [\n    {\n      "id": "253960413951646409173244928790043995930",\n' in out
    assert "משה" in out


@pytest.mark.parametrize("path", ["/v2/leads/create", "v2/leads/create"])
def test_request_sends_json(run: Run, thebase: Sandbox, path: str) -> None:
    code, out, err = run("request", "POST", path, "--json", json.dumps(LEAD, ensure_ascii=False))
    assert (code, err) == (0, f"POST {path}: 201 Created\n")
    assert json.loads(out)["message"] == "הליד נוצר בהצלחה"
    [sent] = thebase.assert_received("POST /v2/leads/create", times=1, json=LEAD)
    assert sent.headers["content-type"] == sent.headers["accept"] == "application/json"


@pytest.mark.parametrize("argument", ["@{path}", "@-", "-"])
def test_request_sends_json_of_a_file_or_stdin(
    run: Run, thebase: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, argument: str
) -> None:
    text = json.dumps(LEAD, indent=4, ensure_ascii=False)
    path = tmp_path / "lead.json"
    path.write_text(text, "utf-8-sig")
    with path.open() as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        assert run(*CREATE, argument.format(path=path))[0] == 0
    [sent] = thebase.assert_received("POST /v2/leads/create", times=1, status=201)
    assert sent.body == text.encode()  # as it is, without a byte order mark


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ('"\udcf9"', "--json is not JSON: "),
        ("lead.json", "--json is not JSON: Expecting value: line 1 column 1 (char 0); for the "),
        ("@lead.json", "lead.json is not UTF-8"),
        ("@nope.json", "[Errno 2] No such file or directory: 'nope.json'"),
    ],
)
def test_body_that_is_not_json_is_not_sent(
    run: Run, thebase: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, given: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("lead.json").write_text(json.dumps(LEAD), "utf-16")
    code, out, err = run(*CREATE, given)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"thebase-auth: {message}")
    assert thebase.received == ()


def test_path_cannot_lead_to_another_host(run: Run, thebase: Sandbox) -> None:
    message = "thebase-auth: PATH must be the part of the URL after the domain, such as /v2/users\n"
    for url in ("https://other.example/v2/users", "http://127.0.0.1/v2/users"):
        assert run("request", "GET", url) == (2, "", message)
    assert thebase.received == ()
    paths = ["/v2/users?next=https://a.example", "//other.example/v2", "@other.example/", "\\\\other.example"]
    for path in paths:
        run("request", "GET", path)
    assert len(thebase.received) == 1 + len(paths)  # the token request and the calls


def test_status_of_400_or_more_is_exit_code_1(run: Run, thebase: Sandbox) -> None:
    code, out, err = run(*CREATE, "{}")
    assert (code, err) == (1, "POST /v2/leads/create: 400 Bad Request\n")
    assert json.loads(out)["message"] == "name is required"


def test_redirect_and_empty_response_are_reported_by_their_status(run: Run, thebase: Sandbox) -> None:
    thebase.redirect_next("GET /v2/users", "https://elsewhere.example/", 302)
    message = "GET /v2/users: 302 Found, to https://elsewhere.example/\n"
    assert run("request", "GET", "/v2/users") == (0, "", message)  # not followed
    thebase.answer_next("DELETE *", 200)
    assert run("request", "DELETE", "/v2/products/1") == (0, "", "DELETE /v2/products/1: 200 OK\n")


def test_dropped_connection_is_exit_code_3(run: Run, thebase: Sandbox) -> None:
    thebase.drop_next("GET /v2/users")
    code, out, err = run("request", "GET", "/v2/users")
    assert (code, out, err.count("\n")) == (3, "", 1)
    assert err.startswith("thebase-auth: no connection to 127.0.0.1:")


def test_control_characters_are_escaped(run: Run, thebase: Sandbox) -> None:
    odd = {"a": "x\x9b31m\x7f\u202e\U000e0001 שלום 💫"}
    thebase.answer_next("GET *", 200, json.dumps(odd, ensure_ascii=False))
    thebase.answer_next("GET *", 502, "<h1>שגיאה\x1b[2J\r\n</h1>\t.", "text/html; charset=utf-8")
    out = run("request", "GET", "/v2/users")[1]
    assert json.loads(out) == odd
    assert r"x\u009b31m\u007f\u202e\udb40\udc01 שלום 💫" in out
    assert run("request", "GET", "/v2/users")[:2] == (1, "<h1>שגיאה\\u001b[2J\n</h1>\t.\n")


@pytest.mark.parametrize(
    ("body", "content_type", "shown"),
    [("שלום", "text/html", "שלום"), ("שלום".encode("cp1255"), "text/html; charset=windows-1255", "שלום")],
    ids=["no charset", "windows-1255"],
)
def test_text_is_decoded_by_its_charset_or_as_utf_8(
    run: Run, thebase: Sandbox, body: str | bytes, content_type: str, shown: str
) -> None:
    thebase.answer_next("GET *", 200, body, content_type)
    assert run("request", "GET", "/v2/users")[1] == f"{shown}\n"


def test_plain_http_does_not_go_through_a_proxy(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(variable, f"http://127.0.0.1:{free_port()}")
    assert run("request", "GET", "/v2/users")[0] == 0
