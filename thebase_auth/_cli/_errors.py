# Exit codes, the exception that ends a command, and text that is safe to print.

from __future__ import annotations

from enum import IntEnum
from typing import Final

from thebase_auth._text import printable

PROGRAM: Final = "thebase-auth"


class ExitCode(IntEnum):
    """The exit codes, as ``--help`` explains them."""

    OK = 0
    FAILED = 1
    WRONG_USE = 2  # click's own code for wrong arguments
    NO_RESPONSE = 3
    INTERRUPTED = 130  # what shells report after Ctrl-C


class CommandError(Exception):
    """Ends a command with one line on stderr.

    Attributes:
        exit_code: The exit code of the command.
    """

    def __init__(self, message: str, exit_code: ExitCode = ExitCode.WRONG_USE) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def in_one_line(text: str) -> str:
    """Return printable text without line breaks."""
    return printable(" ".join(text.split()))
