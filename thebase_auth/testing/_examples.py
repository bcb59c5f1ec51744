# The data of a fresh sandbox, by path: the lists and the responses of the vendor's pages about the API, with
# their ids and names. No page shows the statuses of tasks, the priorities of tickets, and the response of
# `WorkingDaysBetween`; the page on departments shows the priorities of tasks.

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any, Final, TypeAlias

Item: TypeAlias = dict[str, Any]

_DOCUMENT: Final = json.loads(files(__package__).joinpath("_examples.json").read_text("utf-8"))

LISTS: Final[dict[str, list[Item]]] = _DOCUMENT["lists"]
RESPONSES: Final[dict[str, Item]] = _DOCUMENT["examples"]
