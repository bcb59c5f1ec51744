"""Settings from a profile, and from a .env file."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command_line import Run, command
from thebase_auth._cli import main
from thebase_auth.testing import Sandbox

posix = pytest.mark.skipif(os.name != "posix", reason="permissions and folders of POSIX")


@pytest.fixture
def profiles(tmp_path: Path, thebase: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of profiles, of which `here` is the sandbox. The environment is of another TheBase."""
    monkeypatch.setenv("THEBASE_DOMAIN", "elsewhere.invalid")
    monkeypatch.setenv("THEBASE_CLIENT_ID", "another..")
    monkeypatch.setenv("THEBASE_CLIENT_SECRET", "another-secret..")
    path = tmp_path / "config" / "thebase_auth" / "profiles.toml"
    path.parent.mkdir(parents=True)
    path.write_text(
        f"""
        [here]
        domain = "{thebase.domain}"
        client_id = "{thebase.client_id}"
        client_secret = "{thebase.client_secret}"

        [bare]

        ["סניף צפון"]
        domain = "north.invalid"
        """,
        "utf-8",
    )
    path.chmod(0o600)
    return path


def dotenv(thebase: Sandbox, path: Path) -> Path:
    path.write_text(
        f"# of the sandbox\nexport THEBASE_DOMAIN={thebase.domain}\nTHEBASE_CLIENT_ID='{thebase.client_id}'\n"
        f'THEBASE_CLIENT_SECRET="{thebase.client_secret}"\n'
    )
    return path


# Profiles


@posix
def test_a_profile_takes_the_place_of_the_environment(run: Run, profiles: Path, thebase: Sandbox) -> None:
    assert run("check", "--profile", "here")[0] == 0
    assert run("request", "GET", "/v2/users", "--profile=here")[0] == 0
    assert thebase.token_requests == 2


@posix
def test_an_option_goes_before_a_profile(run: Run, profiles: Path) -> None:
    code, _, err = run("check", "--profile", "here", "--client-id", "other..")
    assert code == 1
    assert "wrong client id or client secret" in err


@posix
def test_what_a_profile_lacks_does_not_come_from_the_environment(run: Run, profiles: Path) -> None:
    code, _, err = run("check", "--profile", "bare")
    assert code == 2
    assert err == (
        f"thebase-auth check: domain, client_id and client_secret are not in the profile bare of {profiles};"
        " set them, or use --domain, --client-id and --secret-file\n"
    )


@posix
def test_a_secret_that_a_profile_lacks_is_asked_for(
    run: Run, profiles: Path, thebase: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = profiles.read_text("utf-8")
    profiles.write_text(text.replace(f'client_secret = "{thebase.client_secret}"', ""), "utf-8")
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr("getpass.getpass", lambda _: thebase.client_secret)
    assert run("check", "--profile", "here")[0] == 0


@posix
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o660, 0o644])
def test_profiles_that_others_can_open_are_refused_with_the_command_that_mends_it(
    run: Run, profiles: Path, thebase: Sandbox, mode: int
) -> None:
    profiles.chmod(mode)
    code, out, err = run("check", "--profile", "here")
    assert (code, out, thebase.received) == (2, "", ())
    assert err == f"thebase-auth check: {profiles} is open to other users; run: chmod 600 {profiles}\n"
    subprocess.run(err.rpartition("run: ")[2], shell=True, check=True)  # noqa: S602 - as a user would
    assert run("check", "--profile", "here")[0] == 0


@posix
@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "your file of profiles, {path}, cannot be read: No such file or directory"),
        (b"[here]\n\xff", "your file of profiles, {path}, cannot be read: it is not UTF-8"),
        (b"[here", "{path} is not TOML: "),
        (b"a=" + b"[" * 5000 + b"]" * 5000, "{path} is not TOML: "),
        (b"", "{path} has no profile of that name; it has none"),
        (b"here = 1", "{path} has no profile of that name; it has here"),
        (b"[a]\n[b]\n[c]", "{path} has no profile of that name; it has a, b and c"),
        (
            b"[here]\nclient-id = 'a'",
            "client-id in the profile here of {path}: a profile has domain, client_id",
        ),
        (b"[here]\ndomain = 7", "domain in the profile here of {path}: a profile has domain, client_id"),
    ],
)
def test_a_profile_that_cannot_be_it_is_one_line(
    run: Run, profiles: Path, content: bytes | None, told: str
) -> None:
    profiles.unlink() if content is None else profiles.write_bytes(content)
    code, out, err = run("check", "--profile", "here")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"thebase-auth check: {told.format(path=profiles)}")


# A .env file


def test_an_env_file_takes_the_place_of_the_environment(run: Run, profiles: Path, thebase: Sandbox) -> None:
    path = dotenv(thebase, profiles.with_name(".env"))
    assert run("check", "--env-file", str(path))[0] == 0
    assert os.environ["THEBASE_DOMAIN"] == "elsewhere.invalid"


def test_what_others_make_of_an_env_file_is_not_told(thebase: Sandbox, tmp_path: Path) -> None:
    path = dotenv(thebase, tmp_path / ".env")
    path.write_text(f"if true; then\n{path.read_text()}")
    done = command("check", "--env-file", str(path), env={"THEBASE_DOMAIN": ""})
    assert (done.returncode, done.stderr) == (0, "")


def test_an_env_file_is_not_read_unless_it_is_asked_for(
    run: Run, thebase: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dotenv(thebase, tmp_path / ".env")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("THEBASE_DOMAIN")
    assert run("check")[0] == 2
    assert run("check", "--env-file", ".env")[0] == 0


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "the file {path} cannot be read: No such file or directory"),
        (b"\xff", "the file {path} cannot be read: it is not UTF-8"),
        (
            b"OTHER=1",
            "THEBASE_DOMAIN, THEBASE_CLIENT_ID and THEBASE_CLIENT_SECRET are not in {path}; set them",
        ),
        (
            b"THEBASE_DOMAIN\nTHEBASE_CLIENT_ID=\n",
            "THEBASE_DOMAIN, THEBASE_CLIENT_ID and THEBASE_CLIENT_SECRET",
        ),
    ],
)
def test_an_env_file_that_cannot_be_it_is_one_line(
    run: Run, tmp_path: Path, content: bytes | None, told: str
) -> None:
    path = tmp_path / "env"
    if content is not None:
        path.write_bytes(content)
    code, out, err = run("check", "--env-file", str(path))
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"thebase-auth check: {told.format(path=path)}")


def test_a_profile_and_an_env_file_are_one_too_many(run: Run) -> None:
    code, _, err = run("check", "--profile", "here", "--env-file", ".env")
    assert (code, err) == (2, "thebase-auth check: --profile and --env-file cannot be used together\n")


# Completion


def completed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: str) -> list[str]:
    """What bash is offered for the last of the *words*."""
    monkeypatch.setenv("_THEBASE_AUTH_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split(" ")) - 1))
    assert main([]) == 0
    return [line.partition(",")[2] for line in capsys.readouterr().out.split("\n") if line]


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("thebase-auth ", ["check", "token", "request", "demo", "sandbox"]),
        ("thebase-auth t", ["token"]),
        ("thebase-auth token --n", ["--no-cache", "--new"]),
        ("thebase-auth check --se", ["--secret-file"]),
        ("thebase-auth check --profile ", ["here", "bare", "סניף צפון"]),
        ("thebase-auth check --profile h", ["here"]),
    ],
)
@posix
def test_what_can_be_typed_is_offered(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], profiles: Path, words: str,
    offered: list[str],
) -> None:  # fmt: skip
    assert completed(monkeypatch, capsys, words) == offered


def test_without_profiles_none_is_offered(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert completed(monkeypatch, capsys, "thebase-auth check --profile ") == []


SHELLS = {
    "bash": """
        eval "$(_THEBASE_AUTH_COMPLETE=bash_source thebase-auth)"
        COMP_WORDS=(thebase-auth to) COMP_CWORD=1
        $(complete -p thebase-auth | sed 's/.*-F \\([^ ]*\\).*/\\1/') thebase-auth to thebase-auth
        echo "${COMPREPLY[@]}"
    """,
    "fish": """
        _THEBASE_AUTH_COMPLETE=fish_source thebase-auth | source
        complete --do-complete "thebase-auth to"
    """,
    "zsh": """
        autoload -U compinit; compinit -D -u
        eval "$(_THEBASE_AUTH_COMPLETE=zsh_source thebase-auth)"
        _describe() { print -r -- ${(P)${@[-1]}} ${(P)${@[-2]}} }
        words=(thebase-auth to) CURRENT=2
        ${_comps[thebase-auth]}
    """,
}


@posix
@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_completes(shell: str, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"this machine has no {shell}")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        [shell, "-c", SHELLS[shell]],
        env={**os.environ, "PATH": path, "HOME": str(tmp_path)},
        capture_output=True, encoding="utf-8", timeout=60, check=False,
    )  # fmt: skip
    assert "token" in done.stdout.split(), done
    assert "check" not in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize("command", [("check", "--secret-file", "-"), ("request", "GET", "/", "--json", "-")])
def test_only_one_file_is_read_from_stdin(run: Run, thebase: Sandbox, command: tuple[str, ...]) -> None:
    code, out, err = run(*command, "--env-file", "-")
    assert (code, out, thebase.received) == (2, "", ())
    assert (
        err == f"thebase-auth {command[0]}: only one of --env-file and {command[-2]} can be read from stdin\n"
    )
