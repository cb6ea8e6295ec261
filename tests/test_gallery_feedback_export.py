"""Feedback written out: a data set where labels follow from right marks, and what contradicts."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from toys import encode, make_toy_bundle, noise, plain
from vizinho.cli import build_app
from vizinho.datasets import load_dataset
from vizinho.errors import GalleryError
from vizinho.gallery import Gallery
from vizinho.gallery.feedback_export import export_feedback
from vizinho.images import Crop, content_hash

CAT, OTHER_CAT, DOG = "cat/0000.png", "cat/0001.png", "dog/0000.png"


def mine(seed: int = 900) -> bytes:
    """A picture that the gallery does not have."""
    return encode(noise(seed))


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
