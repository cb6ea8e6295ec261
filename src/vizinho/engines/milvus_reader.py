"""What is read from a collection of Milvus: by key, by hash, in pages, and counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vizinho.engines import milvus_schema as schema
from vizinho.engines.milvus_link import MilvusLink
from vizinho.engines.protocol import Row
from vizinho.errors import KeyNotFound

_PAGE = 256
"""Rows in one answer: of the longest metadata so many still fit into one of Milvus's messages."""
_LABELS = 4096


class MilvusReader:
    """The part of an engine that asks no vector; see `vizinho.engines.Engine`."""

    def __init__(self, link: MilvusLink, dimension: int) -> None:
        self.dimension = dimension
        self.address = link.address
        self._link = link
        self._collection = link.address.name

    def get(self, keys: Sequence[str]) -> list[Row]:
        """The rows of ``keys``, in that order; unknown keys are left out."""
        found = {
            each["key"]: schema.row_of(each) for each in self._by("key", keys, schema.ROW_FIELDS)
        }
        return [found[key] for key in keys if key in found]

    def find(self, hashes: Sequence[str]) -> dict[str, str]:
        """Key by content hash, for those of ``hashes`` that are here."""
        return {each["hash"]: each["key"] for each in self._by("hash", hashes, ["hash", "key"])}

    def scan(self, offset: int = 0, limit: int = 100, label: str | None = None) -> list[Row]:
        """Rows in the order of their keys; a deep page costs a question for every 16,384 rows."""
        condition = schema.passing({} if label is None else {"label": label})
        last = ""
        while offset > 0:
            step = min(offset, schema.DEEPEST)
            found = self._query(schema.after(last, condition), ["key"], 1, offset=step - 1)
            if not found:
                return []
            last = found[0]["key"]
            offset -= step
        return self._rows(last, limit, condition)

    def walk(self, after: str = "", limit: int = 1000, label: str | None = None) -> list[Row]:
        """``limit`` rows whose keys come after ``after``, in their order."""
        return self._rows(after, limit, schema.passing({} if label is None else {"label": label}))

    def labels(self) -> dict[str | None, int]:
        """How many rows each label has; reads the label of every row."""
        counted: Counter[str] = Counter()
        for page in self._pages("", ["key", "label"], "", _LABELS):
            counted.update(found["label"] for found in page)
        return {label[1:] if label else None: count for label, count in sorted(counted.items())}

    def vectors(self, keys: Sequence[str]) -> NDArray[np.float32]:
        """The vectors of ``keys`` [N, D]. Raises KeyNotFound for the first unknown one."""
        found = {
            each["key"]: schema.vector_of(each) for each in self._by("key", keys, ["key", "vector"])
        }
        matrix = np.empty((len(keys), self.dimension), np.float32)
        for place, key in enumerate(keys):
            if key not in found:
                raise KeyNotFound(f"The gallery has no picture {key!r}.")
            matrix[place] = found[key]
        return matrix

    def count(self) -> int:
        """How many rows there are."""
        (found,) = self._query("", ["count(*)"], None)
        return int(found["count(*)"])

    def _rows(self, last: str, limit: int, condition: str) -> list[Row]:
        rows: list[Row] = []
        for page in self._pages(last, schema.ROW_FIELDS, condition, min(limit, _PAGE)):
            rows += map(schema.row_of, page)
            if len(rows) >= limit:
                break
        return rows[:limit]

    def _pages(
        self, last: str, fields: list[str], condition: str, size: int
    ) -> Iterator[list[dict[str, Any]]]:
        """Everything that passes, in the order of keys."""
        while size > 0:
            page = self._query(schema.after(last, condition), fields, size)
            if page:
                yield page
            if len(page) < size:
                return
            last = page[-1]["key"]

    def _by(self, field: str, values: Sequence[str], fields: list[str]) -> Iterator[dict[str, Any]]:
        for part in schema.parts_of(list(dict.fromkeys(values))):
            yield from self._query(schema.among(field, part), fields, None)

    def _query(
        self, condition: str, fields: list[str], limit: int | None, *, offset: int = 0
    ) -> list[dict[str, Any]]:
        paged: dict[str, Any] = {} if limit is None else {"limit": limit, "offset": offset}
        found = self._link.call(
            lambda client, left: client.query(
                self._collection,
                filter=condition,
                output_fields=fields,
                timeout=left,
                **paged,
                **self._link.level,
            )
        )
        rows = [dict(each) for each in found]
        if limit is not None:
            rows.sort(key=lambda each: each["key"])
        return rows
