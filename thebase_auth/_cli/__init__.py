# The command `thebase-auth`. An exception becomes one line on stderr and an exit code.
#
# A map of the sub-package. Each part knows those above it, and nothing below.
#   _errors     exit codes, the exception that ends a command, text that is safe to print
#   _settings   where the settings come from
#   _failures   why there is no token or no response, in one line
#   _commands   check, token, request
#   _demo       demo
#   _sandbox    sandbox
#   _arguments  the commands with their arguments and their help, on click

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from typing import Final

from ._errors import PROGRAM, CommandError, ExitCode, in_one_line

_INSTALL: Final = "install the extra 'cli'"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line, and return its exit code.

    Args:
        argv: The arguments without the program's name; by default those of the process.

    Returns:
        0, 1, 2, 3 or 130, as ``--help`` explains.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # for Hebrew in a code page that has none
    try:
        return _run(sys.argv[1:] if argv is None else [*argv])
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED


def _run(argv: list[str]) -> int:
    try:
        import click
    except ModuleNotFoundError as error:
        print(f"{PROGRAM}: {error}; {_INSTALL}", file=sys.stderr)
        return ExitCode.WRONG_USE
    from ._arguments import program

    try:
        return program.main(argv, PROGRAM, standalone_mode=False) or ExitCode.OK
    except click.Abort:  # Ctrl-C
        return ExitCode.INTERRUPTED
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return ExitCode.WRONG_USE
    except click.UsageError as error:
        # click repeats superfluous arguments, one of which may be the secret.
        wrong = "too many arguments" if type(error) is click.UsageError else error.format_message()
        command = error.ctx.command_path if error.ctx else PROGRAM
        message, exit_code = f"{wrong.rstrip('.')}; see {command} --help", ExitCode.WRONG_USE
    except CommandError as error:
        message, exit_code = str(error), error.exit_code
    except ModuleNotFoundError as error:
        message, exit_code = f"{error}; {_INSTALL}", ExitCode.WRONG_USE
    except (ImportError, OSError) as error:
        message, exit_code = str(error), ExitCode.WRONG_USE
    click.echo(f"{PROGRAM}: {in_one_line(message)}", err=True)
    return exit_code
