"""The command line as a whole: arguments, help, errors, streams, Ctrl-C, completion."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command_line import COMMAND, Run, at_a_terminal, command
from thebase_auth._cli import main
from thebase_auth.testing import Sandbox

COMMANDS = ["check", "demo", "request", "sandbox", "token"]

BLOCKED = """\
import runpy, sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in sys.argv[0].split():
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.argv.pop(0)
sys.meta_path.insert(0, Block())
runpy.run_module("thebase_auth", run_name="__main__")
"""

posix = pytest.mark.skipif(os.name != "posix", reason="streams and signals of POSIX")


def without(libraries: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command in a process in which *libraries* cannot be imported."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", BLOCKED, libraries, *arguments],
        capture_output=True, encoding="utf-8", timeout=20, check=False,
    )  # fmt: skip


# Missing libraries


@pytest.mark.parametrize(
    ("library", "arguments", "extra"),
    [
        ("click", "--help", "'cli'"), ("requests", "check", "'cli'"), ("platformdirs", "token", "'file'"),
        ("dotenv", f"check --env-file {os.devnull}", "'cli'"),
    ],
)  # fmt: skip
def test_missing_library_is_named_with_its_extra(library: str, arguments: str, extra: str) -> None:
    done = without(library, *arguments.split())
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert re.fullmatch(f"thebase-auth: .*{library}.* install the extra {extra}\n", done.stderr)


def test_token_without_a_cache_needs_no_library_for_it() -> None:
    assert without("platformdirs filelock dotenv httpx uvicorn", "token", "--no-cache").returncode == 0


def test_help_needs_click_alone() -> None:
    assert without("requests httpx uvicorn platformdirs", "check", "--help").returncode == 0


# Help and arguments


def test_help_lists_commands_settings_and_exit_codes(run: Run) -> None:
    code, out, _ = run("--help")
    assert code == 0
    assert re.findall(r"^  (\w+)  ", out, re.MULTILINE) == COMMANDS
    assert re.findall(r"^    (\d)  ", out, re.MULTILINE) == ["0", "1", "2", "3"]
    for name in ("THEBASE_DOMAIN", "THEBASE_CLIENT_ID", "THEBASE_CLIENT_SECRET", "--profile", "--env-file"):
        assert name in out
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_refers_to_that_of_all(run: Run, name: str) -> None:
    code, out, _ = run(name, "--help")
    assert (code, run(name, "-h")[1]) == (0, out)
    assert out.startswith(f"Usage: thebase-auth {name} ")
    assert out.endswith("\n  Settings and exit codes: thebase-auth --help\n")


def test_no_command_shows_the_help_as_an_error(run: Run) -> None:
    help_ = run("--help")[1]
    assert (run(), run("-h")) == ((2, "", help_), (0, help_, ""))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("dmeo", "No such command 'dmeo'. Did you mean 'demo'?; see thebase-auth --help"),
        ("check hunter2", "too many arguments; see thebase-auth check --help"),
        ("check --timeout soon", "Invalid value for '--timeout': 'soon' is not a valid float; see"),
        ("token --no-cache=hunter2", "Option '--no-cache' does not take a value; see thebase-auth"),
    ],
)
def test_wrong_arguments_are_one_line(run: Run, arguments: str, message: str) -> None:
    code, out, err = run(*arguments.split())
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"thebase-auth: {message}")
    assert "hunter2" not in err


@pytest.mark.parametrize(
    "given",
    ["check --client-secret hunter2", "token --secret=hunter2", "request GET /v2/users --password hunter2"],
)
def test_secret_is_rejected_as_an_argument(run: Run, thebase: Sandbox, given: str) -> None:
    code, out, err = run(*given.split())
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "the client secret is not taken from an argument" in err
    assert "--secret-file" in err
    assert "hunter2" not in err
    assert thebase.received == ()


# Streams


def test_output_is_the_same_at_a_terminal_and_in_a_pipe(thebase: Sandbox) -> None:
    text = {"items": [{"text": "שלום " * 100, "id": 1, "none": None}]}
    thebase.answer_next("GET *", 200, json.dumps(text), times=2)
    code, shown = at_a_terminal("request", "GET", "/v2/users", FORCE_COLOR="1")
    done = command("request", "GET", "/v2/users", env={"FORCE_COLOR": "1"})
    assert code == done.returncode == 0
    assert shown == done.stderr + done.stdout
    assert done.stdout == json.dumps(text, indent=2, ensure_ascii=False) + "\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("arguments", ["--help", "request GET /v2/users"])
def test_full_disk_is_one_line(arguments: str) -> None:
    with open("/dev/full", "w") as full:
        done = command(*arguments.split(), stdout=full)
    errors = [line for line in done.stderr.splitlines() if not line.startswith("GET ")]
    assert (done.returncode, errors) == (2, ["thebase-auth: [Errno 28] No space left on device"])


@posix
def test_reader_that_has_gone_is_no_traceback() -> None:
    """As in ``thebase-auth request ... | head -0``."""
    end_to_read, end_to_write = os.pipe()
    os.close(end_to_read)
    done = command("request", "GET", "/v2/users", stdout=end_to_write)
    os.close(end_to_write)
    assert done.stderr == "GET /v2/users: 200 OK\n"


@posix
@pytest.mark.parametrize(("closed", "err"), [(">&-", "GET /v2/users: 200 OK\n"), ("2>&-", "")])
def test_streams_may_be_closed(closed: str, err: str) -> None:
    shell = ["sh", "-c", f'exec "$@" {closed}', "sh"]
    done = subprocess.run(
        [*shell, *COMMAND, "request", "GET", "/v2/users"],
        capture_output=True, encoding="utf-8", timeout=30, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, err)
    assert "200 OK" not in done.stdout


def test_output_may_be_any_text_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    assert main(["check"]) == 0
    assert "granted" in out.getvalue()


def test_hebrew_is_escaped_in_a_code_page_without_it() -> None:
    done = command("request", "GET", "/v2/users", env={"PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0"})
    assert (done.returncode, done.stderr) == (0, "GET /v2/users: 200 OK\n")
    assert r"\u05de\u05e9\u05d4" in done.stdout


# Ctrl-C


@posix
def test_ctrl_c_during_a_call_ends_with_130(thebase: Sandbox) -> None:
    with thebase.hold_token_requests():
        running = subprocess.Popen([*COMMAND, "check"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        thebase.wait_for_token_requests(1)
        running.send_signal(signal.SIGINT)
        assert running.communicate(timeout=20) == (b"", b"\n")
        assert running.returncode == 130


def test_ctrl_c_before_a_command_runs_ends_with_130(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("thebase_auth._cli._run", interrupted)
    assert run("check") == (130, "", "")


# Completion


BASH = """
eval "$(_THEBASE_AUTH_COMPLETE=bash_source thebase-auth)"
COMP_WORDS=(thebase-auth to) COMP_CWORD=1
$(complete -p thebase-auth | sed 's/.*-F \\([^ ]*\\).*/\\1/') thebase-auth to thebase-auth
echo "${COMPREPLY[@]}"
"""


@pytest.mark.skipif(shutil.which("bash") is None, reason="this machine has no bash")
def test_shell_completes_a_command(tmp_path: Path) -> None:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-c", BASH],
        env={**os.environ, "PATH": path, "HOME": str(tmp_path)},
        capture_output=True, encoding="utf-8", timeout=60, check=False,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("token\n", "")
