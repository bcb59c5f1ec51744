"""Fixtures of the adapters' tests."""

from __future__ import annotations

import logging
from collections.abc import Callable

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
