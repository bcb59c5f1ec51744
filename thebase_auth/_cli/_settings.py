# Where the settings come from.
#
# Here: domain, client id and client secret from options, the environment, a file or a prompt, and the error
# if one is missing. Not here: whether they can be right (the plugin checks that), and the options
# (_arguments). The secret is never taken from an argument, which every user of the machine can read in the
# process list.

from __future__ import annotations

import getpass
import io
import os
import sys
from argparse import Namespace
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from thebase_auth._core.hidden import hidden

from ._errors import CommandError

WAYS_TO_GIVE_IT: Final = (
    "set THEBASE_CLIENT_SECRET, use --secret-file FILE, or run the command at a terminal, which prompts"
    " for it"
)

_STDIN: Final = "-"


class Settings(NamedTuple):
    """The settings, as TheBase shows them."""

    domain: str
    client_id: str
    client_secret: str


def read_settings(options: Namespace) -> Settings:
    """Take each setting from its option, or else from the environment, or else ask for the secret.

    Raises:
        CommandError: if a setting is missing, or the file with the secret cannot be read.
    """
    domain = _setting(options.domain, "THEBASE_DOMAIN", "--domain")
    client_id = _setting(options.client_id, "THEBASE_CLIENT_ID", "--client-id")
    return Settings(domain, client_id, hidden(_secret(options.secret_file)))


def _setting(given: str | None, variable: str, option: str) -> str:
    # An empty option is not replaced from the environment, which may name another TheBase.
    if given is not None:
        return given
    if value := os.environ.get(variable):
        return value
    raise CommandError(f"{variable} is not set; set it, or use {option}")


def _secret(secret_file: str | None) -> str:
    at_terminal = sys.stdin.isatty()
    if secret_file is None and (secret := os.environ.get("THEBASE_CLIENT_SECRET")):
        return secret
    if secret_file is not None and (secret_file != _STDIN or not at_terminal):
        return _only_line(secret_file)
    if at_terminal:
        with suppress(EOFError):
            return getpass.getpass("Client secret: ")
    raise CommandError(f"the client secret is missing; {WAYS_TO_GIVE_IT}")


def _only_line(path: str) -> str:
    try:
        stdin = getattr(sys.stdin, "buffer", io.BytesIO())  # a stream of text has none
        content = stdin.read() if path == _STDIN else Path(path).read_bytes()
        lines = content.decode("utf-8-sig").splitlines()
    except (OSError, UnicodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise CommandError(f"the secret file {path} cannot be read: {why}") from None
    if len(lines) != 1:
        raise CommandError(f"the secret file {path} has {len(lines)} lines; it must have one")
    return lines[0]
