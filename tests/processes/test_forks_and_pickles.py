"""Auth objects with a cache in forked children, in copies, and while the interpreter exits."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import redis
import valkey as valkey_py

from tests.support.caches import KEY, cache_threads, few_clients, until
from tests.support.clients import Client, auth_for
from tests.support.databases import Database
from tests.support.memory_cache import METHODS, Gate, MemoryCache
from tests.support.processes import fork_with_threads, in_a_child, needs_fork, python, stopped
from tests.support.servers import api_server
from thebase_auth.caches import RedisTokenCache
from thebase_auth.testing import Sandbox

# Forks


@few_clients
@pytest.mark.parametrize("method", METHODS)
@needs_fork
@fork_with_threads
def test_fork_while_the_cache_is_in_use_leaves_child_and_parent_free(client: Client, method: str) -> None:
    gate = Gate(method)
    shelf = MemoryCache(gate)
    with api_server() as (server, _), ThreadPoolExecutor(1) as pool:
        auth = auth_for(server.url, cache=shelf, timeout=3)
        leader = pool.submit(client.get, auth, server.url + "/a", timeout=20)
        assert gate.reached.wait(20)

        def call() -> bool:
            shelf.before = lambda method: None
            auth.forget()
            before = shelf.calls.count("load")
            status = client.get(auth, server.url + "/child", timeout=3).status
            return status == 200 and shelf.calls.count("load") > before

        assert in_a_child(call)
        gate.opened.set()
        assert leader.result(20).status == 200
        until(lambda: not cache_threads())
    assert gate.was_opened_in_time
    assert not shelf.locked


# Copies

COPIES: dict[str, Callable[[Any], Any]] = {
    "pickle": lambda one: pickle.loads(pickle.dumps(one)),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
}
any_copy = pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)


class OurCache(RedisTokenCache):
    """As a user may derive one."""


@any_copy
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


@pytest.mark.parametrize("construct", [redis.Redis, valkey_py.Valkey])
@pytest.mark.parametrize("how", [pickle.dumps, copy.copy, copy.deepcopy])
def test_live_client_cannot_be_copied_and_the_error_says_what_can(
    construct: Any, how: Callable[[Any], Any]
) -> None:
    with construct(password="a-password") as client:
        cache = RedisTokenCache(client)
        with pytest.raises(
            TypeError,
            match=r"^a live client cannot be pickled or copied; use RedisTokenCache\.from_url\(url\)$",
        ) as caught:
            how(cache)
        assert "a-password" not in str(caught.value)
        copy.deepcopy(auth_for("acme.thebase.co.il", cache=cache))  # in one process it shares the client


# Exits


def test_call_while_the_interpreter_exits_succeeds(tmp_path: Path) -> None:
    source = """
import atexit
auth = auth_with(cache)
atexit.register(lambda: print(get(auth), flush=True))
"""
    with Sandbox() as thebase:
        process = python(source, thebase.domain, ("file", str(tmp_path / "tokens.json")))
        assert process.output()[0] == "200\n"


@pytest.mark.parametrize("kind", ["thread", "redis"])
def test_hanging_cache_does_not_keep_the_interpreter_from_exiting(kind: str, valkey: Database) -> None:
    source = """
class Hanging:
    def load(self, *arguments, **options):
        threading.Event().wait()
    store = lock = load

print(get(auth_with(cache or Hanging(), timeout=2)), flush=True)
"""
    with Sandbox() as thebase, ExitStack() as stack:
        if kind == "redis":
            stack.enter_context(stopped(valkey.pid))
        address = f"redis://127.0.0.1:{valkey.port}/0?socket_timeout=60"
        process = stack.enter_context(python(source, thebase.domain, (kind, address)))
        out, err = process.output()
    assert out == "200\n"
    assert "Traceback" not in err
