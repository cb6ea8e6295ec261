"""Another model for a gallery in Milvus: as in a folder, without a lock to rely on."""

from __future__ import annotations

import json
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from moving import NAME, check, collections, side
from serving import as_base64, running
from toys import encode, noise
from vizinho.cli import build_app
from vizinho.errors import GalleryBusy, GalleryError
from vizinho.gallery import Gallery, NewImage, layout, remote_homes
from vizinho.gallery import migrate_remote as module
from vizinho.gallery.doctor import examine
from vizinho.gallery.migrate import migrate
from vizinho.gallery.reembed import Reembedding
from vizinho.gallery.remote import Remote
from vizinho.gallery.remote_homes import SETTLING

pytestmark = pytest.mark.milvus


def test_rows_stay_and_answers_are_the_new_models(
    moved: Gallery,
    address: str,
    toy_bundle: Path,
    other_model: Path,
    pictures: Path,
    tmp_path: Path,
) -> None:
    before = moved.walk()
    assert collections(address) == [NAME, f"{NAME}_about", f"{NAME}_images"]
    done = migrate(address, other_model)
    assert (done.embedded, done.pictures, done.resumed, done.skipped) == (13, 13, 0, [])
    check(address, other_model, before)
    assert collections(address) == sorted([side(other_model), f"{NAME}_about", f"{NAME}_images"])
    with Gallery.create(tmp_path / "fresh.vizinho", model=other_model) as fresh:
        fresh.sync_folder(pictures, labels=True)
        fresh.add([NewImage(encode(noise(5)), key="mine.png")])
        for number in (3, 5, 99):
            expected = [(hit.key, hit.distance) for hit in fresh.search(noise(number), k=13)]
            with Gallery.open(address) as there:
                found = [(hit.key, hit.distance) for hit in there.search(noise(number), k=13)]
            assert found == expected
    # What was opened before reads and writes on, now under the new model.
    assert moved.walk() == before
    first = moved.search(pictures / "cat" / "0003.png", k=1)[0]
    assert (first.key, first.distance) == ("cat/0003.png", 0.0)
    assert moved.add([NewImage(encode(noise(9)), key="late.png")]).added == 1
    assert moved.sync_folder(pictures, labels=True).unchanged == 12
    assert moved.about.model == "other"
    check(address, other_model, moved.walk())
    shutil.rmtree(tmp_path / "cache")
    check(address, other_model, moved.walk())
    assert not migrate(address, other_model).changed
    # And on to a third, and gone without a trace.
    migrate(address, toy_bundle)
    check(address, toy_bundle, moved.walk())
    found = examine(address)
    assert [each.what for each in found.findings if each.check == "leftovers"] == [
        "Nothing was left lying about."
    ]
    Gallery.create(address, model=other_model, overwrite=True).close()
    assert collections(address) == [NAME, f"{NAME}_about"]
    with pytest.raises(GalleryError, match="replaced"):
        moved.remove(["late.png"])
    migrate(address, toy_bundle)
    Gallery.open(address).discard_if_empty()
    assert collections(address) == []


def test_what_changes_meanwhile_is_taken_in(
    moved: Gallery, address: str, other_model: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Reembedding.run
    passes: list[int] = []

    def between(self: Reembedding, progress: Any = None) -> int:
        found = run(self, progress)
        passes.append(found)
        if len(passes) == 1:
            with Gallery.open(address) as writer:
                writer.add([NewImage(encode(noise(7)), key="new.png")])
                writer.remove(["cat/0001.png", "dog/0004.png"])
                writer.set_labels([("cat/0002.png", "tiger")])
                (pictures / "cat" / "0003.png").write_bytes(encode(noise(8)))
                (pictures / "cat" / "0004.png").rename(pictures / "cat" / "z.png")
                writer.sync_folder(pictures)
        return found

    monkeypatch.setattr("vizinho.gallery.reembed._FEW", 0)
    monkeypatch.setattr(Reembedding, "run", between)
    done = migrate(address, other_model)
    assert passes[0] == 13
    # The last one comes after the change, and found nothing more.
    assert (sum(passes[1:]) >= 5, passes[-1]) == (True, 0)
    assert done.embedded == 13 + 3
    check(address, other_model, moved.walk())
    assert moved.get("cat/0002.png").label == "tiger"
    assert moved.get("mine.png").metadata == {"n": 1}
    keys = {row.key for row in moved.walk()}
    assert {"new.png", "cat/z.png", "cat/0001.png"} <= keys
    assert "cat/0004.png" not in keys


def test_what_was_written_up_to_the_change_counts_and_after_it_is_refused(
    moved: Gallery, address: str, other_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_about = Remote.write_about
    late = NewImage(encode(noise(71)), key="late.png")

    def writing(self: Remote, about: layout.About) -> None:
        # A writer that began before the last changes are taken in, and ends before the change.
        self.about_parts.delete([SETTLING])
        with Gallery.open(address) as writer:
            writer.add([NewImage(encode(noise(70)), key="just.png")])
            writer.remove(["cat/0000.png"])
            self.about_parts.put(SETTLING, b'{"from": null}')
            write_about(self, about)
            # One that ends after it is told to write again.
            with monkeypatch.context() as patch:
                patch.setattr(Remote, "await_writable", lambda *_: False)
                patch.setattr(Gallery, "_follow", lambda *_: None)
                with pytest.raises(GalleryBusy, match="another model while"):
                    writer.add([late])
            # A write of hours ends at its next batch.
            with monkeypatch.context() as patch:
                patch.setattr(remote_homes, "_LOOK_SECONDS", -1.0)
                with pytest.raises(GalleryBusy, match="another model while"):
                    writer.engine.remove(["cat/0001.png"])
            # And nobody begins.
            with pytest.raises(GalleryBusy, match="last changes"):
                writer.add([late])

    monkeypatch.setattr(Remote, "write_about", writing)
    migrate(address, other_model)
    monkeypatch.undo()
    keys = {row.key for row in moved.walk()}
    assert "just.png" in keys
    assert "cat/0000.png" not in keys
    assert "cat/0001.png" in keys
    moved.add([late])
    check(address, other_model, moved.walk())
    assert moved.search(noise(71), k=1)[0].key == "late.png"


def test_a_server_changes_over_without_a_restart(
    moved: Gallery, address: str, other_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_GRACE_SECONDS", 5.0)
    body = {"image_base64": as_base64(encode(noise(5))), "k": 3}
    with running(Path(address), writable=True) as server:
        names: list[str] = []

        def ask() -> None:
            answer = server.client.post("/v1/search", json=body)
            assert answer.status_code == 200, answer.text
            first = answer.json()["results"][0]
            assert (first["key"], first["distance"]) == ("mine.png", 0)
            names.append(answer.json()["model"])

        ask()
        over = threading.Event()

        def asking() -> None:
            while not over.wait(0.1):
                ask()

        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(asking)
            try:
                done = CliRunner().invoke(
                    build_app(), ["migrate", address, "--model", str(other_model), "--json"]
                )
                assert done.exit_code == 0, done.output
                assert json.loads(done.stdout)["embedded"] == 13
                assert json.loads(done.stdout)["gallery"] == address
                deadline = time.monotonic() + 60
                while names[-1] != "other" and time.monotonic() < deadline:
                    time.sleep(0.1)
            finally:
                over.set()
            asked.result()
        assert set(names) == {"toy", "other"}
        assert names[-1] == "other"
        upload = {"files": {"image": ("a.png", encode(noise(999)))}}
        assert server.client.post("/v1/images", **upload).status_code == 201
    with Gallery.open(address, model=other_model) as there:
        assert there.count == 14
