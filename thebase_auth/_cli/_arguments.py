# The commands, their arguments and their help.
#
# Here: what can be typed, its help texts, and the types of arguments. Each command imports its module when it
# runs: --help, --version and shell completion always work, with click alone. Not here: what a command does,
# and settings that no option gives (_settings).

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Final

import click
from click.shell_completion import CompletionItem

from thebase_auth import __version__
from thebase_auth._core.credentials import VARIABLES
from thebase_auth._core.origin import SETTINGS

from ._errors import PROGRAM
from ._settings import profile_names

_EXIT_CODES: Final = (
    ("0", "success, also a redirect"),
    ("1", "the server refused the settings, or answered with 400 or more; in the demo, a line is wrong"),
    ("2", "wrong arguments or settings, a missing library, or an error of the operating system"),
    ("3", "no answer: unknown host, no connection, a TLS error, or a timeout"),
)
_SETTINGS: Final = (
    ("domain", f"--domain, or {VARIABLES[0]} in the environment"),
    ("client id", f"--client-id, or {VARIABLES[1]}"),
    ("client secret", f"--secret-file FILE (- for stdin), or {VARIABLES[2]}, or a prompt at a terminal"),
    ("all three", "instead of the environment: --profile NAME, or --env-file FILE"),
)
_KEPT: Final = "The token is kept in a file which only you can read, and is used again until it expires."
_TOKEN: Final = f"""\
Print an access token, for tools that cannot fetch one themselves.

Whoever has it can use it until it expires. {_KEPT} The server may have ended it sooner; --new fetches
another.

For example: {PROGRAM} token --header | curl --header @- https://acme.thebase.co.il/v2/users
"""
_REQUEST: Final = f"""\
Make one signed call and print the answer, JSON with indentation.

METHOD is GET, POST, PUT or the like; PATH is the part of the URL after the domain. The status is printed on
stderr. Redirects are not followed. {_KEPT} If the server refuses it, it is renewed.

For example: {PROGRAM} request GET '/v2/users?limit=5'

For example: {PROGRAM} request POST /v2/notes/create --json @note.json
"""
_LONGEST_TIME: Final = 10**8  # seconds; the operating system cannot wait much longer

# What people try, whatever the help says.
_SECRET_OPTIONS: Final = ("--client-secret", "--secret", "--password")

_NO_BREAK: Final = "\N{NON-BREAKING HYPHEN}"


class _Formatter(click.HelpFormatter):
    """Ends lines between words, never behind a hyphen, and leaves half of a narrow terminal to the texts."""

    def write_text(self, text: str) -> None:
        super().write_text(text.replace("-", _NO_BREAK))

    def write_dl(self, rows: Any, col_max: int = 30, col_spacing: int = 2) -> None:
        whole = [(term, text.replace("-", _NO_BREAK)) for term, text in rows]
        super().write_dl(whole, min(col_max, self.width // 3), col_spacing)

    def getvalue(self) -> str:
        return super().getvalue().replace(_NO_BREAK, "-")


class _Context(click.Context):
    formatter_class = _Formatter


class _Command(click.Command):
    context_class = _Context

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        formatter.write_paragraph()
        formatter.write_text(f"Settings and exit codes: {PROGRAM} --help")


class _Program(click.Group):
    context_class = _Context
    command_class = _Command

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(self.commands)  # as they are written here

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Settings"):
            formatter.write_text(f"TheBase shows them under {SETTINGS}.")
            formatter.write_dl(_SETTINGS)
            formatter.write_text("No argument takes the secret: other users of this machine could read it.")
        with formatter.section("Exit codes"):
            formatter.write_dl(_EXIT_CODES)


def in_words(error: click.UsageError) -> str:
    """What is wrong with the arguments, without those in the wrong place: one may be a secret."""
    match error:
        case click.exceptions.NoSuchCommand():
            text = "there is no such command"
        case click.NoSuchOption():
            text = f"there is no option {error.option_name}"
        case click.BadParameter() | click.BadOptionUsage():
            text = error.format_message()
            return text[:1].lower() + text[1:].rstrip(".")
        case _:
            return "there are too many arguments"
    [nearest, *_] = error.possibilities or [""]
    return f"{text} (did you mean {nearest}?)" if nearest not in {"", *_SECRET_OPTIONS} else text


def _refuse_secret(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
    if value is not None:
        raise click.BadOptionUsage(
            parameter.opts[0],
            "the client secret is not taken from an argument, which other users could read; set"
            f" {VARIABLES[2]}, use --secret-file FILE, or run the command at a terminal, which asks for it",
            context,
        )


def _client_id(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    # An id may begin with dashes. What ends otherwise than ids do is the next option.
    if value is not None and value.startswith("--") and not value.endswith(".."):
        raise click.BadParameter("is missing")
    return value


def _seconds(_: click.Context, __: click.Parameter, text: str | None) -> float | None:
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= _LONGEST_TIME:
        raise click.BadParameter(f"must be a number of seconds above 0, and at most {_LONGEST_TIME}")
    return int(seconds) if seconds.is_integer() else seconds


def _known_profiles(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(name) for name in profile_names() if name.startswith(incomplete)]


_SECRET: Final = click.option(
    *_SECRET_OPTIONS, "refused", is_flag=False, flag_value="", hidden=True,
    expose_value=False, callback=_refuse_secret,
)  # fmt: skip
_SETTINGS_OPTIONS: Final = (
    click.option("--domain", metavar="DOMAIN", help=f"instead of {VARIABLES[0]}"),
    click.option("--client-id", metavar="ID", callback=_client_id, help=f"instead of {VARIABLES[1]}"),
    click.option("--secret-file", metavar="FILE", type=click.Path(), help=f"instead of {VARIABLES[2]}"),
    click.option("--profile", metavar="NAME", shell_complete=_known_profiles,
                 help="the settings of this name in your profiles.toml"),
    click.option("--env-file", metavar="FILE", type=click.Path(),
                 help="the THEBASE_ variables of a .env file"),
    click.option("--timeout", metavar="SECONDS", default="30", callback=_seconds, show_default=True,
                 help="for connecting, and for each wait for data"),
    _SECRET,
)  # fmt: skip
_NO_CACHE: Final = click.option("--no-cache", is_flag=True, help="fetch a new token, and do not keep it")


def _settings(command: Callable[..., bool]) -> Callable[..., bool]:
    for option in reversed(_SETTINGS_OPTIONS):
        command = option(command)
    return command


@click.group(PROGRAM, cls=_Program)
@click.version_option(__version__, message="%(prog)s %(version)s")
@_SECRET
def program() -> None:
    """Authentication for the API of TheBase: tools around the Python package."""


@program.command(short_help="check the settings")
@_settings
def check(**options: Any) -> bool:
    """Ask for a new token, and say who gets it, where, and for how long.

    If the server refuses, says which setting is wrong, as far as the answer tells. If it is the client id or
    the client secret, asks once more with the two swapped, which tells whether they are.
    """
    from . import _commands

    return _commands.check(SimpleNamespace(**options))


@program.command(short_help="print an access token for other tools", help=_TOKEN)
@_settings
@_NO_CACHE
@click.option("--header", is_flag=True, help="print it as a header field, for curl")
@click.option("--new", is_flag=True, help="fetch a new token, and keep it instead of the last one")
def token(**options: Any) -> bool:
    from . import _commands

    return _commands.token(SimpleNamespace(**options))


@program.command(short_help="make one signed call", help=_REQUEST)
@click.argument("method")
@click.argument("path")
@click.option("--json", metavar="JSON", help="the body: JSON, @FILE, or - for stdin")
@_settings
@_NO_CACHE
def request(**options: Any) -> bool:
    from . import _commands

    return _commands.request(SimpleNamespace(**options))


@program.command(short_help="see it at work, against a local sandbox")
def demo() -> bool:
    """See a token being fetched, shared, revoked and renewed.

    Starts a fake TheBase server on this machine, revokes the token of 100 threads and 100 asyncio tasks, and
    prints what the server recorded. Needs no network and no account, and takes a few seconds.
    """
    from ._demo import run_demo

    return run_demo()


@program.command(short_help="run a TheBase for tests")
@click.option(
    "--port", metavar="PORT", default=0, type=click.IntRange(0, 65535), help="by default, any free port"
)
@click.option("--expires-in", metavar="SECONDS", default="3600", callback=_seconds, show_default=True,
              help="how long a token lives")  # fmt: skip
@click.option(
    "--token-lifetime", metavar="SECONDS", callback=_seconds, help="when a token is refused, if not then"
)
@click.option("--single-token", is_flag=True, help="let a new token end the earlier ones")
@click.option("--refuse", metavar="CALL", multiple=True,
              help="a call that the client may not make, such as 'DELETE *'; may be repeated")  # fmt: skip
def sandbox(**options: Any) -> bool:
    """Run a sandbox, a TheBase for tests, on a loopback port until Ctrl-C.

    Prints the settings to use, and each request with the reason if it is rejected. A page in the browser and
    JSON over HTTP revoke tokens, delay or drop requests, and the like. All data are lost at the end.
    """
    from ._sandbox import run_sandbox

    return run_sandbox(SimpleNamespace(**options))
