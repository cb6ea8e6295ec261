"""Every verb in process, over a toy gallery whose distances can be worked out by hand."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from toy_gallery import COLOURS, make_toy_gallery, write_colours
from toys import make_toy_bundle, plain
from vizinho import Gallery
from vizinho.cli import VERBS, build_app
from vizinho.engines.embedded import EmbeddedEngine
from vizinho.errors import GalleryError
from vizinho.gallery import intake, pipeline


def vizinho(*arguments: object) -> Result:
    """One command; an exception that no user should see is raised here."""
    done = CliRunner().invoke(build_app(), [str(a) for a in arguments])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def answer(*arguments: object) -> object:
    """What a command that succeeds prints with --json."""
    done = vizinho(*arguments, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: a toy gallery, its pictures, and no settings."""
    for name in ("GALLERY", "MODEL", "DATA", "HOST", "PORT", "PICTURES"):
        monkeypatch.delenv(f"VIZINHO_{name}", raising=False)
    monkeypatch.chdir(tmp_path)
    make_toy_gallery(tmp_path)
    return tmp_path


class TestIndex:
    def test_a_folder_becomes_a_gallery_of_its_name(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        write_colours(tmp_path)
        (tmp_path / "pictures" / "broken.png").write_bytes(b"no picture")
        report = answer("index", "pictures", "--model", make_toy_bundle(tmp_path))
        assert isinstance(report, dict)
        assert (report["gallery"], report["count"], report["added"]) == ("pictures.vizinho", 5, 5)
        assert [skipped["name"] for skipped in report["skipped"]] == ["broken.png"]
        assert report["skipped"][0]["reason"]

    def test_again_does_only_what_changed(self, here: Path) -> None:
        plain((9, 9, 9)).save(here / "pictures" / "new.png")
        (here / "pictures" / "red.png").unlink()
        report = answer("index", "pictures", "--gallery", "toy.vizinho")
        assert isinstance(report, dict)
        counts = {name: report[name] for name in ("added", "removed", "unchanged", "count")}
        assert counts == {"added": 1, "removed": 1, "unchanged": 4, "count": 5}

    def test_it_says_what_was_skipped_and_why(self, here: Path) -> None:
        (here / "pictures" / "empty.jpg").write_bytes(b"")
        done = vizinho("index", "pictures", "--gallery", "toy.vizinho")
        assert "toy.vizinho: 5 unchanged in" in done.stdout
        assert "1 skipped:" in done.stderr
        assert "empty.jpg: " in done.stderr

    def test_labels_are_the_folders_names(self, here: Path) -> None:
        for label in ("warm", "cold"):
            (here / "sorted" / label).mkdir(parents=True)
        plain((200, 0, 0)).save(here / "sorted" / "warm" / "a.png")
        plain((0, 0, 200)).save(here / "sorted" / "cold" / "b.png")
        answer("index", "sorted", "--labels", "--model", "toy")
        rows = answer("list", "--gallery", "sorted.vizinho")
        assert isinstance(rows, list)
        assert {(row["key"], row["label"]) for row in rows} == {
            ("warm/a.png", "warm"),
            ("cold/b.png", "cold"),
        }

    def test_a_data_set_can_be_indexed(self, here: Path) -> None:
        lines = [f"pictures/{name}.png,{name}" for name in COLOURS]
        (here / "list.csv").write_text("path,label\n" + "\n".join(lines))
        report = answer("index", "list.csv", "--model", "toy")
        assert isinstance(report, dict)
        assert (report["gallery"], report["added"]) == ("list.vizinho", 5)

    def test_another_model_is_refused(self, here: Path) -> None:
        from vizinho.preprocess import PreprocessSpec

        make_toy_bundle(here, "other", spec=PreprocessSpec(size=16))
        done = vizinho("index", "pictures", "--gallery", "toy.vizinho", "--model", "other")
        assert done.exit_code == 1
        assert "toy.vizinho" in done.stderr

    def test_nothing_is_left_where_there_was_nothing_to_index(self, here: Path) -> None:
        done = vizinho("index", "nowhere:test", "--model", "toy", "--json")
        assert done.exit_code == 1
        assert json.loads(done.stderr)["error"]["message"]
        assert not (here / "nowhere-test.vizinho").exists()

    def test_a_first_index_that_fails_keeps_what_was_committed(
        self, here: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        commit = EmbeddedEngine.add

        def full_at_the_second(engine: EmbeddedEngine, *rows: Any, **more: Any) -> None:
            if engine.count():
                raise GalleryError("The disk is full.")
            commit(engine, *rows, **more)

        monkeypatch.setattr(intake, "_COMMIT_IMAGES", 1)
        monkeypatch.setattr(pipeline, "_CHUNK", 1)
        monkeypatch.setattr(EmbeddedEngine, "add", full_at_the_second)
        done = vizinho("index", "pictures", "--model", "toy")
        assert (done.exit_code, "The disk is full." in done.stderr) == (1, True)
        with Gallery.open("pictures.vizinho") as gallery:
            assert [row.key for row in gallery.items()] == ["black.png"]

    def test_a_gallery_that_another_process_writes_to_is_not_deleted(
        self, here: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = here / "pictures.vizinho"
        make = Gallery.create

        def overtaken(*told: Any, **more: Any) -> Gallery:
            gallery = make(*told, **more)
            lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT)
            fcntl.flock(lock, fcntl.LOCK_EX)
            return gallery

        monkeypatch.setattr(Gallery, "create", overtaken)
        done = vizinho("index", "pictures", "--model", "toy")
        assert (done.exit_code, "another process" in done.stderr) == (1, True)
        assert (path / "catalogue.sqlite").is_file()


class TestSearch:
    def test_the_picture_itself_comes_first_then_the_nearest(self, here: Path) -> None:
        matches = answer("search", "pictures/red.png", "-k", 3)
        assert isinstance(matches, list)
        assert [match["key"] for match in matches] == ["red.png", "orange.png", "black.png"]
        distances = [match["distance"] for match in matches]
        assert distances == pytest.approx([0, 2 * 128 / 255, 2], abs=1e-6)

    def test_the_table_rounds_to_two_decimals(self, here: Path) -> None:
        done = vizinho("search", "pictures/red.png", "-k", 2)
        lines = [line.split() for line in done.stdout.splitlines()]
        assert lines == [
            ["#", "distance", "key"],
            ["1", "0.00", "red.png"],
            ["2", "1.00", "orange.png"],
        ]

    def test_a_filter_leaves_the_rest_out(self, here: Path) -> None:
        plain((0, 99, 0)).save(here / "leaf.png")
        answer("add", "leaf.png", "--key", "g", "--label", "plant", "--meta", "year=2024")
        for condition in ("label=plant", "year=2024"):
            matches = answer("search", "pictures/red.png", "--where", condition)
            assert isinstance(matches, list)
            assert [match["key"] for match in matches] == ["g"]

    def test_the_sheet_is_a_picture(self, here: Path) -> None:
        from PIL import Image

        vizinho("search", "pictures/red.png", "-k", 3, "--contact-sheet", "out.png")
        with Image.open(here / "out.png") as sheet:
            assert sheet.format == "PNG"
            assert sheet.getpixel((60, 60)) == COLOURS["red"]

    def test_a_file_that_is_no_picture_is_told_by_name(self, here: Path) -> None:
        (here / "notes.jpg").write_text("just text")
        done = vizinho("search", "notes.jpg")
        assert done.exit_code == 1
        assert "notes.jpg" in done.stderr
        assert vizinho("search", "gone.jpg").exit_code == 1

    def test_without_a_gallery_it_says_how_to_make_one(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("VIZINHO_GALLERY", raising=False)
        monkeypatch.chdir(tmp_path)
        done = vizinho("search", "x.jpg", "--json")
        assert done.exit_code == 1
        assert json.loads(done.stderr)["error"]["code"] == "settings_error"
        assert "vizinho index" in json.loads(done.stderr)["error"]["hint"]

    def test_an_unknown_way_to_show_pictures_is_refused(self, here: Path) -> None:
        done = vizinho("search", "pictures/red.png", "--pictures", "ascii")
        assert done.exit_code == 1
        assert "--pictures is 'ascii'" in done.stderr


class TestLookingAfterAGallery:
    def test_add_copies_the_picture_in(self, here: Path) -> None:
        plain((1, 2, 3)).save(here / "one.png")
        report = answer("add", "one.png", "--label", "dark")
        assert isinstance(report, dict)
        assert (report["added"], report["count"]) == (1, 6)
        (here / "one.png").unlink()
        with Gallery.open(here / "toy.vizinho") as gallery:
            assert gallery.image_bytes("one.png")[1] == "image/png"
            assert gallery.get("one.png").label == "dark"

    def test_add_fails_when_nothing_could_be_added(self, here: Path) -> None:
        (here / "bad.png").write_bytes(b"bad")
        done = vizinho("add", "bad.png")
        assert done.exit_code == 1
        assert "bad.png" in done.stderr

    def test_a_key_is_for_one_picture(self, here: Path) -> None:
        done = vizinho("add", "pictures/red.png", "pictures/blue.png", "--key", "x")
        assert done.exit_code == 2

    def test_remove_takes_pictures_out(self, here: Path) -> None:
        assert answer("remove", "red.png", "blue.png") == {
            "gallery": str(here / "toy.vizinho"),
            "removed": 2,
            "count": 3,
            "unknown": [],
            "dry_run": False,
        }
        assert (here / "pictures" / "red.png").exists()
        done = vizinho("remove", "red.png")
        assert done.exit_code == 1
        assert "red.png" in done.stderr

    def test_list_pages_through_the_keys(self, here: Path) -> None:
        first = vizinho("list", "--limit", 2)
        assert [line.split()[-1] for line in first.stdout.splitlines()] == [
            "key",
            "black.png",
            "blue.png",
        ]
        assert "--offset 2 goes on" in first.stderr
        rest = answer("list", "--offset", 4)
        assert isinstance(rest, list)
        assert [row["key"] for row in rest] == ["red.png"]

    def test_info_describes_a_gallery_and_a_model(self, here: Path) -> None:
        gallery = answer("info")
        model = answer("info", "toy")
        assert isinstance(gallery, dict)
        assert isinstance(model, dict)
        assert gallery["count"] == 5
        assert (model["name"], model["dimension"]) == ("toy", 12)
        assert gallery["fingerprint"] == model["fingerprint"]
        assert "dimension" in vizinho("info", "toy").stdout

    def test_fetch_says_where_the_data_is(
        self, here: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen = []

        def fetch(data_dir: Path, progress: object = None) -> Path:
            seen.append(data_dir)
            return data_dir / "cifar10"

        monkeypatch.setattr("vizinho.datasets.fetch_cifar10", fetch)
        assert answer("fetch", "cifar10", "--data", here / "d") == {
            "dataset": "cifar10",
            "path": str(here / "d" / "cifar10"),
        }
        assert seen == [here / "d"]
        assert vizinho("fetch", "imagenet").exit_code == 2


def test_serve_answers_one_request_without_a_server(here: Path) -> None:
    done = vizinho("serve", "--get", "/v1/images?limit=2")
    assert done.exit_code == 0
    assert [image["key"] for image in json.loads(done.stdout)["images"]] == [
        "black.png",
        "blue.png",
    ]
    assert vizinho("serve", "--get", "/nowhere").exit_code == 1


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(verb: str) -> None:
    done = vizinho(verb, "--help")
    assert done.exit_code == 0
    assert len(done.stdout.splitlines()) > 8
