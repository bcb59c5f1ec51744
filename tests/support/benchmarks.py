"""The benchmarks, run as people run them."""

from __future__ import annotations

import subprocess
import sys

from . import ROOT


def run_benchmarks(*arguments: str) -> str:
    """What they print; a failure of theirs is one of the test."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
