"""`TheBaseAuth` for requests.

.. code-block:: python

    session = requests.Session()
    session.auth = TheBaseAuth("acme.thebase.co.il", client_id, client_secret)
"""

# Here: when requests calls us and what it expects back. It calls the auth object while a request is
# prepared, and a response hook after each sending; a redirect makes a copy of the request that
# shares the hook and knows nothing else of us. The hook keeps nothing between two calls, so that
# one prepared request can be sent twice, or by two threads at once.

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self, cast

try:
    import requests
except ModuleNotFoundError as _missing:
    if _missing.name != "requests":
        raise
    raise ImportError(
        "thebase_auth.requests needs requests: pip install 'thebase-auth[requests]'"
    ) from _missing

from requests.auth import AuthBase, HTTPBasicAuth
from requests.cookies import extract_cookies_to_jar, get_cookie_header
from requests.structures import CaseInsensitiveDict
from requests.utils import get_netrc_auth

from . import _errors
from ._auth import DEFAULT_TIMEOUT, AuthCore, logger, settings_from_env
from ._body import IN_MEMORY, ONCE, Body, File, body_of, is_in_memory
from ._credentials import TOKEN_REQUEST_BODY
from ._hidden import Hidden, hidden
from ._origin import Destination
from ._refusals import Endpoint
from ._token import Answer, Token, parse_token_response
from ._waiting import WaitFor, blocking

if TYPE_CHECKING:
    from .caches import TokenCache

__all__ = ["PlainHTTPError", "ReplayError", "TheBaseAuth", "TokenRequestError", "TokenTimeoutError"]


class TokenRequestError(_errors.TokenRequestError, requests.RequestException):
    """The token endpoint answered, but not with a usable access token."""


class TokenTimeoutError(_errors.TokenTimeoutError, requests.ReadTimeout):
    """Another caller is fetching the token, and this call's own timeout ran out meanwhile."""


class ReplayError(_errors.ReplayError, requests.RequestException):
    """The server refused the token (401), and the body changed before it could be sent once more."""


class PlainHTTPError(_errors.PlainHTTPError, requests.RequestException):
    """A request to the domain over ``http://`` was stopped before it was sent."""


class TheBaseAuth(AuthCore, AuthBase):
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
                `RedisTokenCache`, or an object of your own with the methods of `TokenCache`. None keeps
                it in memory.
            timeout: Seconds for connecting, and for each wait for data, of a token request where the
                caller's own timeout is not known: before its request is sent requests does not tell
                it, and many callers set none.
            session: The session whose adapters, proxies and TLS settings carry the token request.
                Its headers, cookies, params, hooks and auth are not used, and it is not changed.
                Without it, a token request goes by requests' defaults and the environment's proxies.

        Raises:
            ValueError: if an argument cannot be right; the text says which and what is wrong with
                it, and shows no secret.
            TypeError: if *cache* is no cache, or *session* no session of requests.
        """
        client_secret = hidden(client_secret)  # from the variables of a traceback, too
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

    def _set_up(self) -> None:
        super()._set_up()
        self._hook = _ResponseHook(self)

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Sign *request* if it goes to the domain; requests calls this while it prepares a request.

        Raises:
            PlainHTTPError: if it goes to the domain over plain http.
            TokenRequestError: if a token is needed and the token endpoint gives none.
            TokenTimeoutError: if another caller's token request takes longer than ``timeout``.
            TypeError: if it is a request of another library.
        """
        if not isinstance(request, requests.PreparedRequest):
            raise TypeError(
                "thebase_auth.requests.TheBaseAuth signs the requests of requests alone; for httpx and"
                " httpx2 take thebase_auth.TheBaseAuth, or the one in thebase_auth.httpx or .httpx2; there"
                " is none for niquests and others that are like requests"
            )
        url = request.url or ""
        # What follows the slash cannot change the host, so that this needs no parsing.
        if not url.startswith(self._url_prefix) and not self._is_ours(request, url):
            return request
        hook, refused = self._hook, None
        if request.body is not None:
            length = _announced_length(request)
            body = body_of(request.body, length)
            refused = self._too_old_for(body, length)
            if body is not IN_MEMORY:
                hook = _ResponseHook(self, body)
        token = self._renewal.token
        if token is None or refused is not None:
            token = cast("Token", self._fresh_token(refused, None, request))
        request.headers["Authorization"] = token.authorization
        hooks = request.hooks["response"]
        if hooks:  # a request may be signed a second time
            hooks[:] = [one for one in hooks if not hook.takes_the_place_of(one)]
        hooks.append(hook)
        return request

    def _is_ours(self, request: requests.PreparedRequest, url: str) -> bool:
        with _as_requests_errors(request):
            return self._destination(url) is Destination.OURS

    def _fresh_token(
        self,
        refused: str | None,
        timeout: Any,
        request: requests.PreparedRequest,
        endpoint: Endpoint | None = None,
    ) -> Token | None:
        """A token other than *refused*, or None: none is fetched now on account of *endpoint*."""
        with _as_requests_errors(request):
            steps = self._token_steps(
                self._fetch, _timeouts(timeout), refused=refused, endpoint=endpoint
            )
            return blocking(steps)

    def _fetch(self, timeouts: dict[str, float]) -> Generator[WaitFor, bool, Token]:
        """Send the token request, past everything in the session but its adapters and their settings."""
        yield from ()  # it waits in its own way
        credentials = self._credentials
        request = requests.Request(
            "POST",
            credentials.token_url,
            headers=credentials.token_request_headers(),
            data=TOKEN_REQUEST_BODY,
        ).prepare()
        now = time.time()
        try:
            with ExitStack() as stack:
                session = self._session
                if session is None:
                    session = stack.enter_context(requests.Session())
                settings: Any = session.merge_environment_settings(
                    credentials.token_url, proxies={}, stream=False, verify=None, cert=None
                )
                response = session.get_adapter(credentials.token_url).send(
                    request, timeout=(timeouts["connect"], timeouts["read"]), **settings
                )
                stack.callback(response.close)
                answer = Answer(response.status_code, response.headers, response.content)
        except requests.RequestException as error:
            del request.headers["Authorization"]  # the user's exception has this request
            error.add_note(f"This was the token request to {credentials.token_url}.")
            if self._session is None:
                error.add_note(
                    "If your session has a verify, a proxy or an adapter of its own, give it to the"
                    " token request too: TheBaseAuth(..., session=session)."
                )
            raise
        token = parse_token_response(answer, credentials=credentials, now=now)
        logger.debug("fetched an access token from %s", credentials.domain)
        return token


class _ResponseHook:
    """Our response hook: sees each answer to a signed request, and to the redirects of it."""

    def __init__(self, auth: TheBaseAuth, body: Body = IN_MEMORY) -> None:
        self._auth = auth
        self._body = body

    def takes_the_place_of(self, hook: object) -> bool:
        """Whether *hook* is of the same auth object."""
        return isinstance(hook, _ResponseHook) and hook._auth is self._auth

    def __reduce__(self) -> tuple[Callable[[], Callable[..., None]], tuple[()]]:
        # A response is pickled with its request and that with its hooks; our secret stays here.
        return _no_hook, ()

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __call__(self, response: requests.Response, **kwargs: Any) -> requests.Response:
        status, auth = response.status_code, self._auth
        redirected = 300 <= status < 400
        if status != 401 and not redirected and not auth._renewal.refusals.entries:
            return response
        request = response.request
        authorization = request.headers.get("Authorization")
        carried = None
        if isinstance(authorization, Hidden):  # put there by us
            carried = auth._token_for_us(request.url or "", authorization)
        if carried is None:
            return response
        replay = response
        if status == 401:
            replay = self._replay(response, carried, **kwargs)
        else:
            auth._note_acceptance(status, _endpoint(request))
        if replay.is_redirect:
            self._prepare_redirect(response, replay)
        return replay

    def _replay(
        self, response: requests.Response, refused: str, *, again: bool = False, **kwargs: Any
    ) -> requests.Response:
        """Send the request of this 401 once more with another token, or give the 401 back.

        A token from a cache may be long dead. If it is refused, the request is replayed *again*.
        """
        request, auth = response.request, self._auth
        endpoint = _endpoint(request)
        if self._is_final(response, refused, endpoint):
            return response
        connection = getattr(response, "connection", None)
        body = self._body_of(request)
        if connection is None or not body.rewind():
            auth._drop_refused(refused, endpoint)
            return response
        _drain(response)
        token_before = auth._renewal.token
        token = auth._fresh_token(refused, kwargs.get("timeout"), request, endpoint)
        if token is None:
            auth._tell_of_refusal(endpoint)
            return response
        if token.access_token == refused or not body.rewind():  # no longer, after the wait
            return response
        replay = request.copy()
        if isinstance(body, File):
            replay.body = cast("Any", body)  # reads what was sent, and no more
        replay.headers["Authorization"] = token.authorization
        _take_cookies(replay, response)
        logger.debug("replaying %s after a 401", endpoint)
        started = time.perf_counter()
        try:
            answer: requests.Response = connection.send(replay, **kwargs)
        finally:
            replay.body = request.body
        answer.elapsed = timedelta(seconds=time.perf_counter() - started)
        answer.history = [*response.history, response]
        if answer.status_code != 401:
            auth._note_acceptance(answer.status_code, endpoint)
            return answer
        if auth._is_borrowed(token) and not again:
            return self._replay(answer, token.access_token, again=True, **kwargs)
        auth._refused_again(token, endpoint)
        if token is token_before:
            # It was not fetched for us, and may be dead too. requests signs when it prepares: should this
            # request be sent once more, it must not carry its first token for ever.
            response.request = request.copy()
            request.headers["Authorization"] = token.authorization
        return answer

    def _body_of(self, request: requests.PreparedRequest) -> Body:
        """What is known of the body of *request*, which may be a redirected copy without that body."""
        if is_in_memory(request.body):
            return IN_MEMORY
        same = isinstance(self._body, File) and self._body.file is request.body
        return self._body if same else ONCE

    def _is_final(self, response: requests.Response, refused: str, endpoint: Endpoint) -> bool:
        """Whether this 401 is left as it is: a new token would not help, or the replay is spent."""
        if self._auth._is_final(refused, endpoint, response.headers.get("WWW-Authenticate")):
            return True
        headers = response.request.headers
        if isinstance(headers, _SuccessorHeaders) and headers.replay_is_spent:
            headers.replay_is_spent = False  # should the user send this request once more
            return True
        return False

    def _prepare_redirect(self, response: requests.Response, redirect: requests.Response) -> None:
        """Let the next request be made as a copy of the one that was redirected, token included.

        requests copies the request that it sent itself, which is not our replay, and then lets
        ``.netrc`` overwrite the token. The 401 in the history keeps the request that it answered.
        """
        request, sent = response.request, redirect.request
        replayed = redirect is not response
        if replayed:
            response.request = request.copy()
        spent = isinstance(sent.headers, _SuccessorHeaders) and sent.headers.replay_is_spent
        request.headers = _SuccessorHeaders(
            sent.headers, netrc=_netrc_value(request.url or ""), spent_for_copies=replayed or spent
        )


class _SuccessorHeaders(CaseInsensitiveDict[Any]):
    """Headers of a redirected request, and of the requests that requests makes out of it.

    The value that ``.netrc`` has for the domain does not take the place of our token, as long as that
    is there: requests deletes it before it goes to another host. The copies know that the replay
    is spent.
    """

    def __init__(
        self,
        headers: Any,
        *,
        netrc: str | None,
        spent_for_copies: bool,
        replay_is_spent: bool = False,
    ) -> None:
        self.replay_is_spent = replay_is_spent
        self._netrc = netrc
        self._spent_for_copies = spent_for_copies
        super().__init__(headers)

    def copy(self) -> _SuccessorHeaders:
        spent = self._spent_for_copies
        return _SuccessorHeaders(
            self.items(), netrc=self._netrc, replay_is_spent=spent, spent_for_copies=spent
        )

    def __setitem__(self, key: str, value: Any) -> None:
        if value == self._netrc and isinstance(self.get(key), Hidden):
            return
        super().__setitem__(key, value)


def _announced_length(request: requests.PreparedRequest) -> int | None:
    announced = str(request.headers.get("Content-Length", ""))
    return int(announced) if announced.isdecimal() else None


def _endpoint(request: requests.PreparedRequest) -> Endpoint:
    return Endpoint.of(request.method or "", request.url or "")


def _netrc_value(url: str) -> str | None:
    """What requests would put into ``Authorization`` by the user's ``.netrc``, if anything."""
    found = get_netrc_auth(url)
    if found is None:
        return None
    stub = requests.PreparedRequest()
    stub.prepare_headers(None)
    HTTPBasicAuth(*found)(stub)
    value: str = stub.headers["Authorization"]
    return value


def _no_hook() -> Callable[..., None]:
    """What stands for our hook in the pickle of a response."""
    return _ignore


def _ignore(response: requests.Response, **kwargs: Any) -> None:
    """Do nothing."""


@contextmanager
def _as_requests_errors(request: requests.PreparedRequest) -> Iterator[None]:
    """Raise our errors as those of this module, with the request that needed the token."""
    try:
        yield
    except _errors.TheBaseAuthError as error:
        kinds = (TokenRequestError, TokenTimeoutError, ReplayError, PlainHTTPError)
        raise _errors.bind(error, kinds, request) from None


def _timeouts(timeout: Any) -> dict[str, object]:
    """The connect and read timeouts in any form that requests takes them."""
    if isinstance(timeout, tuple):
        connect, read = timeout
    elif hasattr(timeout, "connect_timeout"):  # urllib3's Timeout
        connect = timeout.connect_timeout
        read = timeout.read_timeout if timeout.total is None else timeout.total
    else:
        connect = read = timeout
    return {"connect": connect, "read": read}


def _drain(response: requests.Response) -> None:
    """Read the 401 to its end and give its connection back; the history keeps its content."""
    # If it cannot be read, its status is all we need, and close() throws the connection away.
    with suppress(requests.RequestException, RuntimeError):
        response.content  # noqa: B018 - reading it is what it does
    response.close()


def _take_cookies(replay: requests.PreparedRequest, refused: requests.Response) -> None:
    """Add the cookies that the 401 sets, unless the caller wrote the Cookie header by hand."""
    jar = replay._cookies  # type: ignore[attr-defined]
    if jar is None or replay.headers.get("Cookie") != _cookie_header(replay, jar):
        return
    extract_cookies_to_jar(jar, refused.request, refused.raw)  # type: ignore[no-untyped-call]
    replay.headers.pop("Cookie", None)
    replay.prepare_cookies(jar)


def _cookie_header(request: requests.PreparedRequest, jar: Any) -> str | None:
    bare = request.copy()
    bare.headers.pop("Cookie", None)
    header: str | None = get_cookie_header(jar, bare)  # type: ignore[no-untyped-call]
    return header
