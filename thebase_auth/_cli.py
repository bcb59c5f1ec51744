# The command `thebase-auth`: its arguments, its exit codes, its errors.
#
# Here: one parser, and for each subcommand the few lines that call it and turn its outcome into an
# exit code. Not here: what a subcommand does (_demo), nor an import that a subcommand alone needs,
# so that --help and --version work without any HTTP library. Results go to stdout; an error is
# one line on stderr.

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NoReturn

from . import __version__

if TYPE_CHECKING:
    from .testing import Sandbox

_OK: Final = 0
_FAILED: Final = 1
_NO_OUTCOME: Final = 2  # argparse's own code for wrong arguments

_EXIT_CODES: Final = """\
exit codes:
  0  all went as printed
  1  something went otherwise; the output says what
  2  nobody can say: wrong arguments, a missing library, an error of the operating system
"""

_DEMO: Final = """\
Starts a small TheBase on a loopback port and lets requests, httpx and httpx.AsyncClient work with
it while their token is revoked. Prints what the server received, each line compared with what it
should have received. Needs no network and no account; takes a few seconds.
"""

# What the extra `demo` installs; anyio comes with httpx and Starlette.
_DEMO_LIBRARIES: Final = frozenset({"requests", "httpx", "starlette", "uvicorn", "anyio"})


def main(argv: Sequence[str] | None = None, *, sandbox: Sandbox | None = None) -> int:
    """Run the command line, and return its exit code.

    Args:
        argv: The arguments without the program's name; by default those of the process.
        sandbox: What the demo runs against, not yet started; by default one of its own. For tests.

    Returns:
        0, 1 or 2, as ``--help`` explains.

    Raises:
        SystemExit: for ``--help`` and ``--version`` (code 0) and for wrong arguments (code 2).
    """
    parser = _Parser(
        prog="thebase-auth",
        description="Authentication for the API of TheBase: tools around the Python package.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    commands.add_parser(
        "demo",
        help="show a token being fetched, shared, refused and renewed, against a local sandbox",
        description=_DEMO,
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.parse_args(argv)
    return _demo(sandbox)


class _Parser(argparse.ArgumentParser):
    """argparse's parser, with one line on stderr for an error."""

    def error(self, message: str) -> NoReturn:
        self.exit(_NO_OUTCOME, f"{self.prog}: {message}; see {self.prog} --help\n")


def _demo(sandbox: Sandbox | None) -> int:
    try:
        from ._demo import run
    except ImportError as error:
        missing = str(error.name).partition(".")[0]
        if missing not in _DEMO_LIBRARIES:
            raise
        return _no_outcome(f"demo: needs {missing}: pip install 'thebase-auth[demo]'")
    try:
        return _OK if run(sys.stdout, sandbox) else _FAILED
    except OSError as error:
        return _no_outcome(f"demo: {error}")


def _no_outcome(message: str) -> int:
    print(f"thebase-auth {message}", file=sys.stderr)
    return _NO_OUTCOME
