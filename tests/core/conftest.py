"""Fixtures of the core's tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.bodies import CONTENT
from tests.support.renewals import (
    TOKEN,
    lead,
)
from thebase_auth._renewal import Renewal


@pytest.fixture
def renewal() -> Renewal:
    return Renewal()


@pytest.fixture
def renewed(renewal: Renewal) -> Renewal:
    lead(renewal).land(TOKEN)
    return renewal


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "content"
    path.write_bytes(CONTENT)
    return path
