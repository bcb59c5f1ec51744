# Why there is no token or no answer, in one line.
#
# Here: which of the settings is to blame for a refusal, and what is in the way of an answer, as far as an
# exception of the plugin or of requests shows it. Not here: the exit codes and the line on stderr (_errors).

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import requests

from thebase_auth import TokenRequestError
from thebase_auth._core.origin import Origin

from ._errors import CommandError, ExitCode

_WRONG_PAIR: Final = "wrong client id or client secret"


@contextmanager
def explained_failures(domain: str, *, is_check: bool) -> Iterator[Origin]:
    """Turn what goes wrong in the block into a `CommandError`.

    Args:
        domain: The setting.
        is_check: Whether the block tries the settings, and does nothing else.
    """
    try:
        origin = Origin.of_domain(domain)
        domain = origin.netloc
        yield origin
    except TokenRequestError as error:
        raise CommandError(f"{_blamed(error)}: {error}", ExitCode.FAILED) from None
    except requests.RequestException as error:
        checking = ". Client id and secret were not checked" if is_check else ""
        raise CommandError(f"{_obstacle(error, domain)}{checking}", ExitCode.NO_ANSWER) from None
    except UnicodeError as error:  # requests decodes the location of a redirect, followed or not
        trouble = f"the answer of {domain} cannot be read: {error}"
        raise CommandError(trouble, ExitCode.NO_ANSWER) from None
    except ValueError as error:
        raise CommandError(str(error)) from None


def blames_id_or_secret(error: TokenRequestError) -> bool:
    """Whether a TheBase refused id and secret: it does not say which of the two is wrong."""
    return _blamed(error) == _WRONG_PAIR


def _blamed(error: TokenRequestError) -> str:
    match error.status:
        case 400 if error.error in {"invalid_request", "unsupported_grant_type"}:
            return "the settings were not checked"
        case 400 | 401 | 403 if error.code or error.error:
            return _WRONG_PAIR  # the answer has the form of TheBase's
        case 400 | 401 | 403:
            return f"{_WRONG_PAIR}, or a domain that is not a TheBase"
        case 407:
            return "a proxy refused the request"
        case status if status == 429 or status >= 500:
            return "the settings were not checked"
        case _:
            return "wrong domain"


def _obstacle(error: requests.RequestException, domain: str) -> str:
    cause = getattr(error.args[0] if error.args else None, "reason", None)
    unresolved = type(cause).__name__ == "NameResolutionError"  # of urllib3
    match error:
        case requests.exceptions.ProxyError():
            return f"no way through the proxy to {domain}: {_innermost(error)}"
        case requests.exceptions.SSLError() if "WRONG_VERSION_NUMBER" in str(error):
            return f"{domain} does not speak TLS; for a server on this machine, write http:// before it"
        case requests.exceptions.SSLError():
            return (
                f"no secure connection to {domain}: {_innermost(error)}. Check the domain; behind a proxy"
                " that inspects TLS, set REQUESTS_CA_BUNDLE to the file of its certificate authority"
            )
        case requests.Timeout():
            return f"no answer from {domain} in time: {_innermost(error)}"
        case _ if unresolved:
            return f"wrong domain, or no network: unknown host {domain}"
        case requests.ConnectionError():
            return f"no connection to {domain}: {_innermost(error)}"
        case _:
            return str(error)


def _innermost(error: BaseException) -> str:
    """The text of the innermost cause, without the pools and retries around it."""
    while True:
        inner = getattr(error, "reason", None) or next(
            (one for one in error.args if isinstance(one, BaseException)), None
        )
        if not isinstance(inner, BaseException):
            return str(error)
        error = inner
