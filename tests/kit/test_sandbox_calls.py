"""Each call of the vendor's API gets the response that the vendor's pages show."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest

from tests.support.sandbox import (
    ACCOUNT,
    ADD_DAYS,
    AS_JSON,
    BETWEEN,
    COLLECTIONS,
    DOCUMENT,
    LEAD,
    MOVE,
    PRODUCT,
    SALE,
    SENT,
    SMS,
    TASK,
    TEMPLATE_SMS,
    TICKET,
    assert_problem,
)

NEW = "233069071553535427697228277840563827497"
DUPLICATE = "233283613657759819600694939278253904883"
RETURNING = "243106151780891622797278252149114577730"


def created(api: httpx.Client, path: str, body: dict[str, Any], **document: Any) -> str:
    """Create something, and return its id of 128 bits."""
    response = api.post(path, json=body)
    assert response.status_code == 201
    received = response.json()
    id_: str = received.pop("id")
    assert re.fullmatch(r"\d{39}", id_)
    assert int(id_) < 2**128
    assert received == document
    return id_


def search(api: httpx.Client, **wanted: object) -> list[dict[str, Any]]:
    response = api.post("/v2/search/leadsAndAccounts", json=wanted)
    assert response.status_code == 201
    document = response.json()
    assert set(document) == {"count", "results"}
    assert document["count"] == len(document["results"])
    results: list[dict[str, Any]] = document["results"]
    return results


# What holds for every call


@pytest.mark.parametrize(("path", "items"), COLLECTIONS)
def test_a_list_is_a_collection(api: httpx.Client, path: str, items: int) -> None:
    response = api.get(path)
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    collection = response.json()
    assert len(collection.pop("items")) == items
    links = {link["rel"]: link["href"] for link in collection.pop("links")}
    assert links.pop("edit", f"{api.base_url}{path}") == f"{api.base_url}{path}"
    assert links == {
        "self": f"{api.base_url}{path}",
        "describedby": f"{api.base_url}/metadata-catalog{path}",
        "first": f"{api.base_url}{path}",
    }
    assert collection == {"hasMore": False, "limit": 25, "offset": 0, "count": items}


@pytest.mark.parametrize(
    ("path", "body", "key"), [(path, body, key) for path, body, required in SENT for key in required]
)
def test_a_missing_key_is_named(api: httpx.Client, path: str, body: dict[str, Any], key: str) -> None:
    without = {name: value for name, value in body.items() if name != key}
    for lacking in (without, {**body, key: None}, {**body, key: ""}):
        assert_problem(api.post(path, json=lacking), 400, "BadRequest", f"{key} is required")


@pytest.mark.parametrize("path", [path for path, _, _ in SENT])
@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[]", b'"name"', b"null", b"[" * 10**5])
def test_a_body_that_is_not_a_json_object_is_rejected(api: httpx.Client, path: str, body: bytes) -> None:
    response = api.post(path, content=body, headers=AS_JSON)
    assert_problem(response, 400, "BadRequest", "the body is not a JSON object")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        *[("GET", path, "POST") for path, _, _ in SENT],
        *[("POST", path, "GET, HEAD") for path, _ in COLLECTIONS],
        ("GET", "/v2/search/leadsAndAccounts", "POST"),
        ("POST", "/v2/leads/statuses", "GET, HEAD"),
        ("PUT", "/v2/products/1", "DELETE, GET, HEAD"),
        ("PATCH", "/v2/timer/1", "PUT"),
    ],
)
def test_a_wrong_method_is_a_405_that_names_the_right_ones(
    api: httpx.Client, method: str, path: str, allowed: str
) -> None:
    response = api.request(method, path)
    assert_problem(response, 405, "MethodNotAllowed", "Method Not Allowed")
    assert response.headers["allow"] == allowed


@pytest.mark.parametrize(
    "path", ["/", "/v2", "/v2/", "/v2/no/such/path", "/v2/users/", "/v2/Users", "/V2/users", "/v3/users"]
)
def test_an_unknown_path_is_a_404(api: httpx.Client, path: str) -> None:
    assert_problem(api.get(path), 404, "NotFound", "Not Found")


def test_hebrew_is_sent_as_it_is_in_utf_8(api: httpx.Client) -> None:
    assert "משה".encode() in api.get("/v2/users").content
    assert "הליד נוצר בהצלחה".encode() in api.post("/v2/leads/create", json=LEAD).content


def test_a_head_request_gets_the_head_of_the_response(api: httpx.Client) -> None:
    whole, head = api.get("/v2/users"), api.head("/v2/users")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers == whole.headers


# Pages of a collection


@pytest.fixture
def products(api: httpx.Client) -> list[str]:
    return [
        api.post("/v2/products/create", json=PRODUCT | {"name": f"n{number}"}).json()["id"]
        for number in range(5)
    ]


def test_a_collection_comes_in_pages_that_link_to_each_other(api: httpx.Client, products: list[str]) -> None:
    page = api.get("/v2/products/?limit=2&q=a%20b").json()
    found = [item["id"] for item in page["items"]]
    links = {link["rel"]: link["href"] for link in page["links"]}
    assert (page["hasMore"], page["limit"], page["offset"], page["count"]) == (True, 2, 0, 2)
    assert links["self"] == f"{api.base_url}/v2/products/?limit=2&q=a%20b"
    assert links["first"] == f"{api.base_url}/v2/products/?limit=2&q=a+b"
    assert "prev" not in links

    while page["hasMore"]:
        previous = links["self"]
        page = api.get(links["next"]).json()
        found += [item["id"] for item in page["items"]]
        links = {link["rel"]: link["href"] for link in page["links"]}
        assert api.get(links["prev"]).json()["items"] == api.get(previous).json()["items"]
    assert found == products
    assert (page["limit"], page["offset"], page["count"]) == (2, 4, 1)
    assert "next" not in links


def test_a_page_that_is_exactly_full_has_no_next(api: httpx.Client, products: list[str]) -> None:
    page = api.get("/v2/products/", params={"limit": 5}).json()
    assert (page["hasMore"], page["count"]) == (False, 5)


def test_a_page_behind_the_end_is_empty(api: httpx.Client) -> None:
    page = api.get("/v2/users?offset=10").json()
    assert (page["items"], page["hasMore"], page["count"]) == ([], False, 0)


@pytest.mark.parametrize("query", ["limit=0", "limit=-1", "limit=a", "offset=-1", "offset=٣"])
def test_a_page_that_cannot_be_is_a_400(api: httpx.Client, query: str) -> None:
    response = api.get(f"/v2/users?{query}")
    name, least = query.partition("=")[0], 1 if query.startswith("limit") else 0
    message = f"{name} is not a whole number of at least {least}"
    assert_problem(response, 400, "BadRequest", message)


# Leads and accounts


def test_users_are_those_of_the_vendors_page(api: httpx.Client) -> None:
    assert api.get("/v2/users").json()["items"][0] == {
        "id": "253960413951646409173244928790043995930",
        "name": "משה",
        "is_active": "Y",
        "created": "2021-04-03T00:00:00Z",
    }


def test_lead_statuses_are_a_list_without_has_more(api: httpx.Client) -> None:
    document = api.get("/v2/leads/statuses").json()
    assert document["items"][0] == {"id": NEW, "name": "💫 חדש", "is_active": "Y"}
    assert len(document.pop("items")) == 10
    assert document == {"first": {"$ref": f"{api.base_url}/v2/leads/statuses"}}


def test_a_lead_gets_the_status_it_is_sent_with_or_that_of_a_new_one(api: httpx.Client) -> None:
    message = "הליד נוצר בהצלחה"
    created(api, "/v2/leads/create", LEAD, message=message, lead_status=NEW)
    created(api, "/v2/leads/create", LEAD | {"status": 17}, message=message, lead_status="17")


def test_an_account_is_created_with_its_status(api: httpx.Client) -> None:
    message = "הלקוח נוצר בהצלחה"
    created(api, "/v2/accounts/create", ACCOUNT, message=message, account_status="17")


def test_an_intelligent_lead_tells_duplicates_and_returning_customers(api: httpx.Client) -> None:
    def tell(**fields: Any) -> tuple[str, str]:
        response = api.post("/v2/leads/intelligent", json=LEAD | fields)
        assert response.status_code == 201
        assert set(response.json()) == {"id", "message", "name"}
        assert response.json()["name"] == "ישראל"
        [lead] = [one for one in search(api, name="ישראל") if one["id"] == response.json()["id"]]
        assert lead["object_type"] == "LEADS"
        return response.json()["message"].partition(" - ")[2], response.json()["id"]

    api.post("/v2/accounts/create", json=ACCOUNT)
    duplicate = "הליד כפול וכבר עובר כרגע תהליך מכירה."
    first = tell(email="i@x.il")
    assert first[0] == "הליד נוצר בהצלחה."
    assert tell()[0] == duplicate
    assert tell(phone="03", email="i@x.il")[0] == duplicate
    assert tell(phone="04", email="")[0] == "הליד נוצר בהצלחה."
    assert tell(phone="05", email="")[0] == "הליד נוצר בהצלחה."  # no mail is not the same mail
    assert tell(phone=ACCOUNT["phone"])[0] == "לקוח חוזר."
    assert tell(phone="06", email="d@x.il")[0] == "לקוח חוזר."


def test_search_finds_what_contains_each_of_what_is_sent(api: httpx.Client) -> None:
    lead = api.post("/v2/leads/create", json=LEAD | {"company": "אבג"}).json()["id"]
    smart = api.post("/v2/leads/intelligent", json=LEAD | {"UTM_SOURCE": "אתר"}).json()["id"]
    account = api.post("/v2/accounts/create", json=ACCOUNT).json()["id"]

    def found(**wanted: object) -> list[str]:
        return [one["id"] for one in search(api, **wanted)]

    assert found(phone="05") == [lead, smart, account]
    assert found(phone="05", order="desc") == [account, smart, lead]
    assert found(phone="05", order_by="created", order="asc") == [lead, smart, account]
    assert found(phone="05", limit=2) == [lead, smart]
    assert found(phone="05", limit=0) == []
    assert found(phone="05", object_type="LEADS") == [lead, smart]
    assert found(phone="05", object_type="ACCOUNTS") == [account]
    assert found(phone="05", object_type=None, name="", email=None) == [lead, smart, account]
    assert found(phone="05", name="דנה") == [account]
    assert found(phone="01", name="דנה") == []
    assert found(company="ב") == [lead]
    assert found(email="d@x.il") == [account]
    assert found(passport="1") == []


@pytest.mark.parametrize("body", [b"", b"{}", b'{"limit": 50, "object_type": "LEADS"}', b'{"name": ""}'])
def test_where_nothing_is_sent_nothing_is_found(api: httpx.Client, body: bytes) -> None:
    api.post("/v2/leads/create", json=LEAD)
    response = api.post("/v2/search/leadsAndAccounts", content=body, headers=AS_JSON)
    assert (response.status_code, response.json()) == (201, {"count": 0, "results": []})


@pytest.mark.parametrize(("body", "message"), [
    (b"[]", "the body is not a JSON object"),
    (b'{"name": "a", "limit": "all"}', "limit is not a whole number of at least 0"),
    (b'{"name": "a", "limit": true}', "limit is not a whole number of at least 0"),
])  # fmt: skip
def test_a_search_that_cannot_be_is_a_400(api: httpx.Client, body: bytes, message: str) -> None:
    response = api.post("/v2/search/leadsAndAccounts", content=body, headers=AS_JSON)
    assert_problem(response, 400, "BadRequest", message)


def test_search_results_have_the_documented_keys(api: httpx.Client) -> None:
    account = api.post("/v2/accounts/create", json=ACCOUNT | {"id": "7", "utm_source": "a"})
    [result] = search(api, name="דנה")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", result["created"])
    assert result == {
        "id": account.json()["id"],
        "object_type": "ACCOUNTS",
        "created": result["created"],
        "updated": result["created"],
        "created_by": "API",
        "updated_by": "API",
        "utm_source": "a",
        "utm_campaign": None,
        "name": "דנה",
        "phone": "0527654321",
        "email": "d@x.il",
        "passport": None,
        "company": None,
    }


@pytest.mark.parametrize("character", ["א", "a", "💫"])
def test_a_note_is_no_longer_than_4000_characters(api: httpx.Client, character: str) -> None:
    created(api, "/v2/notes/create", {"msg": character * 4000}, message="ההערה נוצרה בהצלחה")
    response = api.post("/v2/notes/create", json={"msg": character * 4001})
    assert_problem(response, 400, "BadRequest", "msg is longer than 4000 characters")


# Products


def test_a_product_can_be_read_until_it_is_deleted(api: httpx.Client) -> None:
    id_ = created(api, "/v2/products/create", PRODUCT, message="המוצר נוצר בהצלחה")
    collection = api.get(f"/v2/products/{id_}").json()
    [item] = collection["items"]
    assert collection["count"] == 1
    assert "edit" in {link["rel"] for link in collection["links"]}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", item["created"])
    assert item == {
        "id": id_,
        "name": "Tv",
        "price": 505,
        "desctiption": None,
        "sku": None,
        "invetory": 4,
        "is_physical_yn": "N",
        "tags": None,
        "is_active_yn": "Y",
        "display_sequence": None,
        "updated": item["created"],
        "created": item["created"],
        "updated_by": "API",
        "created_by": "API",
        "category": "1",
        "payplus_uid": None,
    }
    assert api.get("/v2/products/").json()["items"] == [item]

    deleted = api.delete(f"/v2/products/{id_}")
    assert (deleted.status_code, deleted.content) == (200, b"")
    for response in (api.get(f"/v2/products/{id_}"), api.delete(f"/v2/products/{id_}")):
        assert_problem(response, 404, "NotFound", "Not Found")
    assert api.get("/v2/products/").json()["items"] == []


def test_what_a_product_or_a_category_is_sent_with_is_kept(api: httpx.Client) -> None:
    more = {"desctiption": "sams tv", "sku": "7", "is_physical": True, "is_active": False}
    id_ = api.post("/v2/products/create", json=PRODUCT | more).json()["id"]
    [item] = api.get(f"/v2/products/{id_}").json()["items"]
    assert (item["desctiption"], item["sku"]) == ("sams tv", "7")
    assert (item["is_physical_yn"], item["is_active_yn"]) == ("Y", "N")

    category = {"name": "Shirts", "description": "", "is_active_yn": False, "woo_id": "3"}
    message = "הקטגוריה נוצרה בהצלחה"
    id_ = created(api, "/v2/products/categories/create", category, message=message)
    assert api.get("/v2/products/categories/").json()["items"] == [
        {
            "id": id_,
            "name": "Shirts",
            "description": None,
            "is_active_yn": "N",
            "woo_id": "3",
            "payplus_uid": None,
        }
    ]


def test_an_inventory_that_is_not_a_number_is_rejected(api: httpx.Client) -> None:
    for wrong in ("4", True, [4]):
        response = api.post("/v2/products/create", json=PRODUCT | {"invetory": wrong})
        assert_problem(response, 400, "BadRequest", "invetory is not a number")


def test_inventory_moves_below_zero_and_back(api: httpx.Client) -> None:
    id_ = api.post("/v2/products/create", json=PRODUCT).json()["id"]
    path, move = "/v2/products/inventory/movment", MOVE | {"product_id": id_}
    out = api.post(path, json=move)
    back = api.post(path, json=move | {"operation": "IN", "quantity": 2.5})
    done = {"message": "הפעולה הושלמה"}
    assert (out.status_code, back.status_code) == (201, 201)
    assert out.json() == {"inventory_after": -6, "inventory_before": 4} | done
    assert back.json() == {"inventory_after": -3.5, "inventory_before": -6} | done
    assert api.get(f"/v2/products/{id_}").json()["items"][0]["invetory"] == -3.5

    newest, oldest = api.get(f"/v2/products/inventory/{id_}").json()["items"]
    assert (newest["id"], newest["operation"], newest["total_after"]) == ("2", "IN", -3.5)
    assert oldest == {
        "id": "1",
        "operation": "OUT",
        "quantity": 10,
        "total_after": -6,
        "total_before": 4,
        "comment": "345345",
        "created": oldest["created"],
        "product_id": int(id_),
    }


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"operation": "in"}, "operation is neither IN nor OUT"),
        ({"quantity": "10"}, "quantity is not a number"),
        ({"comment": "א" * 4001}, "comment is longer than 4000 characters"),
        ({"product_id": "1"}, "there is no product with this product_id"),
    ],
)
def test_a_movement_that_cannot_be_changes_nothing(
    api: httpx.Client, wrong: dict[str, Any], message: str
) -> None:
    id_ = api.post("/v2/products/create", json=PRODUCT).json()["id"]
    move = MOVE | {"product_id": id_} | wrong
    response = api.post("/v2/products/inventory/movment", json=move)
    assert_problem(response, 400, "BadRequest", message)
    assert api.get(f"/v2/products/inventory/{id_}").json()["items"] == []
    assert api.get(f"/v2/products/{id_}").json()["items"][0]["invetory"] == 4


def test_the_inventory_of_an_unknown_product_is_a_404(api: httpx.Client) -> None:
    assert_problem(api.get("/v2/products/inventory/1"), 404, "NotFound", "Not Found")


# The rest


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("/v2/sales/create", SALE, "המכירה נוצרה נוצר בהצלחה"),
        ("/v2/tasks/create", TASK, "המשימה נוצרה בהצלחה"),
        ("/v2/tickets/create", TICKET, "הטיקט נוצר בהצלחה"),
    ],
)
def test_sales_tasks_and_tickets_are_created(
    api: httpx.Client, path: str, body: dict[str, Any], message: str
) -> None:
    created(api, path, body, message=message)


@pytest.mark.parametrize(("path", "body"), [("/v2/sms/send", SMS), ("/v2/sms/sendTemplate", TEMPLATE_SMS)])
def test_a_message_gets_the_id_of_its_shipment(api: httpx.Client, path: str, body: dict[str, Any]) -> None:
    response = api.post(path, json=body)
    assert response.status_code == 201
    [(key, value)] = response.json().items()
    assert key == "shipment_id"
    assert re.fullmatch(r"\d{10}", value)


def test_a_document_to_sign_gets_a_link(api: httpx.Client) -> None:
    response = api.post("/v2/signatures/create", json=DOCUMENT)
    assert response.status_code == 201
    assert re.fullmatch(r"https://e-sign\.co\.il/[\w-]+", response.json()["document"])
    assert (response.json()["id"], response.json()["message"]) == ("1", "המסמך נוצר בהצלחה")


def test_a_short_link_is_of_this_host(api: httpx.Client) -> None:
    response = api.post("/v2/links/shortner", json={"url": "https://example.com"})
    assert response.status_code == 201
    assert set(response.json()) == {"guid", "id", "short_url"}
    assert response.json()["short_url"].startswith(f"{api.base_url}/s/")


def test_a_timer_runs_until_it_is_stopped(api: httpx.Client) -> None:
    timer = {"owner": "2", "start_time": "2021-09-22T16:33:08Z", "comment": "my sec timer"}
    id_ = created(api, "/v2/timer/start", timer, message="הטיימר הופעל")
    assert api.get("/v2/timer/open").json()["items"] == [
        {"id": id_, "account_id": None, "start_time": "2021-09-22T16:33:08Z", "comment": "my sec timer"}
    ]
    stopped = api.put(f"/v2/timer/{id_}")
    assert stopped.status_code == 201
    assert stopped.json()["message"] == "הטיימר הופסק"
    assert re.fullmatch(r"\d{7,}\.\d", stopped.json()["total_minuets"])
    assert api.get("/v2/timer/open").json()["items"] == []
    assert_problem(api.put(f"/v2/timer/{id_}"), 404, "NotFound", "Not Found")


@pytest.mark.parametrize("start", ["", None, "2999-01-01T00:00:00"])
def test_a_timer_starts_now_or_when_it_is_asked_to(api: httpx.Client, start: Any) -> None:
    body = {"owner": "2", "start_time": start}
    id_ = created(api, "/v2/timer/start", body, message="הטיימר הופעל")
    minutes = float(api.put(f"/v2/timer/{id_}").json()["total_minuets"])
    assert minutes < 1


def test_a_timer_that_starts_at_no_time_is_rejected(api: httpx.Client) -> None:
    response = api.post("/v2/timer/start", json={"owner": "2", "start_time": "now"})
    message = "start_time is not a date like 2021-09-22T16:33:08Z"
    assert_problem(response, 400, "BadRequest", message)


# Working days


@pytest.mark.parametrize(("increment", "return_format"), [(14, "DD/MM/YYYY"), ("soon", "Q")])
def test_working_days_respond_with_the_vendors_example(
    api: httpx.Client, increment: object, return_format: str
) -> None:
    body = ADD_DAYS | {"increment": increment, "return_format": return_format}
    response = api.post("/v2/workingDays/addWorkingDays", json=body)
    assert response.status_code == 200
    document = response.json()
    holidays, weekends = document.pop("holidays"), document.pop("weekends")
    assert document == {"date": "22/09/2021", "days_total_holidays": 4, "days_total_weekends": 4}
    assert [day["date"][8:10] for day in holidays] == ["09", "08", "07", "06"]
    assert [day["the_date"][:2] for day in weekends] == ["03", "04", "10", "11"]
    assert weekends[0] == {
        "the_dated": "2021-09-03T00:00:00Z",
        "the_date": "03-sep-2021",
        "month_name": "september",
        "day_name": "FRIDAY",
        "the_week": "35",
        "the_day": "6",
    }


def test_week_days_have_no_holidays(api: httpx.Client) -> None:
    document = api.post("/v2/workingDays/addWeekDays", json=ADD_DAYS).json()
    assert (document["date"], document["days_total_holidays"], document["holidays"]) == ("18/09/2021", 0, [])


def test_working_days_between_two_dates_are_an_example(api: httpx.Client) -> None:
    document = api.post("/v2/workingDays/WorkingDaysBetween", json=BETWEEN).json()
    assert {key: value for key, value in document.items() if key.startswith("days_")} == {
        "days_total": 7,
        "days_total_holidays": 4,
        "days_total_weekends": 4,
    }


# What a body may hold


@pytest.mark.parametrize(
    "body",
    [
        b'{"name": "\\ud800", "f_name": "b", "phone": "7"}',
        b'{"name": NaN, "f_name": "b", "phone": "7"}',
        b'{"name": "a", "f_name": "b", "phone": Infinity}',
    ],
)
def test_a_body_that_no_response_could_carry_is_rejected_and_not_kept(api: httpx.Client, body: bytes) -> None:
    for call in ("create", "intelligent"):
        response = api.post(f"/v2/leads/{call}", content=body, headers=AS_JSON)
        assert_problem(response, 400, "BadRequest", "the body is not a JSON object")
    found = api.post("/v2/search/leadsAndAccounts", json={"phone": "7"})
    assert found.json()["count"] == 0


def test_a_quantity_that_no_column_could_hold_is_rejected(api: httpx.Client) -> None:
    response = api.post("/v2/products/create", json=PRODUCT | {"invetory": 10**38})
    assert_problem(response, 400, "BadRequest", "invetory is not a number")


def test_an_intelligent_lead_knows_a_phone_sent_as_a_number(api: httpx.Client) -> None:
    api.post("/v2/leads/create", json=LEAD | {"phone": 501234567})
    response = api.post("/v2/leads/intelligent", json=LEAD | {"phone": "501234567"}).json()
    assert "הליד כפול" in response["message"]


def test_a_media_type_is_asked_for_in_any_case(api: httpx.Client) -> None:
    response = api.get("/v2/users", headers={"Accept": "Application/JSON", "Authorization": "x"})
    assert_problem(response, 401, "Unauthorized", "Unauthorized")
