"""Fixtures of the core's tests."""

from __future__ import annotations

import pytest

from tests.support.shared_tokens import TOKEN, renew
from thebase_auth._core.shared_token import SharedToken


@pytest.fixture
def shared() -> SharedToken:
    return SharedToken()


@pytest.fixture
def renewed(shared: SharedToken) -> SharedToken:
    """One that has a token."""
    renew(shared, TOKEN)
    return shared
