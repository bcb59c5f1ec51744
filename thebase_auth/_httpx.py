# TheBaseAuth for httpx and httpx2, which are alike enough for one driver. It imports neither.
#
# Here: the two auth flows that the libraries call, sync and async side by side: each has the common case in a
# few lines, and takes the steps of all others. Not here: those steps (_httpx_flow), and binding to one
# library, its Auth base and its exceptions (httpx, httpx2).

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Generator
from typing import TYPE_CHECKING, Any, Self, assert_never

from ._auth import DEFAULT_TIMEOUT, CommonAuth, settings_from_env
from ._core.errors import TheBaseAuthError
from ._core.pending import WaitFor
from ._httpx_flow import Flow, Read, Send
from ._httpx_io import IN_MEMORY_STREAMS, Request, Response, as_library_error, read_within, read_within_async
from ._waiting import running_task, wait_async, wait_blocking

if TYPE_CHECKING:
    from .caches import TokenCache


class HttpxDriver(CommonAuth):
    """The auth flow of httpx and httpx2.

    Both flows begin with the common case: there is a token, the request goes to the domain, its body is in
    memory.
    """

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
        """Sign *request*, and replay it after a 401; for ``Client``.

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
            steps = Flow(core, request).start()
        else:
            request.headers["Authorization"] = token.authorization
            try:
                response = yield request
            except GeneratorExit:
                core.note_unanswered(token)
                raise
            if response.status_code != 401 and not core.strikes:
                return
            steps = Flow(core, request, token).answered(response)
        result: Any = None
        try:
            while True:
                step, result = steps.send(result), None  # only `Send` has a result
                match step:
                    case Send(next_request):
                        result = yield next_request
                    case Read(response, reading):
                        read_within(response, reading)
                    case WaitFor(pending, seconds):
                        wait_blocking(pending, seconds)
                    case _:
                        assert_never(step)
        except StopIteration:
            return
        except TheBaseAuthError as error:
            raise as_library_error(error, request) from None
        finally:
            steps.close()

    async def async_auth_flow(self, request: Request) -> AsyncGenerator[Request, Response]:
        """Sign *request*, and replay it after a 401; for ``AsyncClient``, in asyncio and trio.

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
            steps = Flow(core, request, task=running_task()).start()
        else:
            request.headers["Authorization"] = token.authorization
            try:
                response = yield request
            except GeneratorExit:
                core.note_unanswered(token)
                raise
            if response.status_code != 401 and not core.strikes:
                return
            steps = Flow(core, request, token, task=running_task()).answered(response)
        result: Any = None
        try:
            while True:
                step, result = steps.send(result), None  # only `Send` has a result
                match step:
                    case Send(next_request):
                        result = yield next_request
                    case Read(response, reading):
                        await read_within_async(response, reading)
                    case WaitFor(pending, seconds):
                        await wait_async(pending, seconds)
                    case _:
                        assert_never(step)
        except StopIteration:
            return
        except TheBaseAuthError as error:
            raise as_library_error(error, request) from None
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


HttpxDriver.from_env.__func__.__qualname__ = "TheBaseAuth.from_env"  # type: ignore[attr-defined]
