# Where the settings come from: options, then one source (a profile, a .env file or the environment), then a
# prompt for the secret. No argument holds the secret: every user of the machine can read the process list.

from __future__ import annotations

import io
import os
import shlex
import stat
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, NamedTuple

import click

from thebase_auth._core.credentials import VARIABLES, hidden

from ._errors import CommandError

_PROFILE_KEYS: Final = ("domain", "client_id", "client_secret")
_OPTIONS: Final = ("--domain", "--client-id", "--secret-file")


class Settings(NamedTuple):
    """The settings, as TheBase shows them."""

    domain: str
    client_id: str
    client_secret: Any  # hidden


class _Source(NamedTuple):
    """The one place with the settings that no option gives: two places might mix two TheBases."""

    name: str
    keys: tuple[str, ...]  # of the domain, the client id and the client secret
    values: Mapping[str, Any]


def read_settings(options: SimpleNamespace) -> Settings:
    """Take each setting from its option, or else from the source, or else ask for the secret.

    Args:
        options: The options of a command.

    Raises:
        CommandError: if settings are missing, or a file is not what it should be.
    """
    source = _source(options)
    domain, client_id, secret = (source.values.get(key) or None for key in source.keys)
    # An empty option stays empty: the source may be that of another TheBase.
    domain = domain if options.domain is None else options.domain
    client_id = client_id if options.client_id is None else options.client_id
    if options.secret_file is not None:
        secret = read_text(options.secret_file).rstrip("\r\n")
    is_the_rest_there = domain is not None and client_id is not None
    if secret is None and is_the_rest_there and sys.stdin is not None and sys.stdin.isatty():
        secret = click.prompt("Client secret", hide_input=True, err=True)
    settings: tuple[Any, Any, Any] = (domain, client_id, hidden(secret))
    missing = [
        f"{key} (or {option})"
        for key, option, value in zip(source.keys, _OPTIONS, settings, strict=True)
        if value is None
    ]
    if missing:
        raise CommandError(f"missing in {source.name}: {', '.join(missing)}")
    return Settings(*settings)


def read_text(path: str) -> str:
    """Read a file in UTF-8, with or without a byte order mark.

    Args:
        path: The file; ``-`` for stdin.

    Raises:
        CommandError: if it is not UTF-8.
        OSError: if it cannot be read.
    """
    content = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise CommandError(f"{path} is not UTF-8") from None


def _source(options: SimpleNamespace) -> _Source:
    if options.profile is not None and options.env_file is not None:
        raise CommandError("--profile and --env-file cannot be used together")
    if options.profile is not None:
        path = _profiles_path()
        profiles = _profiles(path)
        profile = profiles.get(options.profile)
        if not isinstance(profile, dict):
            raise CommandError(f"{path} has no such profile; it has: {', '.join(profiles) or 'none'}")
        return _Source(f"the profile {options.profile} of {path}", _PROFILE_KEYS, profile)
    if options.env_file is not None:
        from dotenv import dotenv_values

        values = dotenv_values(stream=io.StringIO(read_text(options.env_file)))
        return _Source(options.env_file, VARIABLES, values)
    return _Source("the environment", VARIABLES, os.environ)


def _profiles_path() -> Path:
    import platformdirs

    return platformdirs.user_config_path("thebase_auth", appauthor=False) / "profiles.toml"


def _profiles(path: Path) -> dict[str, Any]:
    text = read_text(str(path))
    if os.name == "posix" and path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise CommandError(f"{path} is open to other users; run: chmod 600 {shlex.quote(str(path))}")
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CommandError(f"{path} is not TOML: {error}") from None
