# Exit codes and errors.
#
# Here: the exit codes, the exception that ends a command, and one line on stderr. Not here: which failure has
# which code (__init__, _failures).

from __future__ import annotations

import os
import sys
from enum import IntEnum
from typing import Final, TextIO

from ._screen import show

PROGRAM: Final = "thebase-auth"


class ExitCode(IntEnum):
    """The exit codes, as ``--help`` explains them."""

    OK = 0
    FAILED = 1
    WRONG_USE = 2  # click's own code for wrong arguments
    NO_ANSWER = 3
    INTERRUPTED = 130  # a shell's code for Ctrl-C


class CommandError(Exception):
    """Ends a command with one line on stderr.

    Attributes:
        exit_code: The exit code of the command.
    """

    def __init__(self, text: str, exit_code: ExitCode = ExitCode.WRONG_USE) -> None:
        super().__init__(text)
        self.exit_code = exit_code


def print_error(name: str, text: str) -> None:
    """Print one line on stderr, if anybody reads it, with the *name* of the command."""
    try:
        show(f"{name}: {in_one_line(text)}", sys.stderr)
    except OSError:
        discard(sys.stderr)


def in_one_line(text: str) -> str:
    """Text as one line without control characters: a server or a proxy may have written it."""
    return " ".join("".join(c if c.isprintable() or c.isspace() else "?" for c in text).split())


def discard(stream: TextIO) -> None:
    """Redirect a stream without a reader to nowhere, or Python would complain when it exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
