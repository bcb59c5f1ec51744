"""Run the tests of requests and httpx as they are, and with `TheBaseAuth`; compare what they find.

``python compare.py REQUESTS HTTPX``: the folders of their source distributions. There are three runs of each:
unsigned, with each call rejected once, and with each call rejected that follows a redirect. It fails if a
test differs from the unsigned run and is not in differences.toml, or is there and does not differ.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
DIFFERENCES = tomllib.loads((HERE / "differences.toml").read_text("utf-8"))
REJECT = ("nothing", "first", "redirected")  # nothing: the run is unsigned
ENOUGH_REPLAYS = {"nothing": 0, "first": 100, "redirected": 15}
MOST_FAILURES = 5  # unsigned: some tests look for a host that is not on this machine
HTTPX_PORT = 8000  # which its tests take for their server
LONGEST = 480  # seconds, of a run that its own timeouts do not end
PYTEST = (
    *("-m", "pytest", "-q", "-p", "signing", "-p", "no:cacheprovider", "-p", "no:randomly"),
    *("--timeout=60", "--session-timeout=300"),
    # One test of httpx leaves it behind, and fails if it is collected before the next one begins.
    "-W=ignore:Async generator 'httpx._content.ByteStream:ResourceWarning",
)


@dataclass
class Run:
    """One run of one suite."""

    suite: str
    reject: str
    seconds: float
    outcomes: dict[str, str]  # of each test: passed, skipped, xfailed, or failed and what it said
    rejected: int
    replayed: int

    def differing(self, unsigned: Run) -> set[str]:
        both = self.outcomes.keys() & unsigned.outcomes.keys()
        return {one for one in both if _word(self.outcomes[one]) != _word(unsigned.outcomes[one])}


def main() -> None:
    folders = dict(zip(("requests", "httpx"), map(Path, sys.argv[1:]), strict=True))
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", HTTPX_PORT))  # better an error now than tests that wait for ever
    with ThreadPoolExecutor() as pool:
        # The tests of requests wait most of the time; those of httpx all want the same port.
        beside = [pool.submit(run, "requests", folders["requests"], one) for one in REJECT]
        after = pool.submit(lambda: [run("httpx", folders["httpx"], one) for one in REJECT])
        suites = [[one.result() for one in beside], after.result()]
    faults = []
    for unsigned, *signed in suites:
        for one in (unsigned, *signed):
            name = f"{one.suite}, {one.reject} rejected"
            print(
                f"{name}: {len(one.outcomes)} tests in {one.seconds:.0f} s, of which"
                f" {len(one.differing(unsigned))} differ; {one.rejected} calls rejected,"
                f" {one.replayed} replayed"
            )
            faults += [f"{name}: {fault}" for fault in find_faults(one, unsigned)]
    if faults:
        sys.exit("\n".join(faults))


def run(suite: str, folder: Path, reject: str) -> Run:
    with tempfile.TemporaryDirectory() as temporary:
        written = Path(temporary, "outcomes.json")
        options = [f"--outcomes={written}", f"--reject={reject}", "tests"]
        started = time.monotonic()
        done = subprocess.run(
            [sys.executable, *PYTEST, *options],
            cwd=folder, env=os.environ | {"PYTHONPATH": str(HERE)}, timeout=LONGEST, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", errors="replace",
        )  # fmt: skip
        if done.returncode not in {0, 1} or not written.exists():  # all passed, some failed
            sys.exit(f"{suite}: pytest ended with {done.returncode}\n{done.stdout[-9000:]}")
        seconds = time.monotonic() - started
        return Run(suite, reject, seconds, **json.loads(written.read_text("utf-8")))


def find_faults(one: Run, unsigned: Run) -> Iterator[str]:
    """What is wrong with a run, in itself or beside the unsigned one."""
    if one.replayed < ENOUGH_REPLAYS[one.reject]:
        yield f"only {one.replayed} calls were replayed"
    if one is unsigned:
        failed = [f"{test} {said}" for test, said in one.outcomes.items() if _word(said) == "failed"]
        if len(failed) > MOST_FAILURES:
            yield "\n".join(["too much fails without us", *failed])
        return
    if missing := one.outcomes.keys() ^ unsigned.outcomes.keys():
        yield f"{len(missing)} tests are not in both runs, such as {min(missing)}"
    groups = [group for group in DIFFERENCES[one.suite] if one.reject in group["reject"]]
    says = {name: group["says"] for group in groups for name in group["tests"]}
    differing = one.differing(unsigned)
    for test in sorted(differing):
        said = says.get(_name(test))
        if said is None or said not in one.outcomes[test]:
            yield f"{test} {one.outcomes[test]}; unsigned, it {unsigned.outcomes[test]}"
    for name in says:
        tests = {test for test in unsigned.outcomes if _name(test) == name}
        if not tests or not tests <= differing:
            yield f"{name} is in differences.toml, and does not differ"


def _word(outcome: str) -> str:
    return outcome.partition(" ")[0]


def _name(test: str) -> str:
    return test.partition("[")[0].rpartition("::")[2]


if __name__ == "__main__":
    main()
