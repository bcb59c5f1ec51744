"""The comparison of docs/why.md is what the benchmark `behaviour` finds."""

from __future__ import annotations

import re

import pytest

from tests.support.benchmarks import run_benchmarks
from tests.support.pages import text_of

PEERS = (
    "authlib",
    "google.auth",
    "httpx_auth",
    "requests_auth",
    "requests_oauth2client",
    "requests_oauthlib",
)


@pytest.mark.slow
def test_the_comparison_is_what_is_measured() -> None:
    for peer in PEERS:
        pytest.importorskip(peer, reason="those who are compared are of the group bench")
    measured = {}
    for table in run_benchmarks("behaviour").split("\n\n")[2:]:
        title, _, *rows = table.strip().splitlines()
        measured[title] = [re.split(r" {2,}", row.strip()) for row in rows]

    told = {}
    for title, table in re.findall(
        r"^### In (\S+)\n\n\|.+\n\|-.+\n((?:\|.+\n)+)", text_of("docs/why.md"), re.MULTILINE
    ):
        told[title] = [row.strip("| ").split(" | ") for row in table.splitlines()]
    assert told == measured
