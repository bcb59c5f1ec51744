"""What each call was and how it ended, kept in a file, so that a long run needs no more memory."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

RESPONSE = "response"
AUTH_ERROR = "error of thebase_auth"
TRANSPORT_ERROR = "error of the transport"
CANCELLED = "cancelled by its caller"
#: Whatever else a call ends with is a fault.
FOREIGN = "something else"


@dataclass(frozen=True, slots=True)
class Call:
    """One call, as its caller wants it.

    Attributes:
        id: goes along in a header, so that the record of the sandbox knows the call. What follows the "~"
            is the number of the sending, where one request object is sent several times.
        client: name of the process, and of the client.
        body: the kind of its body; see _bodies.py.
        timeout: seconds, for each phase.
        streamed: whether its response is read only after the call has returned it.
        cancel_after: seconds after which its caller cancels it; None for never.
    """

    id: str
    client: str
    method: str
    path: str
    body: str
    timeout: float
    json_errors: bool
    streamed: bool
    cancel_after: float | None


class End(NamedTuple):
    """How a call ended, and when; all times are of a clock that the processes of a machine share."""

    at: float
    outcome: str
    status: int | None = None
    detail: str = ""


@dataclass(slots=True)
class Entry:
    """One call from both sides: how it ended (once, if all is well), and the requests that arrived for it."""

    call: Call
    began: float
    ends: list[End] = field(default_factory=list)
    received: list[dict[str, Any]] = field(default_factory=list)
    token_requests: list[dict[str, Any]] = field(default_factory=list)

    @property
    def end(self) -> End:
        return self.ends[-1] if self.ends else End(self.began, "")

    @property
    def seconds(self) -> float:
        return self.end.at - self.began

    def got(self, *statuses: int) -> bool:
        """Whether its caller got a response with one of these."""
        return self.end.outcome == RESPONSE and self.end.status in statuses

    @property
    def carried_out(self) -> int:
        return sum(one["status"] in (200, 201) for one in self.received)

    @property
    def rejections(self) -> int:
        return sum(one["status"] == 401 for one in self.received)

    @property
    def operation(self) -> tuple[str, str]:
        """Process and path; each path has one method here."""
        return self.call.client.partition(",")[0], self.call.path

    def __str__(self) -> str:
        call = self.call
        ends = "; ".join(f"{one.outcome} {one.status or one.detail}" for one in self.ends)
        return f"{call.id} {call.client} {call.method} {call.path} ({call.body}): {ends or 'no end'}"


class Journal:
    """The file, for one process. Any thread may write."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._file = path.open("w", buffering=1, encoding="utf-8")  # a line is there once it is written
        self.close = self._file.close

    def begin(self, call: Call) -> None:
        self._write(asdict(call), time.monotonic())

    def end(self, call: Call, *how: Any) -> None:
        self._write(call.id, time.monotonic(), *how)

    def _write(self, *line: Any) -> None:
        text = json.dumps(line) + "\n"
        with self._lock:
            self._file.write(text)


def read_journals(paths: Iterable[Path]) -> list[Entry]:
    """All calls of all processes."""
    entries: dict[str, Entry] = {}
    for path in paths:
        with path.open(encoding="utf-8") as file:
            for call, *rest in map(json.loads, file):
                if isinstance(call, dict):
                    entries[call["id"]] = Entry(Call(**call), *rest)
                else:
                    entries[call].ends.append(End(*rest))
    return list(entries.values())
