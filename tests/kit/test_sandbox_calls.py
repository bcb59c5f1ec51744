"""Each call of the vendor's API gets the response that the vendor's pages show."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest

from tests.support.sandbox import AS_JSON, COLLECTIONS, LEAD, SENT, assert_problem
from thebase_auth.testing import Sandbox

NEW = "233069071553535427697228277840563827497"
BODIES = {path: body for path, body, _ in SENT}
ACCOUNT, PRODUCT = BODIES["/v2/accounts/create"], BODIES["/v2/products/create"]


def post(api: httpx.Client, path: str, body: dict[str, Any]) -> dict[str, Any]:
    response = api.post(path, json=body)
    assert response.status_code == 201
    document: dict[str, Any] = response.json()
    return document


def created(api: httpx.Client, path: str, body: dict[str, Any]) -> str:
    """Create something, and return its id."""
    id_: str = post(api, path, body)["id"]
    return id_


def items(api: httpx.Client, path: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.get(path).json()["items"]
    return found


def found(api: httpx.Client, **wanted: object) -> list[str]:
    """The ids of what a search finds."""
    document = post(api, "/v2/search/leadsAndAccounts", wanted)
    assert document["count"] == len(document["results"])
    return [one["id"] for one in document["results"]]


# What holds for every call


@pytest.mark.parametrize(("path", "count"), COLLECTIONS)
def test_a_list_is_a_collection(api: httpx.Client, path: str, count: int) -> None:
    response = api.get(path)
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    collection = response.json()
    assert len(collection.pop("items")) == count
    here = f"{api.base_url}{path}"
    links = {"self": here, "describedby": f"{api.base_url}/metadata-catalog{path}", "first": here}
    assert {link["rel"]: link["href"] for link in collection.pop("links")} == links
    assert collection == {"hasMore": False, "limit": 25, "offset": 0, "count": count}


@pytest.mark.parametrize(("path", "body", "required"), SENT)
def test_a_missing_key_is_named(
    api: httpx.Client, path: str, body: dict[str, Any], required: list[str]
) -> None:
    for key in required:
        without = {name: value for name, value in body.items() if name != key}
        for lacking in (without, {**body, key: None}, {**body, key: ""}):
            assert_problem(api.post(path, json=lacking), 400, "BadRequest", f"{key} is required")


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"[" * 10_000, b'{"a": "\\ud800"}', b'{"a": NaN}'], ids=lambda body: body[:10]
)
def test_a_body_that_is_not_a_json_object_is_rejected(api: httpx.Client, body: bytes) -> None:
    response = api.post("/v2/leads/create", content=body, headers=AS_JSON)
    assert_problem(response, 400, "BadRequest", "the body is not a JSON object")


@pytest.mark.parametrize(
    ("content_type", "status"),
    [("application/json; charset=utf-8", 201), ("Application/JSON", 201), (None, 415), ("text/json", 415)],
)
def test_a_body_is_known_as_json_by_its_media_type(
    thebase: Sandbox, api: httpx.Client, content_type: str | None, status: int
) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    body = b'{"name": "a", "f_name": "b", "phone": "7"}'
    response = api.post("/v2/leads/create", content=body, headers=headers)
    assert response.status_code == status
    if status == 415:
        assert_problem(response, 415, "UnsupportedMediaType", "Unsupported Media Type")
        assert thebase.received[-1].reason == "Content-Type must be application/json"


def test_a_wrong_method_is_a_405_that_names_the_right_ones(thebase: Sandbox, api: httpx.Client) -> None:
    for method, path, allowed in [
        ("GET", "/v2/search/leadsAndAccounts", "POST"),
        ("POST", "/v2/leads/statuses", "GET, HEAD"),
        ("PUT", "/v2/products/1", "DELETE, GET, HEAD"),
        ("PATCH", "/v2/timer/1", "PUT"),
    ]:
        response = api.request(method, path)
        assert_problem(response, 405, "MethodNotAllowed", "Method Not Allowed")
        assert (path, response.headers["allow"]) == (path, allowed)
        assert thebase.received[-1].reason == f"the method must be one of {allowed}"


def test_an_unknown_call_is_told_from_a_missing_record(thebase: Sandbox, api: httpx.Client) -> None:
    for call, why in {
        "GET /v2": "no such call",
        "GET /v2/products": "no such call; did you mean GET /v2/products/ ?",
        "GET /v2/users/": "no such call; did you mean GET /v2/users ?",
        "POST /v2/oauth/token": "no such call; did you mean POST /oauth/token ?",
        "PUT /v2/timers/17": "no such call; did you mean PUT /v2/timer/{id} ?",
        "GET /v2/products/17": "there is no product with this id",
        "DELETE /v2/products/17": "there is no product with this id",
        "GET /v2/products/inventory/17": "there is no product with this id",
    }.items():
        assert_problem(api.request(*call.split()), 404, "NotFound", "Not Found")
        assert (call, thebase.received[-1].reason) == (call, why)


def test_hebrew_is_sent_as_it_is_in_utf_8(api: httpx.Client) -> None:
    assert "משה".encode() in api.get("/v2/users").content


def test_a_head_request_gets_the_head_of_the_response(api: httpx.Client) -> None:
    whole, head = api.get("/v2/users"), api.head("/v2/users")
    assert (head.status_code, head.content, head.headers) == (200, b"", whole.headers)


def test_a_text_is_no_longer_than_4000_characters(api: httpx.Client) -> None:
    created(api, "/v2/notes/create", {"msg": "א" * 4000})
    response = api.post("/v2/notes/create", json={"msg": "א" * 4001})
    assert_problem(response, 400, "BadRequest", "msg is longer than 4000 characters")


# Pages of a collection


def test_a_collection_comes_in_pages_that_link_to_each_other(api: httpx.Client) -> None:
    made = [created(api, "/v2/products/create", PRODUCT) for _ in range(5)]
    url, pages = "/v2/products/?limit=2&q=a%20b", []
    while url:
        pages.append(api.get(url).json())
        links = {link["rel"]: link["href"] for link in pages[-1]["links"]}
        assert links["self"] == str(api.get(url).url).replace("%20", "+")
        assert links["first"] == f"{api.base_url}/v2/products/?limit=2&q=a+b"
        if len(pages) > 1:
            assert api.get(links["prev"]).json() == pages[-2]
        url = links.get("next", "")
    assert [item["id"] for page in pages for item in page["items"]] == made
    told = [(page["hasMore"], page["limit"], page["offset"], page["count"]) for page in pages]
    assert told == [(True, 2, 0, 2), (True, 2, 2, 2), (False, 2, 4, 1)]


@pytest.mark.parametrize(
    ("query", "count", "more"),
    [("limit=2", 2, False), ("offset=10", 0, False), ("limit=999999999", 2, False)],
)
def test_a_page_has_what_there_is(api: httpx.Client, query: str, count: int, more: bool) -> None:
    page = api.get(f"/v2/users?{query}").json()
    assert (len(page["items"]), page["count"], page["hasMore"]) == (count, count, more)
    assert page["limit"] <= 500


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("limit=0", "limit is not a whole number of at least 1"),
        ("limit=a", "limit is not a whole number of at least 1"),
        ("offset=٣", "offset is not a whole number of at least 0"),
        ("&".join(["a=1"] * 101), "there are more than 100 parameters"),
    ],
)
def test_a_page_that_cannot_be_is_a_400(api: httpx.Client, query: str, message: str) -> None:
    assert_problem(api.get(f"/v2/users?{query}"), 400, "BadRequest", message)


# Leads and accounts


def test_users_and_lead_statuses_are_those_of_the_vendors_pages(api: httpx.Client) -> None:
    assert items(api, "/v2/users")[0] == {
        "id": "253960413951646409173244928790043995930", "name": "משה", "is_active": "Y",
        "created": "2021-04-03T00:00:00Z",
    }  # fmt: skip
    document = api.get("/v2/leads/statuses").json()
    assert document["items"][0] == {"id": NEW, "name": "💫 חדש", "is_active": "Y"}
    assert len(document.pop("items")) == 10
    assert document == {"first": {"$ref": f"{api.base_url}/v2/leads/statuses"}}  # and no hasMore


@pytest.mark.parametrize(
    ("path", "ids", "document"),
    [
        ("leads/create", ["id"], {"message": "הליד נוצר בהצלחה", "lead_status": NEW}),
        ("accounts/create", ["id"], {"message": "הלקוח נוצר בהצלחה", "account_status": "17"}),
        ("notes/create", ["id"], {"message": "ההערה נוצרה בהצלחה"}),
        ("sales/create", ["id"], {"message": "המכירה נוצרה נוצר בהצלחה"}),
        ("tasks/create", ["id"], {"message": "המשימה נוצרה בהצלחה"}),
        ("tickets/create", ["id"], {"message": "הטיקט נוצר בהצלחה"}),
        ("products/create", ["id"], {"message": "המוצר נוצר בהצלחה"}),
        ("products/categories/create", ["id"], {"message": "הקטגוריה נוצרה בהצלחה"}),
        ("timer/start", ["id"], {"message": "הטיימר הופעל"}),
        ("signatures/create", ["id"],
         {"message": "המסמך נוצר בהצלחה", "document": "https://e-sign.co.il/3kF9xQ"}),
        ("sms/send", ["shipment_id"], {}),
        ("sms/sendTemplate", ["shipment_id"], {}),
        ("links/shortner", ["guid", "id"], {"short_url": "https://example.com/3kF9xQ"}),
    ],
)  # fmt: skip
def test_what_is_created_gets_new_ids_and_the_vendors_example(
    api: httpx.Client, path: str, ids: list[str], document: dict[str, Any]
) -> None:
    first, second = (post(api, f"/v2/{path}", BODIES[f"/v2/{path}"]) for _ in range(2))
    made = {one.pop(key) for one in (first, second) for key in ids}
    assert len(made) == 2 * len(ids)
    assert all(re.fullmatch(r"\d{39}", id_) and int(id_) < 2**128 for id_ in made)
    assert first == second == document


def test_a_lead_gets_the_status_it_is_sent_with(api: httpx.Client) -> None:
    assert post(api, "/v2/leads/create", LEAD | {"status": 17})["lead_status"] == "17"


def test_an_intelligent_lead_tells_duplicates_and_returning_customers(api: httpx.Client) -> None:
    created(api, "/v2/accounts/create", ACCOUNT)
    cases: list[tuple[dict[str, Any], str]] = [
        ({"email": "i@x.il"}, "הליד נוצר בהצלחה."),
        ({}, "הליד כפול וכבר עובר כרגע תהליך מכירה."),
        ({"phone": "03", "email": "i@x.il"}, "הליד כפול וכבר עובר כרגע תהליך מכירה."),
        ({"phone": "04", "email": ""}, "הליד נוצר בהצלחה."),
        ({"phone": 5, "email": ""}, "הליד נוצר בהצלחה."),  # no mail is not the same mail
        ({"phone": "5"}, "הליד כפול וכבר עובר כרגע תהליך מכירה."),
        ({"phone": ACCOUNT["phone"]}, "לקוח חוזר."),
        ({"phone": "06", "email": "d@x.il"}, "לקוח חוזר."),
    ]
    for fields, told in cases:
        lead = post(api, "/v2/leads/intelligent", LEAD | fields)
        assert lead == {"id": lead["id"], "message": f"הפעולה הושלמה - {told}", "name": "ישראל"}, fields
    assert lead["id"] in found(api, name="ישראל", object_type="LEADS")


def test_search_finds_what_contains_each_of_what_is_sent(api: httpx.Client) -> None:
    lead = created(api, "/v2/leads/create", LEAD | {"company": "אבג"})
    smart = created(api, "/v2/leads/intelligent", LEAD | {"phone": 501234567})
    account = created(api, "/v2/accounts/create", ACCOUNT)

    cases: list[tuple[dict[str, Any], list[str]]] = [
        ({"phone": "05"}, [lead, account]),
        ({"phone": "01234"}, [lead, smart]),
        ({"phone": 1234}, [lead, smart]),
        ({"phone": "05", "order": "desc"}, [account, lead]),
        ({"phone": "05", "order": "asc"}, [lead, account]),
        ({"phone": "05", "limit": 1}, [lead]),
        ({"phone": "05", "limit": "0"}, []),
        ({"phone": "5", "object_type": "LEADS"}, [lead, smart]),
        ({"phone": "5", "object_type": "ACCOUNTS"}, [account]),
        ({"phone": "5", "object_type": None, "name": "", "email": None}, [lead, smart, account]),
        ({"phone": "05", "name": "דנה"}, [account]),
        ({"phone": "01", "name": "דנה"}, []),
        ({"company": "ב"}, [lead]),
        ({"email": "d@x.il"}, [account]),
        ({"passport": "1"}, []),
        # Where nothing is sent, nothing is found.
        ({}, []),
        ({"limit": 50, "object_type": "LEADS"}, []),
        ({"name": ""}, []),
    ]
    for wanted, ids in cases:
        assert found(api, **wanted) == ids, wanted
    response = api.post("/v2/search/leadsAndAccounts")
    assert (response.status_code, response.json()) == (201, {"count": 0, "results": []})


def test_a_search_that_cannot_be_is_a_400(api: httpx.Client) -> None:
    response = api.post("/v2/search/leadsAndAccounts", json={"name": "a", "limit": 1.5})
    assert_problem(response, 400, "BadRequest", "limit is not a whole number of at least 0")


def test_search_results_have_the_documented_keys(api: httpx.Client) -> None:
    id_ = created(api, "/v2/accounts/create", ACCOUNT | {"id": "7", "UTM_SOURCE": "a"})
    [result] = post(api, "/v2/search/leadsAndAccounts", {"name": "דנה"})["results"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", result["created"])
    assert result == {
        "id": id_, "object_type": "ACCOUNTS", "created": result["created"], "updated": result["created"],
        "created_by": "API", "updated_by": "API", "utm_source": "a", "utm_campaign": None,
        "name": "דנה", "phone": "0527654321", "email": "d@x.il", "passport": None, "company": None,
    }  # fmt: skip


# Products


def test_a_product_can_be_read_until_it_is_deleted(api: httpx.Client) -> None:
    id_ = created(api, "/v2/products/create", PRODUCT)
    path = f"/v2/products/{id_}"
    [item] = items(api, path)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", item["created"])
    assert item == {
        "id": id_, "name": "Tv", "price": 505, "desctiption": None, "sku": None, "invetory": 4,
        "is_physical_yn": "N", "tags": None, "is_active_yn": "Y", "display_sequence": None,
        "updated": item["created"], "created": item["created"], "updated_by": "API", "created_by": "API",
        "category": "1", "payplus_uid": None,
    }  # fmt: skip
    assert items(api, "/v2/products/") == [item]

    deleted = api.delete(path)
    assert (deleted.status_code, deleted.content) == (200, b"")
    assert [api.get(path).status_code, api.delete(path).status_code] == [404, 404]
    assert items(api, "/v2/products/") == []


def test_what_a_product_is_sent_with_is_kept(api: httpx.Client) -> None:
    more = {"desctiption": "sams tv", "sku": "7", "price": 0, "is_physical": True, "is_active": False}
    [item] = items(api, f"/v2/products/{created(api, '/v2/products/create', PRODUCT | more)}")
    told = {"desctiption": "sams tv", "sku": "7", "price": 0, "is_physical_yn": "Y", "is_active_yn": "N"}
    assert item == item | told


@pytest.mark.parametrize("wrong", ["4", True, [4], 10**38])
def test_an_inventory_that_is_not_a_number_is_rejected(api: httpx.Client, wrong: object) -> None:
    response = api.post("/v2/products/create", json=PRODUCT | {"invetory": wrong})
    assert_problem(response, 400, "BadRequest", "invetory is not a number")


def test_inventory_moves_below_zero_and_back(api: httpx.Client) -> None:
    id_ = created(api, "/v2/products/create", PRODUCT)
    path, move = (
        "/v2/products/inventory/movment",
        BODIES["/v2/products/inventory/movment"] | {"product_id": id_},
    )
    out = post(api, path, move)
    back = post(api, path, move | {"operation": "IN", "quantity": 2.5})
    assert out == {"inventory_after": -6, "inventory_before": 4, "message": "הפעולה הושלמה"}
    assert back == {"inventory_after": -3.5, "inventory_before": -6, "message": "הפעולה הושלמה"}
    assert items(api, f"/v2/products/{id_}")[0]["invetory"] == -3.5

    newest, oldest = items(api, f"/v2/products/inventory/{id_}")
    assert (newest["operation"], newest["total_after"]) == ("IN", -3.5)
    told = {"total_after": -6, "total_before": 4, "product_id": int(id_)}
    assert oldest == move | told | {"id": oldest["id"], "created": oldest["created"]}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"operation": "in"}, "operation is neither IN nor OUT"),
        ({"quantity": "10"}, "quantity is not a number"),
        ({"product_id": "1"}, "there is no product with this product_id"),
    ],
)
def test_a_movement_that_cannot_be_changes_nothing(
    api: httpx.Client, wrong: dict[str, Any], message: str
) -> None:
    id_ = created(api, "/v2/products/create", PRODUCT)
    response = api.post(
        "/v2/products/inventory/movment",
        json=BODIES["/v2/products/inventory/movment"] | {"product_id": id_} | wrong,
    )
    assert_problem(response, 400, "BadRequest", message)
    assert items(api, f"/v2/products/inventory/{id_}") == []
    assert items(api, f"/v2/products/{id_}")[0]["invetory"] == 4


# The rest


def test_any_timer_can_be_stopped(api: httpx.Client) -> None:
    stopped = api.put("/v2/timer/17")
    assert (stopped.status_code, stopped.json()["message"]) == (201, "הטיימר הופסק")
    assert re.fullmatch(r"\d+\.\d", stopped.json()["total_minuets"])


def test_working_days_respond_with_the_vendors_example(api: httpx.Client) -> None:
    for path, key, value in [
        ("addWorkingDays", "date", "22/09/2021"),
        ("addWeekDays", "date", "18/09/2021"),
        ("WorkingDaysBetween", "days_total", 7),
    ]:
        body = BODIES[f"/v2/workingDays/{path}"]
        response = api.post(f"/v2/workingDays/{path}", json=body)
        assert (response.status_code, response.json()[key], len(response.json()["weekends"])) == (
            200,
            value,
            4,
        )
        other = api.post(f"/v2/workingDays/{path}", json=dict.fromkeys(body, "soon"))
        assert other.json() == response.json()
