"""Every block of Python in the README and in docs/ runs as it stands.

A block with a test is a file of tests, in a checkout or in any other project that has the package installed;
any other is a script, with a sandbox in the place of acme.thebase.co.il. Blocks with a title are files beside
it.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import ROOT
from tests.support.pages import BLOCKS, Block, need_libraries, run_script, run_tests
from thebase_auth.testing import Sandbox

SCRIPTS = [block for block in BLOCKS if not block.is_test]
TESTS = [block for block in BLOCKS if block.is_test]
# Other libraries leave traces in a process.
TOGETHER = [
    block for block in TESTS if block.libraries() <= {"pytest", "requests_toolbelt", "responses", "trustme"}
]
ALONE = [block for block in TESTS if block not in TOGETHER]
FOLDERS = pytest.mark.parametrize("folder", [pytest.param("checkout", marks=pytest.mark.slow), "tmp_path"])


@pytest.mark.parametrize("block", SCRIPTS, ids=str)
def test_each_script_runs(block: Block, thebase: Sandbox, tmp_path: Path) -> None:
    need_libraries(block)
    run_script(block, thebase, tmp_path)
    assert {request.status for request in thebase.received} <= {200, 201, 401}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with this repository's settings of pytest."""
    (tmp_path / "pyproject.toml").symlink_to(ROOT / "pyproject.toml")
    return tmp_path


@FOLDERS
def test_blocks_of_tests_pass(folder: str, request: pytest.FixtureRequest) -> None:
    run_tests(TOGETHER, request.getfixturevalue(folder))


@FOLDERS
@pytest.mark.parametrize("block", ALONE, ids=str)
def test_block_of_tests_passes_alone(block: Block, folder: str, request: pytest.FixtureRequest) -> None:
    need_libraries(block)
    run_tests([block], request.getfixturevalue(folder))


def test_settings_for_our_own_tests_do_not_hold_for_a_page(checkout: Path) -> None:
    (checkout / "app.py").write_text("import warnings\ndef test_it(thebase):\n    warnings.warn('old')\n")
    # Readers do not have all the plugins that our tests need.
    command = [sys.executable, "-m", "pytest", "-p", "no:timeout", "-p", "no:cacheprovider", "app.py"]
    ended = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False)
    assert "1 passed, 1 warning" in ended.stdout, ended.stdout + ended.stderr


def test_there_are_blocks_for_each_library() -> None:
    for name in (
        "requests.Session()",
        "httpx.Client(",
        "httpx.AsyncClient(",
        "aiohttp.ClientSession(",
        "from_env()",
    ):
        assert any(name in block.code for block in SCRIPTS)
