# One request to the API from start to end, in httpx and httpx2. It imports neither, and does no I/O.
#
# Here: the steps of that, for a driver (_httpx) to take. The token request is sent by the client like any
# other, and so goes by the client's own transport, proxies, TLS settings, limits and test doubles. Not here:
# what has to be done to the objects of the libraries (_httpx_io).
#
# What the libraries do, and what follows:
# * They hand the 401 to the flow before it is read, while it holds a connection. So it is read first, and
#   only then does anyone wait for a token.
# * An exception of the transport does not reach the flow: the flow is closed at its yield. A failure and a
#   cancellation look alike, and a leader abandons its flight.
# * They follow redirects below the flow. It receives the last answer, and `response.request` is the request
#   that was answered.
# * They put every answer of a flow into `history`, and store its cookies. The token requests are taken out of
#   `history` again, and the header with the secret is removed from the token request as soon as its answer
#   is there, or cannot come.

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Final, NamedTuple, TypeAlias, TypeVar

from ._core.attempt import Attempt
from ._core.backoff import Operation
from ._core.bodies import IN_MEMORY, Body, announced_length
from ._core.caller import Caller
from ._core.core import Core
from ._core.credentials import TOKEN_REQUEST_BODY
from ._core.notices import logger
from ._core.pending import Task, WaitFor
from ._core.token import Answer, Token, parse_token_response
from ._httpx_io import Request, Response, body_after_redirect, body_of_request, first_redirect, replay_of
from ._reading import Reading

_PHASES: Final = ("connect", "read", "write", "pool")


class Send(NamedTuple):
    """Step of a flow: send *request*; the result is the response."""

    request: Request


class Read(NamedTuple):
    """Step of a flow: read *response* within the bounds of *reading*, which has the result."""

    response: Response
    reading: Reading


Step: TypeAlias = Send | Read | WaitFor

_Result = TypeVar("_Result")
# What a flow yields, is sent, and returns.
Steps: TypeAlias = Generator[Step, Response, _Result]


class Flow:
    """One request to the API from start to end."""

    __slots__ = ("_body", "_core", "_fetched", "_request", "_task", "_token")

    def __init__(
        self, core: Core, request: Request, token: Token | None = None, *, task: Task | None = None
    ) -> None:
        self._core = core
        self._request = request
        self._token = token  # in the request
        self._task = task
        self._body: Body = IN_MEMORY
        self._fetched: list[Response] = []  # answers to our token requests

    def start(self) -> Steps[None]:
        """From the start: must the request be signed, what is its body, is there a token?"""
        core, request = self._core, self._request
        if not core.must_sign(str(request.url)):
            self._look_for_unsigned_401((yield Send(request)))
            return
        length = announced_length(request.headers)
        self._body = body_of_request(request, length)
        token = core.shared.token
        expired = core.expired_token_for(self._body, length)
        if token is None or expired is not None:
            token = yield from self._caller().fresh_token(expired)
        self._token = token
        request.headers["Authorization"] = token.authorization
        try:
            response = yield Send(request)
        except GeneratorExit:
            core.note_unanswered(token)
            raise
        yield from self.answered(response)

    def answered(self, response: Response) -> Steps[None]:
        """From the answer on: replay the request if a 401 refused our token."""
        self._mend_history(response, [])
        sent = response.request
        if response.status_code != 401:
            self._accepted(response)
        elif sent is not self._request and not self._core.is_ours(str(sent.url)):
            self._look_for_unsigned_401(response)
        elif self._core.shared.token_in(sent.headers.get("Authorization")) is not None:
            yield from self._replay(response)

    def _replay(self, response: Response) -> Steps[None]:
        """Replay the request of this 401 with another token, or leave it at the 401."""
        core, sent = self._core, response.request
        body = self._body if sent.stream is self._request.stream else body_after_redirect(sent)
        # Not the token in its header: another task may have signed the same Request since. (In requests it is
        # the one in the header: a request that was prepared long ago has an old token.)
        attempt = Attempt(core, _operation(sent), body, self._token)
        caller = self._caller()
        while attempt.prepare_replay():
            redirects = response.history
            yield from self._drain(response, attempt, caller.budget.timeouts["read"])
            fetched_before = len(self._fetched)
            token = yield from caller.renew(attempt.refused, attempt.operation)
            if token is None:
                return
            if not body.rewind():  # no longer, after the wait
                if len(self._fetched) == fetched_before:
                    return
                # The client would return the last answer, which is that of the token endpoint.
                raise core.cannot_replay(attempt.operation)
            logger.debug("replaying %s after a 401", attempt.operation)
            self._token = token
            replay = replay_of(response, body, token)
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
            if answer.request is not replay:  # a redirect led to it: another request
                yield from self._replay(answer)
                return
            if not attempt.replay_refused(token):
                return
            response = answer

    def _drain(self, response: Response, attempt: Attempt, seconds: float) -> Steps[None]:
        """Read the 401, so that nobody waits for a token while it holds a connection."""
        try:
            # If it cannot be read, its status is enough, and its connection is closed.
            yield Read(response, Reading(seconds))
        except GeneratorExit:
            attempt.drop_refused()  # the call was cancelled, but it was a 401
            raise

    def _caller(self) -> Caller[Step]:
        timeouts = self._request.extensions.get("timeout", {})
        timeouts = {phase: timeouts.get(phase) for phase in _PHASES}
        return Caller(self._core, self._fetch, timeouts, task=self._task)

    def _fetch(self, timeouts: dict[str, float]) -> Steps[Token]:
        """Send the token request, by the client that sends the API request."""
        credentials = self._core.credentials
        # The raw value: the library would encode it differently.
        values = (value for name, value in self._request.headers.raw if name.lower() == b"user-agent")
        request = type(self._request)(
            "POST",
            credentials.token_url,
            headers=credentials.token_request_headers(next(values, None)),
            content=TOKEN_REQUEST_BODY,
            extensions={"timeout": timeouts},
        )
        epoch = time.time()
        try:
            response = yield Send(request)
        finally:
            request.headers.pop("Authorization", None)  # an exception may hold this request
        self._fetched.append(response)
        reading = Reading(timeouts["read"])
        yield Read(response, reading)
        if reading.error is not None and not reading.cut:
            raise reading.error
        answer = Answer(response.status_code, response.headers, reading.content, reading.cut)
        if response.request is not request:
            answer = first_redirect(response, request)
        return parse_token_response(answer, credentials=credentials, epoch=epoch)

    def _accepted(self, response: Response) -> None:
        """Take note of an answer other than 401, and of the redirects before it."""
        core = self._core
        if self._token is None or not core.shared.is_acceptance_news():
            return
        for one in (*response.history, response):
            if self._carries(one.request, self._token):
                core.note_answer(one.status_code, _operation(one.request))

    def _carries(self, sent: Request, token: Token) -> bool:
        """Whether *sent* went to the domain with *token*."""
        carries = sent.headers.get("Authorization") == token.authorization
        return carries and self._core.is_ours(str(sent.url))

    def _look_for_unsigned_401(self, response: Response) -> None:
        if response.status_code == 401 and "Authorization" not in response.request.headers:
            self._core.note_unsigned_401(response.request.url.host)

    def _mend_history(self, response: Response, before: list[Response]) -> None:
        """Take the token requests out of each history, and add what led to the 401."""
        if not before and not self._fetched:
            return
        for answer in (*response.history, response):
            since = [one for one in answer.history if one not in before]
            answer.history = before + [one for one in since if one not in self._fetched]


def _operation(request: Request) -> Operation:
    return Operation.of(request.method, str(request.url))
