# The pytest fixtures `thebase`, `thebase_auth` and `thebase_env`.
#
# Here: the fixtures, which pytest finds by an entry point. pytest loads this module in every run of a
# project that has the package installed, so it imports nothing but pytest; the sandbox is imported
# when a test asks for it. Not here: the sandbox (testing).

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from ._combined import TheBaseAuth
    from .testing import Sandbox


@pytest.fixture
def thebase() -> Iterator[Sandbox]:
    """A TheBase on loopback, fresh for each test: a `thebase_auth.testing.Sandbox` that runs."""
    from .testing import Sandbox

    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def thebase_auth(thebase: Sandbox) -> TheBaseAuth:
    """A `thebase_auth.TheBaseAuth` for the sandbox of this test, for each library installed."""
    from . import TheBaseAuth

    return TheBaseAuth(thebase.domain, thebase.client_id, thebase.client_secret)


@pytest.fixture
def thebase_env(thebase: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """The sandbox of this test, its settings in the environment for `TheBaseAuth.from_env()`."""
    monkeypatch.setenv("THEBASE_DOMAIN", thebase.domain)
    monkeypatch.setenv("THEBASE_CLIENT_ID", thebase.client_id)
    monkeypatch.setenv("THEBASE_CLIENT_SECRET", thebase.client_secret)
    return thebase
