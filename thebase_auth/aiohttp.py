"""`TheBaseAuth` for aiohttp, as a client middleware.

.. code-block:: python

    auth = TheBaseAuth("acme.thebase.co.il", client_id, client_secret)
    session = aiohttp.ClientSession(middlewares=(auth,))
"""

# What aiohttp does, and what follows:
# * It calls a middleware for each redirect anew, and does not say so.
# * It prints the headers of a request with every ClientResponseError. So ours are there only while a request
#   is being sent.
# * It rewinds the body of a request that is sent again, though not always to the same content.
# * A total timeout cancels the task, and is no failure of a token request.

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import suppress
from functools import lru_cache
from typing import Any, Final, TypeVar
from weakref import WeakValueDictionary

try:
    import aiohttp
except ModuleNotFoundError as _missing:
    raise ImportError("thebase_auth.aiohttp needs aiohttp: install the extra 'aiohttp'") from _missing

from aiohttp import ClientHandlerType, ClientRequest, ClientResponse, ClientSession, ClientTimeout

from ._auth import CommonAuth
from ._core import errors
from ._core.call import Call, Steps, announced_length, is_seekable, position_of, rewind_file
from ._core.credentials import TOKEN_REQUEST_BODY, TokenResponse
from ._core.flight import Caller, Wait
from ._core.origin import Origin
from ._core.token import Token, parse_token_response
from ._waiting import async_caller, wait_async

__all__ = ["PlainHTTPError", "TheBaseAuth", "TokenRequestError", "TokenTimeoutError"]

_Result = TypeVar("_Result")
_origin: Final = lru_cache(Origin.of_url)
#: Redirect responses of other hosts than the domain, while aiohttp follows them. All requests of a call share
#: one timer, and nothing public says which call a request belongs to.
_redirects: Final[WeakValueDictionary[tuple[CommonAuth, object], ClientResponse]] = WeakValueDictionary()


class TokenRequestError(errors.TokenRequestError, aiohttp.ClientError):
    """The token endpoint responded, but not with a usable access token."""


class TokenTimeoutError(errors.TokenTimeoutError, aiohttp.ConnectionTimeoutError):
    """This call waited for the token requests of other callers, which failed or took too long."""


class PlainHTTPError(errors.PlainHTTPError, aiohttp.ClientError):
    """A request to the domain over ``http://`` was not sent."""


class TheBaseAuth(CommonAuth):
    """Signs the requests of aiohttp to one TheBase domain, and renews the token after a 401."""

    def __call__(self, request: ClientRequest, handler: Any = None) -> Awaitable[ClientResponse]:
        """Sign *request*, send it by *handler*, and replay it after a 401; aiohttp calls its middlewares.

        Raises:
            PlainHTTPError: if it goes to the domain over plain http.
            TokenRequestError: if a token is needed and the token endpoint responds without one.
            TokenTimeoutError: if the token requests of other callers fail or take too long.
            TypeError: if it is a request of another library.
        """
        if handler is None or not isinstance(request, ClientRequest):
            raise self._wrong_library(request)
        return _Call(self, request, handler).send()


class _Call(Call):
    """One call of aiohttp, or one of its redirects.

    Its steps are waits and coroutines. The result of a coroutine is what it returns or raises.
    """

    error_kinds = (TokenRequestError, TokenTimeoutError, PlainHTTPError)

    def __init__(self, auth: TheBaseAuth, request: ClientRequest, handler: ClientHandlerType) -> None:
        self.renewal = auth._renewal
        self.request: ClientRequest = request
        self._auth = auth
        self._handler = handler
        self._carried_our_token = False

    async def send(self) -> ClientResponse:
        """Sign and send the request, and replay it after a 401."""
        auth, request, url = self._auth, self.request, self.request.url
        if _redirects and (auth, request._timer) in _redirects:
            return await self._handler(request)  # another host must not make us sign what it likes
        # A WebSocket is opened by an HTTP request.
        scheme = url.scheme.replace("ws", "http")
        if not self.must_sign(_origin(f"{scheme}://{url.host_subcomponent}:{url.port}")):
            response = await self._handler(request)
            if 300 <= response.status < 400:
                _redirects[auth, request._timer] = response
            if response.status == 401 and "Authorization" not in request.headers:
                auth._warn_of_unsigned_401(str(url.host))
            return response
        token = await _run(self.sign())
        try:
            response = await self._send_with(token)
        except BaseException:  # another middleware may raise for a 401, and hide it
            self.renewal.record_no_response(token)
            raise
        if response.status == 401 and self._carried_our_token:
            response = await _run(self.replay(response, token))
        return response

    async def _send_with(self, token: Token) -> ClientResponse:
        request = self.request
        request.headers["Authorization"] = token.authorization
        try:
            return await self._handler(request)
        finally:
            # Another middleware may have replaced our header, or all the headers.
            self._carried_our_token = request.headers.pop("Authorization", None) == token.authorization

    def is_401(self, response: ClientResponse) -> bool:
        """Return whether *response* is a 401."""
        return response.status == 401

    def make_caller(self) -> Caller:
        """Return this task."""
        caller, timeouts = async_caller(), self._timeouts()
        caller.timeout = min(timeouts["total"], timeouts["sock_read"])
        caller.shortest_timeout = min(timeouts.values())
        caller.fetch = self._fetch
        return caller

    def _timeouts(self) -> dict[str, Any]:
        """Return the timeouts of the call, or of its session where aiohttp does not tell (before 3.15)."""
        given, longest = getattr(self.request, "timeout", self.request.session.timeout), self.renewal.timeout
        phases = ("total", "connect", "sock_connect", "sock_read")
        return {phase: min(getattr(given, phase) or longest, longest) for phase in phases}

    def rewind(self) -> bool:
        """Return whether the body can be sent again, and make it ready."""
        body, length = self.request.body, announced_length(self.request.headers)
        if "Expect" in self.request.headers:
            return False  # the wait for a 100 cannot be repeated
        if not body:
            return True
        parts = [part for part, _, _ in body] if type(body) is aiohttp.MultipartWriter else [body]
        if any(type(part).__module__ != "aiohttp.payload" for part in parts):
            return False  # a user's class may do something else
        files = [part for part in parts if not isinstance(part, aiohttp.BytesPayload)]
        if not all(is_seekable(file._value) for file in files):
            return False
        return not files or (length is not None and body.size == length and all(map(_rewind, files)))

    def release(self, response: ClientResponse, *, must_read: bool) -> Steps[None]:
        """Release the connection of a 401; see `Call`. If reading it fails, the status is enough."""
        if must_read:
            with suppress(aiohttp.ClientError):  # not the total timeout, which cancels the task
                yield response.read()
                return
        response.close()

    def send_again(self, response: ClientResponse, token: Token) -> Steps[ClientResponse]:  # noqa: ARG002
        """Send the request with *token*."""
        replayed: ClientResponse = yield self._send_with(token)
        return replayed

    def _fetch(self) -> Steps[Token]:
        token: Token = yield self._request_token()
        return token

    async def _request_token(self) -> Token:
        """Send the token request with nothing of the user's session but its connector.

        So its traces, cookies and other middlewares do not see the secret.
        """
        credentials, call = self._auth._credentials, self.request

        # A middleware, so that the Basic header is nowhere but in this request, and only while it is sent.
        async def add_credentials(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
            for name in ("proxy", "proxy_auth", "proxy_headers"):
                setattr(request, name, getattr(call, name, None))
            headers: Any = request.headers
            headers.update(credentials.token_request_headers(call.headers.get("User-Agent")))
            try:
                return await handler(request)
            except aiohttp.ClientError as error:
                cause = error.__cause__ or error
                cause.__traceback__ = None  # the frames of aiohttp's writer hold the header
                raise
            finally:
                del headers["Authorization"]

        if call.session.closed:
            raise RuntimeError("Session is closed")
        timeouts = self._timeouts()
        del timeouts["total"]  # the user's call has its own running
        sent_at = time.time()
        async with (
            ClientSession(connector=call.session.connector, connector_owner=False) as session,
            session.post(
                credentials.token_url,
                data=TOKEN_REQUEST_BODY,
                allow_redirects=False,
                middlewares=(add_credentials,),
                server_hostname=call.server_hostname,
                ssl=call.ssl,
                timeout=ClientTimeout(**timeouts),
            ) as response,
        ):
            received = TokenResponse(response.status, response.headers, await response.read(), sent_at)
        return parse_token_response(received, credentials)


def _rewind(payload: Any) -> bool:
    """Move the file of *payload* to where it was before it was sent, if it is as long as then."""
    start, file = payload._start_position, payload._value
    return rewind_file(file, position_of(file) if start is None else start, payload.size)


async def _run(steps: Generator[Any, Any, _Result]) -> _Result:
    """Run *steps*, and return their result."""
    proceed: Callable[[Any], Any] = steps.send
    outcome: Any = None
    try:
        while True:
            step = proceed(outcome)
            try:
                outcome = await (wait_async(*step) if isinstance(step, Wait) else step)
                proceed = steps.send
            except BaseException as error:  # noqa: BLE001 - the steps decide
                proceed, outcome = steps.throw, error
    except StopIteration as end:
        result: _Result = end.value
        return result
    finally:
        steps.close()
        del outcome  # an exception and this frame would refer to each other
