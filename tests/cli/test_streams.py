"""Streams that are closed, readers that have gone, answers that are odd."""

from __future__ import annotations

import gc
import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.support.command_line import Run
from tests.support.databases import free_port
from thebase_auth.testing import Sandbox

# Streams that are closed, or whose reader has gone


def in_a_shell(redirection: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, with a redirection as a shell has it."""
    return subprocess.run(
        ["sh", "-c", f'exec "$@" {redirection}', "sh", sys.executable, "-W", "error", "-m",
         "thebase_auth", *arguments],
        capture_output=True, encoding="utf-8", timeout=30, check=False,
    )  # fmt: skip


posix = pytest.mark.skipif(os.name != "posix", reason="needs a shell of POSIX")


@posix
@pytest.mark.parametrize("arguments", ["check", "token", "request GET /v2/users"])
def test_stdout_may_be_closed(arguments: str) -> None:
    done = in_a_shell(">&-", *arguments.split())
    told = "GET /v2/users: 200 OK\n" if arguments.startswith("request") else ""
    assert (done.returncode, done.stdout, done.stderr) == (0, "", told)


@posix
def test_stderr_may_be_closed_and_nothing_of_it_gets_to_stdout() -> None:
    done = in_a_shell("2>&-", "request", "GET", "/v2/users")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["count"] == 2
    assert in_a_shell("2>&-", "check", "--client-id", "wrong").returncode == 1


@posix
@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ("check", "THEBASE_CLIENT_SECRET is not set; "),
        ("check --secret-file -", "the secret file - has 0 lines; "),
        ("request POST /v2/x --json - --client-id a..", "the argument of --json is not JSON in UTF-8: "),
    ],
)
def test_stdin_may_be_closed(monkeypatch: pytest.MonkeyPatch, arguments: str, text: str) -> None:
    if "--json" not in arguments:
        monkeypatch.delenv("THEBASE_CLIENT_SECRET")
    done = in_a_shell("<&-", *arguments.split())
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"thebase-auth {arguments.split(maxsplit=1)[0]}: {text}")
    assert done.stderr.count("\n") == 1


def test_the_exit_code_tells_where_nobody_reads_the_error() -> None:
    end_to_read, end_to_write = os.pipe()
    os.close(end_to_read)
    done = subprocess.run(
        [sys.executable, "-m", "thebase_auth", "check", "--domain", f"127.0.0.1:{free_port()}"],
        stdout=subprocess.DEVNULL,
        stderr=end_to_write,
        timeout=30,
        check=False,
    )
    os.close(end_to_write)
    assert done.returncode == 3


# Odd answers


@pytest.mark.parametrize("expires_in", [1e300, 10**12, 1e15])
def test_a_token_that_outlives_everybody_is_reported_without_a_date(
    run: Run, thebase: Sandbox, expires_in: float
) -> None:
    thebase.expires_in = expires_in
    code, out, err = run("check")
    assert (code, err) == (0, "")
    assert re.search(r"good for \d+ seconds\n", out)


def test_a_token_that_is_good_for_days_is_reported_with_the_date(run: Run, thebase: Sandbox) -> None:
    thebase.expires_in = 5 * 24 * 3600
    assert re.search(r"432000 seconds, until \d{4}-\d\d-\d\d \d\d:\d\d\n", run("check")[1])


@pytest.mark.parametrize(
    ("status", "body", "blame"),
    [
        (400, '{"error": "unsupported_grant_type"}', "the settings were not checked: "),
        (400, '{"error": "invalid_request"}', "the settings were not checked: "),
        (407, "", "a proxy refused the request: "),
    ],
)
def test_check_blames_neither_id_nor_secret_for_what_is_not_theirs(
    run: Run, thebase: Sandbox, status: int, body: str, blame: str
) -> None:
    thebase.answer_next("/oauth/token", status, body)
    assert run("check")[2].startswith(f"thebase-auth check: {blame}")


def answering(*raw: bytes) -> Any:
    """A server that answers each connection with these bytes, whatever they are."""

    @contextmanager
    def serving() -> Iterator[str]:
        with socket.create_server(("127.0.0.1", 0)) as listener:

            def serve() -> None:
                for answer in raw:
                    connection = listener.accept()[0]
                    with connection:
                        connection.recv(65536)
                        connection.sendall(answer)

            thread = threading.Thread(target=serve, daemon=True)
            thread.start()
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
            thread.join(10)

    return serving()


def test_what_is_no_http_commands_no_terminal(run: Run) -> None:
    with answering(b"\x1b]0;EVIL\x07\x1b[31m\r\n\r\n") as domain:
        code, _, err = run("check", "--domain", domain)
    assert (code, err.count("\n")) == (3, 1)
    assert "\x1b" not in err
    assert "\x07" not in err


def test_json_commands_no_terminal(run: Run, thebase: Sandbox) -> None:
    odd = {"a": "x\x9b31m\x7f\u202e\U000e0001 שלום 💫"}
    thebase.answer_next("GET *", 200, json.dumps(odd, ensure_ascii=False))
    out = run("request", "GET", "/v2/users")[1]
    assert json.loads(out) == odd
    assert r"x\u009b31m\u007f\u202e\udb40\udc01 שלום 💫" in out


@pytest.mark.parametrize(
    ("body", "content_type", "shown"),
    [
        ("שלום", "text/html", "שלום"),
        ("שלום", "text/html; charset=utf-8", "שלום"),
        ("שלום".encode("cp1255"), "text/html; charset=windows-1255", "שלום"),
        ("שלום", "text/html; charset=undefined", "שלום"),
        ("שלום", "text/html; charset=nonsense", "שלום"),
        (b"\xff", "text/html", "\N{REPLACEMENT CHARACTER}"),
        ("[" * 100_000, "application/json", "[" * 100_000),
    ],
    ids=["no charset", "UTF-8", "windows-1255", "undefined", "nonsense", "no text", "depth"],
)
def test_text_is_shown_in_the_encoding_that_it_is_in(
    run: Run, thebase: Sandbox, body: str | bytes, content_type: str, shown: str
) -> None:
    thebase.answer_next("GET *", 200, body, content_type)
    assert run("request", "GET", "/v2/users")[1] == f"{shown}\n"


# requests leaves the connection to the collector when it fails so.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_redirect_that_cannot_be_read_is_not_an_answer(run: Run, thebase: Sandbox) -> None:
    thebase.redirect_next("GET *", "/\xe9")
    code, out, err = run("request", "GET", "/v2/users")
    gc.collect()
    assert (code, out) == (3, "")
    assert "cannot be read: " in err


def test_at_a_terminal_json_is_in_colours_and_a_long_one_is_not_waited_for(
    run: Run, thebase: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    thebase.answer_next("GET *", 200, json.dumps({"a": ["many words " * 20]}))
    thebase.answer_next("GET *", 200, json.dumps(["a" * 100_000]))
    out = run("request", "GET", "/v2/users")[1]
    assert "\x1b[" in out
    assert "many words " * 19 in out  # there is no terminal, in which they would have to fit
    assert "\x1b[" not in run("request", "GET", "/v2/users")[1]
