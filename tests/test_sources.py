"""What a person names, as a stream of pictures: files, folders, patterns, parquet, stdin."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from buckets import bucket, fill
from toys import encode, noise, write_pictures
from vizinho.errors import SourceError, UnreadableImage
from vizinho.sources import FolderTree, open_sources


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "photos"
    write_pictures(folder / "cat", 3, seed=1)
    write_pictures(folder / "dog", 2, seed=2)
    (folder / "cat" / "notes.txt").write_text("no picture")
    monkeypatch.chdir(tmp_path)
    return folder


def keys(*specs: str, **options: Any) -> list[str]:
    return [item.key for item in open_sources(list(specs), **options)]


CATS = ["cat/0000.png", "cat/0001.png", "cat/0002.png"]
DOGS = ["dog/0000.png", "dog/0001.png"]


def test_a_folder_by_relative_paths(photos: Path) -> None:
    assert keys("photos") == keys(str(photos)) == keys("photos/") == CATS + DOGS
    assert keys("photos", recursive=False) == []
    for item in open_sources(["photos"], labels=True):
        assert item.read() == (photos / item.key).read_bytes()
        assert item.label == item.key.partition("/")[0]
        assert item.url is None


def test_several_sources_each_under_its_name(photos: Path) -> None:
    assert keys("photos/cat", "photos/dog") == CATS + DOGS
    again = keys("photos/dog", "photos/dog", "photos/cat/0001.png", "photos/dog/0001.png")
    assert again[4:] == ["0001.png", "0001-2.png"]
    assert again[:4] == [*DOGS, "dog-2/0000.png", "dog-2/0001.png"]


def test_patterns(photos: Path) -> None:
    assert keys("photos/**/*.png") == CATS + DOGS
    assert keys("photos/*/0001.*") == [CATS[1], DOGS[1]]
    assert keys(f"{photos}/d*") == DOGS
    assert keys("photos/cat/*") == ["0000.png", "0001.png", "0002.png"]
    (photos / "odd[1].png").write_bytes(encode(noise(9)))
    assert keys("photos/odd[1].png") == ["odd[1].png"]
    with pytest.raises(SourceError, match="Nothing matches photos/x"):
        keys("photos/x*")


def test_a_link_may_not_leave_the_folder(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(encode(noise(5)))
    (photos / "cat" / "out.png").symlink_to(tmp_path / "secret.png")
    (photos / "cat" / "in.png").symlink_to(photos / "dog" / "0000.png")
    sources = open_sources(["photos/cat"])
    assert [item.key for item in sources] == [Path(cat).name for cat in CATS]
    assert [each.name for each in sources.skipped if "leaves" in each.reason] == [
        "in.png",
        "out.png",
    ]
    assert "cat/in.png" in keys("photos")


def test_a_file_that_vanishes_is_an_error_of_its_own(photos: Path) -> None:
    first, *_ = open_sources(["photos"])
    (photos / CATS[0]).unlink()
    with pytest.raises(UnreadableImage):
        first.read()


@pytest.mark.parametrize("spec", ["nowhere", "nowhere/x.png", "http://host/x.png"])
def test_nothing_there(photos: Path, spec: str) -> None:
    with pytest.raises(SourceError, match=spec):
        keys(spec)
    with pytest.raises(SourceError, match="does not exist"):
        FolderTree(photos / "fish")


def write_parquet(path: Path, paths: list[str | None], **extra: Any) -> list[bytes]:
    made = [encode(noise(50 + i)) for i in range(len(paths))]
    cells = [{"bytes": data, "path": name} for data, name in zip(made, paths, strict=True)]
    table = pa.table({"image": cells, **extra})
    if "label" in extra:
        names = {"names": ["cat", "dog"], "_type": "ClassLabel"}
        features = json.dumps({"info": {"features": {"label": names}}})
        table = table.replace_schema_metadata({"huggingface": features})
    pq.write_table(table, path, row_group_size=2)
    return made


def test_parquet_as_hugging_face_lays_it_out(photos: Path) -> None:
    names = ["b.png", "a/c.png", "d.png", "../e.png", "f.png"]
    made = write_parquet(photos / "pets.parquet", names, label=[0, 1, 1, 0, 7])
    sources = open_sources(["photos/pets.parquet"])
    found = {item.key: (item.read(), item.label) for item in sources}
    assert found == {
        "b.png": (made[0], "cat"),
        "a/c.png": (made[1], "dog"),
        "d.png": (made[2], "dog"),
        "f.png": (made[4], None),
    }
    assert [each.name for each in sources.skipped] == ["../e.png"]


def test_parquet_without_names_or_labels(photos: Path) -> None:
    made = write_parquet(photos / "pets.parquet", ["same.png", "same.png", None])
    found = {item.key: item.read() for item in open_sources(["photos/pets.parquet"])}
    assert found == {f"pets/{row:05d}": data for row, data in enumerate(made)}
    pq.write_table(pa.table({"image": [made[0], None]}), photos / "bare.parquet")
    whole, empty = open_sources(["photos/bare.parquet"])
    assert whole.read() == made[0]
    with pytest.raises(UnreadableImage, match="holds no picture"):
        empty.read()


@pytest.mark.parametrize("content", [b"no parquet", b""])
def test_parquet_that_is_none(photos: Path, content: bytes) -> None:
    (photos / "x.parquet").write_bytes(content)
    with pytest.raises(SourceError, match="not a readable parquet file"):
        keys("photos/x.parquet")
    pq.write_table(pa.table({"n": [1]}), photos / "y.parquet")
    with pytest.raises(SourceError, match="no picture column"):
        keys("photos/y.parquet")


def test_parquet_in_a_bucket(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = write_parquet(photos / "pets.parquet", ["a.png", "b.png", "c.png"], label=[0, 1, 1])
    with bucket(monkeypatch) as client:
        client.upload_file(str(photos / "pets.parquet"), "photos", "sets/pets.parquet")
        items = list(open_sources(["s3://photos/sets/pets.parquet"]))
        assert [item.read() for item in items] == made
        assert [item.label for item in items] == ["cat", "dog", "dog"]
        with pytest.raises(SourceError, match=r"nothing at|not there"):
            keys("s3://photos/sets/none.parquet")


def stdin(text: str | bytes) -> io.BytesIO:
    return io.BytesIO(text.encode() if isinstance(text, str) else text)


def test_one_picture_on_standard_input(photos: Path) -> None:
    data = (photos / CATS[0]).read_bytes()
    (named,) = open_sources(["-"], stdin=stdin(data), stdin_name="pets/tom.png")
    assert (named.key, named.read()) == ("pets/tom.png", data)
    (plain,) = open_sources(["-"], stdin=stdin(data))
    assert (Path(plain.key).suffix, plain.read()) == (".png", data)
    with pytest.raises(SourceError, match="can't be the picture's name"):
        keys("-", stdin=stdin(data), stdin_name="../tom.png")


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    with bucket(monkeypatch) as made:
        yield made


def test_a_list_on_standard_input(photos: Path, client: Any) -> None:
    made = fill(client, ["in/ü b.png"])
    lines = [
        "photos/cat/0000.png",
        str(photos / CATS[1]),
        "./photos/../photos/dog/0000.png",
        "",
        "s3://photos/in/ü b.png",
        "photos",
        "photos/none.png",
        "https://host/x.png",
        "s3://X/y.png",
    ]
    sources = open_sources(["-"], stdin=stdin("\r\n".join(lines)))
    items = list(sources)
    assert [item.key for item in items] == [
        "photos/cat/0000.png",
        f"{str(photos).lstrip('/')}/cat/0001.png",
        "photos/photos/dog/0000.png",
        "photos/in/ü b.png",
    ]
    assert items[3].read() == made["in/ü b.png"]
    assert items[1].read() == (photos / CATS[1]).read_bytes()
    assert [each.name for each in sources.skipped] == [lines[5], *lines[6:]]


def test_a_list_longer_than_what_is_read_at_once(photos: Path) -> None:
    lines = CATS * 1000
    text = "\n".join(f"photos/{line}" for line in lines)
    assert keys("-", stdin=stdin(text)) == [f"photos/{line}" for line in lines]


@pytest.mark.parametrize("data", [b"", b"\x00\x01\x02 neither"])
def test_standard_input_that_is_nothing(photos: Path, data: bytes) -> None:
    with pytest.raises(SourceError, match="Standard input is"):
        keys("-", stdin=stdin(data))
