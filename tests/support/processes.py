"""Other Python processes that share a token with this one, and forked children."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
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

    def read_line(self) -> str:
        assert self.popen.stdout is not None
        return self.popen.stdout.readline().strip()

    def go_on(self) -> None:
        """Send it an empty line."""
        assert self.popen.stdin is not None
        self.popen.stdin.write("\n")
        self.popen.stdin.flush()

    def kill(self) -> None:
        self.popen.kill()
        self.popen.wait(10)

    def output(self) -> tuple[str, str]:
        """Return standard output and standard error, once it has exited successfully."""
        out, err = self.popen.communicate(timeout=30)
        assert self.popen.returncode == 0, err
        return out, err


PREAMBLE = """
import logging, sys, threading
import requests
from thebase_auth.caches import FileTokenCache, RedisTokenCache
from thebase_auth.requests import TheBaseAuth

url, kind, address, client_id, client_secret = sys.argv[1:]
logging.basicConfig(format="%(levelname)s %(message)s")

def auth_with(cache=None, **options):
    cache = cache or {"file": FileTokenCache, "redis": RedisTokenCache.from_url}[kind](address)
    return TheBaseAuth(url, client_id, client_secret, cache=cache, **options)

def get(auth, timeout=20):
    return requests.get(url + "/v2/users", auth=auth, timeout=timeout).status_code
"""


def python(source: str, domain: str, place: tuple[str, str] = ("", "")) -> Process:
    """Run *source* after `PREAMBLE` in another Python process. The cache is at *place*: kind and address."""
    return Process("-c", PREAMBLE + source, domain, *place, CLIENT_ID, CLIENT_SECRET)


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
