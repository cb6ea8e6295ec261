"""Another model for a gallery in Milvus, cut short or refused: nothing lost, nothing half-done."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from milvus_server import MilvusServer
from moving import NAME, check, collections, side
from serving import SOURCE
from stopping import kill_after_a_page, killed
from toys import encode, noise
from vizinho.engines import milvus_link
from vizinho.errors import GalleryBusy, GalleryError, GalleryUnreachable
from vizinho.gallery import Gallery, NewImage
from vizinho.gallery import migrate_remote as module
from vizinho.gallery.doctor import examine
from vizinho.gallery.migrate import migrate
from vizinho.gallery.reembed import Reembedding
from vizinho.gallery.remote import Remote
from vizinho.gallery.remote_claim import Claim
from vizinho.gallery.remote_homes import CLAIM

pytestmark = pytest.mark.milvus


@pytest.mark.parametrize("moment", ["embedding", "before the change", "just after", "at the end"])
def test_stopped_at_any_moment_it_is_the_old_or_the_new(
    moved: Gallery,
    address: str,
    toy_bundle: Path,
    other_model: Path,
    monkeypatch: pytest.MonkeyPatch,
    moment: str,
) -> None:
    before = moved.walk()
    monkeypatch.setattr("vizinho.gallery.reembed._PAGE", 5)

    with monkeypatch.context() as patch:
        if moment == "embedding":
            kill_after_a_page(patch)
        elif moment == "before the change":
            patch.setattr(Remote, "write_about", killed)
        elif moment == "just after":
            write_about = Remote.write_about
            patch.setattr(Remote, "write_about", lambda *given: (write_about(*given), killed()))
        else:
            patch.setattr(module, "sweep", killed)
        with pytest.raises(KeyboardInterrupt):
            migrate(address, other_model)
    changed = moment in ("just after", "at the end")
    check(address, other_model if changed else toy_bundle, before)
    assert {NAME, side(other_model)} <= set(collections(address))
    statuses = {
        "embedding": "note",
        "before the change": "wrong",
        "just after": "wrong",
        "at the end": "wrong",
    }
    (left,) = [each for each in examine(address).findings if each.check == "leftovers"]
    assert left.status == statuses[moment]
    if moment in ("before the change", "just after"):
        with pytest.raises(GalleryBusy, match="last changes"):
            moved.remove(["mine.png"])
    if moment == "just after":
        found = examine(address, fix=True)
        assert found.healthy
        assert found.mended == [
            "leftovers: the migration was finished",
            "leftovers: 1 left-over collection(s) removed",
        ]
    done = migrate(address, other_model)
    resumed = {"embedding": (5, 8), "before the change": (13, 0)}
    assert (done.resumed, done.embedded) == resumed.get(moment, (0, 0))
    check(address, other_model, before)
    assert collections(address) == sorted([side(other_model), f"{NAME}_about", f"{NAME}_images"])
    assert moved.remove(["mine.png"]) == 1


def test_killed_in_the_middle_it_goes_on_at_once(
    moved: Gallery, address: str, toy_bundle: Path, other_model: Path
) -> None:
    moved.add([NewImage(encode(noise(number)), key=f"{number}.png") for number in range(200, 240)])
    before = moved.walk()
    program = (
        "import sys, time; from vizinho.gallery import reembed; reembed._PAGE = 10\n"
        "take = reembed.Reembedding._take\n"
        "def slow(self, rows):\n"
        "    done = take(self, rows); print('page', flush=True); time.sleep(0.5); return done\n"
        "reembed.Reembedding._take = slow\n"
        "from vizinho.gallery.migrate import migrate; migrate(sys.argv[1], sys.argv[2])"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, address, str(other_model)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"page\n"
    with pytest.raises(GalleryBusy, match=f"pid {process.pid}"):
        migrate(address, other_model)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    check(address, toy_bundle, before)
    done = migrate(address, other_model)
    assert 10 <= done.resumed < 53
    assert done.embedded == 53 - done.resumed
    check(address, other_model, before)


def test_what_a_migration_stays_away_from(moved: Gallery, address: str, other_model: Path) -> None:
    foreign = address.replace(NAME, side(other_model))
    Gallery.create(foreign, model=other_model, overwrite=True).close()
    try:
        with pytest.raises(GalleryError, match="doesn't belong"):
            migrate(address, other_model)
        assert not migrate(address, moved.model_folder).changed
        with Gallery.open(foreign) as left:
            assert left.count == 0
    finally:
        theirs = Remote(foreign)
        theirs.drop()
        theirs.close()
    remote = Remote(address)
    try:
        now = remote.about_parts.clock()
        for host, beat, lives in (("elsewhere", now, True), ("elsewhere", now - 61, False)):
            told = {"id": "x", "host": host, "pid": 1, "beat": beat}
            remote.about_parts.put(CLAIM, json.dumps(told).encode())
            if lives:
                with pytest.raises(GalleryBusy, match="pid 1 on elsewhere"):
                    migrate(address, moved.model_folder)
        claim = Claim(remote)
        with claim.held(moved.patience):
            remote.about_parts.put(CLAIM, json.dumps(told).encode())
            with pytest.raises(GalleryBusy, match="elsewhere"):
                claim.watched()()
    finally:
        remote.close()


def test_missing_pictures_block_or_are_left_out(
    moved: Gallery, address: str, toy_bundle: Path, other_model: Path, pictures: Path
) -> None:
    before = moved.walk()
    (pictures / "dog" / "0000.png").unlink()
    (pictures / "dog" / "0001.png").write_bytes(encode(noise(11)))
    with pytest.raises(GalleryError, match=r"2 pictures .*\n.*dog/0000.png: .*\n.*changed") as told:
        migrate(address, other_model)
    assert "--skip-missing" in told.value.hint
    with pytest.raises(GalleryError, match="can't be kept"):
        migrate(address, other_model, keep=True)
    with Gallery.open(address, model=toy_bundle) as old:
        assert old.walk() == before
    done = migrate(address, other_model, skip_missing=True)
    assert [each.name for each in done.skipped] == ["dog/0000.png", "dog/0001.png"]
    assert (done.resumed, done.embedded, done.pictures) == (11, 0, 11)
    kept = [row for row in before if row.key not in ("dog/0000.png", "dog/0001.png")]
    check(address, other_model, kept)


def test_a_milvus_that_goes_away_is_told_and_gone_on_from(
    moved: Gallery,
    address: str,
    other_model: Path,
    milvus: MilvusServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = moved.walk()
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
                migrate(address, other_model)
        finally:
            os.kill(milvus.pid, signal.SIGCONT)
    assert "goes on where it stopped" in told.value.hint
    done = migrate(address, other_model)
    assert (done.resumed, done.embedded) == (5, 8)
    check(address, other_model, before)
