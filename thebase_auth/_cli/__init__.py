# The command `thebase-auth`.
#
# Here: running a command, and its exit code. Results go to stdout; an error is one line on stderr. Not here:
# what a command does. Its module is imported only when it runs, because of the libraries that it needs.
#
# A map of the sub-package. Each part knows those above it, and nothing below.
#   _errors     exit codes, the exception that ends a command, and its line on stderr
#   _screen     lines that fit the terminal, and whether they have colours
#   _settings   where the settings come from
#   _failures   why there is no token or no answer, in one line
#   _output     an answer and a long wait, as they are shown
#   _commands   check, token, request
#   _demo       demo
#   _sandbox    sandbox
#   _arguments  the commands with their arguments and their help, on click

from __future__ import annotations

import io
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ._errors import PROGRAM, CommandError, ExitCode, discard, print_error

if TYPE_CHECKING:
    import click

# What the extras `cli` and `demo` install; anyio comes with httpx.
_LIBRARIES: Final = frozenset(
    {"requests", "httpx", "anyio", "click", "dotenv", "rich", "filelock", "platformdirs", "uvicorn"}
)
_COMPLETION: Final = "_THEBASE_AUTH_COMPLETE"  # click's name for it
_WIDEST: Final = 80  # columns of the help


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line, and return its exit code.

    Args:
        argv: The arguments without the program's name; by default those of the process.

    Returns:
        0, 1, 2, 3 or 130, as ``--help`` explains.
    """
    try:
        with _usable_streams():
            try:
                return _run(sys.argv[1:] if argv is None else [*argv])
            except BrokenPipeError:  # the reader has seen enough
                discard(sys.stdout)
                return ExitCode.OK
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


def _run(argv: list[str]) -> int:
    """Read the arguments and run the command; what is wrong with them is one line on stderr."""
    try:
        import click
    except ImportError:
        print_error(PROGRAM, _needs("click", "cli"))
        return ExitCode.WRONG_USE
    from click.shell_completion import shell_complete

    from ._arguments import in_words, program

    if asked := os.environ.get(_COMPLETION):
        return shell_complete(program, {}, PROGRAM, _COMPLETION, asked)
    width = min(shutil.get_terminal_size().columns, _WIDEST)
    try:
        with program.make_context(PROGRAM, argv, terminal_width=width) as context:
            try:
                return _exit_code(context)
            except click.UsageError as error:
                name = _name(context)
                print_error(name, f"{in_words(error)}; see {name} --help")
    except click.exceptions.Exit as end:  # of --help and --version
        return end.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message(), file=sys.stderr)
    except click.UsageError as error:
        print_error(PROGRAM, f"{in_words(error)}; see {PROGRAM} --help")
    return ExitCode.WRONG_USE


def _exit_code(context: click.Context) -> int:
    """Run the command, and turn what it raises into one line on stderr and an exit code."""
    try:
        is_ok = context.command.invoke(context)
        sys.stdout.flush()
    except CommandError as error:
        print_error(_name(context), str(error))
        return error.exit_code
    except ImportError as error:
        library = str(error.name).partition(".")[0]
        if library not in _LIBRARIES:
            raise
        extra = "demo" if context.invoked_subcommand == "demo" else "cli"
        print_error(_name(context), _needs(library, extra))
        return ExitCode.WRONG_USE
    except BrokenPipeError:
        raise
    except OSError as error:
        print_error(_name(context), str(error))
        return ExitCode.WRONG_USE
    return ExitCode.OK if is_ok else ExitCode.FAILED


def _name(context: click.Context) -> str:
    return " ".join(filter(None, [PROGRAM, context.invoked_subcommand]))


def _needs(library: str, extra: str) -> str:
    return f"needs {library}: pip install 'thebase-auth[{extra}]'"
