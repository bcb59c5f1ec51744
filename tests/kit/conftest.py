"""Fixtures of the kit's tests."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.support.sandbox import JSON, bearer
from thebase_auth.testing import Sandbox


@pytest.fixture
def client(thebase: Sandbox) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=thebase.domain, headers=JSON) as client:
        yield client


@pytest.fixture
def api(thebase: Sandbox, client: httpx.Client) -> httpx.Client:
    """A client that carries a token."""
    client.headers.update(bearer(thebase, client))
    return client
