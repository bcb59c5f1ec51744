# The calls under /v2: every call on the vendor's pages about the API, with the keys that it requires.

from __future__ import annotations

from functools import cache
from typing import Final

from ._collections import collection
from ._examples import LISTS, RESPONSES
from ._fields import new_id
from ._records import Records
from ._routing import Call, Handler, Route

_DAYS: Final = ("start_date", "increment", "weekend", "date_format", "return_format")


def crm_routes() -> list[Route]:
    """All calls, on a CRM without any data but the vendor's lists. Not thread-safe."""
    records = Records()
    return [
        Route("POST", "/leads/create", records.create_lead, "name", "f_name", "phone"),
        Route("POST", "/leads/intelligent", records.create_lead_intelligently, "name", "f_name", "phone"),
        Route("POST", "/search/leadsAndAccounts", records.search),
        Route("POST", "/accounts/create", records.create_account, "name", "f_name", "status"),
        _example("/notes/create", "msg"),
        Route("POST", "/products/create", records.create_product, "name", "price", "is_active", "category"),
        Route("GET", "/products/", records.list_products),
        Route("GET", "/products/{id}", records.get_product),
        Route("DELETE", "/products/{id}", records.delete_product),
        _example("/products/categories/create", "name"),
        Route("POST", "/products/inventory/movment", records.move,
              "product_id", "operation", "quantity", "comment"),
        Route("GET", "/products/inventory/{id}", records.list_movements),
        _example("/sales/create", "title", "status", "total"),
        _example("/tasks/create", "subject", "owner", "status"),
        _example("/tickets/create", "subject", "status"),
        _example("/sms/send", "from", "target", "message"),
        _example("/sms/sendTemplate", "from", "target", "template_id"),
        _example("/signatures/create", "name", "template_id", "by_user"),
        _example("/links/shortner", "url"),
        _example("/timer/start", "owner"),
        _example("/timer/{id}", method="PUT"),
        _example("/workingDays/WorkingDaysBetween",
                 "start_date", "end_date", "weekend", "date_format", status=200),
        _example("/workingDays/addWeekDays", *_DAYS, status=200),
        _example("/workingDays/addWorkingDays", *_DAYS, status=200),
        *(Route("GET", path, _list(path)) for path in LISTS),
    ]  # fmt: skip


@cache
def crm_calls() -> tuple[tuple[str, str], ...]:
    """The method and path of each call; a path may end in ``{id}``."""
    return tuple((route.method, route.path) for route in crm_routes())


def _example(path: str, *required: str, method: str = "POST", status: int = 201) -> Route:
    """A call that responds with the vendor's example to every request, with new ids."""

    def respond(_: Call) -> dict[str, object]:
        return {key: new_id() if value is None else value for key, value in RESPONSES[path].items()}

    return Route(method, path, respond, *required, status=status)


def _list(path: str) -> Handler:
    """A handler that responds with one of the vendor's lists."""
    if path == "/leads/statuses":  # the only one that comes whole, and without the rest of a collection
        return lambda call: {"items": LISTS[path], "first": {"$ref": call.request.url}}
    return collection(LISTS[path])
