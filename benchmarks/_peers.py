"""The plugin and its peers, each set up for one server as its own documentation shows.

A peer is a function that returns a session or client which signs its calls, and the auth object that does it.
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

import google.auth.credentials
import google.auth.transport.requests as google_requests
import httpx
import httpx_auth
import requests
import requests_auth
import requests_oauth2client
import requests_oauthlib
from authlib.integrations.requests_client import OAuth2Session
from oauthlib.oauth2 import BackendApplicationClient

from ._server import (
    ASYNC,
    CONSTANT_TOKEN,
    CREDENTIALS,
    HTTPX,
    REQUESTS,
    Api,
    Transport,
    client_of,
    with_adapter,
)

Peer: TypeAlias = Callable[[str, Api], tuple[Any, Any]]

OURS = "thebase_auth"
#: The distributions of the peers, whose versions belong to every figure.
DISTRIBUTIONS = (
    *("Authlib", "google-auth", "httpx-auth"),
    *("requests-auth", "requests-oauth2client", "requests-oauthlib"),
)
_EARLY = 30  # seconds before its expiry, a peer that goes by the clock renews a token
_CONSTANT_HEADER = f"Bearer {CONSTANT_TOKEN}"


def peers_of(form: str) -> dict[str, Peer]:
    """Return the plugin, and all that can sign with client credentials in this kind of client."""
    if form == REQUESTS:
        return {
            OURS: thebase_auth,
            "hand-written function": _hand_written,
            "requests_auth": _requests_auth,
            "requests-oauth2client": _requests_oauth2client,
            "Authlib OAuth2Session": _authlib,
            "google-auth": _google_auth,
            "requests-oauthlib": _requests_oauthlib,
        }
    return {
        OURS: thebase_auth,
        "hand-written Auth": _hand_written_httpx,
        "httpx_auth": _httpx_auth,
        "Authlib OAuth2Client": _authlib_httpx,
    }


def thebase_auth(form: str, api: Api) -> tuple[Any, Any]:
    ours = import_module(f"thebase_auth.{form.partition('.')[0]}").TheBaseAuth
    options = {"session": client_of(form, api)} if form == REQUESTS else {}
    auth = ours(api.base_url, *CREDENTIALS, **options)
    return client_of(form, api, auth), auth


def constant_header(form: str, api: Api) -> tuple[Any, Any]:
    """The floor: a header that never changes; in requests with a response hook, which has to see a 401."""
    auth = _header_and_hook if form == REQUESTS else _OneHeader()
    return client_of(form, api, auth), auth


def _header_and_hook(request: requests.PreparedRequest) -> requests.PreparedRequest:
    request.headers["Authorization"] = _CONSTANT_HEADER
    request.register_hook("response", _look_at)
    return request


def _look_at(response: requests.Response, **_: Any) -> None:
    pass


class _OneHeader(httpx.Auth):
    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = _CONSTANT_HEADER
        yield request


# requests


def _hand_written(form: str, api: Api) -> tuple[Any, Any]:
    token, expires_at = "", 0.0
    sender = client_of(form, api)

    def sign(request: requests.PreparedRequest) -> requests.PreparedRequest:
        nonlocal token, expires_at
        if time.time() > expires_at - _EARLY:
            data = {"grant_type": "client_credentials"}
            fields = sender.post(api.token_url, data=data, auth=CREDENTIALS, timeout=60).json()
            token, expires_at = fields["access_token"], time.time() + fields["expires_in"]
        request.headers["Authorization"] = f"Bearer {token}"
        return request

    return client_of(form, api, sign), sign


def _requests_auth(form: str, api: Api) -> tuple[Any, Any]:
    sender = client_of(form, api)
    auth = requests_auth.OAuth2ClientCredentials(api.token_url, *CREDENTIALS, session=sender)
    return client_of(form, api, auth), auth


def _requests_oauth2client(form: str, api: Api) -> tuple[Any, Any]:
    by_header = requests_oauth2client.ClientSecretBasic(*CREDENTIALS)
    client = requests_oauth2client.OAuth2Client(api.token_url, auth=by_header, session=client_of(form, api))
    auth = requests_oauth2client.OAuth2ClientCredentialsAuth(client)
    return client_of(form, api, auth), auth


def _requests_oauthlib(_: str, api: Api) -> tuple[Any, Any]:
    """It fetches a token when it is told to, and renews none."""
    client_id, client_secret = CREDENTIALS
    client = BackendApplicationClient(client_id=client_id)
    session: Any = with_adapter(api, requests_oauthlib.OAuth2Session(client=client))
    session.fetch_token(api.token_url, client_id=client_id, client_secret=client_secret)
    return session, requests_oauthlib.OAuth2(client=client)


def _authlib(_: str, api: Api) -> tuple[Any, Any]:
    session: Any = with_adapter(api, OAuth2Session(*CREDENTIALS, **_authlib_options(api)))
    return session, session.token_auth


def _authlib_options(api: Api) -> dict[str, Any]:
    return {
        "token_endpoint": api.token_url,
        "grant_type": "client_credentials",
        "token": {"access_token": "expired", "token_type": "bearer", "expires_at": 1},
    }


class _GoogleCredentials(google.auth.credentials.Credentials):
    """google-auth has client credentials for Google's servers only."""

    def __init__(self, api: Api) -> None:
        super().__init__()
        self._api = api

    def refresh(self, request: Any) -> None:
        headers = {
            "Authorization": requests.auth._basic_auth_str(*CREDENTIALS),
            "Content-Type": "application/x-www-form-urlencoded",
        }
        body = "grant_type=client_credentials"
        fields = json.loads(request(self._api.token_url, method="POST", body=body, headers=headers).data)
        now = datetime.now(UTC).replace(tzinfo=None)  # a naive time is what it wants
        self.token = fields["access_token"]
        self.expiry = now + timedelta(seconds=fields["expires_in"])


def _google_auth(form: str, api: Api) -> tuple[Any, Any]:
    credentials = _GoogleCredentials(api)
    request = google_requests.Request(client_of(form, api))
    session = with_adapter(api, google_requests.AuthorizedSession(credentials, auth_request=request))

    def sign(prepared: requests.PreparedRequest) -> requests.PreparedRequest:
        credentials.before_request(request, prepared.method, prepared.url, prepared.headers)
        return prepared

    return session, sign


# httpx


class _HandWritten(httpx.Auth):
    requires_response_body = True

    def __init__(self, api: Api) -> None:
        self._api = api
        self._token, self._expires_at = "", 0.0

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        if time.time() > self._expires_at - _EARLY:
            data = {"grant_type": "client_credentials"}
            basic = httpx.BasicAuth(*CREDENTIALS)
            fields = (
                yield next(basic.auth_flow(httpx.Request("POST", self._api.token_url, data=data)))
            ).json()
            self._token, self._expires_at = fields["access_token"], time.time() + fields["expires_in"]
        request.headers["Authorization"] = f"Bearer {self._token}"
        yield request


def _hand_written_httpx(form: str, api: Api) -> tuple[Any, Any]:
    auth = _HandWritten(api)
    return client_of(form, api, auth), auth


def _httpx_auth(form: str, api: Api) -> tuple[Any, Any]:
    """It fetches with a blocking client, in an AsyncClient too."""
    auth = httpx_auth.OAuth2ClientCredentials(api.token_url, *CREDENTIALS, client=client_of(HTTPX, api))
    return client_of(form, api, auth), auth


def _authlib_httpx(form: str, api: Api) -> tuple[Any, Any]:
    theirs = _authlib_for_httpx()
    kind = theirs.AsyncOAuth2Client if form == ASYNC else theirs.OAuth2Client
    client = kind(*CREDENTIALS, **_authlib_options(api), transport=Transport(api), timeout=60)
    return client, client.token_auth


@cache
def _authlib_for_httpx() -> ModuleType:
    """Return Authlib's clients of httpx, which it has only where httpx2 is not installed."""
    with patch.dict(sys.modules, {"httpx2": None}), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return import_module("authlib.integrations.httpx_client")
