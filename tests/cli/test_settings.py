"""Where the settings come from: options, the environment, a profile, a .env file, a file, a prompt."""

from __future__ import annotations

import io
import os
import subprocess
from pathlib import Path

import pytest

from tests.support.command_line import Run, at_a_terminal
from thebase_auth.testing import Sandbox

posix = pytest.mark.skipif(os.name != "posix", reason="permissions and folders of POSIX")


# Options and the environment


@pytest.mark.parametrize("value", [None, ""])
def test_missing_setting_is_named(run: Run, monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    name = "THEBASE_CLIENT_ID"
    monkeypatch.delenv(name) if value is None else monkeypatch.setenv(name, value)
    message = f"thebase-auth: missing in the environment: {name} (or --client-id)\n"
    assert run("check") == (2, "", message)


def test_all_missing_settings_are_named_without_a_prompt(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    for name in ("THEBASE_DOMAIN", "THEBASE_CLIENT_ID", "THEBASE_CLIENT_SECRET"):
        monkeypatch.delenv(name)
    message = (
        "thebase-auth: missing in the environment: THEBASE_DOMAIN (or --domain), THEBASE_CLIENT_ID (or"
        " --client-id), THEBASE_CLIENT_SECRET (or --secret-file)\n"
    )
    assert run("check") == (2, "", message)


def test_options_precede_the_environment(
    run: Run, thebase: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text(thebase.client_secret)
    for name in ("DOMAIN", "CLIENT_ID", "CLIENT_SECRET"):
        monkeypatch.setenv(f"THEBASE_{name}", "wrong")
    options = ["--domain", thebase.domain, "--client-id", thebase.client_id]
    assert run("check", *options, "--secret-file", str(tmp_path / "secret"))[0] == 0


@pytest.mark.parametrize("option", ["--domain", "--client-id"])
def test_empty_option_is_not_replaced_by_the_environment(run: Run, thebase: Sandbox, option: str) -> None:
    code, _, err = run("check", option, "")
    assert (code, err.count("\n"), thebase.received) == (2, 1, ())
    assert "is empty" in err


# The secret


@pytest.mark.parametrize("name", ["{path}", "-"])
@pytest.mark.parametrize("content", ["{}", "{}\n", "\ufeff{}\r\n"])
def test_secret_is_read_from_a_file_or_stdin(
    run: Run, thebase: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str, name: str
) -> None:
    monkeypatch.delenv("THEBASE_CLIENT_SECRET")
    path = tmp_path / "secret"
    path.write_bytes(content.format(thebase.client_secret).encode())
    with path.open() as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        assert run("check", "--secret-file", name.format(path=path))[0] == 0


@pytest.mark.parametrize("stdin", [None, io.StringIO()], ids=["closed", "no terminal"])
def test_secret_is_not_asked_for_without_a_terminal(
    run: Run, monkeypatch: pytest.MonkeyPatch, stdin: io.StringIO | None
) -> None:
    monkeypatch.delenv("THEBASE_CLIENT_SECRET")
    monkeypatch.setattr("sys.stdin", stdin)
    message = "thebase-auth: missing in the environment: THEBASE_CLIENT_SECRET (or --secret-file)\n"
    assert run("check") == (2, "", message)


def test_secret_is_asked_for_at_a_terminal_and_not_shown(thebase: Sandbox) -> None:
    typed = f"{thebase.client_secret}\n"
    code, shown = at_a_terminal("check", typed=typed, THEBASE_CLIENT_SECRET="")
    assert code == 0
    assert shown.startswith("Client secret: \n")
    assert "granted" in shown
    assert thebase.client_secret not in shown


def test_prompt_can_be_left_with_130(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def left(_: str) -> str:
        raise KeyboardInterrupt

    monkeypatch.delenv("THEBASE_CLIENT_SECRET")
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("getpass.getpass", left)
    assert run("check") == (130, "", "\n")


# Profiles


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
        """,
        "utf-8",
    )
    path.chmod(0o600)
    return path


@posix
def test_profile_replaces_the_environment(run: Run, profiles: Path, thebase: Sandbox) -> None:
    assert run("check", "--profile", "here")[0] == 0
    assert run("request", "GET", "/v2/users", "--profile=here")[0] == 0
    assert thebase.token_requests == 2
    assert "wrong client id" in run("check", "--profile", "here", "--client-id", "other..")[2]


@posix
@pytest.mark.parametrize("mode", [0o640, 0o604])
def test_profiles_open_to_others_are_rejected_with_the_fix(
    run: Run, profiles: Path, thebase: Sandbox, mode: int
) -> None:
    profiles.chmod(mode)
    code, out, err = run("check", "--profile", "here")
    assert (code, out, thebase.received) == (2, "", ())
    assert err == f"thebase-auth: {profiles} is open to other users; run: chmod 600 {profiles}\n"
    subprocess.run(err.rpartition("run: ")[2], shell=True, check=True)  # noqa: S602 - as a user would
    assert run("check", "--profile", "here")[0] == 0


# A .env file


def test_env_file_replaces_the_environment_if_it_is_named(
    run: Run, profiles: Path, thebase: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(profiles.parent)
    Path(".env").write_text(
        f"# of the sandbox\nexport THEBASE_DOMAIN={thebase.domain}\nTHEBASE_CLIENT_ID='{thebase.client_id}'\n"
        f'THEBASE_CLIENT_SECRET="{thebase.client_secret}"\n'
    )
    assert run("check", "--env-file", ".env")[0] == 0
    assert os.environ["THEBASE_DOMAIN"] == "elsewhere.invalid"
    monkeypatch.delenv("THEBASE_DOMAIN")
    assert run("check")[0] == 2


# Files that cannot be used


@posix
@pytest.mark.parametrize(
    ("option", "content", "message"),
    [
        ("--secret-file", b"\xff\xfe", "{path} is not UTF-8"),
        ("--profile", b"[here", "{path} is not TOML: "),
        ("--profile", b"", "{path} has no such profile; it has: none"),
        ("--profile", b"here = 1\n[b]", "{path} has no such profile; it has: here, b"),
        ("--profile", b"[here]\nclient-id = 'a'", "missing in the profile here of {path}: domain (or --dom"),
        ("--profile", b"[here]\ndomain = 7\nclient_id = 'a'\nclient_secret = 'b'", "domain must be text, "),
        ("--env-file", None, "[Errno 2] No such file or directory: '{path}'"),
        ("--env-file", b"THEBASE_CLIENT_ID=\n", "missing in {path}: THEBASE_DOMAIN (or --do"),
    ],
)
def test_unusable_file_is_one_line(
    run: Run, profiles: Path, option: str, content: bytes | None, message: str
) -> None:
    profiles.unlink() if content is None else profiles.write_bytes(content)
    code, out, err = run("check", option, "here" if option == "--profile" else str(profiles))
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"thebase-auth: {message.format(path=profiles)}")


def test_profile_and_env_file_exclude_each_other(run: Run) -> None:
    code, _, err = run("check", "--profile", "here", "--env-file", ".env")
    assert (code, err) == (2, "thebase-auth: --profile and --env-file cannot be used together\n")
