"""Where the settings come from: options, the environment, a profile, a .env file, a file, a prompt."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.support.command_line import Run, at_a_terminal, command
from thebase_auth.testing import Sandbox

posix = pytest.mark.skipif(os.name != "posix", reason="permissions and folders of POSIX")


# Options and the environment


@pytest.mark.parametrize("value", [None, ""])
def test_missing_setting_is_named(run: Run, monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    name = "THEBASE_CLIENT_ID"
    monkeypatch.delenv(name) if value is None else monkeypatch.setenv(name, value)
    message = f"thebase-auth: missing in the environment: {name} (or --client-id)\n"
    assert run("check") == (2, "", message)


def test_all_missing_settings_are_named_without_a_prompt() -> None:
    env = dict.fromkeys(("THEBASE_DOMAIN", "THEBASE_CLIENT_ID", "THEBASE_CLIENT_SECRET"), "")
    message = (
        "thebase-auth: missing in the environment: THEBASE_DOMAIN (or --domain), THEBASE_CLIENT_ID (or"
        " --client-id), THEBASE_CLIENT_SECRET (or --secret-file)\n"
    )
    assert at_a_terminal("check", **env) == (2, message)


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


@pytest.mark.parametrize("client_id", ["-abc..", "-Vz", "_a..", "--abc.."])
def test_client_id_may_begin_with_a_dash(run: Run, thebase: Sandbox, client_id: str) -> None:
    thebase.client.client_id = client_id
    assert run("check", "--client-id", client_id)[0] == 0
    assert run("check", f"--client-id={client_id}")[0] == 0


# The secret


@pytest.mark.parametrize("content", ["{}", "{}\n", "\ufeff{}\r\n"])
def test_secret_is_read_from_a_file_or_stdin(
    run: Run, thebase: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str
) -> None:
    monkeypatch.delenv("THEBASE_CLIENT_SECRET")
    path = tmp_path / "secret"
    path.write_bytes(content.format(thebase.client_secret).encode())
    assert run("check", "--secret-file", str(path))[0] == 0
    with path.open() as stdin:
        assert command("check", "--secret-file", "-", stdin=stdin).returncode == 0


def test_secret_is_not_asked_for_without_a_terminal() -> None:
    done = command("check", env={"THEBASE_CLIENT_SECRET": ""}, stdin=subprocess.DEVNULL)
    message = "thebase-auth: missing in the environment: THEBASE_CLIENT_SECRET (or --secret-file)\n"
    assert (done.returncode, done.stderr) == (2, message)


def test_secret_is_asked_for_at_a_terminal_and_not_shown(thebase: Sandbox) -> None:
    typed = f"{thebase.client_secret}\n"
    code, shown = at_a_terminal("check", typed=typed, THEBASE_CLIENT_SECRET="")
    assert code == 0
    assert shown.startswith("Client secret: \n")
    assert "granted" in shown
    assert thebase.client_secret not in shown


@pytest.mark.parametrize("key", ["\x03", "\x04"], ids=["Ctrl-C", "Ctrl-D"])
def test_prompt_can_be_left_with_130(run: Run, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    def left(_: str) -> str:
        raise KeyboardInterrupt if key == "\x03" else EOFError

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

        [bare]

        ["סניף צפון"]
        domain = "north.invalid"
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
def test_setting_missing_in_a_profile_is_not_taken_from_elsewhere(run: Run, profiles: Path) -> None:
    message = (
        f"thebase-auth: missing in the profile bare of {profiles}: domain (or --domain), client_id (or"
        " --client-id), client_secret (or --secret-file)\n"
    )
    assert run("check", "--profile", "bare") == (2, "", message)


@posix
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
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


def dotenv(thebase: Sandbox, path: Path) -> Path:
    path.write_text(
        f"# of the sandbox\nexport THEBASE_DOMAIN={thebase.domain}\nTHEBASE_CLIENT_ID='{thebase.client_id}'\n"
        f'THEBASE_CLIENT_SECRET="{thebase.client_secret}"\n'
    )
    return path


def test_env_file_replaces_the_environment(run: Run, profiles: Path, thebase: Sandbox) -> None:
    path = dotenv(thebase, profiles.with_name(".env"))
    assert run("check", "--env-file", str(path))[0] == 0
    assert os.environ["THEBASE_DOMAIN"] == "elsewhere.invalid"


def test_env_file_is_read_only_if_named(
    run: Run, thebase: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dotenv(thebase, tmp_path / ".env")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("THEBASE_DOMAIN")
    assert run("check")[0] == 2
    assert run("check", "--env-file", ".env")[0] == 0


# Files that cannot be used

NO_FILE = (None, "[Errno 2] No such file or directory: '{path}'")


@posix
@pytest.mark.parametrize(
    ("option", "content", "message"),
    [
        ("--secret-file", *NO_FILE),
        ("--secret-file", b"\xff\xfe", "{path} is not UTF-8"),
        ("--secret-file", b"", "client secret is empty"),
        ("--secret-file", b"a\nb\n", "client secret has a control or invisible character (U+000A)"),
        ("--profile", *NO_FILE),
        ("--profile", b"[here]\n\xff", "{path} is not UTF-8"),
        ("--profile", b"[here", "{path} is not TOML: "),
        ("--profile", b"", "{path} has no such profile; it has: none"),
        ("--profile", b"here = 1", "{path} has no such profile; it has: here"),
        ("--profile", b"[a]\n[b]", "{path} has no such profile; it has: a, b"),
        ("--profile", b"[here]\nclient-id = 'a'", "missing in the profile here of {path}: domain (or --dom"),
        ("--profile", b"[here]\ndomain = 7\nclient_id = 'a'\nclient_secret = 'b'", "domain must be text, "),
        ("--env-file", *NO_FILE),
        ("--env-file", b"\xff", "{path} is not UTF-8"),
        ("--env-file", b"THEBASE_DOMAIN\nTHEBASE_CLIENT_ID=\n", "missing in {path}: THEBASE_DOMAIN (or --do"),
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
