"""What goes wrong, and when: a thread that pulls the levers of the sandbox at random moments."""

from __future__ import annotations

import math
import random
import threading
import time
from collections import Counter

from ._processes import Process

#: How often each lever is pulled, beside the others; after some a token has to be fetched.
_WITH_A_REVOCATION = {
    "revoke": 8,
    "fail token request": 4,
    "drop token request": 3,
    "delay token request": 3,
    "drip 401s": 6,
}
_OTHERS = {
    "switch single token": 2,
    "take a right": 2,
    "refuse live token": 2,
    "fail call": 3,
    "drop call": 5,
    "delay call": 4,
}
_LEVERS = _WITH_A_REVOCATION | _OTHERS
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
_FAILURES = (
    (500, '{"code": "InternalServerError", "message": "ORA-00600"}'),
    (503, "<html><body>Service Unavailable</body></html>", "text/html"),
    (429, "", "text/plain"),
)


class Chaos:
    """The thread. What it does follows from the seed, and when others meet it does not."""

    def __init__(self, sandbox: Process, seed: str, seconds: float) -> None:
        self.pulled: Counter[str] = Counter()
        self.failure: Exception | None = None
        self._ask = sandbox.ask
        self._chance = random.Random(f"{seed} chaos")
        self._seconds = seconds
        self._refused: str | None = None  # the call to which the client has no right for now
        self._allowed_again_at = 0.0
        self._single = False
        self._thread = threading.Thread(target=self._run, name="chaos", daemon=True)
        self.start, self.join = self._thread.start, self._thread.join

    def _run(self) -> None:
        end_at = time.monotonic() + self._seconds
        try:
            while (left := end_at - time.monotonic()) > 0:
                time.sleep(min(self._chance.uniform(*_PAUSES), left))
                self._allow(time.monotonic())
                lever = self._chance.choices([*_LEVERS], [*_LEVERS.values()])[0]
                self.pulled[lever] += 1
                self._pull(lever)
                if lever in _WITH_A_REVOCATION:
                    self._ask("revoke_tokens")
            self._ask("calm")
            self._ask("set_single_token", False)
            self._allow(math.inf)
        except Exception as error:
            self.failure = error

    def _allow(self, now: float) -> None:
        if self._refused and now >= self._allowed_again_at:
            self._ask("refuse", self._refused, False)
            self._refused = None

    def _pull(self, lever: str) -> None:
        ask, chance = self._ask, self._chance
        call = chance.choice(_CALLS)
        match lever:
            case "fail token request":
                failure = chance.choice([*_FAILURES, (203, chance.choice(_GARBAGE))])
                ask("answer_next", _TOKEN, *failure)
            case "drop token request":
                ask("drop", _TOKEN, chance.random() < 0.5)
            case "delay token request":
                ask("delay_next", _TOKEN, chance.uniform(*_SLOW_TOKEN))
            case "drip 401s":
                ask("drip", [chance.uniform(*_DRIPPING) for _ in range(_DRIPS)])
            case "switch single token":
                self._single = not self._single
                ask("set_single_token", self._single)
            case "take a right":
                self._allow(math.inf)
                self._refused = call
                self._allowed_again_at = time.monotonic() + chance.uniform(*_REFUSED)
                ask("refuse", call, True)
            case "refuse live token":
                ask("answer_next", call, 401, _PAGE, "text/html")
            case "fail call":
                ask("answer_next", call, 503, "", "text/plain")
            case "drop call":
                ask("drop", chance.choice(_WRITES), chance.random() < 0.5)
            case "delay call":
                ask("delay_next", call, chance.uniform(*_SLOW_ANSWER))
