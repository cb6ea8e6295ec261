"""The bytes of many pictures, some of which may be where nobody answers."""

from __future__ import annotations

from collections.abc import Callable

from vizinho.engines import Row
from vizinho.errors import SourceError


class Reader:
    """Reads pictures by ``read``, from a key to bytes. May be used from several threads.

    A bucket out of reach is waited for once, not once for each of its pictures.
    """

    def __init__(self, read: Callable[[str], bytes]) -> None:
        self._read = read
        self._away: dict[str, SourceError] = {}

    def bytes(self, row: Row) -> bytes:
        """The bytes of a row's picture. Raises what ``read`` raises, and the SourceError of a
        bucket again for all that is in it."""
        bucket = row.url.partition("://")[2].partition("/")[0]
        if bucket and (known := self._away.get(bucket)) is not None:
            raise known
        try:
            return self._read(row.key)
        except SourceError as error:
            self._away[bucket] = error
            raise
