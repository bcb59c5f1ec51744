"""What the tests of caches have in common."""

from __future__ import annotations

import json
import os
import stat
import threading
import time
from collections.abc import Callable
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
