"""What a row is in Milvus: its fields, the expressions over them, and the index over its vectors.

Every filter is an expression over ``facets``, an array of digests: one for the label, and two for
each field of the metadata (that it is there, and what it is). So no text of a user ever stands in
an expression, and values compare exactly as `vizinho.engines.filters` has them compare, whatever
the server thinks of JSON.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from vizinho.engines.catalogue import metadata_text
from vizinho.engines.filters import where
from vizinho.engines.protocol import Filter, Row
from vizinho.errors import GalleryError

T = TypeVar("T")

DEEPEST = 16_384
"""Milvus answers no search or page that reaches further than this."""
ROW_FIELDS = ["key", "url", "hash", "label", "metadata"]
KEYS_AT_ONCE = 500
_TEXTS = {"url": 16_384, "hash": 256, "label": 4096, "metadata": 65_535}
_KEY_BYTES = 4096
_FACETS = 4096
_FACET_BYTES = 10
_BATCH_BYTES = 8 * 1024 * 1024
_FIELDS = {"key", "facets", "vector", *_TEXTS}

# Where comparing with everything costs more than a person notices, and where a graph's own memory
# and building time become the larger part. Measured, and explained, in docs/distributed.md.
_FLAT_ROWS = 200_000
_HNSW_ROWS = 50_000_000


def fill_schema(schema: Any, types: Any, dimension: int) -> None:
    """Add the fields of a gallery of vectors [``dimension``] to a new schema of pymilvus."""
    schema.add_field("key", types.VARCHAR, is_primary=True, max_length=_KEY_BYTES)
    for name, most in _TEXTS.items():
        schema.add_field(name, types.VARCHAR, max_length=most)
    schema.add_field(
        "facets",
        types.ARRAY,
        element_type=types.VARCHAR,
        max_length=2 * _FACET_BYTES,
        max_capacity=_FACETS,
    )
    schema.add_field("vector", types.FLOAT_VECTOR, dim=dimension)


def dimension_of(described: dict[str, Any]) -> int | None:
    """The length of the vectors of a collection; None when it is none of ours."""
    fields = {field["name"]: field for field in described["fields"]}
    if not _FIELDS.issubset(fields):
        return None
    return int(fields["vector"]["params"]["dim"])


def index_for(count: int) -> str:
    """The index that suits so many vectors."""
    if count <= _FLAT_ROWS:
        return "flat"
    return "hnsw" if count <= _HNSW_ROWS else "ivf_flat"


def index_options(kind: str) -> dict[str, Any]:
    """How an index is built. Lists are for a segment of some hundred thousand vectors."""
    build = {"flat": {}, "ivf_flat": {"nlist": 1024}, "hnsw": {"M": 16, "efConstruction": 200}}
    return {"index_type": kind.upper(), "metric_type": "L2", "params": build[kind]}


def search_options(kind: str, limit: int) -> dict[str, Any]:
    """How far an index looks for ``limit`` answers."""
    look: dict[str, dict[str, int]] = {
        "flat": {},
        "ivf_flat": {"nprobe": 64},
        "hnsw": {"ef": min(max(128, 2 * limit), 32_768)},
    }
    return {"metric_type": "L2", "params": look[kind]}


def entity(row: Row, vector: NDArray[np.float32]) -> dict[str, Any]:
    """A row as Milvus takes it. Raises GalleryError for what doesn't fit."""
    made: dict[str, Any] = {
        "key": row.key,
        "url": row.url,
        "hash": row.hash,
        # An empty text is no label, so that there is one that is the empty text.
        "label": "" if row.label is None else f"={row.label}",
        "metadata": metadata_text(row),
        "facets": sorted(_facets(row)),
        "vector": vector,
    }
    for name, most in {"key": _KEY_BYTES, **_TEXTS}.items():
        try:
            length = len(made[name].encode())
        except UnicodeEncodeError as error:
            raise GalleryError(f"The {name} of {row.key!r} is not valid text.") from error
        if length > most:
            raise GalleryError(
                f"The {name} of {row.key[:80]!r} has {length:,} bytes; Milvus takes {most:,}.",
                "Keep what is long where the pictures are, and its address here.",
            )
    if len(made["facets"]) > _FACETS:
        raise GalleryError(
            f"The metadata of {row.key!r} has {len(row.metadata):,} fields; a gallery in Milvus "
            f"takes {(_FACETS - 1) // 2:,}."
        )
    return made


def row_of(found: dict[str, Any]) -> Row:
    """The row that was made an entity."""
    label = found["label"]
    metadata = found["metadata"]
    return Row(
        found["key"],
        found["url"],
        found["hash"],
        label[1:] if label else None,
        json.loads(metadata) if metadata != "{}" else {},
    )


def vector_of(found: dict[str, Any]) -> NDArray[np.float32]:
    """The vector [D] of an entity that came back."""
    return np.asarray(found["vector"], np.float32)


def batches(entities: Sequence[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Entities in messages of a few megabytes."""
    batch: list[dict[str, Any]] = []
    size = 0
    for each in entities:
        texts = sum(len(each[name]) for name in ("key", *_TEXTS))
        cost = 4 * texts + 24 * len(each["facets"]) + 4 * len(each["vector"])
        if batch and (size + cost > _BATCH_BYTES or len(batch) >= KEYS_AT_ONCE):
            yield batch
            batch, size = [], 0
        batch.append(each)
        size += cost
    if batch:
        yield batch


def parts_of(values: Sequence[T], size: int = KEYS_AT_ONCE) -> Iterator[Sequence[T]]:
    """``values`` in runs of ``size``."""
    for start in range(0, len(values), size):
        yield values[start : start + size]


def passing(filter: Filter | None) -> str:
    """The expression for rows that pass; empty for all. Raises GalleryError as `where` does."""
    where(filter or {})
    conditions = []
    for name, value in (filter or {}).items():
        if name == "label":
            conditions.append(_has(_digest("label", value)))
        elif value is None:
            conditions.append(f"not {_has(_digest('field', name))}")
        else:
            conditions.append(_has(_digest("value", name, _comparable(value))))
    return " and ".join(conditions)


def among(field: str, values: Sequence[str]) -> str:
    """The expression for rows whose ``field`` is one of ``values``."""
    return f"{field} in [{', '.join(map(_quoted, values))}]"


def after(key: str, condition: str, field: str = "key") -> str:
    """``condition``, and a key that sorts after ``key``."""
    beyond = f"{field} > {_quoted(key)}"
    return f"({condition}) and {beyond}" if condition else beyond


def _has(digest: str) -> str:
    return f'array_contains(facets, "{digest}")'


def _quoted(text: str) -> str:
    """A text as a literal of Milvus's expressions: as in C, with all that has a meaning escaped."""
    escapes = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise GalleryError(f"{text!r} is not valid text.") from error
    return '"' + "".join(escapes.get(character, character) for character in text) + '"'


def _facets(row: Row) -> Iterator[str]:
    yield _digest("label", row.label)
    for name, value in row.metadata.items():
        if value is None:
            continue
        yield _digest("field", name)
        if isinstance(value, str | bool | int | float):
            yield _digest("value", name, _comparable(value))


def _comparable(value: str | bool | int | float) -> list[Any]:
    """Equal for what filters call equal: 1 and 1.0, but not true; a whole number of more than 64
    bits is the nearest float."""
    if isinstance(value, bool):
        return ["boolean", value]
    if isinstance(value, str):
        return ["text", value]
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        try:
            value = float(value)
        except OverflowError:
            return ["number", "beyond"]
    if isinstance(value, float) and value.is_integer() and -(2.0**63) <= value < 2.0**63:
        value = int(value)
    return ["number", repr(value) if math.isfinite(value) else "beyond"]


def _digest(*parts: Any) -> str:
    text = json.dumps(parts)
    return hashlib.blake2b(text.encode(), digest_size=_FACET_BYTES).hexdigest()
