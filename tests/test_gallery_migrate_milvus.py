"""Another model for a gallery in Milvus: as in a folder, without a lock to rely on."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from milvus_server import MilvusServer
from serving import SOURCE, as_base64, running
from toys import TOY_SPEC, encode, make_toy_bundle, noise
from vizinho.bundle import read_bundle
from vizinho.cli import build_app
from vizinho.engines import milvus_link
from vizinho.errors import GalleryBusy, GalleryError, GalleryUnreachable
from vizinho.gallery import Gallery, NewImage, layout
from vizinho.gallery import migrate_remote as module
from vizinho.gallery.doctor import examine
from vizinho.gallery.migrate import migrate
from vizinho.gallery.reembed import Reembedding
from vizinho.gallery.remote import Remote
from vizinho.gallery.remote_claim import Claim
from vizinho.gallery.remote_homes import CLAIM, SETTLING

pytestmark = pytest.mark.milvus
NAME = "moved"


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that gives other vectors than the toy one, for the same pictures."""
    folder = tmp_path_factory.mktemp("models")
    return make_toy_bundle(folder, "other", spec=replace(TOY_SPEC, size=64))


@pytest.fixture
def place(milvus: MilvusServer) -> str:
    return f"{milvus.uri}/{NAME}"


@pytest.fixture
def gallery(
    place: str,
    toy_bundle: Path,
    pictures: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Gallery]:
    """Twelve pictures of a folder and one that is nowhere else."""
    monkeypatch.setenv("VIZINHO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(module, "_GRACE_SECONDS", 0.0)
    with Gallery.create(place, model=toy_bundle, overwrite=True) as made:
        made.sync_folder(pictures, labels=True)
        made.add([NewImage(encode(noise(5)), key="mine.png", metadata={"n": 1}, url="/there")])
        yield made


def collections(place: str) -> list[str]:
    """What this gallery has in the server."""
    link = milvus_link.MilvusLink(Remote(place).address)
    try:
        found = link.call(lambda client, left: client.list_collections(timeout=left))
        return sorted(name for name in found if name.startswith(NAME))
    finally:
        link.close()


def side(bundle: Path) -> str:
    return f"{NAME}_by_{bundle.name}_{read_bundle(bundle).fingerprint[:12]}"


def check(place: str, bundle: Path, expected: list[Any]) -> None:
    """The gallery has these rows, and each the vector that this model gives its picture."""
    with Gallery.open(place, model=bundle) as gallery:
        assert gallery.about.fingerprint == gallery.embedder.fingerprint
        assert gallery.walk() == expected
        keys = [row.key for row in expected]
        fresh = gallery.embedder.embed([gallery.image_bytes(key)[0] for key in keys])
        assert np.array_equal(gallery.vectors(keys), fresh)


def test_rows_stay_and_answers_are_the_new_models(
    gallery: Gallery, place: str, toy_bundle: Path, other: Path, pictures: Path, tmp_path: Path
) -> None:
    before = gallery.walk()
    assert collections(place) == [NAME, f"{NAME}_about", f"{NAME}_images"]
    done = migrate(place, other)
    assert (done.embedded, done.pictures, done.resumed, done.skipped) == (13, 13, 0, [])
    check(place, other, before)
    assert collections(place) == sorted([side(other), f"{NAME}_about", f"{NAME}_images"])
    with Gallery.create(tmp_path / "fresh.vizinho", model=other) as fresh:
        fresh.sync_folder(pictures, labels=True)
        fresh.add([NewImage(encode(noise(5)), key="mine.png")])
        for number in (3, 5, 99):
            expected = [(hit.key, hit.distance) for hit in fresh.search(noise(number), k=13)]
            with Gallery.open(place) as there:
                found = [(hit.key, hit.distance) for hit in there.search(noise(number), k=13)]
            assert found == expected
    # What was opened before reads and writes on, now under the new model.
    assert gallery.walk() == before
    first = gallery.search(pictures / "cat" / "0003.png", k=1)[0]
    assert (first.key, first.distance) == ("cat/0003.png", 0.0)
    assert gallery.add([NewImage(encode(noise(9)), key="late.png")]).added == 1
    assert gallery.sync_folder(pictures, labels=True).unchanged == 12
    assert gallery.about.model == "other"
    check(place, other, gallery.walk())
    shutil.rmtree(tmp_path / "cache")
    check(place, other, gallery.walk())
    assert not migrate(place, other).changed
    # And on to a third, and gone without a trace.
    migrate(place, toy_bundle)
    check(place, toy_bundle, gallery.walk())
    found = examine(place)
    assert [each.what for each in found.findings if each.check == "leftovers"] == [
        "Nothing was left lying about."
    ]
    Gallery.create(place, model=other, overwrite=True).close()
    assert collections(place) == [NAME, f"{NAME}_about"]
    with pytest.raises(GalleryError, match="replaced"):
        gallery.remove(["late.png"])
    migrate(place, toy_bundle)
    Gallery.open(place).discard_if_empty()
    assert collections(place) == []


def test_what_changes_meanwhile_is_taken_in(
    gallery: Gallery, place: str, other: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Reembedding.run
    passes: list[int] = []

    def between(self: Reembedding, progress: Any = None) -> int:
        found = run(self, progress)
        passes.append(found)
        if len(passes) == 1:
            with Gallery.open(place) as writer:
                writer.add([NewImage(encode(noise(7)), key="new.png")])
                writer.remove(["cat/0001.png", "dog/0004.png"])
                writer.set_labels([("cat/0002.png", "tiger")])
                (pictures / "cat" / "0003.png").write_bytes(encode(noise(8)))
                (pictures / "cat" / "0004.png").rename(pictures / "cat" / "z.png")
                writer.sync_folder(pictures)
        return found

    monkeypatch.setattr(module, "FEW", 0)
    monkeypatch.setattr(Reembedding, "run", between)
    done = migrate(place, other)
    assert passes[0] == 13
    # The last one comes after the change, and found nothing more.
    assert (sum(passes[1:]) >= 5, passes[-1]) == (True, 0)
    assert done.embedded == 13 + 3
    check(place, other, gallery.walk())
    assert gallery.get("cat/0002.png").label == "tiger"
    assert gallery.get("mine.png").metadata == {"n": 1}
    keys = {row.key for row in gallery.walk()}
    assert {"new.png", "cat/z.png", "cat/0001.png"} <= keys
    assert "cat/0004.png" not in keys


def test_what_was_written_up_to_the_change_counts_and_after_it_is_refused(
    gallery: Gallery, place: str, other: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_about = Remote.write_about
    late = NewImage(encode(noise(71)), key="late.png")

    def writing(self: Remote, about: layout.About) -> None:
        # A writer that began before the last changes are taken in, and ends before the change.
        self.about_parts.delete([SETTLING])
        with Gallery.open(place) as writer:
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
            # And nobody begins.
            with pytest.raises(GalleryBusy, match="last changes"):
                writer.add([late])

    monkeypatch.setattr(Remote, "write_about", writing)
    migrate(place, other)
    monkeypatch.undo()
    keys = {row.key for row in gallery.walk()}
    assert "just.png" in keys
    assert "cat/0000.png" not in keys
    gallery.add([late])
    check(place, other, gallery.walk())
    assert gallery.search(noise(71), k=1)[0].key == "late.png"


@pytest.mark.parametrize("moment", ["embedding", "before the change", "just after", "at the end"])
def test_stopped_at_any_moment_it_is_the_old_or_the_new(
    gallery: Gallery,
    place: str,
    toy_bundle: Path,
    other: Path,
    monkeypatch: pytest.MonkeyPatch,
    moment: str,
) -> None:
    before = gallery.walk()
    monkeypatch.setattr("vizinho.gallery.reembed._PAGE", 5)

    def killed(*_: object, **__: object) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        if moment == "embedding":
            pages: list[int] = []
            take = Reembedding._take

            def some(self: Reembedding, part: Any) -> int:
                pages.append(1)
                return killed() if len(pages) > 1 else take(self, part)

            patch.setattr(Reembedding, "_take", some)
        elif moment == "before the change":
            patch.setattr(Remote, "write_about", killed)
        elif moment == "just after":
            write_about = Remote.write_about
            patch.setattr(Remote, "write_about", lambda *given: (write_about(*given), killed()))
        else:
            patch.setattr(module, "sweep", killed)
        with pytest.raises(KeyboardInterrupt):
            migrate(place, other)
    changed = moment in ("just after", "at the end")
    check(place, other if changed else toy_bundle, before)
    assert {NAME, side(other)} <= set(collections(place))
    statuses = {
        "embedding": "note",
        "before the change": "wrong",
        "just after": "wrong",
        "at the end": "wrong",
    }
    (left,) = [each for each in examine(place).findings if each.check == "leftovers"]
    assert left.status == statuses[moment]
    if moment in ("before the change", "just after"):
        with pytest.raises(GalleryBusy, match="last changes"):
            gallery.remove(["mine.png"])
    if moment == "just after":
        found = examine(place, fix=True)
        assert found.healthy
        assert found.mended == [
            "leftovers: the migration was finished",
            "leftovers: 1 left-over collection(s) removed",
        ]
    done = migrate(place, other)
    resumed = {"embedding": (5, 8), "before the change": (13, 0)}
    assert (done.resumed, done.embedded) == resumed.get(moment, (0, 0))
    check(place, other, before)
    assert collections(place) == sorted([side(other), f"{NAME}_about", f"{NAME}_images"])
    assert gallery.remove(["mine.png"]) == 1


def test_killed_in_the_middle_it_goes_on_at_once(
    gallery: Gallery, place: str, toy_bundle: Path, other: Path
) -> None:
    gallery.add(
        [NewImage(encode(noise(number)), key=f"{number}.png") for number in range(200, 240)]
    )
    before = gallery.walk()
    program = (
        "import sys, time; from vizinho.gallery import reembed; reembed._PAGE = 10\n"
        "take = reembed.Reembedding._take\n"
        "def slow(self, rows):\n"
        "    done = take(self, rows); print('page', flush=True); time.sleep(0.5); return done\n"
        "reembed.Reembedding._take = slow\n"
        "from vizinho.gallery.migrate import migrate; migrate(sys.argv[1], sys.argv[2])"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, place, str(other)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"page\n"
    with pytest.raises(GalleryBusy, match=f"pid {process.pid}"):
        migrate(place, other)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    check(place, toy_bundle, before)
    done = migrate(place, other)
    assert 10 <= done.resumed < 53
    assert done.embedded == 53 - done.resumed
    check(place, other, before)


def test_what_a_migration_stays_away_from(gallery: Gallery, place: str, other: Path) -> None:
    foreign = place.replace(NAME, side(other))
    Gallery.create(foreign, model=other, overwrite=True).close()
    try:
        with pytest.raises(GalleryError, match="doesn't belong"):
            migrate(place, other)
        assert not migrate(place, gallery.model_folder).changed
        with Gallery.open(foreign) as left:
            assert left.count == 0
    finally:
        theirs = Remote(foreign)
        theirs.drop()
        theirs.close()
    remote = Remote(place)
    try:
        now = remote.about_parts.clock()
        for host, beat, lives in (("elsewhere", now, True), ("elsewhere", now - 61, False)):
            told = {"id": "x", "host": host, "pid": 1, "beat": beat}
            remote.about_parts.put(CLAIM, json.dumps(told).encode())
            if lives:
                with pytest.raises(GalleryBusy, match="pid 1 on elsewhere"):
                    migrate(place, gallery.model_folder)
        claim = Claim(remote)
        with claim.held(gallery.patience):
            remote.about_parts.put(CLAIM, json.dumps(told).encode())
            with pytest.raises(GalleryBusy, match="elsewhere"):
                claim.watched()()
    finally:
        remote.close()


def test_missing_pictures_block_or_are_left_out(
    gallery: Gallery, place: str, toy_bundle: Path, other: Path, pictures: Path
) -> None:
    before = gallery.walk()
    (pictures / "dog" / "0000.png").unlink()
    (pictures / "dog" / "0001.png").write_bytes(encode(noise(11)))
    with pytest.raises(GalleryError, match=r"2 pictures .*\n.*dog/0000.png: .*\n.*changed") as told:
        migrate(place, other)
    assert "--skip-missing" in told.value.hint
    with pytest.raises(GalleryError, match="can't be kept"):
        migrate(place, other, keep=True)
    with Gallery.open(place, model=toy_bundle) as old:
        assert old.walk() == before
    done = migrate(place, other, skip_missing=True)
    assert [each.name for each in done.skipped] == ["dog/0000.png", "dog/0001.png"]
    assert (done.resumed, done.embedded, done.pictures) == (11, 0, 11)
    kept = [row for row in before if row.key not in ("dog/0000.png", "dog/0001.png")]
    check(place, other, kept)


def test_a_server_changes_over_without_a_restart(
    gallery: Gallery, place: str, other: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_GRACE_SECONDS", 5.0)
    body = {"image_base64": as_base64(encode(noise(5))), "k": 3}
    with running(Path(place), writable=True) as server:
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
                    build_app(), ["migrate", place, "--model", str(other), "--json"]
                )
                assert done.exit_code == 0, done.output
                assert json.loads(done.stdout)["embedded"] == 13
                assert json.loads(done.stdout)["gallery"] == place
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
    with Gallery.open(place, model=other) as there:
        assert there.count == 14


def test_a_milvus_that_goes_away_is_told_and_gone_on_from(
    gallery: Gallery,
    place: str,
    other: Path,
    milvus: MilvusServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = gallery.walk()
    monkeypatch.setattr("vizinho.gallery.reembed._PAGE", 5)
    take = Reembedding._take
    pages: list[int] = []
    assert milvus.pid is not None

    with monkeypatch.context() as patch:

        def some(self: Reembedding, part: Any) -> int:
            pages.append(1)
            if len(pages) == 2:
                # Killed it would have to start again, which `tests/e2e/test_milvus.py` waits for.
                os.kill(milvus.pid or 0, signal.SIGSTOP)
                for name in ("READING_SECONDS", "WRITING_SECONDS", "_CONNECT_SECONDS"):
                    patch.setattr(milvus_link, name, 0.5)
            return take(self, part)

        patch.setattr(Reembedding, "_take", some)
        try:
            with pytest.raises(GalleryUnreachable, match="answer") as told:
                migrate(place, other)
        finally:
            os.kill(milvus.pid, signal.SIGCONT)
    assert "goes on where it stopped" in told.value.hint
    done = migrate(place, other)
    assert (done.resumed, done.embedded) == (5, 8)
    check(place, other, before)
