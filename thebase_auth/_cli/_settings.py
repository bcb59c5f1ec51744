# Where the settings come from.
#
# Here: domain, client id and client secret from options, the environment, a profile, a .env file, a file or a
# prompt, and the error if some are missing. Not here: whether they can be right (the plugin checks that), and
# the options (_arguments). The secret is never taken from an argument, which every user of the machine can
# read in the process list.

from __future__ import annotations

import getpass
import io
import logging
import os
import shlex
import stat
import sys
import tomllib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, NamedTuple

from thebase_auth._core.credentials import VARIABLES, hidden

from ._errors import CommandError

_KEYS: Final = ("domain", "client_id", "client_secret")
_OPTIONS: Final = ("--domain", "--client-id", "--secret-file")
_STDIN: Final = "-"


class Settings(NamedTuple):
    """The settings, as TheBase shows them."""

    domain: str
    client_id: str
    client_secret: Any  # hidden


class _Source(NamedTuple):
    """Where settings are that no option gives. It is one place, so that no two TheBases are mixed."""

    values: Mapping[str, str | None]
    names: tuple[str, ...]  # of the domain, the client id and the client secret there
    missing: str  # what is said of those that are not there


def read_settings(options: SimpleNamespace, other_files: Mapping[str, str | None] | None = None) -> Settings:
    """Take each setting from its option, or else from one source, or else ask for the secret.

    Args:
        options: The options of a command.
        other_files: Those of its options, by their names, that may also name stdin.

    Raises:
        CommandError: if settings are missing, or a file cannot be read.
    """
    files = {"--secret-file": options.secret_file, "--env-file": options.env_file, **(other_files or {})}
    from_stdin = sorted(name for name, file in files.items() if file == _STDIN)
    if len(from_stdin) > 1:
        raise CommandError(f"only one of {_listed(from_stdin)} can be read from stdin")
    source = _source(options)
    kept = [source.values.get(name) or None for name in source.names]
    # An option that is empty is not replaced: the source may be of another TheBase.
    domain = kept[0] if options.domain is None else options.domain
    client_id = kept[1] if options.client_id is None else options.client_id
    secret = _secret(options.secret_file, kept[2], may_ask=domain is not None and client_id is not None)
    if domain is None or client_id is None or secret is None:
        missing = [place for place, value in enumerate((domain, client_id, secret)) if value is None]
        names = _listed([source.names[place] for place in missing])
        instead = _listed([_OPTIONS[place] for place in missing])
        are, them = ("is", "it") if len(missing) == 1 else ("are", "them")
        raise CommandError(f"{names} {are} {source.missing}; set {them}, or use {instead}")
    return Settings(domain, client_id, hidden(secret))


def profile_names() -> list[str]:
    """The names of the profiles, for completion; none if they cannot be read."""
    with suppress(CommandError, ImportError):
        return list(_profiles(_profiles_path()))
    return []


def _source(options: SimpleNamespace) -> _Source:
    if options.profile is not None and options.env_file is not None:
        raise CommandError("--profile and --env-file cannot be used together")
    if options.profile is not None:
        return _profile(options.profile)
    if options.env_file is not None:
        from dotenv import dotenv_values

        logging.getLogger("dotenv").addHandler(logging.NullHandler())  # lines of others are not our affair
        text = _text(options.env_file, f"the file {options.env_file}")
        return _Source(dotenv_values(stream=io.StringIO(text)), VARIABLES, f"not in {options.env_file}")
    return _Source(os.environ, VARIABLES, "not set")


def _profile(name: str) -> _Source:
    path = _profiles_path()
    profiles = _profiles(path)
    profile = profiles.get(name)
    if not isinstance(profile, dict):
        raise CommandError(f"{path} has no profile of that name; it has {_listed(list(profiles)) or 'none'}")
    for key, value in profile.items():
        if key not in _KEYS or not isinstance(value, str):
            raise CommandError(
                f"{key} in the profile {name} of {path}: a profile has {_listed(_KEYS)}, all text"
            )
    return _Source(profile, _KEYS, f"not in the profile {name} of {path}")


def _profiles_path() -> Path:
    import platformdirs

    return platformdirs.user_config_path("thebase_auth", appauthor=False) / "profiles.toml"


def _profiles(path: Path) -> dict[str, Any]:
    text = _text(path, f"your file of profiles, {path},")
    if os.name == "posix" and path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise CommandError(f"{path} is open to other users; run: chmod 600 {shlex.quote(str(path))}")
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise CommandError(f"{path} is not TOML: {error}") from None


def _secret(secret_file: str | None, kept: str | None, *, may_ask: bool) -> str | None:
    at_terminal = sys.stdin.isatty()
    if secret_file is None and kept is not None:
        return kept
    if secret_file is not None and (secret_file != _STDIN or not at_terminal):
        return _only_line(secret_file)
    if at_terminal and may_ask:
        try:
            return getpass.getpass("Client secret: ")
        except (EOFError, KeyboardInterrupt) as end:
            print(file=sys.stderr)  # the next text begins a line
            if isinstance(end, KeyboardInterrupt):
                raise
    return None


def _only_line(path: str) -> str:
    what = f"the secret file {path}"
    lines = _text(path, what).splitlines()
    if len(lines) != 1:
        raise CommandError(f"{what} has {len(lines)} lines; it must have one")
    return lines[0]


def _text(path: str | Path, what: str) -> str:
    try:
        if path == _STDIN:
            content = getattr(sys.stdin, "buffer", io.BytesIO()).read()  # a stream of text has none
        else:
            content = Path(path).read_bytes()
        return str(content, "utf-8-sig")
    except (OSError, UnicodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise CommandError(f"{what} cannot be read: {why}") from None


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))
