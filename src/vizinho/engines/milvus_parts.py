"""Files in a Milvus: bytes by name, in parts, for the little that a gallery needs besides rows.

Milvus keeps what it is asked for in memory, and has no field for bytes: they stand as base64 in
texts of at most 65,535 bytes, beside a vector that nobody asks for, because there must be one.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from vizinho.engines.milvus_address import MilvusAddress
from vizinho.engines.milvus_link import WRITING_SECONDS, MilvusLink
from vizinho.engines.milvus_schema import after, among, parts_of

_PART_BYTES = 48_000
_TEXT_BYTES = 65_535
_NAME_BYTES = 1024
_AT_ONCE = 64
_PAGE = 10_000


class MilvusParts:
    """Named bytes in the collection ``NAME_suffix``, which is made when it is first written to."""

    def __init__(self, address: MilvusAddress, suffix: str) -> None:
        self._link = MilvusLink(replace(address, name=f"{address.name}_{suffix}"))
        self._name = f"{address.name}_{suffix}"
        self._there = False

    def put(self, name: str, data: bytes) -> None:
        """Write ``data`` as ``name``, in place of what was. Raises GalleryError."""
        self._make()
        pieces = [data[i : i + _PART_BYTES] for i in range(0, len(data), _PART_BYTES)] or [b""]
        entities = [
            {
                "part": f"{name}#{number:06d}",
                "name": name,
                "data": base64.b64encode(piece).decode(),
                "count": len(pieces),
                "vector": [0.0, 0.0],
            }
            for number, piece in enumerate(pieces)
        ]
        # The first part says how many there are: written last, it makes the others count.
        for batch in reversed(list(parts_of(entities, _AT_ONCE))):
            self._link.write(
                lambda client, left, batch=batch: client.upsert(self._name, batch, timeout=left)
            )

    def read(self, name: str, *, latest: bool = False) -> bytes | None:
        """The bytes of ``name``; None when they are not there, or not all of them yet.

        ``latest`` waits for the server's next tick: what anybody wrote before is seen.
        """
        pieces: list[bytes] = []
        count = 1
        while len(pieces) < count:
            numbers = range(len(pieces), min(count, len(pieces) + _AT_ONCE))
            wanted = [f"{name}#{number:06d}" for number in numbers]
            found = {
                each["part"]: each
                for each in self._query(
                    among("part", wanted), ["part", "data", "count"], latest=latest
                )
            }
            for part in wanted:
                if part not in found:
                    return None
                pieces.append(base64.b64decode(found[part]["data"]))
            count = int(found[wanted[-1]]["count"])
        return b"".join(pieces)

    def has(self, name: str) -> bool:
        """Whether there is something of that name."""
        return bool(self._query(among("part", [f"{name}#000000"]), ["part"]))

    def delete(self, names: Sequence[str]) -> None:
        """Remove names; unknown ones are passed over."""
        for part in parts_of(list(names)):
            gone = [each["part"] for each in self._query(among("name", part), ["part"])]
            for some in parts_of(gone):
                self._link.write(
                    lambda client, left, some=some: client.delete(
                        self._name, filter=among("part", some), timeout=left
                    )
                )

    def names(self) -> Iterator[str]:
        """All names, in order."""
        last = ""
        while page := self._query(after(last, "", "part"), ["part"], limit=_PAGE):
            parts = sorted(each["part"] for each in page)
            yield from (part[:-7] for part in parts if part.endswith("#000000"))
            last = parts[-1]

    def drop(self) -> None:
        """Delete the collection, if there is one."""
        self._link.write(lambda client, left: client.drop_collection(self._name, timeout=left))
        self._there = False

    def clock(self) -> float:
        """The server's time in seconds."""
        return self._link.clock()

    def close(self) -> None:
        """Let go of the connection."""
        self._link.close()

    def _query(
        self,
        condition: str,
        fields: list[str],
        *,
        limit: int | None = None,
        latest: bool = False,
    ) -> list[dict[str, Any]]:
        if not self._exists():
            return []
        level = {"consistency_level": "Strong"} if latest else self._link.level
        paged = {} if limit is None else {"limit": limit}
        found = self._link.call(
            lambda client, left: client.query(
                self._name,
                filter=condition,
                output_fields=fields,
                timeout=left,
                **paged,
                **level,
            )
        )
        return [dict(each) for each in found]

    def _exists(self) -> bool:
        if not self._there:
            name = self._name
            self._there = self._link.call(
                lambda client, left: client.has_collection(name, timeout=left)
            )
            if self._there:
                self._load()
        return self._there

    def _load(self) -> None:
        self._link.call(
            lambda client, left: client.load_collection(self._name, timeout=left),
            seconds=WRITING_SECONDS,
        )

    def _make(self) -> None:
        if self._exists():
            return

        def make(client: Any, left: float) -> None:
            from pymilvus import DataType

            fields = client.create_schema(auto_id=False, enable_dynamic_field=False)
            fields.add_field("part", DataType.VARCHAR, is_primary=True, max_length=_NAME_BYTES + 16)
            fields.add_field("name", DataType.VARCHAR, max_length=_NAME_BYTES)
            fields.add_field("data", DataType.VARCHAR, max_length=_TEXT_BYTES)
            fields.add_field("count", DataType.INT32)
            fields.add_field("vector", DataType.FLOAT_VECTOR, dim=2)
            client.create_collection(self._name, schema=fields, num_shards=1, timeout=left)
            index = client.prepare_index_params()
            index.add_index("vector", index_type="FLAT", metric_type="L2")
            index.add_index("name", index_type="Trie")
            client.create_index(self._name, index, timeout=left)

        self._link.call(make, seconds=WRITING_SECONDS)
        self._load()
        self._there = True
