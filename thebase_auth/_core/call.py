# One call: signing it, and replaying it after a 401.
#
# The rule for its body: a replay sends the same content, or there is no replay. An exhausted iterator and a
# file that was read to its end are silently empty the second time. So a file is sent again only from its
# first position, and only if the length from there is what was announced. Any other body that is not in
# memory is sent once.

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import Generator
from typing import Any, Final, TypeAlias, TypeVar, cast

from .errors import PlainHTTPError, TheBaseAuthError, as_library_error
from .flight import Caller
from .origin import Origin
from .renewal import Renewal
from .throttle import Operation, operation_of
from .token import Token
from .warnings import logger

#: A longer body of a request is not sent with an expired token: the server may close the connection before it
#: has read the body, and its 401 is lost. A longer body of a 401 is not read.
LARGE: Final = 2**20  # bytes

_Result = TypeVar("_Result")
# What a call does, in steps: each is a `Wait`, or one of the adapter's own.
Steps: TypeAlias = Generator[Any, Any, _Result]


class Call(ABC):
    """One call of an HTTP library. Each adapter says how it is sent again, and how a token is fetched.

    Attributes:
        renewal: The shared token.
        request: The request as it was sent last.
        error_kinds: Our errors, as exceptions of the library.
    """

    renewal: Renewal
    request: Any
    error_kinds: tuple[type[TheBaseAuthError], ...]

    @abstractmethod
    def make_caller(self) -> Caller:
        """Return who asks for a token, with its timeouts, and how it fetches one."""

    @abstractmethod
    def rewind(self) -> bool:
        """Return whether the body can be sent again, and make it ready."""

    @abstractmethod
    def release(self, response: Any, *, must_read: bool) -> Steps[None]:
        """Release the connection of a 401. Its body is lost, unless it must be read."""

    @abstractmethod
    def send_again(self, response: Any, token: Token) -> Steps[Any]:
        """Send the request of a 401 with another token, and return the response."""

    def is_401(self, response: Any) -> bool:
        """Return whether *response* is a 401 to `request`: a library may have followed redirects since."""
        return bool(response.status_code == 401)

    def must_sign(self, origin: Origin | None) -> bool:
        """Return whether a request to *origin* gets the token.

        Raises:
            PlainHTTPError: if it goes to the domain over plain http, as an exception of the library.
        """
        try:
            return self.renewal.credentials.origin.must_sign(origin)
        except PlainHTTPError as error:
            raise as_library_error(error, self.error_kinds, self.request) from None

    def sign(self) -> Steps[Token]:
        """Return the token to sign with.

        Raises:
            TokenRequestError: as in `Renewal.steps`, as an exception of the library.
            TokenTimeoutError: likewise.
        """
        # An expired token is tried first: the server decides, and may accept it for longer.
        token = self.renewal.token
        if token is None or (token.is_expired() and self._must_renew_first()):
            token = cast("Token", (yield from self._renew(token, may_fetch=True)))
        return token

    def replay(self, response: Any, rejected: Token | None) -> Steps[Any]:
        """Replay the request of a 401 with another token, and return the last response.

        The 401 is final, and the caller's, if
        * the server has rejected three tokens in a row for this operation, the pause after that is not over,
          and nobody has a newer token;
        * the request's body cannot be sent again; then the next call gets a new token, but not in a pause;
        * a replay with a newly fetched token is rejected, or the second replay.

        Args:
            response: The 401. Its connection is released before anyone waits for a token.
            rejected: The token that the request carried; None if it was none of ours.

        Raises:
            TokenRequestError: as in `Renewal.steps`, as an exception of the library.
            TokenTimeoutError: likewise.
        """
        renewal, operation = self.renewal, operation_of(str(self.request.method), str(self.request.url))
        renewal.record_response(operation, rejected, is_401=True)
        for _ in range(2):
            is_throttled = renewal.is_throttled(operation, rejected)
            if not self._prepare_replay(operation, rejected, is_throttled=is_throttled):
                break
            length = announced_length(response.headers)
            is_short = length is not None and length <= LARGE
            # If no token may be fetched, the caller may get this response, and read it.
            yield from self.release(response, must_read=is_short or is_throttled)
            before = renewal.token
            token = yield from self._renew(rejected, may_fetch=not is_throttled)
            if token is None:
                break
            logger.debug("replaying %s after a 401", operation)
            response = yield from self.send_again(response, token)
            is_401 = self.is_401(response)
            renewal.record_response(operation, token, is_401=is_401)
            was_just_fetched = token is not before and not token.is_from_cache
            if not is_401 or was_just_fetched:
                break
            rejected = token  # it was there already, and may be as old as the first one: once more
        return response

    def _must_renew_first(self) -> bool:
        """Return whether the token, which has expired, must not be tried with this request."""
        length = announced_length(self.request.headers)
        is_large = length is not None and length > LARGE
        return self.renewal.renews_expired or is_large or not self.rewind()

    def _prepare_replay(self, operation: Operation, rejected: Token | None, *, is_throttled: bool) -> bool:
        """Rewind the body, and return whether there may be a replay. If not, log why."""
        if is_throttled and not self.renewal.may_have_newer(rejected):
            logger.debug("not replaying %s after a 401: new tokens were rejected too", operation)
            return False
        if self.rewind():
            return True
        logger.debug("not replaying %s after a 401: the request cannot be sent again", operation)
        if not is_throttled:
            self.renewal.drop(rejected)
        return False

    def _renew(self, rejected: Token | None, *, may_fetch: bool) -> Steps[Token | None]:
        try:
            return (yield from self.renewal.steps(self.make_caller(), rejected, may_fetch=may_fetch))
        except TheBaseAuthError as error:
            failure = as_library_error(error, self.error_kinds, self.request)
        raise failure  # here, so that its context is what the user is handling


def is_in_memory(content: object) -> bool:
    """Return whether *content* can be sent any number of times."""
    if content is None or isinstance(content, (bytes, str, bytearray, memoryview)):
        return True
    return isinstance(content, (list, tuple)) and all(isinstance(part, bytes) for part in content)


def announced_length(headers: Any) -> int | None:
    """Return the ``Content-Length`` in *headers*, in bytes; None without one."""
    value = headers.get("Content-Length", "")
    text = value.decode("latin-1") if isinstance(value, bytes) else str(value)
    return int(text) if text.isdecimal() and len(text) < 20 else None


def position_of(file: Any) -> int | None:
    """Return the position of a file object, in bytes; None if it has none."""
    if not hasattr(file, "tell") or hasattr(file, "__aiter__"):  # the methods of the latter are coroutines
        return None
    try:
        return int(file.tell())
    except Exception:  # noqa: BLE001 - whatever a user's object raises: it has none
        return None


def is_seekable(file: Any) -> bool:
    """Return whether a file object can go back."""
    position = position_of(file)
    if position is None:
        return False
    try:
        file.seek(position)
    except Exception:  # noqa: BLE001 - whatever a user's object raises: it cannot
        return False
    return True


def rewind_file(file: Any, start: int | None, length: int | None) -> bool:
    """Move *file* back to where it was before it was sent.

    Args:
        file: The file object.
        start: Its position before it was sent, in bytes; None if it had none.
        length: How many bytes of it were announced; None if none were.

    Returns:
        Whether exactly *length* bytes follow *start*. If not, the file is left where it was.
    """
    if start is None or length is None:
        return False
    try:
        before = file.tell()
        file.seek(0, io.SEEK_END)
        is_same_length = file.tell() - start == length
        file.seek(start if is_same_length else before)
        return is_same_length and bool(file.tell() == start)
    except Exception:  # noqa: BLE001 - whatever a user's object raises: it cannot
        return False
