"""What each result is beside the query: really recompressed, turned and resized pictures."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from toy_scenes import CHANGES, scene
from toys import encode, make_toy_bundle
from vizinho.errors import KeyNotFound
from vizinho.gallery import Gallery, GalleryView, NewImage
from vizinho.gallery.dedupe import find_duplicates
from vizinho.gallery.examples import Example
from vizinho.gallery.kinds import IDENTICAL, NEAR, SIMILAR, _Remembered, remembered, typed
from vizinho.gallery.looks import LOOKS
from vizinho.images import Crop

SIZE = (240, 180)


@pytest.fixture(autouse=True)
def nothing_remembered() -> None:
    remembered.clear()


def as_jpeg(image: Image.Image, quality: int) -> bytes:
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def as_read(data: bytes) -> Image.Image:
    with Image.open(BytesIO(data)) as image:
        return image.convert("RGB")


ORIGINAL = as_jpeg(scene(0, SIZE), 95)
KINDS: dict[str, str] = {"original.jpg": IDENTICAL, "pixels.png": IDENTICAL}
PICTURES: dict[str, bytes] = {"original.jpg": ORIGINAL, "pixels.png": encode(as_read(ORIGINAL))}
for name, change in CHANGES.items():
    if "cropped" not in name:
        changed = change(as_read(ORIGINAL))
        PICTURES[f"{name}.png"], KINDS[f"{name}.png"] = encode(changed), NEAR
        PICTURES[f"{name}.jpg"], KINDS[f"{name}.jpg"] = as_jpeg(changed, 70), NEAR
for seed in range(1, 7):
    PICTURES[f"{seed}.jpg"], KINDS[f"{seed}.jpg"] = as_jpeg(scene(seed, SIZE), 90), SIMILAR


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gallery]:
    folder = tmp_path_factory.mktemp("kinds")
    with Gallery.create(folder / "kinds.vizinho", model=make_toy_bundle(folder)) as made:
        made.add([NewImage(data, key=key) for key, data in PICTURES.items()])
        yield made


def kinds(gallery: GalleryView, *examples: Example, **given: Any) -> dict[str, str | None]:
    matches = gallery.search_examples(examples, k=100)
    assert [match.kind for match in matches] == [None] * len(PICTURES)
    found = typed(gallery, matches, examples, **given)
    assert [match.key for match in found] == [match.key for match in matches]
    assert (found.known, found.unlikeness) == (matches.known, matches.unlikeness)
    return {match.key: match.kind for match in found}


def test_copies_are_told_from_what_is_only_alike(gallery: Gallery) -> None:
    assert len(PICTURES) > 16
    assert kinds(gallery, Example(ORIGINAL)) == KINDS


def test_a_key_is_judged_as_its_bytes(gallery: Gallery) -> None:
    assert kinds(gallery, Example(key="original.jpg")) == KINDS


def test_an_upload_that_is_in_no_gallery(gallery: Gallery) -> None:
    """A picture turned and compressed anew is a copy of all copies, and the same as none."""
    query = as_jpeg(as_read(ORIGINAL).transpose(Image.Transpose.ROTATE_90).resize((135, 180)), 60)
    assert kinds(gallery, Example(query)) == {
        key: NEAR if kind == IDENTICAL else kind for key, kind in KINDS.items()
    }


def test_a_crop_is_compared_as_what_it_shows(gallery: Gallery) -> None:
    frame = Image.new("RGB", (SIZE[0] * 2, SIZE[1]), "white")
    frame.paste(as_read(ORIGINAL), (SIZE[0], 0))
    framed = encode(frame)
    right = Crop(top=0, left=0.5, bottom=1, right=1)
    assert kinds(gallery, Example(framed, crop=right)) == KINDS
    assert set(kinds(gallery, Example(framed)).values()) == {SIMILAR}
    top = kinds(gallery, Example(key="original.jpg", crop=Crop(top=0, left=0, bottom=0.4, right=1)))
    assert top["original.jpg"] == SIMILAR


def test_the_closest_kind_of_several_wanted_examples(gallery: Gallery) -> None:
    both = kinds(gallery, Example(ORIGINAL), Example(key="1.jpg", weight=0.5))
    assert both == {**KINDS, "1.jpg": IDENTICAL}
    unlike = kinds(gallery, Example(key="1.jpg"), Example(ORIGINAL, weight=-0.5))
    assert unlike == {key: IDENTICAL if key == "1.jpg" else SIMILAR for key in KINDS}


def test_looks_that_are_kept_spare_reading_and_change_nothing(gallery: Gallery) -> None:
    read: list[str] = []

    def noting(key: str) -> bytes:
        read.append(key)
        return gallery.image_bytes(key)[0]

    assert not (gallery.path / LOOKS).exists()
    assert kinds(gallery, Example(ORIGINAL), read=noting) == KINDS
    assert sorted(read) == sorted(set(KINDS) - {"original.jpg"})
    assert not (gallery.path / LOOKS).exists()
    find_duplicates(gallery)
    remembered.clear()
    read.clear()
    assert kinds(gallery, Example(ORIGINAL), read=noting) == KINDS
    assert set(read) == {key for key, kind in KINDS.items() if kind != SIMILAR} - {"original.jpg"}
    with sqlite3.connect(gallery.path / LOOKS) as database:
        database.execute("DROP TABLE looks")
    database.close()
    assert kinds(gallery, Example(ORIGINAL)) == KINDS
    (gallery.path / LOOKS).write_bytes(b"no database")
    assert kinds(gallery, Example(ORIGINAL)) == KINDS
    assert (gallery.path / LOOKS).read_bytes() == b"no database"
    (gallery.path / LOOKS).unlink()


def test_a_second_search_decodes_only_what_may_be_a_copy(gallery: Gallery) -> None:
    kinds(gallery, Example(ORIGINAL))
    read: list[str] = []

    def noting(key: str) -> bytes:
        read.append(key)
        return gallery.image_bytes(key)[0]

    assert kinds(gallery, Example(ORIGINAL), read=noting) == KINDS
    assert set(read) == {key for key, kind in KINDS.items() if kind != SIMILAR} - {"original.jpg"}


def test_what_is_remembered_is_bounded() -> None:
    last = _Remembered(most=2)
    for number in range(4):
        last.put(str(number), np.full(3, number, np.float16))
    assert [last.get(str(number)) is None for number in range(4)] == [True, True, False, False]
    assert last.get("3").tolist() == [3, 3, 3]  # type: ignore[union-attr]


def test_what_can_not_be_read_is_not_known(gallery: Gallery) -> None:
    """Hashes and kept looks still tell what they can."""

    def refusing(key: str) -> bytes:
        raise KeyNotFound(f"The bytes of {key!r} are gone.")

    unknown = dict.fromkeys(KINDS)
    by_hash = {**unknown, "original.jpg": IDENTICAL}
    assert kinds(gallery, Example(ORIGINAL), read=refusing) == by_hash
    assert kinds(gallery, Example(key="original.jpg"), read=refusing) == by_hash
    broken = kinds(gallery, Example(ORIGINAL), read=lambda _: ORIGINAL[:500])
    assert broken == by_hash
    find_duplicates(gallery)
    expected = {key: SIMILAR if kind == SIMILAR else None for key, kind in KINDS.items()}
    expected["original.jpg"] = IDENTICAL
    for example in (Example(ORIGINAL), Example(key="original.jpg")):
        assert kinds(gallery, example, read=refusing) == expected
    (gallery.path / LOOKS).unlink()


def test_a_row_that_went_meanwhile_is_not_known(gallery: Gallery) -> None:
    matches = gallery.search(ORIGINAL, k=100)
    gallery.remove(["5.jpg"])
    found = {each.key: each.kind for each in typed(gallery, matches, [Example(ORIGINAL)])}
    gallery.add([NewImage(PICTURES["5.jpg"], key="5.jpg")])
    assert found == {**KINDS, "5.jpg": None}


def test_flat_pictures(tmp_path: Path) -> None:
    white, red = (encode(Image.new("RGB", (64, 48), colour)) for colour in ("white", "red"))
    small = encode(Image.new("RGB", (16, 12), "white"))
    with Gallery.create(tmp_path / "flat.vizinho", model=make_toy_bundle(tmp_path)) as flat:
        flat.add([NewImage(white, key="w"), NewImage(red, key="r"), NewImage(small, key="s")])
        again = as_read(white)
        found = typed(flat, flat.search(again), [Example(again)])
    assert {each.key: each.kind for each in found} == {"w": IDENTICAL, "r": SIMILAR, "s": NEAR}
