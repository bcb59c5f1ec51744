# The command `thebase-auth`.
#
# Here: running a command, and its exit code. Results go to stdout; an error is one line on stderr. Not here:
# what a command does. Its module is imported only when it runs, because of the libraries that it needs.
#
# A map of the sub-package. Each part knows those above it, and nothing below.
#   _errors     exit codes, the exception that ends a command, and its line on stderr
#   _settings   where the settings come from
#   _arguments  the parser and its help
#   _failures   why there is no token or no answer, in one line
#   _output     an answer and a long wait, as they are shown
#   _commands   check, token, request
#   _report     the lines that the demo prints: what should have happened, and what did
#   _demo       demo
#   _sandbox    sandbox

from __future__ import annotations

import io
import os
import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ._arguments import parse_arguments
from ._errors import CommandError, ExitCode, discard, print_error

if TYPE_CHECKING:
    from thebase_auth.testing import Sandbox

# What the extras `cli` and `demo` install; anyio comes with httpx.
_LIBRARIES: Final = frozenset({"requests", "httpx", "anyio", "rich", "filelock", "platformdirs", "uvicorn"})


def main(argv: Sequence[str] | None = None, *, sandbox: Sandbox | None = None) -> int:
    """Run the command line, and return its exit code.

    Args:
        argv: The arguments without the program's name; by default those of the process.
        sandbox: What the demo runs against, not yet started; by default a new one. For tests.

    Returns:
        0, 1, 2, 3 or 130, as ``--help`` explains.

    Raises:
        SystemExit: after ``--help`` and ``--version`` (code 0), and if the arguments are wrong (code 2).
    """
    try:
        with _usable_streams():
            options = parse_arguments(sys.argv[1:] if argv is None else argv)
            return _exit_code(options, sandbox)
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED


@contextmanager
def _usable_streams() -> Iterator[None]:
    """Replace streams that are closed, and escape what an output cannot encode, such as Hebrew."""
    with ExitStack() as stack:
        for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
            stream = getattr(sys, name)
            if stream is None:
                nothing = stack.enter_context(Path(os.devnull).open(mode, encoding="utf-8"))
                setattr(sys, name, nothing)
                stack.callback(setattr, sys, name, None)
            elif mode == "w" and isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        yield


def _exit_code(options: Namespace, sandbox: Sandbox | None) -> int:
    """Run the command, and turn what it raises into one line on stderr and an exit code."""
    try:
        is_ok = _run(options, sandbox)
        sys.stdout.flush()
    except CommandError as error:
        print_error(options.command, str(error))
        return error.exit_code
    except ImportError as error:
        library = str(error.name).partition(".")[0]
        if library not in _LIBRARIES:
            raise
        extra = "demo" if options.command == "demo" else "cli"
        print_error(options.command, f"needs {library}: pip install 'thebase-auth[{extra}]'")
        return ExitCode.WRONG_USE
    except BrokenPipeError:  # the reader has seen enough
        discard(sys.stdout)
        return ExitCode.OK
    except OSError as error:
        print_error(options.command, str(error))
        return ExitCode.WRONG_USE
    return ExitCode.OK if is_ok else ExitCode.FAILED


def _run(options: Namespace, sandbox: Sandbox | None) -> bool:
    """Run the command. False: the server said no, or a line of the demo is wrong."""
    match options.command:
        case "demo":
            from ._demo import run_demo

            return run_demo(sys.stdout, sandbox)
        case "sandbox":
            from ._sandbox import run_sandbox

            return run_sandbox(options)
        case _:
            from . import _commands

            commands = {"check": _commands.check, "token": _commands.token, "request": _commands.request}
            return commands[options.command](options)
