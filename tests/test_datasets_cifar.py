"""CIFAR in its three forms, small copies made here; and the real one where it is."""

from __future__ import annotations

import io
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from real_data import real
from vizinho.datasets import load_dataset
from vizinho.datasets.cifar import CIFAR10_CLASSES
from vizinho.errors import DatasetError
from vizinho.preprocess import PreprocessSpec

N = 4  # pictures a batch


def batch(number: int) -> tuple[np.ndarray, list[int]]:
    """uint8 [N, 3072] as Toronto lays it out (planes), and labels."""
    rng = np.random.default_rng(number)
    return rng.integers(0, 256, (N, 3072), dtype=np.uint8), rng.integers(0, 10, N).tolist()


def picture(row: np.ndarray) -> np.ndarray:
    """The picture of one row, pixel by pixel, as the format's page words it."""
    red, green, blue = row[:1024], row[1024:2048], row[2048:]
    at = [[32 * y + x for x in range(32)] for y in range(32)]
    return np.array([[(red[i], green[i], blue[i]) for i in line] for line in at])


def python2(value: Any) -> bytes:
    """As Python 2 and an old NumPy would have pickled it."""
    return pickle.dumps(value, protocol=2).replace(b"numpy._core.", b"numpy.core.")


def write_pickles(folder: Path) -> None:
    folder.mkdir(parents=True)
    for i in range(1, 6):
        data, labels = batch(i)
        (folder / f"data_batch_{i}").write_bytes(python2({b"data": data, b"labels": labels}))
    data, labels = batch(6)
    (folder / "test_batch").write_bytes(python2({b"data": data, b"labels": labels}))
    names = [name.encode() for name in CIFAR10_CLASSES]
    (folder / "batches.meta").write_bytes(python2({b"label_names": names}))


def write_binary(folder: Path) -> None:
    folder.mkdir(parents=True)
    for i in range(1, 7):
        data, labels = batch(i)
        name = f"data_batch_{i}.bin" if i < 6 else "test_batch.bin"
        rows = [bytes([label]) + row.tobytes() for label, row in zip(labels, data, strict=True)]
        (folder / name).write_bytes(b"".join(rows))
    (folder / "batches.meta.txt").write_text("\n".join(CIFAR10_CLASSES) + "\n\n")


def write_parquet(folder: Path) -> None:
    folder.mkdir(parents=True)
    for split, numbers in (("train", range(1, 6)), ("test", [6])):
        cells, labels = [], []
        for number in numbers:
            data, values = batch(number)
            for row in data:
                buffer = io.BytesIO()
                Image.fromarray(picture(row)).save(buffer, "PNG")
                cells.append({"bytes": buffer.getvalue(), "path": f"x_{len(cells)}.png"})
            labels += values
        kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        table = pa.table({"img": pa.array(cells, kind), "label": labels})
        names = "[" + ",".join(f'"{name}"' for name in CIFAR10_CLASSES) + "]"
        features = f'{{"info":{{"features":{{"label":{{"names":{names},"_type":"ClassLabel"}}}}}}}}'
        table = table.replace_schema_metadata({"huggingface": features})
        pq.write_table(table, folder / f"{split}-00000-of-00001.parquet")


def check(data_dir: Path) -> None:
    for split, numbers in (("train", range(1, 6)), ("test", [6])):
        data = load_dataset(f"cifar10:{split}", data_dir=data_dir)
        labels = [label for number in numbers for label in batch(number)[1]]
        assert data.name == f"cifar10:{split}"
        assert data.labels.tolist() == labels
        assert data.classes == list(CIFAR10_CLASSES)
        assert data.names[:2] == [f"{split}/00000.png", f"{split}/00001.png"]
        assert len(set(data.names)) == len(data) == len(labels)
        pixels, _ = data.pixels(PreprocessSpec())
        expected = np.stack([picture(row) for number in numbers for row in batch(number)[0]])
        np.testing.assert_array_equal(pixels, expected)
        assert data.read(0).startswith(b"\x89PNG")


@pytest.mark.parametrize("place", ["", "cifar10/"])
def test_toronto_pickles(place: str, tmp_path: Path) -> None:
    write_pickles(tmp_path / f"{place}cifar-10-batches-py")
    check(tmp_path)


@pytest.mark.parametrize("place", ["", "cifar10/"])
def test_toronto_binary(place: str, tmp_path: Path) -> None:
    write_binary(tmp_path / f"{place}cifar-10-batches-bin")
    check(tmp_path)


@pytest.mark.parametrize("place", ["cifar10", "cifar10/plain_text"])
def test_hugging_face_parquet(place: str, tmp_path: Path) -> None:
    write_parquet(tmp_path / place)
    check(tmp_path)


def test_without_a_data_folder_the_current_one_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_binary(tmp_path / "cifar-10-batches-bin")
    monkeypatch.chdir(tmp_path)
    assert len(load_dataset("CIFAR10:test")) == N


def test_cifar100_takes_the_fine_label(tmp_path: Path) -> None:
    data, _ = batch(1)
    fine, coarse = [3, 99, 0, 42], [1, 2, 3, 4]
    names = [f"kind{i}" for i in range(100)]
    binary = tmp_path / "b" / "cifar-100-binary"
    binary.mkdir(parents=True)
    rows = [bytes([c, f]) + row.tobytes() for c, f, row in zip(coarse, fine, data, strict=True)]
    (binary / "test.bin").write_bytes(b"".join(rows))
    (binary / "fine_label_names.txt").write_text("\n".join(names))
    pickles = tmp_path / "p" / "cifar100" / "cifar-100-python"
    pickles.mkdir(parents=True)
    content = {b"data": data, b"fine_labels": fine, b"coarse_labels": coarse}
    (pickles / "test").write_bytes(python2(content))
    meta = {b"fine_label_names": [name.encode() for name in names]}
    (pickles / "meta").write_bytes(python2(meta))
    for folder in ("b", "p"):
        got = load_dataset("cifar100:test", data_dir=tmp_path / folder)
        assert got.labels.tolist() == fine
        assert got.classes == names
        np.testing.assert_array_equal(np.asarray(got.load(1)), picture(data[1]))


def test_nothing_there_says_where_it_looked(tmp_path: Path) -> None:
    with pytest.raises(DatasetError) as caught:
        load_dataset("cifar10:train", data_dir=tmp_path)
    for place in ("cifar10/train-*.parquet", "cifar-10-batches-py/data_batch_1", "batches-bin"):
        assert place in caught.value.message
    assert str(tmp_path) in caught.value.message
    assert "vizinho fetch" in caught.value.hint


@pytest.mark.parametrize("spec", ["cifar10", "cifar10:val"])
def test_a_split_must_be_named(spec: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError) as caught:
        load_dataset(spec, data_dir=tmp_path)
    assert "train" in str(caught.value)


class Evil:
    """What a hostile pickle would do: run a command."""

    def __init__(self, call: Any, *arguments: Any) -> None:
        self.call, self.arguments = call, arguments

    def __reduce__(self) -> Any:
        return self.call, self.arguments


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize(
    "evil",
    [
        Evil(os.system, "touch owned"),
        Evil(eval, "open('owned', 'w')"),
        Evil(np.load, "owned"),
        Evil(getattr, "text", "upper"),
    ],
)
def test_a_hostile_pickle_runs_nothing(
    evil: Evil, protocol: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_pickles(tmp_path / "cifar-10-batches-py")
    data, labels = batch(1)
    content = {b"data": data, b"labels": labels, b"more": evil}
    path = tmp_path / "cifar-10-batches-py" / "test_batch"
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    with pytest.raises(DatasetError, match=r"test_batch can't be read as CIFAR: it asks for"):
        load_dataset("cifar10:test", data_dir=tmp_path)
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"text",
        python2([1, 2]),
        python2({b"data": "x", b"labels": []}),
        python2({b"data": np.zeros((2, 3072), np.float32), b"labels": [1, 2]}),
        python2({b"data": np.zeros((2, 3000), np.uint8), b"labels": [1, 2]}),
        python2({b"data": np.zeros((2, 3072), np.uint8), b"labels": [1]}),
        python2({b"data": np.zeros((2, 3072), np.uint8), b"labels": ["a", "b"]}),
        python2({b"data": np.zeros((2, 3072), np.uint8), b"labels": [1, 10]}),
        python2({b"data": np.zeros((2, 3072), np.uint8)}),
    ],
)
def test_a_damaged_pickle_is_named(content: bytes, tmp_path: Path) -> None:
    write_pickles(tmp_path / "cifar-10-batches-py")
    (tmp_path / "cifar-10-batches-py" / "test_batch").write_bytes(content)
    with pytest.raises(DatasetError, match="can't be read as CIFAR"):
        load_dataset("cifar10:test", data_dir=tmp_path)


@pytest.mark.parametrize("content", [b"", b"x" * 3072, bytes([10]) + bytes(3072)])
def test_a_damaged_binary_is_named(content: bytes, tmp_path: Path) -> None:
    write_binary(tmp_path / "cifar-10-batches-bin")
    (tmp_path / "cifar-10-batches-bin" / "test_batch.bin").write_bytes(content)
    with pytest.raises(DatasetError, match="can't be read as CIFAR"):
        load_dataset("cifar10:test", data_dir=tmp_path)


def test_names_are_known_without_the_meta_file(tmp_path: Path) -> None:
    write_pickles(tmp_path / "cifar-10-batches-py")
    (tmp_path / "cifar-10-batches-py" / "batches.meta").unlink()
    assert load_dataset("cifar10:test", data_dir=tmp_path).classes == list(CIFAR10_CLASSES)


@pytest.mark.data
def test_the_real_test_split() -> None:
    data = real("cifar10:test")
    assert data.classes == list(CIFAR10_CLASSES)
    assert np.bincount(data.labels).tolist() == [1000] * 10
    pixels, kept = data.subset(range(0, 10_000, 10)).pixels(PreprocessSpec())
    assert len(kept) == 1000
    # The published means of CIFAR-10, within what a tenth of the set allows.
    np.testing.assert_allclose(pixels.mean(axis=(0, 1, 2)) / 255, [0.494, 0.485, 0.450], atol=0.02)


@pytest.mark.data
def test_the_real_cifar100() -> None:
    data = real("cifar100:test")
    assert len(data.classes) == 100
    assert np.bincount(data.labels).tolist() == [100] * 100
