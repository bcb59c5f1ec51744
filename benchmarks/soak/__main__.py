"""All kinds of callers at once, while everything goes wrong: `python -m benchmarks.soak [SECONDS]`.

In each of three forked processes, threads of requests and httpx, tasks of httpx on asyncio and tasks of
httpx2 on trio share one auth object. Two of the processes share their token by a cache. They call the sandbox
for a minute. Meanwhile tokens are revoked and expire, the token endpoint fails, connections are dropped,
responses are late, permission is missing, and callers are cancelled or have little time.

Then every call is accounted for: its outcome has a reason in the record of the sandbox. No write is carried
out twice, no body arrives in part, no token is fetched without need. No thread, task or descriptor is left
over, and no log line or exception shows a secret. The exit status is 1 if that is not so.

It needs Linux, and in a checkout:  pip install -e . --group test
"""

from __future__ import annotations

import multiprocessing
import os
import random
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import requests
from requests.adapters import HTTPAdapter

from thebase_auth import TheBaseAuth
from thebase_auth.caches import FileTokenCache
from thebase_auth.testing import Sandbox

from ._account import account
from ._crew import CALLS, CONNECTIONS, PATIENT, Crew

_PROCESSES = 3
_TOKEN = "POST /oauth/token"
_GARBAGE = ("", "null", '{"token_type": "bearer"}', '{"access_token": "a b"}', "<html>")


def main(seconds: float) -> None:
    """Let all callers work for so many seconds, and print the account."""
    os.environ["NO_PROXY"] = "*"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    sandbox = Sandbox(port=port)
    processes = multiprocessing.get_context("fork")
    started, stopped, reports = processes.Event(), processes.Event(), processes.Queue()
    settings = f"http://127.0.0.1:{port}", sandbox.client_id, sandbox.client_secret
    with TemporaryDirectory() as folder:
        for number in range(_PROCESSES):
            session = requests.Session()
            session.mount("http://", HTTPAdapter(pool_maxsize=CONNECTIONS, pool_block=True))
            cache = FileTokenCache(Path(folder, "tokens.json")) if number else None
            session.auth = auth = TheBaseAuth(*settings, cache=cache, timeout=PATIENT, session=session)
            crew = Crew(number, auth, session, stopped)
            # Forked while this process has no other thread.
            processes.Process(target=crew.run, args=(started, reports), daemon=True).start()
        with sandbox:
            started.set()
            _go_wrong(sandbox, seconds)
            stopped.set()
            received = [reports.get(timeout=60) for _ in range(_PROCESSES)]  # or a call hangs
    reasons, faults = account(sandbox, sorted(received, key=lambda report: report.calls[0].id))
    for reason, count in reasons.most_common():
        print(f"{count:>8,}  {reason}")
    for fault in faults[:20]:
        print(f"FAULT: {fault}")
    print(f"{reasons.total():,} calls, {len(faults)} faults")
    sys.exit(1 if faults else 0)


def _go_wrong(sandbox: Sandbox, seconds: float) -> None:
    """Pull the levers of the sandbox at random moments, then let everything work again."""
    levers: list[Callable[[], None]] = [
        lambda: setattr(sandbox, "token_lifetime", random.choice((1.0, 3600.0))),
        lambda: sandbox.client.refuse(CALLS[-1]),
        lambda: sandbox.client.allow(CALLS[-1]),
        lambda: sandbox.delay_next(random.choice(CALLS), random.uniform(0.1, 1.0)),
        lambda: sandbox.drop_next(random.choice(CALLS), carried_out=random.random() < 0.5),
        lambda: sandbox.answer_next(random.choice(CALLS), 503),
        lambda: sandbox.delay_next(_TOKEN, random.uniform(0.1, 1.0)),
        lambda: sandbox.drop_next(_TOKEN, carried_out=random.random() < 0.5),
        lambda: sandbox.answer_next(_TOKEN, random.choice((429, 503, 503, 503, 503, 503))),
        lambda: sandbox.answer_next(_TOKEN, 200, random.choice(_GARBAGE)),
    ]
    end_at = time.monotonic() + seconds
    while time.monotonic() < end_at:
        with suppress(ValueError):  # it was allowed already
            random.choice(levers)()
        if random.random() < 0.5:
            sandbox.revoke_tokens()
        time.sleep(random.uniform(0.05, 0.5))
    sandbox.token_lifetime = 3600.0
    with suppress(ValueError):
        sandbox.client.allow(CALLS[-1])
    for _ in range(10):  # until requests have met with all that was prepared
        sandbox.revoke_tokens()
        time.sleep(0.2)
    time.sleep(4)  # the token endpoint may be in a pause after a 429


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 60.0)
