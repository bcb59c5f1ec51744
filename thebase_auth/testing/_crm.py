# The calls under /v2.
#
# Here: every call on the vendor's pages about the API, with the keys that it requires, and the calls that
# keep nothing. Answers have the vendor's words, misspellings included; where no page shows an answer, a
# comment says that it is a guess. Not here: calls on kept data (_leads, _products, _timers), tokens and
# rights (_access).

from __future__ import annotations

import itertools
import secrets
from collections.abc import Iterator
from functools import cache, partial
from typing import Final

from . import _lists
from ._collections import collection
from ._fields import check_length, new_id
from ._leads import LeadsAndAccounts
from ._lists import Item
from ._products import Products
from ._routing import Call, Handler, Route
from ._timers import Timers

_DAYS: Final = ("start_date", "increment", "weekend", "date_format", "return_format")
_PERIOD: Final = ("start_date", "end_date", "weekend", "date_format")


def crm_routes() -> list[Route]:
    """All calls, on a CRM without any data but the vendor's lists. Not thread-safe."""
    numbers = map(str, itertools.count(1))  # ids that do not have 128 bits
    leads, products, timers = LeadsAndAccounts(), Products(numbers), Timers()
    create_document, shorten = partial(_create_document, numbers), partial(_shorten, numbers)
    return [
        Route("GET", "/users", collection(_lists.USERS)),
        Route("POST", "/leads/create", leads.create_lead, "name", "f_name", "phone"),
        Route("POST", "/leads/intelligent", leads.create_lead_intelligently, "name", "f_name", "phone"),
        Route("GET", "/leads/statuses", _list_lead_statuses),
        Route("POST", "/search/leadsAndAccounts", leads.search),
        Route("POST", "/accounts/create", leads.create_account, "name", "f_name", "status"),
        Route("GET", "/accounts/statuses", collection(_lists.ACCOUNT_STATUSES)),
        Route("GET", "/accounts/types", collection(_lists.ACCOUNT_TYPES)),
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
        Route("GET", "/sales/statuses", collection(_lists.SALE_STATUSES)),
        Route("POST", "/tasks/create", _creation("המשימה נוצרה בהצלחה"), "subject", "owner", "status"),
        Route("GET", "/tasks/priorities", collection(_lists.TASK_PRIORITIES)),
        Route("GET", "/tasks/statuses", collection(_lists.TASK_STATUSES)),
        Route("POST", "/tickets/create", _creation("הטיקט נוצר בהצלחה"), "subject", "status"),
        Route("GET", "/tickets/departments", collection(_lists.TICKET_DEPARTMENTS)),
        Route("GET", "/tickets/priorities", collection(_lists.TICKET_PRIORITIES)),
        Route("GET", "/tickets/statuses", collection(_lists.TICKET_STATUSES)),
        Route("POST", "/sms/send", _send_sms, "from", "target", "message"),
        Route("POST", "/sms/sendTemplate", _send_sms, "from", "target", "template_id"),
        Route("GET", "/sms/templates", collection(_lists.SMS_TEMPLATES)),
        Route("POST", "/signatures/create", create_document, "name", "template_id", "by_user"),
        Route("GET", "/signatures/templates", collection(_lists.SIGNATURE_TEMPLATES, edit=True)),
        Route("POST", "/links/shortner", shorten, "url"),
        Route("POST", "/timer/start", timers.start, "owner"),
        Route("PUT", "/timer/{id}", timers.stop),
        Route("GET", "/timer/open", timers.list_open),
        Route("POST", "/workingDays/WorkingDaysBetween", _example(_lists.DAYS_BETWEEN), *_PERIOD, status=200),
        Route("POST", "/workingDays/addWeekDays", _example(_lists.WEEK_DAYS), *_DAYS, status=200),
        Route("POST", "/workingDays/addWorkingDays", _example(_lists.WORKING_DAYS), *_DAYS, status=200),
    ]  # fmt: skip


@cache
def crm_calls() -> tuple[tuple[str, str], ...]:
    """The method and path of each call; a path may end in ``{id}``."""
    return tuple((route.method, route.path) for route in crm_routes())


def _creation(message: str) -> Handler:
    """A handler that creates what no other call shows."""
    return lambda _: {"id": new_id(), "message": message}


def _example(document: Item) -> Handler:
    """A handler that responds with the same example to every request."""
    return lambda _: document


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


def _list_lead_statuses(call: Call) -> Item:
    # The only list that comes whole, and without the rest of a collection.
    return {"items": _lists.LEAD_STATUSES, "first": {"$ref": call.request.url}}


def _send_sms(_: Call) -> Item:
    return {"shipment_id": str(10**9 + secrets.randbelow(9 * 10**9))}
