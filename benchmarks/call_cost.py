"""What one signed call with a good token costs: library code only, no network, nothing refused.

Measured beside the least that any auth object can do in its library: httpx's own auth that sets one header;
in requests a header that never changes and a response hook that does nothing, without which no auth sees a
401 (and beside the header without a hook, for comparison):

* *auth alone*: what the library runs of the auth object for one call. In requests the auth object is
  called with the prepared request, and then come the response hooks. In httpx the flow is started,
  given a 200 and closed, as a client does it.
* *whole call*: ``session.get(url)`` or ``client.get(url)`` by an adapter or transport that answers at once.

Requests are prepared before the clock starts and each is used once, for a request is signed once.
google-auth has no auth object; for it, *auth alone* is the `before_request` of its credentials, and what
its session does beside that is in the *whole call*.

The picture shows the auth alone, response hooks included.
"""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from time import get_clock_info, perf_counter, thread_time
from types import ModuleType
from typing import Any

import requests
from requests.adapters import BaseAdapter
from requests.hooks import default_hooks, dispatch_hook

from . import _peers
from ._timing import Batch, Contestant, Effort, Spread, contest

_SERVER = _peers.Server("https://acme.thebase.co.il")
_URL = f"{_SERVER.url}/v2/users"
# Whatever is asked, a token is the answer.
_ANSWER = json.dumps(
    {"access_token": "cqDktPrPY5g8o2yVRk8ZeQ..", "token_type": "bearer", "expires_in": 3600}
).encode()

# What a session tells its adapter and its hooks.
_SEND_OPTIONS: dict[str, Any] = {
    "timeout": None,
    "verify": True,
    "cert": None,
    "stream": False,
    "proxies": {},
}

# The processor's time where that is finely counted: what else the machine does is not in it.
_clock = thread_time if get_clock_info("thread_time").resolution < 1e-6 else perf_counter

# In the picture.
_DRAWN = (
    "requests, auth alone: signing and response hooks",
    "httpx, sync, auth alone",
    "httpx, async, auth alone",
    "httpx2, sync, auth alone",
    "httpx2, async, auth alone",
)

_REQUESTS_TARGET = 1.1
_HTTPX_TARGET = 1.05


def run(effort: Effort, picture: Path | None) -> None:
    """Measure and print, some 90 seconds, or 15; and draw."""
    rounds = effort.pick(201, 31, 2)
    print("\n== call-cost: a signed call with a good token")
    measured = _requests(rounds)
    for name in ("httpx", "httpx2"):
        try:
            library = import_module(name)
        except ModuleNotFoundError:
            print(f"\n{name}: not installed")
            continue
        measured |= _httpx(library, rounds)
    if picture is not None:
        from . import _pictures

        drawn = {title: measured[title] for title in _DRAWN if title in measured}
        _pictures.call_cost(drawn, picture)


def _contestants(
    base: tuple[str, Callable[[], Batch]],
    others: dict[str, Callable[[], Batch]],
    target: float | None,
) -> list[Contestant]:
    contestants = [Contestant(base[0], base[1]())]
    for name, make in others.items():
        try:
            batch: Batch | None = make()
        except ModuleNotFoundError:
            batch = None
        contestants.append(Contestant(name, batch, target if name == "thebase_auth" else None))
    return contestants


# requests


class _NullAdapter(BaseAdapter):
    """Answers at once, without a network."""

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        response = requests.Response()
        response.status_code = 200
        response.url = request.url or ""
        response.request = request
        response.raw = io.BytesIO(_ANSWER)
        return response

    def close(self) -> None:
        pass


def _requests(rounds: int) -> dict[str, dict[str, Spread]]:
    measured = {}
    peers = {
        "header without a hook": _peers.constant_header,
        **_peers.REQUESTS_PEERS,
        "requests-oauthlib": _peers.requests_oauthlib,
    }
    for title, kind, target, calls in (
        ("requests, auth alone: signing", _signing, None, 200),
        ("requests, auth alone: signing and response hooks", _hooks, _REQUESTS_TARGET, 200),
        ("requests, whole call", _getting, None, 20),
    ):
        contestants = _contestants(
            ("constant header and hook", partial(kind, _peers.header_and_hook)),
            {name: partial(kind, peer) for name, peer in peers.items()},
            target,
        )
        measured[title] = contest(title, contestants, rounds=rounds, calls=calls)
    return measured


def _signing(peer: _peers.RequestsPeer) -> Batch:
    session, sign = peer(_SERVER, _NullAdapter())
    session.get(_URL)  # fetches the token

    def batch(calls: int) -> float:
        prepared = _prepared(calls)
        started = _clock()
        for request in prepared:
            sign(request)
        return _clock() - started

    return batch


def _hooks(peer: _peers.RequestsPeer) -> Batch:
    session, sign = peer(_SERVER, _NullAdapter())
    response = session.get(_URL)

    def batch(calls: int) -> float:
        prepared = _prepared(calls)
        started = _clock()
        for request in prepared:
            sign(request)
            dispatch_hook("response", request.hooks, response, **_SEND_OPTIONS)
        return _clock() - started

    return batch


def _getting(peer: _peers.RequestsPeer) -> Batch:
    session, _ = peer(_SERVER, _NullAdapter())
    session.get(_URL)

    def batch(calls: int) -> float:
        started = _clock()
        for _ in range(calls):
            session.get(_URL)
        return _clock() - started

    return batch


def _prepared(calls: int) -> list[requests.PreparedRequest]:
    first = requests.Session().prepare_request(requests.Request("GET", _URL))
    prepared = [first.copy() for _ in range(calls)]
    for request in prepared:
        request.hooks = default_hooks()  # a copy shares them
    return prepared


# httpx and httpx2


def _httpx(library: ModuleType, rounds: int) -> dict[str, dict[str, Spread]]:
    measured = {}
    peers = _peers.HTTPX_PEERS[library.__name__]
    with asyncio.Runner() as runner:
        for title, kind, target, calls in (
            ("sync, auth alone", _pumping, _HTTPX_TARGET, 200),
            ("async, auth alone", partial(_pumping_async, runner), _HTTPX_TARGET, 200),
            ("sync, whole call", _calling, None, 20),
            ("async, whole call", partial(_calling_async, runner), None, 20),
        ):
            contestants = _contestants(
                ("one-header Auth", partial(kind, library, _peers.one_header)),
                {name: partial(kind, library, peer) for name, peer in peers.items()},
                target,
            )
            full = f"{library.__name__}, {title}"
            measured[full] = contest(full, contestants, rounds=rounds, calls=calls)
    return measured


def _null_transport(library: ModuleType) -> Any:
    def answer(request: Any) -> Any:
        return library.Response(
            200, content=_ANSWER, headers={"Content-Type": "application/json"}, request=request
        )

    return library.MockTransport(answer)


def _pumping(library: ModuleType, peer: _peers.HttpxPeer) -> Batch:
    client, auth = peer(library, _SERVER, _null_transport(library), False)
    response = client.get(_URL)

    def batch(calls: int) -> float:
        built = [client.build_request("GET", _URL) for _ in range(calls)]
        started = _clock()
        for request in built:
            flow = auth.sync_auth_flow(request)
            try:
                next(flow)
                flow.send(response)
            except StopIteration:
                pass
            finally:
                flow.close()
        return _clock() - started

    return batch


def _pumping_async(runner: asyncio.Runner, library: ModuleType, peer: _peers.HttpxPeer) -> Batch:
    client, auth = peer(library, _SERVER, _null_transport(library), True)
    response = runner.run(client.get(_URL))

    async def pump(calls: int) -> float:
        built = [client.build_request("GET", _URL) for _ in range(calls)]
        started = _clock()
        for request in built:
            flow = auth.async_auth_flow(request)
            try:
                await flow.__anext__()
                await flow.asend(response)
            except StopAsyncIteration:
                pass
            finally:
                await flow.aclose()
        return _clock() - started

    return lambda calls: runner.run(pump(calls))


def _calling(library: ModuleType, peer: _peers.HttpxPeer) -> Batch:
    client, _ = peer(library, _SERVER, _null_transport(library), False)
    client.get(_URL)

    def batch(calls: int) -> float:
        started = _clock()
        for _ in range(calls):
            client.get(_URL)
        return _clock() - started

    return batch


def _calling_async(runner: asyncio.Runner, library: ModuleType, peer: _peers.HttpxPeer) -> Batch:
    client, _ = peer(library, _SERVER, _null_transport(library), True)
    runner.run(client.get(_URL))

    async def call(calls: int) -> float:
        started = _clock()
        for _ in range(calls):
            await client.get(_URL)
        return _clock() - started

    return lambda calls: runner.run(call(calls))
