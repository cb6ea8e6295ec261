"""The verbs that look after a gallery: what goes in, what is said of it, what goes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from toy_gallery import make_toy_gallery
from toys import encode, make_toy_bundle, noise, plain, write_pictures
from vizinho import Gallery
from vizinho.cli import build_app


def vizinho(*arguments: object, given: bytes | str | None = None) -> Result:
    """One command, with this on standard input; a crash is raised here."""
    done = CliRunner().invoke(build_app(), [str(a) for a in arguments], input=given)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def answer(*arguments: object, given: bytes | str | None = None) -> Any:
    """What a command that succeeds prints with --json."""
    done = vizinho(*arguments, "--json", given=given)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def labels() -> dict[str, str | None]:
    """Label by key, of all pictures."""
    return {row["key"]: row["label"] for row in answer("list", "-n", 0)}


def keys(*arguments: object, given: str | None = None) -> list[str]:
    """The keys that `vizinho list` gives."""
    return [row["key"] for row in answer("list", "-n", 0, *arguments, given=given)]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: a toy gallery, its pictures, more in ``new``, and no settings."""
    for name in ("GALLERY", "MODEL", "DATA"):
        monkeypatch.delenv(f"VIZINHO_{name}", raising=False)
    monkeypatch.chdir(tmp_path)
    make_toy_gallery(tmp_path)
    write_pictures(tmp_path / "new" / "cat", 3, seed=1)
    write_pictures(tmp_path / "new" / "dog", 2, seed=2)
    return tmp_path


class TestAdd:
    def test_a_folder_with_its_folders_names_as_labels(self, here: Path) -> None:
        report = answer("add", "new", "--labels", "--meta", "trip=1")
        assert (report["added"], report["count"], report["skipped"]) == (5, 10, [])
        assert {key: label for key, label in labels().items() if label} == {
            **{f"cat/000{n}.png": "cat" for n in range(3)},
            **{f"dog/000{n}.png": "dog" for n in range(2)},
        }
        shutil.rmtree(here / "new")
        with Gallery.open(here / "toy.vizinho") as gallery:
            assert gallery.image_bytes("cat/0001.png")[0] == encode(noise(100_001))
            assert gallery.get("cat/0001.png").metadata == {"trip": 1}

    def test_the_keys_of_a_list_are_what_remove_reads(self, here: Path) -> None:
        found = vizinho("list", "*e*", "--keys", "-n", 0)
        assert found.stdout.splitlines() == ["blue.png", "green.png", "orange.png", "red.png"]
        assert answer("list", "--keys", "-n", 2) == ["black.png", "blue.png"]
        assert answer("remove", "-", given=found.stdout)["removed"] == 4
        assert keys() == ["black.png"]

    def test_a_pattern_and_a_list_on_standard_input(self, here: Path) -> None:
        assert answer("add", "new/**/0001.png")["added"] == 2
        listed = "new/cat/0000.png\nnew/cat/0001.png\nnew/gone.png\n"
        report = answer("add", "-", given=listed)
        assert (report["added"], report["unchanged"]) == (1, 1)
        assert [each["name"] for each in report["skipped"]] == ["new/gone.png"]

    def test_a_picture_on_standard_input(self, here: Path) -> None:
        data = encode(noise(5))
        assert answer("add", "-", "--key", "piped.png", given=data)["added"] == 1
        with Gallery.open(here / "toy.vizinho") as gallery:
            assert gallery.image_bytes("piped.png") == (data, "image/png")

    def test_repeated_and_renamed_files_are_found_by_their_content(self, here: Path) -> None:
        answer("add", "new/cat")
        for name in ("renamed.png", "again.png"):
            shutil.copy(here / "new" / "cat" / "0000.png", here / name)
        report = answer("add", "renamed.png", "again.png", "new/cat")
        assert (report["added"], report["unchanged"], report["count"]) == (0, 5, 8)
        named = answer("add", "renamed.png", "--key", "mine.png")
        assert (named["added"], named["duplicates"], named["count"]) == (0, 1, 8)

    def test_another_picture_of_the_same_name_takes_no_ones_place(self, here: Path) -> None:
        answer("add", "new", "--label", "first")
        (here / "other" / "cat").mkdir(parents=True)
        plain((1, 2, 3)).save(here / "other" / "cat" / "0000.png")
        report = answer("add", "other", "--label", "second")
        assert (report["added"], report["changed"]) == (1, 0)
        second = [key for key, label in labels().items() if label == "second"]
        assert len(second) == 1
        assert second[0].startswith("cat/0000-")
        assert labels()["cat/0000.png"] == "first"

    def test_the_rest_goes_in_past_what_is_broken_or_missing(self, here: Path) -> None:
        (here / "new" / "bad.png").write_bytes(b"bad")
        report = answer("add", "gone.png", "new/bad.png", "nothing/*.png", "new/dog")
        assert (report["added"], report["count"]) == (2, 7)
        told = [f"{each['name']} {each['reason']}" for each in report["skipped"]]
        assert len(told) == 3
        for name in ("gone.png", "new/bad.png", "nothing/*.png"):
            assert any(name in each for each in told), told
        alone = vizinho("add", "gone.png")
        assert alone.exit_code == 1
        assert "gone.png" in alone.stderr

    def test_labels_alone_change_no_vector(self, here: Path) -> None:
        answer("add", "new/cat", "--label", "a")
        with Gallery.open(here / "toy.vizinho") as gallery:
            before = gallery.vectors(["0000.png"])
        report = answer("add", "new/cat", "new/dog/0000.png", "--label", "b")
        assert (report["changed"], report["added"]) == (3, 1)
        assert sorted(filter(None, labels().values())) == ["b"] * 4
        with Gallery.open(here / "toy.vizinho") as gallery:
            assert np.array_equal(gallery.vectors(["0000.png"]), before)


class TestRemove:
    @pytest.fixture(autouse=True)
    def filled(self, here: Path) -> None:
        answer("add", "new", "--labels", "--meta", "year=2024")

    def test_by_pattern_and_filter(self, here: Path) -> None:
        assert answer("remove", "cat/*", "cat/0000.png")["removed"] == 3
        assert answer("remove", "--where", "label=dog", "--where", "year=2024")["removed"] == 2
        assert keys() == ["black.png", "blue.png", "green.png", "orange.png", "red.png"]

    def test_a_pattern_stays_in_its_folder_unless_it_says_otherwise(self, here: Path) -> None:
        assert answer("remove", "*.png", "--dry-run")["removed"] == 5
        assert answer("remove", "**/*.png", "--dry-run")["removed"] == 10
        assert answer("remove", "[cd]*/000[!0]*", "--dry-run")["removed"] == 3
        assert len(keys()) == 10

    def test_keys_on_standard_input(self, here: Path) -> None:
        done = answer("remove", "-", given="red.png\r\n\nnobody.png\ncat/0002.png\n")
        assert (done["removed"], done["count"], done["unknown"]) == (2, 8, ["nobody.png"])

    def test_a_dry_run_says_what_would_go(self, here: Path) -> None:
        done = vizinho("remove", "--where", "label=cat", "--dry-run")
        assert done.stdout.splitlines()[:3] == [f"cat/000{n}.png" for n in range(3)]
        assert "3 would be removed. 10 pictures." in done.stdout
        assert len(keys()) == 10

    def test_files_that_will_come_back_are_mentioned(self, here: Path) -> None:
        assert "come back" not in vizinho("remove", "cat/0000.png").stderr
        assert "come back with the next `vizinho index`" in vizinho("remove", "red.png").stderr

    def test_what_is_meant_must_be_said(self, here: Path) -> None:
        assert vizinho("remove").exit_code == 2
        done = vizinho("remove", "--where", "label=bird")
        assert (done.exit_code, len(keys())) == (1, 10)


class TestLabel:
    def test_set_clear_and_filter(self, here: Path) -> None:
        done = answer("label", "red.png", "o*.png", "nobody", "--set", "warm")
        assert (done["changed"], done["unchanged"], done["unknown"]) == (2, 0, ["nobody"])
        assert answer("label", "red.png", "--set", "warm")["unchanged"] == 1
        answer("label", "--where", "label=null", "--set", "cold")
        answer("label", "--where", "label=warm", "--set", "hot")
        answer("label", "red.png", "--clear")
        assert labels() == {
            "red.png": None,
            "orange.png": "hot",
            **dict.fromkeys(("black.png", "blue.png", "green.png"), "cold"),
        }

    @pytest.mark.parametrize(
        "text", ["red.png,a\nblue.png,\n", "label,key\na,red.png\n,blue.png\n"]
    )
    def test_from_a_table(self, here: Path, text: str) -> None:
        answer("label", "blue.png", "--set", "old")
        (here / "labels.csv").write_text(text, encoding="utf-8-sig")
        done = answer("label", "--from", "labels.csv")
        assert (done["changed"], labels()["red.png"], labels()["blue.png"]) == (2, "a", None)
        answer("label", "--from", "-", given='green.png,"green, light"\n')
        assert labels()["green.png"] == "green, light"

    def test_a_table_that_is_none_is_told(self, here: Path) -> None:
        (here / "bad.csv").write_text("red.png,a\nblue.png\n")
        done = vizinho("label", "--from", "bad.csv")
        assert (done.exit_code, "Line 2 of bad.csv" in done.stderr) == (1, True)
        assert vizinho("label", "red.png").exit_code == 2
        assert vizinho("label", "--set", "x").exit_code == 2
        assert vizinho("label", "red.png", "--set", "x", "--clear").exit_code == 2
        assert set(labels().values()) == {None}


class TestList:
    @pytest.fixture(autouse=True)
    def filled(self, here: Path) -> None:
        answer("add", "new", "--labels")
        for n, key in enumerate(("red.png", "blue.png", "cat/0000.png")):
            with Gallery.open("toy.vizinho") as gallery:
                gallery.edit(key, metadata={"size": 10 - n})

    def test_filters(self, here: Path) -> None:
        assert keys("cat/*", "--where", "label=cat") == [f"cat/000{n}.png" for n in range(3)]
        assert keys("--label", "dog") == ["dog/0000.png", "dog/0001.png"]
        assert keys("--where", "size=9") == ["blue.png"]
        assert len(keys("--where", "size=null")) == 7
        assert keys("-", given="red.png\nblue.png\n") == ["red.png", "blue.png"]

    def test_order(self, here: Path) -> None:
        assert keys("--reverse") == keys()[::-1]
        by_label = [labels()[key] for key in keys("--sort", "label")]
        assert by_label == ["cat"] * 3 + ["dog"] * 2 + [None] * 5
        assert keys("--sort", "size")[:3] == ["cat/0000.png", "blue.png", "red.png"]
        assert keys("--sort", "size", "--reverse")[:3] == ["red.png", "blue.png", "cat/0000.png"]
        assert [row["key"] for row in answer("list", "-n", 2, "--offset", 1, "--sort", "size")] == [
            "blue.png",
            "red.png",
        ]

    def test_labels_are_counted(self, here: Path) -> None:
        assert answer("list", "--labels") == [
            {"label": None, "count": 5},
            {"label": "cat", "count": 3},
            {"label": "dog", "count": 2},
        ]
        assert answer("list", "cat/000[01]*", "--labels") == [{"label": "cat", "count": 2}]
        assert vizinho("list", "--labels").stdout.split() == (
            ["pictures", "label", "5", "(none)", "3", "cat", "2", "dog"]
        )

    def test_many_are_written_as_they_come(
        self, here: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        expected = keys()
        for module in ("vizinho.gallery.select", "vizinho.cli.list"):
            monkeypatch.setattr(f"{module}._PAGE", 3)
        assert keys() == expected
        assert keys("--offset", 4) == expected[4:]
        assert [row["key"] for row in answer("list", "-n", 7)] == expected[:7]
        lines = vizinho("list", "-n", 0).stdout.splitlines()
        assert [line.split()[-1] for line in lines] == ["key", *expected]
        assert keys("nobody") == []


class TestExportAndImport:
    def test_there_and_back(self, here: Path) -> None:
        answer("add", "new", "--labels", "--meta", 'note={"deep": [1, 0.1]}')
        done = answer("export", "out", "--pictures", "--part-rows", 4)
        assert (done["rows"], done["parts"], done["pictures"]) == (10, 3, 10)
        report = answer("import", "out", "-g", "back.vizinho")
        assert (report["added"], report["count"]) == (10, 10)
        with Gallery.open("toy.vizinho") as old, Gallery.open("back.vizinho") as new:
            assert old.walk() == new.walk()
            for row in old.walk():
                assert old.image_bytes(row.key) == new.image_bytes(row.key)
                assert np.array_equal(old.vectors([row.key]), new.vectors([row.key]))
        assert answer("import", "out", "-g", "back.vizinho")["unchanged"] == 10
        again = answer("export", "out", "--pictures", "--part-rows", 4, "-g", "toy.vizinho")
        assert (again["kept"], again["written"]) == (3, 0)

    def test_a_failed_import_leaves_no_gallery(self, here: Path) -> None:
        (here / "empty").mkdir()
        done = vizinho("import", "empty", "--model", make_toy_bundle(here / "models"))
        assert (done.exit_code, (here / "empty.vizinho").exists()) == (1, False)
        assert vizinho("import", "nowhere").exit_code == 1

    def test_another_models_embeddings_are_refused(self, here: Path) -> None:
        from dataclasses import replace

        from toys import TOY_SPEC

        other = make_toy_bundle(here / "models", "other", spec=replace(TOY_SPEC, size=64))
        answer("export", "out", "-g", "toy.vizinho")
        Gallery.create("other.vizinho", model=other).close()
        done = vizinho("import", "out", "-g", "other.vizinho", "--json")
        assert done.exit_code == 1
        assert json.loads(done.stderr)["error"]["code"] == "fingerprint_mismatch"
