"""The pytest plugin, as a project that has the package installed meets it."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path

import httpx
import requests

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


def test_each_test_gets_a_sandbox_of_its_own(thebase: Sandbox) -> None:
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
    answer = requests.get(thebase.domain + "/v2/users", auth=thebase_auth, timeout=5)
    assert answer.json()["count"] == 2
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
