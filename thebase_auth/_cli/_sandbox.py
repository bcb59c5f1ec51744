# The command `sandbox`: a fake TheBase server that runs until Ctrl-C.

from __future__ import annotations

import os
import time
from contextlib import suppress
from types import SimpleNamespace
from typing import Final, NoReturn

import click

from thebase_auth.testing import ReceivedRequest, Sandbox
from thebase_auth.testing._control import CONTROL_PATH, with_control

from ._errors import CommandError, in_one_line

_LONGEST_LINE: Final = 500  # characters of a request or a lever

_ASSIGN: Final = '$env:{} = "{}"' if os.name == "nt" else "export {}={}"

_START: Final = """\
The sandbox runs until Ctrl-C. In another terminal:

  {domain}
  {client_id}
  {client_secret}
  thebase-auth request GET /v2/users

A client without permission to delete:

  # {limited_id}
  # {limited_secret}

Requests and levers, in the browser and for any language:

  {page}

Without Accept: application/json, a 401 is a page of HTML, of 467 kB.
"""


def run_sandbox(options: SimpleNamespace) -> NoReturn:
    """Run a sandbox until Ctrl-C, and print each request.

    Args:
        options: The options of the command.

    Raises:
        CommandError: if the port cannot be used, `--host` is no host, or `--refuse` no call of the sandbox.
    """
    try:
        sandbox = Sandbox(
            host=options.host,
            port=options.port,
            expires_in=options.expires_in,
            token_lifetime=options.token_lifetime or options.expires_in,
            single_token=options.single_token,
            refused=options.refuse,
            on_request=_print_event,
        )
    except ValueError as error:
        raise CommandError(str(error)) from None
    sandbox.asgi = with_control(sandbox, _print_event)
    try:
        with sandbox:
            _print(_start_of(sandbox))
            while True:
                time.sleep(3600)
    except OSError as error:
        raise CommandError(f"{options.host}, port {options.port}: {error.strerror or error}") from None


def _start_of(sandbox: Sandbox) -> str:
    return _START.format(
        domain=_ASSIGN.format("THEBASE_DOMAIN", sandbox.domain),
        client_id=_ASSIGN.format("THEBASE_CLIENT_ID", sandbox.client_id),
        client_secret=_ASSIGN.format("THEBASE_CLIENT_SECRET", sandbox.client_secret),
        limited_id=_ASSIGN.format("THEBASE_CLIENT_ID", sandbox.limited_client.client_id),
        limited_secret=_ASSIGN.format("THEBASE_CLIENT_SECRET", sandbox.limited_client.client_secret),
        page=f"{sandbox.domain}{CONTROL_PATH}",
    )


def _print_event(event: ReceivedRequest | str) -> None:
    _print(f"{time.strftime('%H:%M:%S')} {in_one_line(str(event))[:_LONGEST_LINE]}")


def _print(text: str) -> None:
    with suppress(OSError):  # as behind `| head`: the sandbox goes on when its reader has gone
        click.echo(text)
