"""The two searches over an open gallery, and what they share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from vizinho.contract.errors import ApiError, bad_field
from vizinho.contract.fields import ExampleFields, SearchFields
from vizinho.contract.pictures import checked_key, decode_base64
from vizinho.contract.values import HINT
from vizinho.errors import FingerprintMismatch, SettingsError
from vizinho.gallery import Matches
from vizinho.gallery.examples import Example
from vizinho.gallery.view import GalleryView

TEN = 10

T = TypeVar("T")


@dataclass(frozen=True)
class Ways:
    """How to come by a picture that a request names.

    ``limit``: bytes that ``image_base64`` may decode to; ``fetch`` reads ``image_url``, or raises
    the ApiError that says it is not allowed; ``read`` gives the bytes of a picture of the gallery,
    by its key.
    """

    limit: int
    fetch: Callable[[str], bytes]
    read: Callable[[str], bytes]


def thesis_search(gallery: GalleryView, body: bytes, limit: int) -> Matches:
    """The ten pictures nearest to the one in ``body``, base64 text of at most ``limit`` bytes.

    Raises:
        ApiError, ImageError: the body is not base64, too large or no picture.
    """
    return gallery.search(decode_base64(body, limit), k=TEN)


def check_fingerprint(asked: str | None, here: str) -> None:
    """Raises FingerprintMismatch when a client counts on another model than the one ``here``."""
    if asked not in (None, here):
        raise FingerprintMismatch(
            f"This gallery was made with another model ({here[:12]}) than the one asked for.",
            "GET /v1/model tells which; distances of different models can't be compared.",
        )


def uploads(values: Sequence[T], fields: SearchFields) -> Sequence[T | None]:
    """Those of a form's values named ``image`` that are looked at: all where examples say which is
    what, else the last, or None where there is none."""
    return values if fields.examples else values[-1:] or [None]


def search(
    gallery: GalleryView,
    fields: SearchFields,
    files: Sequence[bytes],
    ways: Ways,
) -> Matches:
    """The pictures nearest to the one in ``files``, or to the one or the several that the fields
    name.

    Args:
        gallery: what is searched.
        fields: how, and which pictures.
        files: uploaded pictures; without ``examples`` the first is searched with.
        ways: to the pictures that are not in ``files``.

    Raises:
        ApiError, ImageError, KeyNotFound, GalleryError: a picture can't be had or used.
    """
    examples = examples_of(fields, files, ways)
    k, offset = fields.k, fields.offset
    with _as_field():
        matches = gallery.search_examples(examples, k, offset=offset, filter=fields.filter)
    if not fields.kinds:
        return matches
    # Imported here: few searches look at pixels.
    from vizinho.gallery.kinds import typed

    return typed(gallery, matches, examples, read=ways.read)


def query_vector(
    gallery: GalleryView,
    fields: SearchFields,
    files: Sequence[bytes],
    ways: Ways,
) -> NDArray[np.float32]:
    """The embedding float32 [D] that `search` would search with; its arguments and errors."""
    examples = examples_of(fields, files, ways)
    with _as_field():
        return gallery.query_vector(examples)


@contextmanager
def _as_field() -> Iterator[None]:
    try:
        yield
    except SettingsError as error:
        raise bad_field("examples", error.message, error.hint) from error


def examples_of(
    fields: SearchFields,
    files: Sequence[bytes],
    ways: Ways,
) -> list[Example]:
    """The picture or the several that a request names; see `search`."""
    if fields.examples:
        return _several(fields.examples, files, ways)
    single = ExampleFields(
        crop=fields.crop,
        image=0 if files else None,
        image_base64=fields.image_base64,
        image_url=fields.image_url,
        key=fields.key,
    )
    return [example_of(single, files, ways)]


def example_of(
    fields: ExampleFields,
    files: Sequence[bytes],
    ways: Ways,
) -> Example:
    """The picture that ``fields`` name, or its key where the gallery has its vector; see `search`.

    Raises:
        ApiError, KeyNotFound, SourceError: the picture can't be had.
    """
    weight, crop = fields.weight, fields.crop
    if fields.image is not None:
        return Example(files[fields.image], weight=weight, crop=crop)
    if fields.image_base64:
        data = decode_base64(fields.image_base64.encode(), ways.limit)
    elif fields.image_url:
        data = ways.fetch(fields.image_url)
    else:
        key = checked_key(str(fields.key))
        if crop is None:
            return Example(key=key, weight=weight)
        data = ways.read(key)
    return Example(data, weight=weight, crop=crop)


def _several(
    all_fields: Sequence[ExampleFields],
    files: Sequence[bytes],
    ways: Ways,
) -> list[Example]:
    used = {each.image for each in all_fields}
    for number in range(len(files)):
        if number not in used:
            raise bad_field("image", f"file {number} is in none of the examples", HINT)
    examples = []
    for number, fields in enumerate(all_fields):
        at = f"examples[{number}]"
        if fields.image is not None and fields.image >= len(files):
            raise bad_field(f"{at}.image", f"the form has {len(files)} files named image", HINT)
        with _named(at):
            examples.append(example_of(fields, files, ways))
    return examples


@contextmanager
def _named(at: str) -> Iterator[None]:
    try:
        yield
    except ApiError as error:
        message = f"{at}: {error.message}"
        raise ApiError(error.status, error.code, message, error.hint, error.headers) from error


def in_example(fields: SearchFields, number: int) -> AbstractContextManager[None]:
    """An ApiError inside names the example that is file ``number`` of the form, where one is."""
    for place, each in enumerate(fields.examples):
        if each.image == number:
            return _named(f"examples[{place}]")
    return nullcontext()
