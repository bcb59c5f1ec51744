"""Who is compared, each set up for one server as its own documentation tells, ready to fetch its token.

Each function here makes a session or client that signs its requests, and the auth object that does
it. All of them send by the adapter or transport that they are given, their token requests too.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Callable, Generator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any, TypeAlias
from unittest.mock import patch

import requests
from requests.adapters import BaseAdapter
from requests.auth import AuthBase, _basic_auth_str

#: By the clock an expired token is renewed so many seconds early by most.
_EARLY = 30

_CONSTANT = "cqDktPrPY5g8o2yVRk8ZeQ.."
_CONSTANT_HEADER = f"Bearer {_CONSTANT}"


@dataclass(frozen=True, slots=True)
class Server:
    """A TheBase: its base URL, and the credentials that it takes."""

    url: str
    client_id: str = "LvTJmqtlvEKyuqvz1brRMg.."
    client_secret: str = "kZ3mY0o7TqWc1uXv9sBf2Q.."

    @property
    def token_url(self) -> str:
        return f"{self.url}/oauth/token"

    @property
    def credentials(self) -> tuple[str, str]:
        return self.client_id, self.client_secret


Signer: TypeAlias = Callable[[requests.PreparedRequest], requests.PreparedRequest]
RequestsPeer: TypeAlias = Callable[[Server, BaseAdapter], tuple[requests.Session, Signer]]

#: Makes a client of this library (sync or async by the last argument) that sends by this transport.
HttpxPeer: TypeAlias = Callable[[ModuleType, Server, Any, bool], tuple[Any, Any]]


def session_by(adapter: BaseAdapter, auth: Any = None) -> requests.Session:
    """A requests session that sends everything by *adapter*."""
    session = requests.Session()
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    session.headers["Accept"] = "application/json"
    session.auth = auth
    return session


def client_by(library: ModuleType, transport: Any, asynchronous: bool, auth: Any = None) -> Any:
    """A client of httpx or httpx2 that sends everything by *transport*, and waits long for it."""
    client = library.AsyncClient if asynchronous else library.Client
    return client(
        transport=transport,
        auth=auth,
        headers={"Accept": "application/json"},
        timeout=library.Timeout(60, pool=None),
    )


# requests


class _ConstantHeader(AuthBase):
    """What is cheapest: a header that never changes."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = _CONSTANT_HEADER
        return request


def constant_header(server: Server, adapter: BaseAdapter) -> tuple[requests.Session, Signer]:
    auth = _ConstantHeader()
    return session_by(adapter, auth), auth


def header_and_hook(server: Server, adapter: BaseAdapter) -> tuple[requests.Session, Signer]:
    """The least that an auth can do which is to see a 401: the same header, and a response hook."""
    sign = _ConstantHeader()

    class HeaderAndHook(AuthBase):
        def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
            request.register_hook("response", _look_at)
            return sign(request)

    auth = HeaderAndHook()
    return session_by(adapter, auth), auth


def _look_at(response: requests.Response, **_: Any) -> None:
    pass


def thebase_auth(server: Server, adapter: BaseAdapter) -> tuple[requests.Session, Signer]:
    from thebase_auth.requests import TheBaseAuth

    auth = TheBaseAuth(server.url, *server.credentials, session=session_by(adapter))
    return session_by(adapter, auth), auth


def hand_written(server: Server, adapter: BaseAdapter) -> tuple[requests.Session, Signer]:
    token, expires_at = "", 0.0
    lending = session_by(adapter)

    def sign(request: requests.PreparedRequest) -> requests.PreparedRequest:
        nonlocal token, expires_at
        if time.time() > expires_at - _EARLY:
            answer = lending.post(
                server.token_url,
                data={"grant_type": "client_credentials"},
                auth=server.credentials,
                timeout=60,
            ).json()
            token, expires_at = answer["access_token"], time.time() + answer["expires_in"]
        request.headers["Authorization"] = f"Bearer {token}"
        return request

    return session_by(adapter, sign), sign


def requests_auth(server: Server, adapter: BaseAdapter) -> tuple[requests.Session, Signer]:
    theirs = import_module("requests_auth")
    lending = session_by(adapter)
    auth = theirs.OAuth2ClientCredentials(server.token_url, *server.credentials, session=lending)
    return session_by(adapter, auth), auth


def requests_oauth2client(server: Server, adapter: BaseAdapter) -> tuple[requests.Session, Signer]:
    theirs = import_module("requests_oauth2client")
    client = theirs.OAuth2Client(
        server.token_url,
        auth=theirs.ClientSecretBasic(*server.credentials),
        session=session_by(adapter),
        testing=True,  # or else it takes no http://
    )
    auth = theirs.OAuth2ClientCredentialsAuth(client)
    return session_by(adapter, auth), auth


def requests_oauthlib(server: Server, adapter: BaseAdapter) -> tuple[requests.Session, Signer]:
    """It renews no client credentials by itself: a token is given to it."""
    theirs = import_module("requests_oauthlib")
    auth = theirs.OAuth2(token={"access_token": _CONSTANT, "token_type": "Bearer"})
    return session_by(adapter, auth), auth


def authlib(server: Server, adapter: BaseAdapter) -> tuple[requests.Session, Signer]:
    theirs = import_module("authlib.integrations.requests_client")
    session: requests.Session = theirs.OAuth2Session(*server.credentials, **_authlib_options(server))
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    session.headers["Accept"] = "application/json"
    return session, session.token_auth  # type: ignore[attr-defined]


def google_auth(server: Server, adapter: BaseAdapter) -> tuple[requests.Session, Signer]:
    theirs = import_module("google.auth.transport.requests")
    credentials = google_credentials(server)
    request = theirs.Request(session_by(adapter))
    session: requests.Session = theirs.AuthorizedSession(credentials, auth_request=request)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    session.headers["Accept"] = "application/json"

    def sign(prepared: requests.PreparedRequest) -> requests.PreparedRequest:
        credentials.before_request(request, prepared.method, prepared.url, prepared.headers)
        return prepared

    return session, sign


def google_credentials(server: Server) -> Any:
    """Client credentials for google-auth, which has none for other servers than Google's."""
    return _google_credentials_type()(server)


@cache
def _google_credentials_type() -> Any:
    base = import_module("google.auth.credentials").Credentials

    class ClientCredentials(base):  # type: ignore[misc,valid-type]
        def __init__(self, server: Server) -> None:
            super().__init__()
            self._server = server

        def refresh(self, request: Any) -> None:
            answer = json.loads(
                request(
                    self._server.token_url,
                    method="POST",
                    body="grant_type=client_credentials",
                    headers={
                        "Authorization": _basic_auth_str(*self._server.credentials),
                        "Content-Type": "application/x-www-form-urlencoded",
                    },
                ).data
            )
            now = datetime.now(UTC).replace(tzinfo=None)  # which is how it wants it
            self.token = answer["access_token"]
            self.expiry = now + timedelta(seconds=answer["expires_in"])

    return ClientCredentials


def _authlib_options(server: Server) -> dict[str, Any]:
    return {
        "token_endpoint": server.token_url,
        "grant_type": "client_credentials",
        "token": {"access_token": "expired", "token_type": "bearer", "expires_at": 1},
    }


REQUESTS_PEERS: dict[str, RequestsPeer] = {
    "thebase_auth": thebase_auth,
    "hand-written function": hand_written,
    "requests_auth": requests_auth,
    "requests-oauth2client": requests_oauth2client,
    "Authlib OAuth2Session": authlib,
    "google-auth": google_auth,
}


# httpx and httpx2


def one_header(library: ModuleType, server: Server, transport: Any, asynchronous: bool) -> tuple[Any, Any]:
    class OneHeader(library.Auth):  # type: ignore[name-defined]
        def auth_flow(self, request: Any) -> Generator[Any, Any, None]:
            request.headers["Authorization"] = _CONSTANT_HEADER
            yield request

    auth = OneHeader()
    return client_by(library, transport, asynchronous, auth), auth


def thebase_auth_httpx(
    library: ModuleType, server: Server, transport: Any, asynchronous: bool
) -> tuple[Any, Any]:
    ours = import_module(f"thebase_auth.{library.__name__}")
    auth = ours.TheBaseAuth(server.url, *server.credentials)
    return client_by(library, transport, asynchronous, auth), auth


def hand_written_httpx(
    library: ModuleType, server: Server, transport: Any, asynchronous: bool
) -> tuple[Any, Any]:
    basic = library.BasicAuth(*server.credentials)

    class HandWritten(library.Auth):  # type: ignore[name-defined]
        requires_response_body = True
        token, expires_at = "", 0.0

        def auth_flow(self, request: Any) -> Generator[Any, Any, None]:
            if time.time() > self.expires_at - _EARLY:
                ask = library.Request("POST", server.token_url, data={"grant_type": "client_credentials"})
                response = yield next(basic.auth_flow(ask))
                answer = response.json()
                self.token = answer["access_token"]
                self.expires_at = time.time() + answer["expires_in"]
            request.headers["Authorization"] = f"Bearer {self.token}"
            yield request

    auth = HandWritten()
    return client_by(library, transport, asynchronous, auth), auth


def httpx_auth(library: ModuleType, server: Server, transport: Any, asynchronous: bool) -> tuple[Any, Any]:
    """It fetches by a blocking client, also from within an AsyncClient."""
    theirs = import_module("httpx_auth")
    lending = client_by(library, transport if isinstance(transport, library.BaseTransport) else None, False)
    auth = theirs.OAuth2ClientCredentials(server.token_url, *server.credentials, client=lending)
    return client_by(library, transport, asynchronous, auth), auth


def authlib_httpx(library: ModuleType, server: Server, transport: Any, asynchronous: bool) -> tuple[Any, Any]:
    theirs = _authlib_for(library.__name__)
    kind = theirs.AsyncOAuth2Client if asynchronous else theirs.OAuth2Client
    client = kind(
        *server.credentials,
        **_authlib_options(server),
        transport=transport,
        headers={"Accept": "application/json"},
        timeout=library.Timeout(60, pool=None),
    )
    return client, client.token_auth


@cache
def _authlib_for(library: str) -> ModuleType:
    """Authlib's clients of this library; those of httpx are there only where httpx2 is not."""
    hidden: dict[str, Any] = {"httpx2": None} if library == "httpx" else {}
    with patch.dict(sys.modules, hidden), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in [name for name in sys.modules if name.startswith("authlib.integrations")]:
            del sys.modules[name]
        return import_module("authlib.integrations.httpx_client")


HTTPX_PEERS: dict[str, dict[str, HttpxPeer]] = {
    "httpx": {
        "thebase_auth": thebase_auth_httpx,
        "hand-written Auth": hand_written_httpx,
        "httpx_auth": httpx_auth,
        "Authlib OAuth2Client": authlib_httpx,
    },
    "httpx2": {
        "thebase_auth": thebase_auth_httpx,
        "hand-written Auth": hand_written_httpx,
        "Authlib OAuth2Client": authlib_httpx,
    },
}
