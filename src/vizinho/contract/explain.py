"""Explaining a match: the request read, the answer made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from vizinho.contract.errors import bad_field
from vizinho.contract.fields import PICTURES, ExampleFields, crop_of
from vizinho.contract.pictures import checked_key
from vizinho.contract.search import Ways, example_of
from vizinho.contract.values import (
    HINT,
    form_texts,
    json_object,
    only,
    plain,
    required_text,
)
from vizinho.explain import Explanation, Regions
from vizinho.gallery.view import GalleryView

_FORM = ("with", "crop", "fingerprint")


@dataclass(frozen=True)
class ExplainFields:
    """The ``query``, the key of the picture that it is explained ``beside``, and the model that is
    counted on."""

    query: ExampleFields
    beside: str
    fingerprint: str | None


def explain_form(items: Iterable[tuple[str, object]]) -> ExplainFields:
    """The fields of a form beside its file ``image``: ``crop`` is JSON text, the rest plain.

    Raises:
        ApiError: 422, naming the field; 404 for a key that can't be one.
    """
    fields = form_texts(items, ("crop",))
    only(fields, _FORM)
    return _checked(fields, image=0)


def explain_json(text: bytes) -> ExplainFields:
    """The same as JSON, with the picture in one of three ways. There may be megabytes of it.

    Raises:
        ApiError: 400 when it is not JSON, 422 naming the field, 404 for a key that can't be one.
    """
    value = json_object(text)
    only(value, (*_FORM, *PICTURES))
    plain(value)
    given = [name for name in PICTURES if value.get(name) not in (None, "")]
    if len(given) != 1:
        raise bad_field("body", f"give exactly one of {', '.join(PICTURES)}", HINT)
    return _checked(value, **{given[0]: required_text(given[0], value[given[0]])})


def _checked(values: Mapping[str, Any], **picture: Any) -> ExplainFields:
    fingerprint = values.get("fingerprint")
    return ExplainFields(
        ExampleFields(crop=crop_of(values.get("crop")), **picture),
        checked_key(required_text("with", values.get("with"))),
        None if fingerprint is None else required_text("fingerprint", fingerprint),
    )


def explain(
    gallery: GalleryView,
    fields: ExplainFields,
    data: bytes | None,
    ways: Ways,
) -> dict[str, Any]:
    """Which regions made a match, as JSON; the arguments are those of `contract.search.search`.

    Raises:
        ApiError, ImageError, KeyNotFound, NotExplainable: it can't be had or explained.
    """
    files = [] if data is None else [data]
    example = example_of(fields.query, files, ways)
    source = ways.read(str(example.key)) if example.picture is None else example.picture
    return explain_answer(gallery.explain(source, fields.beside, crop=example.crop))


def explain_answer(found: Explanation) -> dict[str, Any]:
    """An explanation as JSON. Nothing is rounded, so that the parts add up there too."""
    return {
        "distance": found.distance,
        "similarity": found.similarity,
        "query": _regions(found.query),
        "match": _regions(found.match),
        "exact": True,
    }


def _regions(side: Regions) -> dict[str, Any]:
    rows, columns = side.values.shape
    box = side.box
    return {
        "rows": rows,
        "columns": columns,
        "values": side.values.ravel().tolist(),
        "bias": side.bias,
        "length": side.length,
        "box": {"top": box.top, "left": box.left, "bottom": box.bottom, "right": box.right},
    }
