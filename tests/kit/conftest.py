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
def api() -> Iterator[httpx.Client]:
    """A client of a sandbox without a port, which carries a token."""
    sandbox = Sandbox()
    transport = httpx.WSGITransport(app=sandbox.wsgi)
    with httpx.Client(transport=transport, base_url="https://acme.thebase.co.il", headers=JSON) as client:
        client.headers.update(bearer(sandbox, client))
        yield client
