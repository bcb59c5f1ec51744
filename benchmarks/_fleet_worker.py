"""One process of the fleet, run by fleet.py: it makes a call when told to, and says how that went."""

from __future__ import annotations

import time
from functools import partial
from importlib import import_module

from ._places import Place, cache_at
from ._processes import answer_all

_TIMEOUT = 30  # seconds


class _Worker:
    """Its public methods are what the process is asked."""

    def __init__(self, library: str, settings: list[str], place: Place) -> None:
        module = import_module(library)
        client = module.Session() if library == "requests" else module.Client()
        auth = import_module(f"thebase_auth.{library}").TheBaseAuth(*settings, cache=cache_at(place))
        self._get = partial(client.get, f"{auth.base_url}/v2/users", auth=auth, timeout=_TIMEOUT)

    def is_ready(self) -> bool:
        return True

    def call_at(self, moment: float) -> tuple[int, float]:
        """Status and seconds of a call made then, by a clock that all processes of a machine share."""
        time.sleep(max(moment - time.monotonic(), 0))
        status = self._get().status_code
        return status, time.monotonic() - moment


if __name__ == "__main__":
    answer_all(_Worker)
