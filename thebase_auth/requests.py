"""`TheBaseAuth` for requests.

.. code-block:: python

    session = requests.Session()
    session.auth = TheBaseAuth("acme.thebase.co.il", client_id, client_secret)
"""

# requests calls an auth object while it prepares a request, and response hooks after each sending. A redirect
# makes a copy of the request with the same hooks.

from __future__ import annotations

import time
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

try:
    import requests
except ModuleNotFoundError as _missing:
    raise ImportError("thebase_auth.requests needs requests: install the extra 'requests'") from _missing

from requests.auth import AuthBase
from requests.cookies import extract_cookies_to_jar
from requests.structures import CaseInsensitiveDict
from urllib3 import Timeout

from ._auth import CommonAuth
from ._core import errors
from ._core.call import Call, Steps, announced_length, is_in_memory, rewind_file
from ._core.credentials import TOKEN_REQUEST_BODY, TokenResponse, hidden
from ._core.flight import Caller
from ._core.origin import Origin
from ._core.token import Token, parse_token_response
from ._waiting import run_blocking

if TYPE_CHECKING:
    from .caches import TokenCache

__all__ = ["PlainHTTPError", "TheBaseAuth", "TokenRequestError", "TokenTimeoutError"]

#: What an adapter's `send` accepts. Some tools pass more to their hooks.
_SETTINGS: Final = ("stream", "timeout", "verify", "cert", "proxies")
_HINT: Final = (
    " If your session has a verify, a proxy or an adapter of its own, give it to the token request too:"
    " TheBaseAuth(..., session=session)."
)
#: Set on a response that was returned after a 401: some tools call the hooks a second time.
_HANDLED: Final = "_thebase_auth_handled"


class TokenRequestError(errors.TokenRequestError, requests.RequestException):
    """The token endpoint responded, but not with a usable access token."""


class TokenTimeoutError(errors.TokenTimeoutError, requests.ConnectTimeout):
    """This call waited for the token requests of other callers, which failed or took too long."""


class PlainHTTPError(errors.PlainHTTPError, requests.RequestException):
    """A request to the domain over ``http://`` was not sent."""


class TheBaseAuth(CommonAuth, AuthBase):
    """Signs the requests of a requests session to one TheBase domain, and renews the token after a 401."""

    def __init__(
        self,
        domain: str,
        client_id: str,
        client_secret: str,
        *,
        cache: TokenCache | None = None,
        timeout: float = 30.0,
        session: requests.Session | None = None,
    ) -> None:
        """Check the settings; nothing is sent before the first request.

        Args:
            domain: The domain as TheBase shows it; a host name, with ``https://`` or without.
            client_id: The client ID that belongs to it.
            client_secret: The client secret that belongs to the client ID.
            cache: Where this process shares the token with others: a `FileTokenCache`, a
                `RedisTokenCache`, or any object with the methods of `TokenCache`. None keeps
                it in memory.
            timeout: Seconds: the upper bound for connecting and for each wait for data in a token
                request, and of waiting for another caller's. Shorter timeouts of the call apply once
                they are known: requests tells them only after a request was sent.
            session: The session whose adapters, proxies and TLS settings the token request uses. Its
                headers, cookies, params, hooks and auth are not used, and it is not changed. Without it,
                the token request uses the defaults of requests and the proxies of the environment.

        Raises:
            ValueError: if an argument cannot be right; the message says which and what is wrong with
                it, and shows no secret.
            TypeError: if *cache* is not a token cache, or *session* not a session of requests.
        """
        client_secret = hidden(client_secret)  # from tools that print local variables
        if session is not None and not isinstance(session, requests.Session):
            raise TypeError(f"session must be a requests.Session, not {type(session).__name__}")
        self._session = session
        super().__init__(domain, client_id, client_secret, cache=cache, timeout=timeout)

    def __call__(self, request: requests.PreparedRequest, _: object = None) -> requests.PreparedRequest:
        """Sign *request* if it goes to the domain; requests calls this while it prepares a request.

        Raises:
            PlainHTTPError: if it goes to the domain over plain http.
            TokenRequestError: if a token is needed and the token endpoint responds without one.
            TokenTimeoutError: if the token requests of other callers fail or take too long.
            TypeError: if it is a request of another library.
        """
        if not isinstance(request, requests.PreparedRequest):
            raise self._wrong_library(request)
        url = str(request.url)
        # What follows the slash cannot change the host, so the common case needs no parsing.
        if url.startswith(self._url_prefix) or _Call(self, request).must_sign(Origin.of_url(url)):
            # `sign` asks the same, but the steps of a call take as long as all the rest of signing.
            token = self._renewal.token
            if token is None or token.is_expired():
                token = run_blocking(_Call(self, request).sign())
            request.headers["Authorization"] = token.authorization
        hooks = request.hooks["response"]
        if not any(isinstance(hook, _ResponseHook) and hook.auth is self for hook in hooks):
            hooks.append(_ResponseHook(self))
        return request


class _ResponseHook:
    """Our response hook: it sees each response to a request and to its redirects."""

    def __init__(self, auth: TheBaseAuth) -> None:
        self.auth = auth

    def __reduce__(self) -> tuple[Any, ...]:
        # A response is pickled with its request and that one's hooks. Our secret must not go along.
        return partial, (_ignore,)

    def __call__(self, response: requests.Response, **settings: Any) -> requests.Response:
        auth, request = self.auth, response.request
        if not self._goes_to_domain(request):
            self._let_go(response)
            return response
        if response.status_code != 401 or hasattr(response, _HANDLED):
            return response
        value = request.headers.get("Authorization")
        token = auth._renewal.token_in(value)
        # On a redirect, requests replaces our header with one from .netrc. Any other header is the user's.
        is_from_netrc = isinstance(value, str) and value.startswith("Basic ")
        del value  # tools print local variables
        if token is None and not is_from_netrc:
            return response
        call = _Call(auth, request, settings)
        call.has_connection = hasattr(response, "connection")
        response = run_blocking(call.replay(response, token))
        setattr(response, _HANDLED, True)
        return response

    def _goes_to_domain(self, request: requests.PreparedRequest) -> bool:
        url = str(request.url)
        return url.startswith(self.auth._url_prefix) or Origin.of_url(url) == self.auth._credentials.origin

    def _let_go(self, response: requests.Response) -> None:
        """Stop handling a call to which another host has responded.

        That host may redirect to the domain. requests would then add a header from .netrc, and our replay
        would sign a request that another host has chosen.
        """
        request = response.request
        if hasattr(request, "hooks"):  # a cached request of requests-cache has none
            request.hooks = {"response": [hook for hook in request.hooks["response"] if hook is not self]}
        if response.status_code == 401 and "Authorization" not in request.headers:
            self.auth._warn_of_unsigned_401(str(urlsplit(str(request.url)).hostname))


def _ignore(response: requests.Response, **settings: Any) -> None:
    """What our hook becomes in the pickle of a response."""


class _Call(Call):
    """One call of requests, with the settings of its sending as far as they are known.

    Its only steps are waits, as requests blocks: ``yield from ()`` turns a method into a generator.
    """

    error_kinds = (TokenRequestError, TokenTimeoutError, PlainHTTPError)
    has_connection = True  # some tools make responses that have none

    def __init__(
        self, auth: TheBaseAuth, request: requests.PreparedRequest, settings: dict[str, Any] | None = None
    ) -> None:
        self.renewal = auth._renewal
        self.request = request
        self._auth = auth
        self._settings = settings or {}

    def make_caller(self) -> Caller:
        """Return this thread."""
        caller, timeouts = Caller(), self._timeouts()
        caller.timeout, caller.shortest_timeout = timeouts[1], min(timeouts)
        caller.fetch = self._fetch
        return caller

    def _timeouts(self) -> tuple[float, float]:
        """Return the connect and read timeouts of the token request, in seconds."""
        timeout, longest = self._settings.get("timeout"), self.renewal.timeout
        if isinstance(timeout, Timeout):  # urllib3's
            timeout = (
                timeout.connect_timeout,
                timeout.read_timeout if timeout.total is None else timeout.total,
            )
        pair = timeout if isinstance(timeout, tuple) else (timeout, timeout)
        # None, or a value of urllib3 that stands for the default, is not known to be shorter.
        connect, read = (min(one, longest) if isinstance(one, (int, float)) else longest for one in pair)
        return connect, read

    def rewind(self) -> bool:
        """Return whether the body can be sent again, and make it ready."""
        body, start = self.request.body, getattr(self.request, "_body_position", None)
        length = announced_length(self.request.headers)
        if not self.has_connection:
            return False
        # requests keeps something else than a number where the position cannot be told.
        return is_in_memory(body) or (isinstance(start, int) and rewind_file(body, start, length))

    def release(self, response: requests.Response, *, must_read: bool) -> Steps[None]:
        """Release the connection of a 401; see `Call`."""
        yield from ()
        if must_read:
            with suppress(Exception):  # its status is enough
                response.content  # noqa: B018
        with suppress(Exception):  # of a response that a tool has made
            response.close()
        if not isinstance(response._content, bytes):
            response._content = b""
            response._content_consumed = True  # type: ignore[attr-defined]

    def send_again(self, response: requests.Response, token: Token) -> Steps[requests.Response]:
        """Send the user's own request: redirects are made of it, and the user may send it once more."""
        yield from ()
        request = self.request
        response.request = request.copy()  # the 401 keeps the rejected token
        request.headers["Authorization"] = token.authorization
        jar = request._cookies
        if jar is not None:
            extract_cookies_to_jar(jar, response.request, response.raw)  # type: ignore[no-untyped-call]
            request.prepare_cookies(jar)
        settings = {name: self._settings[name] for name in _SETTINGS if name in self._settings}
        started = time.perf_counter()
        replayed: requests.Response = response.connection.send(request, **settings)
        replayed.elapsed = timedelta(seconds=time.perf_counter() - started)
        replayed.history = [*response.history, response]
        return replayed

    def _fetch(self) -> Steps[Token]:
        """Send the token request.

        Raises:
            requests.RequestException: if it fails. If possible, it is a new exception, without the traceback
                of the first one: frames of urllib3 hold the header with the secret.
        """
        yield from ()
        request, credentials = requests.PreparedRequest(), self._auth._credentials
        request.headers = CaseInsensitiveDict()
        sent_at = time.time()
        try:
            response = self._send_token_request(request)
            received = TokenResponse(response.status_code, response.headers, response.content, sent_at)
        except BaseException as error:  # noqa: BLE001 - each is raised again
            request.headers.pop("Authorization", None)
            if not isinstance(error, requests.RequestException):
                raise error.with_traceback(None)  # noqa: B904 - the same exception
            failure = errors.without_frames(error, request)
        else:
            return parse_token_response(received, credentials)
        hint = "" if self._auth._session is not None else _HINT
        failure.add_note(f"This was the token request to {credentials.token_url}.{hint}")
        raise failure  # here, so that its context is what the user is handling

    def _send_token_request(self, request: requests.PreparedRequest) -> requests.Response:
        """Send the token request with nothing of the user's session but its adapters and their settings.

        It goes through `Session.send`, which tools replace and watch, on a session that is thrown away.
        """
        credentials = self._auth._credentials
        url = credentials.token_url
        with requests.Session() as sender:
            user_session = sender if self._auth._session is None else self._auth._session
            sender.get_adapter = user_session.get_adapter  # type: ignore[method-assign]
            # `Session.send` would look for a redirect even if it does not follow it.
            sender.get_redirect_target = lambda resp: None  # type: ignore[method-assign]  # noqa: ARG005
            settings: Any = user_session.merge_environment_settings(
                url, {}, stream=False, verify=None, cert=None
            )
            if url.startswith("http://"):
                settings["proxies"] = user_session.proxies  # a loopback host: none of the environment
            user_agent = self.request.headers.get("User-Agent")
            # The headers are in no local variable: they have the secret.
            request.prepare(
                "POST", url, credentials.token_request_headers(user_agent), data=TOKEN_REQUEST_BODY
            )
            # Test tools replace the `send` of one session.
            send = vars(user_session).get("send", sender.send)
            response: requests.Response = send(
                request, allow_redirects=False, timeout=self._timeouts(), **settings
            )
            return response
