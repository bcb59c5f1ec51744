# The arguments of the command line, and its help.
#
# Here: the parser, its help texts, and the types of its arguments. Not here: what a command does, and
# settings that no option gives (_settings). This imports no library: --help and --version always work.

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Sequence
from typing import Any, Final, NoReturn

from thebase_auth import __version__

from ._errors import ExitCode
from ._settings import WAYS_TO_GIVE_IT

# No line longer than 80 characters, the width of a plain terminal.
_EXIT_CODES: Final = """\
exit codes:
  0  success
  1  the server refused the settings, or answered with a status of 400 or
     more; in the demo, a line is wrong
  2  wrong arguments or settings, a missing library, or an error of the
     operating system
  3  no answer: unknown host, no connection, a TLS error, or a timeout
"""

_SETTINGS: Final = f"""\
settings, as TheBase shows them under Settings, Webhooks/API, API token:
  the domain         --domain, or THEBASE_DOMAIN in the environment
  the client id      --client-id, or THEBASE_CLIENT_ID
  the client secret  --secret-file FILE (- for stdin), or THEBASE_CLIENT_SECRET,
                     or a prompt at a terminal; never an argument, which other
                     users of this machine could read

{_EXIT_CODES}"""

_KEPT: Final = """\
The token is kept in a file in the user's cache directory, which only the user
can read, and is used again until it expires.
"""

_CHECK: Final = """\
Asks for a new token, and says who gets it, where, and for how long. If the
server refuses, says which setting is wrong, as far as the answer tells.
"""

_TOKEN: Final = f"""\
Prints an access token, for tools that cannot fetch one themselves. Whoever has
it can use it until it expires.
{_KEPT}The server may have ended it sooner; --new fetches another.

examples:
  thebase-auth token | xclip -selection clipboard
  thebase-auth token --header \\
    | curl --header @- https://acme.thebase.co.il/v2/users
"""

_REQUEST: Final = f"""\
Makes one signed call and prints the answer, JSON with indentation. The status
is printed on stderr. Redirects are not followed.
{_KEPT}If the server refuses it, it is renewed.

examples:
  thebase-auth request GET '/v2/users?limit=5'
  thebase-auth request POST /v2/leads/create --json @lead.json
  thebase-auth request POST /v2/notes/create --json '{{"lead_id": 1, "msg": "a"}}'
"""

_DEMO: Final = """\
Starts a sandbox on a loopback port and lets requests, httpx.Client and
httpx.AsyncClient work with it while their token is revoked. Prints what the
server received, and compares each line with what it should have received.
Needs no network and no account, and takes a few seconds.
"""

_SANDBOX: Final = """\
Runs a sandbox, a TheBase for tests, on a loopback port until Ctrl-C. Prints
the settings to use, and each request as it is answered, with the reason of each
refusal. Keys of the terminal, a page in the browser, and JSON over HTTP revoke
tokens, answer, delay or drop requests, and the like. All data are lost at the
end.
"""

_LONGEST_TIME: Final = 10**8  # seconds; the operating system cannot wait much longer

# What people try, whatever the help says.
_SECRET_OPTIONS: Final = ("--client-secret", "--secret", "--password")


def parse_arguments(argv: Sequence[str]) -> argparse.Namespace:
    """Read the arguments.

    Args:
        argv: The arguments without the program's name.

    Raises:
        SystemExit: after ``--help`` and ``--version`` (code 0), and if the arguments are wrong (code 2).
    """
    parser = _parser()
    options, unknown = parser.parse_known_args(_with_joined_ids(argv))
    if unknown:  # not to be repeated: one may be a secret
        names = [one.partition("=")[0] for one in unknown if one.startswith("--")]
        parser.error(f"unrecognized arguments: {' '.join(names)}" if names else "too many arguments")
    return options


def _parser() -> _Parser:
    parser = _Parser(
        prog="thebase-auth",
        description="Authentication for the API of TheBase: tools around the Python package.",
        epilog=_SETTINGS,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    _refuse_secrets(parser)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command", required=True)

    def command(name: str, summary: str, description: str, *parents: _Parser) -> _Parser:
        epilog = _SETTINGS if parents else _EXIT_CODES
        return commands.add_parser(
            name, help=summary, description=description, epilog=epilog, parents=parents
        )

    settings = _Parser(add_help=False)
    settings.add_argument("--domain", help="instead of THEBASE_DOMAIN")
    settings.add_argument("--client-id", metavar="ID", help="instead of THEBASE_CLIENT_ID")
    settings.add_argument("--secret-file", metavar="FILE", help="instead of THEBASE_CLIENT_SECRET")
    _refuse_secrets(settings)
    how_long = "for connecting, and for each wait for data; by default %(default)s"
    settings.add_argument("--timeout", type=_seconds, default=30, metavar="SECONDS", help=how_long)
    cache = _Parser(add_help=False)
    cache.add_argument("--no-cache", action="store_true", help="fetch a new token, and do not keep it")

    command("check", "check the settings", _CHECK, settings)

    token = command("token", "print an access token for other tools", _TOKEN, settings, cache)
    token.add_argument("--header", action="store_true", help="print it as a header field, for curl")
    new = "fetch a new token, and keep it instead of the last one"
    token.add_argument("--new", action="store_true", help=new)

    request = command("request", "make one signed call", _REQUEST, settings, cache)
    request.add_argument("method", metavar="METHOD", type=str.upper, help="such as GET, POST, PUT or DELETE")
    request.add_argument(
        "path", metavar="PATH", help="the part of the URL after the domain, such as /v2/users"
    )
    request.add_argument("--json", metavar="JSON", help="the body: JSON, @FILE, or - for stdin")

    summary = "show a token being fetched, shared, refused and renewed, against a local sandbox"
    command("demo", summary, _DEMO)

    sandbox = command("sandbox", "run a TheBase for tests", _SANDBOX)
    sandbox.add_argument("--port", type=_port, default=0, help="by default, any free port")
    life = "how long a token lives; by default %(default)s"
    sandbox.add_argument("--expires-in", type=_seconds, default=3600, metavar="SECONDS", help=life)
    lifetime = "when a token is refused, if not then"
    sandbox.add_argument("--token-lifetime", type=_seconds, metavar="SECONDS", help=lifetime)
    single = "let a new token end the earlier ones"
    sandbox.add_argument("--single-token", action="store_true", help=single)
    refuse = "a call that the client may not make, such as 'DELETE *'; may be repeated"
    sandbox.add_argument("--refuse", action="append", default=[], metavar="CALL", help=refuse)
    return parser


def _refuse_secrets(parser: _Parser) -> None:
    for name in _SECRET_OPTIONS:
        parser.add_argument(name, action=_RefuseSecret, nargs="?", help=argparse.SUPPRESS)


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text) < 2**16):
        raise argparse.ArgumentTypeError("must be a number from 0 to 65535")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= _LONGEST_TIME:
        raise argparse.ArgumentTypeError(f"must be a number of seconds above 0, and at most {_LONGEST_TIME}")
    return int(seconds) if seconds.is_integer() else seconds


def _with_joined_ids(argv: Sequence[str]) -> list[str]:
    """The arguments, with an id joined to its option: argparse takes none that begins with a dash."""
    joined: list[str] = []
    for argument in argv:
        is_id = not argument.startswith("--") or argument.endswith("..")
        if joined and joined[-1] == "--client-id" and is_id:
            joined[-1] += f"={argument}"
        else:
            joined.append(argument)
    return joined


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line on stderr."""

    def __init__(self, **options: Any) -> None:
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        # Without the argument itself, which may be a secret in the wrong place.
        message = re.sub(r"(invalid choice|ignored explicit argument):? .*", r"\1", message, flags=re.DOTALL)
        self.exit(ExitCode.WRONG_USE, f"{self.prog}: {message}; see {self.prog} --help\n")


class _RefuseSecret(argparse.Action):
    """An option that would take the secret: an error."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        parser.error(
            "the client secret is not taken from an argument, which other users could read; "
            + WAYS_TO_GIVE_IT
        )
