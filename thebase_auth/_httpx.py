# TheBaseAuth for httpx and httpx2, which are alike enough for one flow. It imports neither.
#
# What the libraries do, and what follows:
# * They hand the 401 to the flow before it is read, while it holds a connection. So it is read or closed
#   before anyone waits for a token.
# * An exception of the transport does not reach the flow. The flow is only closed, as after a cancellation.
# * They follow redirects below the flow, which receives only the last response. So a 401 rejects
#   `response.request`, which may not be the request that the flow has sent.
# * They put every response of a flow into `history`. The token responses are taken out again.

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from functools import partial
from typing import Any, ClassVar, NamedTuple, TypeAlias

from ._auth import CommonAuth
from ._core.call import Call, Steps, announced_length, is_in_memory, is_seekable, position_of, rewind_file
from ._core.credentials import TOKEN_REQUEST_BODY, TokenResponse
from ._core.errors import TheBaseAuthError
from ._core.flight import Caller, Wait
from ._core.origin import Origin
from ._core.token import Token, parse_token_response
from ._waiting import async_caller, wait_async, wait_blocking

# A request and a response of either library.
Request: TypeAlias = Any
Response: TypeAlias = Any


class Binding(NamedTuple):
    """What differs between the libraries."""

    library: Any  # the module
    errors: tuple[type[TheBaseAuthError], ...]


class Do(NamedTuple):
    """A step of a flow: call `blocking`, or await `awaitable`. Its result is the exception, or None."""

    blocking: Callable[[], object]
    awaitable: Callable[[], Awaitable[object]]


class HttpxAuth(CommonAuth):
    """The auth flow of httpx and httpx2."""

    _binding: ClassVar[Binding]

    def sync_auth_flow(self, request: Request) -> Generator[Request, Response, None]:
        """Sign *request*, and replay it after a 401; for ``Client``.

        Raises:
            PlainHTTPError: if it goes to the domain over plain http.
            TokenRequestError: if a token is needed and the token endpoint responds without one.
            TokenTimeoutError: if the token requests of other callers fail or take too long.
        """
        steps = _Call(self, request, Caller).steps()
        result: Any = None
        try:
            while True:
                step, result = steps.send(result), None
                if isinstance(step, Wait):
                    wait_blocking(*step)
                elif isinstance(step, Do):
                    try:
                        step.blocking()
                    except Exception as error:  # noqa: BLE001 - the flow decides
                        result = error
                else:
                    result = yield step
        except StopIteration:
            return
        finally:
            steps.close()

    async def async_auth_flow(self, request: Request) -> AsyncGenerator[Request, Response]:
        """Sign *request*, and replay it after a 401; for ``AsyncClient``, in asyncio and trio.

        Raises:
            PlainHTTPError: if it goes to the domain over plain http.
            TokenRequestError: if a token is needed and the token endpoint responds without one.
            TokenTimeoutError: if the token requests of other callers fail or take too long.
        """
        steps = _Call(self, request, async_caller).steps()
        result: Any = None
        try:
            while True:
                step, result = steps.send(result), None
                if isinstance(step, Wait):
                    await wait_async(*step)
                elif isinstance(step, Do):
                    try:
                        await step.awaitable()
                    except Exception as error:  # noqa: BLE001 - the flow decides
                        result = error
                else:
                    result = yield step
        except StopIteration:
            return
        finally:
            steps.close()

    def auth_flow(self, request: Request) -> Generator[Request, Response, None]:  # noqa: ARG002
        """Not for this class: use `sync_auth_flow` or `async_auth_flow`, as the clients do.

        Raises:
            TypeError: always; signing may wait and read, which is done otherwise in async code.
        """
        raise TypeError(
            "TheBaseAuth cannot be combined with another auth object, because it waits and reads: put the"
            " other's header into the headers of the client; by hand, call sync_auth_flow or async_auth_flow"
        )


class _Call(Call):
    """One call of httpx or httpx2, from its signature to the response that the caller gets."""

    def __init__(self, auth: HttpxAuth, request: Request, current_caller: Callable[[], Caller]) -> None:
        self.renewal = auth._renewal
        self.request = request
        self._auth = auth
        self._current_caller = current_caller
        self._start: int | None = None  # the position of a file before it is sent
        self._token_responses: list[Response] = []
        self._redirects: list[Response] = []  # before the 401

    def steps(self) -> Steps[None]:
        """Sign and send the request, and replay it after a 401."""
        request, renewal = self.request, self.renewal
        if not self.must_sign(_origin_of(request.url)):
            response = yield request
            self._warn_if_unsigned_401(response)
            return
        self._start = position_of(getattr(request.stream, "_stream", None))
        token = yield from self.sign()
        request.headers["Authorization"] = token.authorization
        try:
            response = yield request
        except GeneratorExit:
            renewal.record_no_response(token)
            raise
        if self._token_responses:
            self._correct_history(response)
        if response.status_code != 401:
            return
        self._warn_if_unsigned_401(response)
        if self._has_our_token(response.request):
            self.request, self._redirects = response.request, response.history
            # The token that this flow has sent: another task may have written another one into the request.
            response = yield from self.replay(response, token)
            self._correct_history(response)

    def _has_our_token(self, request: Request) -> bool:
        """Return whether *request* goes to the domain with our token: a redirect may have led elsewhere."""
        is_signed = self.renewal.token_in(request.headers.get("Authorization")) is not None
        return is_signed and _origin_of(request.url) == self._auth._credentials.origin

    def is_401(self, response: Response) -> bool:
        """Return whether *response* is a 401 to the request that was sent, not to a redirect."""
        return response.status_code == 401 and response.request is self.request

    def make_caller(self) -> Caller:
        """Return this thread or task."""
        given, longest = self.request.extensions.get("timeout", {}), self.renewal.timeout
        timeouts = {}
        for phase in ("connect", "read", "write", "pool"):
            seconds = given.get(phase)
            timeouts[phase] = longest if seconds is None else min(seconds, longest)
        caller = self._current_caller()
        caller.timeout, caller.shortest_timeout = timeouts["read"], min(timeouts.values())
        caller.fetch = partial(self._fetch, timeouts)
        return caller

    def rewind(self) -> bool:
        """Return whether the body can be sent again, and make it ready."""
        library, stream = self._binding_of_request.library, self.request.stream
        if isinstance(stream, library.ByteStream):
            return True
        if type(stream).__module__.partition(".")[0] != library.__name__:
            return False  # the attributes of a user's stream may mean something else
        length = announced_length(self.request.headers)
        if hasattr(stream, "fields"):  # multipart: the library itself reads each file from its beginning
            files = [getattr(field, "file", b"") for field in stream.fields]
            can_seek = all(is_in_memory(file) or is_seekable(file) for file in files)
            return can_seek and length is not None and stream.get_content_length() == length
        content = getattr(stream, "_stream", None)
        return (content is not None and is_in_memory(content)) or rewind_file(content, self._start, length)

    def release(self, response: Response, *, must_read: bool) -> Steps[None]:
        """Release the connection of a 401; see `Call`. If reading it fails, the status is enough."""
        if must_read:
            yield Do(response.read, response.aread)
        yield Do(response.close, response.aclose)
        if not hasattr(response, "_content"):
            response._content = b""  # the client reads it later

    def send_again(self, response: Response, token: Token) -> Steps[Response]:
        """Send a new request: mocks, recorders and the history keep the rejected one, with its token."""
        library, sent = self._binding_of_request.library, self.request
        self.request = library.Request(
            sent.method, sent.url, headers=sent.headers, stream=sent.stream, extensions=sent.extensions
        )
        self.request.headers["Authorization"] = token.authorization
        if isinstance(sent.stream, library.ByteStream):
            self.request.read()  # so that it has a `content`
        if "Set-Cookie" in response.headers:
            cookies = library.Cookies()  # those of the response would keep it from being pickled
            cookies.extract_cookies(response)
            cookies.set_cookie_header(self.request)
        return (yield self.request)

    def _fetch(self, timeouts: dict[str, float]) -> Steps[Token]:
        """Send the token request, by the client that sends the user's request."""
        credentials = self._auth._credentials
        # The raw value: the library would encode it differently.
        user_agents = (value for name, value in self.request.headers.raw if name.lower() == b"user-agent")
        request = self._binding_of_request.library.Request(
            "POST",
            credentials.token_url,
            headers=credentials.token_request_headers(next(user_agents, None)),  # not in a local variable
            content=TOKEN_REQUEST_BODY,
            extensions={"timeout": timeouts},
        )
        sent_at = time.time()
        try:
            response = yield request
        finally:
            request.headers.pop("Authorization", None)  # an exception may hold this request
        self._token_responses.append(response)
        error = yield Do(response.read, response.aread)
        if error is not None:
            raise error
        responses = (*response.history, response)  # the client may have followed a redirect
        for one in responses:
            if "Basic " in one.request.headers.get("Authorization", ""):
                del one.request.headers["Authorization"]
        response = next((one for one in responses if one.request is request), response)
        token_response = TokenResponse(response.status_code, response.headers, response.content, sent_at)
        return parse_token_response(token_response, credentials)

    def _correct_history(self, response: Response) -> None:
        """Make each history the redirects before the 401 and what came since, without token responses.

        After a redirect and a replay, httpx has ``[401, token response]``; it should be ``[302, 401]``.
        """
        not_shown = (*self._token_responses, *self._redirects)
        for one in (*response.history, response):
            one.history = self._redirects + [past for past in one.history if past not in not_shown]

    def _warn_if_unsigned_401(self, response: Response) -> None:
        request, origin = response.request, self._auth._credentials.origin
        is_elsewhere = "Authorization" not in request.headers and _origin_of(request.url) != origin
        if response.status_code == 401 and is_elsewhere:
            self._auth._warn_of_unsigned_401(request.url.host)

    @property
    def error_kinds(self) -> tuple[type[TheBaseAuthError], ...]:  # type: ignore[override]
        """Our errors, as exceptions of the request's library."""
        return self._binding_of_request.errors

    @property
    def _binding_of_request(self) -> Binding:
        """What differs for the request's library: the combined class has several bindings."""
        bindings: Any = (vars(cls).get("_binding") for cls in type(self._auth).__mro__)
        return next(one for one in bindings if one and isinstance(self.request, one.library.Request))  # type: ignore[no-any-return]


def _origin_of(url: Any) -> Origin:
    """Return the origin of a URL as the library has parsed it, and will connect to it."""
    return Origin.of_parts(url.scheme, url.raw_host.decode("ascii"), url.port)
