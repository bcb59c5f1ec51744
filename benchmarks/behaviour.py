"""What becomes of a call in six situations, with each way to sign it. Nothing is timed.

revoked token       the status of the next GET, after the server ended a token that is good by the clock
upload              the same for a POST of a file: did the server get the whole of it, or none
100 at an expiry    token requests when 100 callers meet a token that is over by the clock
another host        is the token sent to a host that it is not for
always refused      token requests when a call that the client has no right to is made 20 times
event loop          does it stand still while the token is fetched (AsyncClient)

The table of docs/why.md is this one, which a test compares.
"""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import Callable
from importlib import import_module
from typing import Any, TypeAlias

from ._at_once import at_once, ready_to_expire
from ._in_memory import REQUESTS, Api, Form, sent_to
from ._peers import Peer, peers_of
from ._timing import OURS, Effort, table

FORMS = (REQUESTS, Form("httpx"), Form("httpx", is_async=True))
HEAD = ("revoked token", "upload", "100 at an expiry", "another host", "always refused", "event loop")
_PROMISED = {"200", "whole", "1", "no token", "runs", ""}

# Gives the answer of a call, which in an AsyncClient has to be awaited.
_Result: TypeAlias = Callable[[Any], Any]


def run(effort: Effort, figures: dict[str, Any]) -> list[str]:
    """Print a table for each kind of client, in some seconds; what of ours is not as promised."""
    print("\n== behaviour: what becomes of a call")
    logging.getLogger("thebase_auth").setLevel(logging.ERROR)  # it warns of what is done here on purpose
    broken = []
    for form in FORMS:
        peers = peers_of(form)
        if form == REQUESTS:
            peers["requests-oauthlib"] = _requests_oauthlib
        rows = []
        for name, peer in peers.items():
            with asyncio.Runner() as runner:
                row = _row(form, peer, runner.run if form.is_async else _as_it_is)
            rows.append((name, *row))
            if name == OURS:
                broken += [
                    f"{form}, {situation}: {outcome}"
                    for situation, outcome in zip(HEAD, row, strict=True)
                    if outcome not in _PROMISED and situation != "always refused"
                ]
        table(f"{form}", ("", *HEAD), rows)
    logging.getLogger("thebase_auth").setLevel(logging.NOTSET)
    return broken


def _requests_oauthlib(_: Form, api: Api) -> tuple[Any, Any]:
    """It fetches a token when it is told to, and at no other time."""
    client_id, client_secret = api.credentials
    client = import_module("oauthlib.oauth2").BackendApplicationClient(client_id=client_id)
    session: Any = sent_to(api, import_module("requests_oauthlib").OAuth2Session(client=client))
    session.fetch_token(api.token_url, client_id=client_id, client_secret=client_secret)
    return session, session.auth


def _as_it_is(answer: Any) -> Any:
    return answer


def _row(form: Form, peer: Peer, result: _Result) -> tuple[str, ...]:
    return (
        _after_a_revocation(form, peer, result),
        "" if form.is_async else _an_upload_after_a_revocation(form, peer),
        _at_an_expiry(form, peer),
        _to_another_host(form, peer, result),
        _always_refused(form, peer, result),
        _event_loop(form, peer) if form.is_async else "",
    )


def _after_a_revocation(form: Form, peer: Peer, result: _Result) -> str:
    api = Api()
    client, _ = peer(form, api)
    assert result(client.get(api.url)).status_code == 200
    api.expire()
    return str(result(client.get(api.url)).status_code)


class _Counting(io.BytesIO):
    """A file that counts what is read of it."""

    count = 0

    def read(self, size: int | None = -1) -> bytes:
        piece = super().read(size)
        self.count += len(piece)
        return piece


def _an_upload_after_a_revocation(form: Form, peer: Peer) -> str:
    api = Api()
    client, _ = peer(form, api)
    assert client.get(api.url).status_code == 200
    api.expire()
    file = _Counting(bytes(1000))
    status = client.post(api.url, **{"data" if form == REQUESTS else "content": file}).status_code
    if status != 200:
        return str(status)
    return "whole" if file.count == 1000 * api.calls else f"{status}, arrived empty"


def _at_an_expiry(form: Form, peer: Peer) -> str:
    api, get = ready_to_expire(form, peer)
    api.expire(token_takes=0.02)
    try:
        at_once(form, 100, get)
    except AssertionError:  # 401 for each
        return f"{api.token_requests}, all fail"
    return "1" if api.token_requests == 1 else "up to 100"


def _to_another_host(form: Form, peer: Peer, result: _Result) -> str:
    api = Api()
    client, _ = peer(form, api)
    result(client.get(api.url))
    signed = "Authorization" in result(client.get("https://elsewhere.example/")).request.headers
    return "token sent" if signed else "no token"


class _RefusingApi(Api):
    def answer(self, is_token: bool, authorization: str) -> tuple[int, bytes]:
        status, body = super().answer(is_token, authorization)
        return (status if is_token else 401), body


def _always_refused(form: Form, peer: Peer, result: _Result) -> str:
    api = _RefusingApi()
    client, _ = peer(form, api)
    for _call in range(20):
        result(client.get(api.url))
    return str(api.token_requests)


def _event_loop(form: Form, peer: Peer) -> str:
    async def beats() -> int:
        """How often something else gets its turn while a call fetches its token, for half a second."""
        api = Api()
        client, _ = peer(form, api)
        api.expire(token_takes=0.5)
        call, count = asyncio.create_task(client.get(api.url)), 0
        while not call.done():
            await asyncio.sleep(0.01)
            count += 1
        return count

    return "runs" if asyncio.run(beats()) > 10 else "stands still"
