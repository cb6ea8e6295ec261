"""A filter as SQL over the catalogue's columns."""

from __future__ import annotations

import math
from typing import Any

from vizinho.engines.protocol import Filter
from vizinho.errors import GalleryError

#: Fields of a filter. SQLite takes a thousand conditions, of which each is a few; Milvus fewer
#: than a hundred.
MOST = 32

# json_each rather than a JSON path: a field may have any name, quotes and dots included.
_FIELD = """EXISTS (SELECT 1 FROM json_each(metadata) AS field
    WHERE field.key = ? AND field.atom = ? AND field.type {kind})"""
_NO_FIELD = """NOT EXISTS (SELECT 1 FROM json_each(metadata) AS field
    WHERE field.key = ? AND field.type <> 'null')"""


def where(filter: Filter) -> tuple[str, list[Any]]:
    """An SQL condition and the values bound in it. Raises GalleryError for values it can't compare,
    and for more than `MOST` fields.

    A boolean equals only itself, as in JSON, where 1 and true differ; 1 and 1.0 are equal.
    """
    if len(filter) > MOST:
        raise GalleryError(f"The filter has {len(filter):,} fields; {MOST} are the most.")
    conditions = ["TRUE"]
    values: list[Any] = []
    for name, value in filter.items():
        if not (value is None or isinstance(value, str | bool | int | float)) or (
            isinstance(value, float) and not math.isfinite(value)
        ):
            raise GalleryError(
                f"The filter {name!r} asks for {value!r}: only a text, a number, true, false or "
                "none can be compared."
            )
        if name == "label":
            if not (value is None or isinstance(value, str)):
                raise GalleryError(f"The filter 'label' asks for {value!r}; labels are texts.")
            conditions.append("label IS ?")
            values.append(value)
        elif value is None:
            conditions.append(_NO_FIELD)
            values.append(name)
        else:
            if isinstance(value, bool):
                kind = "IN ('true', 'false')"
            elif isinstance(value, str):
                kind = "= 'text'"
            else:
                kind = "IN ('integer', 'real')"
                value = _number(name, value)
            conditions.append(_FIELD.format(kind=kind))
            values += [name, value]
    return " AND ".join(conditions), values


def _number(name: str, value: int | float) -> int | float:
    """As SQLite holds it: a whole number of more than 64 bits is a float there."""
    if isinstance(value, float) or -(2**63) <= value < 2**63:
        return value
    try:
        return float(value)
    except OverflowError as error:
        raise GalleryError(f"The filter {name!r} asks for a number that is too large.") from error
