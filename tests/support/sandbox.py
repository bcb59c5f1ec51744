"""The sandbox, called by hand: no plugin in between."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from thebase_auth.testing import Sandbox, SandboxClient
from thebase_auth.testing._control import with_control

GRANT = {"grant_type": "client_credentials"}
JSON = {"Accept": "application/json"}
AS_JSON = {"Content-Type": "application/json"}
LEAD = {"name": "ישראל", "f_name": "ישראלי", "phone": "0501234567"}


def ask_token(thebase: Sandbox, client: httpx.Client, who: SandboxClient | None = None) -> httpx.Response:
    who = thebase.client if who is None else who
    return client.post("/oauth/token", auth=(who.client_id, who.client_secret), data=GRANT)


def bearer(thebase: Sandbox, client: httpx.Client, who: SandboxClient | None = None) -> dict[str, str]:
    return {"Authorization": f"Bearer {ask_token(thebase, client, who).json()['access_token']}"}


@contextmanager
def controlled(told: Callable[[str], object] = str, **settings: Any) -> Iterator[Sandbox]:
    """A sandbox with the control interface, as the command line runs it."""
    sandbox = Sandbox(**settings)
    sandbox.asgi = with_control(sandbox, told)
    with sandbox:
        yield sandbox


def assert_problem(response: httpx.Response, status: int, code: str, message: str) -> None:
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert re.fullmatch(r"tag:oracle\.com,2020:ecid/[\w-]{22}", problem.pop("instance"))
    assert problem == {"code": code, "message": message, "type": f"tag:oracle.com,2020:error/{code}"}


ACCOUNT = {"name": "דנה", "f_name": "כהן", "status": 17, "phone": "0527654321", "email": "d@x.il"}


PRODUCT = {"name": "Tv", "price": 505, "is_active": True, "category": "1", "invetory": 4}


MOVE = {"product_id": "1", "operation": "OUT", "quantity": 10, "comment": "345345"}


SALE = {"title": "te3sttttt", "status": "1", "total": 10}


TASK = {"subject": "a", "owner": "1", "status": "1"}


TICKET = {"subject": "a", "status": "1"}


SMS = {"from": 544444444, "target": 54222222, "message": "Hello world!"}


TEMPLATE_SMS = {"from": 544444444, "target": 54222222, "template_id": 2581232181}


DOCUMENT = {"name": "contract 2021", "template_id": 21, "by_user": "255013075949659715931731"}


PERIOD = {"start_date": "31/08/2021", "weekend": "6,7", "date_format": "DD/MM/YYYY"}


ADD_DAYS = {**PERIOD, "increment": 14, "return_format": "DD/MM/YYYY"}


BETWEEN = {**PERIOD, "end_date": "22/09/2021"}


# Every call that is sent something: the path, what it is sent, what it requires.
SENT: list[tuple[str, dict[str, Any], list[str]]] = [
    ("/v2/leads/create", LEAD, ["name", "f_name", "phone"]),
    ("/v2/leads/intelligent", LEAD, ["name", "f_name", "phone"]),
    ("/v2/accounts/create", ACCOUNT, ["name", "f_name", "status"]),
    ("/v2/notes/create", {"msg": "bla bla bla"}, ["msg"]),
    ("/v2/products/create", PRODUCT, ["name", "price", "is_active", "category"]),
    ("/v2/products/categories/create", {"name": "Shirts"}, ["name"]),
    ("/v2/products/inventory/movment", MOVE, ["product_id", "operation", "quantity", "comment"]),
    ("/v2/sales/create", SALE, ["title", "status", "total"]),
    ("/v2/tasks/create", TASK, ["subject", "owner", "status"]),
    ("/v2/tickets/create", TICKET, ["subject", "status"]),
    ("/v2/sms/send", SMS, ["from", "target", "message"]),
    ("/v2/sms/sendTemplate", TEMPLATE_SMS, ["from", "target", "template_id"]),
    ("/v2/signatures/create", DOCUMENT, ["name", "template_id", "by_user"]),
    ("/v2/links/shortner", {"url": "https://example.com"}, ["url"]),
    ("/v2/timer/start", {"owner": "253960413951646409173244928790043995930"}, ["owner"]),
    ("/v2/workingDays/WorkingDaysBetween", BETWEEN, list(BETWEEN)),
    ("/v2/workingDays/addWeekDays", ADD_DAYS, list(ADD_DAYS)),
    ("/v2/workingDays/addWorkingDays", ADD_DAYS, list(ADD_DAYS)),
]


# Every collection that is there from the start, and how many items it has.
COLLECTIONS = [
    ("/v2/users", 2),
    ("/v2/accounts/statuses", 3),
    ("/v2/accounts/types", 4),
    ("/v2/products/", 0),
    ("/v2/products/categories/", 1),
    ("/v2/sales/statuses", 4),
    ("/v2/tasks/priorities", 3),
    ("/v2/tasks/statuses", 3),
    ("/v2/tickets/departments", 3),
    ("/v2/tickets/priorities", 3),
    ("/v2/tickets/statuses", 3),
    ("/v2/sms/templates", 1),
    ("/v2/signatures/templates", 2),
    ("/v2/timer/open", 0),
]
