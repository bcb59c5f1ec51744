# The pytest fixtures `thebase` and `thebase_auth`.
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
