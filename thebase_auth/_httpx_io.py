# Helpers for the objects of httpx and httpx2. It imports neither.
#
# Here: reading an answer within bounds; what is known of a body; the request that replays another, with the
# cookies of the 401. Not here: when any of this is done (_httpx_flow).

from __future__ import annotations

import re
import time
from contextlib import aclosing, suppress
from http.cookiejar import http2time  # type: ignore[attr-defined] # not in typeshed
from typing import Any, Final, TypeAlias

from ._core.bodies import IN_MEMORY, ONCE, Body, File, body_of, files_of
from ._core.errors import TheBaseAuthError, bind
from ._core.token import Answer, Token
from ._reading import Reading

# A request and a response of either library.
Request: TypeAlias = Any
Response: TypeAlias = Any

#: The types of stream that are in memory. Each binding adds its library's.
IN_MEMORY_STREAMS: Final[list[type]] = []
#: By the type of its requests, the exceptions of each library. Each binding adds its own.
ERRORS: Final[dict[type, tuple[type[TheBaseAuthError], ...]]] = {}


def as_library_error(error: TheBaseAuthError, request: Request) -> TheBaseAuthError:
    """The same error as an exception of the library of *request*."""
    kinds = next((kinds for library, kinds in ERRORS.items() if isinstance(request, library)), None)
    return error if kinds is None else bind(error, kinds, request)


def read_within(response: Response, reading: Reading) -> None:
    """Read *response* within the bounds of *reading*. Its `content` becomes what was read."""
    iter_raw = response.iter_raw
    response.iter_raw = lambda: reading.pieces_of(iter_raw())
    try:
        reading.take_all(response.iter_bytes())
    except Exception as error:  # noqa: BLE001 - the flow decides
        reading.error = error.with_traceback(None)  # its frames hold what was read
    finally:
        del response.iter_raw
        response.close()
    response._content = reading.content


async def read_within_async(response: Response, reading: Reading) -> None:
    """Read *response* within the bounds of *reading*. Its `content` becomes what was read."""
    raw = response.aiter_raw()
    small = reading.async_pieces_of(raw)
    response.aiter_raw = lambda: small
    try:
        async with aclosing(raw), aclosing(small), aclosing(response.aiter_bytes()) as pieces:
            await reading.take_all_async(pieces)
    except Exception as error:  # noqa: BLE001 - the flow decides
        reading.error = error.with_traceback(None)  # its frames hold what was read
    finally:
        del response.aiter_raw
        await response.aclose()
    response._content = reading.content


def body_of_request(request: Request, length: int | None) -> Body:
    """The kind of the body of *request*, before it is sent."""
    stream = request.stream
    if type(stream) in IN_MEMORY_STREAMS:
        return IN_MEMORY
    if type(stream).__module__.partition(".")[0] not in {"httpx", "httpx2"}:
        return ONCE  # its attributes may mean something else
    match type(stream).__name__:
        case "MultipartStream":
            files = (getattr(field, "file", b"") for field in stream.fields)
            return files_of(file for file in files if not isinstance(file, (bytes, str)))
        case "IteratorByteStream":
            return body_of(stream._stream, length)
        case _:
            return ONCE


def body_after_redirect(sent: Request) -> Body:
    """The kind of a body that a redirect has put in the place of the first one."""
    return IN_MEMORY if type(sent.stream) in IN_MEMORY_STREAMS else ONCE


def replay_of(refused: Response, body: Body, token: Token) -> Request:
    """The request that was refused, with another token and the cookies of the 401."""
    old = refused.request
    # We read a file ourselves: from its first position, and no more than was sent.
    content = {"content": body} if isinstance(body, File) else {"stream": old.stream}
    again = type(old)(old.method, old.url, extensions=old.extensions, **content)
    again.headers = old.headers.copy()
    again.headers["Authorization"] = token.authorization
    _take_cookies(again, refused)
    with suppress(RuntimeError):  # of `old.content`, if that has not been read
        old.content  # noqa: B018
        again.read()
    return again


def _take_cookies(again: Request, refused: Response) -> None:
    """Put the cookies of the 401 into the request; the client does not do it at this point."""
    if "Set-Cookie" not in refused.headers:
        return
    old = again.headers.pop("Cookie", "")
    refused.cookies.set_cookie_header(again)
    new = again.headers.get("Cookie", "")
    ended = filter(_ends_a_cookie, refused.headers.get_list("Set-Cookie"))
    replaced = {pair.partition("=")[0].strip() for pair in (*new.split("; "), *ended)}
    kept = [pair for pair in old.split("; ") if pair and pair.partition("=")[0] not in replaced]
    cookies = "; ".join([*kept, new] if new else kept)
    if cookies:
        again.headers["Cookie"] = cookies


def _ends_a_cookie(line: str) -> bool:
    """Whether this ``Set-Cookie`` line deletes a cookie (RFC 6265 sections 5.2.1 and 5.2.2)."""
    attributes = dict(re.findall(r";\s*([^=;\s]+)\s*=?\s*([^;]*)", line.lower()))
    if "max-age" in attributes:
        return re.fullmatch(r"(-[0-9]+|0+)\s*", attributes["max-age"]) is not None
    expiry = http2time(attributes.get("expires", ""))
    return expiry is not None and expiry <= time.time()


def first_redirect(response: Response, token_request: Request) -> Answer:
    """The answer of the token endpoint itself, if the client followed its redirect."""
    answers = [*response.history, response]
    for answer in answers:
        if "Basic " in answer.request.headers.get("Authorization", ""):
            del answer.request.headers["Authorization"]
    first = next(answer for answer in answers if answer.request is token_request)
    return Answer(first.status_code, first.headers, first.content)
