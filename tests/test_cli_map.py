"""``vizinho map``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from toy_gallery import COLOURS, make_toy_gallery
from vizinho.cli import build_app
from vizinho.gallery import Gallery
from vizinho.gallery.plane import read_map


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("VIZINHO_GALLERY", raising=False)
    monkeypatch.chdir(tmp_path)
    return make_toy_gallery(tmp_path)


def run(*arguments: str) -> str:
    done = CliRunner().invoke(build_app(), ["map", *arguments])
    assert done.exit_code == 0, done.output
    return done.stdout


def answer(*arguments: str) -> Any:
    return json.loads(run(*arguments, "--json"))


def test_the_map_is_made_once_and_again_when_asked(here: Path) -> None:
    first = answer()
    assert (first["made"], first["count"], first["total"], first["tiles"]) == (True, 5, 5, 0)
    shown = read_map(Path(first["folder"]))
    assert shown is not None
    assert (shown.version, sorted(shown.keys)) == (
        first["version"],
        sorted(f"{name}.png" for name in COLOURS),
    )
    assert answer()["made"] is False
    assert answer("--again")["made"] is True
    with Gallery.open(here) as gallery:
        gallery.remove(["red.png"])
    assert answer()["count"] == 4


def test_thumbnails_are_made_beforehand_when_asked(here: Path) -> None:
    found = answer("--thumbnails")
    assert found["tiles"] == 1
    assert (here / "map" / "tiles" / found["version"] / "0.jpg").read_bytes()[:2] == b"\xff\xd8"


def test_it_says_what_it_did_and_how_it_could_be_better(here: Path) -> None:
    said = run()
    # Of so few pictures t-SNE makes nothing.
    assert "5 pictures by principal components, in " in said
    assert "vizinho[report]" in said
    assert "nothing has changed since" in run()


def test_without_a_gallery_it_says_so(tmp_path: Path) -> None:
    done = CliRunner().invoke(build_app(), ["map", "-g", str(tmp_path / "none.vizinho"), "--json"])
    assert done.exit_code == 1
    assert json.loads(done.stderr)["error"]["code"] == "gallery_not_found"
