"""Fixtures of the command line's tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.command_line import Run
from thebase_auth._cli import main
from thebase_auth.testing import Sandbox


@pytest.fixture(autouse=True)
def _settings(monkeypatch: pytest.MonkeyPatch, thebase: Sandbox, tmp_path: Path) -> None:
    """Settings of the sandbox in the environment, and a cache and profiles of this test's own."""
    monkeypatch.setenv("THEBASE_DOMAIN", thebase.domain)
    monkeypatch.setenv("THEBASE_CLIENT_ID", thebase.client_id)
    monkeypatch.setenv("THEBASE_CLIENT_SECRET", thebase.client_secret)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], thebase: Sandbox) -> Run:
    """Run the command; exit code, stdout and stderr. The secret is in neither."""

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(arguments)
        out, err = capsys.readouterr()
        assert thebase.client_secret not in out + err
        return code, out, err

    return run
