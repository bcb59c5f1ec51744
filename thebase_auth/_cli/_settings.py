# Where the command line takes its settings from.
#
# Here: domain, client id and client secret from options, the environment, a file or a prompt, and what
# is said when one is missing. Not here: whether they can be right (the plugin says so), and the
# options themselves (__init__). The secret is never taken from an argument, which every user of the
# machine can read in the list of processes.

from __future__ import annotations

import getpass
import io
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from thebase_auth._core.hidden import hidden

WAYS_TO_GIVE_IT: Final = (
    "set THEBASE_CLIENT_SECRET, give --secret-file FILE, or leave it out at a terminal to be asked"
)


_STDIN: Final = "-"


class CommandError(Exception):
    """A command ends here, with one line on stderr.

    Attributes:
        exit_code: as ``--help`` explains.
    """

    def __init__(self, text: str, exit_code: int) -> None:
        super().__init__(text)
        self.exit_code = exit_code


def in_one_line(text: str) -> str:
    """Text as one line without what would command a terminal: a server or a proxy may have written it."""
    return " ".join("".join(c if c.isprintable() or c.isspace() else "?" for c in text).split())


class Settings(NamedTuple):
    """What the settings screen of TheBase shows."""

    domain: str
    client_id: str
    client_secret: str


def read_settings(
    domain: str | None,
    client_id: str | None,
    secret_file: str | None,
    environ: Mapping[str, str] = os.environ,
) -> Settings:
    """Take each setting from its option, or else from the environment, or else ask for the secret.

    Args:
        domain: The option ``--domain``.
        client_id: The option ``--client-id``.
        secret_file: The option ``--secret-file``: a path, or ``-`` for stdin.
        environ: Where THEBASE_DOMAIN, THEBASE_CLIENT_ID and THEBASE_CLIENT_SECRET are.

    Raises:
        CommandError: one of them is nowhere, or the file cannot be read.
    """
    if domain is None:  # an empty one is not taken from the environment: another may be meant
        domain = _from_environ(environ, "THEBASE_DOMAIN", "--domain")
    if client_id is None:
        client_id = _from_environ(environ, "THEBASE_CLIENT_ID", "--client-id")
    return Settings(domain, client_id, hidden(_secret(secret_file, environ)))


def _from_environ(environ: Mapping[str, str], name: str, option: str) -> str:
    if not environ.get(name):
        raise CommandError(f"{name} is not set; set it, or give {option}", 2)
    return environ[name]


def _secret(secret_file: str | None, environ: Mapping[str, str]) -> str:
    at_terminal = sys.stdin.isatty()
    if secret_file is None and (secret := environ.get("THEBASE_CLIENT_SECRET")):
        return secret
    if secret_file is not None and (secret_file != _STDIN or not at_terminal):
        return _first_line(secret_file)
    if at_terminal:
        with suppress(EOFError):
            return getpass.getpass("Client secret: ")
    raise CommandError(f"there is no client secret; {WAYS_TO_GIVE_IT}", 2)


def _first_line(path: str) -> str:
    """The first line of a file, without its end."""
    try:
        stdin = sys.stdin.buffer if isinstance(sys.stdin, io.TextIOWrapper) else io.BytesIO()
        content = stdin.read() if path == _STDIN else Path(path).read_bytes()
        text = content.decode("utf-8-sig")
    except (OSError, UnicodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise CommandError(f"the secret file {path} cannot be read: {why}", 2) from None
    lines = text.splitlines()
    if len(lines) != 1:
        raise CommandError(f"the secret file {path} has {len(lines)} lines; it must have one", 2)
    return lines[0]
