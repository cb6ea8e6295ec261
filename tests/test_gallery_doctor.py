"""Galleries broken on purpose: the doctor finds it, mends it, and makes none worse."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
import subprocess
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from toys import encode, make_toy_bundle, noise
from vizinho.cli import build_app
from vizinho.errors import GalleryNotFound, VizinhoError
from vizinho.gallery import Gallery, NewImage
from vizinho.gallery.doctor import Examination, examine


@pytest.fixture
def path(toy_gallery: Gallery) -> Path:
    """A closed gallery of a folder of twelve pictures and three that are stored in it."""
    new = [NewImage(encode(noise(900 + i)), key=f"mine/{i}.png", label="own") for i in range(3)]
    toy_gallery.add(new)
    toy_gallery.close()
    return toy_gallery.path


def content(path: Path) -> dict[str, Any]:
    """Rows and vectors."""
    with Gallery.open(path) as gallery:
        rows = gallery.walk()
        vectors = gallery.vectors([row.key for row in rows])
        return {row.key: (row, vectors[i].tobytes()) for i, row in enumerate(rows)}


def files(path: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(path)): file.read_bytes()
        for file in sorted(path.rglob("*"))
        if file.is_file()
    }


def wrong(found: Examination) -> list[str]:
    return sorted({each.check for each in found.findings if each.status == "wrong"})


def sql(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path / "catalogue.sqlite")) as db:
        for statement in statements:
            db.execute(statement)
        db.commit()


@pytest.mark.parametrize("fix", [False, True])
@pytest.mark.parametrize("full", [False, True])
def test_a_healthy_gallery_is_left_alone(path: Path, fix: bool, full: bool) -> None:
    before = files(path)
    found = examine(path, fix=fix, full=full)
    assert found.healthy
    assert found.mended == []
    assert files(path) == before
    figures = found.figures
    assert (figures["self_retrieval"], figures["self_retrieval_n"]) == (1, 15)
    assert (figures["self_retrieval_by_picture"], figures["recall_at_10"]) == (1, 1)
    assert found.space["total"] >= sum(len(data) for data in before.values())


def _stale(path: Path) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    (path / "images" / "ab").mkdir(exist_ok=True)
    (path / "images" / "ab" / f".abc.{dead.pid}.partial").write_bytes(b"half")
    (path.parent / f".{path.name}.{dead.pid}.new").mkdir()
    (path / "gallery.json.new").write_text("{")


def _orphan(path: Path) -> None:
    (path / "images" / "ff").mkdir()
    (path / "images" / "ff" / ("f" * 64)).write_bytes(encode(noise(1)))


def _swap(path: Path) -> None:
    """Two rows with each other's vectors: every file is whole, and the answers are wrong."""
    sql(
        path,
        "CREATE TABLE swap AS SELECT id, vector FROM vectors WHERE id IN (1, 2)",
        "UPDATE vectors SET vector = (SELECT vector FROM swap WHERE swap.id = 3 - vectors.id) "
        "WHERE id IN (1, 2)",
        "DROP TABLE swap",
    )


def _nan(path: Path) -> None:
    blob = np.full(12, np.nan, "<f4").tobytes().hex()
    sql(path, f"UPDATE vectors SET vector = x'{blob}' WHERE id = 4")


BREAKS: dict[str, tuple[Any, list[str]]] = {
    "left-over files": (_stale, ["leftovers"]),
    "a stored picture without a row": (_orphan, ["stored pictures"]),
    "a vector lost": (lambda p: sql(p, "DELETE FROM vectors WHERE id = 3"), ["catalogue"]),
    "a vector cut short": (
        lambda p: sql(p, "UPDATE vectors SET vector = x'00' WHERE id = 14"),
        ["catalogue"],
    ),
    "a vector that is no number": (_nan, ["catalogue"]),
    "vectors of other pictures": (_swap, ["self-retrieval"]),
    "gallery.json cut short": (
        lambda p: (p / "gallery.json").write_text('{"model": "toy", "fi'),
        ["description"],
    ),
    "gallery.json gone": (lambda p: (p / "gallery.json").unlink(), ["description"]),
    "a wrong count": (
        lambda p: sql(p, "UPDATE about SET value = 99 WHERE name = 'count'"),
        ["catalogue"],
    ),
}


@pytest.mark.parametrize("what", BREAKS)
def test_what_is_broken_is_found_and_mended(path: Path, what: str) -> None:
    before = content(path)
    breaks, expected = BREAKS[what]
    breaks(path)
    found = examine(path)
    assert wrong(found) == expected
    assert all(each.do for each in found.findings if each.status == "wrong")
    mended = examine(path, fix=True)
    assert mended.healthy, [each for each in mended.findings if each.status == "wrong"]
    assert mended.mended
    assert content(path) == before
    assert examine(path, full=True).healthy


def test_the_model_is_taken_from_where_it_is_whole(path: Path, toy_bundle: Path) -> None:
    before = content(path)
    network = path / "model" / "model.onnx"
    network.write_bytes(network.read_bytes()[:-40])
    assert wrong(examine(path, fix=True)) == ["model"]
    found = examine(path, fix=True, model=toy_bundle)
    assert found.healthy
    assert content(path) == before


def test_another_model_is_not_taken(path: Path, tmp_path: Path) -> None:
    from dataclasses import replace

    from toys import TOY_SPEC

    other = make_toy_bundle(tmp_path / "o", "toy", spec=replace(TOY_SPEC, size=64))
    (path / "model" / "model.onnx").unlink()
    assert wrong(examine(path, fix=True, model=other)) == ["model"]
    assert not (path / "model" / "model.onnx").exists()


def test_the_folder_is_compared_and_indexed_again(path: Path, pictures: Path) -> None:
    (pictures / "cat" / "0000.png").unlink()
    (pictures / "cat" / "0001.png").write_bytes(encode(noise(500)))
    (pictures / "new.png").write_bytes(encode(noise(501)))
    found = examine(path)
    assert "folder" in wrong(found)
    assert (found.figures["files_gone"], found.figures["files_changed"]) == (1, 1)
    assert examine(path, fix=True).healthy
    with Gallery.open(path) as gallery:
        keys = {row.key for row in gallery.walk()}
        assert "cat/0000.png" not in keys
        assert {"new.png", "cat/0001.png", "mine/0.png"} <= keys
        assert gallery.search(encode(noise(500)), k=1)[0].distance == 0


def test_a_folder_that_is_away_costs_no_row(path: Path, pictures: Path) -> None:
    before = content(path)
    pictures.rename(pictures.with_name("elsewhere"))
    assert wrong(examine(path, fix=True)) == ["folder"]
    assert content(path) == before
    # A disk that is not mounted leaves an empty folder.
    pictures.mkdir()
    assert "folder" in wrong(examine(path, fix=True))
    assert content(path) == before
    pictures.rmdir()
    pictures.with_name("elsewhere").rename(pictures)
    assert examine(path).healthy


def test_a_damaged_stored_picture_is_told(path: Path) -> None:
    blob = next(file for file in (path / "images").rglob("*") if file.is_file())
    blob.write_bytes(blob.read_bytes()[:100])
    found = examine(path, fix=True, full=True)
    assert wrong(found) == ["stored pictures"]
    (finding,) = [each for each in found.findings if each.status == "wrong"]
    assert finding.items[0].startswith("mine/")
    assert blob.stat().st_size == 100


@pytest.mark.parametrize("seed", range(6))
def test_a_damaged_catalogue_is_made_anew_from_what_is_left(path: Path, seed: int) -> None:
    with Gallery.open(path) as gallery:
        gallery.add([NewImage(encode(noise(2000 + i)), key=f"n/{i:03}.png") for i in range(60)])
    before = content(path)
    file = path / "catalogue.sqlite"
    data = bytearray(file.read_bytes())
    chance = random.Random(seed)
    if seed == 0:
        data = data[: len(data) // 2]
    elif seed == 1:
        data[:4096] = bytes(4096)
    else:
        for _ in range(2):
            place = chance.randrange(4096, len(data) - 2000)
            data[place : place + 1500] = chance.randbytes(1500)
    file.write_bytes(data)
    found = examine(path, fix=True, full=True)
    assert found.healthy, [each for each in found.findings if each.status == "wrong"]
    now = content(path)
    # Every picture is still there, under its key or under one made of its content.
    assert {row.hash for row, _ in now.values()} >= {row.hash for row, _ in before.values()}
    for row, vector in now.values():
        assert vector in {old for _, old in before.values()}, row
    if found.mended:
        assert any(path.glob("damaged-*/catalogue.sqlite")) or seed > 1


def test_an_index_that_is_damaged_is_made_anew(path: Path) -> None:
    with Gallery.open(path) as gallery:
        gallery.engine.optimise(force=True)  # type: ignore[attr-defined]
    before = content(path)
    (vectors,) = (path / "index").rglob("vectors.bin")
    data = bytearray(vectors.read_bytes())
    data[5] ^= 255
    vectors.write_bytes(data)
    found = examine(path)
    assert "index" in wrong(found)
    assert examine(path, fix=True).healthy
    assert content(path) == before


def test_the_command_line(path: Path, tmp_path: Path) -> None:
    runner, app = CliRunner(), build_app()
    done = runner.invoke(app, ["doctor", str(path)])
    assert done.exit_code == 0, done.output
    assert "in order" in done.output
    assert "self-retrieval" in done.output
    _orphan(path)
    done = runner.invoke(app, ["doctor", str(path)])
    assert done.exit_code == 1
    assert "WRONG" in done.output
    assert "--fix" in done.output
    done = runner.invoke(app, ["doctor", str(path), "--json"])
    told = json.loads(done.stdout)
    assert done.exit_code == 1
    assert not told["healthy"]
    assert [f["items"] for f in told["findings"] if f["status"] == "wrong"] == [["f" * 64]]
    done = runner.invoke(app, ["doctor", str(path), "--fix"])
    assert done.exit_code == 0, done.output
    assert "Mended: stored pictures" in done.output
    with pytest.raises(GalleryNotFound):
        examine(tmp_path / "nothing")


def test_a_packed_gallery_can_be_looked_at(path: Path, tmp_path: Path) -> None:
    from vizinho.gallery.pack import pack

    with Gallery.open(path) as gallery:
        pack(gallery, tmp_path / "packed", lambda row: f"https://p.example/{row.key}")
    assert examine(tmp_path / "packed").healthy
    vectors = tmp_path / "packed" / "vectors.npy"
    vectors.write_bytes(vectors.read_bytes()[:-4])
    assert "opening" in wrong(examine(tmp_path / "packed", fix=True))


def test_what_cannot_be_mended_is_not_worse_afterwards(path: Path) -> None:
    shutil.rmtree(path / "model")
    before = files(path)
    with suppress(VizinhoError):
        examine(path, fix=True)
    assert files(path) == before
