# What every TheBaseAuth offers to its users, whatever the HTTP library: settings and properties.

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any, Self

from ._core.credentials import VARIABLES, Credentials, hidden
from ._core.origin import Origin
from ._core.renewal import Renewal
from ._core.warnings import warn_of_unsigned_401

if TYPE_CHECKING:
    from ._core.token import Token
    from .caches import TokenCache


class CommonAuth:
    """Base of every ``TheBaseAuth``: what is the same for all libraries."""

    def __init__(
        self,
        domain: str,
        client_id: str,
        client_secret: str,
        *,
        cache: TokenCache | None = None,
        timeout: float = 30.0,
    ) -> None:
        """Check the settings; nothing is sent before the first request.

        Args:
            domain: The domain as TheBase shows it; a host name, with ``https://`` or without.
            client_id: The client ID that belongs to it.
            client_secret: The client secret that belongs to the client ID.
            cache: Where this process shares the token with others: a `FileTokenCache`, a
                `RedisTokenCache`, or any object with the methods of `TokenCache`. None keeps
                it in memory.
            timeout: Seconds: the upper bound of each phase of a token request (connect, read, write,
                pool), and of waiting for another caller's token request. Shorter timeouts
                of the call apply.

        Raises:
            ValueError: if an argument cannot be right; the message says which and what is wrong with
                it, and shows no secret.
            TypeError: if *cache* is not a token cache.
        """
        client_secret = hidden(client_secret)  # from tools that print local variables
        self._credentials = Credentials(Origin.of_domain(domain), client_id, client_secret)
        self._url_prefix = self._credentials.origin.url + "/"
        shared = None
        if cache is not None:
            _check_cache(cache)
            from .caches._shared import SharedCache

            shared = SharedCache(cache, self._credentials)
        self._renewal = Renewal(self._credentials, _seconds(timeout), shared)
        self._has_warned_of_unsigned_401 = False

    @classmethod
    def from_env(cls, **options: Any) -> Self:
        """Take domain, ID and secret from THEBASE_DOMAIN, THEBASE_CLIENT_ID, THEBASE_CLIENT_SECRET.

        Args:
            options: The constructor's keyword arguments: ``cache``, ``timeout`` (seconds) and, for requests,
                ``session``.

        Raises:
            ValueError: if a variable is missing, or as in the constructor.
        """
        return cls(*settings_from_env(), **options)

    def __repr__(self) -> str:
        if not hasattr(self, "_credentials"):  # the constructor has failed, and a traceback shows us
            return f"<{type(self).__name__}>"
        return f"{type(self).__name__}({self.domain!r}, client_id={self.client_id!r})"

    @property
    def domain(self) -> str:
        """The domain, normalised: a host, and a port if it is not the default one."""
        return self._credentials.domain

    @property
    def client_id(self) -> str:
        """The client ID."""
        return self._credentials.client_id

    @property
    def base_url(self) -> str:
        """What the URLs of the domain begin with, such as ``https://acme.thebase.co.il``."""
        return self._credentials.origin.url

    @property
    def token(self) -> Token | None:
        """The current access token; None before the first request, and after it was dropped."""
        return self._renewal.token

    def forget(self) -> None:
        """Drop the current token, so that the next request fetches another one at once."""
        self._renewal.forget()

    def __call__(self, request: Any, _: Any = None) -> Any:
        """Only for requests and aiohttp, which call their auth objects; the clients of httpx do not.

        Raises:
            TypeError: if *request* is of a library that this class does not serve.
        """
        raise self._wrong_library(request)

    def _wrong_library(self, request: object) -> TypeError:
        return TypeError(
            f"this TheBaseAuth does not sign a {type(request).__module__}.{type(request).__qualname__}; use"
            " the one of thebase_auth.requests, thebase_auth.httpx, thebase_auth.httpx2 or"
            " thebase_auth.aiohttp that fits, or thebase_auth.TheBaseAuth, which serves all but aiohttp;"
            " there is none for other libraries"
        )

    def _warn_of_unsigned_401(self, host: str) -> None:
        if not self._has_warned_of_unsigned_401:
            self._has_warned_of_unsigned_401 = True
            warn_of_unsigned_401(self._credentials, host)


def settings_from_env() -> tuple[str, str, str]:
    """Return domain, client ID and client secret from the environment.

    Raises:
        ValueError: if one of the variables is missing or empty; the message names them all.
    """
    missing = [name for name in VARIABLES if not os.environ.get(name)]
    if missing:
        raise ValueError(f"unset or empty in the environment: {', '.join(missing)}")
    domain, client_id, client_secret = (os.environ[name] for name in VARIABLES)
    return domain, client_id, client_secret


def _check_cache(cache: object) -> None:
    methods = [getattr(cache, name, None) for name in ("load", "store", "lock")]
    if isinstance(cache, type) or not all(map(callable, methods)):
        raise TypeError(
            "cache must be an object with the methods load, store and lock, such as FileTokenCache(path) or"
            f" RedisTokenCache(client) of thebase_auth.caches; it is of type {type(cache).__name__}"
        )
    from inspect import iscoroutinefunction  # slow to load

    if any(map(iscoroutinefunction, methods)):
        raise TypeError("cache must have plain methods: they are called in threads, not awaited")


def _seconds(timeout: Any) -> float:
    is_number = isinstance(timeout, (int, float)) and not isinstance(timeout, bool)
    if is_number and 0 < timeout <= threading.TIMEOUT_MAX:
        return float(timeout)
    given = repr(timeout) if is_number else f"of type {type(timeout).__name__}"
    raise ValueError(f"timeout must be a positive number of seconds that the machine can wait; it is {given}")
