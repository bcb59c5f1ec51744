# The commands that call a TheBase: check, token, request.
#
# Here: what each of them does, by the plugin for requests. Not here: how an answer is shown (_output), and
# why there is none (_failures).

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Final, NamedTuple, NoReturn, cast

import requests

from thebase_auth import TokenRequestError
from thebase_auth._core.credentials import TOKEN_PATH, hidden
from thebase_auth._core.origin import Origin
from thebase_auth._core.token import Token
from thebase_auth.caches import FileTokenCache
from thebase_auth.requests import TheBaseAuth

from ._errors import PROGRAM, CommandError, ExitCode, in_one_line, print_error
from ._failures import blames_id_or_secret, explained_failures
from ._output import print_body, waiting_for
from ._screen import show
from ._settings import Settings, read_settings

_JSON: Final = "application/json"


def check(options: SimpleNamespace) -> bool:
    """Ask for a token, whatever is in the cache, and print what came of it."""
    settings = read_settings(options)
    with _client(settings, options, cache=None, is_check=True) as client:
        try:
            token = client.sign()
        except TokenRequestError as error:
            if not (blames_id_or_secret(error) and _are_swapped(client, settings, options.timeout)):
                raise
            raise CommandError(
                f"client id and client secret are swapped: {client.origin.netloc} takes them the other way"
                " round",
                ExitCode.FAILED,
            ) from None
    now = time.time()
    if token.expires_at is None:
        life = "the server does not say for how long"
    else:
        life = f"good for {token.expires_at - now:.0f} seconds{_until(token.expires_at, now)}"
    for line in (
        f"domain     {client.origin.netloc}, asked at {client.origin.url}{TOKEN_PATH}",
        f"client id  {settings.client_id}",
        f"token      granted; {life}",
    ):
        show(line, sys.stdout)
    return True


def _are_swapped(client: _Client, settings: Settings, timeout: float) -> bool:
    """Whether there is a token for the secret as the id, and the id as the secret."""
    try:
        pair = (settings.client_secret.reveal(), hidden(settings.client_id))
        auth = TheBaseAuth(settings.domain, *pair, timeout=timeout, session=client.session)
        client._replace(auth=auth).sign()
    except (requests.RequestException, ValueError):
        return False
    return True


def _until(instant: float, now: float) -> str:
    if instant - now >= 10 * 365 * 24 * 3600:
        return ""  # may be beyond the calendar
    form = "%H:%M:%S" if instant - now < 24 * 3600 else "%Y-%m-%d %H:%M"
    return time.strftime(f", until {form}", time.localtime(instant))


def token(options: SimpleNamespace) -> bool:
    """Print the text of a token."""
    settings = read_settings(options)
    cache = _cache(options, _ForgetfulCache if options.new else FileTokenCache)
    with _client(settings, options, cache) as client:
        text = client.sign().access_token
    if sys.stdout.isatty():
        print_error(
            f"{PROGRAM} token", "anyone who sees this token can use it until it expires; clear the screen"
        )
    print(f"Authorization: Bearer {text}" if options.header else text)
    return True


def request(options: SimpleNamespace) -> bool:
    """Make one signed call, and print its answer. False: its status is 400 or more.

    Raises:
        CommandError: if there is no answer, or an argument is wrong.
    """
    method = options.method.upper()
    if "://" in options.path.partition("?")[0]:
        raise CommandError("PATH must be the part of the URL after the domain, such as /v2/users")
    settings = read_settings(options, {"--json": options.json})
    content = None if options.json is None else _json(options.json)
    headers = {"Accept": _JSON} | ({} if content is None else {"Content-Type": _JSON})
    with _client(settings, options, _cache(options)) as client:
        response = client.session.request(
            method,
            f"{client.origin.url}/{options.path.removeprefix('/')}",
            data=content,
            headers=headers,
            timeout=options.timeout,
            allow_redirects=False,
        )
    location = response.headers.get("Location")
    status = f"{response.status_code} {response.reason}{f', to {location}' if location else ''}"
    show(in_one_line(f"{method} {options.path}: {status}"), sys.stderr)
    print_body(response)
    return response.status_code < 400


def _json(argument: str) -> bytes:
    """The JSON document that an argument is or names, in UTF-8 (RFC 8259 section 8.1)."""
    if argument == "-":
        content = sys.stdin.buffer.read()
    elif argument.startswith("@"):
        try:
            content = Path(argument[1:]).read_bytes()
        except OSError as error:
            raise CommandError(
                f"the file {argument[1:]} of --json cannot be read: {error.strerror}"
            ) from None
    else:
        content = os.fsencode(argument)
    try:
        text = content.decode("utf-8-sig")
        json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        hint = f"; for the content of the file, write @{argument}" if os.path.isfile(argument) else ""  # noqa: PTH113 - it raises nothing
        raise CommandError(f"the argument of --json is not JSON in UTF-8: {error}{hint}") from None
    return text.encode()


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


class _Client(NamedTuple):
    """A session to one domain, and its auth object."""

    origin: Origin
    session: requests.Session
    auth: TheBaseAuth

    def sign(self) -> Token:
        """Sign a request that is never sent, for the token that this fetches."""
        self.auth(requests.Request("GET", f"{self.origin.url}/v2/").prepare())
        return cast("Token", self.auth.token)


@contextmanager
def _client(
    settings: Settings, options: SimpleNamespace, cache: FileTokenCache | None, *, is_check: bool = False
) -> Iterator[_Client]:
    with explained_failures(settings.domain, is_check=is_check) as origin, requests.Session() as session:
        session.trust_env = origin.scheme == "https"  # plain http is loopback, and past every proxy
        session.auth = TheBaseAuth(*settings, cache=cache, timeout=options.timeout, session=session)
        with waiting_for(origin.netloc):
            yield _Client(origin, session, session.auth)


def _cache(options: SimpleNamespace, kind: type[FileTokenCache] = FileTokenCache) -> FileTokenCache | None:
    """Where a token is kept from run to run, if it is."""
    if options.no_cache:
        return None
    try:
        return kind()
    except RuntimeError as error:  # a user without a home
        show(f"the token is not kept: {in_one_line(str(error))}", sys.stderr)
        return None


class _ForgetfulCache(FileTokenCache):
    """Keeps a token for later runs, and has none of earlier ones."""

    def load(self, key: str) -> str | None:  # noqa: ARG002
        return None
