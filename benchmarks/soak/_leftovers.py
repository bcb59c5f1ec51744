"""What must not be left over in a process, and what nobody may have complained of."""

from __future__ import annotations

import gc
import logging
import os
import re
import sys
import threading
import warnings
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks._processes import wait_for
from thebase_auth import TheBaseAuth

from ._callers import PATIENT

# Of Linux; elsewhere descriptors and memory are not looked at.
_DESCRIPTORS = Path("/proc/self/fd")
_STATM = Path("/proc/self/statm")
#: Of the objects that one auth object is made of, whatever it has been through, beside the retired
#: tokens that it remembers.
_MOST_OBJECTS = 120

_LOCK_HELD = re.compile(r"another process has held its lock for ([0-9.]+) seconds")

#: The libraries leave generators unfinished, with any auth or none, and trio warns of each: when a call is
#: cancelled while its body is sent (theirs and the caller's), and when a response
#: is closed before it was read to its end (all of theirs below the outermost).
_UNFINISHED = re.compile(
    r"Async generator '(httpx2?\._(content|multipart|client|transports)|httpcore2?\._async"
    r"|benchmarks\.soak\._bodies)\."
)


class Watch(logging.Handler):
    """Sees to a process, and to what the package says, from before its clients are made until the end."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.cache_failures: list[str] = []  # why somebody went on without the cache, each time
        self._lock_kept: list[str] = []  # by another process, from a caller that has time enough
        self._complaints: list[str] = []
        warnings.simplefilter("always", ResourceWarning)
        warnings.simplefilter("always", RuntimeWarning)
        warnings.showwarning = self._warn
        sys.unraisablehook = threading.excepthook = self._complain
        logger = logging.getLogger("thebase_auth")
        logger.addHandler(self)
        logger.setLevel(logging.DEBUG)
        logger.propagate = False
        self._threads = set(threading.enumerate())
        self._descriptors = _descriptors()

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        details: Any = record.args
        if text.startswith("the token cache") and " failed" in text:
            self.cache_failures.append(details[1])
            held = _LOCK_HELD.match(details[1])
            if held and float(held[1]) > PATIENT / 4:  # its callers wait half their timeout
                self._lock_kept.append(text)

    def _warn(self, message: Any, category: type[Warning], *_: Any, **__: Any) -> None:
        if not _UNFINISHED.match(f"{message}"):
            self._complaints.append(f"{category.__name__}: {message}")

    def _complain(self, what: Any) -> None:
        self._complaints.append(f"{what.exc_type.__name__}: {what.exc_value}")

    def found(self, auth: TheBaseAuth, tasks: list[str], complaints: list[str]) -> dict[str, list[str]]:
        """By the name of the check, what is not as it should be, now that the clients are closed."""
        gc.collect()
        wait_for(lambda: not self._threads_left(), 10)
        gc.collect()
        return {
            "no token request under way, no lock kept": _held(auth),
            "nobody keeps the lock of the cache": self._lock_kept,
            "no thread left": self._threads_left(),
            "no task left": tasks,
            "no socket, no file left": sorted((_descriptors() - self._descriptors).elements()),
            "no object of thebase_auth left but those of one auth object": _objects_left(auth),
            "no ResourceWarning, no exception that nobody took": self._complaints + complaints,
        }

    def _threads_left(self) -> list[str]:
        return [repr(thread) for thread in set(threading.enumerate()) - self._threads]


def resident_bytes() -> int:
    """How much memory this process takes."""
    if not _STATM.exists():
        return 0
    return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _descriptors() -> Counter[str]:
    """What the open descriptors are; sockets and pipes without their numbers."""
    found: Counter[str] = Counter()
    if _DESCRIPTORS.exists():
        for link in _DESCRIPTORS.iterdir():
            with suppress(OSError):  # that of the directory itself
                found[str(link.readlink()).partition("[")[0]] += 1
    return found


def _objects_left(auth: TheBaseAuth) -> list[str]:
    remembered = {id(token) for token in auth._renewal._retired}
    kinds = Counter(
        type(one).__qualname__
        for one in gc.get_objects()
        if str(type(one).__module__).startswith("thebase_auth") and id(one) not in remembered
    )
    return [] if kinds.total() <= _MOST_OBJECTS else [f"{kinds.total()}: {kinds.most_common(8)}"]


def _held(auth: TheBaseAuth) -> list[str]:
    left = []
    if auth._renewal._flight is not None:
        left.append("a token request is under way")
    last = auth._renewal._cache.last
    if last is not None and last.is_alive():
        left.append("the work at the cache is not finished")
    return left
