"""Bodies that say what they ought to be, in every form in which the libraries take them."""

from __future__ import annotations

import hashlib
import json
import random
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from typing import Any

NONE = "none"
GENERATOR = "generator"
SYNC_KINDS = ("bytes", "json", "file", GENERATOR)
ASYNC_KINDS = ("bytes", "json", GENERATOR)
_LENGTHS = (
    50,
    500,
    5_000,
    60_000,
)  # of the text in a body; at times more than a socket takes at once
_OFTEN = (40, 40, 17, 3)
_CHUNK = 1_000


def document(call_id: str, chance: random.Random) -> dict[str, Any]:
    """What a lead or a note is created from, with the length and the digest of its text."""
    text = chance.randbytes(chance.choices(_LENGTHS, _OFTEN)[0] // 2).hex()
    return {
        "name": "משה כהן",
        "f_name": "משה",
        "phone": "0501234567",
        "msg": "soak",
        "call": call_id,
        "text": text,
        "length": len(text),
        "digest": _digest(call_id, text),
    }


def what_is_wrong(body: bytes, call_id: str) -> str | None:
    """What a body that arrived is not; None if it is byte for byte what the call had to send."""
    try:
        found = json.loads(body)
        text = found["text"]
    except (ValueError, TypeError, KeyError):
        return f"{len(body)} bytes that are no whole document"
    if found["call"] != call_id:
        return f"it belongs to the call {found['call']}"
    if (found["length"], found["digest"]) != (len(text), _digest(call_id, text)):
        return f"length or digest of its text is wrong, {len(text)} characters of {found['length']}"
    if body not in _forms(found):
        return f"{len(body)} bytes that mean what they should, and are others"
    return None


def in_sync_form(
    kind: str, content: dict[str, Any], library: str, stack: ExitStack
) -> dict[str, Any]:
    """The arguments of a call that send *content*; what has to be closed is left to *stack*."""
    raw = json.dumps(content).encode()
    name = "data" if library == "requests" else "content"
    match kind:
        case "none":
            return {}
        case "json":
            return {"json": content}
        case "bytes":
            return {name: raw}
        case "file":
            file = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
            # httpx takes the length of the whole file, wherever it begins to read.
            begin = 7 if library == "requests" else 0
            file.write(b"#" * begin + raw)
            file.seek(begin)
            return {name: file}
        case _:
            return {name: _chunks(raw)}


def in_async_form(kind: str, content: dict[str, Any]) -> dict[str, Any]:
    """The same for an async client of httpx or httpx2."""
    raw = json.dumps(content).encode()
    match kind:
        case "none":
            return {}
        case "json":
            return {"json": content}
        case "bytes":
            return {"content": raw}
        case _:
            return {"content": _async_chunks(raw)}


def _chunks(content: bytes) -> Iterator[bytes]:
    for start in range(0, len(content), _CHUNK):
        yield content[start : start + _CHUNK]


async def _async_chunks(content: bytes) -> AsyncIterator[bytes]:
    for chunk in _chunks(content):
        yield chunk


def _digest(call_id: str, text: str) -> str:
    return hashlib.sha256(f"{call_id} {text}".encode()).hexdigest()


def _forms(content: dict[str, Any]) -> set[bytes]:
    """How requests, and we, write a document; and how httpx and httpx2 do."""
    return {
        json.dumps(content).encode(),
        json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode(),
    }
