# The auth type `thebase` of HTTPie: http --auth-type thebase [--auth ID:SECRET] https://DOMAIN/...
#
# Here: what HTTPie asks of a plugin, and the one thing that it does not tell: the host. It calls
# `get_auth` while it reads its arguments, where an error would be a traceback, and the auth
# object while it prepares the request. All is therefore done then: an exception becomes one line,
# with exit code 1. Not here: tokens, renewals, redirects (requests), and the cache (caches).
#
# HTTPie finds this module by the entry point `httpie.plugins.auth.v1`. Nothing else imports it.

from __future__ import annotations

import requests
from httpie.plugins import AuthPlugin  # type: ignore[import-untyped]
from requests.auth import AuthBase
from requests.exceptions import SSLError

from ._auth import settings_from_env
from ._core.call import is_in_memory, is_seekable
from ._core.credentials import hidden
from ._core.origin import Origin
from .caches import FileTokenCache
from .requests import PlainHTTPError, TheBaseAuth


class TheBaseAuthPlugin(AuthPlugin):  # type: ignore[misc]
    """The auth type `thebase`; its user name is the client id, its password the client secret."""

    name = "TheBase"
    description = (
        "An access token of TheBase, for --auth CLIENT_ID:CLIENT_SECRET or THEBASE_* in the environment"
    )
    auth_type = "thebase"
    auth_require = False

    def get_auth(self, username: str | None = None, password: str | None = None) -> AuthBase:
        """Give HTTPie the auth object of this run.

        Args:
            username: The client id; without it and the secret, both come from the environment.
            password: The client secret.
        """
        if not username and not password:
            self.raw_auth = ":"  # what a session of HTTPie keeps, and reads again: it cannot read None
        return _AuthForFirstHost(username, password)


class _AuthForFirstHost(AuthBase):
    """`TheBaseAuth`, for the host of the first request that it sees, and for no other."""

    def __init__(self, client_id: str | None, client_secret: str | None) -> None:
        self._are_given = bool(client_id or client_secret)
        self._client_id = client_id or ""
        self._client_secret = hidden(client_secret or "")
        self._auth: TheBaseAuth | None = None

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._auth is None:
            domain = _domain_of(request.url or "")
            if not self._are_given:
                self._client_id, self._client_secret = _pair_from_env(domain)
            # The token of an earlier run may be dead: not for an upload that can be sent only once.
            sent_once = not (is_in_memory(request.body) or is_seekable(request.body))
            cache = None if sent_once else _cache()
            self._auth = TheBaseAuth(domain, self._client_id, self._client_secret, cache=cache)
        try:
            return self._auth(request)
        except SSLError as error:
            raise SSLError(
                f"{error}. This was the token request, which knows nothing of --verify and --cert; an"
                " authority of your own can be named by REQUESTS_CA_BUNDLE in the environment. It failed",
                request=error.request,
            ) from error


def _pair_from_env(domain: str) -> tuple[str, str]:
    """Client id and client secret, if they are for the domain of the URL."""
    try:
        named, client_id, client_secret = settings_from_env()
    except ValueError as error:
        raise ValueError(f"{error}; set them, or give --auth CLIENT_ID:CLIENT_SECRET") from None
    if Origin.of_domain(named).url != domain:
        raise ValueError(
            f"nothing was sent, because the URL leads to {domain}, and client id and client secret in the"
            f" environment are those of {named} (THEBASE_DOMAIN); give --auth CLIENT_ID:CLIENT_SECRET"
        )
    return client_id, hidden(client_secret)


def _domain_of(url: str) -> str:
    origin = Origin.of_url(url)
    if origin is not None and origin.scheme == "http" and not origin.is_loopback:
        raise PlainHTTPError(
            "nothing was sent, because over http:// anyone on the way could read the token; write"
            " https:// before the host (without a scheme HTTPie takes http://), or call https"
            " instead of http",
            domain=origin.netloc,
        )
    # TheBaseAuth leaves a URL alone that it does not know for its domain. Here that is an error.
    if origin is None or Origin.of_domain(origin.url) != origin:
        raise ValueError(
            "nothing was sent, because the URL does not begin with https:// and the domain as TheBase"
            " shows it, for example https://acme.thebase.co.il/v2/users"
        )
    return origin.url


def _cache() -> FileTokenCache | None:
    try:
        return FileTokenCache()
    except RuntimeError:  # a user without a home
        return None
    except ImportError as error:
        raise ImportError(
            "the token is kept in a file, which needs filelock and platformdirs:"
            " pip install 'thebase-auth[httpie]'"
        ) from error
