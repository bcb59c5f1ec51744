"""The command `sandbox`: what it prints, its flags, its end."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from tests.support.command_line import COMMAND, Run
from thebase_auth.testing import Sandbox

LAST_LINE = "467 kB"

posix = pytest.mark.skipif(os.name != "posix", reason="Ctrl-C by a signal")


@contextmanager
def sandbox(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command in a process of its own, and what it prints at the start."""
    with subprocess.Popen(
        [*COMMAND, "sandbox", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        encoding="utf-8", env={**os.environ, "PYTHONUTF8": "1"},
    ) as running:  # fmt: skip
        try:
            assert running.stdout is not None
            shown = ""
            while LAST_LINE not in shown:
                line = running.stdout.readline()
                assert line, running.communicate()
                shown += line
            running.stdout.readline()  # an empty one
            yield running, shown
        finally:
            running.kill()


def domain_in(shown: str) -> str:
    [domain] = re.findall(r"THEBASE_DOMAIN=(.+)", shown)
    return str(domain)


@posix
def test_it_prints_settings_and_each_request_until_ctrl_c(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with sandbox("--expires-in", "7") as (running, shown):
        assert running.stdout is not None
        settings, limited = (
            dict(re.findall(r"^  (?:# )?export (\w+)=(.+)$", part, re.MULTILINE))
            for part in shown.split("A client without permission to delete:")
        )
        assert f"\n  {settings['THEBASE_DOMAIN']}/_sandbox/\n" in shown
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        assert "good for 7 seconds" in run("check")[1]
        assert run("request", "GET", "/v2/א%1b" + "a" * 1000, "--no-cache")[0] == 1
        for name, value in limited.items():
            monkeypatch.setenv(name, value)
        code, rejected, _ = run("request", "DELETE", "/v2/products/1", "--no-cache")
        assert (code, '"code": "Unauthorized"' in rejected) == (1, True)
        domain = settings["THEBASE_DOMAIN"]
        in_force = httpx.get(f"{domain}/_sandbox/status").json()["settings"]
        assert in_force == {"expires_in": 7, "token_lifetime": 7, "single_token": False}
        with pytest.raises(httpx.ConnectError):
            httpx.get(domain.replace("http", "https"))
        httpx.post(f"{domain}/_sandbox/revoke_tokens", json={})
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=10)
        lines = out.splitlines()
        assert re.fullmatch(r"\d\d:\d\d:\d\d POST /oauth/token 200", lines[0])
        assert any(" DELETE /v2/products/1 401 (" in line for line in lines)
        assert [len(line) for line in lines if r"GET /v2/א\u001baaa" in line] == [509]
        assert any(line.endswith(" - - 400 (TLS on a port without it; use http://)") for line in lines)
        assert lines[-1].endswith(" revoke_tokens")
        assert (running.returncode, err.strip()) == (130, "")


@posix
def test_it_responds_after_its_reader_has_gone() -> None:
    with sandbox() as (running, shown):
        assert running.stdout is not None
        running.stdout.close()
        url = f"{domain_in(shown)}/v2/users"
        assert [httpx.get(url).status_code for _ in range(2)] == [401, 401]
        running.send_signal(signal.SIGINT)
        assert running.wait(10) == 130


def test_flags_are_the_settings_to_which_a_reset_returns() -> None:
    flags = ("--expires-in", "60", "--token-lifetime", "0.5", "--single-token",
             "--refuse", "DELETE *", "--refuse", "/v2/sms/*", "--host", "localhost")  # fmt: skip
    with sandbox(*flags) as (_, shown):
        url = f"{domain_in(shown)}/_sandbox/"
        assert url.startswith("http://localhost:")
        status = httpx.get(f"{url}status").json()
        assert status["refused"][status["client_id"]] == ["/v2/sms/*", "DELETE *"]
        assert status["settings"] == {"expires_in": 60, "token_lifetime": 0.5, "single_token": True}
        for lever, arguments in (("settings", {"single_token": False}), ("allow", {"call": "DELETE *"})):
            assert httpx.post(url + lever, json=arguments).json() != status
        assert httpx.post(f"{url}reset", json={}).json() == status


def test_a_port_in_use_is_one_line(run: Run, thebase: Sandbox) -> None:
    port = thebase.domain.rpartition(":")[2]
    code, out, err = run("sandbox", "--port", port)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err == f"thebase-auth: 127.0.0.1, port {port}: Address already in use\n"


@pytest.mark.parametrize(
    "wrong",
    ["--port=65536", "--expires-in=0", "--token-lifetime=0", "--refuse=users", "--host=http://thebase"],
)
def test_wrong_flags_are_one_line(run: Run, wrong: str) -> None:
    code, out, err = run("sandbox", wrong)
    option, _, value = wrong.partition("=")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert option in err or repr(value) in err
