# The data of a fresh sandbox: users, statuses, types, templates and working days of the vendor's examples,
# with the ids and names of its pages about the API, where these show them.

from __future__ import annotations

from typing import Any, Final, TypeAlias

Item: TypeAlias = dict[str, Any]


def _item(id_: str, name: str, **more: str) -> Item:
    return {"id": id_, "name": name, "is_active": "Y", **more}


def _items(*ids_and_names: tuple[str, str]) -> list[Item]:
    return [_item(id_, name) for id_, name in ids_and_names]


USERS: Final = [
    _item("253960413951646409173244928790043995930", "משה", created="2021-04-03T00:00:00Z"),
    _item("255013075949659715931731475988554107074", "הילה", created="2021-04-13T00:00:00Z"),
]

NEW_LEAD: Final = "233069071553535427697228277840563827497"
DUPLICATE_LEAD: Final = "233283613657759819600694939278253904883"
RETURNING_CUSTOMER: Final = "243106151780891622797278252149114577730"

LEAD_STATUSES: Final = _items(
    (NEW_LEAD, "💫 חדש"),
    ("233069071553536636623047892469738533673", "🌟 בטיפול"),
    ("233068757482379672535116974651377078673", "☎️ אין מענה"),
    ("233283533732675753954283890808071309", "💡 פולו-אפ"),
    ("233283533732676958969773898519982777485", "⚡️ מעוניין"),
    ("233068757482380881460936589280551784849", "😐 לא מעוניין"),
    (DUPLICATE_LEAD, "❗️ כפול"),
    ("233178998040188663790648493563928270356", "⛔️ תקול"),
    (RETURNING_CUSTOMER, "⚠️ לקוח חוזר"),
    ("233069071553537845548867507098913239849", "🎉 הומר ללקוח"),
)
ACCOUNT_STATUSES: Final = _items(
    ("233475749821730393808748733164117718913", "💸 ממתין לתשלום"),
    ("233475749821729184882929118534943012737", "✅ פעיל"),
    ("233475749821731602734568347793292425089", "❗️לא פעיל"),
)
ACCOUNT_TYPES: Final = _items(
    ("233476065495938695080047208242730387249", "לקוח עסקי"),
    ("233476065495939904005866822871905093425", "לקוח פרטי"),
    ("233476065495941112931686437501079799601", "לקוח VIP"),
    ("233476065495942321857506052130254505777", "לקוח בעייתי"),
)
SALE_STATUSES: Final = _items(
    ("234204384077945004415374675367894346525", "טיוטה"),
    ("234208723204765111610925577932915778841", "ממתין לתשלום"),
    ("234208736313783924216212667316296109106", "שולם"),
    ("234208723204766320536745192562090485017", "בוטל"),
)
TASK_PRIORITIES: Final = _items(
    ("234958546424545049094831573616695088550", "🟢 נמוכה"),
    ("234958546424546258020651188245869794726", "🟠 בינונית"),
    ("234958546424547466946470802875044500902", "🔴 דחוף"),
)
TICKET_STATUSES: Final = _items(
    ("234958461663827606436640835426029570923", "פתוח"),
    ("234958461663828815362460450055204277099", "❗️ בטיפול"),
    ("234958461663830024288280064684378983275", "✅ סגור"),
)
# The vendor's page on departments shows the priorities of tasks.
TICKET_DEPARTMENTS: Final = TASK_PRIORITIES
# No page shows these two:
TASK_STATUSES: Final = TICKET_STATUSES
TICKET_PRIORITIES: Final = TASK_PRIORITIES

SMS_TEMPLATES: Final = [
    _item("258123218108221845257206184125949190319", "ברכה", msg="היי ***שם*** מה שלומך?")
]
SIGNATURE_TEMPLATES: Final = [
    _item("3", "הסכם שירות", is_stand_alone="Y", shorten_url="https://e-sign.co.il/yyyyy"),
    _item("4", "טופס הזמנה", is_stand_alone="Y", shorten_url="https://e-sign.co.il/xxxxx"),
]

_HOLIDAYS: Final = [
    {"name": name, "date": f"2021-09-{day}T00:00:00Z", "description": description}
    for name, day, description in (
        ("Gedaliah Fast", "09", "Gedaliah Fast"),
        ("Rosh Hashana (Day 2)", "08", "Rosh Hashana (Day 2)"),
        ("Rosh Hashana", "07", "Rosh Hashana"),
        ("Rosh Hashana Eve", "06", "Rosh Hashana"),
    )
]
_WEEKENDS: Final = [
    {
        "the_dated": f"2021-09-{day}T00:00:00Z",
        "the_date": f"{day}-sep-2021",
        "month_name": "september",
        "day_name": name,
        "the_week": week,
        "the_day": number,
    }
    for day, name, week, number in (
        ("03", "FRIDAY", "35", "6"),
        ("04", "SATURDAY", "35", "7"),
        ("10", "FRIDAY", "36", "6"),
        ("11", "SATURDAY", "36", "7"),
    )
]
_DAYS_OFF: Final[Item] = {
    "days_total_holidays": len(_HOLIDAYS),
    "days_total_weekends": len(_WEEKENDS),
    "holidays": _HOLIDAYS,
    "weekends": _WEEKENDS,
}
# The vendor's example: 14 days from 31/08/2021.
WORKING_DAYS: Final[Item] = {"date": "22/09/2021", **_DAYS_OFF}
WEEK_DAYS: Final[Item] = {"date": "18/09/2021", **_DAYS_OFF, "days_total_holidays": 0, "holidays": []}
# A guess, as no page shows this response: from 31/08/2021 to 14/09/2021.
DAYS_BETWEEN: Final[Item] = {"days_total": 7, **_DAYS_OFF}
