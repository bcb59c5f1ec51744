"""Processes that are asked, and answer, in lines of JSON on their standard input and output."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

#: glibc keeps memory for each thread, so that long bodies would look like a leak.
_FLAT = {"MALLOC_ARENA_MAX": "1", "MALLOC_TRIM_THRESHOLD_": "1000000"}


class Process:
    """A module in a process of its own, which ends with *stack*, or after so many seconds."""

    def __init__(self, stack: ExitStack, module: str, *arguments: Any, longest: float) -> None:
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *map(json.dumps, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[1],
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
        return self._ask_later(what, *details)()

    def _ask_later(self, what: str, *details: Any) -> Callable[[], Any]:
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
            raise RuntimeError(f"a process has ended, or took too long: {self._process.args!r}")
        return json.loads(line)


def ask_all(processes: Mapping[str, Process], what: str, *details: Any) -> dict[str, Any]:
    """Ask all at once; their answers."""
    later = {name: process._ask_later(what, *details) for name, process in processes.items()}
    return {name: answer() for name, answer in later.items()}


def wait_for(condition: Callable[[], bool], seconds: float) -> None:
    """Wait until *condition* is true, but no longer than that."""
    give_up_at = time.monotonic() + seconds
    while not condition() and time.monotonic() < give_up_at:
        time.sleep(0.01)


def answer_all(make: Callable[..., Any]) -> None:
    """The other side: do what is asked, by the methods of what *make* makes, until there is no more."""
    asked = make(*map(json.loads, sys.argv[1:]))
    for line in sys.stdin:
        what, *details = json.loads(line)
        print(json.dumps(getattr(asked, what)(*details)), flush=True)
