"""What the tests of caches have in common."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from thebase_auth.caches import FileTokenCache

KEY = "a1" * 32
OTHER = "b2" * 32
LEASE = 10.0


posix = pytest.mark.skipif(os.name != "posix", reason="file modes and owners are POSIX's")


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


fork_with_threads = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


def in_a_child(work: Callable[[], Any]) -> bool:
    """Whether *work* gives something true in a forked child, within 20 seconds."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if work() else 2
        finally:
            os._exit(code)
    killer = threading.Timer(20, os.kill, (child, 9))
    killer.start()
    _, status = os.waitpid(child, 0)
    killer.cancel()
    killer.join()
    return status == 0


def in_thread(call: Callable[[], Any]) -> Any:
    return at_once(1, lambda _: call())[0]


def at_once(count: int, call: Callable[[int], Any]) -> list[Any]:
    """What *call* gives in each of so many threads, which begin together."""
    begin = threading.Barrier(count)
    results: list[Any] = [None] * count

    def work(number: int) -> None:
        begin.wait(30)
        try:
            results[number] = call(number)
        except Exception as error:
            results[number] = error

    threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def is_mended_by_the_next_store(cache: FileTokenCache, path: Path) -> bool:
    cache.store(KEY, "new", 60.0)
    status = path.lstat()
    own = os.name != "posix" or (mode_of(path), status.st_uid) == (0o600, os.geteuid())
    return cache.load(KEY) == "new" and stat.S_ISREG(status.st_mode) and own


def record_file(path: Path, record: str = "planted") -> None:
    path.touch(0o600)
    path.write_text(json.dumps({KEY: [record, time.time() + 60]}))


class Process:
    """Another Python. It has ``cache`` for *path*, and talks in lines."""

    def __init__(self, path: Path, code: str) -> None:
        beginning = (
            "import sys, threading\n"
            "from thebase_auth.caches import FileTokenCache\n"
            f"cache = FileTokenCache({str(path)!r})\n"
            "def tell(word): print(word, flush=True)\n"
            "def wait(): return sys.stdin.readline()\n"
        )
        self.process = subprocess.Popen(
            [sys.executable, "-c", beginning + code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def hear(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def nudge(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()


@contextmanager
def processes(path: Path, *codes: str) -> Iterator[list[Process]]:
    """A process for each of *codes*. All have ended well, or were killed, when the block ends."""
    started = [Process(path, code) for code in codes]
    try:
        yield started
        for one in started:
            assert one.process.wait(30) in {0, -9}
    finally:
        for one in started:
            one.process.kill()
            one.process.communicate()
