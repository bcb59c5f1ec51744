# Working days: weekends, holidays, and dates written as Oracle writes them.
#
# Here: the calls on working days, and the calendar. Not here: the holidays themselves (_lists), and which
# keys are required (_crm).

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Final

from ._fields import whole_number
from ._lists import HOLIDAYS, Item
from ._messages import Problem
from ._routing import Call

# The elements of a date format on the vendor's page, the longer before the shorter that it begins with. D is
# the number of the day of the week, with Sunday as 1: no date can be read from it.
_ELEMENTS: Final[dict[str, str | None]] = {
    "YYYY": "%Y",
    "YY": "%y",
    "MM": "%m",
    "DD": "%d",
    "D": None,
    "HH24": "%H",
    "HH12": "%I",
    "MI": "%M",
    "SS": "%S",
}
_ELEMENT: Final = re.compile("|".join(_ELEMENTS))


def add_days(call: Call, *, holidays: list[Item]) -> Item:
    """Add days to a date, without those of weekends and without *holidays*.

    As in the vendor's example, the days off are those within the first *increment* days. The days that take
    their place are not checked again.
    """
    fields = call.fields
    increment = whole_number("increment", fields["increment"])
    with _dates_read():
        start = _date(fields, "start_date")
        count, days_off = _days_off(start, start + timedelta(increment), _weekend(fields), holidays)
        end = start + timedelta(increment + count)
    return {"date": _format(end, str(fields["return_format"])), **days_off}


def count_working_days(call: Call) -> Item:
    """Count the working days from one date to another, both included.

    Keys and answer are guesses, after those of the other two calls.
    """
    with _dates_read():
        first, last = _date(call.fields, "start_date"), _date(call.fields, "end_date")
        count, days_off = _days_off(first - timedelta(1), last, _weekend(call.fields), HOLIDAYS)
    return {"days_total": max((last - first).days + 1 - count, 0), **days_off}


@contextmanager
def _dates_read() -> Iterator[None]:
    try:
        yield
    except (ValueError, OverflowError, re.error) as error:  # an element twice is a re.error
        raise Problem(400, f"a date, its format or the weekend cannot be read: {error}") from error


def _date(fields: Item, key: str) -> datetime:
    def directive(found: re.Match[str]) -> str:
        text = _ELEMENTS[found[0]]
        if text is None:
            raise ValueError("no date can be read from a day of the week")
        return text

    form = _ELEMENT.sub(directive, str(fields["date_format"]).replace("%", "%%"))
    return datetime.strptime(str(fields[key]), form)  # noqa: DTZ007


def _weekend(fields: Item) -> set[int]:
    """The days of the week in a text like `6,7`, with Sunday as 1."""
    days = {int(day) for day in str(fields["weekend"]).split(",")}
    if not days < {1, 2, 3, 4, 5, 6, 7}:
        raise ValueError("not days of the week")
    return days


def _format(date: datetime, form: str) -> str:
    def text(found: re.Match[str]) -> str:
        directive = _ELEMENTS[found[0]]
        return str(_day_of_week(date)) if directive is None else date.strftime(directive)

    return _ELEMENT.sub(text, form)


def _days_off(after: datetime, until: datetime, weekend: set[int], holidays: list[Item]) -> tuple[int, Item]:
    """How many days are off after one date until another, and which, in the vendor's form."""
    days = [after + timedelta(number + 1) for number in range((until - after).days)]
    weekends = [day for day in days if _day_of_week(day) in weekend]
    others = {f"{day:%Y-%m-%d}T00:00:00Z" for day in days if day not in weekends}
    found = [holiday for holiday in holidays if holiday["date"] in others]
    return len(found) + len(weekends), {
        "days_total_holidays": len(found),
        "days_total_weekends": len(weekends),
        "holidays": found,
        "weekends": [_weekend_item(day) for day in weekends],
    }


def _weekend_item(day: datetime) -> Item:
    return {
        "the_dated": f"{day:%Y-%m-%d}T00:00:00Z",
        "the_date": f"{day:%d-%b-%Y}".lower(),
        "month_name": f"{day:%B}".lower(),
        "day_name": f"{day:%A}".upper(),
        "the_week": str(day.isocalendar().week),
        "the_day": str(_day_of_week(day)),
    }


def _day_of_week(day: datetime) -> int:
    return day.isoweekday() % 7 + 1
