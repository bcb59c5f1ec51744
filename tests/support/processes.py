"""Other Python processes that share a token with this one, and forked children."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self

import pytest

from tests.support import ROOT
from tests.support.clients import CLIENT_ID, CLIENT_SECRET

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")

fork_with_threads = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


class Process:
    """Another Python process that talks in lines. It is killed at the end of a ``with`` block."""

    def __init__(self, *arguments: str) -> None:
        self.popen = subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.popen.kill()
        self.popen.communicate()

    def hear(self) -> str:
        assert self.popen.stdout is not None
        return self.popen.stdout.readline().strip()

    def tell(self, line: str = "") -> None:
        assert self.popen.stdin is not None
        self.popen.stdin.write(f"{line}\n")
        self.popen.stdin.flush()

    def kill(self) -> None:
        self.popen.kill()
        self.popen.wait(10)

    def output(self) -> tuple[str, str]:
        """Standard output and standard error, once it has exited successfully."""
        out, err = self.popen.communicate(timeout=30)
        assert self.popen.returncode == 0, err
        return out, err


class CallingProcess(Process):
    """A process that makes calls when told to; see ``fleet_process``."""

    def __init__(self) -> None:
        super().__init__("-m", "tests.support.fleet_process")

    def begin(
        self, domain: str, cache: tuple[str, str], *, library: str = "requests", timeout: float = 30
    ) -> None:
        """Let it make a new client, auth object and cache object."""
        credentials = (domain, CLIENT_ID, CLIENT_SECRET)
        command = {"library": library, "credentials": credentials, "cache": cache, "timeout": timeout}
        self.tell(json.dumps(command))

    def call(self, url: str) -> None:
        self.tell(json.dumps({"get": url}))

    def answer(self) -> Any:
        return json.loads(self.hear())


@contextmanager
def calling_process(domain: str, cache: tuple[str, str], **options: Any) -> Iterator[CallingProcess]:
    with CallingProcess() as process:
        process.begin(domain, cache, **options)
        assert process.answer() == "ready"
        yield process


PREAMBLE = """
import logging, os, sys, threading, time
import requests
from tests.support.fleet_process import cache_of
from thebase_auth.requests import TheBaseAuth

url, kind, address, client_id, client_secret = sys.argv[1:]
cache = cache_of(kind, address)
logging.basicConfig(format="%(levelname)s %(message)s")

def auth_with(cache, **options):
    return TheBaseAuth(url, client_id, client_secret, cache=cache, **options)

def get(auth, timeout=20):
    return requests.get(url + "/v2/users", auth=auth, timeout=timeout).status_code
"""


def python(source: str, domain: str, cache: tuple[str, str]) -> Process:
    """Run *source* after `PREAMBLE` in another Python process."""
    return Process("-c", PREAMBLE + source, domain, *cache, CLIENT_ID, CLIENT_SECRET)


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Keep a process alive but stuck."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def in_a_child(work: Callable[[], Any]) -> bool:
    """Return True if *work* returns something true in a forked child, within 20 seconds."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if work() else 2
        finally:
            os._exit(code)
    killer = threading.Timer(20, os.kill, (child, signal.SIGKILL))
    killer.start()
    _, status = os.waitpid(child, 0)
    killer.cancel()
    killer.join()
    return status == 0
