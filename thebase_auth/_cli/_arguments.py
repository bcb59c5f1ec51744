# The commands with their arguments and their help. Each command imports its module when it runs, so that
# --help and shell completion need click alone.

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Final

import click

from thebase_auth import __version__
from thebase_auth._core.credentials import VARIABLES
from thebase_auth._core.origin import SETTINGS

from ._errors import PROGRAM, ExitCode

_PROGRAM_EPILOG: Final = f"""\
\b
Settings (TheBase shows them under {SETTINGS}):
  domain         --domain, or {VARIABLES[0]} in the environment
  client id      --client-id, or {VARIABLES[1]}
  client secret  --secret-file FILE (- for stdin), or {VARIABLES[2]},
                 or a prompt at a terminal
  all three      --profile NAME or --env-file FILE replace the environment

No argument takes the secret: other users of this machine could read it.

\b
Exit codes:
  0  success, also a redirect
  1  the server rejected the settings, or responded with 400 or more;
     in the demo, a line is not true
  2  wrong arguments or settings, a missing library, or an error of the
     operating system
  3  no response: unknown host, no connection, a TLS error, or a timeout
"""
_EPILOG: Final = f"Settings and exit codes: {PROGRAM} --help"


def _reject_secret(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
    if value is not None:
        raise click.BadOptionUsage(
            parameter.opts[0],
            "the client secret is not taken from an argument, which other users could read; set"
            f" {VARIABLES[2]}, use --secret-file FILE, or run the command at a terminal, which asks for it",
            context,
        )


_SETTINGS_OPTIONS: Final = (
    click.option("--domain", metavar="DOMAIN", help=f"instead of {VARIABLES[0]}"),
    click.option("--client-id", metavar="ID", help=f"instead of {VARIABLES[1]}"),
    click.option("--secret-file", metavar="FILE", type=click.Path(), help=f"instead of {VARIABLES[2]}"),
    click.option("--profile", metavar="NAME", help="the settings of this name in your profiles.toml"),
    click.option("--env-file", metavar="FILE", type=click.Path(),
                 help="the THEBASE_ variables of a .env file"),
    click.option("--timeout", metavar="SECONDS", type=float, default=30, show_default=True,
                 help="for connecting, and for each wait for data"),
    click.option("--client-secret", "--secret", "--password",
                 hidden=True, expose_value=False, callback=_reject_secret),
)  # fmt: skip
_NO_CACHE: Final = click.option("--no-cache", is_flag=True, help="fetch a new token, and do not keep it")


def _settings(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(_SETTINGS_OPTIONS):
        command = option(command)
    return command


@click.group(PROGRAM, epilog=_PROGRAM_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="%(prog)s %(version)s")
def program() -> None:
    """Authentication for the API of TheBase: tools around the Python package."""


@program.command(epilog=_EPILOG)
@_settings
def check(**options: Any) -> None:
    """Check the settings.

    Asks for a new token, and says who gets it, where, and for how long, or which setting is wrong, as far as
    the response tells. If the server rejects client id and client secret, asks once more with the two
    swapped, which tells whether they are.
    """
    from ._commands import check

    check(SimpleNamespace(**options))


@program.command(epilog=_EPILOG)
@_settings
@_NO_CACHE
@click.option("--header", is_flag=True, help="print it as a header, for curl")
def token(**options: Any) -> None:
    """Print an access token for other tools.

    Anyone who has it can use it until it expires. It is kept in a file which only you can read, and is used
    again. The server may have revoked it; --no-cache fetches another.

    For example: thebase-auth token --header | curl --header @- https://acme.thebase.co.il/v2/users
    """
    from ._commands import token

    token(SimpleNamespace(**options))


@program.command(epilog=_EPILOG)
@click.argument("method")
@click.argument("path")
@click.option("--json", metavar="JSON", help="the body: JSON, @FILE, or - for stdin")
@_settings
@_NO_CACHE
def request(**options: Any) -> ExitCode:
    """Make one signed call.

    Prints the response, JSON with indentation, and its status on stderr. METHOD is GET, POST, PUT or the
    like; PATH is the part of the URL after the domain. Redirects are not followed. The token is kept in a
    file which only you can read, and is renewed if the server rejects it.

    For example: thebase-auth request GET '/v2/users?limit=5'

    For example: thebase-auth request POST /v2/notes/create --json @note.json
    """
    from ._commands import request

    return request(SimpleNamespace(**options))


@program.command(epilog=_EPILOG)
def demo() -> ExitCode:
    """See the plugin at work.

    Starts a fake TheBase server on this machine, revokes the token of 100 threads and 100 asyncio tasks, and
    prints what the server recorded. Needs no network and no account, and takes a few seconds.
    """
    from ._demo import run_demo

    return ExitCode.OK if run_demo() else ExitCode.FAILED


@program.command(epilog=_EPILOG)
@click.option("--host", default="127.0.0.1", metavar="HOST", show_default=True,
              help="the address to listen on; or a name by which others reach this machine, and then it"
                   " listens on all addresses")  # fmt: skip
@click.option("--port", type=click.IntRange(0, 65535), default=0, metavar="PORT",
              help="by default, any free port")  # fmt: skip
@click.option("--expires-in", type=click.IntRange(1), default=3600, metavar="SECONDS", show_default=True,
              help="how long a token lives")  # fmt: skip
@click.option("--token-lifetime", type=click.FloatRange(0, min_open=True), metavar="SECONDS",
              help="when a token is rejected, if not then")  # fmt: skip
@click.option("--single-token", is_flag=True, help="let a new token revoke the earlier ones")
@click.option("--refuse", multiple=True, metavar="CALL",
              help="a call that the client may not make, such as 'DELETE *'; may be repeated")  # fmt: skip
def sandbox(**options: Any) -> None:
    """Run a fake TheBase server for tests.

    Runs until Ctrl-C. Prints the settings to use, and each request with the reason if it
    is rejected. A page in the browser and JSON over HTTP revoke tokens, delay or drop requests, and the like.
    All data are lost at the end.
    """
    from ._sandbox import run_sandbox

    run_sandbox(SimpleNamespace(**options))
