"""Processes that are asked, and answer, in lines of JSON on their standard input and output."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

#: glibc keeps memory for each thread, so that long bodies would look like a leak.
_FLAT = {"MALLOC_ARENA_MAX": "1", "MALLOC_TRIM_THRESHOLD_": "1000000"}


class Process:
    """A module of this package in a process of its own, which ends with *stack*, or after so many seconds."""

    def __init__(self, stack: ExitStack, module: str, *arguments: str, longest: float) -> None:
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"benchmarks.soak.{module}", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
            env=os.environ | _FLAT,
        )
        stack.callback(self._end)
        self._too_long = threading.Timer(longest, self._process.kill)
        self._too_long.daemon = True
        self._too_long.start()

    def _end(self) -> None:
        self._too_long.cancel()
        try:
            self._process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()

    def ask(self, what: str, *details: Any) -> Any:
        """What the process answers."""
        return self.ask_later(what, *details)()

    def ask_later(self, what: str, *details: Any) -> Callable[[], Any]:
        """Ask now, and call the result for the answer; nothing else may be asked in between."""
        assert self._process.stdin is not None
        self._lock.acquire()
        self._process.stdin.write(json.dumps([what, *details]) + "\n")
        self._process.stdin.flush()
        return self._answer

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        self._lock.release()
        if not line:
            raise RuntimeError(f"a process of the soak has ended, or took too long: {self._process.args!r}")
        return json.loads(line)


def answer_all(asked: Any) -> None:
    """The other side: do what is asked, by the methods of an object, until there is nothing more."""
    for line in sys.stdin:
        what, *details = json.loads(line)
        print(json.dumps(getattr(asked, what)(*details)), flush=True)
