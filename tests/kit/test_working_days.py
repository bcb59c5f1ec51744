"""Working days are counted as on the vendor's page."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.support.sandbox import ADD_DAYS, BETWEEN, assert_problem


def test_working_days_are_added_as_on_the_vendors_page(api: httpx.Client) -> None:
    response = api.post("/v2/workingDays/addWorkingDays", json=ADD_DAYS)
    assert response.status_code == 200
    document = response.json()
    holidays, weekends = document.pop("holidays"), document.pop("weekends")
    assert document == {"date": "22/09/2021", "days_total_holidays": 4, "days_total_weekends": 4}
    assert [holiday["date"][:10] for holiday in holidays] == [
        "2021-09-09", "2021-09-08", "2021-09-07", "2021-09-06"
    ]  # fmt: skip
    assert weekends[0] == {
        "the_dated": "2021-09-03T00:00:00Z",
        "the_date": "03-sep-2021",
        "month_name": "september",
        "day_name": "FRIDAY",
        "the_week": "35",
        "the_day": "6",
    }
    assert [day["the_date"][:2] for day in weekends] == ["03", "04", "10", "11"]


def test_week_days_know_no_holidays(api: httpx.Client) -> None:
    response = api.post("/v2/workingDays/addWeekDays", json=ADD_DAYS)
    assert response.status_code == 200
    assert response.json()["date"] == "18/09/2021"
    assert response.json()["holidays"] == []


def test_a_holiday_on_a_weekend_is_one_day_off(api: httpx.Client) -> None:
    body = ADD_DAYS | {"weekend": "2,3", "increment": 9}  # Monday and Tuesday, 6 and 7 September
    document = api.post("/v2/workingDays/addWorkingDays", json=body).json()
    assert (document["days_total_holidays"], document["days_total_weekends"]) == (2, 2)


def test_working_days_between_two_dates_are_counted(api: httpx.Client) -> None:
    response = api.post("/v2/workingDays/WorkingDaysBetween", json=BETWEEN)
    assert response.status_code == 200
    counts = {key: value for key, value in response.json().items() if key.startswith("days_")}
    # 23 days, both ends counted: 6 of weekends, 4 holidays.
    assert counts == {"days_total": 13, "days_total_holidays": 4, "days_total_weekends": 6}
    backwards = BETWEEN | {"end_date": "01/08/2021"}
    response = api.post("/v2/workingDays/WorkingDaysBetween", json=backwards)
    assert response.json()["days_total"] == 0


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("YYYY-MM-DD", "2021-09-01"),
        ("DD.MM.YY", "01.09.21"),
        ("YYYYMMDD HH24:MI:SS", "20210901 00:00:00"),
        ("100% D DD", "100% 4 01"),
        ("HH12", "12"),
    ],
)
def test_a_date_is_given_back_in_the_form_asked_for(api: httpx.Client, pattern: str, text: str) -> None:
    body = ADD_DAYS | {"increment": 1, "return_format": pattern}
    assert api.post("/v2/workingDays/addWeekDays", json=body).json()["date"] == text


@pytest.mark.parametrize(
    "wrong",
    [
        {"start_date": "2021-08-31"},
        {"start_date": "31/13/2021"},
        {"date_format": "D"},
        {"weekend": "Friday"},
        {"weekend": "0"},
        {"weekend": "1,2,3,4,5,6,7"},
        {"increment": 999_999_999},
    ],
)
def test_dates_that_cannot_be_read_are_a_400(api: httpx.Client, wrong: dict[str, Any]) -> None:
    response = api.post("/v2/workingDays/addWorkingDays", json=ADD_DAYS | wrong)
    assert response.status_code == 400
    assert response.json()["message"].startswith("a date, its format or the weekend cannot be read")


def test_an_increment_is_a_whole_number(api: httpx.Client) -> None:
    response = api.post("/v2/workingDays/addWeekDays", json=ADD_DAYS | {"increment": -1})
    assert_problem(response, 400, "BadRequest", "increment is not a whole number of at least 0")


def test_a_date_format_that_names_a_field_twice_is_refused(api: httpx.Client) -> None:
    fields = ADD_DAYS | {"date_format": "DD/MM/YYYY DD", "start_date": "31/08/2021 31"}
    assert api.post("/v2/workingDays/addWorkingDays", json=fields).status_code == 400
