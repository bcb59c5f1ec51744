"""One process of the fleet in test_fleet.py: makes a call when told to, and says how that went.

Commands and answers are lines of JSON, on standard input and output.
"""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

from thebase_auth.caches import FileTokenCache, RedisTokenCache


class Warnings(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


def cache_of(kind: str, address: str) -> FileTokenCache | RedisTokenCache:
    if kind == "file":
        return FileTokenCache(address)
    import redis

    return RedisTokenCache(redis.Redis.from_url(address))


def client_of(library: str, credentials: list[str], cache: Any) -> Any:
    if library == "requests":
        import requests

        from thebase_auth.requests import TheBaseAuth

        session = requests.Session()
        session.auth = TheBaseAuth(*credentials, cache=cache)
        return session
    import httpx

    from thebase_auth.httpx import TheBaseAuth as HttpxAuth

    return httpx.Client(auth=HttpxAuth(*credentials, cache=cache), timeout=30)


def say(answer: Any) -> None:
    print(json.dumps(answer), flush=True)


def main() -> None:
    warnings = Warnings()
    logging.getLogger("thebase_auth").addHandler(warnings)
    client: Any = None
    for line in sys.stdin:
        match json.loads(line):
            case {"library": library, "credentials": credentials, "cache": cache}:
                client = client_of(library, credentials, cache_of(*cache))
                say("ready")
            case {"get": url}:
                say("calling")
                say([client.get(url).status_code, *warnings.texts])


if __name__ == "__main__":
    main()
