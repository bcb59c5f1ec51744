"""Where the command line takes its settings from, and which it refuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command_line import Run, command
from tests.support.databases import free_port
from tests.support.sandbox import LEAD
from thebase_auth._cli import main
from thebase_auth.testing import Sandbox

# Where the settings come from


ALL = ("THEBASE_DOMAIN", "THEBASE_CLIENT_ID", "THEBASE_CLIENT_SECRET")


@pytest.mark.parametrize(
    ("name", "option"), [("THEBASE_DOMAIN", "--domain"), ("THEBASE_CLIENT_ID", "--client-id")]
)
def test_a_setting_that_is_nowhere_is_named(
    run: Run, monkeypatch: pytest.MonkeyPatch, name: str, option: str
) -> None:
    for value in (None, ""):
        monkeypatch.delenv(name) if value is None else monkeypatch.setenv(name, value)
        code, _, err = run("check")
        assert code == 2
        assert err == f"thebase-auth check: {name} is not set; set it, or use {option}\n"


@pytest.mark.parametrize("at_terminal", [False, True])
def test_all_settings_that_are_nowhere_are_named_at_once(
    run: Run, monkeypatch: pytest.MonkeyPatch, at_terminal: bool
) -> None:
    for name in ALL:
        monkeypatch.delenv(name)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: at_terminal)  # not asked for one that is of no use alone
    code, _, err = run("check")
    assert code == 2
    assert err == (
        "thebase-auth check: THEBASE_DOMAIN, THEBASE_CLIENT_ID and THEBASE_CLIENT_SECRET are not set; set"
        " them, or use --domain, --client-id and --secret-file\n"
    )
    assert (
        "THEBASE_CLIENT_ID and THEBASE_CLIENT_SECRET are not set; set them" in run("check", "--domain=a")[2]
    )


def test_an_option_goes_before_the_environment(
    run: Run, thebase: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text(thebase.client_secret + "\n")
    for name in ("DOMAIN", "CLIENT_ID", "CLIENT_SECRET"):
        monkeypatch.setenv(f"THEBASE_{name}", "wrong")
    options = ["--domain", thebase.domain, "--client-id", thebase.client_id]
    assert run("check", *options, "--secret-file", str(tmp_path / "secret"))[0] == 0


@pytest.mark.parametrize("client_id", ["-abc..", "-Vz", "_a.."])
@pytest.mark.parametrize("joined", [False, True])
def test_an_id_may_begin_with_a_dash(run: Run, thebase: Sandbox, client_id: str, joined: bool) -> None:
    thebase.client.client_id = client_id
    option = [f"--client-id={client_id}"] if joined else ["--client-id", client_id]
    assert run("check", *option)[0] == 0


def test_an_option_after_an_id_that_is_missing_is_not_taken_for_it(run: Run) -> None:
    code, _, err = run("check", "--client-id", "--timeout", "3")
    assert code == 2
    assert "--client-id" in err


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_the_secret_is_read_from_a_file(
    run: Run, thebase: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, end: str, mark: str
) -> None:
    monkeypatch.delenv("THEBASE_CLIENT_SECRET")
    path = tmp_path / "secret"
    path.write_bytes(f"{mark}{thebase.client_secret}{end}".encode())
    assert run("check", "--secret-file", str(path))[0] == 0


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"\xff\xfe", "cannot be read: it is not UTF-8"),
        (b"", "has 0 lines; it must have one"),
        (b"a\nb\n", "has 2 lines; it must have one"),
    ],
)
def test_a_secret_file_that_cannot_be_it_is_refused(
    run: Run, tmp_path: Path, content: bytes | None, text: str
) -> None:
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)
    code, _, err = run("check", "--secret-file", str(path))
    assert code == 2
    assert err == f"thebase-auth check: the secret file {path} {text}\n"


def test_the_secret_is_read_from_stdin(thebase: Sandbox) -> None:
    done = command("check", "--secret-file", "-", input=f"{thebase.client_secret}\n")
    assert (done.returncode, done.stderr) == (0, "")


def test_without_a_terminal_nobody_is_asked_for_the_secret() -> None:
    done = command("check", env={"THEBASE_CLIENT_SECRET": ""}, stdin=subprocess.DEVNULL)
    assert done.returncode == 2
    assert done.stderr == (
        "thebase-auth check: THEBASE_CLIENT_SECRET is not set; set it, or use --secret-file\n"
    )


def test_at_a_terminal_the_secret_is_asked_for_and_not_shown(thebase: Sandbox) -> None:
    try:
        here, there = os.openpty()
    except (AttributeError, OSError):
        pytest.skip("this machine has no pseudo-terminals")
    with open(there, "rb", buffering=0) as stdin, open(here, "r+b", buffering=0) as terminal:
        asking = subprocess.Popen(
            [sys.executable, "-m", "thebase_auth", "check"],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "THEBASE_CLIENT_SECRET": ""},
            start_new_session=True,  # away from the terminal of the tests, if they have one
        )
        assert asking.stderr is not None
        assert asking.stderr.read(len("Client secret: ")) == b"Client secret: "
        terminal.write(f"{thebase.client_secret}\n".encode())
        out, err = asking.communicate(timeout=20)
        assert (asking.returncode, err) == (0, b"\n")
        assert b"granted" in out
        echoed = os.read(here, 1000) if _has_output(here) else b""
        assert thebase.client_secret.encode() not in echoed + out


def _has_output(terminal: int) -> bool:
    import select

    return bool(select.select([terminal], [], [], 0)[0])


@pytest.mark.parametrize("name", ["check", "token", "request GET /v2/users"])
@pytest.mark.parametrize(
    "given",
    [
        "--client-secret hunter2",
        "--client-secret=hunter2",
        "--secret hunter2",
        "--password hunter2",
        "--client-secret",
    ],
)
def test_the_secret_is_not_taken_from_an_argument(run: Run, thebase: Sandbox, name: str, given: str) -> None:
    code, out, err = run(*name.split(), *given.split())
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "the client secret is not taken from an argument" in err
    assert "--secret-file" in err
    assert "hunter2" not in err
    assert thebase.received == ()


@pytest.mark.parametrize("given", ["hunter2", "--secrte=hunter2", "--secrte hunter2", "--sec hunter2"])
def test_an_argument_that_is_not_understood_is_not_repeated(run: Run, given: str) -> None:
    code, _, err = run("check", *given.split())
    assert code == 2
    assert "hunter2" not in err
    if given.startswith("--"):
        assert given.partition("=")[0].partition(" ")[0] in err


# Odd settings


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_json_goes_out_in_utf_8_without_a_mark_or_not_at_all(
    run: Run, thebase: Sandbox, tmp_path: Path, encoding: str
) -> None:
    path = tmp_path / "lead.json"
    path.write_text(json.dumps(LEAD, ensure_ascii=False), encoding)
    code = run("request", "POST", "/v2/leads/create", "--json", f"@{path}")[0]
    assert code == (0 if encoding == "utf-8-sig" else 2)
    sent = [one.body for one in thebase.calls("POST /v2/leads/create")]
    assert sent == ([json.dumps(LEAD, ensure_ascii=False).encode()] if code == 0 else [])


def test_a_secret_from_stdin_may_begin_with_a_mark(thebase: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = f"\ufeff{thebase.client_secret}\n"
    monkeypatch.delenv("THEBASE_CLIENT_SECRET")
    assert command("check", "--secret-file", "-", input=secret).returncode == 0


@pytest.mark.parametrize("option", ["--domain", "--client-id"])
def test_an_option_that_is_empty_is_not_taken_from_the_environment(
    run: Run, thebase: Sandbox, option: str
) -> None:
    code, _, err = run("check", option, "")
    assert (code, err.count("\n"), thebase.received) == (2, 1, ())
    assert "is empty" in err


@pytest.mark.parametrize("given", ["", "--secret-file -"])
def test_who_gives_no_secret_at_the_prompt_is_told_how_to(
    run: Run, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    def nothing(_: str) -> str:
        raise EOFError  # Ctrl-D

    monkeypatch.delenv("THEBASE_CLIENT_SECRET")
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr("getpass.getpass", nothing)
    code, out, err = run("check", *given.split())
    assert (code, out) == (2, "")
    assert err == "\nthebase-auth check: THEBASE_CLIENT_SECRET is not set; set it, or use --secret-file\n"


def test_ctrl_c_at_the_prompt_ends_its_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: str) -> str:
        raise KeyboardInterrupt

    monkeypatch.delenv("THEBASE_CLIENT_SECRET")
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr("getpass.getpass", interrupted)
    assert run("check") == (130, "", "\n")


def test_an_id_may_begin_with_two_dashes(run: Run, thebase: Sandbox) -> None:
    thebase.client.client_id = "--abc.."
    assert run("check", "--client-id", "--abc..")[0] == 0


@pytest.mark.parametrize("value", ["1e10", "1e300", "inf"])
def test_a_time_that_no_machine_can_wait_is_refused(run: Run, value: str) -> None:
    code, _, err = run("check", "--timeout", value)
    assert (code, err.count("\n")) == (2, 1)


@pytest.mark.parametrize("option", ["--client-secret", "--secret", "--password"])
def test_the_secret_is_not_taken_from_an_argument_before_the_command_either(run: Run, option: str) -> None:
    for given in ([option, "hunter2"], [f"{option}=hunter2"]):
        code, out, err = run(*given, "check")
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert "the client secret is not taken from an argument" in err
        assert "hunter2" not in err


@pytest.mark.parametrize("arguments", ["hunter2 check", "token --no-cache=hunter2"])
def test_what_is_given_in_the_wrong_place_is_not_repeated(run: Run, arguments: str) -> None:
    code, _, err = run(*arguments.split())
    assert (code, err.count("\n")) == (2, 1)
    assert "hunter2" not in err


@pytest.mark.parametrize("name", ["check", "token", "request GET /v2/users"])
def test_what_is_not_encrypted_does_not_leave_this_machine_for_a_proxy(
    run: Run, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for variable in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(variable, f"http://127.0.0.1:{free_port()}")
    assert run(*name.split())[0] == 0


def test_a_user_without_a_home_goes_on_without_a_kept_token(
    run: Run, monkeypatch: pytest.MonkeyPatch, thebase: Sandbox
) -> None:
    def nowhere(*_: object, **__: object) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr("platformdirs.user_cache_path", nowhere)
    for name in ("token", "request GET /v2/users"):
        code, _, err = run(*name.split())
        assert code == 0
        assert "the token is not kept: Could not determine home directory.\n" in err
    assert thebase.token_requests == 2


def test_ctrl_c_while_the_arguments_are_read_ends_quietly(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("thebase_auth._cli._run", interrupted)
    assert main(["check"]) == 130
    assert capsys.readouterr() == ("", "")
