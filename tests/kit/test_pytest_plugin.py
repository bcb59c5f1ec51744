"""The pytest plugin, as a project that has the package installed meets it."""

from __future__ import annotations

import os
import re
from importlib.metadata import entry_points
from pathlib import Path

import httpx
import pytest
import requests

from tests.support import ROOT
from tests.support.pythons import run_pytest
from thebase_auth import TheBaseAuth
from thebase_auth.testing import Sandbox


def test_the_fixtures_give_a_running_sandbox_and_an_auth_for_it(
    thebase: Sandbox, thebase_auth: TheBaseAuth
) -> None:
    url = f"{thebase.domain}/v2/users"
    assert requests.get(url, auth=thebase_auth, timeout=5).status_code == 200
    assert httpx.get(url, auth=thebase_auth).status_code == 200
    thebase.assert_received("POST /oauth/token", times=1)


def test_settings_in_the_environment_reach_code_that_makes_its_own_auth(
    thebase: Sandbox, thebase_env: Sandbox
) -> None:
    assert thebase_env is thebase
    auth = TheBaseAuth.from_env()
    assert requests.get(f"{auth.base_url}/v2/users", auth=auth, timeout=5).status_code == 200
    thebase.assert_received("GET /v2/users", times=1)


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("NO_PROXY", "", "127.0.0.1,localhost"),
        ("NO_PROXY", "intranet", "127.0.0.1,localhost,intranet"),
        ("no_proxy", "intranet,*.il", "127.0.0.1,localhost,intranet,*.il"),
        ("no_proxy", "*", "*"),
    ],
)
def test_with_its_settings_no_proxy_of_the_environment_is_in_the_way(
    name: str, before: str, after: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    for proxy in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(proxy, "http://127.0.0.1:9")  # nobody listens there
    monkeypatch.setenv(name, before)
    thebase = request.getfixturevalue("thebase_env")
    assert os.environ["NO_PROXY"] == os.environ["no_proxy"] == after
    url = f"{thebase.domain}/v2/users"
    assert requests.get(url, auth=TheBaseAuth.from_env(), timeout=5).status_code == 200
    assert httpx.get(url, auth=TheBaseAuth.from_env()).status_code == 200


def test_a_factory_makes_sandboxes_for_fixtures_of_any_scope(tmp_path: Path) -> None:
    ended = run_pytest(
        tmp_path,
        """
import pytest
import requests

@pytest.fixture(scope="session")
def shared(make_thebase):
    return make_thebase(single_token=True)

@pytest.fixture
def thebase(shared):
    shared.reset()
    return shared

domains = set()

@pytest.mark.parametrize("number", range(3))
def test_users(thebase, thebase_auth, number):
    domains.add(thebase.domain)
    assert len(domains) == 1
    assert thebase.single_token
    requests.get(thebase.domain + "/v2/users", auth=thebase_auth, timeout=5).raise_for_status()
    thebase.assert_received("*", times=2)

def test_another(make_thebase, shared):
    assert make_thebase().domain != shared.domain
""",
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "4 passed" in ended.stdout


LEFT = """
import unittest
import pytest
import requests

class TestLeft:
    def test_it(self, thebase_env):
        thebase_env.answer_next("GET /v2/user", 503)
        requests.get(thebase_env.domain + "/v2/users", timeout=5)

class Unit(unittest.TestCase):
    @pytest.fixture(autouse=True)
    def take(self, thebase):
        self.thebase = thebase

    def test_left(self):
        self.thebase.drop_next("POST *")

    def test_used(self):
        self.thebase.delay_next("*", 0)
        requests.get(self.thebase.domain, timeout=5)

    def test_that_fails(self):
        self.thebase.drop_next("POST *")
        self.fail("the real reason")

    def test_that_skips(self):
        self.thebase.drop_next("POST *")
        self.skipTest("a good reason")

@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_async(thebase, anyio_backend):
    thebase.delay_next("/v2/users", 1)

def test_that_fails(thebase):
    thebase.delay_next("/v2/users", 1)
    assert thebase is None, "the real reason"

@pytest.mark.xfail(strict=True)
def test_that_is_expected_to_fail(thebase):
    thebase.delay_next("/v2/users", 1)
    assert thebase is None

@pytest.mark.thebase_allow_unused
def test_allowed(thebase):
    thebase.delay_next("/v2/users", 1)

def test_of_another_fixture(another):
    pass

@pytest.fixture
def another(thebase):
    return thebase

class TestReplaced:
    @pytest.fixture
    def thebase(self):
        return object()

    def test_it(self, thebase):
        pass
"""


def test_a_lever_that_nothing_used_fails_a_test_that_would_have_passed(tmp_path: Path) -> None:
    ended = run_pytest(tmp_path, LEFT, "-rA", "--strict-markers", COLUMNS="300")
    told = dict(
        re.findall(r"^(?:FAILED|PASSED|XFAIL) test_it\.py::(\S+)(?: - (.*))?$", ended.stdout, re.MULTILINE)
    )
    for name, text in told.items():
        real = "that_fails" in name
        assert ("the real reason" in text) == real, told
        assert text.startswith("Failed: no request has used") == (not real and name in FAILING), told
    assert {name for name in told if told[name]} == FAILING
    assert "6 failed, 4 passed, 1 skipped, 1 xfailed" in ended.stdout
    page = (ROOT / "docs" / "testing" / "sandbox.md").read_text("utf-8")
    assert told["TestLeft::test_it"] in page
    assert "If it need not be used, mark the test: @pytest.mark.thebase_allow_unused" in ended.stdout
    assert "During handling of the above" not in ended.stdout


FAILING = {
    "TestLeft::test_it",
    "Unit::test_left",
    "Unit::test_that_fails",
    "test_async[asyncio]",
    "test_async[trio]",
    "test_that_fails",
}


def test_each_test_gets_its_own_sandbox(thebase: Sandbox) -> None:
    assert thebase.received == ()


def test_pytest_finds_the_plugin_by_itself(tmp_path: Path) -> None:
    [entry] = [one for one in entry_points(group="pytest11") if one.name == "thebase_auth"]
    assert entry.value == "thebase_auth._pytest_plugin"
    ended = run_pytest(
        tmp_path,
        """
import requests

def test_users(thebase, thebase_auth):
    thebase.revoke_tokens()
    response = requests.get(thebase.domain + "/v2/users", auth=thebase_auth, timeout=5)
    assert response.json()["count"] == 2
    thebase.assert_received("GET /v2/users", times=1)
""",
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "1 passed" in ended.stdout


def test_where_no_test_asks_for_it_nothing_of_it_is_loaded(tmp_path: Path) -> None:
    ended = run_pytest(
        tmp_path,
        """
import sys

def test_nothing():
    loaded = {name for name in sys.modules if name.startswith("thebase_auth.")}
    assert not {name for name in loaded if "testing" in name}
    assert "thebase_auth._pytest_plugin" in loaded
    assert not {"uvicorn", "requests", "httpx", "httpx2"} & set(sys.modules)
""",
        *("-p", "thebase_auth"),
        # The plugins of others load what they need.
        PYTEST_DISABLE_PLUGIN_AUTOLOAD="1",
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_its_fixtures_are_listed_with_what_they_are(tmp_path: Path) -> None:
    listed = run_pytest(tmp_path, "", "--fixtures", "-v").stdout
    assert "A TheBase on loopback, fresh for each test" in listed
    assert "A `thebase_auth.TheBaseAuth` for the sandbox of this test" in listed
    assert "The sandbox of this test, its settings in the environment" in listed
    assert "A function that starts a TheBase which runs to the end of the session" in listed
    assert "@pytest.mark.thebase_allow_unused: levers of" in run_pytest(tmp_path, "", "--markers").stdout
