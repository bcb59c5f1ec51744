# Single keys of a terminal.
#
# Here: reading keys without Enter, on POSIX and on Windows, and leaving the terminal as it was.
# Not here: what a key does (_sandbox).

from __future__ import annotations

import importlib
import os
import select
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import Any, Final

_LOOK_AGAIN: Final = 1  # second

# What the keys of the legend give while the keyboard is set to Hebrew.
_HEBREW: Final = str.maketrans("/קרםשגכעסבצ", "qeroadfgxcm")


def attached() -> bool:
    """Whether keys can be read: stdin is a terminal, and this process is in its foreground."""
    if sys.stdin is None or not sys.stdin.isatty():
        return False
    if os.name == "nt":  # pragma: no cover
        return True
    with suppress(OSError):  # no terminal that controls this process
        return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    return False


def listen() -> AbstractContextManager[Iterator[str]]:
    """The keys that are pressed in the block, in lower case. Without a terminal there are none to come."""
    if not attached():
        return nullcontext(_no_keys())
    return nullcontext(_windows_keys()) if os.name == "nt" else _posix_keys(sys.stdin.fileno())


def _no_keys() -> Iterator[str]:
    while True:
        time.sleep(_LOOK_AGAIN)
    yield  # pragma: no cover


@contextmanager
def _posix_keys(terminal: int) -> Iterator[Iterator[str]]:
    import termios
    import tty

    def take(*_: object) -> None:
        signal.signal(signal.SIGTSTP, give_back)
        if attached():
            tty.setcbreak(terminal, termios.TCSANOW)

    def give_back(*_: object) -> None:
        # A shell without line editing, such as dash, leaves the terminal as it finds it.
        if attached():
            termios.tcsetattr(terminal, termios.TCSANOW, before)
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        signal.raise_signal(signal.SIGTSTP)
        take()

    before = termios.tcgetattr(terminal)
    actions = {
        signal.SIGTSTP: signal.getsignal(signal.SIGTSTP),
        signal.SIGCONT: signal.signal(signal.SIGCONT, take),  # Ctrl-Z and `fg`
        # In the background, an error and no stop.
        signal.SIGTTIN: signal.signal(signal.SIGTTIN, signal.SIG_IGN),
        signal.SIGTERM: signal.signal(signal.SIGTERM, signal.default_int_handler),
        signal.SIGQUIT: signal.signal(signal.SIGQUIT, signal.default_int_handler),
    }
    try:
        take()
        yield _read_keys(terminal)
    finally:
        if attached():  # not from the background, where it is another's
            termios.tcsetattr(terminal, termios.TCSANOW, before)
        for number, action in actions.items():
            signal.signal(number, action)


def _read_keys(terminal: int) -> Iterator[str]:
    text = " "
    with suppress(OSError):  # the terminal is gone, or another's
        while text:
            # A signal that arrives just before the wait would otherwise be seen at the next key.
            if not select.select([terminal], [], [], _LOOK_AGAIN)[0]:
                continue
            text = os.read(terminal, 1024).decode(errors="replace")
            if len(text) == 1:  # no arrow key, and nothing that was pasted
                yield text.lower().translate(_HEBREW)
    yield from _no_keys()


def _windows_keys() -> Iterator[str]:
    msvcrt: Any = importlib.import_module("msvcrt")
    while True:
        if not msvcrt.kbhit():
            time.sleep(0.05)
            continue
        key = msvcrt.getwch()
        if key == "\x03":
            raise KeyboardInterrupt
        if key in {"\x00", "\xe0"}:  # an arrow key, and such
            msvcrt.getwch()
        else:
            yield key.lower().translate(_HEBREW)
