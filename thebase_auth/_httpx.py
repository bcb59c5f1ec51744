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
#   all a leader can notice of a failure or a cancellation, and it abandons its flight.
# * They follow redirects below the flow. What comes back is the last answer, and `response.request`
#   the request that it answers.
# * They record what a flow yields in `history`, and store its cookies. The token requests are taken
#   out of `history` again, and the header with the secret is taken out of the token request when its answer
#   is there, or will not come.

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self, TypeAlias, TypeVar, assert_never

from ._auth import DEFAULT_TIMEOUT, CommonAuth, settings_from_env
from ._core.attempt import Attempt
from ._core.backoff import Operation
from ._core.bodies import IN_MEMORY, ONCE, Body, File, body_of, files_of
from ._core.caller import Caller
from ._core.core import logger
from ._core.credentials import TOKEN_REQUEST_BODY
from ._core.errors import TheBaseAuthError
from ._core.pending import Task, WaitFor
from ._core.token import Answer, Token, parse_token_response
from ._reading import Reading
from ._waiting import running_task, wait_async, wait_blocking

if TYPE_CHECKING:
    from .caches import TokenCache

# A request and a response of either library.
Request: TypeAlias = Any
Response: TypeAlias = Any

#: The types of stream whose content is in memory. Each binding adds that of its library.
IN_MEMORY_STREAMS: Final[list[type]] = []

_PHASES: Final = ("connect", "read", "write", "pool")


class Send(NamedTuple):
    """Step of a flow: send *request*; the result is the response."""

    request: Request


class Read(NamedTuple):
    """Step of a flow: read *response* within the bounds of *reading*, which tells what came of it."""

    response: Response
    reading: Reading


Step: TypeAlias = Send | Read | WaitFor

_Result = TypeVar("_Result")
# What a flow yields, what it is sent, and what it gives in the end.
Steps: TypeAlias = Generator[Step, Response, _Result]


class HttpxDriver(CommonAuth):
    """The auth flow of httpx and httpx2.

    Both flows begin with the case of nearly every call: a token is there, the request is plainly ours,
    its body is in memory.
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

    def sync_auth_flow(self, request: Request) -> Generator[Request, Response, None]:
        """Sign *request*, and replay it once after a 401; for ``Client``.

        Raises:
            PlainHTTPError: if it goes to the domain over plain http.
            TokenRequestError: if a token is needed and the token endpoint gives none.
            TokenTimeoutError: if another caller's token request takes longer than this call may.
            ReplayError: if the body changed while another token was fetched.
        """
        core = self._core
        token, url = core.shared.token, request.url
        if (
            token is None
            or url.raw_host != core.raw_host
            or url.port != core.url_port
            or url.scheme != core.scheme
            or type(request.stream) not in IN_MEMORY_STREAMS
            or (request.method != "GET" and token.past_its_time(time.time()))
        ):
            steps = _Flow(self, request).start()
        else:
            request.headers["Authorization"] = token.authorization
            try:
                response = yield request
            except GeneratorExit:
                core.note_unanswered(token)
                raise
            if response.status_code != 401 and not core.strikes:
                return
            steps = _Flow(self, request, token).answered(response)
        result: Any = None
        try:
            while True:
                match steps.send(result):
                    case Send(next_request):
                        result = yield next_request
                    case Read(response, reading):
                        result = None
                        _read(response, reading)
                    case WaitFor(pending, seconds):
                        result = None
                        wait_blocking(pending, seconds)
                    case step:
                        assert_never(step)
        except StopIteration:
            return
        except TheBaseAuthError as error:
            raise self._as_library_error(error, request) from None
        finally:
            steps.close()

    async def async_auth_flow(self, request: Request) -> AsyncGenerator[Request, Response]:
        """Sign *request*, and replay it once after a 401; for ``AsyncClient``, in asyncio and trio.

        Raises:
            PlainHTTPError: if it goes to the domain over plain http.
            TokenRequestError: if a token is needed and the token endpoint gives none.
            TokenTimeoutError: if another caller's token request takes longer than this call may.
            ReplayError: if the body changed while another token was fetched.
        """
        core = self._core
        token, url = core.shared.token, request.url
        if (
            token is None
            or url.raw_host != core.raw_host
            or url.port != core.url_port
            or url.scheme != core.scheme
            or type(request.stream) not in IN_MEMORY_STREAMS
            or (request.method != "GET" and token.past_its_time(time.time()))
        ):
            steps = _Flow(self, request, task=running_task()).start()
        else:
            request.headers["Authorization"] = token.authorization
            try:
                response = yield request
            except GeneratorExit:
                core.note_unanswered(token)
                raise
            if response.status_code != 401 and not core.strikes:
                return
            steps = _Flow(self, request, token, task=running_task()).answered(response)
        result: Any = None
        try:
            while True:
                match steps.send(result):
                    case Send(next_request):
                        result = yield next_request
                    case Read(response, reading):
                        result = None
                        await _read_async(response, reading)
                    case WaitFor(pending, seconds):
                        result = None
                        await wait_async(pending, seconds)
                    case step:
                        assert_never(step)
        except StopIteration:
            return
        except TheBaseAuthError as error:
            raise self._as_library_error(error, request) from None
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

    def _as_library_error(
        self,
        error: TheBaseAuthError,
        request: Request,  # noqa: ARG002 - the bindings tell by it
    ) -> TheBaseAuthError:
        """The same error as an exception of the library of *request*; the bindings know theirs."""
        return error


HttpxDriver.from_env.__func__.__qualname__ = "TheBaseAuth.from_env"  # type: ignore[attr-defined]


class _Flow:
    """One API request from start to end, for either driver. Yields steps, and does no I/O."""

    __slots__ = ("_auth", "_body", "_core", "_fetched", "_request", "_task", "_token")

    def __init__(
        self,
        auth: HttpxDriver,
        request: Request,
        token: Token | None = None,
        *,
        task: Task | None = None,
    ) -> None:
        self._auth = auth
        self._core = auth._core
        self._request = request
        self._token = token  # the one that the request was signed with
        self._task = task
        self._body: Body = IN_MEMORY
        self._fetched: list[Response] = []  # answers to our token requests

    def start(self) -> Steps[None]:
        """From the start: is the request ours, what is its body, is there a token."""
        core, request = self._core, self._request
        if not core.must_sign(str(request.url)):
            self._look_for_unsigned_401((yield Send(request)))
            return
        length = _announced_length(request)
        self._body = _body_of(request, length)
        token = core.shared.token
        refused = core.too_old_for(self._body, length)
        if token is None:
            token = yield from self._first_token()
        elif refused is not None:
            token = yield from self._newer_token(refused)
        self._token = token
        request.headers["Authorization"] = token.authorization
        try:
            response = yield Send(request)
        except GeneratorExit:
            core.note_unanswered(token)
            raise
        yield from self.answered(response)

    def answered(self, response: Response) -> Steps[None]:
        """From the answer on: replay the request if it is a 401 that refused our token."""
        self._mend_history(response, [])
        sent = response.request
        if response.status_code != 401:
            self._accepted(response)
        elif sent is not self._request and not self._core.is_own(str(sent.url)):
            self._look_for_unsigned_401(response)
        elif self._core.token_in(sent.headers.get("Authorization")) is not None:
            yield from self._replay(response)

    def _replay(self, response: Response) -> Steps[None]:
        """Send the request of this 401 once more with another token, or leave it at the 401."""
        core, sent = self._core, response.request
        body = self._body if sent.stream is self._request.stream else _unknown_body(sent)
        # Not by its header: several tasks may send one Request object, and another has signed it since.
        attempt = Attempt(core, _operation(sent), body, self._token)
        while attempt.prepare_replay():
            redirects = response.history
            yield from self._drain(response, attempt)
            fetched_before = len(self._fetched)
            token = yield from attempt.renew(self._caller())
            if token is None:
                return
            if not body.rewind():  # no longer, after the wait
                if len(self._fetched) == fetched_before:
                    return
                # The client gives its caller the answer to whatever was yielded last.
                raise core.cannot_replay(attempt.operation)
            logger.debug("replaying %s after a 401", attempt.operation)
            self._token = token
            replay = _again(response, body, token)
            try:
                answer = yield Send(replay)
            finally:
                replay.stream = sent.stream  # the user's again
            response.history = redirects
            self._mend_history(answer, redirects)
            if answer.status_code != 401:
                self._accepted(answer)
                return
            if not self._carries(answer.request, token):
                return
            if answer.request is not replay:  # a redirect led to it, and it is a request of its own
                yield from self._replay(answer)
                return
            if not attempt.replay_refused(token):
                return
            response = answer

    def _drain(self, response: Response, attempt: Attempt) -> Steps[None]:
        """Have the 401 read, so that nobody waits for a token while its connection is held."""
        timeout = self._request.extensions.get("timeout", {}).get("read")
        try:
            # If it cannot be read, its status is all we need, and its connection is closed.
            yield Read(response, Reading(self._core.seconds_to_read(timeout)))
        except GeneratorExit:
            attempt.give_up()  # the call was cancelled, but it was a 401
            raise

    def _newer_token(self, old: Token) -> Steps[Token]:
        """Another token than *old*, which is too old for this body; or that, where there is no other."""
        try:
            return (yield from self._first_token(old))
        except TheBaseAuthError as error:
            logger.debug("going on with an old access token: %s", type(error).__name__)
            return old

    def _first_token(self, other_than: Token | None = None) -> Steps[Token]:
        """A token before the request is sent."""
        return self._caller().fresh_token(other_than=other_than)

    def _caller(self) -> Caller[Step]:
        timeouts = self._request.extensions.get("timeout", {})
        timeouts = {phase: timeouts.get(phase) for phase in _PHASES}
        return Caller(self._core, self._fetch, timeouts, task=self._task)

    def _fetch(self, timeouts: dict[str, float]) -> Steps[Token]:
        """Send the token request, by the client that sends the API request."""
        credentials = self._core.credentials
        # As it is sent: the library would write it in another encoding.
        names = (value for name, value in self._request.headers.raw if name.lower() == b"user-agent")
        request = type(self._request)(
            "POST",
            credentials.token_url,
            headers=credentials.token_request_headers(next(names, None)),
            content=TOKEN_REQUEST_BODY,
            extensions={"timeout": timeouts},
        )
        now = time.time()
        try:
            response = yield Send(request)
        finally:
            request.headers.pop("Authorization", None)  # an exception may have this request
        self._fetched.append(response)
        reading = Reading(timeouts["read"])
        yield Read(response, reading)
        if reading.error is not None and not reading.cut:
            raise reading.error
        answer = Answer(response.status_code, response.headers, reading.content, reading.cut)
        if response.request is not request:
            answer = _first_redirect(response, request)
        return parse_token_response(answer, credentials=credentials, now=now)

    def _accepted(self, response: Response) -> None:
        """Take note of an answer other than 401, and of the redirects that led to it."""
        core = self._core
        if self._token is None or not core.shared.is_acceptance_news():
            return
        for one in (*response.history, response):
            if self._carries(one.request, self._token):
                core.note_answer(one.status_code, _operation(one.request))

    def _carries(self, sent: Request, token: Token) -> bool:
        """Whether *sent* carried *token*, to us."""
        carried = self._core.token_in(sent.headers.get("Authorization"))
        return carried == token and self._core.is_own(str(sent.url))

    def _look_for_unsigned_401(self, response: Response) -> None:
        if response.status_code == 401 and "Authorization" not in response.request.headers:
            self._core.note_unsigned_401(response.request.url.host)

    def _mend_history(self, response: Response, before: list[Response]) -> None:
        """Take the token requests out of each history, and put in what led to the 401."""
        if not before and not self._fetched:
            return
        for answer in (*response.history, response):
            since = [one for one in answer.history if one not in before]
            answer.history = before + [one for one in since if one not in self._fetched]


def _operation(request: Request) -> Operation:
    return Operation.of(request.method, str(request.url))


def _read(response: Response, reading: Reading) -> None:
    """Read *response* within the bounds of *reading*; its `content` is what was read."""
    iter_raw = response.iter_raw
    response.iter_raw = lambda: reading.pieces_of(iter_raw())
    try:
        reading.take_all(response.iter_bytes())
    except Exception as error:  # noqa: BLE001 - the flow knows what it means
        reading.error = error.with_traceback(None)  # whose frames have what was read
    finally:
        del response.iter_raw
        response.close()
    response._content = reading.content


async def _read_async(response: Response, reading: Reading) -> None:
    """Read *response* within the bounds of *reading*; its `content` is what was read."""
    raw = response.aiter_raw()
    small = reading.async_pieces_of(raw)
    response.aiter_raw = lambda: small
    try:
        async with aclosing(raw), aclosing(small), aclosing(response.aiter_bytes()) as pieces:
            await reading.take_all_async(pieces)
    except Exception as error:  # noqa: BLE001 - the flow knows what it means
        reading.error = error.with_traceback(None)  # whose frames have what was read
    finally:
        del response.aiter_raw
        await response.aclose()
    response._content = reading.content


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
    replaced = {pair.partition("=")[0] for pair in new.split("; ")} | _ended_cookies(refused)
    kept = [pair for pair in old.split("; ") if pair and pair.partition("=")[0] not in replaced]
    cookies = "; ".join([*kept, new] if new else kept)
    if cookies:
        again.headers["Cookie"] = cookies


def _ended_cookies(response: Response) -> set[str]:
    """The names of the cookies that *response* deletes (RFC 6265 section 5.2.1 and 5.2.2)."""
    from email.utils import parsedate_to_datetime  # a millisecond more to load, hardly ever needed
    from http.cookies import CookieError, SimpleCookie

    ended = set()
    for line in response.headers.get_list("Set-Cookie"):
        with suppress(CookieError, ValueError, TypeError):
            for name, cookie in SimpleCookie(line).items():
                if cookie["max-age"]:
                    is_over = int(cookie["max-age"]) <= 0
                else:
                    is_over = parsedate_to_datetime(cookie["expires"]).timestamp() <= time.time()
                if is_over:
                    ended.add(name)
    return ended


def _first_redirect(response: Response, token_request: Request) -> Answer:
    """What the token endpoint itself answered, where the client went on to follow a redirect."""
    answers = [*response.history, response]
    for answer in answers:
        if "Basic " in answer.request.headers.get("Authorization", ""):
            del answer.request.headers["Authorization"]
    first = next(answer for answer in answers if answer.request is token_request)
    return Answer(first.status_code, first.headers, first.content)
