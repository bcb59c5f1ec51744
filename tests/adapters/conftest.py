"""Fixtures of the adapters' tests."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.clients import pytest_generate_tests

__all__ = ["pytest_generate_tests"]


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """The texts of the warnings so far."""

    def texts() -> list[str]:
        records = [one for one in caplog.records if one.name == "thebase_auth"]
        return [one.getMessage() for one in records if one.levelno >= logging.WARNING]

    return texts


@pytest.fixture
def netrc(tmp_path: Path) -> None:
    """Another user's name and password for this machine, under both of its names, in ``.netrc``."""
    path = tmp_path / ".netrc"
    path.write_text(
        "machine 127.0.0.1 login someone password netrc-secret\n"
        "machine localhost login someone password netrc-secret\n"
    )
    path.chmod(0o600)
