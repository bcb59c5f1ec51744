# Which call of the API a request is.
#
# Here: routes, the choice of one, and a call as its handler gets it. Not here: the routes that there are, and
# what they do (_crm).

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple, TypeAlias

from ._fields import read_fields
from ._lists import Item
from ._messages import Answer, Problem, Request, json_answer

PREFIX: Final = "/v2"
_ID: Final = "{id}"


class Call(NamedTuple):
    """A call to be answered.

    Attributes:
        request: The request.
        fields: The JSON object in its body, if its method is POST.
        id: The id in its path, if the route has one.
    """

    request: Request
    fields: Item
    id: str


Handler: TypeAlias = Callable[[Call], Item | None]
"""Carries out a call. It returns the document to answer with; None answers with no body."""


class Route:
    """A method, a path, in which ``{id}`` stands for an id, and what is done there.

    Attributes:
        required: The keys that the body must have. Only a POST has a body, and may go without one if no key
            is required.
        status: The status of the answer.
    """

    def __init__(
        self, method: str, path: str, handler: Handler, *required: str, status: int | None = None
    ) -> None:
        self.method = method
        self.path = PREFIX + path
        self.required = required
        self.status = status or (201 if method in {"POST", "PUT"} else 200)
        self._handler = handler

    def answer(self, request: Request, id_: str) -> Answer:
        """Carry out a call of this route.

        Raises:
            Problem: if the call cannot be carried out.
        """
        has_body = self.method == "POST" and (self.required or request.body)
        fields = read_fields(request.body, self.required) if has_body else {}
        document = self._handler(Call(request, fields, id_))
        return Answer(self.status) if document is None else json_answer(document, self.status)


class Router:
    """Finds the route of a request."""

    def __init__(self, routes: Iterable[Route]) -> None:
        by_path: dict[str, dict[str, Route]] = {}
        for route in routes:
            by_path.setdefault(route.path, {})[route.method] = route
        # A literal path goes before one with an id, which may match it too.
        paths = sorted(by_path, key=lambda path: _ID in path)
        self._resources = [(_pattern(path), by_path[path]) for path in paths]

    def answer(self, request: Request) -> Answer:
        """Carry out a call.

        Raises:
            Problem: if there is no such path (404), not this method (405), or the handler raises it.
        """
        for pattern, routes in self._resources:
            if found := pattern.fullmatch(request.path):
                route = routes.get("GET" if request.method == "HEAD" else request.method)
                if route is None:
                    allowed = {*routes, *(["HEAD"] if "GET" in routes else [])}
                    raise Problem(405, Allow=", ".join(sorted(allowed)))
                return route.answer(request, found.groupdict().get("id", ""))
        raise Problem(404)


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(re.escape(path).replace(re.escape(_ID), "(?P<id>[^/]+)"))
