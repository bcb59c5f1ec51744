"""The public interface as user code has it. Type checkers read this file; nothing runs it."""

from __future__ import annotations

import aiohttp
import httpx
import httpx2
import redis
import requests
import requests_mock
import responses
import respx
import valkey

import thebase_auth.aiohttp
import thebase_auth.httpx
import thebase_auth.httpx2
import thebase_auth.requests
from thebase_auth import (
    FileTokenCache,
    RedisTokenCache,
    TheBaseAuth,
    TheBaseAuthError,
    Token,
    TokenCache,
    TokenRequestError,
)
from thebase_auth.testing import Sandbox, mock_token_endpoint

auth: TheBaseAuth = TheBaseAuth("acme.thebase.co.il", "id", "secret", timeout=5)
session = requests.Session()
session.auth = auth
requests.get("https://acme.thebase.co.il", auth=auth, timeout=5)
httpx.Client(auth=auth)
httpx.AsyncClient(auth=auth)
httpx2.Client(auth=auth)
httpx2.AsyncClient(auth=auth)

requests.get("https://acme.thebase.co.il", auth=thebase_auth.requests.TheBaseAuth("a", "b", "c"))
httpx.Client(auth=thebase_auth.httpx.TheBaseAuth.from_env(timeout=3.5))
httpx2.Client(auth=thebase_auth.httpx2.TheBaseAuth("a", "b", "c"))
TheBaseAuth("a", "b", "c", session=session)
aiohttp.ClientSession(middlewares=(thebase_auth.aiohttp.TheBaseAuth("a", "b", "c", timeout=5),))


class MyCache:
    def load(self, key: str) -> str | None:
        return None

    def store(self, key: str, record: str, lifetime: float) -> None:
        pass

    def lock(self, key: str, *, timeout: float) -> None:
        return None


cache: TokenCache = FileTokenCache()
TheBaseAuth("a", "b", "c", cache=cache)
TheBaseAuth.from_env(cache=FileTokenCache("tokens.json"))
thebase_auth.httpx.TheBaseAuth("a", "b", "c", cache=RedisTokenCache(redis.Redis()))
thebase_auth.requests.TheBaseAuth("a", "b", "c", cache=RedisTokenCache(valkey.Valkey(), prefix="x:"))
thebase_auth.httpx2.TheBaseAuth("a", "b", "c", cache=MyCache())

token: Token | None = auth.token
text: str = token.access_token if token else ""
until: float | None = token.expires_at if token else None
auth.forget()

try:
    session.get("https://acme.thebase.co.il")
except TokenRequestError as error:
    evidence: tuple[str, int, str | None] = (error.domain, error.status, error.instance)
except TheBaseAuthError as error:
    domain: str = error.domain

with Sandbox() as thebase:
    thebase.revoke_tokens()
    count: int = thebase.token_requests
    thebase.answer_next("GET /v2/users", 200, json={"items": []})
    thebase.reset()

first: int = mock_token_endpoint(responses.RequestsMock(), "acme.thebase.co.il").call_count
second: int = mock_token_endpoint(respx.MockRouter(), "acme.thebase.co.il", expires_in=60).call_count
with requests_mock.Mocker() as mocker:
    count = mock_token_endpoint(mocker, "acme.thebase.co.il").call_count
mock_token_endpoint(responses, "acme.thebase.co.il")
mock_token_endpoint(respx, "acme.thebase.co.il")
