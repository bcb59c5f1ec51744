"""Who is compared, each set up for one server as its own documentation tells, ready to fetch its token.

A peer makes a session or client that signs its calls, and the auth object that does it.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Callable, Generator
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any, TypeAlias
from unittest.mock import patch

import requests
from requests.auth import AuthBase, _basic_auth_str

from ._in_memory import CONSTANT_TOKEN, Api, Form, client_of, sent_to, transport
from ._timing import OURS

Peer: TypeAlias = Callable[[Form, Api], tuple[Any, Any]]

#: By the clock an expired token is renewed so many seconds early by most.
_EARLY = 30
_CONSTANT_HEADER = f"Bearer {CONSTANT_TOKEN}"


def peers_of(form: Form) -> dict[str, Peer]:
    """All that renew a token by themselves in this library, ours first."""
    if form.library == "requests":
        return {
            OURS: thebase_auth,
            "hand-written function": _hand_written,
            "requests_auth": _requests_auth,
            "requests-oauth2client": _requests_oauth2client,
            "Authlib OAuth2Session": _authlib,
            "google-auth": _google_auth,
        }
    peers = {OURS: thebase_auth, "hand-written Auth": _hand_written_httpx}
    if form.library == "httpx":
        peers["httpx_auth"] = _httpx_auth
    return peers | {"Authlib OAuth2Client": _authlib_httpx}


def thebase_auth(form: Form, api: Api) -> tuple[Any, Any]:
    ours = import_module(f"thebase_auth.{form.library}").TheBaseAuth
    lent = {"session": client_of(form, api)} if form.library == "requests" else {}
    auth = ours(api.base_url, *api.credentials, **lent)
    return client_of(form, api, auth), auth


# What costs least


def constant_header(form: Form, api: Api) -> tuple[Any, Any]:
    """A header that never changes; in httpx by an `Auth` of its own kind."""
    auth = _ConstantHeader() if form.library == "requests" else _one_header(form.module)
    return client_of(form, api, auth), auth


def least_auth(form: Form, api: Api) -> tuple[Any, Any]:
    """The least that an auth can do which is to see a 401: in requests it needs a response hook, too."""
    if form.library != "requests":
        return constant_header(form, api)
    auth = _HeaderAndHook()
    return client_of(form, api, auth), auth


class _ConstantHeader(AuthBase):
    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = _CONSTANT_HEADER
        return request


class _HeaderAndHook(_ConstantHeader):
    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.register_hook("response", _look_at)
        return super().__call__(request)


def _look_at(response: requests.Response, **_: Any) -> None:
    pass


def _one_header(library: ModuleType) -> Any:
    class OneHeader(library.Auth):  # type: ignore[name-defined]
        def auth_flow(self, request: Any) -> Generator[Any, Any, None]:
            request.headers["Authorization"] = _CONSTANT_HEADER
            yield request

    return OneHeader()


# requests


def requests_oauthlib(form: Form, api: Api) -> tuple[Any, Any]:
    """It renews no client credentials by itself: a token is given to it."""
    theirs = import_module("requests_oauthlib")
    auth = theirs.OAuth2(token={"access_token": CONSTANT_TOKEN, "token_type": "Bearer"})
    return client_of(form, api, auth), auth


def _hand_written(form: Form, api: Api) -> tuple[Any, Any]:
    token, expires_at = "", 0.0
    lent = client_of(form, api)

    def sign(request: requests.PreparedRequest) -> requests.PreparedRequest:
        nonlocal token, expires_at
        if time.time() > expires_at - _EARLY:
            data = {"grant_type": "client_credentials"}
            answer = lent.post(api.token_url, data=data, auth=api.credentials, timeout=60).json()
            token, expires_at = answer["access_token"], time.time() + answer["expires_in"]
        request.headers["Authorization"] = f"Bearer {token}"
        return request

    return client_of(form, api, sign), sign


def _requests_auth(form: Form, api: Api) -> tuple[Any, Any]:
    theirs = import_module("requests_auth")
    auth = theirs.OAuth2ClientCredentials(api.token_url, *api.credentials, session=client_of(form, api))
    return client_of(form, api, auth), auth


def _requests_oauth2client(form: Form, api: Api) -> tuple[Any, Any]:
    theirs = import_module("requests_oauth2client")
    by_header = theirs.ClientSecretBasic(*api.credentials)
    client = theirs.OAuth2Client(api.token_url, auth=by_header, session=client_of(form, api))
    auth = theirs.OAuth2ClientCredentialsAuth(client)
    return client_of(form, api, auth), auth


def _authlib(form: Form, api: Api) -> tuple[Any, Any]:
    theirs = import_module("authlib.integrations.requests_client")
    session = sent_to(api, theirs.OAuth2Session(*api.credentials, **_authlib_options(api)))
    return session, session.token_auth  # type: ignore[attr-defined]


def _google_auth(form: Form, api: Api) -> tuple[Any, Any]:
    """It has no auth object, and client credentials for no other servers than Google's."""
    theirs = import_module("google.auth.transport.requests")

    class ClientCredentials(import_module("google.auth.credentials").Credentials):  # type: ignore[misc]
        def refresh(self, request: Any) -> None:
            headers = {
                "Authorization": _basic_auth_str(*api.credentials),
                "Content-Type": "application/x-www-form-urlencoded",
            }
            body = "grant_type=client_credentials"
            answer = json.loads(request(api.token_url, method="POST", body=body, headers=headers).data)
            now = datetime.now(UTC).replace(tzinfo=None)  # which is how it wants it
            self.token = answer["access_token"]
            self.expiry = now + timedelta(seconds=answer["expires_in"])

    credentials = ClientCredentials()
    request = theirs.Request(client_of(form, api))
    session = sent_to(api, theirs.AuthorizedSession(credentials, auth_request=request))

    def sign(prepared: requests.PreparedRequest) -> requests.PreparedRequest:
        credentials.before_request(request, prepared.method, prepared.url, prepared.headers)
        return prepared

    return session, sign


def _authlib_options(api: Api) -> dict[str, Any]:
    return {
        "token_endpoint": api.token_url,
        "grant_type": "client_credentials",
        "token": {"access_token": "expired", "token_type": "bearer", "expires_at": 1},
    }


# httpx and httpx2


def _hand_written_httpx(form: Form, api: Api) -> tuple[Any, Any]:
    library = form.module
    basic = library.BasicAuth(*api.credentials)

    class HandWritten(library.Auth):  # type: ignore[name-defined]
        requires_response_body = True
        token, expires_at = "", 0.0

        def auth_flow(self, request: Any) -> Generator[Any, Any, None]:
            if time.time() > self.expires_at - _EARLY:
                ask = library.Request("POST", api.token_url, data={"grant_type": "client_credentials"})
                answer = (yield next(basic.auth_flow(ask))).json()
                self.token = answer["access_token"]
                self.expires_at = time.time() + answer["expires_in"]
            request.headers["Authorization"] = f"Bearer {self.token}"
            yield request

    auth = HandWritten()
    return client_of(form, api, auth), auth


def _httpx_auth(form: Form, api: Api) -> tuple[Any, Any]:
    """It fetches by a blocking client, also from within an AsyncClient."""
    theirs = import_module("httpx_auth")
    lent = client_of(Form("httpx"), api)
    auth = theirs.OAuth2ClientCredentials(api.token_url, *api.credentials, client=lent)
    return client_of(form, api, auth), auth


def _authlib_httpx(form: Form, api: Api) -> tuple[Any, Any]:
    theirs = _authlib_for(form.library)
    kind = theirs.AsyncOAuth2Client if form.is_async else theirs.OAuth2Client
    way = transport(form.module, api)
    client = kind(*api.credentials, **_authlib_options(api), transport=way, timeout=60)
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
