"""Fixtures of the core's tests."""

from __future__ import annotations

import pytest

from tests.support.renewals import a_renewal, renew
from thebase_auth._core.renewal import Renewal
from thebase_auth._core.token import Token


@pytest.fixture
def renewal() -> Renewal:
    return a_renewal()


@pytest.fixture
def token(renewal: Renewal) -> Token:
    """The token that is in use."""
    return renew(renewal)
