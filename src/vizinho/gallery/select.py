"""Which pictures are meant: keys, patterns of keys, a filter; as a stream, in flat memory."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from vizinho.engines import Row, pages
from vizinho.engines.filters import where
from vizinho.gallery.changes import batches
from vizinho.gallery.view import GalleryView

_WILD = re.compile(r"[*?\[]")
_PAGE = 1000


class Selection:
    """Iterate over the rows that are meant: those of ``keys`` that pass ``filter``.

    A key that no picture has is a pattern if it holds ``*``, ``?`` or ``[``: ``*`` and ``?`` stay
    within a folder, ``**`` goes through folders, ``[abc]`` is one of these letters. ``keys`` None
    means all pictures. No row comes twice. ``unknown`` fills on the way with the keys and patterns
    that lead to nothing. Raises GalleryError for a filter that can't be one.
    """

    def __init__(
        self,
        gallery: GalleryView,
        keys: Iterable[str] | None = None,
        filter: Mapping[str, Any] | None = None,
    ) -> None:
        self._gallery = gallery
        self._keys = keys
        self._filter = dict(filter or {})
        where(self._filter)
        self.unknown: list[str] = []

    def __iter__(self) -> Iterator[Row]:
        rows = self._all() if self._keys is None else self._named(self._keys)
        return (row for row in rows if passes(row, self._filter))

    def _all(self) -> Iterator[Row]:
        label = self._filter.get("label")
        return walk(self._gallery, label=label)

    def _named(self, keys: Iterable[str]) -> Iterator[Row]:
        seen: set[str] = set()
        for batch in batches(keys, _PAGE):
            found = {row.key: row for row in self._gallery.get_many(batch)}
            for key in batch:
                rows: Iterable[Row] = [found[key]] if key in found else self._matching(key)
                known = False
                for row in rows:
                    known = True
                    if row.key not in seen:
                        seen.add(row.key)
                        yield row
                if not known:
                    self.unknown.append(key)

    def _matching(self, pattern: str) -> Iterator[Row]:
        wild = _WILD.search(pattern)
        if wild is None:
            return
        # Keys that begin alike lie side by side: only those are looked at.
        fixed = pattern[: wild.start()]
        meant = re.compile(_as_regex(pattern))
        if fixed:
            yield from (row for row in self._gallery.get_many([fixed]) if meant.fullmatch(row.key))
        for row in walk(self._gallery, fixed):
            if not row.key.startswith(fixed):
                return
            if meant.fullmatch(row.key):
                yield row


def walk(gallery: GalleryView, after: str = "", label: str | None = None) -> Iterator[Row]:
    """All rows whose keys come after ``after``, in their order; of one label if given."""
    for page in pages(gallery, after=after, size=_PAGE, label=label):
        yield from page


def passes(row: Row, filter: Mapping[str, Any]) -> bool:
    """Whether a row passes a filter, by the rules of `vizinho.engines.Filter`."""
    for name, value in filter.items():
        have = row.label if name == "label" else row.metadata.get(name)
        if isinstance(value, bool) or isinstance(have, bool):
            # In JSON true is not 1, as it is in Python.
            if have is not value:
                return False
        elif have != value:
            return False
    return True


def _as_regex(pattern: str) -> str:
    parts = []
    for token in re.findall(r"\*\*/|\*\*|\*|\?|\[[^\]]+\]|.", pattern, re.S):
        if token == "**/":
            parts.append("(?:.*/)?")
        elif token == "**":
            parts.append(".*")
        elif token == "*":
            parts.append("[^/]*")
        elif token == "?":
            parts.append("[^/]")
        elif len(token) > 2 and token.startswith("["):
            inside = re.sub(r"([\\\[&~|])", r"\\\1", token[1:-1])
            parts.append(f"[^{inside[1:]}]" if inside[0] in "!^" and inside[1:] else f"[{inside}]")
        else:
            parts.append(re.escape(token))
    return "".join(parts)
