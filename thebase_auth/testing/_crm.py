# The calls under /v2, and the data they make.
#
# Here: every call that the vendor's pages on the API name, with the keys it requires, what it does
# to the data, and its answer in the vendor's words, misspellings included. What no page shows is a
# guess, and its comment says so. Not here: tokens and rights (_access), and how an answer is put
# into HTTP (_messages).

from __future__ import annotations

import itertools
import json
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Final, NamedTuple, TypeAlias
from urllib.parse import parse_qs, urlencode

from . import _lists, _working_days
from ._lists import Item
from ._messages import Answer, Refused, Request, json_answer

_LONGEST_TEXT: Final = 4000  # characters, of a note and of a comment on an inventory movement
_TOO_MUCH: Final = 10**38  # for a NUMBER of Oracle
_PAGE: Final = 25  # items of a collection, unless `limit` says otherwise
_FOUND: Final = ("name", "phone", "email", "passport", "company")  # what a search goes by
_SHOWN: Final = (
    *("id", "object_type", "created", "updated", "created_by", "updated_by"),
    *("utm_source", "utm_campaign"),
    *_FOUND,
)
_WHO: Final = "API"  # as whom a client writes; the vendor's pages show names of users

Handler: TypeAlias = Callable[[Request], Answer]


class _Resource(NamedTuple):
    """A path, or a form of paths, and what can be done there by which method."""

    path: re.Pattern[str]
    handlers: dict[str, Callable[..., Answer]]


class Crm:
    """A TheBase: what can be asked of it, and what it has been told. Not thread-safe."""

    def __init__(self) -> None:
        self._leads_and_accounts: list[Item] = []
        self._categories: list[Item] = []
        self._products: list[Item] = []
        self._movements: list[Item] = []
        self._timers: dict[str, Item] = {}
        self._numbers = itertools.count(1)  # of what has no id of 128 bits

        created = self._creation
        collection = self._collection
        calls: list[tuple[str, str, Callable[..., Answer]]] = [
            ("GET", "/users", collection(_lists.USERS)),
            ("POST", "/leads/create", self._create_lead),
            ("POST", "/leads/intelligent", self._create_lead_intelligently),
            ("GET", "/leads/statuses", _lead_statuses),
            ("POST", "/search/leadsAndAccounts", self._search),
            ("POST", "/accounts/create", self._create_account),
            ("GET", "/accounts/statuses", collection(_lists.ACCOUNT_STATUSES)),
            ("GET", "/accounts/types", collection(_lists.ACCOUNT_TYPES)),
            ("POST", "/notes/create", self._create_note),
            ("POST", "/products/create", self._create_product),
            ("GET", "/products/", self._list_products),
            ("GET", "/products/{id}", self._get_product),
            ("DELETE", "/products/{id}", self._delete_product),
            ("POST", "/products/categories/create", self._create_category),
            ("GET", "/products/categories/", collection(self._categories, edit=True)),
            ("POST", "/products/inventory/movment", self._move_inventory),
            ("GET", "/products/inventory/{id}", self._list_movements),
            (
                "POST",
                "/sales/create",
                created("המכירה נוצרה נוצר בהצלחה", "title", "status", "total"),
            ),
            ("GET", "/sales/statuses", collection(_lists.SALE_STATUSES)),
            ("POST", "/tasks/create", created("המשימה נוצרה בהצלחה", "subject", "owner", "status")),
            ("GET", "/tasks/priorities", collection(_lists.TASK_PRIORITIES)),
            ("GET", "/tasks/statuses", collection(_lists.TASK_STATUSES)),
            ("POST", "/tickets/create", created("הטיקט נוצר בהצלחה", "subject", "status")),
            ("GET", "/tickets/departments", collection(_lists.TICKET_DEPARTMENTS)),
            ("GET", "/tickets/priorities", collection(_lists.TICKET_PRIORITIES)),
            ("GET", "/tickets/statuses", collection(_lists.TICKET_STATUSES)),
            ("POST", "/sms/send", partial(_send_sms, "message")),
            ("POST", "/sms/sendTemplate", partial(_send_sms, "template_id")),
            ("GET", "/sms/templates", collection(_lists.SMS_TEMPLATES)),
            ("POST", "/signatures/create", self._create_document),
            ("GET", "/signatures/templates", collection(_lists.SIGNATURE_TEMPLATES, edit=True)),
            ("POST", "/links/shortner", self._shorten),
            ("POST", "/timer/start", self._start_timer),
            ("PUT", "/timer/{id}", self._stop_timer),
            ("GET", "/timer/open", self._list_open_timers),
            ("POST", "/workingDays/WorkingDaysBetween", _working_days_between),
            ("POST", "/workingDays/addWeekDays", partial(_add_days, holidays=[])),
            ("POST", "/workingDays/addWorkingDays", partial(_add_days, holidays=_lists.HOLIDAYS)),
        ]
        by_path: dict[str, dict[str, Callable[..., Answer]]] = {}
        for method, path, handler in calls:
            by_path.setdefault(path, {})[method] = handler
        # A path that is written out goes before one that an id would make.
        paths = sorted(by_path, key=lambda path: "{id}" in path)
        self._resources = [_Resource(_path(path), by_path[path]) for path in paths]

    def answer(self, request: Request) -> Answer:
        """What a call that is let through gets.

        Raises:
            Refused: no such call (404), not by this method (405), or not with this body (400).
        """
        for path, handlers in self._resources:
            if found := path.fullmatch(request.path):
                method = "GET" if request.method == "HEAD" else request.method
                if method in handlers:
                    return handlers[method](request, *found.groups())
                allowed = {*handlers, *(["HEAD"] if "GET" in handlers else [])}
                raise Refused(405, Allow=", ".join(sorted(allowed)))
        raise Refused(404)

    # Leads and accounts

    def _create_lead(self, request: Request) -> Answer:
        lead = _body(request, "name", "f_name", "phone")
        status = str(lead.get("status") or _lists.NEW_LEAD)
        return _created(self._keep(lead, "LEADS", status=status), "הליד נוצר בהצלחה", lead_status=status)

    def _create_lead_intelligently(self, request: Request) -> Answer:
        """Creates a lead whatever is found, and tells what was found by its status and message."""
        lead = _body(request, "name", "f_name", "phone")
        known = {
            one["object_type"]
            for one in self._leads_and_accounts
            if any(lead.get(key) and str(one.get(key)) == str(lead[key]) for key in ("phone", "email"))
        }
        # The second message is the vendor's; the others are guesses.
        if "ACCOUNTS" in known:
            status, message = _lists.RETURNING_CUSTOMER, "הפעולה הושלמה - לקוח חוזר."
        elif "LEADS" in known:
            status = _lists.DUPLICATE_LEAD
            message = "הפעולה הושלמה - הליד כפול וכבר עובר כרגע תהליך מכירה."
        else:
            status, message = _lists.NEW_LEAD, "הפעולה הושלמה - הליד נוצר בהצלחה."
        return _created(self._keep(lead, "LEADS", status=status), message, name=lead["name"])

    def _create_account(self, request: Request) -> Answer:
        account = _body(request, "name", "f_name", "status")
        return _created(
            self._keep(account, "ACCOUNTS"),
            "הלקוח נוצר בהצלחה",
            account_status=str(account["status"]),
        )

    def _keep(self, fields: Item, object_type: str, **more: str) -> str:
        """Keep a lead or an account for later searches, and return its new id."""
        now, id_ = _now(), _new_id()
        record = {"id": id_, "object_type": object_type, "created": now, "updated": now}
        who = {"created_by": _WHO, "updated_by": _WHO}
        names = {name.lower(): value for name, value in fields.items()}  # the vendor writes UTM_SOURCE
        self._leads_and_accounts.append({**names, **more, **record, **who})
        return id_

    def _search(self, request: Request) -> Answer:
        wanted = _body(request) if request.body else {}
        terms = {key: str(wanted[key]) for key in _FOUND if wanted.get(key) not in (None, "")}
        object_type = wanted.get("object_type") or ""
        found = [
            {key: one.get(key) for key in _SHOWN}
            for one in self._leads_and_accounts
            if terms
            and object_type in ("", one["object_type"])
            and all(term in str(one.get(key) or "") for key, term in terms.items())
        ]
        if wanted.get("order_by") in ("created", "updated"):
            found.sort(key=lambda one: str(one[wanted["order_by"]]))
        if wanted.get("order") == "desc":
            found.reverse()
        if (limit := wanted.get("limit")) not in (None, ""):
            found = found[: _whole_number("limit", limit)]
        return json_answer({"count": len(found), "results": found}, 201)

    def _create_note(self, request: Request) -> Answer:
        _no_longer(_body(request, "msg"), "msg")
        return _created(_new_id(), "ההערה נוצרה בהצלחה")

    # Products

    def _create_category(self, request: Request) -> Answer:
        fields = _body(request, "name")
        category = {
            "id": _new_id(),
            "name": fields["name"],
            "description": fields.get("description") or None,
            "is_active_yn": _yes_or_no(fields.get("is_active_yn", True)),
            "woo_id": fields.get("woo_id") or None,
            "payplus_uid": fields.get("payplus_uid") or None,
        }
        self._categories.append(category)
        return _created(category["id"], "הקטגוריה נוצרה בהצלחה")

    def _create_product(self, request: Request) -> Answer:
        fields = _body(request, "name", "price", "is_active", "category")
        now = _now("milliseconds")
        product = {
            "id": _new_id(),
            "name": fields["name"],
            "price": fields["price"],
            "desctiption": fields.get("desctiption") or None,
            "sku": fields.get("sku") or None,
            "invetory": _number("invetory", fields.get("invetory") or 0),
            "is_physical_yn": _yes_or_no(fields.get("is_physical", False)),
            "tags": None,
            "is_active_yn": _yes_or_no(fields["is_active"]),
            "display_sequence": None,
            "updated": now,
            "created": now,
            "updated_by": _WHO,
            "created_by": _WHO,
            "category": str(fields["category"]),
            "payplus_uid": None,
        }
        self._products.append(product)
        return _created(product["id"], "המוצר נוצר בהצלחה")

    def _list_products(self, request: Request) -> Answer:
        return _collection_answer(request, self._products, edit=True)

    def _get_product(self, request: Request, id_: str) -> Answer:
        return _collection_answer(request, [self._product(id_, 404)], edit=True)

    def _delete_product(self, _: Request, id_: str) -> Answer:
        self._products.remove(self._product(id_, 404))
        return Answer(200)

    def _move_inventory(self, request: Request) -> Answer:
        fields = _body(request, "product_id", "operation", "quantity", "comment")
        product = self._product(str(fields["product_id"]), 400)
        quantity = _number("quantity", fields["quantity"])
        if fields["operation"] not in ("IN", "OUT"):
            raise Refused(400, "operation is neither IN nor OUT")
        _no_longer(fields, "comment")
        before = product["invetory"]
        after = before + quantity if fields["operation"] == "IN" else before - quantity
        product["invetory"] = after
        self._movements.append(
            {
                "id": self._next_number(),
                "operation": fields["operation"],
                "quantity": quantity,
                "total_after": after,
                "total_before": before,
                "comment": fields["comment"],
                "created": _now("milliseconds"),
                "product_id": int(product["id"]),  # a number here, on the vendor's page too
            }
        )
        return json_answer(
            {"inventory_after": after, "inventory_before": before, "message": "הפעולה הושלמה"}, 201
        )

    def _list_movements(self, request: Request, id_: str) -> Answer:
        product_id = int(self._product(id_, 404)["id"])
        movements = [one for one in self._movements if one["product_id"] == product_id]
        return _collection_answer(request, movements[::-1], edit=True)

    def _product(self, id_: str, status: int) -> Item:
        for product in self._products:
            if product["id"] == id_:
                return product
        raise Refused(status, "" if status == 404 else "there is no product with this product_id")

    # The rest

    def _create_document(self, request: Request) -> Answer:
        _body(request, "name", "template_id", "by_user")
        document = f"https://e-sign.co.il/{secrets.token_urlsafe(4)}"
        return _created(self._next_number(), "המסמך נוצר בהצלחה", document=document)

    def _shorten(self, request: Request) -> Answer:
        _body(request, "url")
        guid = secrets.token_hex(16)
        short_url = f"{request.root}/s/{guid[:8]}"  # its form is a guess
        return json_answer({"guid": guid, "id": self._next_number(), "short_url": short_url}, 201)

    def _start_timer(self, request: Request) -> Answer:
        fields = _body(request, "owner")
        id_ = _new_id()
        start = fields.get("start_time") or _now()
        _instant(start)
        self._timers[id_] = {
            "id": id_,
            "account_id": fields.get("account_id") or None,
            "start_time": start,
            "comment": fields.get("comment") or None,
        }
        return _created(id_, "הטיימר הופעל")

    def _stop_timer(self, _: Request, id_: str) -> Answer:
        if id_ not in self._timers:
            raise Refused(404)
        start = _instant(self._timers.pop(id_)["start_time"])
        minutes = (datetime.now(UTC) - start).total_seconds() / 60
        return json_answer({"message": "הטיימר הופסק", "total_minuets": f"{minutes:.1f}"}, 201)

    def _list_open_timers(self, request: Request) -> Answer:
        return _collection_answer(request, list(self._timers.values()), edit=True)

    def _next_number(self) -> str:
        return str(next(self._numbers))

    @staticmethod
    def _creation(message: str, *required: str) -> Handler:
        """A call that creates what no other call shows again."""

        def create(request: Request) -> Answer:
            _body(request, *required)
            return _created(_new_id(), message)

        return create

    @staticmethod
    def _collection(items: list[Item], *, edit: bool = False) -> Handler:
        return lambda request: _collection_answer(request, items, edit=edit)


def _path(template: str) -> re.Pattern[str]:
    return re.compile("/v2" + re.escape(template).replace(r"\{id\}", "([^/]+)"))


# What calls send


def _body(request: Request, *required: str) -> Item:
    """The JSON object in the body, refused with 400 if it lacks one of the required keys."""
    try:
        body = json.loads(request.body)
        # No NaN and no half of a surrogate pair: no answer could carry them.
        json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise Refused(400, "the body is not a JSON object")
    for key in required:
        # To an Oracle database an empty string is NULL.
        if body.get(key) in (None, ""):
            raise Refused(400, f"{key} is required")
    return body


def _no_longer(fields: Item, key: str) -> None:
    if len(str(fields[key])) > _LONGEST_TEXT:
        raise Refused(400, f"{key} is longer than {_LONGEST_TEXT} characters")


def _number(key: str, value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _TOO_MUCH:
        return value
    raise Refused(400, f"{key} is not a number")


def _whole_number(key: str, value: object, *, least: int = 0) -> int:
    """A number in a body, or the text of one in a query."""
    text = str(value)
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and int(text) >= least):
        raise Refused(400, f"{key} is not a whole number of at least {least}")
    return int(text)


def _yes_or_no(value: object) -> str:
    """A flag as the vendor's lists show it, be it sent as a boolean or as they show it."""
    return "Y" if value in (True, "Y", "true") else "N"


def _instant(text: object) -> datetime:
    try:
        instant = datetime.fromisoformat(str(text))
    except ValueError:
        raise Refused(400, "start_time is not a date like 2021-09-22T16:33:08Z") from None
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


# What calls answer


def _new_id() -> str:
    """A number of 128 bits, the first of them set, so that it always has 39 digits."""
    return str(2**127 + secrets.randbits(127))


def _now(precision: str = "seconds") -> str:
    return datetime.now(UTC).isoformat(timespec=precision).replace("+00:00", "Z")


def _created(id_: str, message: str, **more: str) -> Answer:
    return json_answer({"id": id_, "message": message, **more}, 201)


def _collection_answer(request: Request, items: list[Item], *, edit: bool = False) -> Answer:
    """A page of a collection, as ORDS gives it: which one is in the query (`limit`, `offset`)."""
    query = {name: values[-1] for name, values in parse_qs(request.query).items()}
    limit = _whole_number("limit", query.get("limit", _PAGE), least=1)
    offset = _whole_number("offset", query.get("offset", 0))
    page = items[offset : offset + limit]
    has_more = offset + limit < len(items)
    links = _links(request, query, limit, offset, has_more=has_more, edit=edit)
    return json_answer(
        {
            "items": page,
            "hasMore": has_more,
            "limit": limit,
            "offset": offset,
            "count": len(page),
            "links": [{"rel": rel, "href": href} for rel, href in links],
        }
    )


def _links(
    request: Request, query: dict[str, str], limit: int, offset: int, *, has_more: bool, edit: bool
) -> Iterator[tuple[str, str]]:
    """The links from one page of a collection to the others, with the rest of its query."""

    def page(at: int) -> str:
        asked = {**query, "offset": str(at)}
        if not at:
            del asked["offset"]
        return f"{request.url}?{urlencode(asked)}" if asked else request.url

    here = f"{request.url}?{request.query}" if request.query else request.url
    yield "self", here
    if edit:
        yield "edit", here
    yield "describedby", f"{request.root}/metadata-catalog{request.path}"
    yield "first", page(0)
    if has_more:
        yield "next", page(offset + limit)
    if offset:
        yield "prev", page(max(offset - limit, 0))


def _lead_statuses(request: Request) -> Answer:
    """This list alone comes whole and without the rest of a collection."""
    return json_answer({"items": _lists.LEAD_STATUSES, "first": {"$ref": request.url}})


def _send_sms(what: str, request: Request) -> Answer:
    _body(request, "from", "target", what)
    return json_answer({"shipment_id": str(10**9 + secrets.randbelow(9 * 10**9))}, 201)


def _add_days(request: Request, *, holidays: list[Item]) -> Answer:
    fields = _body(request, "start_date", "increment", "weekend", "date_format", "return_format")
    increment = _whole_number("increment", fields["increment"])
    with _readable_dates():
        start = _working_days.parse(str(fields["start_date"]), str(fields["date_format"]))
        weekend = _working_days.parse_weekend(str(fields["weekend"]))
        end, found = _working_days.add(start, increment, weekend, holidays)
    return json_answer({"date": _working_days.render(end, str(fields["return_format"])), **found})


def _working_days_between(request: Request) -> Answer:
    """Keys and answer are guesses, after those of the two calls beside it."""
    fields = _body(request, "start_date", "end_date", "weekend", "date_format")
    with _readable_dates():
        first, last = (
            _working_days.parse(str(fields[key]), str(fields["date_format"]))
            for key in ("start_date", "end_date")
        )
        weekend = _working_days.parse_weekend(str(fields["weekend"]))
        days, found = _working_days.between(first, last, weekend, _lists.HOLIDAYS)
    return json_answer({"days_total": days, **found})


@contextmanager
def _readable_dates() -> Iterator[None]:
    try:
        yield
    except (ValueError, OverflowError, re.error) as error:  # a field twice is a re.error
        raise Refused(400, f"a date, its format or the weekend cannot be read: {error}") from error
