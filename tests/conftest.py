"""Fixtures that many test files share."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import trustme
from hypothesis import HealthCheck, settings

from tests.support.certificates import Certificates
from tests.support.clients import ALL_CLIENTS, CLIENTS
from tests.support.clock import Clock
from thebase_auth._core import warnings

# How long the property tests look. A busy machine is no fault of what is tested.
settings.register_profile("normal", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("quick", settings.get_profile("normal"), max_examples=25, stateful_step_count=25)
settings.register_profile("long", settings.get_profile("normal"), max_examples=2000, stateful_step_count=60)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("thebase_auth")
    group.addoption(
        "--all-clients",
        action="store_true",
        help="run with each HTTP library in each of its forms (eight), not with four for all of them",
    )
    group.addoption(
        "--slow", action="store_true", help="run the tests that take longer than two seconds, too"
    )


@pytest.hookimpl(tryfirst=True)  # before pytest-timeout looks
def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("filterwarnings", "error")
    # Of httpx and httpx2 under trio, whenever a response is not read to its end.
    config.addinivalue_line("filterwarnings", "ignore:Async generator .(httpcore|httpx):ResourceWarning")
    if config.getoption("timeout", 120) is None:
        config.option.timeout = 120  # seconds
    slow = config.getoption("--slow")
    settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "normal" if slow else "quick"))
    if config.getoption("--all-clients"):
        CLIENTS[:] = ALL_CLIENTS
    # A parent that ignores them (nohup, a script's `&`) passes that on, and nothing could be interrupted.
    for name in ("SIGINT", "SIGHUP", "SIGQUIT"):
        number = getattr(signal, name, None)  # Windows has the first of them
        if number is not None and signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    os.umask(0o022)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """More than there are processors: many tests wait for a server or a process."""
    processors = os.cpu_count() or 1
    return processors + processors // 2


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the slow tests out, unless they were asked for or are all that was."""
    slow = [item for item in items if item.get_closest_marker("slow")]
    if config.getoption("--slow") or len(slow) == len(items):
        return
    items[:] = [item for item in items if item not in slow]
    config.hook.pytest_deselected(items=slow)


@pytest.fixture(scope="session")
def _one_authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Whom a client trusts unless told otherwise. To load the authorities of the world takes it some 6 ms."""
    path = tmp_path_factory.mktemp("authorities") / "one.pem"
    trustme.CA().cert_pem.write_to_path(path)
    return path


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, _one_authority: Path) -> None:
    """No proxy, no .netrc and no settings of the machine that runs the tests."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name.startswith("THEBASE_"):
            monkeypatch.delenv(name)
    # The options of this run are not for those that some tests start.
    for name in ("NETRC", "PYTEST_ADDOPTS", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SSL_CERT_FILE", str(_one_authority))
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture(autouse=True)
def _other_tests_have_fetched_nothing() -> None:
    """Each test is its own process, as far as warnings about many auth objects go."""
    warnings._first_fetches.clear()


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    """Run each async test on asyncio and on trio."""
    return request.param


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock by which pauses and waits are measured, in the hands of the test."""
    clock = Clock()
    for module in ("flight", "renewal", "token"):
        monkeypatch.setattr(f"thebase_auth._core.{module}.time", clock)
    return clock


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """A private certificate authority, as a company has one."""
    folder = tmp_path_factory.mktemp("certificates")
    authority = trustme.CA()
    server = authority.issue_cert("localhost", "127.0.0.1")
    paths = {name: str(folder / name) for name in ("authority", "certificate", "key")}
    authority.cert_pem.write_to_path(paths["authority"])
    server.cert_chain_pems[0].write_to_path(paths["certificate"])
    server.private_key_pem.write_to_path(paths["key"])
    return Certificates(**paths)
