# The commands that speak to a TheBase: check, token, request.
#
# Here: what each of them does, by way of the plugin for requests, and how its failure is told in one
# line. Not here: options and exit codes (__init__), and where the settings come from (_settings).

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, TextIO

import requests
from rich.console import Console
from rich.highlighter import JSONHighlighter
from rich.text import Text

from thebase_auth._core.origin import Origin
from thebase_auth._core.token import Token
from thebase_auth.caches import FileTokenCache, TokenCache
from thebase_auth.requests import TheBaseAuth, TokenRequestError

from ._settings import CommandError, Settings, in_one_line

REFUSED: Final = 1
WRONG_USE: Final = 2
NO_ANSWER: Final = 3

# A wait shorter than this needs no explanation.
_PATIENCE: Final = 2.0  # seconds

# Setting a longer text in colours would keep people waiting.
_LONGEST_IN_COLOURS: Final = 100_000  # characters

_JSON: Final = "application/json"


def check(settings: Settings, *, timeout: float, out: TextIO) -> None:
    """Ask for a token, whatever is in the cache, and say what came of it.

    Args:
        settings: What to check.
        timeout: Seconds that connecting and each wait for data may take.
        out: Where the account goes.

    Raises:
        CommandError: the settings are wrong, or nobody can say.
    """
    token = _token(settings, cache=None, timeout=timeout, checked=True)
    now = time.time()
    if token.expires_at is None:
        life = "the server does not say for how long"
    else:
        life = f"good for {token.expires_at - now:.0f} seconds{_until(token.expires_at, now)}"
    origin = Origin.of_domain(settings.domain)
    print(f"domain     {origin.netloc}, asked at {origin.url}/oauth/token", file=out)
    print(f"client id  {settings.client_id}", file=out)
    print(f"token      granted; {life}", file=out)


def _until(instant: float, now: float) -> str:
    """An instant for people, if it is one that they live to see."""
    if instant - now >= 10 * 365 * 24 * 3600:
        return ""
    form = "%H:%M:%S" if instant - now < 24 * 3600 else "%Y-%m-%d %H:%M"
    return time.strftime(f", until {form}", time.localtime(instant))


def token(settings: Settings, *, timeout: float, cached: bool, new: bool) -> str:
    """The text of a token for other tools.

    Args:
        settings: Whose token.
        timeout: Seconds that connecting and each wait for data may take.
        cached: Whether to share it with earlier and later runs.
        new: Whether it must not be of an earlier run.

    Raises:
        CommandError: there is none.
    """
    cache = _kept(_ForgetfulCache if new else FileTokenCache) if cached else None
    return _token(settings, cache=cache, timeout=timeout).access_token


class _ForgetfulCache(FileTokenCache):
    """Keeps a token for later runs, and knows none of earlier ones."""

    def load(self, key: str) -> str | None:  # noqa: ARG002
        return None


def _kept(kind: type[FileTokenCache] = FileTokenCache) -> FileTokenCache | None:
    """Where a token is kept from run to run; None, and a word, for a user without a home."""
    try:
        return kind()
    except RuntimeError as error:
        print(f"the token is not kept: {in_one_line(str(error))}", file=sys.stderr)
        return None


def _token(settings: Settings, *, cache: TokenCache | None, timeout: float, checked: bool = False) -> Token:
    with _told(settings, checked=checked) as origin, _session(origin) as session:
        auth = TheBaseAuth(*settings, cache=cache, timeout=timeout, session=session)
        with _progress(f"waiting for {origin.netloc}"):
            # Signing a request fetches the token; this one is not sent.
            auth(requests.Request("GET", f"{origin.url}/v2/").prepare())
    if auth.token is None:
        raise AssertionError("a signed request has a token")  # pragma: no cover
    return auth.token


def request(
    settings: Settings,
    method: str,
    path: str,
    *,
    content: bytes | None,
    timeout: float,
    cached: bool,
    out: TextIO,
) -> int:
    """Make one signed call and print its answer: JSON set for reading, anything else as it is.

    Args:
        settings: Where, and by whom.
        method: The HTTP method.
        path: What follows the domain, such as ``/v2/users?limit=5``.
        content: The JSON document to send, or None.
        timeout: Seconds that connecting and each wait for data may take.
        cached: Whether to share the token with earlier and later runs.
        out: Where the body goes.

    Returns:
        The status code of the answer.

    Raises:
        CommandError: there is no answer.
    """
    with _told(settings) as origin, _session(origin) as session:
        cache = _kept() if cached else None
        auth = TheBaseAuth(*settings, cache=cache, timeout=timeout, session=session)
        headers = {"Accept": _JSON} | ({} if content is None else {"Content-Type": _JSON})
        with _progress(f"waiting for {origin.netloc}"):
            response = session.request(
                method,
                f"{origin.url}/{path.removeprefix('/')}",
                data=content,
                headers=headers,
                auth=auth,
                timeout=timeout,
                allow_redirects=False,
            )
    status = response.status_code
    location = response.headers.get("Location")
    told = f"{status} {response.reason}{f', to {location}' if location else ''}"
    print(in_one_line(f"{method} {path}: {told}"), file=sys.stderr)
    _show(response, out)
    return status


@contextmanager
def _session(origin: Origin) -> Iterator[requests.Session]:
    """A session that goes past every proxy where the domain is this very machine, over plain http."""
    with requests.Session() as session:
        session.trust_env = origin.scheme == "https"
        yield session


def _show(response: requests.Response, out: TextIO) -> None:
    if not response.content:
        return
    try:
        text = json.dumps(response.json(), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        print(_harmless(_text(response), "\N{REPLACEMENT CHARACTER}"), file=out)
        return
    text = _harmless(text)
    console = Console(file=out, soft_wrap=True)
    if not console.is_terminal or len(text) > _LONGEST_IN_COLOURS:
        print(text, file=out)
        return
    # Rendered by the console and written by us: it would end the process where nobody reads any more.
    with console.capture() as rendered:
        console.print(JSONHighlighter()(text))
    print(rendered.get(), end="", file=out)


def _text(response: requests.Response) -> str:
    """The body as text: in UTF-8, as the API is, where the answer does not say otherwise."""
    said = response.headers.get("Content-Type", "").lower()
    encoding = (response.encoding or "utf-8") if "charset" in said else "utf-8"
    try:
        return response.content.decode(encoding, "replace")
    except (LookupError, UnicodeError):  # no such encoding, or one that only seems to be one
        return response.content.decode("utf-8", "replace")


def _harmless(text: str, instead: str | None = None) -> str:
    """Text without what would command a terminal; in JSON, escaped as JSON has it."""
    return "".join(
        c if c.isprintable() or c in "\n\t" else json.dumps(c)[1:-1] if instead is None else instead
        for c in text
    )


@contextmanager
def _progress(what: str) -> Iterator[None]:
    """Say on stderr what is being waited for, once that takes long."""
    console = Console(stderr=True)
    status = console.status(Text(what))  # as it is: an address in brackets is no markup
    begin = status.start if console.is_terminal else lambda: console.print(what, markup=False)
    timer = threading.Timer(_PATIENCE, begin)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()  # or it might begin after this
        status.stop()


@contextmanager
def _told(settings: Settings, *, checked: bool = False) -> Iterator[Origin]:
    """Turn what goes wrong into one line that says which of the settings is to blame."""
    domain = settings.domain
    try:
        origin = Origin.of_domain(domain)
        domain = origin.netloc
        yield origin
    except TokenRequestError as error:
        raise CommandError(f"{_blame(error)}: {error}", REFUSED) from None
    except requests.RequestException as error:
        checking = ". Id and secret were not tried" if checked else ""
        raise CommandError(f"{_no_answer(error, domain)}{checking}", NO_ANSWER) from None
    except UnicodeError as error:  # requests reads where an answer redirects to, followed or not
        raise CommandError(f"the answer of {domain} cannot be read: {error}", NO_ANSWER) from None
    except ValueError as error:
        raise CommandError(str(error), WRONG_USE) from None


def _blame(error: TokenRequestError) -> str:
    """Whose fault a refusal is, as far as the answer tells."""
    match error.status:
        case 400 if error.error in {"invalid_request", "unsupported_grant_type"}:
            return "the settings were not looked at"
        case 407:
            return "a proxy on the way does not let us through"
        case 400 | 401 | 403 if error.code or error.error:
            # It speaks as a TheBase does, and does not say which of the two is wrong.
            return "wrong client id or client secret"
        case 400 | 401 | 403:
            return "wrong client id or client secret, or a domain that is no TheBase"
        case 429:
            return "the settings were not looked at"
        case status if status >= 500:
            return "the settings were not looked at"
        case _:
            return "wrong domain"


def _no_answer(error: requests.RequestException, domain: str) -> str:
    """Why there was no answer, in one line."""
    cause = getattr(error.args[0] if error.args else None, "reason", None)
    unresolved = isinstance(getattr(cause, "__context__", None), socket.gaierror)
    match error:
        case requests.exceptions.ProxyError():
            return f"the proxy on the way to {domain} does not let us through: {_inner(error)}"
        case requests.exceptions.SSLError() if "WRONG_VERSION_NUMBER" in str(error):
            return f"{domain} answers without TLS; only on loopback may it be named with http://"
        case requests.exceptions.SSLError():
            return (
                f"{domain} cannot prove that it is {domain}: {_inner(error)}. Check the domain; behind a"
                " proxy that reads TLS, name its authority's file in REQUESTS_CA_BUNDLE"
            )
        case requests.Timeout():
            return f"no answer from {domain} in time: {_inner(error)}"
        case _ if unresolved:
            return f"wrong domain, or no network: there is no host {domain}"
        case requests.ConnectionError():
            return f"no connection to {domain}: {_inner(error)}"
        case _:
            return str(error)


def _inner(error: BaseException) -> str:
    """The words of the innermost cause: the others tell of pools and retries."""
    while True:
        inner = getattr(error, "reason", None) or next(
            (one for one in error.args if isinstance(one, BaseException)), None
        )
        if not isinstance(inner, BaseException):
            return str(error).replace("\n", " ")
        error = inner
