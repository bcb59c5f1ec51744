# The commands that call a TheBase: check, token, request.

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Final, NamedTuple, cast

import click
import requests

from thebase_auth import TokenRequestError
from thebase_auth._core.credentials import TOKEN_PATH, hidden
from thebase_auth._core.origin import Origin
from thebase_auth._core.token import Token
from thebase_auth._text import printable
from thebase_auth.caches import FileTokenCache
from thebase_auth.requests import TheBaseAuth

from ._errors import CommandError, ExitCode, in_one_line
from ._failures import blames_credentials, explained_failures
from ._settings import Settings, read_settings, read_text

_JSON: Final = "application/json"


def check(options: SimpleNamespace) -> None:
    """Ask for a token, whatever is in the cache, and print what came of it.

    Args:
        options: The options of the command.

    Raises:
        CommandError: if there is no token; the message says which setting is to blame.
    """
    settings = read_settings(options)
    with _client(settings, options, cache=None) as client:
        try:
            token = client.fetch_token()
        except TokenRequestError as error:
            if blames_credentials(error) and _are_swapped(client, settings, options.timeout):
                raise CommandError(
                    f"client id and client secret are swapped: {client.origin.netloc} accepts them the other"
                    " way round",
                    ExitCode.FAILED,
                ) from None
            raise
    if token.expires_at is None:
        lifetime = "the server does not say for how long"
    else:
        lifetime = f"good for {token.expires_at - time.time():.0f} seconds"
    click.echo(f"domain     {client.origin.netloc}, asked at {client.origin.url}{TOKEN_PATH}")
    click.echo(f"client id  {settings.client_id}")
    click.echo(f"token      granted; {lifetime}")


def token(options: SimpleNamespace) -> None:
    """Print an access token.

    Args:
        options: The options of the command.
    """
    settings = read_settings(options)
    with _client(settings, options, _cache(options)) as client:
        access_token = client.fetch_token().access_token
    click.echo(f"Authorization: Bearer {access_token}" if options.header else access_token)


def request(options: SimpleNamespace) -> ExitCode:
    """Make one signed call, and print its response.

    Args:
        options: The options of the command.

    Returns:
        FAILED if the status is 400 or more.

    Raises:
        CommandError: if there is no response, or an argument is wrong.
    """
    if "://" in options.path.partition("?")[0]:
        raise CommandError("PATH must be the part of the URL after the domain, such as /v2/users")
    settings = read_settings(options)
    method, content, headers = options.method.upper(), None, {"Accept": _JSON}
    if options.json is not None:
        content, headers["Content-Type"] = _json(options.json), _JSON
    with _client(settings, options, _cache(options)) as client:
        url = f"{client.origin.url}/{options.path.removeprefix('/')}"
        response = client.session.request(
            method, url, data=content, headers=headers, timeout=options.timeout, allow_redirects=False
        )
    status = f"{response.status_code} {response.reason}"
    if location := response.headers.get("Location"):
        status += f", to {location}"
    click.echo(in_one_line(f"{method} {options.path}: {status}"), err=True)
    if response.content:
        click.echo(_text(response))
    return ExitCode.OK if response.status_code < 400 else ExitCode.FAILED


def _json(argument: str) -> bytes:
    """Return the JSON document that an argument is, or names as ``@FILE``, ``-`` or ``@-``."""
    try:
        is_name = argument == "-" or argument.startswith("@")
        text = read_text(argument.removeprefix("@")) if is_name else argument
        json.loads(text)
        return text.encode()
    except ValueError as error:
        raise CommandError(f"--json is not JSON: {error}; for the content of a file, write @FILE") from None


def _text(response: requests.Response) -> str:
    """Return the body for reading: JSON with indentation, anything else as it is."""
    try:
        return printable(json.dumps(response.json(), indent=2, ensure_ascii=False), kept="\n")
    except ValueError:
        if "charset" not in response.headers.get("Content-Type", ""):
            response.encoding = "utf-8"
        return printable("\n".join(response.text.splitlines()), kept="\n\t")


class _Client(NamedTuple):
    """A session to one domain, and its auth object."""

    origin: Origin
    session: requests.Session
    auth: TheBaseAuth

    def fetch_token(self) -> Token:
        """Sign a request that is never sent, because that fetches the token."""
        self.auth(requests.Request("GET", f"{self.origin.url}/v2/").prepare())
        return cast("Token", self.auth.token)


@contextmanager
def _client(settings: Settings, options: SimpleNamespace, cache: FileTokenCache | None) -> Iterator[_Client]:
    with explained_failures(settings.domain) as origin, requests.Session() as session:
        session.trust_env = origin.scheme == "https"  # no proxy on the way to this machine
        session.auth = TheBaseAuth(*settings, cache=cache, timeout=options.timeout, session=session)
        yield _Client(origin, session, session.auth)


def _are_swapped(client: _Client, settings: Settings, timeout: float) -> bool:
    """Return whether there is a token for the secret as the ID, and the ID as the secret."""
    swapped = (settings.client_secret.reveal(), hidden(settings.client_id))
    try:
        auth = TheBaseAuth(settings.domain, *swapped, timeout=timeout, session=client.session)
        client._replace(auth=auth).fetch_token()
    except (requests.RequestException, ValueError):
        return False
    return True


def _cache(options: SimpleNamespace) -> FileTokenCache | None:
    """Return where the token is kept from run to run, if it is."""
    if options.no_cache:
        return None
    try:
        return FileTokenCache()
    except RuntimeError as error:  # a user without a home directory, as in some containers
        raise CommandError(f"{error} Use --no-cache") from None
