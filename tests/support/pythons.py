"""Pythons of their own: one that lacks a library, one that runs pytest."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

# To load these plugins of pytest takes longer than most tests that are run so.
_WITHOUT_OUR_TOOLS = [f"-pno:{plugin}" for plugin in ("hypothesispytest", "pytest_cov", "xdist", "randomly")]


def run_pytest(
    folder: Path, test: str, *options: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a file of tests in another project, which knows of this one as an installed package."""
    (folder / "test_it.py").write_text(test, "utf-8")
    return run_pytest_in(folder, *options, **environment)


def run_pytest_in(folder: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the tests in *folder* so."""
    return subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-Werror", "-pno:cacheprovider"),
            *(*_WITHOUT_OUR_TOOLS, *options, "."),
        ],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )


def run(code: str) -> Any:
    """What *code* prints as JSON, run by a Python of its own."""
    done = subprocess.run(
        [sys.executable, "-c", f"import json, sys\n{code}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def without(missing: set[str], code: str) -> Any:
    """Do the same where these libraries are not installed."""
    return run(f"sys.modules.update(dict.fromkeys({missing!r}))\n{code}")
