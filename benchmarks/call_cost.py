"""What one signed call with a good token costs: the work of an auth object alone, without any network.

In requests the auth object is called with the prepared request, then its response hooks with the response. In
httpx the flow is started, gets a 200 and is closed, as a client does it. The first row of each library is the
floor: the least that an auth object can do which sees a 401. google-auth has no auth object; here it is the
`before_request` of its credentials.

Targets: thebase_auth costs at most 1.5 times the floor in requests, and 2 times in httpx.
"""

from __future__ import annotations

import asyncio
from time import get_clock_info, perf_counter, thread_time
from typing import Any

import requests
from requests.hooks import default_hooks, dispatch_hook

from ._measure import Batch, contest, print_table
from ._peers import Peer, constant_header, peers_of
from ._server import ASYNC, FORMS, REQUESTS, Api

_CALLS = 200  # in a round
# What a session passes to its hooks.
_SEND_OPTIONS: dict[str, Any] = dict.fromkeys(("timeout", "verify", "cert", "stream", "proxies"))

# Where it is precise, the time of the processor: what else the machine does does not count.
_clock = thread_time if get_clock_info("thread_time").resolution < 1e-6 else perf_counter


def run(*, quick: bool) -> None:
    """Measure and print, some 40 seconds, or 3."""
    rows = []
    with asyncio.Runner() as runner:
        for form in FORMS:
            floor = "constant header and hook" if form == REQUESTS else "one-header Auth"
            peers = {floor: constant_header} | peers_of(form)
            batches = {name: _batch(form, peer, runner) for name, peer in peers.items()}
            rows += contest(form, batches, rounds=5 if quick else 201, calls=_CALLS)
    print_table(("in", "with", "µs per call", "x floor", "quartiles"), rows)


def _batch(form: str, peer: Peer, runner: asyncio.Runner) -> Batch:
    api = Api()
    client, auth = peer(form, api)
    response = client.get(api.url)  # fetches the token
    if form == ASYNC:
        response = runner.run(response)

    def batch(calls: int) -> float:
        made = [_request(form, client, api.url) for _ in range(calls)]  # each is signed once
        if form == REQUESTS:
            return _time_requests(auth, made, response)
        return (
            runner.run(_time_async(auth, made, response))
            if form == ASYNC
            else _time_httpx(auth, made, response)
        )

    return batch


def _request(form: str, client: Any, url: str) -> Any:
    if form != REQUESTS:
        return client.build_request("GET", url)
    request = requests.PreparedRequest()
    request.prepare("GET", url, headers={}, hooks=default_hooks())
    return request


def _time_requests(auth: Any, made: list[Any], response: Any) -> float:
    started = _clock()
    for request in made:
        auth(request)
        dispatch_hook("response", request.hooks, response, **_SEND_OPTIONS)
    return _clock() - started


def _time_httpx(auth: Any, made: list[Any], response: Any) -> float:
    started = _clock()
    for request in made:
        flow = auth.sync_auth_flow(request)
        try:
            next(flow)
            flow.send(response)
        except StopIteration:
            flow.close()
    return _clock() - started


async def _time_async(auth: Any, made: list[Any], response: Any) -> float:
    started = _clock()
    for request in made:
        flow = auth.async_auth_flow(request)
        try:
            await flow.__anext__()
            await flow.asend(response)
        except StopAsyncIteration:
            await flow.aclose()
    return _clock() - started
