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


def test_readme_is_short() -> None:
    assert len(README.encode()) <= 6_144


#: Who is compared, by the names in docs/why.md, whose table is measured (test_benchmarks).
COMPARED = {
    "**thebase_auth**": ["thebase_auth"],
    "by hand, by the clock": ["hand-written function", "hand-written Auth"],
    "requests-oauthlib": ["requests-oauthlib"],
    "requests_auth, httpx_auth": ["requests_auth", "httpx_auth"],
    "Authlib": ["Authlib OAuth2Session", "Authlib OAuth2Client"],
    "requests-oauth2client": ["requests-oauth2client"],
    "google-auth, with your own class": ["google-auth"],
}
REVOKED = {
    ("200", "whole"): "renewed and replayed",
    ("200", "200, arrived empty"): "renewed; uploads arrive empty",
    ("401", "401"): "401",
}


def test_the_comparison_is_that_of_the_page_on_why() -> None:
    why = text_of("docs/why.md")
    _, *rows = re.findall(r"^\| (.*[a-z].*) \|$", README.partition("## Why not")[2], re.MULTILINE)
    for row in rows:
        who, revoked, requests, to_others = row.split(" | ")
        for name in COMPARED[who]:
            measured = re.findall(
                rf"^\| \S+ \| {name} \| (\d+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \| \d+ \|", why, re.MULTILINE
            )
            assert measured
            for status, upload, of_100, elsewhere in measured:
                assert revoked == REVOKED[status, upload]
                assert requests.removesuffix(", one after the other") == of_100
                assert to_others == {"no token": "no", "token sent": "yes"}[elsewhere]
    assert len(rows) == len(COMPARED)


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
