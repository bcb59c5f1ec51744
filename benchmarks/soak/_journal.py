"""What each call was and how it ended, kept in a file, so that a long run needs no more memory."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

ANSWER = "answer"
AUTH_ERROR = "error of thebase_auth"
TRANSPORT_ERROR = "error of the transport"
CANCELLED = "cancelled by its caller"
#: Whatever else a call ends with is a fault.
FOREIGN = "something else"


@dataclass(frozen=True, slots=True)
class Call:
    """One call, as its caller wants it.

    Attributes:
        id: goes along in a header, so that the record of the sandbox knows the call.
        body: the kind of its body; see _bodies.py.
        timeout: seconds, for each phase.
        streamed: whether its answer is read only after the call has given it.
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


@dataclass(slots=True)
class Entry:
    """One call, and how it ended: once, if all is well."""

    call: Call
    ends: list[dict[str, Any]] = field(default_factory=list)

    @property
    def outcome(self) -> str:
        return self.ends[-1]["outcome"] if self.ends else ""

    @property
    def status(self) -> int | None:
        return self.ends[-1]["status"] if self.ends else None

    @property
    def detail(self) -> str:
        return self.ends[-1]["detail"] if self.ends else ""

    @property
    def seconds(self) -> float:
        return self.ends[-1]["seconds"] if self.ends else 0.0

    def __str__(self) -> str:
        call = self.call
        ends = (
            "; ".join(f"{end['outcome']} {end['status'] or end['detail']}" for end in self.ends)
            or "no end"
        )
        return f"{call.id} {call.client} {call.method} {call.path} ({call.body}): {ends}"


class Journal:
    """The file, for one process. Any thread may write."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._file = path.open("w", encoding="utf-8")

    def begin(self, call: Call) -> None:
        self._write({"begin": asdict(call)})

    def end(
        self,
        call: Call,
        outcome: str,
        seconds: float,
        *,
        status: int | None = None,
        detail: str = "",
    ) -> None:
        self._write(
            {
                "end": call.id,
                "outcome": outcome,
                "seconds": seconds,
                "status": status,
                "detail": detail,
            }
        )

    def close(self) -> None:
        self._file.close()

    def _write(self, line: dict[str, Any]) -> None:
        text = json.dumps(line) + "\n"
        with self._lock:
            self._file.write(text)


def read_journals(paths: Iterable[Path]) -> list[Entry]:
    """All calls of all processes."""
    entries: dict[str, Entry] = {}
    for path in paths:
        with path.open(encoding="utf-8") as file:
            for line in map(json.loads, file):
                if "begin" in line:
                    entries[line["begin"]["id"]] = Entry(Call(**line["begin"]))
                else:
                    entries[line["end"]].ends.append(line)
    return list(entries.values())
