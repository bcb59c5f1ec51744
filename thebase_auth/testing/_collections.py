# Collections, as Oracle REST Data Services (ORDS) responds with them.
#
# Here: a page of a collection, with its links to the others.
# Not here: what is in a collection (_crm).

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import parse_qs, urlencode

from ._examples import Item
from ._fields import whole_number
from ._routing import Call, Handler

_PAGE_SIZE: Final = 25  # without `limit` in the query


def collection(items: Iterable[Item], *, edit: bool = False) -> Handler:
    """A handler that responds with the *items* there are when it is called."""
    return lambda call: page(call, items, edit=edit)


def page(call: Call, items: Iterable[Item], *, edit: bool = False) -> Item:
    """The page of a collection for which the query asks with `limit` and `offset`.

    Args:
        call: The call.
        items: The whole collection.
        edit: Whether the page has a link of the relation `edit`.

    Raises:
        Problem: if there can be no such page.
    """
    everything = list(items)
    query = {name: values[-1] for name, values in parse_qs(call.request.query).items()}
    limit = whole_number("limit", query.get("limit", _PAGE_SIZE), least=1)
    offset = whole_number("offset", query.get("offset", 0))
    selected = everything[offset : offset + limit]
    has_more = offset + limit < len(everything)
    links = _links(call, query, limit, offset, has_more=has_more, edit=edit)
    return {
        "items": selected,
        "hasMore": has_more,
        "limit": limit,
        "offset": offset,
        "count": len(selected),
        "links": [{"rel": rel, "href": href} for rel, href in links],
    }


def _links(
    call: Call, query: dict[str, str], limit: int, offset: int, *, has_more: bool, edit: bool
) -> Iterator[tuple[str, str]]:
    request = call.request

    def url_of(offset: int) -> str:
        others = {name: value for name, value in query.items() if name != "offset"}
        asked = others | ({"offset": str(offset)} if offset else {})
        return f"{request.url}?{urlencode(asked)}" if asked else request.url

    here = f"{request.url}?{request.query}" if request.query else request.url
    yield "self", here
    if edit:
        yield "edit", here
    yield "describedby", f"{request.root}/metadata-catalog{request.path}"
    yield "first", url_of(0)
    if has_more:
        yield "next", url_of(offset + limit)
    if offset:
        yield "prev", url_of(max(offset - limit, 0))
