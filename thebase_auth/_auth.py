# What TheBaseAuth is in every HTTP library.
#
# Here: the constructor and its options, the public token, and the decisions about one request that
# need no HTTP library: is it ours to sign, what did its answer refuse. Not here: sending anything
# (the adapters), and who fetches a token (_renewal).

from __future__ import annotations

import logging
import math
import os
import time
from typing import Any, Final

from ._body import Body
from ._credentials import Credentials
from ._errors import PlainHTTPError, TokenTimeoutError
from ._hidden import hidden
from ._origin import Destination, Origin
from ._patience import Patience
from ._renewal import Renewal
from ._token import Token, carried_token

logger: Final = logging.getLogger("thebase_auth")

DEFAULT_TIMEOUT: Final = 30.0  # seconds


class AuthCore:
    """Base of every ``TheBaseAuth``: credentials, one shared token, and the rules for using it."""

    def __init__(
        self, domain: str, client_id: str, client_secret: str, *, timeout: float = DEFAULT_TIMEOUT
    ) -> None:
        """Check the settings; nothing is sent before the first request.

        Args:
            domain: The domain as TheBase shows it; a host name, with ``https://`` or without.
            client_id: The client id that belongs to it.
            client_secret: The client secret that belongs to the client id.
            timeout: Seconds for each phase of a token request (connect, read, write, pool) for which
                the call has no timeout of its own.

        Raises:
            ValueError: if an argument cannot be right; the text says which and what is wrong with
                it, and shows no secret.
        """
        client_secret = hidden(client_secret)  # from the variables of a traceback, too
        self._credentials = Credentials(Origin.of_domain(domain), client_id, client_secret)
        self._timeout = _seconds("timeout", timeout)
        self._set_up()

    def _set_up(self) -> None:
        """Make what a copy of this object must make for itself, and what saves time later."""
        self._renewal = Renewal()
        self._url_prefix = self._credentials.origin.url + "/"

    def __getstate__(self) -> dict[str, Any]:
        # A copy has the credentials and makes the rest for itself: no lock, no token goes along.
        return {name: value for name, value in vars(self).items() if name != "_renewal"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._set_up()

    def __repr__(self) -> str:
        if not hasattr(self, "_credentials"):  # refused settings, looked at in a traceback
            return f"<{type(self).__name__}>"
        credentials = self._credentials
        return f"{type(self).__name__}({credentials.domain!r}, client_id={credentials.client_id!r})"

    @property
    def token(self) -> Token | None:
        """The current access token, or None before the first request and after `forget`."""
        return self._renewal.token

    def forget(self) -> None:
        """Drop the current token, so that the next request fetches another one."""
        self._renewal.drop()

    def _destination(self, url: str) -> Destination:
        """Say what *url* is to the domain.

        Raises:
            PlainHTTPError: if it is the domain itself over plain http.
        """
        destination = self._credentials.origin.destination(url)
        if destination is Destination.PLAIN_HTTP:
            domain = self._credentials.domain
            raise PlainHTTPError(
                f"a request to {domain} over http:// was not sent, because anyone on the way could read"
                " its token; write https:// in its URL",
                domain=domain,
            )
        if destination is Destination.ELSEWHERE:
            logger.debug("left a request unsigned: it does not go to %s", self._credentials.domain)
        return destination

    def _refused_token(self, url: str, authorization: str | bytes | None) -> str | None:
        """The access token that a 401 to this request refused; None if the 401 is not for us.

        It is the token that the request *carried* when it was last sent: after a redirect, or a
        renewal by another caller, that need not be the one first put on it, nor any of ours.
        """
        if self._credentials.origin.destination(url) is not Destination.OURS:
            return None
        return carried_token(authorization)

    def _too_old_for(self, body: Body) -> str | None:
        """The current token, if it must not be risked on a body whose 401 could not be replayed."""
        token = self._renewal.token
        if body.once_only and token is not None and token.past_its_time(time.time()):
            return token.access_token
        return None

    def _patience(self, timeouts: dict[str, object]) -> tuple[Patience, float]:
        """The bounds of a call that begins now, and when that is."""
        now = time.monotonic()
        return Patience.of_call(timeouts, default=self._timeout, now=now), now

    def _still_patient(self, patience: Patience) -> float:
        """The time by now, for a caller that waited for another in vain and has time left.

        Raises:
            TokenTimeoutError: if it has none left.
        """
        now = time.monotonic()
        if patience.left(now) > 0:
            return now
        domain = self._credentials.domain
        raise TokenTimeoutError(
            f"the timeout of this call is over while it waited for another caller to fetch an access"
            f" token from {domain}; if that repeats, the token endpoint answers too slowly or not at all",
            domain=domain,
        )


def settings_from_env() -> tuple[str, str, str]:
    """Domain, client id and client secret from the environment.

    Raises:
        ValueError: if one of the variables is missing or empty; the text names them all.
    """
    names = ("THEBASE_DOMAIN", "THEBASE_CLIENT_ID", "THEBASE_CLIENT_SECRET")
    missing = [name for name in names if not os.environ.get(name)]
    if missing:
        raise ValueError(f"unset or empty in the environment: {', '.join(missing)}")
    domain, client_id, client_secret = (os.environ[name] for name in names)
    return domain, client_id, client_secret


def _seconds(option: str, value: Any) -> float:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if is_number and math.isfinite(value) and value > 0:
        return float(value)
    given = repr(value) if is_number else f"of type {type(value).__name__}"
    raise ValueError(f"{option} must be a positive number of seconds; it is {given}")
