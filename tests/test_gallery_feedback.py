"""Right and wrong: marks are kept, replaced, taken back, and survive a kill."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from killing import SOURCE
from toys import encode, noise
from vizinho.errors import GalleryError, KeyNotFound, NotAnImage
from vizinho.gallery import Gallery, NewImage
from vizinho.gallery.feedback import FEEDBACK
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
    assert part.crop == "0.0,0.0,1.0,0.5"
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
        with pytest.raises(GalleryError, match="is in the gallery that it was packed from") as told:
            packed.feedback.counts()
        assert "keeps no feedback" in told.value.message


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


def test_new_pictures_of_the_gallery_can_be_marked_at_once(toy_gallery: Gallery) -> None:
    toy_gallery.add([NewImage(mine(3), key="new.png")])
    assert toy_gallery.feedback.mark(mine(3), "new.png", "right").distance == 0
