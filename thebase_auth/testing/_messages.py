# Requests, the names of calls, and responses as the vendor and Oracle REST Data Services (ORDS) write them.

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final, NamedTuple, Self

JSON: Final = "application/json"
TOKEN_PATH: Final = "/oauth/token"  # noqa: S105
NOT_GIVEN: Final = object()  # for a JSON document, where None is null

_CALL: Final = re.compile(r"((?P<method>[A-Z]+|\*) )?(?P<path>[/*][^?\s]{0,999})")

# A TheBase has sent a page of this size. It is filled with carriage returns, which a terminal does not show.
_UNAUTHORIZED_PAGE: Final = (
    b"<!DOCTYPE html>\n<html><head><title>Unauthorized</title></head>"
    b"<body><h1>401 Unauthorized</h1></body></html>\n"
).ljust(467_009, b"\r")


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """A request to the sandbox.

    Attributes:
        method: The method.
        path: The decoded path.
        query: The query, as it was sent.
        headers: The header fields, with names in lower case.
        body: The body, or as much of it as was received.
        root: The URL of the sandbox, as its client names it.
        broken: None if the body is whole. Otherwise what the server said was wrong with it, or nothing if the
            client closed the connection.
    """

    method: str
    path: str
    query: str
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    root: str = ""
    broken: str | None = None

    @property
    def url(self) -> str:
        """The URL without its query."""
        return self.root + self.path

    def credentials(self, scheme: str) -> str:
        """The credentials in `Authorization`, or nothing if its scheme is another."""
        given, _, credentials = self.headers.get("authorization", "").partition(" ")
        return credentials if given.lower() == scheme else ""

    @property
    def media_type(self) -> str:
        """What `Content-Type` says without its parameters, in lower case."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


class Reason(str):  # noqa: SLOT000 - as few as there are requests
    """Why a request was not simply carried out.

    Attributes:
        he: The same in Hebrew, for the page; English where nobody has translated it.
    """

    he: str

    def __new__(cls, text: str, he: str = "") -> Self:
        made = super().__new__(cls, text)
        made.he = he or text
        return made

    @classmethod
    def of_all(cls, reasons: Iterable[str]) -> Self:
        """One reason of several; empty ones do not count."""
        given = [one for one in reasons if one]
        return cls(", ".join(given), ", ".join(getattr(one, "he", one) for one in given))


class Response(NamedTuple):
    """What the client gets, and for the record, why."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    reason: str = ""

    def to_send(self, method: str) -> Response:
        """The same with its length, and without a body where HTTP has none (RFC 9110 6.4.1, 8.6)."""
        if self.status in (204, 304):
            return Response(self.status, b"", self.headers)
        length = ("Content-Length", str(len(self.body)))
        return Response(self.status, b"" if method == "HEAD" else self.body, (*self.headers, length))


class Problem(Exception):  # noqa: N818 - the name of such a response (RFC 9457)
    """Ends a request with a problem document.

    Args:
        status: The status code.
        message: What the client is told; by default, only the name of the status.
        reason: What the record says; by default, *message*.
        **headers: More header fields, with underscores for hyphens.
    """

    def __init__(self, status: int, message: str = "", reason: str = "", **headers: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message or HTTPStatus(status).phrase
        self.reason = reason or message
        self.headers = tuple((name.replace("_", "-"), value) for name, value in headers.items())

    def response(self, request: Request) -> Response:
        """As ORDS does: a problem document, or for a 401 a page if the client does not ask for JSON."""
        if self.status == 401 and JSON not in request.headers.get("accept", "").lower():
            fields = (("Content-Type", "text/html; charset=utf-8"), *self.headers)
            return Response(401, _UNAUTHORIZED_PAGE, fields, self.reason)
        code = HTTPStatus(self.status).phrase.replace(" ", "")
        document = {
            "code": code,
            "message": self.message,
            "type": f"tag:oracle.com,2020:error/{code}",
            "instance": f"tag:oracle.com,2020:ecid/{secrets.token_urlsafe(16)}",
        }
        response = json_response(document, self.status, "application/problem+json", *self.headers)
        return response._replace(reason=self.reason)


class CallPattern:
    """The name of a call: method and path, or only a path for all methods; `*` stands for anything.

    Raises:
        ValueError: if *text* is not of that form.
    """

    def __init__(self, text: str) -> None:
        found = _CALL.fullmatch(text)
        if found is None:
            raise ValueError(
                f"{text!r} is not a call; write a method in capitals and a path without a query, such as"
                " 'GET /v2/users' or 'DELETE *', or only the path"
            )
        self._method = found["method"] or "*"
        pattern, *pieces = map(re.escape, found["path"].split("*"))
        if pieces:
            *middle, end = pieces
            # (?>...) keeps each piece where it is first found, so that many asterisks cost little.
            pattern += "".join(f"(?>.*?{piece})" for piece in middle) + f".*{end}"
        self._path = re.compile(pattern, re.DOTALL)

    def matches(self, method: str, path: str) -> bool:
        """Whether a request to a path, without its query, is such a call."""
        return self._method in {"*", method} and self._path.fullmatch(path) is not None


def json_response(
    document: Any, status: int = 200, content_type: str = JSON, *headers: tuple[str, str]
) -> Response:
    """A response with a JSON document in UTF-8, in which Hebrew is not escaped."""
    body = json.dumps(document, ensure_ascii=False).encode()
    return Response(status, body, (("Content-Type", content_type), *headers))
