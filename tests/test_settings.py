from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from vizinho.errors import SettingsError
from vizinho.settings import (
    default_data_dir,
    find_gallery,
    load,
    product_threads,
    terminal_pictures,
)


def test_an_empty_environment_gives_the_defaults() -> None:
    settings = load({"XDG_CACHE_HOME": "/c"})
    assert settings.cache_dir == Path("/c/vizinho")
    assert settings.data_dir == Path("/c/vizinho/datasets")
    assert (settings.host, settings.port) == ("127.0.0.1", 8000)
    assert (settings.gallery, settings.model, settings.pictures) == (None, None, "auto")


def test_each_variable_is_read() -> None:
    settings = load(
        {
            "VIZINHO_DATA": "/d",
            "VIZINHO_CACHE": "/c",
            "VIZINHO_GALLERY": "g.vizinho",
            "VIZINHO_MODEL": "m",
            "VIZINHO_HOST": "::1",
            "VIZINHO_PORT": "9",
            "VIZINHO_PICTURES": "none",
        }
    )
    assert settings.data_dir == Path("/d")
    assert settings.cache_dir == Path("/c")
    assert settings.gallery == Path("g.vizinho")
    assert (settings.model, settings.host, settings.port) == ("m", "::1", 9)
    assert settings.pictures == "none"


def test_an_empty_variable_counts_as_absent() -> None:
    assert load({"VIZINHO_PORT": "", "VIZINHO_GALLERY": ""}).port == 8000


@pytest.mark.parametrize("port", ["http", "-1", "65536", "80.5"])
def test_a_port_that_is_none_is_refused_by_name(port: str) -> None:
    with pytest.raises(SettingsError, match="VIZINHO_PORT"):
        load({"VIZINHO_PORT": port})


def test_an_unknown_way_to_show_pictures_lists_the_known() -> None:
    with pytest.raises(SettingsError, match=r"VIZINHO_PICTURES is 'sixel'.*kitty"):
        load({"VIZINHO_PICTURES": "sixel"})


def test_the_data_folder_comes_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("VIZINHO_DATA", str(tmp_path))
    assert default_data_dir() == tmp_path


class TestFindGallery:
    def test_a_named_one_wins(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("VIZINHO_GALLERY", "other.vizinho")
        assert find_gallery(Path("a.vizinho"), tmp_path) == Path("a.vizinho")

    def test_then_the_environment(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("VIZINHO_GALLERY", "other.vizinho")
        (tmp_path / "a.vizinho").mkdir()
        assert find_gallery(None, tmp_path) == Path("other.vizinho")

    def test_then_the_only_one_there(self, tmp_path: Path, no_gallery_named: None) -> None:
        (tmp_path / "a.vizinho").mkdir()
        (tmp_path / "a-file.vizinho").touch()
        assert find_gallery(None, tmp_path) == tmp_path / "a.vizinho"

    def test_none_and_many_are_told_apart(self, tmp_path: Path, no_gallery_named: None) -> None:
        with pytest.raises(SettingsError, match=r"No gallery in .*vizinho index"):
            find_gallery(None, tmp_path)
        (tmp_path / "b.vizinho").mkdir()
        (tmp_path / "a.vizinho").mkdir()
        with pytest.raises(SettingsError, match=r"2 galleries .*: a\.vizinho, b\.vizinho\."):
            find_gallery(None, tmp_path)

    @pytest.fixture
    def no_gallery_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("VIZINHO_GALLERY", raising=False)


@pytest.mark.parametrize(
    ("environ", "way"),
    [
        ({"TERM": "xterm-kitty"}, "kitty"),
        ({"TERM": "xterm-256color", "KITTY_WINDOW_ID": "1"}, "kitty"),
        ({"TERM_PROGRAM": "ghostty"}, "kitty"),
        ({"TERM_PROGRAM": "iTerm.app"}, "iterm"),
        ({"LC_TERMINAL": "iTerm2"}, "iterm"),
        ({"TERM_PROGRAM": "WezTerm", "COLORTERM": "truecolor"}, "iterm"),
        ({"TERM": "xterm-kitty", "TMUX": "/tmp/t", "COLORTERM": "truecolor"}, "blocks"),
        ({"TERM": "xterm-256color", "COLORTERM": "24bit"}, "blocks"),
        ({"TERM": "xterm", "COLORTERM": "truecolor", "NO_COLOR": "1"}, "none"),
        ({"TERM": "xterm-256color"}, "none"),
        ({}, "none"),
    ],
)
def test_terminals_are_known_by_what_they_say(environ: dict[str, str], way: str) -> None:
    assert terminal_pictures(environ) == way


def test_a_process_is_told_its_threads_and_the_environment_stays(monkeypatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    code = "import os; print(os.environ['OMP_NUM_THREADS'], os.environ['MKL_NUM_THREADS'])"
    with product_threads(3):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["3", "3"]
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert "MKL_NUM_THREADS" not in os.environ
