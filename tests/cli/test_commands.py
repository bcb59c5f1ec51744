"""The commands that speak to a TheBase: check, token, request, sandbox."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from tests.support.command_line import Run, command
from thebase_auth._cli import _output, main
from thebase_auth.testing import Sandbox

LEAD = {"name": "משה", "f_name": "כהן", "phone": "0501234567"}


# token


def test_token_prints_only_a_token(run: Run, thebase: Sandbox) -> None:
    code, out, err = run("token")
    assert (code, err) == (0, "")
    assert re.fullmatch(r"[\w-]{22}\n", out)
    headers = {"Authorization": f"Bearer {out.strip()}"}
    assert requests.get(f"{thebase.domain}/v2/users", headers=headers, timeout=5).status_code == 200


def test_token_prints_a_header_field_for_curl(run: Run) -> None:
    assert re.fullmatch(r"Authorization: Bearer [\w-]{22}\n", run("token", "--header")[1])


def test_a_token_is_kept_from_run_to_run_for_its_user_only(
    run: Run, thebase: Sandbox, tmp_path: Path
) -> None:
    first = run("token")[1]
    assert run("token")[1] == first
    assert run("request", "GET", "/v2/users")[0] == 0
    assert thebase.token_requests == 1
    [kept] = (tmp_path / "cache").rglob("tokens.json")
    if os.name == "posix":
        assert kept.stat().st_mode & 0o777 == 0o600

    assert run("token", "--no-cache")[1] != first
    assert run("token")[1] == first
    assert thebase.token_requests == 2

    second = run("token", "--new")[1]
    assert second != first
    assert run("token")[1] == second
    assert thebase.token_requests == 3


def test_token_warns_where_a_terminal_would_show_it(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    code, out, err = run("token")
    assert code == 0
    assert re.fullmatch(r"[\w-]{22}\n", out)
    assert err.startswith("thebase-auth token: anyone who sees this token can use it until it expires")


def test_a_failure_prints_no_token(run: Run, thebase: Sandbox) -> None:
    thebase.answer_next("/oauth/token", 503)
    code, out, _ = run("token")
    assert (code, out) == (1, "")


# request


def test_request_prints_the_answer_set_for_reading(run: Run, thebase: Sandbox) -> None:
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
    assert sent.headers["content-type"] == "application/json"
    assert sent.headers["accept"] == "application/json"


def test_request_sends_json_from_a_file_or_stdin(run: Run, thebase: Sandbox, tmp_path: Path) -> None:
    content = json.dumps(LEAD, indent=4).encode()
    (tmp_path / "lead.json").write_bytes(content)
    assert run("request", "POST", "/v2/leads/create", "--json", f"@{tmp_path / 'lead.json'}")[0] == 0
    done = command("request", "POST", "/v2/leads/create", "--json", "-", input=content.decode())
    assert done.returncode == 0
    first, second = thebase.assert_received("POST /v2/leads/create", times=2, status=201)
    assert first.body == second.body == content  # as it is, byte for byte


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ('{"a', "thebase-auth request: the argument of --json is not JSON in UTF-8: "),
        ('{"a": NaN}', "thebase-auth request: the argument of --json is not JSON in UTF-8: NaN is not"),
        ('"\udcf9"', "thebase-auth request: the argument of --json is not JSON in UTF-8: "),
        ("[" * 100_000, "thebase-auth request: the argument of --json is not JSON in UTF-8: "),
        ("@nope.json", "thebase-auth request: the file nope.json of --json cannot be read: No such file or"),
    ],
)  # fmt: skip
def test_a_body_that_is_not_json_is_not_sent(run: Run, thebase: Sandbox, given: str, text: str) -> None:
    code, out, err = run("request", "POST", "/v2/leads/create", "--json", given)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(text)
    assert thebase.received == ()


def test_a_file_that_is_named_without_its_at_is_pointed_out(
    run: Run, thebase: Sandbox, tmp_path: Path
) -> None:
    (tmp_path / "lead.json").write_text("{}")
    _, _, err = run("request", "POST", "/v2/leads/create", "--json", str(tmp_path / "lead.json"))
    assert err.endswith(f"; for the content of the file, write @{tmp_path / 'lead.json'}\n")


def test_stdin_is_read_for_one_thing_only(run: Run) -> None:
    code, _, err = run("request", "POST", "/v2/x", "--json", "-", "--secret-file", "-")
    assert code == 2
    assert err == "thebase-auth request: only one of --json and --secret-file can be read from stdin\n"


@pytest.mark.parametrize("path", ["https://other.example/v2/users", "http://127.0.0.1/v2/users"])
def test_a_url_is_not_a_path(run: Run, thebase: Sandbox, path: str) -> None:
    code, _, err = run("request", "GET", path)
    assert (code, thebase.received) == (2, ())
    assert (
        err == "thebase-auth request: PATH must be the part of the URL after the domain, such as /v2/users\n"
    )


@pytest.mark.parametrize(
    "path",
    ["/v2/users?next=https://a.example", "//other.example/v2/users", "@other.example/", "\\\\other.example"],
)
def test_nothing_in_a_path_leads_elsewhere(run: Run, thebase: Sandbox, path: str) -> None:
    run("request", "GET", path)
    assert [one.path for one in thebase.received][:1] == ["/oauth/token"]
    assert len(thebase.received) == 2  # it came to this host, whatever it asked


def test_an_answer_of_400_or_more_is_printed_and_exit_code_1(run: Run, thebase: Sandbox) -> None:
    code, out, err = run("request", "POST", "/v2/leads/create", "--json", "{}")
    assert (code, err) == (1, "POST /v2/leads/create: 400 Bad Request\n")
    assert json.loads(out)["message"] == "name is required"


def test_an_empty_answer_is_reported_by_its_status(run: Run, thebase: Sandbox) -> None:
    thebase.answer_next("DELETE *", 200)
    assert run("request", "DELETE", "/v2/products/1") == (0, "", "DELETE /v2/products/1: 200 OK\n")


def test_a_redirect_is_reported_and_not_followed(run: Run, thebase: Sandbox) -> None:
    thebase.redirect_next("GET /v2/users", "https://elsewhere.example/", 302)
    told = "GET /v2/users: 302 Found, to https://elsewhere.example/\n"
    assert run("request", "GET", "/v2/users") == (0, "", told)


def test_what_is_not_json_is_printed_without_what_commands_a_terminal(run: Run, thebase: Sandbox) -> None:
    thebase.answer_next("GET *", 502, "<h1>שגיאה\x1b[2J\n</h1>\t.", "text/html; charset=utf-8")
    code, out, _ = run("request", "GET", "/v2/users")
    assert (code, out) == (1, "<h1>שגיאה\N{REPLACEMENT CHARACTER}[2J\n</h1>\t.\n")


def test_a_token_that_has_died_is_renewed(run: Run, thebase: Sandbox) -> None:
    run("token")
    thebase.revoke_tokens()
    assert run("request", "POST", "/v2/leads/create", "--json", json.dumps(LEAD))[0] == 0
    assert [str(one) for one in thebase.received] == [
        "POST /oauth/token 200",
        "POST /v2/leads/create 401 (revoked token)",
        "POST /oauth/token 200",
        "POST /v2/leads/create 201",
    ]
    assert run("request", "GET", "/v2/users")[0] == 0
    assert thebase.token_requests == 2


def test_a_connection_that_breaks_is_not_an_answer(run: Run, thebase: Sandbox) -> None:
    thebase.drop_next("GET /v2/users")
    code, out, err = run("request", "GET", "/v2/users")
    assert (code, out, err.count("\n")) == (3, "", 1)
    assert err.startswith("thebase-auth request: no connection to 127.0.0.1:")


def test_a_reader_that_has_seen_enough_is_not_an_error(thebase: Sandbox) -> None:
    thebase.answer_next("GET *", 200, json.dumps(["a" * 100] * 10_000))
    running = subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "thebase_auth", "request", "GET", "/v2/users"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert running.stdout is not None
    assert running.stderr is not None
    assert running.stdout.read(1) == b"["
    running.stdout.close()
    assert running.stderr.read() == b"GET /v2/users: 200 OK\n"
    running.stderr.close()
    assert running.wait(20) == 0


def test_hebrew_is_escaped_where_the_output_has_no_place_for_it() -> None:
    done = command("request", "GET", "/v2/users", env={"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"})
    assert (done.returncode, done.stderr) == (0, "GET /v2/users: 200 OK\n")
    assert r"\u05de\u05e9\u05d4" in done.stdout


# Progress


@contextmanager
def impatient(monkeypatch: pytest.MonkeyPatch, thebase: Sandbox) -> Iterator[list[str]]:
    """Every wait is long; token requests are answered once something has been said of it."""
    said: list[str] = []
    real = sys.stderr.write
    spoken = threading.Event()

    def write(text: str) -> int:
        said.append(text)
        if "waiting for" in text:
            spoken.set()
        return real(text)

    monkeypatch.setattr(_output, "_PATIENCE", 0)
    monkeypatch.setattr(sys.stderr, "write", write)
    hold = thebase.hold_token_requests()
    hold.__enter__()

    def let_go() -> None:
        spoken.wait(10)
        hold.__exit__(None, None, None)

    waiting = threading.Thread(target=let_go)
    waiting.start()
    yield said
    waiting.join()
    assert spoken.is_set()


def test_a_long_wait_is_reported_in_a_line_where_there_is_no_terminal(
    run: Run, thebase: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    with impatient(monkeypatch, thebase):
        code, out, err = run("token")
    assert (code, len(out)) == (0, 23)
    assert err == f"waiting for {thebase.domain.removeprefix('http://')}\n"


def test_a_long_wait_is_shown_moving_at_a_terminal_and_leaves_nothing(
    run: Run, thebase: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    with impatient(monkeypatch, thebase):
        code, _, err = run("token")
    assert code == 0
    assert "waiting for" in err
    assert err.endswith("\x1b[2K")  # the line is erased


def test_a_short_wait_is_not_told_of(run: Run) -> None:
    assert run("token")[2] == ""
    assert not [one for one in threading.enumerate() if isinstance(one, threading.Timer)]


def test_a_server_without_tls_is_reported_as_such(run: Run, thebase: Sandbox) -> None:
    code, _, err = run("check", "--domain", thebase.domain.replace("http:", "https:"))
    assert code == 3
    assert "does not speak TLS; for a server on this machine, write http:// before it" in err


@pytest.mark.parametrize("arguments", ["check", "token", "request GET /v2/users"])
def test_a_reader_that_is_gone_from_the_start_is_not_an_error(arguments: str) -> None:
    """As in ``thebase-auth request ... | head -0``."""
    end_to_read, end_to_write = os.pipe()
    os.close(end_to_read)
    try:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-m", "thebase_auth", *arguments.split()],
            stdout=end_to_write,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            timeout=30,
            check=False,
        )
    finally:
        os.close(end_to_write)
    told = "GET /v2/users: 200 OK\n" if arguments.startswith("request") else ""
    assert (done.returncode, done.stderr) == (0, told)


def test_output_may_go_to_any_text_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    assert main(["check"]) == 0
    assert "granted" in out.getvalue()


@pytest.mark.skipif(os.name != "posix", reason="Ctrl-C by a signal")
def test_ctrl_c_during_a_call_ends_quietly(thebase: Sandbox) -> None:
    with thebase.hold_token_requests():
        running = subprocess.Popen(
            [sys.executable, "-m", "thebase_auth", "check"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        thebase.wait_for_token_requests(1)
        running.send_signal(signal.SIGINT)
        assert running.communicate(timeout=20) == (b"", b"")
        assert running.returncode == 130
