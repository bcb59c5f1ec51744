"""Fixtures of the core's tests."""

from __future__ import annotations

import pytest

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
