"""What can go wrong beyond the transport, and whose fault it is.

.. code-block:: text

    TheBaseAuthError
    ├── TokenRequestError    the token endpoint answered, but not with a usable access token
    ├── TokenTimeoutError    this call timed out while another caller, or a cache, was to get the token
    ├── ReplayError          the server refused the token, and the body could not be sent again
    └── PlainHTTPError       a request to the domain over http://, stopped before it was sent

A wrong domain, client id or client secret is a `ValueError`, raised by the constructor. A failure
of the transport (no connection, TLS, a timeout of our own request) stays what the HTTP library
raises.

Each adapter module has subclasses of these four that are exceptions of its HTTP library as well, and
have the `request` that failed, like its other exceptions. All other attributes are plain values, never
a secret or a token.
"""

from __future__ import annotations

from typing import Any


class TheBaseAuthError(Exception):
    """Base of every error that this package raises during a request.

    Its ``args`` are the text and the attributes, in the order of the constructor: the error can be built
    again from them, in another process too.

    Attributes:
        domain: The domain: host and port, without ``https://``.
    """

    def __init__(self, text: str, domain: str, *evidence: object) -> None:
        super().__init__(text)
        self.args: tuple[Any, ...] = (text, domain, *evidence)
        self.domain = domain

    def __str__(self) -> str:
        return str(self.args[0])

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self.args


class TokenRequestError(TheBaseAuthError):
    """The token endpoint answered, but not with a usable access token.

    Attributes:
        domain: The domain that was asked.
        status: The HTTP status of its answer.
        error: The OAuth error code, such as ``invalid_client`` (RFC 6749 section 5.2), or None.
        error_description: The OAuth error's text, or None.
        code: The problem document's ``code``, such as ``Unauthorized``, or None.
        message: The problem document's ``message``, or None.
        instance: The problem document's ``instance``, by which the vendor's support finds this
            answer in its logs, or None.
        retry_after: Seconds until the token endpoint is asked again. Calls before that get this error
            without a request. None if the next call asks at once.
    """

    def __init__(  # noqa: PLR0917 - `args` are positional
        self,
        text: str,
        domain: str,
        status: int,
        error: str | None = None,
        error_description: str | None = None,
        code: str | None = None,
        message: str | None = None,
        instance: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(text, domain, status, error, error_description, code, message, instance, retry_after)
        self.status = status
        self.error = error
        self.error_description = error_description
        self.code = code
        self.message = message
        self.instance = instance
        self.retry_after = retry_after


class TokenTimeoutError(TheBaseAuthError):
    """This call timed out while it waited for another caller, or a cache, to get an access token."""


class ReplayError(TheBaseAuthError):
    """The server refused the token (401), and the body changed before it could be sent again."""


class PlainHTTPError(TheBaseAuthError):
    """A request to the domain over ``http://`` was stopped: it would show the token to the network."""


def with_retry_after(error: TokenRequestError, seconds: float | None) -> TokenRequestError:
    """A copy of *error* with another ``retry_after``."""
    args: tuple[Any, ...] = (*error.args[:-1], seconds)
    return type(error)(*args)


def bind(
    error: TheBaseAuthError, kinds: tuple[type[TheBaseAuthError], ...], request: object
) -> TheBaseAuthError:
    """*error* as the exception of an HTTP library: the one of *kinds* that is a subclass of its type.

    Like the library's other exceptions it has a ``request``: the one that failed.
    """
    bound = next(kind for kind in kinds if issubclass(kind, type(error)))(*error.args)
    bound.request = request  # type: ignore[attr-defined]
    return bound
