"""What goes wrong, and when: a thread that pulls the levers of the sandbox at random moments."""

from __future__ import annotations

import math
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from ._processes import Process

#: The status of a token response that is garbage. The record has no bodies of answers; by this it
#: tells a garbled token response from a token.
GARBLED = 203

_TOKEN = "POST /oauth/token"
_WRITES = ("POST /v2/leads/create", "POST /v2/notes/create")
_CALLS = (*_WRITES, "GET /v2/users")
_PAUSES = (0.03, 0.3)  # seconds, between two levers
_SLOW_TOKEN = (0.1, 1.0)  # seconds
_SLOW_ANSWER = (0.1, 0.8)
_REFUSED = (0.2, 2.5)
_PAGE = "<!DOCTYPE html><html><body><h1>401 Unauthorized</h1></body></html>".ljust(467_009)
_GARBAGE = ("", "null", "[1, 2", '{"token_type": "bearer"}', '{"access_token": "a b"}', "\0" * 1000)


class Chaos:
    """The thread. What it does follows from the seed, and when others meet it does not."""

    def __init__(self, sandbox: Process, seed: str, seconds: float) -> None:
        self.pulled: Counter[str] = Counter()
        self.failure: Exception | None = None
        self._sandbox = sandbox
        self._chance = random.Random(f"{seed} chaos")
        self._seconds = seconds
        self._refused: str | None = None  # the call to which the client has no right for now
        self._allowed_again_at = 0.0
        self._single = False
        self._levers: dict[Callable[[], None], int] = {
            self._revoke: 8,
            self._fail_token_request: 4,
            self._drop_token_request: 2,
            self._delay_token_request: 3,
            self._switch_single_token: 1,
            self._refuse: 1,
            self._refuse_live_token: 1,
            self._fail_call: 3,
            self._drop_call: 6,
            self._delay_call: 4,
        }
        self._thread = threading.Thread(target=self._run, name="chaos", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def join(self) -> None:
        self._thread.join()

    def _run(self) -> None:
        end_at = time.monotonic() + self._seconds
        try:
            while (left := end_at - time.monotonic()) > 0:
                time.sleep(min(self._chance.uniform(*_PAUSES), left))
                self._allow(time.monotonic())
                lever = self._chance.choices([*self._levers], [*self._levers.values()])[0]
                self.pulled[lever.__name__.strip("_").replace("_", " ")] += 1
                lever()
            self._calm_down()
        except Exception as error:
            self.failure = error

    def _calm_down(self) -> None:
        self._sandbox.ask("calm")
        self._sandbox.ask("single_token", False)
        self._allow(math.inf)

    # The levers

    def _revoke(self) -> None:
        self._sandbox.ask("revoke_tokens")

    def _fail_token_request(self) -> None:
        html = "<html><body>Service Unavailable</body></html>"
        fault: tuple[Any, ...] = self._chance.choice(
            [
                (500, '{"code": "InternalServerError", "message": "ORA-00600"}'),
                (503, html, "text/html"),
                (429, "", "text/plain"),
                (GARBLED, self._chance.choice(_GARBAGE)),
            ]
        )
        self._sandbox.ask("answer_next", _TOKEN, *fault)
        self._revoke()

    def _drop_token_request(self) -> None:
        self._sandbox.ask("drop_next", _TOKEN, self._chance.random() < 0.5)
        self._revoke()

    def _delay_token_request(self) -> None:
        self._sandbox.ask("delay_next", _TOKEN, self._chance.uniform(*_SLOW_TOKEN))
        self._revoke()

    def _switch_single_token(self) -> None:
        self._single = not self._single
        self._sandbox.ask("single_token", self._single)

    def _refuse(self) -> None:
        self._allow(math.inf)
        self._refused = self._chance.choice(_CALLS)
        self._allowed_again_at = time.monotonic() + self._chance.uniform(*_REFUSED)
        self._sandbox.ask("refuse", self._refused)

    def _allow(self, now: float) -> None:
        if self._refused and now >= self._allowed_again_at:
            self._sandbox.ask("allow", self._refused)
            self._refused = None

    def _refuse_live_token(self) -> None:
        self._sandbox.ask("answer_next", self._chance.choice(_CALLS), 401, _PAGE, "text/html")

    def _fail_call(self) -> None:
        self._sandbox.ask("answer_next", self._chance.choice(_CALLS), 503, "", "text/plain")

    def _drop_call(self) -> None:
        self._sandbox.ask("drop_next", self._chance.choice(_WRITES), self._chance.random() < 0.5)

    def _delay_call(self) -> None:
        self._sandbox.ask(
            "delay_next", self._chance.choice(_CALLS), self._chance.uniform(*_SLOW_ANSWER)
        )
