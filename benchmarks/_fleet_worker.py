"""One process of the fleet, run by fleet.py: it makes a call when told to, and says how that went.

It reads commands from its standard input and answers each on its standard output, in lines of JSON.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Any, TypeAlias
from uuid import uuid4

from . import _peers, expect_many_auth_objects

#: Where a cache is: the kind and its address, or None for no cache.
Place: TypeAlias = tuple[str, str] | None

_TIMEOUT = 30  # seconds


class _Warnings(logging.Handler):
    """Keeps what the package has to say."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


def cache_at(place: Place) -> Any:
    """A cache object of this process's own."""
    from thebase_auth.caches import FileTokenCache, RedisTokenCache

    if place is None:
        return None
    kind, address = place
    if kind == "file":
        return FileTokenCache(address)
    import redis

    url, _, prefix = address.partition("#")
    return RedisTokenCache(redis.Redis.from_url(url), prefix=prefix)


def fresh(place: Place) -> Place:
    """The same kind of cache, with nothing in it."""
    return place and (place[0], f"{place[1]}{uuid4().hex}")


class _Requests:
    """A session of requests that has a connection open, and nothing else yet."""

    def __init__(self, server: _peers.Server, place: Place) -> None:
        from requests.adapters import HTTPAdapter

        from thebase_auth.requests import TheBaseAuth

        adapter = HTTPAdapter()
        unsigned = _peers.session_by(adapter)
        auth = TheBaseAuth(server.url, *server.credentials, cache=cache_at(place), session=unsigned)
        self._session = _peers.session_by(adapter, auth)
        unsigned.get(server.url, timeout=_TIMEOUT)

    def get(self, url: str) -> int:
        return self._session.get(url, timeout=_TIMEOUT).status_code

    def close(self) -> None:
        self._session.close()


class _Httpx:
    """The same with a client of httpx."""

    def __init__(self, server: _peers.Server, place: Place) -> None:
        import httpx

        from thebase_auth.httpx import TheBaseAuth

        auth = TheBaseAuth(server.url, *server.credentials, cache=cache_at(place))
        self._client = httpx.Client(auth=auth, timeout=_TIMEOUT)
        self._client.headers["Accept"] = "application/json"
        self._client.get(server.url, auth=None)

    def get(self, url: str) -> int:
        return self._client.get(url).status_code

    def close(self) -> None:
        self._client.close()


def main() -> None:
    """Do what is commanded, until the standard input ends."""
    library, *address = sys.argv[1:]
    server = _peers.Server(*address)
    warnings = _Warnings()
    expect_many_auth_objects()
    logging.getLogger("thebase_auth").addHandler(warnings)
    client: Any = None
    for line in sys.stdin:
        match json.loads(line):
            case {"begin": place}:
                if client is not None:
                    client.close()
                client = (_Requests if library == "requests" else _Httpx)(server, place)
                answer: dict[str, Any] = {}
            case {"call_at": moment}:  # of a clock that all processes of a machine share
                time.sleep(max(moment - time.monotonic(), 0))
                status = _status_of(client, f"{server.url}/v2/users")
                answer = {"status": status, "seconds": time.monotonic() - moment}
            case other:
                raise ValueError(f"not understood: {other!r}")
        print(json.dumps({**answer, "warnings": warnings.texts}), flush=True)
        warnings.texts.clear()


def _status_of(client: Any, url: str) -> int:
    try:
        status: int = client.get(url)
    except Exception as error:
        logging.getLogger("thebase_auth").warning("%s: %s", type(error).__name__, error)
        return 0
    return status


if __name__ == "__main__":
    main()
