# Why there is no token or no response, in one line: which setting is to blame, or what is in the way.

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import requests

from thebase_auth import TokenRequestError
from thebase_auth._core.origin import Origin

from ._errors import CommandError, ExitCode

_WRONG_CREDENTIALS: Final = "wrong client id or client secret"


@contextmanager
def explained_failures(domain: str) -> Iterator[Origin]:
    """Turn what goes wrong in the block into a `CommandError`, and give the origin of the domain.

    Args:
        domain: The setting.
    """
    try:
        origin = Origin.of_domain(domain)
        domain = origin.netloc
        yield origin
    except TokenRequestError as error:
        raise CommandError(f"{_blamed(error)}: {error}", ExitCode.FAILED) from None
    except requests.RequestException as error:
        raise CommandError(_obstacle(error, domain), ExitCode.NO_RESPONSE) from None
    except ValueError as error:
        raise CommandError(str(error)) from None


def blames_credentials(error: TokenRequestError) -> bool:
    """Return whether a TheBase rejected ID and secret. It does not say which of the two is wrong."""
    return _blamed(error) == _WRONG_CREDENTIALS


def _blamed(error: TokenRequestError) -> str:
    match error.status:
        case 400 if error.error in {"invalid_request", "unsupported_grant_type"}:
            return "the settings were not checked"
        case 400 | 401 | 403 if error.code or error.error:
            return _WRONG_CREDENTIALS  # the response has the form of TheBase's
        case 400 | 401 | 403:
            return f"{_WRONG_CREDENTIALS}, or a domain that is not a TheBase"
        case 407:
            return "a proxy rejected the request"
        case status if status == 429 or status >= 500:
            return "the settings were not checked"
        case _:
            return "wrong domain"


def _obstacle(error: requests.RequestException, domain: str) -> str:
    cause = getattr(error.args[0] if error.args else None, "reason", None)
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
            return f"no response from {domain} in time: {_innermost(error)}"
        case _ if type(cause).__name__ == "NameResolutionError":  # of urllib3
            return f"wrong domain, or no network: unknown host {domain}"
        case requests.ConnectionError():
            return f"no connection to {domain}: {_innermost(error)}"
        case _:
            return str(error)


def _innermost(error: BaseException) -> str:
    """Return the message of the innermost cause, without the pools and retries around it."""
    causes = [getattr(error, "reason", None), *error.args]
    inner = next((one for one in causes if isinstance(one, BaseException)), None)
    return str(error) if inner is None else _innermost(inner)
