"""A command at a terminal: a pseudo-terminal of so many columns."""

from __future__ import annotations

import os
import re
import struct
import subprocess
import sys

import pytest


def at_a_terminal(*arguments: str, columns: int, **env: str) -> tuple[int, str]:
    """Run ``thebase-auth`` at a terminal; its exit code, and all that it writes there."""
    fcntl, termios = pytest.importorskip("fcntl"), pytest.importorskip("termios")
    here, there = os.openpty()
    fcntl.ioctl(there, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    inherited = {name: text for name, text in os.environ.items() if name not in {"COLUMNS", "NO_COLOR"}}
    running = subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "thebase_auth", *arguments],
        stdin=there,
        stdout=there,
        stderr=there,
        env={**inherited, "TERM": "xterm-256color", **env},
        start_new_session=True,  # away from the terminal of the tests, if they have one
    )
    os.close(there)
    written = b""
    try:
        while piece := os.read(here, 65536):
            written += piece
    except OSError:  # how Linux tells the end
        pass
    finally:
        os.close(here)
    return running.wait(30), written.decode().replace("\r\n", "\n")


def shown(written: str) -> list[str]:
    """The lines that remain to be seen, without their colours."""
    plain = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", written)
    return [line.rpartition("\r")[2] for line in plain.split("\n")]
