"""A process that makes a call when told to, and reports its status and its warnings.

Commands and replies are lines of JSON, on standard input and output.
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
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


def cache_of(kind: str, address: str) -> FileTokenCache | RedisTokenCache | None:
    """The cache at a path or a URL."""
    match kind:
        case "file":
            return FileTokenCache(address)
        case "redis":
            return RedisTokenCache.from_url(address)
    return None


def client_of(library: str, credentials: list[str], **options: Any) -> Any:
    if library == "requests":
        import requests

        from thebase_auth.requests import TheBaseAuth

        session = requests.Session()
        session.auth = TheBaseAuth(*credentials, **options)
        return session
    import httpx

    from thebase_auth.httpx import TheBaseAuth as HttpxAuth

    return httpx.Client(auth=HttpxAuth(*credentials, **options), timeout=options["timeout"])


def say(reply: Any) -> None:
    print(json.dumps(reply), flush=True)


def main() -> None:
    warnings = Warnings()
    logging.getLogger("thebase_auth").addHandler(warnings)
    client: Any = None
    for line in sys.stdin:
        match json.loads(line):
            case {"library": library, "credentials": credentials, "cache": cache, "timeout": timeout}:
                client = client_of(library, credentials, cache=cache_of(*cache), timeout=timeout)
                say("ready")
            case {"get": url}:
                say("calling")
                try:
                    result = client.get(url).status_code
                except Exception as error:
                    result = type(error).__name__
                say([result, *warnings.messages])


if __name__ == "__main__":
    main()
