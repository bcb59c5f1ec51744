# What the sandbox receives and what it answers, whatever carries it.
#
# Here: a request as it arrives, a request as the record keeps it, the words in which both are named,
# and answers in the forms that the vendor and Oracle REST Data Services (ORDS) give them. Not here:
# which answer a request gets (_crm, _access, _faults), and how it travels (_server, _mounts).

from __future__ import annotations

import json
import re
import secrets
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final, NamedTuple

JSON: Final = "application/json"
TOKEN_PATH: Final = "/oauth/token"  # noqa: S105

_CALL: Final = re.compile(r"((?P<method>[A-Z]+|\*) )?(?P<path>[/*][^?\s]*)")

# To a client that does not ask for JSON, ORDS sends a page of about this size.
_UNAUTHORIZED_PAGE: Final = (
    b"<!DOCTYPE html>\n<html><head><title>Unauthorized</title></head>"
    b"<body><h1>401 Unauthorized</h1></body></html>\n"
).ljust(467_009)


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """A request as it arrives.

    Names of header fields are in lower case, the path is decoded and begins where the sandbox is
    mounted, and the root is all that comes before it: scheme, host and the place of mounting.
    """

    method: str
    path: str
    query: str
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    root: str = ""

    @property
    def url(self) -> str:
        """The URL without its query."""
        return self.root + self.path

    def credentials(self, scheme: str) -> str:
        """What `Authorization` says after a scheme, or nothing if it names another."""
        given, _, credentials = self.headers.get("authorization", "").partition(" ")
        return credentials if given.lower() == scheme else ""


class Answer(NamedTuple):
    """What goes back to the client."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()

    def to_send(self, method: str) -> Answer:
        """The same with its length, and without a body where HTTP has none (RFC 9110 6.4.1, 8.6)."""
        if self.status in (204, 304):
            fields = [field for field in self.headers if field[0].lower() != "content-type"]
            return Answer(self.status, b"", tuple(fields))
        length = ("Content-Length", str(len(self.body)))
        return Answer(self.status, b"" if method == "HEAD" else self.body, (*self.headers, length))


class Problem(Exception):  # noqa: N818 - the name of such an answer (RFC 9457)
    """The request gets a problem document."""

    def __init__(self, status: int, message: str = "", **headers: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message or HTTPStatus(status).phrase
        self.headers = tuple((name.replace("_", "-"), value) for name, value in headers.items())

    def answer(self, request: Request) -> Answer:
        """The answer, as ORDS gives it: a problem document, or a page if a 401 was not to be JSON."""
        if self.status == 401 and JSON not in request.headers.get("accept", "").lower():
            return Answer(401, _UNAUTHORIZED_PAGE, (("Content-Type", "text/html; charset=utf-8"),))
        code = HTTPStatus(self.status).phrase.replace(" ", "")
        document = {
            "code": code,
            "message": self.message,
            "type": f"tag:oracle.com,2020:error/{code}",
            "instance": f"tag:oracle.com,2020:ecid/{secrets.token_urlsafe(16)}",
        }
        return json_answer(document, self.status, "application/problem+json", *self.headers)


class CallPattern:
    """Which calls are meant: `"DELETE /v2/products/*"`, or a path alone for all methods.

    Raises:
        ValueError: this can mean no call.
    """

    def __init__(self, text: str) -> None:
        found = _CALL.fullmatch(text)
        if found is None:
            raise ValueError(
                f"{text!r} can mean no call; write a method in capitals and a path without its query,"
                " such as 'GET /v2/users' or 'DELETE *', or the path alone"
            )
        self._method = found["method"] or "*"
        self._path = re.compile(re.escape(found["path"]).replace(r"\*", ".*"), re.DOTALL)

    def matches(self, method: str, path: str) -> bool:
        """Whether a request to a path, without its query, is one of the calls."""
        return self._method in {"*", method} and self._path.fullmatch(path) is not None


def json_answer(
    document: Any, status: int = 200, content_type: str = JSON, *headers: tuple[str, str]
) -> Answer:
    """A JSON document in UTF-8, Hebrew unescaped."""
    body = json.dumps(document, ensure_ascii=False).encode()
    return Answer(status, body, (("Content-Type", content_type), *headers))
