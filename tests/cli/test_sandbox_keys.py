"""The command `sandbox` at a terminal: its keys, its flags, and the terminal as it was at the end."""

from __future__ import annotations

import itertools
import os
import signal
import socket
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from tests.support.command_line import Run
from tests.support.sandbox import GRANT
from thebase_auth._cli import _keys, _sandbox
from thebase_auth.testing import Sandbox
from thebase_auth.testing._levers import KEYS

if sys.platform == "win32":
    pytest.skip("needs a terminal of POSIX", allow_module_level=True)

from tests.support.terminal import Terminal

SANDBOX = ("-W", "error", "-m", "thebase_auth", "sandbox")


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    with Terminal(*SANDBOX) as terminal:
        yield terminal


@pytest.fixture
def client(terminal: Terminal) -> Iterator[httpx.Client]:
    """A client of the sandbox at the terminal, which carries a token."""
    found = terminal.wait_for(r"DOMAIN=(.+)\n.+ID=(.+)\n.+SECRET=(.+)\n(.|\n)*q  end\n")
    domain, *pair = found.group(1, 2, 3)
    with httpx.Client(base_url=domain) as client:
        token = client.post("/oauth/token", auth=(pair[0], pair[1]), data=GRANT).json()["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        terminal.wait_for("POST /oauth/token 200\n")
        yield client


def test_a_legend_says_what_the_keys_do(terminal: Terminal) -> None:
    legend = terminal.wait_for(r"Keys:\n(  . .+\n)+")[0]
    for key in KEYS:
        assert f"  {key.key}  {key.text}\n" in legend
    assert max(map(len, legend.splitlines())) <= 60
    terminal.type("?")
    terminal.wait_for("\n" + legend.replace("?", r"\?"))


def test_a_key_pulls_its_lever_at_once(terminal: Terminal, client: httpx.Client) -> None:
    assert client.get("/v2/users").status_code == 200
    terminal.type("r")
    terminal.wait_for(r"\d\d:\d\d:\d\d revoke_tokens\n")
    assert client.get("/v2/users").status_code == 401
    terminal.wait_for(r"GET /v2/users 401 \(revoked token\)\n")
    terminal.type("A")
    terminal.wait_for(r'answer_next {"call": "\*", "status": 503, "times": 1}\n')
    assert client.get("/v2/users").status_code == 503
    terminal.wait_for(r"GET /v2/users 503 \(answered by a lever\)\n")


def test_keys_are_known_while_the_keyboard_is_set_to_hebrew(terminal: Terminal, client: httpx.Client) -> None:
    terminal.type("ר")
    terminal.wait_for("revoke_tokens\n")
    terminal.type("/")
    assert terminal.process.wait(10) == 0


def test_a_lever_that_cannot_be_pulled_is_reported(terminal: Terminal, client: httpx.Client) -> None:
    terminal.type("g")
    terminal.wait_for(r"\d\d:\d\d:\d\d '\*' is not refused; refused are \[\]\n")
    assert client.get("/v2/users").status_code == 200


def test_only_what_is_pressed_by_itself_is_a_key() -> None:
    # A datagram is read in one piece, as what is pasted is, or what an arrow key sends.
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with here, there:
        for text in ("z", "\x1b[D", "export THEBASE_DOMAIN=x", "rx", "R", "ר", "ש"):
            here.send(text.encode())
        pressed = _keys._read_keys(there.fileno())
        assert [next(pressed) for _ in range(4)] == ["z", "r", "r", "a"]


def test_a_key_that_is_none_does_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(_sandbox, "listen", lambda: nullcontext(iter(["z", "q", "r"])))
    monkeypatch.setattr(_sandbox, "attached", lambda: True)
    _sandbox._pull_by_keys(Sandbox())
    assert capsys.readouterr().out == f"{_sandbox._LEGEND}\n"


def test_a_signal_just_before_the_wait_is_seen_within_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    # It interrupts nothing then: only Python itself, between two waits, can act on it.
    waits: list[float] = []

    def select(*arguments: Any) -> Any:
        waits.append(arguments[3])
        if len(waits) == 2:
            raise KeyboardInterrupt
        return [], [], []

    monkeypatch.setattr("select.select", select)
    with pytest.raises(KeyboardInterrupt):
        next(_keys._read_keys(0))
    assert waits == [1, 1]


def test_levers_that_are_pulled_over_http_are_shown(terminal: Terminal, client: httpx.Client) -> None:
    client.post("/_sandbox/revoke_tokens", json={})
    terminal.wait_for(r"\d\d:\d\d:\d\d revoke_tokens\n")


@pytest.mark.parametrize("end", ["q", "\x03", "\x1c", "SIGINT", "SIGTERM"])
def test_the_terminal_is_left_as_it_was(terminal: Terminal, end: str) -> None:
    terminal.wait_for("q  end\n")
    terminal.type("r")
    terminal.wait_for("revoke_tokens\n")
    assert terminal.attributes() != terminal.attributes_before
    if end.startswith("SIG"):
        terminal.process.send_signal(getattr(signal, end))
    else:
        terminal.type(end)
    assert terminal.process.wait(10) == 0
    assert terminal.attributes() == terminal.attributes_before


def test_back_in_the_foreground_keys_are_read_again(terminal: Terminal) -> None:
    terminal.wait_for("q  end\n")
    terminal.set_attributes(terminal.attributes_before)  # as a shell does, when the command is stopped
    terminal.process.send_signal(signal.SIGCONT)
    deadline = time.monotonic() + 10
    while terminal.attributes() == terminal.attributes_before:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    terminal.type("r")
    terminal.wait_for("revoke_tokens\n")


def test_in_the_background_there_are_no_keys_and_the_terminal_is_left_alone() -> None:
    job = "import subprocess, sys; subprocess.run(sys.argv[1:], process_group=0, timeout=20)"
    with Terminal("-c", job, sys.executable, *SANDBOX) as terminal:
        shown = terminal.wait_for(r"DOMAIN=(.+)\n(.|\n)*467 kB.*\n")
        assert terminal.attributes() == terminal.attributes_before
        assert httpx.get(f"{shown[1]}/v2/users").status_code == 401
        terminal.wait_for(r"GET /v2/users 401 \(no token\)\n")
        assert "Keys" not in shown[0]


def test_a_terminal_that_goes_away_takes_the_keys_and_leaves_the_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", interrupted)
    end_to_read, end_to_write = os.pipe()
    os.write(end_to_write, b"r")
    pressed = _keys._read_keys(end_to_read)
    assert next(pressed) == "r"
    os.close(end_to_write)
    with pytest.raises(KeyboardInterrupt):
        next(pressed)
    os.close(end_to_read)
    with pytest.raises(KeyboardInterrupt):
        next(_keys._read_keys(end_to_read))


def test_from_the_background_the_terminal_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    master, slave = os.openpty()
    before = termios.tcgetattr(slave)
    answers = iter([True, False, False])
    monkeypatch.setattr(_keys, "attached", lambda: next(answers))
    with _keys._posix_keys(slave):
        during = termios.tcgetattr(slave)
        assert during != before
        termios.tcsetattr(slave, termios.TCSANOW, before)  # the shell's, again
        signal.raise_signal(signal.SIGCONT)
        assert termios.tcgetattr(slave) == before
        termios.tcsetattr(slave, termios.TCSANOW, during)
    assert termios.tcgetattr(slave) == during
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    os.close(master)
    os.close(slave)


@pytest.mark.parametrize("in_foreground", [True, False])
def test_a_shell_gets_the_terminal_as_it_was_when_the_sandbox_is_stopped(
    monkeypatch: pytest.MonkeyPatch, in_foreground: bool
) -> None:
    master, slave = os.openpty()
    before = termios.tcgetattr(slave)
    stops: list[Any] = []
    monkeypatch.setattr(_keys, "attached", lambda: True)
    monkeypatch.setattr(
        signal,
        "raise_signal",
        lambda number: stops.append((number, signal.getsignal(number), termios.tcgetattr(slave))),
    )
    with _keys._posix_keys(slave):
        during = termios.tcgetattr(slave)
        monkeypatch.setattr(_keys, "attached", lambda: in_foreground)
        os.kill(os.getpid(), signal.SIGTSTP)
        assert stops == [(signal.SIGTSTP, signal.SIG_DFL, before if in_foreground else during)]
        assert termios.tcgetattr(slave) == during  # back again
    assert signal.getsignal(signal.SIGTSTP) is signal.SIG_DFL
    os.close(master)
    os.close(slave)


def test_without_stdin_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    assert not _keys.attached()


def test_a_terminal_that_controls_nobody_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    master, slave = os.openpty()
    with open(slave) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        assert not _keys.attached()
    os.close(master)


def test_keys_are_read_on_windows_too(monkeypatch: pytest.MonkeyPatch) -> None:
    # As its documentation says; this was not run there.
    typed = iter(["R", "\xe0", "K", "ק", "\x03"])
    ready = itertools.cycle([0, 1])
    msvcrt: Any = SimpleNamespace(kbhit=lambda: next(ready), getwch=lambda: next(typed))
    monkeypatch.setitem(sys.modules, "msvcrt", msvcrt)
    pressed = _keys._windows_keys()
    assert [next(pressed), next(pressed)] == ["r", "e"]
    with pytest.raises(KeyboardInterrupt):
        next(pressed)


# Flags


def test_flags_are_the_settings_to_which_a_reset_returns() -> None:
    flags = ("--expires-in", "60", "--token-lifetime", "0.5", "--single-token",
             "--refuse", "DELETE *", "--refuse", "/v2/sms/*")  # fmt: skip
    with Terminal(*SANDBOX, *flags) as terminal:
        url = terminal.wait_for(r"\n  (http.+/_sandbox/)\n")[1]
        status = httpx.get(f"{url}status").json()
        client_id = status["client_id"]
        assert status["refused"][client_id] == ["/v2/sms/*", "DELETE *"]
        assert status["settings"] == {
            "expires_in": 60,
            "token_lifetime": 0.5,
            "single_token": True,
            "error_page_size": 1000,
        }
        for lever, arguments in (("settings", {"single_token": False}), ("allow", {"call": "DELETE *"})):
            assert httpx.post(url + lever, json=arguments).json() != status
        assert httpx.post(f"{url}reset", json={}).json() == status


def test_a_token_lives_as_long_as_it_says_unless_told_otherwise() -> None:
    with Terminal(*SANDBOX, "--expires-in", "7") as terminal:
        url = terminal.wait_for(r"\n  (http.+/_sandbox/)\n")[1]
        settings = httpx.get(f"{url}status").json()["settings"]
        assert (settings["expires_in"], settings["token_lifetime"]) == (7, 7)


def test_the_page_of_a_401_is_short() -> None:
    with Terminal(*SANDBOX) as terminal:
        domain = terminal.wait_for(r"DOMAIN=(.+)\n")[1]
        answer = httpx.get(f"{domain}/v2/users")
        assert (answer.headers["content-type"], len(answer.content)) == ("text/html; charset=utf-8", 1000)


def test_what_is_refused_must_be_a_call(run: Run) -> None:
    code, out, err = run("sandbox", "--refuse", "users")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("thebase-auth sandbox: --refuse: 'users' is not a call; write a method")
