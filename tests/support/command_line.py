"""The command line, run in a process of its own, at a terminal or not."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

Run = Callable[..., tuple[int, str, str]]

COMMAND = [sys.executable, "-W", "error", "-m", "thebase_auth"]


def command(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.run(
        [*COMMAND, *arguments],
        encoding="utf-8",
        env={**os.environ, "PYTHONUTF8": "1", **options.pop("env", {})},
        timeout=30,
        check=False,
        **(streams | options),
    )


def at_a_terminal(*arguments: str, typed: str = "", **env: str) -> tuple[int, str]:
    """The command at a terminal: its exit code, and all that the terminal shows.

    Args:
        arguments: The arguments of the command.
        typed: What is typed as soon as the command writes something.
        env: Variables of its environment.
    """
    if os.name != "posix":
        pytest.skip("needs a pseudo-terminal")
    here, there = os.openpty()
    running = subprocess.Popen(
        [*COMMAND, *arguments],
        stdin=there,
        stdout=there,
        stderr=there,
        env={**os.environ, "TERM": "xterm-256color", **env},
        start_new_session=True,  # away from the terminal of the tests, if they have one
    )
    os.close(there)
    shown = b""
    try:
        while piece := os.read(here, 65536):
            shown += piece
            os.write(here, typed.encode())
            typed = ""
    except OSError:  # how Linux tells the end
        pass
    finally:
        os.close(here)
    return running.wait(30), shown.decode().replace("\r\n", "\n")
