"""Where the processes of one machine, or of a fleet, share one token.

.. code-block:: python

    from thebase_auth.caches import FileTokenCache, RedisTokenCache

    TheBaseAuth(domain, client_id, client_secret, cache=FileTokenCache())
    TheBaseAuth(domain, client_id, client_secret, cache=RedisTokenCache(redis.Redis(...)))

Both keep the token in plain text, readable for the owner of the file or the users of the Redis database:
protect them like the token itself. The client secret is not in them, in any form from which it could be
restored.
"""

from ._file import FileTokenCache
from ._protocol import TokenCache
from ._redis import RedisTokenCache

__all__ = ["FileTokenCache", "RedisTokenCache", "TokenCache"]
