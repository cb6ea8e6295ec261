"""Another model for a gallery: nothing lost, nothing half-done, others may look and write."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from serving import as_base64, make_gallery, picture, running
from stopping import kill_after_a_page, killed
from toys import TOY_SPEC, encode, make_toy_bundle, noise
from vizinho.bundle import read_bundle
from vizinho.cli import build_app
from vizinho.errors import GalleryBusy, GalleryError
from vizinho.gallery import Gallery, NewImage, layout
from vizinho.gallery import migrate as module
from vizinho.gallery.mapping import make_map
from vizinho.gallery.migrate import leftovers, migrate, migrating
from vizinho.gallery.reembed import Reembedding


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """A model that gives other vectors than the toy one, for the same pictures."""
    return make_toy_bundle(tmp_path / "models", "other", spec=replace(TOY_SPEC, size=64))


def rows(path: Path) -> list[Any]:
    with Gallery.open(path) as gallery:
        return gallery.walk()


def check(path: Path, bundle: Path, expected: list[Any]) -> None:
    """The gallery has these rows, and each the vector that this model gives its picture."""
    fingerprint = read_bundle(bundle).fingerprint
    with Gallery.open(path, model=bundle) as gallery:
        assert gallery.about.fingerprint == gallery.embedder.fingerprint == fingerprint
        assert gallery.walk() == expected
        for row in expected:
            data, _ = gallery.image_bytes(row.key)
            assert np.array_equal(gallery.vectors([row.key])[0], gallery.embedder.embed([data])[0])
            assert gallery.search(data, k=1)[0].distance == 0


def test_rows_stay_and_vectors_are_the_new_models(
    toy_gallery: Gallery, toy_bundle: Path, other: Path, pictures: Path
) -> None:
    toy_gallery.add([NewImage(encode(noise(5)), key="mine.png", metadata={"n": 1}, url="/there")])
    path, before = toy_gallery.path, toy_gallery.walk()
    make_map(toy_gallery)
    done = migrate(path, other)
    assert (done.embedded, done.pictures, done.resumed, done.skipped) == (13, 13, 0, [])
    check(path, other, before)
    assert leftovers(path, layout.read_about(path)) == []
    assert not (path / "catalogue.sqlite").exists()
    assert not (path / "model").exists()
    assert not (path / "map").exists()
    assert not migrate(path, other).changed
    migrate(path, toy_bundle)
    check(path, toy_bundle, before)
    with Gallery.open(path) as again:
        (pictures / "cat" / "0000.png").unlink()
        assert again.sync_folder(pictures, labels=True).removed == 1


def test_the_old_one_is_kept_if_told(toy_gallery: Gallery, other: Path) -> None:
    before, vector = toy_gallery.walk(), toy_gallery.vectors(["cat/0000.png"])
    done = migrate(toy_gallery.path, other, keep=True)
    assert done.backup is not None
    with Gallery.open(done.backup) as backup:
        assert backup.walk() == before
        assert np.array_equal(backup.vectors(["cat/0000.png"]), vector)


@pytest.mark.parametrize("moment", ["embedding", "before the change", "after the change"])
def test_stopped_at_any_moment_it_is_the_old_or_the_new(
    toy_gallery: Gallery,
    toy_bundle: Path,
    other: Path,
    monkeypatch: pytest.MonkeyPatch,
    moment: str,
) -> None:
    path, before = toy_gallery.path, toy_gallery.walk()
    monkeypatch.setattr("vizinho.gallery.reembed._PAGE", 5)

    with monkeypatch.context() as patch:
        if moment == "embedding":
            kill_after_a_page(patch)
        elif moment == "before the change":
            patch.setattr(layout, "replace_about", killed)
        else:
            patch.setattr(module, "sweep", killed)
        with pytest.raises(KeyboardInterrupt):
            migrate(path, other)
    check(path, other if moment == "after the change" else toy_bundle, before)
    assert leftovers(path, layout.read_about(path)) != []
    done = migrate(path, other)
    expected = {"embedding": (5, 7), "before the change": (12, 0), "after the change": (0, 0)}
    assert (done.resumed, done.embedded) == expected[moment]
    check(path, other, before)
    assert leftovers(path, layout.read_about(path)) == []


def test_what_changes_meanwhile_is_taken_in(
    toy_gallery: Gallery, other: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Reembedding.run
    passes: list[int] = []

    def between(self: Reembedding, progress: Any = None) -> int:
        found = run(self, progress)
        passes.append(found)
        if len(passes) == 1:
            with Gallery.open(toy_gallery.path) as writer:
                writer.add([NewImage(encode(noise(7)), key="new.png")])
                writer.remove(["cat/0001.png", "dog/0004.png"])
                writer.set_labels([("cat/0002.png", "tiger")])
                (pictures / "cat" / "0003.png").write_bytes(encode(noise(8)))
                (pictures / "cat" / "0004.png").rename(pictures / "cat" / "z.png")
                writer.sync_folder(pictures)
        return found

    monkeypatch.setattr(Reembedding, "run", between)
    done = migrate(toy_gallery.path, other)
    assert passes[0] == 12
    assert sum(passes[1:]) >= 5
    # The renamed picture kept its vector; the new one and the changed one were embedded.
    assert done.embedded == 12 + 3
    with Gallery.open(toy_gallery.path) as gallery:
        check(toy_gallery.path, other, gallery.walk())
        assert gallery.get("cat/0002.png").label == "tiger"
        assert {"new.png", "cat/z.png"} <= {row.key for row in gallery.walk()}


def test_a_writer_that_waited_writes_into_the_new_one(toy_gallery: Gallery, other: Path) -> None:
    migrate(toy_gallery.path, other)
    # Opened under the old model, and never closed.
    toy_gallery.add([NewImage(encode(noise(9)), key="late.png")])
    with Gallery.open(toy_gallery.path) as gallery:
        assert gallery.count == 13
        check(toy_gallery.path, other, gallery.walk())
    assert toy_gallery.search(encode(noise(9)), k=1)[0].key == "late.png"


def test_missing_pictures_block_or_are_left_out(
    toy_gallery: Gallery, toy_bundle: Path, other: Path, pictures: Path
) -> None:
    path, before = toy_gallery.path, toy_gallery.walk()
    (pictures / "dog" / "0000.png").unlink()
    (pictures / "dog" / "0001.png").write_bytes(encode(noise(11)))
    with pytest.raises(GalleryError, match=r"2 pictures .*\n.*dog/0000.png: .*\n.*changed") as told:
        migrate(path, other)
    assert "--skip-missing" in told.value.hint
    with Gallery.open(path, model=toy_bundle) as gallery:
        assert gallery.walk() == before
    done = migrate(path, other, skip_missing=True)
    assert [each.name for each in done.skipped] == ["dog/0000.png", "dog/0001.png"]
    assert (done.resumed, done.embedded, done.pictures) == (10, 0, 10)
    kept = [row for row in before if row.key not in ("dog/0000.png", "dog/0001.png")]
    check(path, other, kept)


def test_only_one_at_a_time(toy_gallery: Gallery, other: Path) -> None:
    assert not migrating(toy_gallery.path)
    with module._alone(toy_gallery.path):
        assert migrating(toy_gallery.path)
        with pytest.raises(GalleryBusy, match="being migrated"):
            migrate(toy_gallery.path, other)


def test_a_server_changes_over_without_a_restart(tmp_path: Path, other: Path) -> None:
    path = make_gallery(tmp_path)
    body = {"image_base64": as_base64(picture(3)), "k": 3}
    with running(path, writable=True) as server:
        assert server.client.get("/v1/model").json()["name"] == "toy"
        before = server.client.post("/v1/search", json=body).json()
        done = CliRunner().invoke(
            build_app(), ["migrate", str(path), "--model", str(other), "--json"]
        )
        assert done.exit_code == 0, done.output
        assert json.loads(done.stdout)["embedded"] == 40
        # Until it has changed over it answers as before, and never with an error.
        names, deadline = [], time.monotonic() + 240
        while names[-1:] != ["other"] and time.monotonic() < deadline:
            answer = server.client.post("/v1/search", json=body)
            assert answer.status_code == 200
            assert answer.json()["results"][0]["key"] == before["results"][0]["key"]
            assert answer.json()["results"][0]["distance"] == 0
            names.append(answer.json()["model"])
        assert set(names) <= {"toy", "other"}
        assert names[-1] == "other"
        upload = {"files": {"image": ("a.png", encode(noise(999)))}}
        assert server.client.post("/v1/images", **upload).status_code == 201
        with Gallery.open(path, model=other) as gallery:
            assert gallery.count == 41
