"""The pytest plugin, as a project that has the package installed meets it."""

from __future__ import annotations

import os
import re
from importlib.metadata import entry_points
from pathlib import Path

import httpx
import pytest
import requests

from tests.support.pages import text_of
from tests.support.pythons import run_pytest
from thebase_auth import TheBaseAuth
from thebase_auth.testing import Sandbox


def test_fixtures_are_found_and_each_test_gets_its_own_sandbox(
    tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    [entry] = [one for one in entry_points(group="pytest11") if one.name == "thebase_auth"]
    assert entry.value == "thebase_auth._pytest_plugin"
    markers = pytestconfig.getini("markers")
    assert [one for one in markers if one.startswith("thebase_allow_unused: levers of the fixture")]
    ended = run_pytest(
        tmp_path,
        """
import httpx
import pytest
import requests

@pytest.mark.parametrize("number", range(2))
def test_users(thebase, thebase_auth, number):
    url = thebase.domain + "/v2/users"
    assert requests.get(url, auth=thebase_auth, timeout=5).json()["count"] == 2
    assert httpx.get(url, auth=thebase_auth).status_code == 200
    thebase.assert_received("*", times=3)

def test_another_sandbox(thebase, make_thebase):
    assert make_thebase(single_token=True).domain != thebase.domain
""",
    )
    assert "3 passed" in ended.stdout, ended.stdout


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("NO_PROXY", "", "127.0.0.1,localhost"),
        ("no_proxy", "intranet,*.il", "127.0.0.1,localhost,intranet,*.il"),
        ("no_proxy", "*", "*"),
    ],
)
def test_settings_are_in_the_environment_and_no_proxy_in_the_way(
    name: str, before: str, after: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    for proxy in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(proxy, "http://127.0.0.1:9")  # nobody listens there
    monkeypatch.setenv(name, before)
    thebase: Sandbox = request.getfixturevalue("thebase_env")
    assert thebase is request.getfixturevalue("thebase")
    assert os.environ["NO_PROXY"] == os.environ["no_proxy"] == after
    url = f"{thebase.domain}/v2/users"
    assert requests.get(url, auth=TheBaseAuth.from_env(), timeout=5).status_code == 200
    assert httpx.get(url, auth=TheBaseAuth.from_env()).status_code == 200


# Each test leaves a lever unused, or says by its name why it does not.
LEFT = """
import unittest
import pytest
import requests

@pytest.fixture(autouse=True)
def lever(thebase):
    thebase.answer_next("GET /v2/user", 503)

class TestLeft:
    def test_it(self, thebase):
        requests.get(thebase.domain + "/v2/users", timeout=5)

class Unit(unittest.TestCase):
    def test_left(self):
        pass

    def test_that_fails(self):
        self.fail("the real reason")

    def test_that_skips(self):
        self.skipTest("a good reason")

@pytest.mark.anyio
async def test_async():
    pass

def test_that_fails():
    assert None, "the real reason"

@pytest.mark.thebase_allow_unused
def test_allowed():
    pass

def test_used(thebase):
    requests.get(thebase.domain + "/v2/user", timeout=5)
"""
ASYNC = ("test_async[asyncio]", "test_async[trio]")


def test_unused_lever_fails_a_test_that_would_have_passed(tmp_path: Path) -> None:
    ended = run_pytest(tmp_path, LEFT, "-rf", "--strict-markers", COLUMNS="300")
    failed = dict(re.findall(r"^FAILED test_it\.py::(\S+) - (.*)$", ended.stdout, re.MULTILINE))
    reasons = {name: text for name, text in failed.items() if "the real reason" not in text}
    assert reasons.keys() == {"TestLeft::test_it", "Unit::test_left", *ASYNC}
    assert all(text.startswith("Failed: no request has used") for text in reasons.values())
    assert "6 failed, 2 passed, 1 skipped" in ended.stdout
    assert reasons["TestLeft::test_it"] in text_of("docs/testing/sandbox.md")
    assert "If it need not be used, mark the test: @pytest.mark.thebase_allow_unused" in ended.stdout
    assert "During handling of the above" not in ended.stdout


def test_nothing_is_loaded_where_no_test_asks_for_it(tmp_path: Path) -> None:
    ended = run_pytest(
        tmp_path,
        """
import sys
import pytest

@pytest.fixture
def thebase():
    return object()

def test_nothing_of_ours(thebase):
    assert "thebase_auth._pytest_plugin" in sys.modules
    assert not {name for name in sys.modules if name.startswith("thebase_auth.testing")}
    assert not {"uvicorn", "requests", "httpx", "httpx2"} & set(sys.modules)
""",
        "-pthebase_auth",
        # The plugins of others load what they need.
        PYTEST_DISABLE_PLUGIN_AUTOLOAD="1",
    )
    assert ended.returncode == 0, ended.stdout
