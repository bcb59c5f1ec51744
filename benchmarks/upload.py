"""What it costs to send a file with a good token, and how often the file is read when a token is refused.

A file of 8 MiB, on disk and in the system's cache, is read as the library itself reads
it, and goes nowhere: over a network all of this would be hidden by the sending.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable
from time import perf_counter
from typing import Any

from ._in_memory import FORMS, REQUESTS, Api, Form
from ._peers import Peer, constant_header, thebase_auth
from ._timing import OURS, Batch, Effort, contest

_SIZE = 8 * 2**20
_TARGET = 1.05


def run(effort: Effort, figures: dict[str, Any]) -> list[str]:
    """Measure and print, some seconds; what was read more often than it was sent."""
    print(f"\n== upload: a file of {_SIZE // 2**20} MiB")
    broken = []
    with tempfile.TemporaryFile() as file:
        file.write(bytes(_SIZE))
        file.flush()
        for form in (form for form in FORMS if not form.is_async):
            contestants = {
                "constant header": _uploading(form, constant_header, file),
                OURS: _uploading(form, thebase_auth, file),
            }
            contest(f"{form}", contestants, target=_TARGET, rounds=effort.pick(101, 21, 2), calls=1)
            read = _read_at_a_refusal(form, file) / _SIZE
            print(f"  when its token is refused, the file is read {read:g} times and sent twice")
            if read != 2:
                broken.append(f"{form}: a file was read {read:g} times to be sent twice")
    return broken


def _sender(form: Form, peer: Peer, api: Api) -> Callable[[Any], None]:
    client, _ = peer(form, api)
    name = "data" if form == REQUESTS else "content"

    def send(file: Any) -> None:
        file.seek(0)
        assert client.post(api.url, **{name: file}).status_code == 200

    return send


def _uploading(form: Form, peer: Peer, file: Any) -> Batch:
    send = _sender(form, peer, Api())

    def batch(calls: int) -> float:
        started = perf_counter()
        for _ in range(calls):
            send(file)
        return perf_counter() - started

    return batch


class _Counting(io.FileIO):
    """A file that counts what is read of it."""

    count = 0

    def read(self, size: int | None = -1) -> bytes:
        piece = super().read(-1 if size is None else size)
        self.count += len(piece)
        return piece


def _read_at_a_refusal(form: Form, file: Any) -> int:
    api = Api()
    send = _sender(form, thebase_auth, api)
    send(file)
    api.expire()
    counting = _Counting(file.fileno(), closefd=False)
    send(counting)
    return counting.count
