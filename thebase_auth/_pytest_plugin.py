# The pytest fixtures `thebase`, `thebase_auth`, `thebase_env` and `make_thebase`; whether levers were used.
#
# pytest finds them by an entry point, and loads this module in every run of a project that has the package
# installed. So it imports nothing but pytest; the sandbox is imported when a test asks for it.

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._combined import TheBaseAuth
    from .testing import Sandbox

_ALLOW_UNUSED: Final = "thebase_allow_unused"
_LOOPBACK: Final = "127.0.0.1,localhost"


def pytest_configure(config: pytest.Config) -> None:
    """Make our marker known."""
    config.addinivalue_line(
        "markers",
        f"{_ALLOW_UNUSED}: levers of the fixture thebase, such as answer_next, may be left at the end",
    )


@pytest.hookimpl(trylast=True)  # after the test, and not at all if that has raised
def pytest_runtest_call(item: pytest.Item) -> None:
    """Fail a test that passed, but left levers of its sandbox unused."""
    # Ours, or what a project has put in its place.
    sandbox: Any = getattr(item, "funcargs", {}).get("thebase")
    if hasattr(sandbox, "assert_levers_used") and item.get_closest_marker(_ALLOW_UNUSED) is None:
        try:
            sandbox.assert_levers_used()
        except AssertionError as error:
            advice = f"If it need not be used, mark the test: @pytest.mark.{_ALLOW_UNUSED}"
            raise pytest.fail.Exception(f"{error}\n{advice}", pytrace=False) from None


@pytest.fixture
def thebase() -> Iterator[Sandbox]:
    """A fake TheBase server on loopback, new for each test: a `thebase_auth.testing.Sandbox`.

    A test that passes, but leaves levers such as `answer_next` unused, fails at its end, unless it has the
    marker `thebase_allow_unused`.
    """
    from .testing import Sandbox

    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def make_thebase() -> Iterator[Callable[..., Sandbox]]:
    """A function that starts a sandbox for the whole session, for fixtures of any scope.

    It takes the arguments of `thebase_auth.testing.Sandbox`. Call `reset()` of what it returns between tests,
    and `assert_levers_used()` where you want that.
    """
    from .testing import Sandbox

    with ExitStack() as running:
        yield lambda **options: running.enter_context(Sandbox(**options))


@pytest.fixture
def thebase_auth(thebase: Sandbox) -> TheBaseAuth:
    """A `thebase_auth.TheBaseAuth` for the sandbox of this test, for requests, httpx and httpx2."""
    from . import TheBaseAuth

    return TheBaseAuth(thebase.domain, thebase.client_id, thebase.client_secret)


@pytest.fixture
def thebase_env(thebase: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """The sandbox of this test, its settings in the environment for `TheBaseAuth.from_env()`.

    No proxy of the environment is used for loopback.
    """
    monkeypatch.setenv("THEBASE_DOMAIN", thebase.domain)
    monkeypatch.setenv("THEBASE_CLIENT_ID", thebase.client_id)
    monkeypatch.setenv("THEBASE_CLIENT_SECRET", thebase.client_secret)
    # In lower case it wins, where both are set.
    others = os.environ.get("no_proxy") or os.environ.get("NO_PROXY")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "*" if others == "*" else ",".join(filter(None, [_LOOPBACK, others])))
    return thebase
