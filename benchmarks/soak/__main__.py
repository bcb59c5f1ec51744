"""All kinds of callers at once, for minutes, while everything goes wrong that can.

    python -m benchmarks.soak [--seconds 60] [--seed N] [--cache file|redis]

Threads of requests and httpx, tasks of httpx on asyncio and of httpx2 on trio share one auth object in
one process; three more processes share its token by a cache. All call the sandbox, over loopback, most
by clients with few connections. Meanwhile tokens are revoked, the token endpoint fails, connections drop,
answers are slow, rights are taken away, and callers are cancelled or have no time.

Then it is quiet, and every single call is accounted for: what its caller saw beside what the sandbox
received. Each rule is a check of its own; the exit status is 1 if one does not hold. What goes wrong
follows from the seed; whom it meets does not, so that a second run with one seed is another run.

It needs, in a checkout:  pip install -e . --group test
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks._places import new_place
from benchmarks._processes import Process, ask_all

from ._account import Account, Check, rule
from ._callers import CALM, CALM_CALL
from ._chaos import Chaos
from ._crew import CREWS, journal_of
from ._journal import read_journals

_START = 30.0  # seconds, generously, until all processes run
_LAST_CALLS = 40.0  # seconds that the calls under way may take to come to their end
#: How much memory a process may take at the end beyond what it took after a quarter of the time: some 5
#: MiB are for what is loaded and set up late.
_MORE_MEMORY = 12 * 2**20


class Soak:
    """One run, from start to end."""

    def __init__(self, stack: ExitStack, seconds: float, seed: str, cache: str) -> None:
        self._seconds = seconds
        self._folder = stack.enter_context(TemporaryDirectory(prefix="soak-"))
        self._place = stack.enter_context(new_place(cache))
        # Everything ends by itself some time after the run, should this process be stopped.
        longest = _START + seconds + 2 * _LAST_CALLS + 6 * CALM
        self._sandbox = Process(stack, "benchmarks.soak._sandbox", longest=longest)
        setting = self._sandbox.ask("where"), self._place, self._folder, seed
        self._crews = {
            name: Process(stack, "benchmarks.soak._crew", name, *setting, longest=longest) for name in CREWS
        }
        self._chaos = Chaos(self._sandbox, seed, seconds)

    def run(self) -> tuple[Account, list[Check]]:
        """The account, and all checks."""
        ask_all(self._crews, "start")
        self._chaos.start()
        time.sleep(self._seconds / 4)
        before = ask_all(self._crews, "memory")
        self._chaos.join()
        after = ask_all(self._crews, "memory")
        revocations, _ = self._sandbox.ask("counts")
        hanging = self._list("stop", _LAST_CALLS)
        checks = [
            Check("nobody hangs", hanging),
            rule("the chaos went its way", not self._chaos.failure, repr(self._chaos.failure)),
            _memory_is_flat(before, after),
        ]
        cache_failures = self._list("cache_failures")
        if not hanging:  # who hangs would hold up all of this, and leave something over
            checks += self._in_the_calm()
            cache_failures = self._list("cache_failures")
            checks += self._left_over()
        account = Account(
            read_journals(journal_of(name, self._folder) for name in CREWS),
            [one for one in self._sandbox.ask("record") if one["call"] != CALM_CALL],
            revocations=revocations,
            cache_failures=len(cache_failures),
        )
        return account, checks + account.checks()

    def _in_the_calm(self) -> list[Check]:
        failed = self._list("call_in_calm")
        _, before = self._sandbox.ask("counts")
        self._sandbox.ask("revoke_tokens")
        failed_again = self._list("call_in_calm")
        cost = self._sandbox.ask("counts")[1] - before
        return [
            Check("in the calm, a call of each client succeeds", failed),
            Check("after one more revocation, a call of each does", failed_again),
            rule("that costs one token request", cost == 1, f"it cost {cost}"),
        ]

    def _left_over(self) -> list[Check]:
        left = ask_all(self._crews, "close")
        names = [*next(iter(left.values()))]
        checks = [
            Check(name, [f"{crew}: {one}" for crew in left for one in left[crew][name]]) for name in names
        ]
        kind, address = self._place
        beside = [path.name for path in Path(address).parent.glob("*")] if kind == "file" else []
        strange = [name for name in beside if name != "tokens.json" and not name.endswith(".lock")]
        return [*checks, Check("nothing lies beside the cache but its locks", strange)]

    def _list(self, what: str, *details: Any) -> list[str]:
        return [one for found in ask_all(self._crews, what, *details).values() for one in found]


def _memory_is_flat(before: dict[str, int], after: dict[str, int]) -> Check:
    grown = [
        f"{name}: {before[name] / 2**20:.1f} MiB after a quarter of the time, {after[name] / 2**20:.1f} later"
        for name in before
        if after[name] - before[name] > _MORE_MEMORY
    ]
    return Check(f"memory grows by no more than {_MORE_MEMORY / 2**20:.0f} MiB", grown)


def main() -> None:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.soak",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seconds", type=float, default=60.0, help="of chaos; default 60")
    parser.add_argument("--seed", default=None, help="what goes wrong; default a new one")
    parser.add_argument("--cache", choices=("file", "redis"), default="file")
    chosen = parser.parse_args()
    seed = chosen.seed or str(random.randrange(10**6))
    with ExitStack() as stack:
        account, checks = Soak(stack, chosen.seconds, seed, chosen.cache).run()
    print(f"seed {seed}: {account.outcomes.total():,} calls")
    _print_counts(account.outcomes)
    print(f"{account.reasons.total():,} 401s reached a caller:")
    _print_counts(account.reasons)
    print(f"{account.token_requests:,} token requests; {account.explained.total():,} are explained:")
    _print_counts(account.explained)
    broken = [check for check in checks if check.faults]
    for check in broken:
        print(f"\nNOT SO (seed {seed}): {check.name}")
        for fault in check.faults:
            print(f"  {fault}")
    print(
        f"\n{len(broken)} of {len(checks)} checks do not hold"
        if broken
        else f"\nall {len(checks)} checks hold"
    )
    sys.exit(1 if broken else 0)


def _print_counts(counts: Counter[Any]) -> None:
    for what, count in counts.most_common():
        print(f"  {count:>8,}  {what}")


if __name__ == "__main__":
    main()
