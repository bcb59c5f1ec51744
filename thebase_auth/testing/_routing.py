# Which call of the API a request is: routes, the choice of one, and a call as its handler gets it.

from __future__ import annotations

from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import Final, NamedTuple, TypeAlias

from ._examples import Item
from ._fields import read_fields
from ._messages import TOKEN_PATH, CallPattern, Problem, Reason, Request, Response, json_response

PREFIX: Final = "/v2"
_ID: Final = "{id}"

# More than any call needs, and little enough to be read in some milliseconds.
_LONGEST_BODY: Final = 4 * 2**20  # bytes
_MOST_VALUES: Final = 50_000  # in arrays and objects


class Call(NamedTuple):
    """A call to be carried out.

    Attributes:
        request: The request.
        fields: The JSON object in its body, if its method is POST.
    """

    request: Request
    fields: Item

    @property
    def id(self) -> str:
        """The id with which the path ends, if its route has one."""
        return self.request.path.rpartition("/")[2]


Handler: TypeAlias = Callable[[Call], Item | None]
"""Carries out a call. It returns the document to respond with; None responds with no body."""


class Route:
    """What is done by one method at one path, which may end in ``{id}``.

    Attributes:
        required: The keys that the body must have. Only a POST has a body, and may go without one if no key
            is required.
        status: The status of the response.
    """

    def __init__(
        self, method: str, path: str, handler: Handler, *required: str, status: int | None = None
    ) -> None:
        self.method = method
        self.path = PREFIX + path
        self.required = required
        self.status = status or (201 if method in {"POST", "PUT"} else 200)
        self._handler = handler

    def response(self, request: Request) -> Response:
        """Carry out a call of this route.

        Raises:
            Problem: if the call cannot be carried out.
        """
        values = sum(request.body.count(mark) for mark in (b"[", b"{", b","))
        if len(request.body) > _LONGEST_BODY or values > _MOST_VALUES:
            raise Problem(413, f"the body has more than {_LONGEST_BODY} bytes or {_MOST_VALUES} values")
        has_body = self.method == "POST" and (self.required or request.body)
        fields = read_fields(request, self.required) if has_body else {}
        document = self._handler(Call(request, fields))
        return Response(self.status) if document is None else json_response(document, self.status)


def route_of(request: Request, routes: Iterable[Route]) -> Route:
    """Find the route of a request.

    Raises:
        Problem: if there is no such path (404), or not for this method (405).
    """
    parent, _, id_ = request.path.rpartition("/")
    # A literal path goes before one with an id, which may match it too.
    for path in (request.path, f"{parent}/{_ID}" if id_ else ""):
        by_method = {route.method: route for route in routes if route.path == path}
        if by_method:
            break
    else:
        raise Problem(404, reason=_unknown(request, routes))
    if "GET" in by_method:
        by_method["HEAD"] = by_method["GET"]
    if request.method not in by_method:
        allowed = ", ".join(sorted(by_method))
        reason = Reason(
            f"the method must be one of {allowed}", f"המתודה צריכה להיות אחת מ־\u2066{allowed}\u2069"
        )
        raise Problem(405, reason=reason, Allow=allowed)
    return by_method[request.method]


def check_known(call: str, known: Iterable[tuple[str, str]]) -> None:
    """Check that *call* means at least one of the *known* calls, each a method and the path of a route.

    Raises:
        ValueError: if it does not; the message names the nearest one.
    """
    pattern = CallPattern(call)
    id_ = call.rpartition("/")[2] or _ID  # what the call has in its place
    for method, path in known:
        for one in (method, "HEAD") if method == "GET" else (method,):
            if pattern.matches(one, path.replace(_ID, id_)):
                return
    has_method = call[0].isalpha()
    names = [f"{method} {path}" if has_method else path for method, path in known]
    [nearest] = get_close_matches(call, names, n=1, cutoff=0)
    raise ValueError(f"the sandbox has no call {call!r}; the nearest is {nearest!r}")


def _unknown(request: Request, routes: Iterable[Route]) -> str:
    calls = [f"POST {TOKEN_PATH}", *(f"{route.method} {route.path}" for route in routes)]
    for call in get_close_matches(f"{request.method} {request.path}", calls, n=1, cutoff=0.75):
        return Reason(
            f"no such call; did you mean {call} ?", f"אין קריאה כזאת; התכוונתם ל־\u2066{call}\u2069 ?"
        )
    return Reason("no such call", "אין קריאה כזאת")
