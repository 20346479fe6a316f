"""Sessions in Redis, by redis-py (`pip install overgrow[identity]`)."""

from __future__ import annotations

import redis
from redis.exceptions import NoPermissionError

from overgrow.identity.reader import StoreAway

WAIT_S = 1.0


class RedisStore:
    """One Redis server. It connects at the first call."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._client: redis.Redis | None = None

    def get(self, key: str) -> bytes | None:
        """The value of a key; None when it is not there, or no longer.

        Raises:
            StoreAway: Redis does not answer.

        """
        try:
            value = self._open().get(key)
        except (redis.RedisError, OSError, ValueError) as error:
            raise StoreAway(_sentence(error)) from None
        return value if isinstance(value, bytes) else None

    def renew(self, key: str, lifetime_s: float) -> None:
        """Let a key live so long from now. A key that is gone stays gone; one without an end keeps none.

        Raises:
            StoreAway: Redis does not answer.

        """
        try:
            client, milliseconds = self._open(), round(lifetime_s * 1000)
            left = client.pttl(key)
            if isinstance(left, int) and 0 < left < milliseconds:
                client.pexpire(key, milliseconds)
        except (redis.RedisError, OSError, ValueError) as error:
            raise StoreAway(_sentence(error)) from None

    def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _open(self) -> redis.Redis:
        if self._client is None:
            self._client = redis.Redis.from_url(
                self._url,
                socket_timeout=WAIT_S,
                socket_connect_timeout=WAIT_S,
                health_check_interval=30,
            )
        return self._client


def _sentence(error: Exception) -> str:
    if isinstance(error, redis.AuthenticationError | NoPermissionError):
        return "Redis refuses the password or the user of the store"
    if isinstance(error, redis.ResponseError):
        return "Redis refuses the command"
    if isinstance(error, ValueError) and not isinstance(error, redis.RedisError):
        return "the store is not a redis:// URL"
    return "Redis does not answer"
