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


REPLAYED_TWICE = """
from thebase_auth.requests import _Call
send_again = _Call.send_again
def send_twice(self, response, token):
    first = yield from send_again(self, response, token)
    first.close()
    return (yield from send_again(self, response, token))
_Call.send_again = send_twice
"""
EACH_CALLER_FETCHES = """
from thebase_auth._core.flight import Flight
Flight.can_be_waited_for = lambda *_: False
"""
TOKEN_IN_THE_LOG = """
from thebase_auth._core.renewal import Renewal, logger
use = Renewal._use
def use_and_log(self, flight, token):
    logger.debug("using %s", token.access_token)
    return use(self, flight, token)
Renewal._use = use_and_log
"""


@pytest.mark.parametrize(
    ("fault", "found"),
    [
        pytest.param(REPLAYED_TWICE, "it was replayed without a 401", id="replayed twice"),
        pytest.param(EACH_CALLER_FETCHES, "too many tokens were fetched", id="each caller fetches"),
        pytest.param(TOKEN_IN_THE_LOG, "a secret is shown: using ", id="token in the log"),
    ],
)
def test_soak_finds_planted_fault(fault: str, found: str) -> None:
    done = soak(fault)
    assert done.returncode == 1
    assert found in done.stdout, done.stdout + done.stderr
