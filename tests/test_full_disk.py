"""A disk that is really full, and one that is really read-only: said in words, once, and no harm
done."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from mounting import fill, read_only, small_disk
from serving import Server, key_of, make_gallery, picture, problem, running, upload
from toys import encode, make_toy_bundle, noise
from vizinho.cli import build_app
from vizinho.errors import DiskFull, NotWritable
from vizinho.gallery import Gallery, NewImage
from vizinho.gallery.dedupe import find_duplicates
from vizinho.gallery.feedback_export import export_feedback

pytestmark = pytest.mark.mounts

COUNT = 6
NEW = encode(noise(500))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", 6) as disk:
        yield disk


@pytest.fixture
def path(disk: Path) -> Path:
    """A gallery on the small disk that mirrors a folder, with a pair of copies in it."""
    pictures = disk / "photos"
    pictures.mkdir()
    for number in range(COUNT):
        (pictures / f"{number}.png").write_bytes(picture(number))
    (pictures / "0.bmp").write_bytes(encode(noise(0), "BMP"))
    with Gallery.create(disk / "g.vizinho", model=make_toy_bundle(disk)) as gallery:
        gallery.sync_folder(pictures)
        return gallery.path


def changes(server: Server, key: str) -> list[Any]:
    mark = {"query": {"key": key}, "key": key, "verdict": "right"}
    client = server.client
    return [
        client.post("/v1/images", **upload(NEW)),
        client.patch(f"/v1/images/{key}", json={"label": "x" * 5000}),
        client.post("/v1/images/label", json={"keys": [key], "label": "x" * 5000}),
        client.post("/v1/images/remove", json={"keys": [key]}),
        client.delete(f"/v1/images/{key}"),
        client.post("/v1/feedback", json=mark),
    ]


def duplicates(server: Server) -> Any:
    begun = time.monotonic()
    while (answer := server.client.get("/v1/duplicates")).status_code == 202:
        assert time.monotonic() - begun < 120
        time.sleep(0.1)
    return answer


def test_a_change_that_finds_no_room_is_answered_507_without_a_trace(path: Path) -> None:
    with running(path, writable=True) as server:
        filling = fill(path.parent)
        for answer in changes(server, "1.png"):
            told = problem(answer, 507, "disk_full")
            assert "disk is full" in told["message"]
            assert "Free some space" in told["hint"]
            assert str(path.parent) not in answer.text
        assert server.client.post("/v1/search", **upload(picture(2))).status_code == 200
        filling.unlink()
        assert server.client.post("/v1/images", **upload(NEW)).status_code == 201
        server.stop()
        log = "".join(server.log)
        assert "Traceback" not in log
        said = [line for line in log.splitlines() if line.startswith("vizinho.contract")]
        assert len(said) == 6
        assert all(str(path) in line and "disk is full" in line for line in said)
    with Gallery.open(path) as gallery:
        assert (gallery.count, gallery.get("1.png").label) == (COUNT + 2, None)


def test_an_upload_that_finds_no_room_on_its_way_is_told_so(
    disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(disk))
    with running(make_gallery(tmp_path, COUNT), writable=True) as server:
        # The server looks for a folder for temporary files but once, and finds room there.
        large = encode(noise(1, (800, 800)))
        assert server.client.post("/v1/images", **upload(large)).status_code == 201
        fill(disk)
        problem(server.client.post("/v1/images", **upload(large)), 507, "disk_full")


def test_duplicates_are_found_on_a_full_disk_if_temporary_files_have_room(path: Path) -> None:
    with running(path, writable=True) as server:
        fill(path.parent)
        found = duplicates(server).json()
        assert (found["total"], found["pictures"], found["skipped"]) == (1, COUNT + 1, 0)


@pytest.mark.parametrize("both", [False, True])
def test_where_they_have_none_it_is_said_without_their_place_and_no_picture_is_blamed(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, both: bool
) -> None:
    if not both:
        path = make_gallery(tmp_path, 400)
    with small_disk(tmp_path / "tiny", 1) as tiny:
        monkeypatch.setenv("TMPDIR", str(tiny))
        with running(path, writable=True) as server:
            filling = fill(tiny)
            # Room for a page: a folder where nothing can be written is not taken for temporary.
            os.truncate(filling, filling.stat().st_size - 4096)
            if both:
                fill(path.parent)
            answer = duplicates(server)
            told = problem(answer, 503, "duplicates_failed")["message"]
            assert "disk is full" in told
            assert ("The folder for temporary files can't be written" in told) is not both
            assert str(tiny) not in answer.text
            assert str(path.parent) not in answer.text
            filling.unlink()
            assert duplicates(server).json()["skipped"] == 0


def test_dedupe_ends_where_the_disk_is_full(path: Path) -> None:
    line = ["dedupe", "-g", str(path), "--json"]
    # As beside a server: what SQLite needs to open the catalogue is there.
    with Gallery.open(path) as gallery:
        assert gallery.count == COUNT + 1
        filling = fill(path.parent)
        done = CliRunner().invoke(build_app(), line)
        assert (done.exit_code, "disk is full" in done.output) == (1, True), done.output
        filling.unlink()
    done = CliRunner().invoke(build_app(), line)
    answer = json.loads(done.stdout)
    assert (len(answer["groups"]), answer["skipped"]) == (1, [])


def test_a_full_disk_for_temporary_files_ends_it_too(
    disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(disk))
    fill(disk)
    with Gallery.open(make_gallery(tmp_path, COUNT)) as gallery:
        with pytest.raises(DiskFull, match=r"disk is full.*Free some space"):
            find_duplicates(gallery)
        monkeypatch.undo()
        assert find_duplicates(gallery).pictures == COUNT


def test_an_export_of_marks_ends_where_the_disk_is_full(disk: Path, tmp_path: Path) -> None:
    with Gallery.open(make_gallery(tmp_path, COUNT)) as gallery:
        gallery.feedback.mark(NEW, key_of(1), "right")
        (disk / "said").mkdir()
        filling = fill(disk)
        with pytest.raises(DiskFull, match="disk is full"):
            export_feedback(gallery, gallery.feedback, disk / "said")
        filling.unlink()
        assert export_feedback(gallery, gallery.feedback, disk / "said").skipped == []


@pytest.mark.parametrize("writable", [False, True])
def test_a_server_whose_disk_is_full_before_the_first_question_answers_it(
    path: Path, writable: bool
) -> None:
    with running(path, writable=writable) as server:
        filling = fill(path.parent)
        assert server.client.get("/v1/model").status_code == 200
        shown = server.client.get("/images/2.png")
        assert (shown.status_code, shown.content) == (200, picture(2))
        filling.unlink()
        shown = server.client.get("/images/3.png")
        assert (shown.status_code, shown.content) == (200, picture(3))


def test_marks_are_read_on_a_full_disk_there_being_none(path: Path) -> None:
    with running(path, writable=True) as server:
        filling = fill(path.parent)
        mark = {"query": {"key": "1.png"}, "key": "2.png", "verdict": "right"}
        problem(server.client.post("/v1/feedback", json=mark), 507, "disk_full")
        told = server.client.get("/v1/feedback")
        assert (told.status_code, told.json()["marks"]) == (200, [])
        filling.unlink()
        assert server.client.post("/v1/feedback", json=mark).status_code in (200, 201)
        assert len(server.client.get("/v1/feedback").json()["marks"]) == 1


def test_marks_of_before_are_read_on_a_full_disk(path: Path) -> None:
    with Gallery.open(path) as gallery:
        gallery.feedback.mark("1.png", "2.png", "wrong")
    with Gallery.open(path) as gallery:
        fill(path.parent)
        assert [mark.key for mark in gallery.feedback.marks()] == ["2.png"]


def test_what_a_killed_process_left_in_a_log_is_read_on_a_full_disk(path: Path) -> None:
    killed = """
import os, sys
from vizinho.gallery import Gallery
gallery = Gallery.open(sys.argv[1])
gallery.feedback.mark("1.png", "2.png", "right")
gallery._file_records().remember(folder="/of/the/log", beside="")
os._exit(9)
"""
    line = [sys.executable, "-c", killed, str(path)]
    assert subprocess.run(line, check=False).returncode == 9
    for name in ("folder", "feedback"):
        assert (path / f"{name}.sqlite-wal").stat().st_size
        # Whoever opens it next makes it anew, and finds its room taken.
        os.truncate(path / f"{name}.sqlite-shm", 0)
    with Gallery.open(path) as gallery:
        fill(path.parent)
        assert gallery.mirrored == "/of/the/log"
        assert [mark.key for mark in gallery.feedback.marks()] == ["2.png"]


@pytest.fixture
def barred(tmp_path: Path) -> Iterator[Path]:
    """A gallery on a disk that can't be written."""
    path = make_gallery(tmp_path, COUNT)
    with read_only(path):
        yield path


def test_a_server_that_may_not_write_says_so_at_the_start_and_offers_no_change(
    barred: Path,
) -> None:
    with running(barred, writable=True) as server:
        features = set(server.client.get("/v1/model").json()["features"])
        assert features.isdisjoint(("write", "feedback", "duplicates"))
        assert "map" in features
        for answer in changes(server, key_of(1)):
            told = problem(answer, 403, "read_only")
            assert "may not write" in told["message"]
            assert "read-only" in told["hint"]
            assert str(barred.parent) not in answer.text
        problem(server.client.get("/v1/duplicates"), 403, "read_only")
        assert server.client.post("/v1/search", **upload(picture(2))).status_code == 200
        server.stop()
        log = "".join(server.log)
        assert "Traceback" not in log
        (warning,) = (line for line in log.splitlines() if line.startswith("WARNING"))
        assert f"{barred} can't be written" in warning


def test_a_server_whose_disk_turns_read_only_says_so_from_then_on(tmp_path: Path) -> None:
    path = make_gallery(tmp_path, COUNT)
    with running(path, writable=True) as server:
        assert "write" in server.client.get("/v1/model").json()["features"]
        with read_only(path):
            for answer in changes(server, key_of(1)):
                problem(answer, 403, "read_only")
            assert "write" not in server.client.get("/v1/model").json()["features"]
        assert server.client.delete(f"/v1/images/{key_of(1)}").status_code == 200
        server.stop()
        assert "WARNING" not in "".join(server.log)


def test_what_may_not_be_written_is_an_error_of_its_own(barred: Path) -> None:
    with Gallery.open(barred) as gallery:
        assert (gallery.changeable, gallery.writable) == (True, False)
        with pytest.raises(NotWritable, match="Read-only file system"):
            gallery.add([NewImage(NEW)])
        with pytest.raises(NotWritable, match="read-only"):
            gallery.feedback.mark(key_of(1), key_of(2), "right")
        assert gallery.feedback.marks() == []


def test_the_folder_of_a_gallery_on_a_read_only_disk_is_known(path: Path) -> None:
    with read_only(path), running(path) as server:
        assert server.client.get("/v1/model").status_code == 200
        assert server.client.get("/images/2.png").content == picture(2)
