"""What signing adds to sending a file of 8 MiB with a good token.

The file is in memory, is read as the library reads it, and goes nowhere: a network would hide all of this.

Target: thebase_auth takes at most 1.05 times as long as a header that never changes.
"""

from __future__ import annotations

import io
from time import perf_counter

from ._measure import Batch, contest, print_table
from ._peers import OURS, Peer, constant_header, thebase_auth
from ._server import HTTPX, REQUESTS, Api

_SIZE = 8 * 2**20  # bytes


def run(*, quick: bool) -> None:
    """Measure and print, some seconds."""
    rows: list[tuple[str, ...]] = []
    for form in (REQUESTS, HTTPX):
        peers = {"constant header": constant_header, OURS: thebase_auth}
        batches = {name: _batch(form, peer) for name, peer in peers.items()}
        rows += contest(form, batches, rounds=5 if quick else 101, calls=1)
    print_table(("in", "with", "µs per upload", "x constant header", "quartiles"), rows)


def _batch(form: str, peer: Peer) -> Batch:
    api = Api()
    client, _ = peer(form, api)
    file = io.BytesIO(bytes(_SIZE))
    body = {"data" if form == REQUESTS else "content": file}

    def batch(_: int) -> float:
        file.seek(0)
        started = perf_counter()
        assert client.post(api.url, **body).status_code == 200
        return perf_counter() - started

    return batch
