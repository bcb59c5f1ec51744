"""What goes wrong, and when: a thread that pulls the levers of the sandbox at random moments."""

from __future__ import annotations

import random
import threading
import time
from typing import Any

from benchmarks._processes import Process

#: How often each lever is pulled, beside the others; after these a token has to be fetched.
_WITH_A_REVOCATION = {
    "revoke": 8,
    "fail token request": 4,
    "drop token request": 3,
    "delay token request": 3,
    "drip 401s": 6,
}
_LEVERS = _WITH_A_REVOCATION | {
    "switch single token": 2,
    "take a right": 2,
    "refuse live token": 2,
    "fail call": 3,
    "drop call": 5,
    "delay call": 4,
}
_TOKEN = "POST /oauth/token"
_WRITES = ("POST /v2/leads/create", "POST /v2/notes/create")
_CALLS = (*_WRITES, "GET /v2/users")
_PAUSES = (0.03, 0.3)  # seconds, between two levers
_SLOW_TOKEN = (0.1, 1.0)  # seconds
_SLOW_ANSWER = (0.1, 0.8)
_DRIPPING = (0.05, 0.5)
_DRIPS = 20  # 401s
_REFUSED = (0.2, 2.5)
_PAGE = "<!DOCTYPE html><html><body><h1>401 Unauthorized</h1></body></html>".ljust(467_009)
_GARBAGE = ("", "null", "[1, 2", '{"token_type": "bearer"}', '{"access_token": "a b"}', "\0" * 1000)
_FAILURES: tuple[tuple[Any, ...], ...] = (
    (500, '{"code": "InternalServerError", "message": "ORA-00600"}'),
    (503, "<html><body>Service Unavailable</body></html>", "text/html"),
    (429, "", "text/plain"),
)


class Chaos:
    """The thread. What it does follows from the seed, and when others meet it does not."""

    def __init__(self, sandbox: Process, seed: str, seconds: float) -> None:
        self.failure: Exception | None = None
        self._ask = sandbox.ask
        self._chance = random.Random(f"{seed} chaos")
        self._seconds = seconds
        self._thread = threading.Thread(target=self._run, name="chaos", daemon=True)
        self.start, self.join = self._thread.start, self._thread.join

    def _run(self) -> None:
        end_at = time.monotonic() + self._seconds
        try:
            while (left := end_at - time.monotonic()) > 0:
                time.sleep(min(self._chance.uniform(*_PAUSES), left))
                lever = self._chance.choices([*_LEVERS], [*_LEVERS.values()])[0]
                self._ask(*self._pulled(lever))
                if lever in _WITH_A_REVOCATION:
                    self._ask("revoke_tokens")
            self._ask("calm")
        except Exception as error:
            self.failure = error

    def _pulled(self, lever: str) -> tuple[Any, ...]:
        """What the sandbox is asked for, and its details."""
        chance = self._chance
        call, token_failure = (
            chance.choice(_CALLS),
            chance.choice([*_FAILURES, (203, chance.choice(_GARBAGE))]),
        )
        asked: dict[str, tuple[Any, ...]] = {
            "revoke": ("revoke_tokens",),
            "fail token request": ("answer_next", _TOKEN, *token_failure),
            "drop token request": ("drop", _TOKEN, chance.random() < 0.5),
            "delay token request": ("delay_next", _TOKEN, chance.uniform(*_SLOW_TOKEN)),
            "drip 401s": ("drip", [chance.uniform(*_DRIPPING) for _ in range(_DRIPS)]),
            "switch single token": ("switch_single_token",),
            "take a right": ("refuse_for", call, chance.uniform(*_REFUSED)),
            "refuse live token": ("answer_next", call, 401, _PAGE, "text/html"),
            "fail call": ("answer_next", call, 503, "", "text/plain"),
            "drop call": ("drop", chance.choice(_WRITES), chance.random() < 0.5),
            "delay call": ("delay_next", call, chance.uniform(*_SLOW_ANSWER)),
        }
        return asked[lever]
