# TheBaseAuth for httpx and httpx2, which are alike enough for one driver. It imports neither.
#
# Here: the auth flow as these libraries drive it, sync and async side by side. The token request is
# yielded to the client like any other, and so goes by the client's own transport, proxies, TLS
# settings, limits and test doubles. Not here: binding to one library, its Auth base and its
# exceptions (httpx, httpx2).
#
# What the libraries do, and what follows:
# * They give a flow the 401 before it is read, while its connection is held. So it is read first,
#   and only then does anyone wait for a token.
# * An exception of the transport does not reach the flow: the flow is closed, at its yield. That is
#   all a leader can notice of a failure or a cancellation, and its flight lands with nothing.
# * They follow redirects below the flow. What comes back is the last answer, and `response.request`
#   the request that it answers.
# * They record what a flow yields in `history`, and store its cookies. The token requests are taken
#   out of `history` again. Their header with the secret goes where a redirect, a hook or an exception
#   could take it along.

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Generator
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self, TypeAlias, cast

from ._auth import DEFAULT_TIMEOUT, AuthCore, logger, settings_from_env
from ._body import IN_MEMORY, ONCE, Body, File, body_of, files_of
from ._credentials import TOKEN_REQUEST_BODY
from ._errors import TheBaseAuthError
from ._origin import Destination
from ._refusals import Endpoint
from ._renewal import Task
from ._token import Answer, Token, parse_token_response
from ._waiting import WaitFor, running_task, wait_async, wait_blocking

if TYPE_CHECKING:
    from .caches import TokenCache

# A request and a response of either library.
Request: TypeAlias = Any
Response: TypeAlias = Any

#: The types of stream whose content is in memory. Each binding adds that of its library.
IN_MEMORY_STREAMS: Final[set[type]] = set()

_PHASES: Final = ("connect", "read", "write", "pool")


class _Read(NamedTuple):
    """Step of a flow: read the response to its end."""

    response: Response


# What a flow asks of its driver: to send a request (the result is the response), or one of these.
_Steps: TypeAlias = Generator[Any, Any, None]


class HttpxDriver(AuthCore):
    """The auth flow of httpx and httpx2.

    Both flows begin with the case of nearly every call: a token is there, the request is plainly ours,
    its body is in memory. That is asked of a private name of the libraries, for speed, and again in
    `_Flow.start` of public ones, which says the same where that name is missing.
    """

    requires_request_body = False
    requires_response_body = False

    @classmethod
    def from_env(cls, *, cache: TokenCache | None = None, timeout: float = DEFAULT_TIMEOUT) -> Self:
        """Take domain, id and secret from THEBASE_DOMAIN, THEBASE_CLIENT_ID, THEBASE_CLIENT_SECRET.

        Args:
            cache: As in the constructor.
            timeout: As in the constructor, in seconds.

        Raises:
            ValueError: if a variable is missing, or as in the constructor.
        """
        return cls(*settings_from_env(), cache=cache, timeout=timeout)

    def _set_up(self) -> None:
        super()._set_up()
        origin = self._credentials.origin
        port = None if origin.netloc == origin.host else origin.port
        self._authority = (origin.scheme, "", origin.host.strip("[]"), port)

    def sync_auth_flow(self, request: Request) -> Generator[Request, Response, None]:
        """Sign *request*, and replay it once after a 401; for ``Client``.

        Raises:
            PlainHTTPError: if it goes to the domain over plain http.
            TokenRequestError: if a token is needed and the token endpoint gives none.
            TokenTimeoutError: if another caller's token request takes longer than this call may.
        """
        token = self._renewal.token
        try:
            plain = request.url._uri_reference[:4] == self._authority
        except (AttributeError, TypeError):
            plain = False
        if (
            token is None
            or not plain
            or type(request.stream) not in IN_MEMORY_STREAMS
            or token.past_its_time(time.time())
        ):
            steps = _Flow(self, request).start()
        else:
            request.headers["Authorization"] = token.authorization
            try:
                response = yield request
            except GeneratorExit as closed:
                self._unanswered(token, closed)
                raise
            if response.status_code != 401 and not self._renewal.refusals.entries:
                return
            steps = _Flow(self, request, token).answered(response)
        result: Any = None
        try:
            while True:
                match steps.send(result):
                    case _Read(response):
                        result = None  # the body stays where nobody prints it
                        response.read()
                    case WaitFor(future, seconds):
                        result = wait_blocking(future, seconds)
                    case next_request:
                        result = yield next_request
        except StopIteration:
            return
        finally:
            steps.close()

    async def async_auth_flow(self, request: Request) -> AsyncGenerator[Request, Response]:
        """Sign *request*, and replay it once after a 401; for ``AsyncClient``, in asyncio and trio.

        Raises:
            PlainHTTPError: if it goes to the domain over plain http.
            TokenRequestError: if a token is needed and the token endpoint gives none.
            TokenTimeoutError: if another caller's token request takes longer than this call may.
        """
        token = self._renewal.token
        try:
            plain = request.url._uri_reference[:4] == self._authority
        except (AttributeError, TypeError):
            plain = False
        if (
            token is None
            or not plain
            or type(request.stream) not in IN_MEMORY_STREAMS
            or token.past_its_time(time.time())
        ):
            steps = _Flow(self, request, task=running_task()).start()
        else:
            request.headers["Authorization"] = token.authorization
            try:
                response = yield request
            except GeneratorExit as closed:
                self._unanswered(token, closed)
                raise
            if response.status_code != 401 and not self._renewal.refusals.entries:
                return
            steps = _Flow(self, request, token, task=running_task()).answered(response)
        result: Any = None
        try:
            while True:
                match steps.send(result):
                    case _Read(response):
                        result = None  # the body stays where nobody prints it
                        await response.aread()
                    case WaitFor(future, seconds):
                        result = await wait_async(future, seconds)
                    case next_request:
                        result = yield next_request
        except StopIteration:
            return
        finally:
            steps.close()

    def __call__(self, request: Any) -> Any:  # noqa: ARG002
        """Not for this class: requests calls its auth objects, the clients of httpx and httpx2 do not.

        Raises:
            TypeError: always.
        """
        raise TypeError(
            "this TheBaseAuth signs the requests of another library; take the one of"
            " thebase_auth.requests, thebase_auth.httpx or thebase_auth.httpx2 that fits, or"
            " thebase_auth.TheBaseAuth, which serves them all"
        )

    def auth_flow(self, request: Request) -> Generator[Request, Response, None]:  # noqa: ARG002
        """Not for this class: use `sync_auth_flow` or `async_auth_flow`, as the clients do.

        Raises:
            TypeError: always; signing may wait and read, which is done otherwise in async code.
        """
        raise TypeError("TheBaseAuth waits and reads: use its sync_auth_flow or async_auth_flow")

    def _unanswered(self, token: Token, closed: GeneratorExit) -> None:
        """A call ended without an answer: cancelled, timed out, or a hook of the user's raised.

        The hook may have raised *because* of a 401, which then never reaches us: the documentation of
        httpx shows ``response.raise_for_status()``. In sync code the exception can be seen; else a token
        that is past its time as well is not tried a second time.
        """
        refusal = self._refusal_behind(closed, token)
        if refusal is not None:
            refused, endpoint = token.access_token, _endpoint(refusal.request)
            if not self._is_final(refused, endpoint, refusal.headers.get("WWW-Authenticate")):
                self._drop_refused(refused, endpoint)
        elif token.past_its_time(time.time()) and self._renewal.token is token:
            self._renewal.drop()

    def _refusal_behind(self, closed: GeneratorExit, token: Token) -> Response | None:
        """The 401 to *token* because of which a hook raised, as far as its exception tells."""
        cause: Any = closed.__context__
        while isinstance(cause, GeneratorExit):  # that of an outer generator
            cause = cause.__context__
        answer: Any = getattr(cause, "response", None)
        try:
            refused = answer.status_code == 401 and self._carries(answer.request, token)
        except (AttributeError, RuntimeError):  # the answer was made by hand, or there is none
            return None
        return answer if refused else None

    def _carries(self, request: Request, token: Token) -> bool:
        """Whether *request* carried *token*, to us."""
        carried = self._token_for_us(str(request.url), request.headers.get("Authorization"))
        return carried == token.access_token

    def _accepted(self, response: Response, token: Token) -> None:
        """Take note of an answer other than 401, and of the redirects that led to it."""
        if self._renewal.refusals.entries:
            for one in (*response.history, response):
                if self._carries(one.request, token):
                    self._note_acceptance(one.status_code, _endpoint(one.request))

    def _as_library_error(
        self,
        error: TheBaseAuthError,
        request: Request,  # noqa: ARG002 - the bindings tell by it
    ) -> TheBaseAuthError:
        """The same error as an exception of the library of *request*; the bindings know theirs."""
        return error


class _Flow:
    """One API request from start to end, for either driver. Yields steps, and does no I/O."""

    __slots__ = ("_auth", "_body", "_fetched", "_renewal", "_request", "_task", "_token")

    def __init__(
        self,
        auth: HttpxDriver,
        request: Request,
        token: Token | None = None,
        *,
        task: Task | None = None,
    ) -> None:
        self._auth = auth
        self._renewal = auth._renewal
        self._request = request
        self._token = token  # the one that the request was signed with
        self._task = task
        self._body: Body = IN_MEMORY
        self._fetched: list[Response] = []  # answers to our token requests

    def start(self) -> _Steps:
        """From the start: is the request ours, what is its body, is there a token."""
        auth, request = self._auth, self._request
        try:
            destination = auth._destination(str(request.url))
        except TheBaseAuthError as error:
            raise auth._as_library_error(error, request) from None
        if destination is not Destination.OURS:
            yield request
            return
        length = _announced_length(request)
        self._body = _body_of(request, length)
        token = self._renewal.token
        refused = auth._too_old_for(self._body, length)
        if token is None or refused is not None:
            token = cast("Token", (yield from self._fresh_token(refused)))
        self._token = token
        request.headers["Authorization"] = token.authorization
        try:
            response = yield request
        except GeneratorExit as closed:
            auth._unanswered(token, closed)
            raise
        yield from self.answered(response)

    def answered(self, response: Response) -> _Steps:
        """From the answer on: replay the request if it is a 401 that refused our token."""
        self._leave_out_token_requests(response)
        if response.status_code != 401:
            self._auth._accepted(response, cast("Token", self._token))
            return
        refused = self._carried_token(response.request)
        if refused is not None:
            yield from self._replay(response, refused)

    def _replay(self, response: Response, refused: str, *, again: bool = False) -> _Steps:
        """Send the request of this 401 once more with another token, or leave it at the 401.

        A token from a cache may be long dead. If it is refused, the request is replayed *again*.
        """
        auth, sent = self._auth, response.request
        endpoint = _endpoint(sent)
        if auth._is_final(refused, endpoint, response.headers.get("WWW-Authenticate")):
            return
        body = self._body if sent.stream is self._request.stream else _unknown_body(sent)
        if not body.rewind():
            auth._drop_refused(refused, endpoint)
            return
        redirects = response.history
        try:
            yield _Read(response)
        except GeneratorExit:
            auth._drop_refused(refused, endpoint)  # it could not be read, but it was a 401
            raise
        fetched_before = len(self._fetched)
        token = yield from self._fresh_token(refused, endpoint)
        if token is None:
            auth._tell_of_refusal(endpoint)
            return
        if token.access_token == refused and len(self._fetched) == fetched_before:
            return
        # Had we fetched that same token ourselves, we could not stop here: the client gives its
        # caller the answer to whatever was yielded last.
        if not body.rewind():  # no longer, after the wait
            if len(self._fetched) == fetched_before:
                return
            raise auth._as_library_error(auth._cannot_replay(endpoint), self._request)
        logger.debug("replaying %s after a 401", endpoint)
        replay = _again(response, body, token)
        try:
            answer = yield replay
        finally:
            replay.stream = sent.stream  # the user's again
        response.history = redirects
        answer.history = redirects + [one for one in answer.history if one not in redirects]
        self._leave_out_token_requests(answer)
        auth._accepted(answer, token)
        if answer.status_code != 401 or not auth._carries(answer.request, token):
            return
        if auth._is_borrowed(token) and not again:
            yield from self._replay(answer, token.access_token, again=True)
        else:
            auth._refused_again(token, _endpoint(answer.request))

    def _carried_token(self, sent: Request) -> str | None:
        """The access token of ours that *sent* carried to us, or None if there was none.

        A Request object may be sent by several tasks at once, and its header overwritten by another.
        """
        carried = self._auth._token_for_us(str(sent.url), sent.headers.get("Authorization"))
        ours = [token.access_token for token in (self._token, self._renewal.token) if token]
        return ours[0] if carried in ours else None

    def _fresh_token(
        self, refused: str | None, endpoint: Endpoint | None = None
    ) -> Generator[Any, Any, Token | None]:
        """A token other than *refused*, or None: none is fetched now on account of *endpoint*."""
        timeouts = self._request.extensions.get("timeout", {})
        try:
            return (
                yield from self._auth._token_steps(
                    self._fetch,
                    {phase: timeouts.get(phase) for phase in _PHASES},
                    refused=refused,
                    endpoint=endpoint,
                    task=self._task,
                )
            )
        except TheBaseAuthError as error:
            raise self._auth._as_library_error(error, self._request) from None

    def _fetch(self, timeouts: dict[str, float]) -> Generator[Any, Any, Token]:
        """Send the token request, by the client that sends the API request."""
        credentials = self._auth._credentials
        request = type(self._request)(
            "POST",
            credentials.token_url,
            headers=credentials.token_request_headers(),
            content=TOKEN_REQUEST_BODY,
            extensions={"timeout": timeouts},
        )
        request.extensions["trace"] = _dropping_the_secret(request, blocking=self._task is None)
        now = time.time()
        try:
            response = yield request
        except GeneratorExit:
            request.headers.pop("Authorization", None)  # the user's exception has this request
            raise
        self._fetched.append(response)
        yield _Read(response)
        answer = Answer(response.status_code, response.headers, response.content)
        if response.request is not request:
            answer = _first_redirect(response, request)
        token = parse_token_response(answer, credentials=credentials, now=now)
        logger.debug("fetched an access token from %s", credentials.domain)
        return token

    def _leave_out_token_requests(self, response: Response) -> None:
        """Take the token requests out of each history, where nobody looks for them."""
        if self._fetched:
            for answer in (*response.history, response):
                answer.history = [one for one in answer.history if one not in self._fetched]


def _endpoint(request: Request) -> Endpoint:
    return Endpoint.of(request.method, str(request.url))


def _dropping_the_secret(request: Request, *, blocking: bool) -> Any:
    """A trace (an extension of the libraries) that takes the secret away once it has been sent.

    A client told to follow redirects makes the next request out of the headers of this one, and
    a response hook can read them. Not at a status after which a transport may send it again, and not
    at the answer of a proxy, which was asked before.
    """
    under_way = b""

    def trace(event: str, info: dict[str, Any]) -> None:
        nonlocal under_way
        if event.endswith("send_request_headers.started"):
            under_way = info["request"].method
        elif event.endswith("receive_response_headers.complete") and under_way == b"POST":
            status = next(part for part in info["return_value"] if isinstance(part, int))
            if status <= 401 or status == 403:
                request.headers.pop("Authorization", None)

    async def async_trace(event: str, info: dict[str, Any]) -> None:
        trace(event, info)

    return trace if blocking else async_trace


def _announced_length(request: Request) -> int | None:
    announced = request.headers.get("Content-Length", "")
    return int(announced) if announced.isdecimal() else None


def _body_of(request: Request, length: int | None) -> Body:
    """What the body of *request* is, before it is sent."""
    stream = request.stream
    if type(stream) in IN_MEMORY_STREAMS:
        return IN_MEMORY
    if type(stream).__module__.partition(".")[0] not in {"httpx", "httpx2"}:
        return ONCE  # it may have the attributes of those below, and mean something else by them
    match type(stream).__name__:
        case "MultipartStream":
            files = (getattr(field, "file", b"") for field in stream.fields)
            return files_of(file for file in files if not isinstance(file, (bytes, str)))
        case "IteratorByteStream":
            return body_of(stream._stream, length)
        case _:
            return ONCE


def _unknown_body(sent: Request) -> Body:
    """What is known of a body that a redirect has put in the place of the one that was noted."""
    return IN_MEMORY if type(sent.stream) in IN_MEMORY_STREAMS else ONCE


def _again(refused: Response, body: Body, token: Token) -> Request:
    """The request that was refused, with another token and the cookies that the refusal sets."""
    old = refused.request
    # A file is read by us: from where it stood, and no more than was sent.
    content = {"content": body} if isinstance(body, File) else {"stream": old.stream}
    again = type(old)(old.method, old.url, extensions=old.extensions, **content)
    again.headers = old.headers.copy()
    again.headers["Authorization"] = token.authorization
    _take_cookies(again, refused)
    if _in_memory(old):
        again.read()  # so that `content` can be looked at as before
    return again


def _in_memory(request: Request) -> bool:
    try:
        request.content  # noqa: B018 - raises where the body has not been read
    except RuntimeError:
        return False
    return True


def _take_cookies(again: Request, refused: Response) -> None:
    """Put the cookies that the 401 sets into the request; the client itself adds none any more."""
    if "Set-Cookie" not in refused.headers:
        return
    old = again.headers.pop("Cookie", "")
    refused.cookies.set_cookie_header(again)
    new = again.headers.get("Cookie", "")
    replaced = {pair.partition("=")[0] for pair in new.split("; ")}
    kept = [pair for pair in old.split("; ") if pair and pair.partition("=")[0] not in replaced]
    cookies = "; ".join([*kept, new] if new else kept)
    if cookies:
        again.headers["Cookie"] = cookies


def _first_redirect(response: Response, token_request: Request) -> Answer:
    """What the token endpoint itself answered, where the client went on to follow a redirect."""
    answers = [*response.history, response]
    for answer in answers:
        if "Basic " in answer.request.headers.get("Authorization", ""):
            del answer.request.headers["Authorization"]
    first = next(answer for answer in answers if answer.request is token_request)
    return Answer(first.status_code, first.headers, first.content)
