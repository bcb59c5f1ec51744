# The auth type `thebase` of HTTPie: http --auth-type thebase [--auth ID:SECRET] https://DOMAIN/...
#
# HTTPie finds this module by the entry point `httpie.plugins.auth.v1`. It calls `get_auth` before it knows
# the host, and an error there would be a traceback. So everything is done when HTTPie prepares the request,
# where an exception becomes one line and exit code 1.

from __future__ import annotations

import requests
from httpie.plugins import AuthPlugin  # type: ignore[import-untyped]
from requests.auth import AuthBase

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
            self.raw_auth = ":"  # a session of HTTPie stores this, and cannot read None
        return _AuthForFirstHost(username or "", password or "")


class _AuthForFirstHost(AuthBase):
    """`TheBaseAuth` for the host of the first request that it sees, and for no other."""

    def __init__(self, client_id: str, client_secret: str) -> None:
        self._client_id = client_id
        self._client_secret = hidden(client_secret)
        self._are_given = bool(client_id or client_secret)
        self._auth: TheBaseAuth | None = None

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._auth is None:
            origin = _origin_of(request.url or "")
            if not self._are_given:
                self._client_id, self._client_secret = _credentials_from_env(origin)
            # A kept token may be revoked, and an upload that can be sent only once could not be replayed.
            can_replay = is_in_memory(request.body) or is_seekable(request.body)
            cache = FileTokenCache() if can_replay else None
            self._auth = TheBaseAuth(origin.url, self._client_id, self._client_secret, cache=cache)
        return self._auth(request)


def _origin_of(url: str) -> Origin:
    origin = Origin.of_url(url)
    if origin is None:
        raise ValueError(
            "nothing was sent, because the URL does not begin with https:// and the domain as TheBase"
            " shows it, for example https://acme.thebase.co.il/v2/users"
        )
    if origin.scheme == "http" and not origin.is_loopback:
        raise PlainHTTPError(
            "nothing was sent, because over http:// anyone on the way could read the token; write"
            " https:// before the host (without a scheme HTTPie uses http://), or call https"
            " instead of http",
            domain=origin.netloc,
        )
    return origin


def _credentials_from_env(origin: Origin) -> tuple[str, str]:
    """Return client ID and client secret, if they are for this origin."""
    try:
        domain, client_id, client_secret = settings_from_env()
    except ValueError as error:
        raise ValueError(f"{error}; set them, or give --auth CLIENT_ID:CLIENT_SECRET") from None
    if Origin.of_domain(domain) != origin:
        raise ValueError(
            f"nothing was sent, because the URL leads to {origin.url}, and client id and client secret in"
            f" the environment are those of {domain} (THEBASE_DOMAIN); give --auth CLIENT_ID:CLIENT_SECRET"
        )
    return client_id, hidden(client_secret)
