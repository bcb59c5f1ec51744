"""Auth objects with a cache in forked children, in copies, and while the interpreter exits."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.support.caches import KEY, cache_threads, one_client
from tests.support.callers import wait_until
from tests.support.clients import Client, auth_for
from tests.support.databases import Database
from tests.support.memory_cache import METHODS, Gate, MemoryCache
from tests.support.processes import fork_with_threads, in_a_child, needs_fork, python
from tests.support.servers import api_server
from thebase_auth.caches import RedisTokenCache
from thebase_auth.testing import Sandbox

# Forks


@one_client
@pytest.mark.parametrize("method", METHODS)
@needs_fork
@fork_with_threads
def test_fork_while_the_cache_is_in_use_leaves_child_and_parent_free(client: Client, method: str) -> None:
    gate = Gate(method)
    cache = MemoryCache(gate)
    with api_server() as (server, _), ThreadPoolExecutor(1) as pool:
        auth = auth_for(server.url, cache=cache, timeout=1)
        leader = pool.submit(client.get, auth, server.url + "/a", timeout=20)
        assert gate.reached.wait(20)

        def call() -> bool:
            cache.before = lambda method: None
            auth.forget()
            before = cache.calls.count("load")
            status = client.get(auth, server.url + "/child", timeout=1).status
            return status == 200 and cache.calls.count("load") > before

        assert in_a_child(call)
        gate.opened.set()
        assert leader.result(20).status == 200
        wait_until(lambda: not cache_threads())
    assert gate.was_opened_in_time
    assert not cache.locked


# Copies


class OurCache(RedisTokenCache):
    """As a user may derive one."""


@pytest.mark.parametrize("copied", [lambda one: pickle.loads(pickle.dumps(one)), copy.copy, copy.deepcopy])
def test_copy_of_a_redis_cache_has_its_own_client_for_the_same_database(
    copied: Callable[[Any], Any], database: Database
) -> None:
    database.client().execute_command("ACL", "SETUSER", "someone", "on", ">a-password", "~*", "+@all")
    url = f"redis://someone:a-password@127.0.0.1:{database.port}/3"
    cache = database.closing(OurCache.from_url(url, prefix="mine:"))
    cache.store(KEY, "record", 60.0)
    another = database.closing(copied(database.closing(copied(cache))))
    assert type(another) is OurCache
    assert another._client is not cache._client
    assert another.load(KEY) == "record"
    assert another._client.acl_whoami() in {"someone", b"someone"}
    assert "a-password" not in repr(another) + repr(vars(another))
    assert database.client(db=3).keys() == [f"mine:{KEY}".encode()]


@pytest.mark.parametrize("how", [pickle.dumps, copy.copy, copy.deepcopy])
def test_cache_with_a_live_client_cannot_be_copied(how: Callable[[Any], Any]) -> None:
    cache = RedisTokenCache(redis.Redis(password="a-password"))
    with pytest.raises(TypeError) as caught:
        how(cache)
    assert str(caught.value) == (
        "a live client cannot be pickled or copied; use RedisTokenCache.from_url(url)"
    )
    copy.deepcopy(auth_for("acme.thebase.co.il", cache=cache))  # in one process it shares the client


# Exits


def test_call_while_the_interpreter_exits_succeeds(path: Path) -> None:
    source = """
import atexit
auth = auth_with()
atexit.register(lambda: print(get(auth), flush=True))
"""
    with Sandbox() as thebase, python(source, thebase.domain, ("file", str(path))) as process:
        assert process.output()[0] == "200\n"


def test_hanging_cache_does_not_keep_the_interpreter_from_exiting() -> None:
    source = """
class Hanging:
    def load(self, *arguments, **options):
        threading.Event().wait()
    store = lock = load

print(get(auth_with(Hanging(), timeout=1)), flush=True)
"""
    with Sandbox() as thebase, python(source, thebase.domain) as process:
        out, err = process.output()
    assert out == "200\n"
    assert "Traceback" not in err
