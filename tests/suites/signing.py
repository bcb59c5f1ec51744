"""A pytest plugin for the test runs of requests and httpx: ``-p signing``.

Unless nothing is rejected, every session and client without an auth gets a `TheBaseAuth`. The outcome of each
test is written to a file for compare.py.
"""

from __future__ import annotations

import functools
import ipaddress
import itertools
import json
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import httpx._client
import pytest
import pytest_httpbin.certs
import pytest_httpbin.plugin
import requests
import requests.adapters
import requests.auth
import uvicorn
from rejecting import BeforeTransport, Rejections, before_asgi, before_wsgi
from requests.utils import get_auth_from_url

import thebase_auth._core.origin
import thebase_auth.httpx
import thebase_auth.requests

REJECTIONS = Rejections()
OUTCOMES: dict[str, str] = {}
NUMBERS = itertools.count(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--reject", choices=["nothing", "first", "redirected"], required=True)
    parser.addoption("--outcomes", type=Path, required=True)


def pytest_configure(config: pytest.Config) -> None:
    stay_on_this_machine()
    REJECTIONS.which = config.getoption("reject")
    if REJECTIONS.which != "nothing":
        # Transport doubles are called http://example.org, and are no further away than loopback.
        pytest.MonkeyPatch().setattr(thebase_auth._core.origin, "_is_loopback", lambda host: True)
        sign_requests()
        sign_httpx()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    outcome: str = "xfailed" if hasattr(report, "wasxfail") else report.outcome
    if outcome == "failed":
        crash = getattr(report.longrepr, "reprcrash", None)
        outcome += f" in its {report.when}: {crash.message if crash else report.longreprtext}"
    if OUTCOMES.get(report.nodeid, "passed") == "passed":  # it has three phases, and one outcome
        OUTCOMES[report.nodeid] = outcome


def pytest_sessionfinish(session: pytest.Session) -> None:
    found = {"outcomes": OUTCOMES, "rejected": REJECTIONS.rejected, "replayed": REJECTIONS.replayed}
    session.config.getoption("outcomes").write_text(json.dumps(found), "utf-8")


def stay_on_this_machine() -> None:
    """Let no other address respond, so that what a test finds does not depend on the network."""
    connect = socket.socket.connect

    def connect_here(self: socket.socket, address: Any) -> None:
        host = "" if self.family == socket.AF_UNIX else address[0]
        if host not in {"", "localhost"} and not ipaddress.ip_address(host).is_loopback:
            raise TimeoutError(f"{host} is not on this machine")
        connect(self, address)

    pytest.MonkeyPatch().setattr(socket.socket, "connect", connect_here)


def after_init(kind: Any, then: Callable[[Any], None]) -> None:
    init = kind.__init__

    @functools.wraps(init)
    def init_and_then(self: Any, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        then(self)

    kind.__init__ = init_and_then


class Auths:
    """The auth of one session or client: a `TheBaseAuth` for each origin to which that sends."""

    kind: Callable[..., Any]
    options: Mapping[str, Any] = {}

    def __init__(self) -> None:
        self._auths: dict[str, Any] = {}

    def auth(self, domain: str, authorization: str) -> Any:
        """The auth object of a request; None for what can be no domain, and where the user signs."""
        if authorization and REJECTIONS.client(authorization) is None:
            return None
        if domain not in self._auths:
            try:
                auth = self.kind(domain, f"client-{next(NUMBERS)}..", "secret..", **self.options)
            except ValueError:
                auth = None
            self._auths[domain] = auth
        return self._auths[domain]


# requests


class TokenAdapter(requests.adapters.HTTPAdapter):
    """Asks httpbin for a token, and gives one itself for the servers that are a socket and a script.

    Those count their connections and send scripted responses. They get signed requests but no token requests,
    and reject nothing.
    """

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> Any:
        if "//127.0.0.1:" in (request.url or ""):
            return super().send(request, *args, **kwargs)
        response = requests.Response()
        response.status_code, response._content = 200, b'{"access_token": "never-rejected"}'
        return response


TOKENS = requests.Session()
TOKENS.trust_env = False
TOKENS.verify = pytest_httpbin.certs.where()
TOKENS.mount("http://", TokenAdapter())
TOKENS.mount("https://", TokenAdapter())


class RequestsAuth(Auths, requests.auth.AuthBase):
    kind = thebase_auth.requests.TheBaseAuth
    options = {"session": TOKENS}

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        url = request.url or ""
        user = get_auth_from_url(url)
        if any(user):
            return requests.auth.HTTPBasicAuth(*user)(request)
        parts = urlsplit(url)
        domain = f"{parts.scheme}://{parts.netloc}"
        auth = self.auth(domain, request.headers.get("Authorization", ""))
        return auth(request) if auth else request


def sign_requests() -> None:
    pytest_httpbin.plugin.httpbin_app = before_wsgi(pytest_httpbin.plugin.httpbin_app, REJECTIONS)
    after_init(requests.Session, lambda session: setattr(session, "auth", RequestsAuth()))


# httpx


class HttpxAuth(Auths, httpx.Auth):
    kind = thebase_auth.httpx.TheBaseAuth

    def sync_auth_flow(self, request: httpx.Request) -> Any:
        return self._for(request).sync_auth_flow(request)

    def async_auth_flow(self, request: httpx.Request) -> Any:
        return self._for(request).async_auth_flow(request)

    def _for(self, request: httpx.Request) -> httpx.Auth:
        url = request.url
        if url.userinfo:
            return httpx.BasicAuth(url.username, url.password)
        domain = f"{url.scheme}://{url.netloc.decode('ascii')}"
        return self.auth(domain, request.headers.get("Authorization", "")) or httpx.Auth()


def sign_httpx() -> None:
    def guard(config: uvicorn.Config) -> None:
        config.app = before_asgi(config.app, REJECTIONS)

    def sign(client: httpx.Client | httpx.AsyncClient) -> None:
        if client.auth is None:
            client.auth = HttpxAuth()

    after_init(uvicorn.Config, guard)
    after_init(httpx._client.BaseClient, sign)
    kinds: list[Any] = [httpx.Client, httpx.AsyncClient]
    for kind in kinds:
        kind._transport_for_url = guarding_doubles(kind._transport_for_url)


def guarding_doubles(transport_for_url: Callable[..., Any]) -> Callable[..., Any]:
    def guarded(self: Any, url: httpx.URL) -> Any:
        transport = transport_for_url(self, url)
        real = isinstance(transport, (httpx.HTTPTransport, httpx.AsyncHTTPTransport))
        return transport if real else BeforeTransport(transport, REJECTIONS)

    return guarded
