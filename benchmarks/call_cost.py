"""What one signed call with a good token costs: library code only, no network, nothing refused.

What the library runs of an auth object for one call is timed. In requests the auth object is called with
the prepared request, and then come the response hooks. In httpx the flow is started, given a 200 and closed,
as a client does it. Requests are prepared before the clock starts and each is used once, for a request is
signed once.

It is measured beside the least that any auth object can do in its library: httpx's own auth that sets one
header; in requests a header that never changes and a response hook that does nothing, without which no auth
sees a 401. google-auth has no auth object; it is the `before_request` of its credentials that is timed.
"""

from __future__ import annotations

import asyncio
from functools import partial
from time import get_clock_info, perf_counter, thread_time
from typing import Any

import requests
from requests.hooks import default_hooks, dispatch_hook

from ._in_memory import FORMS, REQUESTS, Api, Form
from ._peers import Peer, least_auth, peers_of, requests_oauthlib
from ._timing import Batch, Effort, contest

_CALLS = 200  # a round
_REQUESTS_TARGET = 1.5
_HTTPX_TARGET = 2.0

# What a session tells its hooks.
_SEND_OPTIONS: dict[str, Any] = dict.fromkeys(("timeout", "verify", "cert", "stream", "proxies"))

# The processor's time where that is finely counted: what else the machine does is not in it.
_clock = thread_time if get_clock_info("thread_time").resolution < 1e-6 else perf_counter


def run(effort: Effort, figures: dict[str, Any]) -> None:
    """Measure and print, some 40 seconds, or 10."""
    print("\n== call-cost: a signed call with a good token")
    with asyncio.Runner() as runner:
        for form in FORMS:
            peers = peers_of(form)
            base, target, batch = "one-header Auth", _HTTPX_TARGET, _httpx
            if form == REQUESTS:
                base, target, batch = "constant header and hook", _REQUESTS_TARGET, _requests
                peers["requests-oauthlib"] = requests_oauthlib
            elif form.is_async:
                batch = partial(_httpx_async, runner)
            contestants = {name: batch(form, peer) for name, peer in ({base: least_auth} | peers).items()}
            rounds = effort.pick(201, 31, 2)
            figures[f"{form}"] = contest(f"{form}", contestants, target=target, rounds=rounds, calls=_CALLS)


def _requests(form: Form, peer: Peer) -> Batch:
    api = Api()
    session, sign = peer(form, api)
    response = session.get(api.url)  # fetches the token
    unsigned = requests.Session().prepare_request(requests.Request("GET", api.url))

    def batch(calls: int) -> float:
        prepared = [unsigned.copy() for _ in range(calls)]
        for request in prepared:
            request.hooks = default_hooks()  # a copy shares them
        started = _clock()
        for request in prepared:
            sign(request)
            dispatch_hook("response", request.hooks, response, **_SEND_OPTIONS)
        return _clock() - started

    return batch


def _httpx(form: Form, peer: Peer) -> Batch:
    api = Api()
    client, auth = peer(form, api)
    response = client.get(api.url)

    def batch(calls: int) -> float:
        built = [client.build_request("GET", api.url) for _ in range(calls)]
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


def _httpx_async(runner: asyncio.Runner, form: Form, peer: Peer) -> Batch:
    api = Api()
    client, auth = peer(form, api)
    response = runner.run(client.get(api.url))

    async def batch(calls: int) -> float:
        built = [client.build_request("GET", api.url) for _ in range(calls)]
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

    return lambda calls: runner.run(batch(calls))
