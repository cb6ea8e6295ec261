"""The engine for galleries that outgrow a machine: rows and vectors in a collection of Milvus.

A write is not one transaction there: it is batches of upserts by key, then deletes, and whatever
is cut short is put right by writing it again. What this process wrote it reads at once ("session");
what others wrote it sees as soon as the server's clock ticks, well within a second.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vizinho.engines import milvus_schema as schema
from vizinho.engines.milvus_address import MilvusAddress
from vizinho.engines.milvus_index import WatchedIndex, load, make_index, taken_up
from vizinho.engines.milvus_link import WRITING_SECONDS, MilvusLink
from vizinho.engines.milvus_reader import MilvusReader
from vizinho.engines.milvus_search import Searcher, checked
from vizinho.engines.protocol import Filter, Hit, Row
from vizinho.errors import GalleryDamaged, GalleryError, GalleryNotFound

_WITH_ROWS = 256
_RETRIES = 5


class MilvusEngine(MilvusReader):
    """See `vizinho.engines.Engine`; writers may be several at once, on any machines."""

    name = "milvus"

    def __init__(self, link: MilvusLink, dimension: int, index: WatchedIndex) -> None:
        super().__init__(link, dimension)
        self.before_write: Callable[[], None] | None = None
        """Called before each batch; what it raises ends the write."""
        self._index = index
        self._searcher = Searcher(self._fetch, self._nearest, dimension)

    @classmethod
    def create(cls, address: MilvusAddress, dimension: int) -> MilvusEngine:
        """Make the collection, empty, for vectors of ``dimension``. Raises GalleryError."""
        link = MilvusLink(address)
        kind = schema.index_for(0) if address.index == "auto" else address.index

        def make(client: Any, seconds: float) -> None:
            from pymilvus import DataType

            fields = client.create_schema(auto_id=False, enable_dynamic_field=False)
            schema.fill_schema(fields, DataType, dimension)
            client.create_collection(
                address.name,
                schema=fields,
                num_shards=address.shards,
                consistency_level="Session",
                timeout=seconds,
            )
            make_index(client, address.name, kind, seconds)
            # Asked for each picture that is brought in.
            names = client.prepare_index_params()
            names.add_index("hash", index_type="Trie")
            client.create_index(address.name, names, timeout=seconds, sync=False)

        link.call(make, seconds=WRITING_SECONDS)
        load(link)
        return cls(link, dimension, WatchedIndex(link, kind))

    @classmethod
    def open(cls, address: MilvusAddress) -> MilvusEngine:
        """Open the collection. Raises GalleryNotFound, GalleryDamaged, GalleryUnreachable."""
        link = MilvusLink(address)
        name = address.name
        try:
            if not link.call(lambda client, left: client.has_collection(name, timeout=left)):
                raise GalleryNotFound(
                    f"There is no gallery {name!r} in Milvus at {address.server}.",
                    f"Make one with `vizinho index FOLDER --engine {address}`.",
                )
            found = link.call(lambda client, left: client.describe_collection(name, timeout=left))
            dimension = schema.dimension_of(found)
            if dimension is None:
                raise GalleryDamaged(
                    f"The collection {name!r} in Milvus at {address.server} is no gallery of "
                    "Vizinho's.",
                    "Choose another name.",
                )
            return cls(link, dimension, taken_up(link))
        except BaseException:
            link.close()
            raise

    @staticmethod
    def exists(address: MilvusAddress) -> bool:
        """Whether there is a collection of that name. Raises GalleryUnreachable."""
        link = MilvusLink(address)
        try:
            there = link.call(
                lambda client, left: client.has_collection(address.name, timeout=left)
            )
            return bool(there)
        finally:
            link.close()

    @staticmethod
    def drop(address: MilvusAddress) -> None:
        """Delete the collection and all in it, if there is one."""
        link = MilvusLink(address)
        try:
            link.write(lambda client, left: client.drop_collection(address.name, timeout=left))
        finally:
            link.close()

    def add(
        self,
        rows: Sequence[Row],
        vectors: NDArray[np.float32],
        *,
        remove: Sequence[str] = (),
    ) -> None:
        """Insert or replace rows, then remove keys, in batches that may be repeated.

        In that order a kill in between leaves a picture twice, never not at all.
        """
        vectors = checked(vectors, len(rows), self.dimension)
        # Of a key that comes twice the last counts: in one message it would be undefined.
        made = {
            row.key: schema.entity(row, vector) for row, vector in zip(rows, vectors, strict=True)
        }
        for batch in schema.batches(list(made.values())):
            self._upsert(batch)
        self._delete([key for key in remove if key not in made])

    def remove(self, keys: Sequence[str]) -> int:
        """Remove rows; unknown keys are passed over. Returns how many there were."""
        here = [found["key"] for found in self._by("key", keys, ["key"])]
        self._delete(here)
        return len(here)

    def update(self, rows: Sequence[Row]) -> int:
        """Give rows a new label, URL and metadata; see `Engine.update`."""
        wanted = {row.key: row for row in rows}
        fields = ["key", "hash", "vector"]
        count = 0
        for part in schema.parts_of(list(wanted)):
            entities = []
            for found in self._by("key", part, fields):
                row = wanted[found["key"]]
                kept = Row(row.key, row.url, found["hash"], row.label, row.metadata)
                entities.append(schema.entity(kept, schema.vector_of(found)))
            for batch in schema.batches(entities):
                self._upsert(batch)
            count += len(entities)
        return count

    def search(
        self,
        vectors: NDArray[np.float32],
        k: int,
        *,
        offset: int = 0,
        filter: Filter | None = None,
        exact: bool = False,
    ) -> list[list[Hit]]:
        """The ``k`` nearest rows of each query; see `Engine.search`."""
        if k < 1 or offset < 0:
            raise GalleryError(f"k is {k} and offset {offset}: k must be 1 or more, offset 0.")
        vectors = checked(vectors, len(vectors), self.dimension)
        condition = schema.passing(filter)
        for attempt in range(_RETRIES):
            kind = self._index.kind(now=exact)
            found = self._searcher.search(
                vectors, offset + k, condition, exact=exact, flat=kind == "flat"
            )
            pages = [ranked[offset:] for ranked in found]
            rows = self._rows_of([entity for page in pages for _, _, entity in page])
            # A row may go between two questions, or the index become another: then ask again.
            whole = all(key in rows for page in pages for _, key, _ in page)
            if attempt == _RETRIES - 1 or (whole and self._index.kind(now=exact) == kind):
                break
        return [
            [Hit(key, distance, rows[key]) for distance, key, _ in page if key in rows]
            for page in pages
        ]

    def describe(self) -> dict[str, Any]:
        """How it searches now; ``bytes`` is that of the vectors, the server tells no other."""
        count, kind = self.count(), self._index.kind(now=True)
        version = self._link.call(lambda client, left: client.get_server_version(timeout=left))
        return {
            "index": kind,
            "exact": kind == "flat",
            "vectors": count,
            "bytes": 4 * self.dimension * count,
            "server": str(version),
            "consistency": self.address.consistency,
        }

    def seal(self) -> None:
        """Have what was written put into segments that are stored and indexed.

        Until then Milvus compares with rows in small chunks, which takes several times as long; by
        itself it waits for a hundred megabytes, or some minutes. For large writes only: every seal
        is a segment, to be merged later. A server that has no time for it now does it later.
        """
        with suppress(GalleryError):
            self._link.write(lambda client, left: client.flush(self._collection, timeout=left))

    def tune(self) -> bool:
        """Change to the index that suits the size now; whether there was one to change to.

        Nobody can search for some seconds (readers wait), then the server builds the new index
        while they do. Never back to a simpler one.
        """
        has, kind = self._index.kind(now=True), str(self.address.index)
        if kind == "auto":
            order = ["flat", "hnsw", "ivf_flat"]
            kind = max(has, schema.index_for(self.count()), key=order.index)
        if kind == has:
            return False
        self._index.change(kind)
        return True

    def catch_up(self) -> None:
        """See, from here on, all that other processes wrote before."""
        self._link.catch_up()

    def close(self) -> None:
        """Let go of the connection."""
        self._link.close()

    def _rows_of(self, entities: list[dict[str, Any]]) -> dict[str, Row]:
        rows = {each["key"]: schema.row_of(each) for each in entities if "url" in each}
        missing = sorted({each["key"] for each in entities} - rows.keys())
        return rows | {row.key: row for row in (self.get(missing) if missing else [])}

    def _fetch(self, last: str, condition: str, size: int) -> list[dict[str, Any]]:
        return self._query(schema.after(last, condition), ["key", "vector"], size)

    def _nearest(
        self, vectors: NDArray[np.float32], limit: int, condition: str
    ) -> list[list[dict[str, Any]]]:
        # With the rows where that is little: one question less.
        fields = [*(schema.ROW_FIELDS if limit <= _WITH_ROWS else ["key"]), "vector"]
        options = schema.search_options(self._index.kind(), limit)
        found = self._link.call(
            lambda client, left: client.search(
                self._collection,
                data=list(vectors),
                anns_field="vector",
                filter=condition,
                limit=limit,
                output_fields=fields,
                search_params=options,
                timeout=left,
                **self._link.level,
            )
        )
        return [[hit["entity"] for hit in hits] for hits in found]

    def _upsert(self, batch: list[dict[str, Any]]) -> None:
        if self.before_write is not None:
            self.before_write()
        self._link.write(lambda client, left: client.upsert(self._collection, batch, timeout=left))

    def _delete(self, keys: Sequence[str]) -> None:
        for part in schema.parts_of(list(dict.fromkeys(keys))):
            if self.before_write is not None:
                self.before_write()
            gone = schema.among("key", part)
            self._link.write(
                lambda client, left, gone=gone: client.delete(
                    self._collection, filter=gone, timeout=left
                )
            )
