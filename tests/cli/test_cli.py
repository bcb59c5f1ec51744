"""The command line: arguments, exit codes, errors."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from thebase_auth import __version__
from thebase_auth._cli import main

BLOCKED = """\
import runpy, sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == sys.argv[0]:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.argv.pop(0)
sys.meta_path.insert(0, Block())
runpy.run_module("thebase_auth", run_name="__main__")
"""


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONUTF8": "1"},
        timeout=20,
        check=False,
    )


def without(library: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command in a process in which *library* cannot be imported."""
    return python("-c", BLOCKED, library, *arguments)


@pytest.mark.parametrize("library", ["rich", "dotenv"])
def test_demo_needs_no_library_that_its_extra_does_not_install(library: str) -> None:
    assert without(library, "demo").returncode == 0


@pytest.mark.parametrize("library", ["requests", "httpx", "uvicorn"])
def test_demo_names_the_extra_to_install_where_a_library_is_missing(library: str) -> None:
    ended = without(library, "demo")
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr == (f"thebase-auth demo: needs {library}: pip install 'thebase-auth[demo]'\n")


@pytest.mark.parametrize(
    ("library", "arguments"),
    [
        ("requests", "check"),
        ("rich", "token --no-cache"),
        ("dotenv", "check --env-file .env"),
        ("filelock", "token"),
        ("platformdirs", "request GET /v2/users"),
        ("uvicorn", "sandbox"),
    ],
)
def test_a_command_names_the_extra_to_install_where_a_library_is_missing(
    library: str, arguments: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DOMAIN", "CLIENT_ID", "CLIENT_SECRET"):
        monkeypatch.setenv(f"THEBASE_{name}", "x.example")
    ended = without(library, *arguments.split())
    assert (ended.returncode, ended.stdout) == (2, "")
    name = arguments.partition(" ")[0]
    assert ended.stderr == (f"thebase-auth {name}: needs {library}: pip install 'thebase-auth[cli]'\n")


def test_demo_names_the_extra_in_this_process_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "thebase_auth._cli._demo", raising=False)
    monkeypatch.setitem(sys.modules, "httpx", None)
    assert main(["demo"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "thebase-auth demo: needs httpx: pip install 'thebase-auth[demo]'\n"


def test_an_import_that_fails_for_another_reason_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "thebase_auth._cli._demo", raising=False)
    monkeypatch.setitem(sys.modules, "asyncio", None)
    with pytest.raises(ModuleNotFoundError, match="asyncio"):
        main(["demo"])


COMMANDS = ["check", "token", "request", "demo", "sandbox"]


def test_without_click_there_is_one_line() -> None:
    ended = without("click", "--help")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == "thebase-auth: needs click: pip install 'thebase-auth[cli]'\n"


def test_help_tells_the_commands_the_settings_and_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    told = re.findall(r"^  (\w+)  ", out, re.MULTILINE)
    assert told == [*COMMANDS, "domain", "0", "1", "2", "3"]
    for name in ("THEBASE_DOMAIN", "THEBASE_CLIENT_ID", "THEBASE_CLIENT_SECRET", "--profile", "--env-file"):
        assert name in out


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_refers_to_what_all_have_in_common(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([name, "--help"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"Usage: thebase-auth {name} ")
    assert out.endswith("\nSettings and exit codes: thebase-auth --help\n")
    assert "Exit codes:" not in out


def test_without_a_command_there_is_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--help"])
    shown = capsys.readouterr().out
    assert main([]) == 2
    assert capsys.readouterr() == ("", shown)


def test_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"thebase-auth {__version__}\n"


@pytest.mark.parametrize("library", ["requests", "httpx", "uvicorn", "rich"])
def test_version_and_help_need_no_library(library: str) -> None:
    assert without(library, "--version").stdout == f"thebase-auth {__version__}\n"
    assert without(library, "--help").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("dmeo", ": there is no such command (did you mean demo?); see thebase-auth --help"),
        ("bogus", ": there is no such command; see thebase-auth --help"),
        ("--versoin", ": there is no option --versoin (did you mean --version?); see thebase-auth --help"),
        ("demo --loud", " demo: there is no option --loud; see thebase-auth demo --help"),
        ("check --domian x", " check: there is no option --domian (did you mean --domain?); see"),
        ("check --secret-flie x", " check: there is no option --secret-flie (did you mean --secret-file?)"),
        ("check --client-secrte x", " check: there is no option --client-secrte; see thebase-auth check"),
        ("check more", " check: there are too many arguments; see thebase-auth check --help"),
        ("request GET", " request: missing argument 'PATH'; see thebase-auth request --help"),
        ("check --domain", " check: option '--domain' requires an argument; see thebase-auth check --help"),
    ],
)
def test_wrong_arguments_are_one_line_and_exit_code_2(
    arguments: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments.split()) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"thebase-auth{told}")
    assert captured.err.count("\n") == 1
