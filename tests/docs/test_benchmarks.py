"""The benchmarks run, and docs/why.md has the comparison that they find. Nothing is said of times."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support import ROOT
from tests.support.pages import text_of

PEERS = (
    *("authlib", "google.auth", "httpx_auth", "requests_auth"),
    *("requests_oauth2client", "requests_oauthlib"),
)


def table_under(heading: str, page: str) -> list[list[str]]:
    """The cells of the tables of a section."""
    section = page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


@pytest.mark.slow
def test_quick_run_finds_the_comparison_of_the_page_on_why() -> None:
    for peer in PEERS:
        pytest.importorskip(peer, reason="the peers are in the group bench")
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--quick"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for benchmark in ("call-cost", "herd", "fleet", "upload"):
        assert len(table_under(benchmark, done.stdout)) > 5
    measured = table_under("behaviour", done.stdout)
    assert len(measured) == 17
    assert table_under("What becomes of a call", text_of("docs/why.md")) == measured
