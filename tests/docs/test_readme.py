"""What must be true of README.md and README.he.md, beside their code and links (test_blocks, test_links)."""

from __future__ import annotations

import re

import thebase_auth
from tests.support.pages import blocks_of, text_of

README = text_of("README.md")


def test_the_readme_in_hebrew_has_the_same_examples() -> None:
    hebrew = [block.code for block in blocks_of("README.he.md")]
    assert hebrew
    assert set(hebrew) <= {block.code for block in blocks_of("README.md")}


def test_the_commands_for_a_fresh_machine_are_those_that_are_tried() -> None:
    commands = re.findall(r"^python3 -m venv .*$", README, re.MULTILINE)
    assert commands == [
        "python3 -m venv .venv && .venv/bin/pip install '.[demo]' && .venv/bin/thebase-auth demo",
        "python3 -m venv --upgrade-deps .venv && .venv/bin/pip install -e . --group test && .venv/bin/pytest -n auto",
    ]
    assert f"\ncommand='{commands[1]}'\n" in text_of(".ci/run")


def test_the_changelog_has_a_section_for_the_version() -> None:
    changelog = text_of("CHANGELOG.md")
    assert "## [Unreleased]" in changelog or f"## [{thebase_auth.__version__}]" in changelog
