from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from toys import TOY_SPEC, encode, make_toy_bundle, noise, plain
from vizinho.bundle import update_metrics
from vizinho.datasets import LabelledImages
from vizinho.datasets.base import PixelStore
from vizinho.errors import (
    BundleError,
    FingerprintMismatch,
    GalleryDamaged,
    GalleryError,
    GalleryExists,
    GalleryNotFound,
    KeyNotFound,
    NotAnImage,
)
from vizinho.gallery import Gallery, NewImage
from vizinho.images import Crop
from vizinho.preprocess import PreprocessSpec


@pytest.fixture
def empty(tmp_path: Path, toy_bundle: Path):
    with Gallery.create(tmp_path / "g.vizinho", model=toy_bundle) as gallery:
        yield gallery


def stored(gallery: Gallery) -> int:
    return sum(path.is_file() for path in (gallery.path / "images").rglob("*"))


def test_a_picture_finds_itself_at_nought_and_the_rest_in_order(empty: Gallery) -> None:
    shades = {f"{value:03d}": plain((value, value, value)) for value in (0, 10, 20, 60, 200)}
    empty.add([NewImage(encode(image), key=key) for key, image in shades.items()])
    matches = empty.search(encode(shades["020"]), k=4)
    assert [match.key for match in matches] == ["020", "010", "000", "060"]
    # Twelve numbers, each off by 10 / 255: the square root of 12 times that.
    expected = [0, *(12**0.5 * off / 255 for off in (10, 20, 40))]
    assert [match.distance for match in matches] == pytest.approx(expected, abs=1e-6)
    assert matches[0].distance == 0
    assert matches[1].url == "/images/010"
    assert matches[1].probability is None
    assert [m.key for m in empty.search(shades["020"], k=2, offset=1)] == ["010", "000"]
    assert empty.search_many(list(shades.values()), 1) == [
        empty.search(image, k=1) for image in shades.values()
    ]
    assert empty.search_key("020", 4) == matches


def test_label_and_metadata_travel_and_filter(empty: Gallery) -> None:
    empty.add(
        [
            NewImage(
                encode(noise(1)), key="a", label="cat", metadata={"year": 1999, "tags": ["x"]}
            ),
            NewImage(encode(noise(2)), key="b", label="dog", metadata={"year": 1999}),
            NewImage(encode(noise(3)), key="c", label="dog"),
        ]
    )
    (match,) = empty.search(noise(3), filter={"label": "cat"})
    assert (match.key, match.label, match.metadata) == ("a", "cat", {"year": 1999, "tags": ["x"]})
    assert {m.key for m in empty.search(noise(3), filter={"year": 1999})} == {"a", "b"}
    assert [m.key for m in empty.search(noise(3), filter={"year": 1999, "label": "dog"})] == ["b"]
    assert [row.key for row in empty.items(label="dog")] == ["b", "c"]
    assert [row.key for row in empty.items(1, 1)] == ["b"]
    assert empty.get("a").metadata["tags"] == ["x"]


def test_a_crop_searches_a_part_of_the_picture(empty: Gallery) -> None:
    empty.add(
        [NewImage(encode(plain((255, 0, 0))), "red"), NewImage(encode(plain((0, 0, 255))), "blue")]
    )
    both = Image.new("RGB", (200, 100), (255, 0, 0))
    both.paste((0, 0, 255), (100, 0, 200, 100))
    (match,) = empty.search(encode(both), k=1, crop=Crop(0, 0.5, 1, 1))
    assert (match.key, match.distance) == ("blue", 0)
    (match,) = empty.search(encode(both), k=1, crop=Crop(0, 0, 1, 0.5))
    assert (match.key, match.distance) == ("red", 0)


def test_the_same_picture_twice_is_one(empty: Gallery) -> None:
    data = encode(noise(1))
    first = empty.add([NewImage(data, key="a", label="x"), NewImage(data, key="b")])
    assert (first.added, first.duplicates, empty.count) == (1, 1, 1)
    again = empty.add([NewImage(data, key="a"), NewImage(data, key="c"), NewImage(data)])
    assert (again.added, again.unchanged, again.duplicates, again.changed) == (0, 2, 1, 0)
    assert [row.key for row in empty.items()] == ["a"]
    assert empty.get("a").label == "x"
    assert stored(empty) == 1


def test_new_label_or_metadata_change_the_row_without_embedding(empty: Gallery) -> None:
    data = encode(noise(1))
    empty.add([NewImage(data, key="a", label="x", metadata={"n": 1})])
    report = empty.add([NewImage(data, key="a", label="y")])
    assert (report.changed, report.added, "embed" in report.stages) == (1, 0, False)
    assert (empty.get("a").label, empty.get("a").metadata) == ("y", {"n": 1})
    assert empty.search(data, k=1)[0].distance == 0


def test_new_bytes_under_a_key_replace_the_old_ones(empty: Gallery) -> None:
    old, new = encode(noise(1)), encode(noise(2))
    empty.add([NewImage(old, key="a", label="x")])
    report = empty.add([NewImage(new, key="a")])
    assert (report.changed, report.added, empty.count) == (1, 0, 1)
    assert empty.search(new, k=1)[0].distance == 0
    assert empty.search(old, k=1)[0].distance > 0.1
    assert (empty.image_bytes("a"), empty.get("a").label) == ((new, "image/png"), "x")
    assert stored(empty) == 1


def test_bytes_freed_by_one_key_are_taken_by_another_in_the_same_run(empty: Gallery) -> None:
    old, new = encode(noise(1)), encode(noise(2))
    empty.add([NewImage(old, key="a")])
    report = empty.add([NewImage(new, key="a"), NewImage(old, key="b")])
    assert (report.changed, report.added, report.duplicates) == (1, 1, 0)
    assert [m.key for m in empty.search(old, k=1)] == ["b"]
    assert empty.image_bytes("b")[0] == old
    assert empty.image_bytes("a")[0] == new


def test_keys_are_made_where_none_is_given(empty: Gallery, tmp_path: Path) -> None:
    paths = [tmp_path / "one" / "img.png", tmp_path / "two" / "img.png"]
    for i, path in enumerate(paths):
        path.parent.mkdir()
        path.write_bytes(encode(noise(i)))
    data = encode(noise(9))
    empty.add([*(NewImage(path) for path in paths), NewImage(data), NewImage(noise(10))])
    keys = [row.key for row in empty.items()]
    assert "img.png" in keys
    assert len(keys) == 4
    assert sum(key.startswith("img-") and key.endswith(".png") for key in keys) == 1
    assert empty.get(empty.search(data, k=1)[0].key).hash.startswith(empty.search(data, k=1)[0].key)
    assert empty.add([NewImage(path) for path in paths]).unchanged == 2


@pytest.mark.parametrize(
    "key", ["", "/abs", "../up", "a/../../b", "a\nb", "a\0", "x" * 2000, "\ud800"]
)
def test_keys_that_could_not_be_urls_are_refused(empty: Gallery, key: str) -> None:
    with pytest.raises(GalleryError, match=r"key"):
        empty.add([NewImage(encode(noise(0)), key=key)])
    assert empty.count == 0


def test_broken_pictures_are_skipped_with_their_reason(empty: Gallery, tmp_path: Path) -> None:
    half = encode(noise(1, (200, 200)))[:500]
    report = empty.add(
        [
            NewImage(b"text", key="t.jpg"),
            NewImage(half, key="half.png"),
            NewImage(tmp_path / "nowhere.png"),
            NewImage(encode(noise(2)), key="good"),
        ]
    )
    assert (report.added, empty.count, stored(empty)) == (1, 1, 1)
    reasons = {item.name: item.reason for item in report.skipped}
    assert set(reasons) == {"t.jpg", "half.png", str(tmp_path / "nowhere.png")}
    assert "holds text" in reasons["t.jpg"]
    assert "cut short" in reasons["half.png"]
    assert "is not there" in reasons[str(tmp_path / "nowhere.png")]
    # A broken file offered under a key that is there leaves the good one alone.
    empty.add([NewImage(b"junk", key="good")])
    assert empty.count == 1


def test_pictures_whose_bytes_are_not_kept(empty: Gallery) -> None:
    empty.add([NewImage(encode(noise(1)), key="a", store=False, url="https://example.org/a.png")])
    assert empty.search(noise(1), k=1)[0].url == "https://example.org/a.png"
    assert stored(empty) == 0
    with pytest.raises(KeyNotFound, match="were not kept"):
        empty.image_bytes("a")


def test_removed_pictures_and_their_bytes_are_gone(empty: Gallery) -> None:
    empty.add([NewImage(encode(noise(i)), key=f"k{i}") for i in range(3)])
    assert empty.remove(["k1", "nobody"]) == 1
    assert [row.key for row in empty.items()] == ["k0", "k2"]
    assert "k1" not in {match.key for match in empty.search(noise(1))}
    assert stored(empty) == 2
    for look in (empty.get, empty.image_bytes, empty.search_key):
        with pytest.raises(KeyNotFound, match="k1"):
            look("k1")


def test_a_data_set_comes_with_names_labels_and_bytes(empty: Gallery) -> None:
    pixels = np.stack([np.asarray(noise(i)) for i in range(70)])
    names = [f"test/{i:05d}.png" for i in range(70)]
    data = LabelledImages("toy", PixelStore(pixels), names, np.arange(70) % 2, ["cat", "dog"])
    heard: list[tuple[int, int | None]] = []
    report = empty.add_dataset(data, lambda done, total: heard.append((done, total)))
    assert (report.added, empty.count, heard[-1]) == (70, 70, (70, 70))
    assert empty.get("test/00003.png").label == "dog"
    assert empty.image_bytes("test/00003.png") == (data.read(3), "image/png")
    for i in range(0, 70, 7):
        (match,) = empty.search(data.read(i), k=1)
        assert (match.key, match.distance) == (names[i], 0)
    again = empty.add_dataset(data)
    assert (again.added, again.unchanged) == (0, 70)


def test_queries_that_can_not_be(empty: Gallery) -> None:
    assert empty.search(noise(0)) == []
    with pytest.raises(NotAnImage):
        empty.search(b"text")
    for k in (0, -3):
        with pytest.raises(GalleryError, match="k must be 1"):
            empty.search(noise(0), k=k)


def test_it_opens_again_as_it_was_and_stands_alone(tmp_path: Path) -> None:
    bundle = make_toy_bundle(tmp_path)
    with Gallery.create(tmp_path / "g.vizinho", model=bundle) as gallery:
        gallery.add([NewImage(encode(noise(1)), key="a")])
        info = gallery.info
    (bundle / "model.onnx").unlink()
    (tmp_path / "g.vizinho").rename(tmp_path / "elsewhere.vizinho")
    with Gallery.open(tmp_path / "elsewhere.vizinho") as gallery:
        assert gallery.info == {**info, "name": "elsewhere"}
        assert gallery.search(noise(1), k=1)[0].distance == 0
    assert (info["name"], info["model"], info["dimension"], info["count"]) == ("g", "toy", 12, 1)
    assert (info["engine"], info["runtime"], info["precision"]) == (
        "embedded",
        "onnxruntime",
        "fp32",
    )


def test_another_model_is_refused_in_a_sentence(tmp_path: Path, toy_bundle: Path) -> None:
    path = tmp_path / "g.vizinho"
    Gallery.create(path, model=toy_bundle).close()
    Gallery.open(path, model=toy_bundle).close()
    same = make_toy_bundle(tmp_path, "renamed")
    update_metrics(same, {"precision_at_1": 0.9})
    other = make_toy_bundle(tmp_path, "other", spec=PreprocessSpec(mean=(0.5, 0.5, 0.5)))
    with pytest.raises(FingerprintMismatch, match=r"made with the model 'toy'.*not with 'other'"):
        Gallery.open(path, model=other)
    assert TOY_SPEC.size == 32


def test_what_is_not_a_gallery(tmp_path: Path, toy_bundle: Path) -> None:
    with pytest.raises(GalleryNotFound, match="does not exist"):
        Gallery.open(tmp_path / "nowhere")
    with pytest.raises(GalleryNotFound, match="is not a gallery"):
        Gallery.open(toy_bundle)
    with pytest.raises(BundleError):
        Gallery.create(tmp_path / "g", model=tmp_path / "no-model")
    assert not (tmp_path / "g").exists()
    with pytest.raises(GalleryError, match="not a gallery"):
        Gallery.create(toy_bundle, model=toy_bundle, overwrite=True)
    assert (toy_bundle / "model.onnx").is_file()


def test_creating_twice_needs_overwrite(empty: Gallery, toy_bundle: Path) -> None:
    empty.add([NewImage(encode(noise(1)), key="a")])
    with pytest.raises(GalleryExists):
        Gallery.create(empty.path, model=toy_bundle)
    assert empty.count == 1
    with Gallery.create(empty.path, model=toy_bundle, overwrite=True) as fresh:
        assert fresh.count == 0
    assert [p.name for p in empty.path.parent.iterdir() if "vizinho" in p.name] == ["g.vizinho"]


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("gallery.json", "{"),
        ("gallery.json", '{"format_version": 1}'),
        ("catalogue.sqlite", None),
    ],
)
def test_damage_is_called_by_its_name(empty: Gallery, name: str, damage: str | None) -> None:
    empty.close()
    if damage is None:
        (empty.path / name).unlink()
    else:
        (empty.path / name).write_text(damage)
    with pytest.raises(GalleryDamaged, match=name.replace(".", r"\.")):
        Gallery.open(empty.path)


def test_a_swapped_model_is_found_out(empty: Gallery, tmp_path: Path) -> None:
    empty.close()
    other = make_toy_bundle(tmp_path, "other", spec=PreprocessSpec(mean=(0.5, 0.5, 0.5)))
    for file in other.iterdir():
        (empty.path / "model" / file.name).write_bytes(file.read_bytes())
    with pytest.raises(GalleryDamaged, match="model inside"):
        Gallery.open(empty.path)
