# What is created in the CRM, and the calls on it: leads, accounts and the search for both; products and their
# inventory.

from __future__ import annotations

from collections import defaultdict, deque
from typing import Final

from ._collections import collection, page
from ._examples import RECORDS, Item
from ._fields import is_null, new_id, now, number, text, whole_number, yes_or_no
from ._messages import Problem, Reason
from ._routing import Call

_NEW: Final = "233069071553535427697228277840563827497"  # the status of a new lead, as in _examples.json
_SEARCHED: Final = ("name", "phone", "email", "passport", "company")
_MOST_PEOPLE: Final = 1000  # leads and accounts that a search goes through, the last ones


class Records:
    """The records that were created. Not thread-safe."""

    def __init__(self) -> None:
        self._people: deque[Item] = deque(maxlen=_MOST_PEOPLE)
        self._products: dict[str, Item] = {}
        self._movements: defaultdict[str, deque[Item]] = defaultdict(deque)  # by product, the newest first
        self.list_products = collection(self._products.values())

    # Leads and accounts

    def create_lead(self, call: Call) -> Item:
        """Create a lead, without a look at the others."""
        lead = self._add_person(call, "LEADS")
        return {
            "id": lead["id"],
            "message": "הליד נוצר בהצלחה",
            "lead_status": text(call.fields.get("status") or _NEW),
        }

    def create_lead_intelligently(self, call: Call) -> Item:
        """Create a lead; the message says whether its phone or e-mail was known."""
        before = tuple(self._people)
        lead = self._add_person(call, "LEADS")
        known = {
            one["object_type"]
            for one in before
            if any(lead[key] and one[key] == lead[key] for key in ("phone", "email"))
        }
        # The second message is the vendor's; the others are guesses.
        message = "הפעולה הושלמה - הליד נוצר בהצלחה."
        if "ACCOUNTS" in known:
            message = "הפעולה הושלמה - לקוח חוזר."
        elif "LEADS" in known:
            message = "הפעולה הושלמה - הליד כפול וכבר עובר כרגע תהליך מכירה."
        return {"id": lead["id"], "message": message, "name": lead["name"]}

    def create_account(self, call: Call) -> Item:
        """Create an account."""
        account = self._add_person(call, "ACCOUNTS")
        return {
            "id": account["id"],
            "message": "הלקוח נוצר בהצלחה",
            "account_status": text(call.fields["status"]),
        }

    def search(self, call: Call) -> Item:
        """Find the people with all of the text asked for; none, if nothing is asked for."""
        wanted = call.fields
        terms = {key: text(wanted[key]) for key in _SEARCHED if not is_null(wanted.get(key))}
        found = [
            one
            for one in self._people
            if terms
            and wanted.get("object_type") in (None, "", one["object_type"])
            and all(term in (one[key] or "") for key, term in terms.items())
        ]
        if wanted.get("order") == "desc":
            found.reverse()
        if not is_null(limit := wanted.get("limit")):
            found = found[: whole_number("limit", limit)]
        return {"count": len(found), "results": found}

    def _add_person(self, call: Call, object_type: str) -> Item:
        # The vendor writes UTM_SOURCE.
        fields = {key.lower(): text(value) for key, value in call.fields.items() if not is_null(value)}
        person = _record("person", fields | {"object_type": object_type})
        self._people.append(person)
        return person

    # Products

    def create_product(self, call: Call) -> Item:
        """Create a product."""
        fields = call.fields
        values = {
            "invetory": number("invetory", fields.get("invetory") or 0),
            "is_physical_yn": yes_or_no(fields.get("is_physical")),
            "is_active_yn": yes_or_no(fields["is_active"]),
        }
        product = _record("product", fields | values)
        self._products[product["id"]] = product
        return {"id": product["id"], "message": "המוצר נוצר בהצלחה"}

    def get_product(self, call: Call) -> Item:
        """Show a product, as a collection of one."""
        return page(call, [self._product(call)])

    def delete_product(self, call: Call) -> None:
        """Delete a product."""
        del self._products[self._product(call)["id"]]

    def move(self, call: Call) -> Item:
        """Move a quantity into or out of the inventory of a product."""
        fields = call.fields
        product = self._products.get(text(fields["product_id"]))
        if product is None:
            raise Problem(400, "there is no product with this product_id")
        quantity = number("quantity", fields["quantity"])
        if fields["operation"] not in ("IN", "OUT"):
            raise Problem(400, "operation is neither IN nor OUT")
        before = product["invetory"]
        after = before + quantity if fields["operation"] == "IN" else before - quantity
        product["invetory"] = after
        # The id is a number, as on the vendor's page.
        values = {"total_before": before, "total_after": after, "product_id": int(product["id"])}
        self._movements[product["id"]].appendleft(_record("movement", fields | values))
        return {"inventory_after": after, "inventory_before": before, "message": "הפעולה הושלמה"}

    def list_movements(self, call: Call) -> Item:
        """Show the movements of a product, the newest first."""
        return page(call, self._movements[self._product(call)["id"]])

    def _product(self, call: Call) -> Item:
        if call.id not in self._products:
            raise Problem(404, reason=Reason("there is no product with this id", "אין מוצר עם המזהה הזה"))
        return self._products[call.id]


def _record(kind: str, fields: Item) -> Item:
    """A new record: the keys that the vendor shows of such a one, with the values that were sent."""
    made = {"id": new_id(), "created": now(), "updated": now()}
    sent = {key: value for key, value in fields.items() if not is_null(value)}
    return {key: made.get(key) or sent.get(key, default) for key, default in RECORDS[kind].items()}
