"""Right and wrong: marks are kept, replaced, taken back, survive a kill, and become a data set."""

from __future__ import annotations

import csv
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from killing import SOURCE
from toys import encode, make_toy_bundle, noise, plain
from vizinho.cli import build_app
from vizinho.datasets import load_dataset
from vizinho.errors import GalleryError, KeyNotFound, NotAnImage
from vizinho.gallery import Gallery, NewImage
from vizinho.gallery.feedback import FEEDBACK
from vizinho.gallery.feedback_export import export_feedback
from vizinho.gallery.pack import pack
from vizinho.images import Crop, content_hash

CAT, OTHER_CAT, DOG = "cat/0000.png", "cat/0001.png", "dog/0000.png"


def mine(seed: int = 900) -> bytes:
    """A picture that the gallery does not have."""
    return encode(noise(seed))


def test_a_mark_says_what_was_asked_and_answered(toy_gallery: Gallery) -> None:
    said = toy_gallery.feedback.mark(CAT, DOG, "wrong")
    one, other = toy_gallery.vectors([CAT, DOG]).astype(np.float64)
    assert said.distance == pytest.approx(float(np.linalg.norm(one - other)), abs=1e-12)
    assert (said.query_key, said.query_hash) == (CAT, toy_gallery.get(CAT).hash)
    assert (said.key, said.hash) == (DOG, toy_gallery.get(DOG).hash)
    assert (said.model, said.fingerprint) == ("toy", toy_gallery.about.fingerprint)
    assert abs(said.time - time.time()) < 60
    assert toy_gallery.feedback.marks() == [said]


def test_a_picture_is_kept_with_its_mark_and_goes_with_the_last(toy_gallery: Gallery) -> None:
    kept, data = toy_gallery.feedback, mine()
    found = toy_gallery.search(data, k=2)
    marks = [kept.mark(data, match.key, "right") for match in found]
    assert [mark.distance for mark in marks] == pytest.approx([m.distance for m in found])
    assert marks[0].query_key is None
    content = content_hash(data)
    assert kept.picture(content) == data
    # By its hash alone it can be asked about again.
    assert kept.mark(content, found[1].key, "wrong").distance == marks[1].distance
    assert kept.counts() == {"right": 1, "wrong": 1}
    assert kept.take_back(content, found[0].key)
    assert kept.picture(content) == data
    assert kept.take_back(data, found[1].key)
    assert not kept.take_back(data, found[1].key)
    with pytest.raises(KeyNotFound):
        kept.picture(content)
    assert kept.marks() == []


def test_a_second_mark_replaces_the_first(toy_gallery: Gallery) -> None:
    kept = toy_gallery.feedback
    kept.mark(CAT, OTHER_CAT, "wrong")
    kept.mark(CAT, DOG, "wrong")
    # The same picture, this time as bytes: the same mark.
    kept.mark(toy_gallery.image_bytes(CAT)[0], OTHER_CAT, "right")
    assert [(m.query_key, m.key, m.verdict) for m in kept.marks()] == [
        (CAT, OTHER_CAT, "right"),
        (CAT, DOG, "wrong"),
    ]
    assert kept.marks(1, 1)[0].key == DOG
    assert [m.key for m in kept.walk()] == [DOG, OTHER_CAT]
    assert kept.marks(query=OTHER_CAT) == []
    assert kept.counts(query=CAT) == {"right": 1, "wrong": 1}


def test_a_part_of_a_picture_is_another_query(toy_gallery: Gallery) -> None:
    kept, left = toy_gallery.feedback, Crop(0, 0, 1, 0.5)
    whole = kept.mark(CAT, DOG, "wrong")
    part = kept.mark(CAT, DOG, "right", crop=left)
    found = toy_gallery.search(toy_gallery.image_bytes(CAT)[0], k=12, crop=left)
    assert part.distance == pytest.approx(next(m.distance for m in found if m.key == DOG))
    assert part.distance != whole.distance
    assert part.crop == "0.0000,0.0000,1.0000,0.5000"
    assert kept.take_back(CAT, DOG)
    assert kept.marks() == [part]


def test_marks_outlive_their_pictures_and_can_be_taken_back(toy_gallery: Gallery) -> None:
    kept = toy_gallery.feedback
    kept.mark(CAT, DOG, "wrong")
    toy_gallery.remove([CAT, DOG])
    assert len(kept.marks()) == 1
    assert kept.take_back(CAT, DOG)
    assert kept.marks() == []


def test_what_makes_no_sense_is_refused_and_leaves_nothing(toy_gallery: Gallery) -> None:
    kept = toy_gallery.feedback
    with pytest.raises(KeyNotFound):
        kept.mark("nobody", DOG, "right")
    with pytest.raises(KeyNotFound):
        kept.mark(CAT, "nobody", "right")
    with pytest.raises(NotAnImage):
        kept.mark(b"no picture", DOG, "right")
    assert not (toy_gallery.path / FEEDBACK).exists()


def test_a_packed_gallery_keeps_none(toy_gallery: Gallery, tmp_path: Path) -> None:
    pack(
        toy_gallery, tmp_path / "packed.vizinho", lambda row: f"https://pictures.example/{row.hash}"
    )
    with Gallery.open(tmp_path / "packed.vizinho") as packed:
        assert not packed.keeps_feedback
        with pytest.raises(GalleryError, match="packed"):
            packed.feedback.counts()


_MARKING = """
import sys
from vizinho.gallery import Gallery
sys.path.insert(0, sys.argv[2])
from toys import encode, noise
with Gallery.open(sys.argv[1]) as gallery:
    print("ready", flush=True)
    for number in range(10_000):
        gallery.feedback.mark(encode(noise(5000 + number)), "dog/0000.png", "right")
        print(number, flush=True)
"""


@pytest.mark.parametrize("marks", [0, 1, 7])
def test_killed_while_marking_all_that_was_said_is_there(toy_gallery: Gallery, marks: int) -> None:
    """kill -9 at the start, in the first marks, and amid many."""
    process = subprocess.Popen(
        [sys.executable, "-c", _MARKING, str(toy_gallery.path), str(Path(__file__).parent)],
        env={**os.environ, "PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    with process.stdout as lines:
        told = [lines.readline() for _ in range(marks + 1)]
        assert told[0] == "ready\n"
        process.send_signal(signal.SIGKILL)
        told += lines.readlines()
    assert process.wait(60) == -signal.SIGKILL
    said = len([line for line in told if line.endswith("\n")]) - 1
    kept = toy_gallery.feedback
    found = list(kept.walk())
    # One may have been kept and not told of.
    assert len(found) in (said, said + 1)
    for mark in found:
        assert content_hash(kept.picture(mark.query_hash)) == mark.query_hash
    if found:
        with sqlite3.connect(toy_gallery.path / FEEDBACK) as db:
            assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert db.execute("SELECT count(*) FROM pictures").fetchone() == (len(found),)
    kept.mark(CAT, DOG, "wrong")
    assert kept.marks()[0].query_key == CAT


def test_marks_wait_for_no_writer(toy_gallery: Gallery) -> None:
    with toy_gallery._writing(), Gallery.open(toy_gallery.path) as other:
        other.feedback.mark(CAT, DOG, "wrong")
    assert toy_gallery.feedback.counts() == {"right": 0, "wrong": 1}


def test_an_export_is_a_data_set(toy_gallery: Gallery, tmp_path: Path) -> None:
    kept, data = toy_gallery.feedback, mine()
    kept.mark(data, CAT, "right")
    kept.mark(data, DOG, "wrong")
    kept.mark(DOG, "dog/0001.png", "right")
    left = kept.mark(OTHER_CAT, CAT, "right", crop=Crop(0, 0, 1, 0.5))
    done = export_feedback(toy_gallery, kept, tmp_path / "said")
    assert (done.pairs, done.labelled, done.conflicts, done.skipped) == (4, 5, [], [])
    loaded = load_dataset(str(tmp_path / "said" / "labels.csv"))
    assert list(loaded.classes) == ["cat", "dog"]
    labels = {
        content_hash(loaded.read(i)): loaded.classes[int(loaded.labels[i])]
        for i in range(len(loaded))
    }
    assert labels[content_hash(data)] == "cat"
    for key in (CAT, DOG, "dog/0001.png"):
        row = toy_gallery.get(key)
        assert labels[row.hash] == row.label
    assert left.query_hash not in labels
    with (tmp_path / "said" / "pairs.csv").open(newline="") as file:
        pairs = list(csv.DictReader(file))
    assert [pair["verdict"] for pair in pairs] == ["right", "wrong", "right", "right"]
    assert (tmp_path / "said" / pairs[0]["query"]).read_bytes() == data
    assert [pairs[1]["query_key"], pairs[1]["result_key"]] == ["", DOG]
    assert float(pairs[3]["distance"]) == pytest.approx(left.distance, rel=1e-5)
    # The part that was asked with, and not the whole picture.
    with Image.open(tmp_path / "said" / pairs[3]["query"]) as part:
        assert part.size == (16, 32)


def test_what_marks_contradict_is_listed_and_not_guessed(
    toy_gallery: Gallery, tmp_path: Path
) -> None:
    kept, data, other = toy_gallery.feedback, mine(1), mine(2)
    kept.mark(data, CAT, "right")
    kept.mark(data, DOG, "right")  # a cat and a dog of one kind
    kept.mark(other, "cat/0002.png", "right")
    kept.mark(other, "cat/0003.png", "wrong")  # a cat that is not of the cats' kind
    kept.mark("dog/0001.png", "dog/0002.png", "right")
    done = export_feedback(toy_gallery, kept, tmp_path / "said")
    assert [each.why for each in done.conflicts] == [
        "right marks join cat and dog",
        "a wrong mark stands between two pictures of cat",
    ]
    assert {label for _, label in done.conflicts[0].pictures} == {None, "cat", "dog"}
    loaded = load_dataset(str(tmp_path / "said" / "labels.csv"))
    assert (list(loaded.classes), len(loaded)) == (["dog"], 2)
    with (tmp_path / "said" / "conflicts.csv").open(newline="") as file:
        assert {row["group"] for row in csv.DictReader(file)} == {"1", "2"}


def test_labels_reach_pictures_of_the_gallery_that_have_none(
    toy_gallery: Gallery, tmp_path: Path
) -> None:
    kept, runner = toy_gallery.feedback, CliRunner()
    toy_gallery.set_labels([("cat/0003.png", None), ("dog/0003.png", None), ("dog/0004.png", None)])
    kept.mark(CAT, "cat/0003.png", "right")
    kept.mark("dog/0003.png", "dog/0004.png", "right")  # two without a label: none follows
    done = export_feedback(toy_gallery, kept, tmp_path / "said")
    assert (done.labelled, done.unlabelled) == (2, 1)
    table, path = str(tmp_path / "said" / "gallery.csv"), str(toy_gallery.path)
    told = runner.invoke(build_app(), ["label", "--from", table, "-g", path])
    assert told.exit_code == 0, told.output
    assert toy_gallery.get("cat/0003.png").label == "cat"
    assert toy_gallery.get("dog/0003.png").label is None


def test_an_export_is_brought_up_to_date_and_never_takes_another_folder(
    toy_gallery: Gallery, tmp_path: Path
) -> None:
    kept, folder = toy_gallery.feedback, tmp_path / "said"
    kept.mark(mine(), CAT, "right")
    first = export_feedback(toy_gallery, kept, folder)
    kept.take_back(mine(), CAT)
    kept.mark(DOG, CAT, "wrong")
    second = export_feedback(toy_gallery, kept, folder)
    assert (first.pictures, second.pictures) == (2, 2)
    names = {path.name[:32] for path in (folder / "pictures").iterdir()}
    assert names == {toy_gallery.get(key).hash[:32] for key in (CAT, DOG)}
    (tmp_path / "photos.txt").write_text("mine")
    with pytest.raises(GalleryError, match="something else"):
        export_feedback(toy_gallery, kept, tmp_path)
    toy_gallery.remove([DOG])
    third = export_feedback(toy_gallery, kept, folder)
    assert (third.pairs, [each.name for each in third.skipped]) == (0, [DOG])


def test_the_command_line(toy_gallery: Gallery, tmp_path: Path) -> None:
    runner, app, path = CliRunner(), build_app(), str(toy_gallery.path)
    empty = runner.invoke(app, ["feedback", "-g", path])
    assert (empty.exit_code, empty.output) == (0, f"{path}: 0 right, 0 wrong.\n")
    kept = toy_gallery.feedback
    kept.mark(mine(), CAT, "right")
    kept.mark(DOG, CAT, "wrong")
    shown = runner.invoke(app, ["feedback", "-g", path]).output
    assert "1 right, 1 wrong" in shown
    assert shown.index("wrong    ") < shown.index(f"a picture, {content_hash(mine())[:12]}")
    told = json.loads(runner.invoke(app, ["feedback", "-g", path, "--json"]).stdout)
    assert [mark["verdict"] for mark in told["marks"]] == ["wrong", "right"]
    assert told["marks"][1]["query_key"] is None
    assert told["marks"][0]["time"].endswith("+00:00")
    folder = str(tmp_path / "said")
    done = runner.invoke(app, ["feedback", "-g", path, "--export", folder, "--json"])
    answer = json.loads(done.stdout)
    assert (answer["pairs"], answer["labelled"], answer["conflicts"]) == (2, 2, [])
    # `vizinho index` takes it as it is.
    new = str(tmp_path / "new.vizinho")
    made = runner.invoke(
        app,
        ["index", f"{folder}/labels.csv", "-g", new, "--model", str(make_toy_bundle(tmp_path))],
    )
    assert made.exit_code == 0, made.output
    with Gallery.open(new) as indexed:
        assert indexed.labels() == {"cat": 2}
    assert runner.invoke(app, ["feedback", "-g", path, "--export", str(tmp_path)]).exit_code == 1


@pytest.mark.train
def test_training_reads_an_export(toy_gallery: Gallery, tmp_path: Path) -> None:
    """`vizinho train labels.csv`, for one short epoch."""
    kept, runner = toy_gallery.feedback, CliRunner()
    for i in range(6):
        kept.mark(encode(plain((200, 20 * i, 0))), f"cat/000{i}.png", "right")
        kept.mark(encode(plain((0, 20 * i, 200))), f"dog/000{min(i, 4)}.png", "right")
    export_feedback(toy_gallery, kept, tmp_path / "said")
    labels = str(tmp_path / "said" / "labels.csv")
    done = runner.invoke(
        build_app(),
        ["train", labels, "--epochs", "1", "--out", str(tmp_path / "model"), "--json"],
    )
    assert done.exit_code == 0, done.output


def test_new_pictures_of_the_gallery_can_be_marked_at_once(toy_gallery: Gallery) -> None:
    toy_gallery.add([NewImage(mine(3), key="new.png")])
    assert toy_gallery.feedback.mark(mine(3), "new.png", "right").distance == 0
