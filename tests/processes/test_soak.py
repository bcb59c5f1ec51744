"""The soak accounts for every call of the plugin, and finds faults that are planted in it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support import ROOT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="it forks, and looks into /proc"),
]
SECONDS = 6
RUN = f"""
from benchmarks.soak.__main__ import main
main({SECONDS})
"""


def soak(fault: str = "") -> subprocess.CompletedProcess[str]:
    """Run the soak with a fault in the plugin."""
    command = [sys.executable, "-c", fault + RUN]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False)


def test_short_soak_accounts_for_every_call() -> None:
    done = soak()
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith(" calls, 0 faults\n")


REPLAYED_TWICE = """
from thebase_auth.requests import _Call
send_again = _Call.send_again
def send_twice(self, response, token):
    first = yield from send_again(self, response, token)
    first.close()
    return (yield from send_again(self, response, token))
_Call.send_again = send_twice
"""


def test_soak_finds_a_planted_fault() -> None:
    done = soak(REPLAYED_TWICE)
    assert done.returncode == 1
    assert "it was replayed without a 401" in done.stdout, done.stdout + done.stderr
