"""What can be raised during a request, beyond what the HTTP library raises.

.. code-block:: text

    TheBaseAuthError
    ├── TokenRequestError    the token endpoint responded, but not with a usable access token
    ├── TokenTimeoutError    this call waited for token requests of others, which failed or took too long
    └── PlainHTTPError       a request to the domain over http://, stopped before it was sent

A wrong domain, client ID or client secret is a `ValueError`, raised by the constructor. When the
token request itself cannot connect or times out, the HTTP library's own exception is raised.

Each adapter module has subclasses of these three that are exceptions of its HTTP library as well, and
have the `request` that failed, as its other exceptions do. All other attributes are plain values,
never a secret or a token.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


class TheBaseAuthError(Exception):
    """Base of every error that this package raises during a request.

    Its ``args`` are the message and the attributes, in the order of the constructor: the error can be
    built again from them, in another process too.

    Attributes:
        domain: The domain: host and port, without ``https://``.
    """

    def __init__(self, message: str, domain: str, *evidence: object) -> None:
        super().__init__(message)
        self.args: tuple[Any, ...] = (message, domain, *evidence)
        self.domain = domain

    def __str__(self) -> str:
        return str(self.args[0])

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self.args


class TokenRequestError(TheBaseAuthError):
    """The token endpoint responded, but not with a usable access token.

    Attributes:
        domain: The domain of the token endpoint.
        status: The HTTP status of the response.
        error: The OAuth error code, such as ``invalid_client`` (RFC 6749 section 5.2), or None.
        error_description: The OAuth error's text, or None.
        code: The problem document's ``code``, such as ``Unauthorized``, or None.
        message: The problem document's ``message``, or None.
        instance: The problem document's ``instance``, by which the vendor's support finds the
            response in its logs, or None.
        retry_after: Seconds until the next token request. Calls before that get this error
            without a request. None if the next call sends a token request at once.
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

    def copy(self) -> TokenRequestError:
        """Return a copy without this one's traceback."""
        return self.with_retry_after(self.retry_after)

    def with_retry_after(self, seconds: float | None) -> TokenRequestError:
        """Return a copy with another ``retry_after``, in seconds, and without this one's traceback."""
        args: tuple[Any, ...] = (*self.args[:-1], seconds)
        return type(self)(*args)


class TokenTimeoutError(TheBaseAuthError):
    """This call waited for the token requests of other callers, which failed or took too long."""


class PlainHTTPError(TheBaseAuthError):
    """A request to the domain over ``http://`` was not sent: anyone on the way could read its token."""


def describe(error: BaseException) -> str:
    """Return the class and the message of an exception, on one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def without_frames(error: Exception, request: object) -> Exception:
    """Return an exception like *error* without its traceback, whose frames may hold the secret.

    Args:
        error: The exception. Those among its `args` lose their tracebacks.
        request: The request that failed.

    Returns:
        A new exception; *error* itself, if its class cannot be built so.
    """
    _drop_frames(error.args)
    kind: Any = type(error)
    try:
        copy: Exception = kind(*error.args, request=request)
    except Exception:  # noqa: BLE001 - a user's class, or that of a mock
        return error
    return copy if copy.args == error.args else error


def _drop_frames(parts: Iterable[object]) -> None:
    for part in parts:
        if isinstance(part, BaseException) and part.__traceback__ is not None:
            part.__traceback__ = part.__cause__ = part.__context__ = None
            _drop_frames((*part.args, getattr(part, "reason", None)))  # that of urllib3's MaxRetryError


def as_library_error(
    error: TheBaseAuthError, kinds: tuple[type[TheBaseAuthError], ...], request: object
) -> TheBaseAuthError:
    """Return *error* as the exception of an HTTP library.

    Args:
        error: The core's error.
        kinds: The library's subclasses of the core's errors.
        request: The request that failed.
    """
    kind = next(kind for kind in kinds if issubclass(kind, type(error)))
    converted: Any = kind(*error.args)
    converted.request = request
    return converted  # type: ignore[no-any-return]
