"""What the verbs do where something is amiss: files that went, names that meet, odd values."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from toy_gallery import make_toy_gallery
from toys import plain
from vizinho import Gallery
from vizinho.cli import build_app
from vizinho.cli.pictures import GAP, TILE


def vizinho(*arguments: object) -> Result:
    """One command; an exception that no user should see is raised here."""
    done = CliRunner().invoke(build_app(), [str(a) for a in arguments])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: a toy gallery over ``pictures``, and no settings."""
    for name in ("GALLERY", "MODEL", "DATA", "PICTURES"):
        monkeypatch.delenv(f"VIZINHO_{name}", raising=False)
    monkeypatch.chdir(tmp_path)
    make_toy_gallery(tmp_path)
    return tmp_path


def test_two_pictures_of_one_file_name_are_both_added(here: Path) -> None:
    for folder, colour in (("a", (7, 7, 7)), ("b", (9, 90, 9))):
        (here / folder).mkdir()
        plain(colour).save(here / folder / "red.png")
    done = vizinho("add", "a/red.png", "b/red.png", "--json")
    report = json.loads(done.stdout)
    assert (report["added"], report["changed"], report["count"]) == (2, 0, 7)
    with Gallery.open("toy.vizinho") as gallery:
        for picture in ("pictures/red.png", "a/red.png", "b/red.png"):
            (match,) = gallery.search(picture, k=1)
            assert match.distance == 0
            assert gallery.image_bytes(match.key)[0] == Path(picture).read_bytes()


def test_the_table_comes_also_where_a_picture_has_gone(here: Path) -> None:
    (here / "pictures" / "orange.png").unlink()
    (here / "pictures" / "black.png").write_text("no picture any more")
    done = vizinho("search", "pictures/red.png", "-k", 3, "--contact-sheet", "sheet.png")
    assert (done.exit_code, done.stderr) == (0, "")
    assert [line.split()[-1] for line in done.stdout.splitlines()] == [
        *("key", "red.png", "orange.png", "black.png")
    ]
    sheet = Image.open("sheet.png")
    row = [
        sheet.getpixel((GAP + at * (TILE + GAP) + TILE // 2, GAP + TILE // 2)) for at in range(4)
    ]
    assert row == [(255, 0, 0), (255, 0, 0), (211, 211, 211), (211, 211, 211)]


def test_a_search_that_finds_nothing_says_why(here: Path) -> None:
    done = vizinho("search", "pictures/red.png", "--where", "label=nonsense", "--where", "year=7")
    assert (done.exit_code, done.stdout) == (0, "")
    assert done.stderr == "No picture of the gallery has label=nonsense and year=7.\n"
    vizinho("remove", *(path.name for path in (here / "pictures").iterdir()))
    done = vizinho("search", "pictures/red.png")
    assert (done.exit_code, done.stdout) == (0, "")
    assert done.stderr.startswith("The gallery is empty: fill it with `vizinho index`")
    assert json.loads(vizinho("search", "pictures/red.png", "--json").stdout) == []


def test_a_label_that_is_a_number_can_be_asked_for(here: Path) -> None:
    plain((250, 0, 0)).save(here / "seven.png")
    vizinho("add", "seven.png", "--label", "7")
    found = json.loads(vizinho("search", "pictures/red.png", "--where", "label=7", "--json").stdout)
    assert [match["key"] for match in found] == ["seven.png"]
    without = vizinho("search", "pictures/red.png", "--where", "label=null", "--json")
    assert len(json.loads(without.stdout)) == 5


def test_numbers_of_any_size_can_be_asked_for(here: Path) -> None:
    large = 12345678901234567890123
    plain((250, 0, 0)).save(here / "far.png")
    vizinho("add", "far.png", "--meta", f"metres={large}")
    found = vizinho("search", "far.png", "--where", f"metres={large}", "--json")
    assert [match["key"] for match in json.loads(found.stdout)] == ["far.png"]
    done = vizinho("search", "far.png", "--where", f"metres={10**400}")
    assert (done.exit_code, "too large" in done.stderr) == (1, True)


@pytest.mark.parametrize("out", ["pictures", ".", "toy/bundle.json"])
def test_a_training_asks_before_it_starts_whether_its_model_has_a_place(
    here: Path, out: str
) -> None:
    done = vizinho("train", "nowhere", "--out", out)
    assert (done.exit_code, "is not a model bundle" in done.stderr) == (1, True)
    again = vizinho("train", "nowhere", "--out", "toy")
    assert "is not a model bundle" not in again.stderr


def test_names_of_any_sort_take_one_line_each(here: Path) -> None:
    (here / "new").mkdir()
    (here / "new" / "a\nb.png").write_bytes(b"text")
    plain((7, 7, 7)).save(here / "new" / "good.png")
    done = vizinho("add", "new", "nowhere/*.png")
    lines = done.stderr.splitlines()
    assert len(lines) == 3
    assert {line.partition(":")[0].partition(" nowhere")[0] for line in lines} == {
        "2 skipped",
        "  Nothing matches",
        "  a\\nb.png",
    }
    again = vizinho("add", "new/good.png", "--key", "other")
    assert "1 duplicate in" in again.stdout
