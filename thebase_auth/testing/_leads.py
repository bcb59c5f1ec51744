# Leads and accounts, and the search for both: what the calls do, and the records that they leave.

from __future__ import annotations

from typing import Final

from ._examples import Item
from ._fields import is_null, new_id, stamps, whole_number
from ._routing import Call

# Statuses of leads, as in _examples.json.
_NEW: Final = "233069071553535427697228277840563827497"
_DUPLICATE: Final = "233283613657759819600694939278253904883"
_RETURNING: Final = "243106151780891622797278252149114577730"

_SEARCHED: Final = ("name", "phone", "email", "passport", "company")
_SHOWN: Final = (
    *("id", "object_type", "created", "updated", "created_by", "updated_by"),
    *("utm_source", "utm_campaign"),
    *_SEARCHED,
)


class LeadsAndAccounts:
    """The leads and accounts that were created. Not thread-safe."""

    def __init__(self) -> None:
        self._records: list[Item] = []

    def create_lead(self, call: Call) -> Item:
        """Create a lead, without a look at the others."""
        status = str(call.fields.get("status") or _NEW)
        id_ = self._keep(call.fields, "LEADS", status=status)
        return {"id": id_, "message": "הליד נוצר בהצלחה", "lead_status": status}

    def create_lead_intelligently(self, call: Call) -> Item:
        """Create a lead, whose status and message say whether its phone or e-mail was known."""
        lead = call.fields
        known = {
            one["object_type"]
            for one in self._records
            if any(lead.get(key) and str(one.get(key)) == str(lead[key]) for key in ("phone", "email"))
        }
        # The second message is the vendor's; the others are guesses.
        if "ACCOUNTS" in known:
            status, message = _RETURNING, "הפעולה הושלמה - לקוח חוזר."
        elif "LEADS" in known:
            status = _DUPLICATE
            message = "הפעולה הושלמה - הליד כפול וכבר עובר כרגע תהליך מכירה."
        else:
            status, message = _NEW, "הפעולה הושלמה - הליד נוצר בהצלחה."
        return {"id": self._keep(lead, "LEADS", status=status), "message": message, "name": lead["name"]}

    def create_account(self, call: Call) -> Item:
        """Create an account."""
        id_ = self._keep(call.fields, "ACCOUNTS")
        return {"id": id_, "message": "הלקוח נוצר בהצלחה", "account_status": str(call.fields["status"])}

    def search(self, call: Call) -> Item:
        """Find the records that contain all of the text asked for; none, if nothing is asked for."""
        wanted = call.fields
        terms = {key: str(wanted[key]) for key in _SEARCHED if not is_null(wanted.get(key))}
        object_type = wanted.get("object_type") or ""
        found = [
            {key: one.get(key) for key in _SHOWN}
            for one in self._records
            if terms
            and object_type in ("", one["object_type"])
            and all(term in str(one.get(key) or "") for key, term in terms.items())
        ]
        if wanted.get("order_by") in ("created", "updated"):
            found.sort(key=lambda one: str(one[wanted["order_by"]]))
        if wanted.get("order") == "desc":
            found.reverse()
        if not is_null(limit := wanted.get("limit")):
            found = found[: whole_number("limit", limit)]
        return {"count": len(found), "results": found}

    def _keep(self, fields: Item, object_type: str, **more: str) -> str:
        """Keep a record for later searches, and return its id."""
        id_ = new_id()
        names = {name.lower(): value for name, value in fields.items()}  # the vendor writes UTM_SOURCE
        self._records.append({**names, **more, "id": id_, "object_type": object_type, **stamps()})
        return id_
