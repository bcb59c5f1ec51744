# Products, their categories and their inventory.
#
# Here: what the calls on them do, and the records that they leave, with the keys of the vendor's pages. Not
# here: which keys are required (_crm).

from __future__ import annotations

from collections.abc import Iterator

from ._collections import collection, page
from ._examples import Item
from ._fields import check_length, new_id, now, number, optional, stamps, yes_or_no
from ._messages import Problem, Reason
from ._routing import Call


class Products:
    """The products, categories and movements of inventory that were created. Not thread-safe.

    Args:
        numbers: The ids of the next movements.
    """

    def __init__(self, numbers: Iterator[str]) -> None:
        self._numbers = numbers
        self._categories: list[Item] = []
        self._products: dict[str, Item] = {}
        self._movements: list[Item] = []
        self.list_all = collection(self._products.values(), edit=True)
        self.list_categories = collection(self._categories, edit=True)

    def create_category(self, call: Call) -> Item:
        """Create a category."""
        fields, id_ = call.fields, new_id()
        self._categories.append(
            {
                "id": id_,
                "name": fields["name"],
                "is_active_yn": yes_or_no(fields.get("is_active_yn", True)),
                **optional(fields, "description", "woo_id", "payplus_uid"),
            }
        )
        return {"id": id_, "message": "הקטגוריה נוצרה בהצלחה"}

    def create(self, call: Call) -> Item:
        """Create a product."""
        fields, id_ = call.fields, new_id()
        self._products[id_] = {
            "id": id_,
            "name": fields["name"],
            "price": fields["price"],
            **optional(fields, "desctiption", "sku"),
            "invetory": number("invetory", fields.get("invetory") or 0),
            "is_physical_yn": yes_or_no(fields.get("is_physical", False)),
            "tags": None,
            "is_active_yn": yes_or_no(fields["is_active"]),
            "display_sequence": None,
            **stamps("milliseconds"),
            "category": str(fields["category"]),
            "payplus_uid": None,
        }
        return {"id": id_, "message": "המוצר נוצר בהצלחה"}

    def get(self, call: Call) -> Item:
        """Show a product, as a collection of one."""
        return page(call, [self._product(call.id)], edit=True)

    def delete(self, call: Call) -> None:
        """Delete a product."""
        self._product(call.id)
        del self._products[call.id]

    def move(self, call: Call) -> Item:
        """Move a quantity into or out of the inventory of a product."""
        fields = call.fields
        product = self._products.get(str(fields["product_id"]))
        if product is None:
            raise Problem(400, "there is no product with this product_id")
        quantity = number("quantity", fields["quantity"])
        if fields["operation"] not in ("IN", "OUT"):
            raise Problem(400, "operation is neither IN nor OUT")
        check_length(fields, "comment")
        before = product["invetory"]
        after = before + quantity if fields["operation"] == "IN" else before - quantity
        product["invetory"] = after
        self._movements.append(
            {
                "id": next(self._numbers),
                "operation": fields["operation"],
                "quantity": quantity,
                "total_after": after,
                "total_before": before,
                "comment": fields["comment"],
                "created": now("milliseconds"),
                "product_id": int(product["id"]),  # a number, as on the vendor's page
            }
        )
        return {"inventory_after": after, "inventory_before": before, "message": "הפעולה הושלמה"}

    def list_movements(self, call: Call) -> Item:
        """Show the movements of a product, the newest first."""
        product_id = int(self._product(call.id)["id"])
        movements = [one for one in reversed(self._movements) if one["product_id"] == product_id]
        return page(call, movements, edit=True)

    def _product(self, id_: str) -> Item:
        if id_ not in self._products:
            raise Problem(404, reason=Reason("there is no product with this id", "אין מוצר עם המזהה הזה"))
        return self._products[id_]
