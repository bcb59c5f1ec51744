"""A command at a real terminal."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from typing import Any, Self

# The new process gets the terminal as that which controls it, as from a shell.
_START = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, sys.argv[1:])
"""


class Terminal:
    """A terminal with a command in its foreground.

    Attributes:
        shown: All that the terminal has shown so far.
        process: The process of the command.
    """

    def __init__(self, *arguments: str) -> None:
        self._master, self._slave = pty.openpty()
        self.attributes_before = self.attributes()
        self.shown = ""
        self.process = subprocess.Popen(
            [sys.executable, "-c", _START, sys.executable, *arguments],
            stdin=self._slave,
            stdout=self._slave,
            stderr=self._slave,
            start_new_session=True,
            env={**os.environ, "PYTHONUTF8": "1"},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.send_signal(signal.SIGINT)  # it ends what it has started
        try:
            self.process.wait(10)
        finally:
            self.process.kill()
        os.close(self._master)
        os.close(self._slave)

    def attributes(self) -> list[Any]:
        """How the terminal is set."""
        return termios.tcgetattr(self._slave)

    def set_attributes(self, attributes: list[Any]) -> None:
        """Set the terminal, as a shell does."""
        termios.tcsetattr(self._slave, termios.TCSANOW, attributes)

    def type(self, text: str) -> None:
        """Press keys, which the command gets in one piece."""
        os.write(self._master, text.encode())

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Wait until the terminal shows what matches a pattern, and forget what was before its end."""
        deadline = time.monotonic() + 20
        while (found := re.search(pattern, self.shown)) is None:
            ready, _, _ = select.select([self._master], [], [], max(0, deadline - time.monotonic()))
            assert ready, f"{pattern!r} is not in {self.shown!r}"
            self.shown += os.read(self._master, 65536).decode(errors="replace").replace("\r\n", "\n")
        self.shown = self.shown[found.end() :]
        return found
