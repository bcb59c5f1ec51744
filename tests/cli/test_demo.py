"""The command `demo`: what it tells, and that it notices when something else happens."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.command_line import Run
from thebase_auth._cli import _demo, main
from thebase_auth.testing import Sandbox, SandboxClient

STORY = """\
A fake TheBase server on this machine, requests, httpx,
and one TheBaseAuth. This is what the server records:

ok  the first call: token request, 200
    the server revokes the token
ok  creating a lead: 401, token request, 201
    the server revokes the token of 100 threads
ok  100 x 401, token request, 100 x 200
ok  all threads get their response: 100 x 200
    the server revokes the token of 100 tasks
ok  100 x 401, token request, 100 x 200
ok  all tasks get their response: 100 x 200
ok  in all: 4 token requests

All it takes: session.auth = TheBaseAuth(...)
"""


def run_with(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[int, str]:
    """The exit code and the output of the demo with this sandbox; no secret is in it."""
    monkeypatch.setattr(_demo, "Sandbox", lambda: sandbox)
    code = main(["demo"])
    out, err = capsys.readouterr()
    assert err == ""
    for request in sandbox.received:
        assert request.headers["authorization"].partition(" ")[2] not in out
    assert sandbox.client_secret not in out
    return code, out


def test_demo_tells_its_story_whatever_the_proxy_and_netrc(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password something")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert run("demo") == (0, STORY, "")
    assert max(map(len, STORY.splitlines())) <= 60  # columns of its picture


class NeverRevokes(Sandbox):
    """A sandbox that keeps every token alive."""

    def revoke_tokens(self, client: SandboxClient | None = None) -> None:
        """Do nothing."""


def test_demo_fails_if_no_token_is_revoked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out = run_with(NeverRevokes(), monkeypatch, capsys)
    assert code == 1
    assert "NO  creating a lead: expected 401, token request, 201; got 201\n" in out
    assert "NO  expected 100 x 401, token request, 100 x 200; got 100 x 200\n" in out
    assert "NO  in all: expected 4 token requests; got 1 token requests\n" in out
    assert "All it takes" not in out


def test_demo_fails_if_the_token_request_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sandbox = Sandbox()
    sandbox.answer_next("/oauth/token", 503, "<h1>Service Unavailable</h1>", "text/html")
    code, out = run_with(sandbox, monkeypatch, capsys)
    assert code == 1
    assert "NO  every call gets a response: expected yes; got TokenRequestError: " in out
