"""`TheBaseAuth` for requests.

.. code-block:: python

    session = requests.Session()
    session.auth = TheBaseAuth("acme.thebase.co.il", client_id, client_secret)
"""

# Here: the calls of requests, and what it expects back. It calls the auth object while it prepares a request,
# and a response hook after each sending. A redirect makes a copy of the request with the same hook: to us it
# is another request, in which .netrc may have replaced our header. Not here: what we do to the objects of
# requests (_requests_io), and what a 401 means (_core.attempt).

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

try:
    import requests
except ModuleNotFoundError as _missing:
    if _missing.name != "requests":
        raise
    raise ImportError(
        "thebase_auth.requests needs requests: pip install 'thebase-auth[requests]'"
    ) from _missing

import urllib3
from requests.auth import AuthBase

from ._auth import DEFAULT_TIMEOUT, CommonAuth, settings_from_env
from ._core import errors
from ._core.attempt import Attempt
from ._core.backoff import Operation
from ._core.bodies import IN_MEMORY, ONCE, Body, File, announced_length, body_of, is_in_memory
from ._core.caller import Caller
from ._core.hidden import hidden
from ._core.notices import logger
from ._core.pending import WaitFor
from ._core.token import Token, parse_token_response
from ._requests_io import drain, replay_of, send_token_request, timeouts_of
from ._waiting import blocking

if TYPE_CHECKING:
    from .caches import TokenCache

__all__ = ["PlainHTTPError", "ReplayError", "TheBaseAuth", "TokenRequestError", "TokenTimeoutError"]


#: What an adapter takes. Some tools pass more to their hooks.
_SETTINGS = ("stream", "timeout", "verify", "cert", "proxies")


class TokenRequestError(errors.TokenRequestError, requests.RequestException):
    """The token endpoint answered, but not with a usable access token."""


class TokenTimeoutError(errors.TokenTimeoutError, requests.ReadTimeout):
    """This call timed out while it waited for another caller, or a cache, to get an access token."""


class ReplayError(errors.ReplayError, requests.RequestException):
    """The server refused the token (401), and the body changed before it could be sent again.

    Never raised in requests, where the caller gets the 401; here, so that all modules have the same names.
    """


class PlainHTTPError(errors.PlainHTTPError, requests.RequestException):
    """A request to the domain over ``http://`` was stopped before it was sent."""


class TheBaseAuth(CommonAuth, AuthBase):
    """Signs the requests of a requests session to one TheBase domain, and renews the token after a 401."""

    def __init__(
        self,
        domain: str,
        client_id: str,
        client_secret: str,
        *,
        cache: TokenCache | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        session: requests.Session | None = None,
    ) -> None:
        """Check the settings; nothing is sent before the first request.

        Args:
            domain: The domain as TheBase shows it; a host name, with ``https://`` or without.
            client_id: The client id that belongs to it.
            client_secret: The client secret that belongs to the client id.
            cache: Where this process shares the token with others: a `FileTokenCache`, a
                `RedisTokenCache`, or any object with the methods of `TokenCache`. None keeps
                it in memory.
            timeout: Seconds for connecting, and for each wait for data, in a token request for which the
                timeout of the call is not known: requests reveals it only after the request was sent.
            session: The session whose adapters, proxies and TLS settings the token request uses. Its
                headers, cookies, params, hooks and auth are not used, and it is not changed. Without it,
                the token request uses the defaults of requests and the proxies of the environment.

        Raises:
            ValueError: if an argument cannot be right; the text says which and what is wrong with
                it, and shows no secret.
            TypeError: if *cache* is not a token cache, or *session* not a session of requests.
        """
        client_secret = hidden(client_secret)  # from tools that print local variables
        if session is not None and not isinstance(session, requests.Session):
            raise TypeError(f"session must be a requests.Session, not {type(session).__name__}")
        self._session = session
        super().__init__(domain, client_id, client_secret, cache=cache, timeout=timeout)

    @classmethod
    def from_env(
        cls,
        *,
        cache: TokenCache | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        session: requests.Session | None = None,
    ) -> Self:
        """Take domain, id and secret from THEBASE_DOMAIN, THEBASE_CLIENT_ID, THEBASE_CLIENT_SECRET.

        Args:
            cache: As in the constructor.
            timeout: As in the constructor, in seconds.
            session: As in the constructor.

        Raises:
            ValueError: if a variable is missing, or as in the constructor.
        """
        return cls(*settings_from_env(), cache=cache, timeout=timeout, session=session)

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Sign *request* if it goes to the domain; requests calls this while it prepares a request.

        Raises:
            PlainHTTPError: if it goes to the domain over plain http.
            TokenRequestError: if a token is needed and the token endpoint gives none.
            TokenTimeoutError: if another caller's token request takes longer than ``timeout``.
            TypeError: if it is a request of another library.
        """
        if not isinstance(request, requests.PreparedRequest):
            super().__call__(request)  # raises
        body: Body | None = IN_MEMORY
        expired = None
        url = request.url or ""
        # What follows the slash cannot change the host, so this needs no parsing.
        if url.startswith(self._core.url_prefix) or self._must_sign(request, url):
            if request.body is not None:
                length = announced_length(request.headers)
                body = body_of(request.body, length)
                expired = self._core.expired_token_for(body, length)
            token = self._core.shared.token
            if token is None or expired is not None:
                with _as_requests_errors(request):
                    token = blocking(self._caller(request, timeouts_of(None)).fresh_token(expired))
            request.headers["Authorization"] = token.authorization
        else:
            body = None
        hooks = request.hooks["response"]
        if hooks:  # a request may be signed a second time
            hooks[:] = [one for one in hooks if not _is_hook_of(self, one)]
        hook = self._core.hook if body is IN_MEMORY else _ResponseHook(self, body)
        if hook is None:
            hook = self._core.hook = _ResponseHook(self, IN_MEMORY)
        hooks.append(hook)
        return request

    def _must_sign(self, request: requests.PreparedRequest, url: str) -> bool:
        with _as_requests_errors(request):
            return self._core.must_sign(url)

    def _caller(self, request: requests.PreparedRequest, timeouts: dict[str, object]) -> Caller[WaitFor]:
        def fetch(timeouts_left: dict[str, float]) -> Generator[WaitFor, None, Token]:
            yield from ()  # it waits in its own way
            epoch = time.time()
            credentials, user_agent = self._core.credentials, request.headers.get("User-Agent")
            answer = send_token_request(credentials, self._session, user_agent, timeouts_left)
            return parse_token_response(answer, credentials=credentials, epoch=epoch)

        return Caller(self._core, fetch, timeouts, is_shared=_is_shared)


# Attributes that we set on the objects of requests.
#: On an answer: it was returned after a 401. Some tools call the hooks a second time.
_HANDLED = "_thebase_auth_handled"
#: On a request: when it got another token. Several threads may send one request object.
_SIGNED_AGAIN_AT = "_thebase_auth_signed_again_at"


class _ResponseHook:
    """Our response hook: it sees every answer to a request and to its redirects."""

    def __init__(self, auth: TheBaseAuth, body: Body | None) -> None:
        """Take the body of the request; None if the request goes elsewhere, unsigned."""
        self.auth = auth
        self._body = body
        self._strikes = auth._core.strikes

    def __reduce__(self) -> tuple[Any, ...]:
        # A response is pickled with its request, and that with its hooks. Our secret must not go along.
        return partial, (_ignore,)

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __call__(self, response: requests.Response, **kwargs: Any) -> requests.Response:
        status = response.status_code
        if (status != 401 and not self._strikes) or hasattr(response, _HANDLED):
            return response
        core, request = self.auth._core, response.request
        url = request.url or ""
        if not core.is_ours(url):
            if status == 401 and "Authorization" not in request.headers:
                core.note_unsigned_401(urlsplit(url).hostname or "")
            return response
        if self._body is None:
            return response  # another host has redirected it to us, and would act in the user's name
        token = core.shared.token_in(request.headers.get("Authorization"))
        operation = Operation.of(request.method or "", url)
        if status != 401:
            if token is not None:
                core.note_answer(status, operation)
            return response
        scheme = request.headers.get("Authorization", "")[:6].lower()
        if token is None and scheme not in {"basic ", b"basic "}:
            return response  # neither our header nor that of .netrc
        sent_at = core.now() - response.elapsed.total_seconds()
        if getattr(request, _SIGNED_AGAIN_AT, sent_at) > sent_at:
            token = None  # another thread, which sends the same request, has put it there since
        # A request is signed when it is prepared, which may be long before it is sent.
        is_stale = token is None or core.shared.was_replaced_before(token, sent_at)
        body = self._body_of(request)
        attempt = Attempt(core, operation, body, token, is_stale=is_stale)
        answer = self._replayed(response, attempt, kwargs)
        setattr(answer, _HANDLED, True)
        return answer

    def _replayed(
        self, response: requests.Response, attempt: Attempt, kwargs: dict[str, Any]
    ) -> requests.Response:
        """Replay the request of this 401 with another token, or return the 401."""
        auth, user_request = self.auth, response.request
        connection = getattr(response, "connection", None)
        if connection is None:
            attempt.drop_refused()
            return response
        caller = auth._caller(user_request, timeouts_of(kwargs.get("timeout")))
        settings = {name: kwargs[name] for name in _SETTINGS if name in kwargs}
        while attempt.prepare_replay():
            drain(response, caller.budget.timeouts["read"])
            with _as_requests_errors(user_request):
                token = blocking(caller.renew(attempt.refused, attempt.operation))
            if token is None or not attempt.body.rewind():  # no longer, after the wait
                break
            logger.debug("replaying %s after a 401", attempt.operation)
            replay = replay_of(response, attempt.body, token)
            # The user may send this prepared request again, so it gets the new token too. The 401 keeps a
            # request with the old one.
            if response.request is user_request:
                response.request = user_request.copy()
            setattr(user_request, _SIGNED_AGAIN_AT, auth._core.now())
            user_request.headers["Authorization"] = token.authorization
            started = time.perf_counter()
            try:
                answer: requests.Response = connection.send(replay, **settings)
            finally:
                replay.body = user_request.body
            answer.elapsed = timedelta(seconds=time.perf_counter() - started)
            answer.history = [*response.history, response]
            response = answer
            if answer.status_code != 401:
                auth._core.note_answer(answer.status_code, attempt.operation)
                break
            if not attempt.replay_refused(token):
                break
        return response

    def _body_of(self, request: requests.PreparedRequest) -> Body:
        """The kind of the body of *request*, which may be a redirected copy with another body."""
        if is_in_memory(request.body):
            return IN_MEMORY
        body = self._body
        return body if isinstance(body, File) and body.file is request.body else ONCE


def _is_shared(failure: Exception) -> bool:
    """Whether the token requests of all who wait would fail like this one."""
    # To requests, a timeout in a body is a ConnectionError.
    timeouts = (requests.Timeout, urllib3.exceptions.TimeoutError)
    return isinstance(failure, requests.RequestException) and not any(
        isinstance(one, timeouts) for one in (failure, *failure.args)
    )


def _is_hook_of(auth: TheBaseAuth, hook: object) -> bool:
    return isinstance(hook, _ResponseHook) and hook.auth._core is auth._core


def _ignore(response: requests.Response, **kwargs: Any) -> None:
    """What our hook becomes in the pickle of a response."""


@contextmanager
def _as_requests_errors(request: requests.PreparedRequest) -> Iterator[None]:
    """Raise our errors as those of this module, with the request that needed the token."""
    try:
        yield
    except errors.TheBaseAuthError as error:
        kinds = (TokenRequestError, TokenTimeoutError, ReplayError, PlainHTTPError)
        raise errors.bind(error, kinds, request) from None
