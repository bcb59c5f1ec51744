"""Every block of Python in the README and in docs/ runs as it stands.

A block with a test is a test file of a project that has the package installed; any other is a script, with
a sandbox in the place of acme.thebase.co.il. Each is run by itself.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.pages import BLOCKS, Block, need_libraries, run_script, run_tests
from thebase_auth.testing import Sandbox

SCRIPTS = [block for block in BLOCKS if not block.is_test]
TESTS = [block for block in BLOCKS if block.is_test]


@pytest.mark.parametrize("block", SCRIPTS, ids=str)
def test_each_script_runs(block: Block, thebase: Sandbox, tmp_path: Path) -> None:
    need_libraries(block)
    run_script(block, thebase, tmp_path)
    assert {request.status for request in thebase.received} <= {200, 201, 401}


@pytest.mark.parametrize("block", TESTS, ids=str)
def test_each_block_of_tests_passes_where_the_package_is_installed(block: Block, tmp_path: Path) -> None:
    need_libraries(block)
    run_tests(block, tmp_path)


def test_there_are_blocks_for_each_library() -> None:
    for name in (
        "requests.Session()",
        "httpx.Client(",
        "httpx.AsyncClient(",
        "aiohttp.ClientSession(",
        "from_env()",
    ):
        assert any(name in block.code for block in SCRIPTS)
