"""The comparison of docs/why.md is what the benchmark `behaviour` finds."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.support import ROOT
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
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "behaviour"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    measured = {}
    for table in done.stdout.split("\n\n")[2:]:
        title, _, *rows = table.strip().splitlines()
        measured[title] = [re.split(r" {2,}", row.strip()) for row in rows]

    told = {}
    for title, table in re.findall(
        r"^### In (\S+)\n\n\|.+\n\|-.+\n((?:\|.+\n)+)", text_of("docs/why.md"), re.MULTILINE
    ):
        told[title] = [row.strip("| ").split(" | ") for row in table.splitlines()]
    assert told == measured
