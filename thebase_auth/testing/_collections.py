# Collections, as Oracle REST Data Services (ORDS) responds with them: a page, with links to the others.

from __future__ import annotations

from collections.abc import Collection
from itertools import islice
from typing import Final
from urllib.parse import urlencode

from ._examples import Item
from ._fields import parameters, whole_number
from ._routing import Call, Handler

_PAGE_SIZE: Final = 25  # without `limit` in the query
_LARGEST_PAGE: Final = 500  # ORDS has a limit, too; how large is a guess


def collection(items: Collection[Item]) -> Handler:
    """A handler that responds with the *items* there are when it is called."""
    return lambda call: page(call, items)


def page(call: Call, items: Collection[Item]) -> Item:
    """The page of a collection for which the query asks with `limit` and `offset`.

    Raises:
        Problem: if there can be no such page.
    """
    request = call.request
    query = parameters(request.query)
    limit = min(whole_number("limit", query.get("limit", _PAGE_SIZE), least=1), _LARGEST_PAGE)
    offset = whole_number("offset", query.pop("offset", 0))
    selected = list(islice(items, offset, offset + limit))
    has_more = offset + limit < len(items)

    def url_of(offset: int) -> str:
        asked = urlencode(query | ({"offset": offset} if offset else {}))
        return f"{request.url}?{asked}" if asked else request.url

    links = {
        "self": url_of(offset),
        "describedby": f"{request.root}/metadata-catalog{request.path}",
        "first": url_of(0),
    }
    if has_more:
        links["next"] = url_of(offset + limit)
    if offset:
        links["prev"] = url_of(max(offset - limit, 0))
    return {
        "items": selected,
        "hasMore": has_more,
        "limit": limit,
        "offset": offset,
        "count": len(selected),
        "links": [{"rel": rel, "href": href} for rel, href in links.items()],
    }
