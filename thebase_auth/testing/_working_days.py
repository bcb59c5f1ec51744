# The vendor's calendar: weekends, holidays, and dates written as Oracle writes them.
#
# Here: which days are working days, and how many. Not here: the calls that ask for it (_crm), and the
# holidays (_lists).

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from ._lists import Item

# What the vendor's page lists, the longer before the shorter that it begins with. D is the number
# of the day of the week, Sunday being 1: no date can be read from it.
_PLACES: Final[dict[str, str | None]] = {
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
_PLACE: Final = re.compile("|".join(_PLACES))


def parse(text: str, pattern: str) -> datetime:
    """The date that a text means, in the form `DD/MM/YYYY` or the like.

    Raises:
        ValueError: the text is not of that form, or the form says no date.
    """

    def place(found: re.Match[str]) -> str:
        directive = _PLACES[found[0]]
        if directive is None:
            raise ValueError("no date can be read from a day of the week")
        return directive

    return datetime.strptime(text, _PLACE.sub(place, pattern.replace("%", "%%")))  # noqa: DTZ007


def render(date: datetime, pattern: str) -> str:
    """A date in the form `DD/MM/YYYY` or the like."""

    def place(found: re.Match[str]) -> str:
        directive = _PLACES[found[0]]
        return str(_day_of_week(date)) if directive is None else date.strftime(directive)

    return _PLACE.sub(place, pattern)


def parse_weekend(text: str) -> set[int]:
    """The days of the week in a text like `6,7`, Sunday being 1.

    Raises:
        ValueError: there is something else in it.
    """
    days = {int(day) for day in text.split(",")}
    if not days < {1, 2, 3, 4, 5, 6, 7}:
        raise ValueError("not days of the week")
    return days


def add(
    start: datetime, increment: int, weekend: set[int], holidays: Iterable[Item]
) -> tuple[datetime, Item]:
    """The end of so many working days, and what lay in between.

    As in the vendor's example, the days off are those within the first *increment* days; the days
    that take their place are not looked at again.
    """
    found = _days_off(start, start + timedelta(increment), weekend, holidays)
    days_off = found["days_total_holidays"] + found["days_total_weekends"]
    return start + timedelta(increment + days_off), found


def between(first: datetime, last: datetime, weekend: set[int], holidays: Iterable[Item]) -> tuple[int, Item]:
    """How many working days there are from one date to another, both counted; and the days off."""
    found = _days_off(first - timedelta(1), last, weekend, holidays)
    days_off = found["days_total_holidays"] + found["days_total_weekends"]
    return max((last - first).days + 1 - days_off, 0), found


def _days_off(after: datetime, until: datetime, weekend: set[int], holidays: Iterable[Item]) -> Item:
    """The days off after one date until another, in the vendor's words."""
    days = [after + timedelta(number + 1) for number in range((until - after).days)]
    weekends = [day for day in days if _day_of_week(day) in weekend]
    working = {f"{day:%Y-%m-%d}T00:00:00Z" for day in days if day not in weekends}
    found = [holiday for holiday in holidays if holiday["date"] in working]
    return {
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
