# The command `thebase-auth`: its arguments, its exit codes, its errors.
#
# Here: one parser, and for each command the few lines that call it and turn its outcome into an exit
# code. Not here: what a command does (_demo, _commands, and testing for the sandbox), where its
# settings come from (_settings), nor an import that a command alone needs, so that --help and
# --version work without any library. Results go to stdout; an error is one line on stderr.

from __future__ import annotations

import argparse
import io
import json
import math
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn, TextIO

from thebase_auth import __version__

from ._settings import WAYS_TO_GIVE_IT, CommandError, in_one_line, read_settings

if TYPE_CHECKING:
    from thebase_auth.testing import ReceivedRequest, Sandbox

    from ._settings import Settings

_OK: Final = 0
_FAILED: Final = 1
_WRONG_USE: Final = 2  # argparse's own code for wrong arguments
_INTERRUPTED: Final = 130  # as a shell has it for Ctrl-C

# No line longer than 80 characters, the width of a plain terminal.
_EXIT_CODES: Final = """\
exit codes:
  0  all went as asked
  1  the server said no: settings refused, or a status of 400 or more;
     in the demo, a line that is not as it should be
  2  wrong arguments or settings, a missing library, an error of the
     operating system
  3  no answer: no such host, no connection, TLS, a timeout
"""

_SETTINGS: Final = """\
settings, as TheBase shows them under Settings, Webhooks/API, API token:
  the domain         --domain, or THEBASE_DOMAIN in the environment
  the client id      --client-id, or THEBASE_CLIENT_ID
  the client secret  --secret-file FILE (- for stdin), or THEBASE_CLIENT_SECRET,
                     or a prompt at a terminal; never an argument, which others
                     on this machine could read
"""

_KEPT: Final = """\
The token is kept in a file in the user's cache directory, readable for the user
alone, and used again until its time is over.
"""

_CHECK: Final = """\
Asks for a token, whatever is kept from earlier, and says who gets it, where and
for how long. If there is none, says which of the settings is to blame, as far
as the answer tells.
"""

_TOKEN: Final = f"""\
Prints an access token, for tools that cannot fetch one themselves. Whoever has
it can use it until it ends.
{_KEPT}Whether the server still takes it is not asked; if it does not, --new.

examples:
  thebase-auth token | xclip -selection clipboard
  thebase-auth token --header \\
    | curl --header @- https://acme.thebase.co.il/v2/users
"""

_REQUEST: Final = f"""\
Makes one signed call and prints the answer: JSON set for reading, anything else
as it is. The status is told on stderr. A redirect is not followed.
{_KEPT}If the server no longer takes it, it is renewed.

examples:
  thebase-auth request GET '/v2/users?limit=5'
  thebase-auth request POST /v2/leads/create --json @lead.json
  thebase-auth request POST /v2/notes/create --json '{{"lead_id": 1, "msg": "a"}}'
"""

_DEMO: Final = """\
Starts a small TheBase on a loopback port and lets requests, httpx and
httpx.AsyncClient work with it while their token is revoked. Prints what the
server received, each line compared with what it should have received. Needs no
network and no account; takes a few seconds.
"""

_SANDBOX: Final = """\
Runs a TheBase on a loopback port until Ctrl-C, with data of its own that are
gone at the end. Prints the three settings to use, and each request as it is
answered.
"""

# What the extras `cli` and `demo` install; anyio comes with httpx.
_LIBRARIES: Final = frozenset({"requests", "httpx", "anyio", "rich", "filelock", "platformdirs", "uvicorn"})

# More than anybody waits, and less than the operating system can count.
_LONGEST_TIME: Final = 10**8  # seconds

# What people try, however they are told not to.
_SECRET_ARGUMENTS: Final = ("--client-secret", "--secret", "--password")


def main(argv: Sequence[str] | None = None, *, sandbox: Sandbox | None = None) -> int:
    """Run the command line, and return its exit code.

    Args:
        argv: The arguments without the program's name; by default those of the process.
        sandbox: What the demo runs against, not yet started; by default one of its own. For tests.

    Returns:
        0, 1, 2, 3 or 130, as ``--help`` explains.

    Raises:
        SystemExit: for ``--help`` and ``--version`` (code 0) and for wrong arguments (code 2).
    """
    try:
        with _usable_streams():
            options = _parse(sys.argv[1:] if argv is None else argv)
            return _run(options, sandbox)
    except KeyboardInterrupt:
        return _INTERRUPTED


@contextmanager
def _usable_streams() -> Iterator[None]:
    """Make do with what streams there are: each may be closed, and not every one can tell Hebrew."""
    with ExitStack() as stack:
        for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
            stream = getattr(sys, name)
            if stream is None:
                nothing = stack.enter_context(Path(os.devnull).open(mode, encoding="utf-8"))
                setattr(sys, name, nothing)
                stack.callback(setattr, sys, name, None)
            elif mode == "w" and isinstance(stream, io.TextIOWrapper):
                # Rather an escape than no output at all.
                stream.reconfigure(errors="backslashreplace")
        yield


def _run(options: argparse.Namespace, sandbox: Sandbox | None) -> int:
    try:
        code: int = options.run(options, sandbox)
        sys.stdout.flush()
    except CommandError as error:
        _warn(options.command, str(error))
        return error.exit_code
    except ImportError as error:
        library = str(error.name).partition(".")[0]
        if library not in _LIBRARIES:
            raise
        extra = "demo" if options.command == "demo" else "cli"
        _warn(options.command, f"needs {library}: pip install 'thebase-auth[{extra}]'")
        return _WRONG_USE
    except BrokenPipeError:
        _discard(sys.stdout)
        return _OK
    except OSError as error:
        _warn(options.command, str(error))
        return _WRONG_USE
    return code


def _discard(stream: TextIO) -> None:
    """Let what is written go nowhere: who read it has gone. Python would complain at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    """Read the arguments; those that are not understood are not repeated, as one may be a secret."""
    parser = _parser()
    options, unknown = parser.parse_known_args(_joined(argv))
    if unknown:
        names = [one.partition("=")[0] for one in unknown if one.startswith("--")]
        parser.error(f"there is no {', '.join(names)}" if names else "too many arguments")
    return options


def _parser() -> _Parser:
    parser = _Parser(
        prog="thebase-auth",
        description="Authentication for the API of TheBase: tools around the Python package.",
        epilog=f"{_SETTINGS}\n{_EXIT_CODES}",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    _refuse_secrets(parser)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command", required=True)

    def command(
        name: str, run: Callable[..., int], summary: str, description: str, *, settings: bool = True
    ) -> argparse.ArgumentParser:
        epilog = f"{_SETTINGS}\n{_EXIT_CODES}" if settings else _EXIT_CODES
        added = commands.add_parser(name, help=summary, description=description, epilog=epilog)
        added.set_defaults(run=run)
        if settings:
            _add_settings(added)
        return added

    command("check", _run_check, "say whether the settings are right", _CHECK)

    token = command("token", _run_token, "print an access token for other tools", _TOKEN)
    token.add_argument("--header", action="store_true", help="print it as a header field, for curl")
    token.add_argument(
        "--new", action="store_true", help="fetch a new one, and keep it instead of the one kept"
    )
    _add_no_cache(token)

    request = command("request", _run_request, "make one signed call", _REQUEST)
    request.add_argument("method", metavar="METHOD", help="such as GET, POST, PUT or DELETE")
    request.add_argument("path", metavar="PATH", help="what follows the domain, such as /v2/users")
    request.add_argument("--json", metavar="JSON", help="the body: JSON, @FILE, or - for stdin")
    _add_no_cache(request)

    command(
        "demo",
        _run_demo,
        "show a token being fetched, shared, refused and renewed, against a local sandbox",
        _DEMO,
        settings=False,
    )
    sandbox = command(
        "sandbox",
        _run_sandbox,
        "run a TheBase of one's own, to try things on",
        _SANDBOX,
        settings=False,
    )
    sandbox.add_argument("--port", type=_port, default=0, help="by default any that is free")
    sandbox.add_argument(
        "--expires-in",
        type=_seconds,
        default=3600,
        metavar="SECONDS",
        help="how long a token lives; by default 3600",
    )
    return parser


def _add_settings(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--domain", help="instead of THEBASE_DOMAIN")
    parser.add_argument("--client-id", metavar="ID", help="instead of THEBASE_CLIENT_ID")
    parser.add_argument("--secret-file", metavar="FILE", help="instead of THEBASE_CLIENT_SECRET")
    parser.add_argument(
        "--timeout",
        type=_seconds,
        default=30,
        metavar="SECONDS",
        help="for connecting, and for each wait for data; by default 30",
    )
    _refuse_secrets(parser)


def _refuse_secrets(parser: argparse.ArgumentParser) -> None:
    for name in _SECRET_ARGUMENTS:
        parser.add_argument(name, action=_NoSecret, help=argparse.SUPPRESS)


def _add_no_cache(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--no-cache", action="store_true", help="fetch a new token, and do not keep it")


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text) < 2**16):
        raise argparse.ArgumentTypeError("a port is a number from 0 to 65535")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= _LONGEST_TIME:
        raise argparse.ArgumentTypeError(
            f"a time is a number of seconds above 0, and at most {_LONGEST_TIME}"
        )
    return int(seconds) if seconds.is_integer() else seconds


def _joined(argv: Sequence[str]) -> list[str]:
    """The arguments, an id that begins with a dash joined to its option: argparse would not take it."""
    joined: list[str] = []
    for argument in argv:
        is_id = not argument.startswith("--") or argument.endswith("..")
        if joined and joined[-1] == "--client-id" and is_id:
            joined[-1] += f"={argument}"
        else:
            joined.append(argument)
    return joined


class _Parser(argparse.ArgumentParser):
    """argparse's parser, with one line on stderr for an error."""

    def __init__(self, **options: Any) -> None:
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        # What was given is not repeated: it may be a secret in the wrong place.
        message = re.sub(r"(invalid choice|ignored explicit argument):? .*", r"\1", message, flags=re.DOTALL)
        self.exit(_WRONG_USE, f"{self.prog}: {message}; see {self.prog} --help\n")


class _NoSecret(argparse.Action):
    """An option that takes the secret, in order to refuse it."""

    def __init__(self, option_strings: Sequence[str], dest: str, **options: Any) -> None:
        super().__init__(option_strings, dest, nargs="?", **options)

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        parser.error(
            f"the client secret is not taken from an argument, which others could read; {WAYS_TO_GIVE_IT}"
        )


def _run_check(options: argparse.Namespace, _: object) -> int:
    from ._commands import check

    check(_settings(options), timeout=options.timeout, out=sys.stdout)
    return _OK


def _run_token(options: argparse.Namespace, _: object) -> int:
    from ._commands import token

    text = token(
        _settings(options),
        timeout=options.timeout,
        cached=not options.no_cache,
        new=options.new,
    )
    if sys.stdout.isatty():
        _warn("token", "whoever sees this can use it until it ends; do not leave it on the screen")
    print(f"Authorization: Bearer {text}" if options.header else text)
    return _OK


def _run_request(options: argparse.Namespace, _: object) -> int:
    from ._commands import request

    if "://" in options.path.partition("?")[0]:
        raise CommandError("PATH is what follows the domain, such as /v2/users", _WRONG_USE)
    if options.json == options.secret_file == "-":
        raise CommandError("--json and --secret-file cannot both be read from stdin", _WRONG_USE)
    settings = _settings(options)
    status = request(
        settings,
        options.method.upper(),
        options.path,
        content=None if options.json is None else _json(options.json),
        timeout=options.timeout,
        cached=not options.no_cache,
        out=sys.stdout,
    )
    return _OK if status < 400 else _FAILED


def _run_demo(_: argparse.Namespace, sandbox: Sandbox | None) -> int:
    from ._demo import run

    return _OK if run(sys.stdout, sandbox) else _FAILED


def _run_sandbox(options: argparse.Namespace, _: object) -> int:
    from thebase_auth.testing import Sandbox

    sandbox = Sandbox(
        port=options.port,
        expires_in=options.expires_in,
        token_lifetime=options.expires_in,
        on_request=_tell,
    )
    with ExitStack() as stack:
        try:
            thebase = stack.enter_context(sandbox)
        except OSError as error:
            text = f"port {options.port}: {error.strerror or error}"
            raise CommandError(text, _WRONG_USE) from None
        with suppress(KeyboardInterrupt):
            _introduce(thebase)
            while True:
                time.sleep(3600)
    return _OK


def _introduce(thebase: Sandbox) -> None:
    assign = "  set" if os.name == "nt" else "  export"
    print("A TheBase of your own, until Ctrl-C. In another terminal:\n")
    print(f"{assign} THEBASE_DOMAIN={thebase.domain}")
    print(f"{assign} THEBASE_CLIENT_ID={thebase.client_id}")
    print(f"{assign} THEBASE_CLIENT_SECRET={thebase.client_secret}")
    print("  thebase-auth request GET /v2/users\n")
    print("A client that may not delete:\n")
    print(f"{assign} THEBASE_CLIENT_ID={thebase.limited_client.client_id}")
    print(f"{assign} THEBASE_CLIENT_SECRET={thebase.limited_client.client_secret}\n", flush=True)


def _tell(request: ReceivedRequest) -> None:
    line = "".join(c if c.isprintable() else "?" for c in str(request))
    with suppress(OSError):  # who read our output has seen enough
        print(time.strftime("%H:%M:%S"), line, flush=True)


def _settings(options: argparse.Namespace) -> Settings:
    return read_settings(options.domain, options.client_id, options.secret_file)


def _json(argument: str) -> bytes:
    """The JSON document that an argument gives, or names, in UTF-8 (RFC 8259 section 8.1)."""
    if argument == "-":
        content = sys.stdin.buffer.read()
    elif argument.startswith("@"):
        content = Path(argument[1:]).read_bytes()
    else:
        content = os.fsencode(argument)
    try:
        text = content.decode("utf-8-sig")
        json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise CommandError(f"what --json gives is not JSON in UTF-8: {error}", _WRONG_USE) from None
    return text.encode()


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _warn(command: str, text: str) -> None:
    try:
        print(f"thebase-auth {command}: {in_one_line(text)}", file=sys.stderr)
    except OSError:
        _discard(sys.stderr)
