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
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from thebase_auth import TheBaseAuth

from ._callers import PATIENT, wait_for

_DESCRIPTORS = Path("/proc/self/fd")
_STATM = Path("/proc/self/statm")
#: Of the objects that one auth object is made of, whatever it has been through, beside the former tokens that
#: it remembers.
_MOST_OBJECTS = 120

#: The libraries leave generators unfinished, with any auth or none, and trio warns of each: when a call is
#: cancelled while its body is sent (theirs, the caller's, and ours around it), and when the reading of an
#: answer is broken off, as we do with a 401 that takes too long (all of theirs below the outermost).
_UNFINISHED = re.compile(
    r"Async generator '(httpx2?\._(content|multipart|client|transports)|httpcore2?\._async"
    r"|benchmarks\.soak\._bodies|thebase_auth\._body)\."
)


class Watch:
    """Sees to a process from before its clients are made until after they are closed."""

    def __init__(self, secret: str) -> None:
        self.log = _Log(secret)
        self._complaints: list[str] = []
        warnings.simplefilter("always", ResourceWarning)
        warnings.simplefilter("always", RuntimeWarning)
        warnings.showwarning = self._warn
        sys.unraisablehook = threading.excepthook = self._complain
        logger = logging.getLogger("thebase_auth")
        logger.addHandler(self.log)
        logger.setLevel(logging.DEBUG)
        logger.propagate = False
        self._threads = set(threading.enumerate())
        self._descriptors = _descriptors()

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
            "nobody keeps the lock of the cache": self.log.lock_kept,
            "no thread left": self._threads_left(),
            "no task left": tasks,
            "no socket, no file left": self._descriptors_left(),
            "no object of thebase_auth left but those of one auth object": _objects_left(auth),
            "no ResourceWarning, no exception that nobody took": self._complaints + complaints,
            "no secret and no token logged": [*self.log.secrets],
        }

    def _threads_left(self) -> list[str]:
        return [repr(thread) for thread in set(threading.enumerate()) - self._threads]

    def _descriptors_left(self) -> list[str]:
        return sorted((_descriptors() - self._descriptors).elements())


class _Log(logging.Handler):
    """What the package has to say."""

    def __init__(self, secret: str) -> None:
        super().__init__(logging.DEBUG)
        self.current_token: Callable[[], Any] = lambda: None
        self.cache_failures: list[str] = []  # why somebody went on without the cache, each time
        self.lock_kept: list[str] = []  # by another process, from a caller that has time enough
        self.secrets: set[str] = set()
        self._secret = secret

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        details: Any = record.args
        if text.startswith("the token cache") and " failed" in text:
            self.cache_failures.append(details[1])
        if text.startswith("another process holds the lock") and details[1] > PATIENT / 2:
            self.lock_kept.append(text)
        token = self.current_token()
        if self._secret in text or (token is not None and token.access_token in text):
            self.secrets.add(record.msg)


def resident_bytes() -> int | None:
    """How much memory this process takes; None where the system does not say."""
    try:
        return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return None


def can_count_descriptors() -> bool:
    return _DESCRIPTORS.exists()


def _descriptors() -> Counter[str]:
    """What the open descriptors are; sockets and pipes without their numbers."""
    found: Counter[str] = Counter()
    if can_count_descriptors():
        for link in _DESCRIPTORS.iterdir():
            with suppress(OSError):  # that of the directory itself
                found[str(link.readlink()).partition("[")[0]] += 1
    return found


def _objects_left(auth: TheBaseAuth) -> list[str]:
    shared = auth._core.shared
    remembered = {id(token) for token in (*shared._former, *shared._of_superseded)}
    kinds = Counter(
        type(one).__qualname__
        for one in gc.get_objects()
        if str(type(one).__module__).startswith("thebase_auth") and id(one) not in remembered
    )
    return [] if kinds.total() <= _MOST_OBJECTS else [f"{kinds.total()}: {kinds.most_common(8)}"]


def _held(auth: TheBaseAuth) -> list[str]:
    left = []
    if auth._core.shared._flight is not None:
        left.append("a token request is under way")
    coordinator = auth._core.coordinator
    last = None if coordinator is None else coordinator._last
    if last is not None and last.is_running():
        left.append("the lock of the cache is held")
    return left
