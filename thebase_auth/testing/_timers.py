# Timers, by which users count their minutes.
#
# Here: what the calls on them do, and the timers that run.
# Not here: which keys are required (_crm).

from __future__ import annotations

from datetime import UTC, datetime

from ._collections import collection
from ._examples import Item
from ._fields import new_id, now, optional
from ._messages import Problem, Reason
from ._routing import Call


class Timers:
    """The timers that run. Not thread-safe."""

    def __init__(self) -> None:
        self._open: dict[str, Item] = {}
        self.list_open = collection(self._open.values(), edit=True)

    def start(self, call: Call) -> Item:
        """Start a timer, now or at the time given."""
        fields, id_ = call.fields, new_id()
        start_time = fields.get("start_time") or now()
        _parse(start_time)
        self._open[id_] = {"id": id_, "start_time": start_time, **optional(fields, "account_id", "comment")}
        return {"id": id_, "message": "הטיימר הופעל"}

    def stop(self, call: Call) -> Item:
        """Stop a timer."""
        if call.id not in self._open:
            raise Problem(
                404, reason=Reason("no timer with this id is running", "אין טיימר פועל עם המזהה הזה")
            )
        elapsed = datetime.now(UTC) - _parse(self._open.pop(call.id)["start_time"])
        return {"message": "הטיימר הופסק", "total_minuets": f"{elapsed.total_seconds() / 60:.1f}"}


def _parse(start_time: object) -> datetime:
    try:
        time = datetime.fromisoformat(str(start_time))
    except ValueError:
        raise Problem(400, "start_time is not a date like 2021-09-22T16:33:08Z") from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)
