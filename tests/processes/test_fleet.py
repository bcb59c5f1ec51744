"""One token request, however many processes share a token by ``cache=``."""

from __future__ import annotations

from contextlib import ExitStack

from tests.support.caches import Shared
from tests.support.callers import wait_until
from tests.support.processes import python
from thebase_auth.testing import Sandbox

PROCESSES = 4
REQUESTS = """
session = requests.Session()
"""
HTTPX = """
import httpx
from thebase_auth.httpx import TheBaseAuth
session = httpx.Client(timeout=30)
"""
CALL_AFTER_EACH_LINE = """
session.auth = auth_with()
print("ready", flush=True)
for _ in sys.stdin:
    print("calling", flush=True)
    print(session.get(url + "/v2/users").status_code, flush=True)
"""


def test_processes_make_one_token_request_at_a_cold_start_and_each_expiry(shared: Shared) -> None:
    with Sandbox() as thebase, ExitStack() as stack:
        sources = [library + CALL_AFTER_EACH_LINE for library in (REQUESTS, HTTPX)] * (PROCESSES // 2)
        fleet = [stack.enter_context(python(source, thebase.domain, shared.place)) for source in sources]

        def lines() -> set[str]:
            return {process.read_line() for process in fleet}

        def rejections() -> int:
            return sum(call.status == 401 for call in thebase.calls("/v2/users"))

        assert lines() == {"ready"}
        for expiries in range(3):
            with thebase.hold_token_requests():
                for process in fleet:
                    process.go_on()
                assert lines() == {"calling"}
                thebase.wait_for_token_requests(1)
                wait_until(lambda: rejections() == expiries * PROCESSES)
            assert lines() == {"200"}
            assert thebase.token_requests == 1 + expiries
            thebase.revoke_tokens()
        assert {process.output() for process in fleet} == {("", "")}  # no warnings
