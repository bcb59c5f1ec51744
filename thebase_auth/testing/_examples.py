# The vendor's pages about the API as data, with their ids, names and misspellings: lists by path, the keys of
# records, and the responses of calls that do nothing else. null stands for a new id, or for what was sent.
#
# No page shows the statuses of tasks, the priorities of tickets, a category's id, who creates a record, a
# short link, and the response of `WorkingDaysBetween`; the page on departments shows the priorities of tasks.

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any, Final, TypeAlias

Item: TypeAlias = dict[str, Any]

_DOCUMENT: Final = json.loads(files("thebase_auth.testing").joinpath("_examples.json").read_text("utf-8"))

LISTS: Final[dict[str, list[Item]]] = _DOCUMENT["lists"]
RECORDS: Final[dict[str, Item]] = _DOCUMENT["records"]
RESPONSES: Final[dict[str, Item]] = _DOCUMENT["examples"]
