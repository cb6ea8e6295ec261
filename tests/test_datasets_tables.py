"""Data sets in parquet and CSV."""

from __future__ import annotations

import io
import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from vizinho.datasets import load_dataset
from vizinho.errors import DatasetError, ImageError
from vizinho.preprocess import PreprocessSpec

CELL = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def png(i: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (i, 2 * i, 255 - i)).save(buffer, "PNG")
    return buffer.getvalue()


def cells(n: int, paths: bool = True, start: int = 0) -> pa.Array:
    rows = [
        {"bytes": png(i), "path": f"p{i}.png" if paths else None} for i in range(start, start + n)
    ]
    return pa.array(rows, CELL)


def write(
    path: Path, columns: dict[str, Any], features: dict[str, Any] | None = None, **options: Any
) -> Path:
    table = pa.table(columns)
    if features is not None:
        text = json.dumps({"info": {"features": features}})
        table = table.replace_schema_metadata({"huggingface": text})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, **options)
    return path


def tagged(*names: str) -> dict[str, Any]:
    return {"label": {"names": list(names), "_type": "ClassLabel"}, "image": {"_type": "Image"}}


def test_hugging_face_layout(tmp_path: Path) -> None:
    columns = {"image": cells(6), "label": [1, 0, 1, 2, 2, 0]}
    path = write(tmp_path / "x.parquet", columns, tagged("cat", "dog", "cow"), row_group_size=2)
    data = load_dataset(str(path))
    assert data.classes == ["cat", "dog", "cow"]
    assert data.labels.tolist() == [1, 0, 1, 2, 2, 0]
    assert data.names == [f"p{i}.png" for i in range(6)]
    assert [data.read(i) for i in range(6)] == [png(i) for i in range(6)]
    assert data.load(5).getpixel((0, 0)) == (5, 10, 250)


@pytest.mark.parametrize(
    ("labels", "classes", "encoded"),
    [
        (["cow", "ant", "cow", "bee"], ["ant", "bee", "cow"], [2, 0, 2, 1]),
        ([30, 4, 30, 100], ["4", "30", "100"], [1, 0, 1, 2]),
        (pa.array(["b", "a", "b", "a"]).dictionary_encode(), ["a", "b"], [1, 0, 1, 0]),
        (pa.array(["b", "a", "b", "a"], pa.large_string()), ["a", "b"], [1, 0, 1, 0]),
    ],
)
def test_classes_come_from_the_values_where_no_features_are(
    labels: Any, classes: list[str], encoded: list[int], tmp_path: Path
) -> None:
    data = load_dataset(str(write(tmp_path / "x.parquet", {"image": cells(4), "label": labels})))
    assert data.classes == classes
    assert data.labels.tolist() == encoded


@pytest.mark.parametrize("metadata", [b"not json", b"[]", b'{"info": 3}', b'{"info": {}}'])
def test_odd_features_are_ignored(metadata: bytes, tmp_path: Path) -> None:
    table = pa.table({"image": cells(2), "label": [3, 5]})
    table = table.replace_schema_metadata({b"huggingface": metadata})
    pq.write_table(table, tmp_path / "x.parquet")
    assert load_dataset(str(tmp_path / "x.parquet")).classes == ["3", "5"]


def test_plain_binary_column_and_rows_as_names(tmp_path: Path) -> None:
    columns = {"id": [7, 8], "jpg": pa.array([png(1), png(2)]), "class": ["a", "b"]}
    data = load_dataset(str(write(tmp_path / "x.parquet", columns)))
    assert data.names == ["x/00000", "x/00001"]
    assert data.read(1) == png(2)
    assert data.classes == ["a", "b"]


@pytest.mark.parametrize("paths", [["same.png", "same.png"], ["a.png", None]])
def test_paths_that_are_no_names_are_not_used(paths: list[Any], tmp_path: Path) -> None:
    rows = [{"bytes": png(i), "path": path} for i, path in enumerate(paths)]
    columns = {"image": pa.array(rows, CELL), "label": ["a", "b"]}
    data = load_dataset(str(write(tmp_path / "x.parquet", columns)))
    assert data.names == ["x/00000", "x/00001"]


def test_rows_without_label_or_picture(tmp_path: Path) -> None:
    rows = [{"bytes": png(i), "path": f"{i}"} for i in range(5)]
    rows[4] = {"bytes": None, "path": "4"}
    columns = {"image": pa.array(rows, CELL), "label": [1, None, -1, 9, 0]}
    data = load_dataset(str(write(tmp_path / "x.parquet", columns, tagged("a", "b"))))
    assert data.names == ["0", "4"]
    assert [item.name for item in data.skipped] == ["1", "2", "3"]
    assert "no label" in data.skipped[0].reason
    with pytest.raises(ImageError, match="no picture"):
        data.read(1)
    _, kept = data.pixels(PreprocessSpec())
    assert kept.tolist() == [0]
    assert data.skipped[-1].name == "4"


def test_broken_bytes_in_a_row_are_named_by_it(tmp_path: Path) -> None:
    rows = [{"bytes": png(0), "path": "ok"}, {"bytes": png(1)[:40], "path": "cut"}]
    columns = {"image": pa.array(rows, CELL), "label": ["a", "b"]}
    data = load_dataset(str(write(tmp_path / "x.parquet", columns)))
    data.pixels(PreprocessSpec())
    assert data.skipped[0].name == "cut"
    assert data.skipped[0].reason.startswith("cut is broken")


def test_split_column(tmp_path: Path) -> None:
    columns = {"image": cells(4), "label": list("abab"), "split": ["train", "test", "test", None]}
    path = write(tmp_path / "x.parquet", columns)
    data = load_dataset(f"{path}:test")
    assert data.names == ["p1.png", "p2.png"]
    assert data.read(1) == png(2)
    with pytest.raises(DatasetError, match="no split 'val'") as caught:
        load_dataset(f"{path}:val")
    assert "test, train" in caught.value.hint
    other = write(tmp_path / "y.parquet", {"image": cells(1), "label": ["a"]})
    with pytest.raises(DatasetError, match="no column 'split'"):
        load_dataset(f"{other}:test")


def test_a_folder_of_shards(tmp_path: Path) -> None:
    for i in range(2):
        columns = {"image": cells(3, start=3 * i), "label": [0, 1, 0]}
        name = f"train-0000{i}-of-00002.parquet"
        write(tmp_path / "set" / "data" / name, columns, tagged("a", "b"), row_group_size=2)
    data = load_dataset(f"{tmp_path}/set:train")
    assert [data.read(i) for i in (5, 0, 3, 2)] == [png(i) for i in (5, 0, 3, 2)]
    assert data.labels.tolist() == [0, 1, 0, 0, 1, 0]
    write(tmp_path / "set" / "data" / "test.parquet", {"image": cells(1), "label": ["z"]})
    assert len(load_dataset(f"{tmp_path}/set:test")) == 1
    with pytest.raises(DatasetError, match="splits test, train"):
        load_dataset(f"{tmp_path}/set")


@pytest.mark.parametrize(
    ("columns", "lacking"),
    [
        ({"image": [1, 2], "label": [0, 1]}, "no picture column"),
        ({"image": [b"a", b"b"], "width": [0.5, 1]}, "no label column"),
        ({"image": [b"a", b"b"], "id": [0, 1]}, "no label column"),
        ({"image": [b"a", b"b"], "label": pa.array([None, None], pa.string())}, "No labelled"),
    ],
)
def test_tables_that_are_no_data_set(columns: Any, lacking: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=lacking):
        load_dataset(str(write(tmp_path / "x.parquet", columns)))


@pytest.mark.parametrize("content", [b"", b"PAR1", b"path,label\n", b"PAR1" + bytes(90) + b"PAR1"])
def test_a_damaged_parquet_file(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_bytes(content)
    with pytest.raises(DatasetError, match=r"x\.parquet is not a readable parquet file"):
        load_dataset(str(tmp_path / "x.parquet"))


def test_threads_read_the_right_rows(tmp_path: Path) -> None:
    columns = {"image": cells(120), "label": [0] * 120}
    data = load_dataset(str(write(tmp_path / "x.parquet", columns, row_group_size=10)))
    wrong: list[int] = []

    def read(seed: int) -> None:
        order = np.random.default_rng(seed).permutation(120)
        wrong.extend(int(i) for i in order if data.read(int(i)) != png(int(i)))

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    (tmp_path / "pics").mkdir()
    for i in range(4):
        (tmp_path / "pics" / f"{i}.png").write_bytes(png(i))
    return tmp_path


def test_csv_with_splits(listed: Path) -> None:
    text = "path,label,split\npics/0.png,dog,train\npics/1.png,cat,test\npics/2.png,ant,test\n"
    (listed / "x.csv").write_text(text)
    data = load_dataset(f"{listed}/x.csv:test")
    assert data.names == ["pics/1.png", "pics/2.png"]
    assert data.classes == ["ant", "cat"]
    assert data.labels.tolist() == [1, 0]
    assert data.read(0) == png(1)
    assert len(load_dataset(f"{listed}/x.csv")) == 3
    with pytest.raises(DatasetError, match="no split 'val'") as caught:
        load_dataset(f"{listed}/x.csv:val")
    assert "test, train" in caught.value.hint


def test_csv_as_spreadsheets_write_it(listed: Path) -> None:
    text = '\ufeffLabel, Path ,note\r\n"b, c",pics/3.png,x\r\n\r\nä,pics/0.png,\r\n'
    (listed / "x.csv").write_text(text, encoding="utf-8", newline="")
    data = load_dataset(f"{listed}/x.csv")
    assert data.names == ["pics/3.png", "pics/0.png"]
    assert data.classes == ["b, c", "ä"]


def test_csv_rows_left_out_are_listed(listed: Path) -> None:
    (listed / "empty.png").touch()
    rows = [
        "pics/0.png,a",
        "pics/1.png,",
        ",a",
        "gone.png,a",
        "empty.png,a",
        "pics/0.png,b",
        "pics/2.png",
        f"{'x' * 5000}.png,a",
        "pics,a",
    ]
    (listed / "x.csv").write_text("path,label\n" + "\n".join(rows))
    data = load_dataset(f"{listed}/x.csv")
    assert data.names == ["pics/0.png"]
    assert [(item.name[:10], item.reason[:16]) for item in data.skipped] == [
        ("pics/1.png", "It has no label."),
        ("(no path)", "The row has no p"),
        ("gone.png", "There is no file"),
        ("empty.png", "The file is empt"),
        ("pics/0.png", "It is listed twi"),
        ("pics/2.png", "It has no label."),
        ("xxxxxxxxxx", "It can't be open"),
        ("pics", "There is no file"),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "lacks the column label and path"),
        (b"path;label\na.png;x\n", "lacks the column label and path; it has path;label"),
        (b"path,label\n", "No labelled pictures in .*0 rows"),
        (b"path,label\ngone.png,x\n", "1 rows, none with a label and a file. First: gone.png"),
        (b"\xff\xfe\x00path", "not a readable CSV"),
    ],
)
def test_csv_that_is_no_data_set(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(content)
    with pytest.raises(DatasetError, match=message):
        load_dataset(f"{tmp_path}/x.csv")


def test_csv_split_asked_but_not_there(listed: Path) -> None:
    (listed / "x.csv").write_text("path,label\npics/0.png,a\n")
    with pytest.raises(DatasetError, match="lacks the column split"):
        load_dataset(f"{listed}/x.csv:train")
