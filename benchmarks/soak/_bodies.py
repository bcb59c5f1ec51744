"""Bodies that say what they ought to be, in every form in which the libraries take them."""

from __future__ import annotations

import hashlib
import json
import random
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

NONE = "none"
GENERATOR = "generator"
_FILE = "file"
_MULTIPART = "multipart"
ASYNC_KINDS = ("bytes", "json", _MULTIPART, GENERATOR)
SYNC_KINDS = (*ASYNC_KINDS, _FILE)
#: Of the text in a body; at times more than a socket takes at once, or than is risked on an old token.
_LENGTHS = (50, 500, 5_000, 60_000, 1_300_000)
_OFTEN = (400, 400, 160, 30, 10)
_CHUNK = 1_000


@dataclass
class Body:
    """What makes a call send a document, the file that is read for it, and the request once it is made."""

    arguments: dict[str, Any]
    file: Any = None
    begin: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    request: Any = None

    def rewind(self) -> None:
        if self.file:
            self.file.seek(self.begin)


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
    call_id = call_id.partition("~")[0]
    try:
        found = json.loads(body)
        its_call, text, length, digest = (found[name] for name in ("call", "text", "length", "digest"))
    except (ValueError, TypeError, KeyError):
        return f"{len(body)} bytes that are no whole document"
    if its_call != call_id:
        return f"it belongs to the call {its_call}"
    if (length, digest) != (len(text), _digest(call_id, text)):
        return f"length or digest of its text is wrong, {len(text)} characters of {length}"
    # How requests, and we, write a document; and how httpx and httpx2 do.
    if (
        body != json.dumps(found).encode()
        and body != json.dumps(found, ensure_ascii=False, separators=(",", ":")).encode()
    ):
        return f"{len(body)} bytes that mean what they should, and are others"
    return None


def document_in(body: bytes, content_type: str) -> bytes:
    """What *body* has in its one part, if it is multipart and whole; *body* itself, if it is not."""
    _, is_multipart, boundary = content_type.partition("multipart/form-data; boundary=")
    parts = body.split(b"--" + boundary.encode())
    if not is_multipart or len(parts) != 3 or (parts[0], parts[2]) != (b"", b"--\r\n"):
        return body
    return parts[1].partition(b"\r\n\r\n")[2].removesuffix(b"\r\n")


def in_form(kind: str, content: dict[str, Any], library: str, is_async: bool, stack: ExitStack) -> Body:
    """The body that sends *content*; its file is closed by *stack*."""
    raw = json.dumps(content).encode()
    name = "data" if library == "requests" else "content"
    match kind:
        case "none":
            return Body({})
        case "json":
            return Body({"json": content})
        case "bytes":
            return Body({name: raw})
        case "generator":
            return Body({name: _async_chunks(raw) if is_async else _chunks(raw)})
    file = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
    begin = 7 if kind == _FILE else 0  # httpx itself rewinds the files of multipart, to their start
    file.write(b"#" * begin + raw)
    file.seek(begin)
    if kind == _MULTIPART:
        return Body({"files": {"file": ("lead.json", file)}}, file)
    # httpx takes the length of the whole file, wherever it begins to read.
    return Body({name: file}, file, begin, {"Content-Length": str(len(raw))})


def _chunks(content: bytes) -> Iterator[bytes]:
    for start in range(0, len(content), _CHUNK):
        yield content[start : start + _CHUNK]


async def _async_chunks(content: bytes) -> AsyncIterator[bytes]:
    for chunk in _chunks(content):
        yield chunk


def _digest(call_id: str, text: str) -> str:
    return hashlib.sha256(f"{call_id} {text}".encode()).hexdigest()
