# The calls under /v2: every call on the vendor's pages about the API, with the keys that it requires.
# Responses have the vendor's words, misspellings included; where no page shows a response, a comment says so.

from __future__ import annotations

import itertools
import secrets
from collections.abc import Iterator
from functools import cache, partial
from typing import Final

from ._collections import collection
from ._examples import LISTS, RESPONSES, Item
from ._fields import check_length, new_id
from ._leads import LeadsAndAccounts
from ._products import Products
from ._routing import Call, Handler, Route
from ._timers import Timers

_DAYS: Final = ("start_date", "increment", "weekend", "date_format", "return_format")


def crm_routes() -> list[Route]:
    """All calls, on a CRM without any data but the vendor's lists. Not thread-safe."""
    numbers = map(str, itertools.count(1))  # ids that do not have 128 bits
    leads, products, timers = LeadsAndAccounts(), Products(numbers), Timers()
    create_document, shorten = partial(_create_document, numbers), partial(_shorten, numbers)
    return [
        Route("POST", "/leads/create", leads.create_lead, "name", "f_name", "phone"),
        Route("POST", "/leads/intelligent", leads.create_lead_intelligently, "name", "f_name", "phone"),
        Route("POST", "/search/leadsAndAccounts", leads.search),
        Route("POST", "/accounts/create", leads.create_account, "name", "f_name", "status"),
        Route("POST", "/notes/create", _create_note, "msg"),
        Route("POST", "/products/create", products.create, "name", "price", "is_active", "category"),
        Route("GET", "/products/", products.list_all),
        Route("GET", "/products/{id}", products.get),
        Route("DELETE", "/products/{id}", products.delete),
        Route("POST", "/products/categories/create", products.create_category, "name"),
        Route("GET", "/products/categories/", products.list_categories),
        Route("POST", "/products/inventory/movment", products.move,
              "product_id", "operation", "quantity", "comment"),
        Route("GET", "/products/inventory/{id}", products.list_movements),
        Route("POST", "/sales/create", _creation("המכירה נוצרה נוצר בהצלחה"), "title", "status", "total"),
        Route("POST", "/tasks/create", _creation("המשימה נוצרה בהצלחה"), "subject", "owner", "status"),
        Route("POST", "/tickets/create", _creation("הטיקט נוצר בהצלחה"), "subject", "status"),
        Route("POST", "/sms/send", _send_sms, "from", "target", "message"),
        Route("POST", "/sms/sendTemplate", _send_sms, "from", "target", "template_id"),
        Route("POST", "/signatures/create", create_document, "name", "template_id", "by_user"),
        Route("POST", "/links/shortner", shorten, "url"),
        Route("POST", "/timer/start", timers.start, "owner"),
        Route("PUT", "/timer/{id}", timers.stop),
        Route("GET", "/timer/open", timers.list_open),
        _example("/workingDays/WorkingDaysBetween", "start_date", "end_date", "weekend", "date_format"),
        _example("/workingDays/addWeekDays", *_DAYS),
        _example("/workingDays/addWorkingDays", *_DAYS),
        *(Route("GET", path, _list(path)) for path in LISTS),
    ]  # fmt: skip


@cache
def crm_calls() -> tuple[tuple[str, str], ...]:
    """The method and path of each call; a path may end in ``{id}``."""
    return tuple((route.method, route.path) for route in crm_routes())


def _creation(message: str) -> Handler:
    """A handler that creates what no other call shows."""
    return lambda _: {"id": new_id(), "message": message}


def _example(path: str, *required: str) -> Route:
    """A call that responds with the vendor's example to every request."""
    return Route("POST", path, lambda _: RESPONSES[path], *required, status=200)


def _list(path: str) -> Handler:
    """A handler that responds with one of the vendor's lists."""
    if path == "/leads/statuses":  # the only one that comes whole, and without the rest of a collection
        return lambda call: {"items": LISTS[path], "first": {"$ref": call.request.url}}
    return collection(LISTS[path], edit=path == "/signatures/templates")


def _create_note(call: Call) -> Item:
    check_length(call.fields, "msg")
    return {"id": new_id(), "message": "ההערה נוצרה בהצלחה"}


def _create_document(numbers: Iterator[str], _: Call) -> Item:
    document = f"https://e-sign.co.il/{secrets.token_urlsafe(4)}"
    return {"id": next(numbers), "message": "המסמך נוצר בהצלחה", "document": document}


def _shorten(numbers: Iterator[str], call: Call) -> Item:
    guid = secrets.token_hex(16)
    short_url = f"{call.request.root}/s/{guid[:8]}"  # its form is a guess
    return {"guid": guid, "id": next(numbers), "short_url": short_url}


def _send_sms(_: Call) -> Item:
    return {"shipment_id": str(10**9 + secrets.randbelow(9 * 10**9))}
