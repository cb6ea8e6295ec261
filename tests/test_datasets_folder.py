"""Data sets that are folders."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from vizinho.datasets import Skipped, load_dataset
from vizinho.errors import DatasetError


def picture(path: Path, colour: str = "red") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), colour).save(path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "pets"
    picture(root / "dog" / "rex.jpg")
    picture(root / "dog" / "old" / "max.PNG", "blue")
    picture(root / "cat" / "tom.webp")
    picture(root / "cat" / "ana.gif")
    return root


def test_classes_are_the_first_level_of_folders(root: Path) -> None:
    data = load_dataset(str(root))
    assert data.classes == ["cat", "dog"]
    assert data.names == ["cat/ana.gif", "cat/tom.webp", "dog/rex.jpg", "dog/old/max.PNG"]
    assert data.labels.tolist() == [0, 0, 1, 1]
    assert data.skipped == []
    assert data.load(3).getpixel((0, 0)) == (0, 0, 255)
    assert data.read(2) == (root / "dog" / "rex.jpg").read_bytes()


def test_what_is_left_out_is_listed_with_its_reason(root: Path) -> None:
    (root / "dog" / "notes.txt").write_text("good boy")
    (root / "dog" / "empty.jpg").touch()
    (root / "fish").mkdir()
    picture(root / "loose.png")
    for hidden in (".DS_Store", "dog/.hidden.jpg", "dog/Thumbs.db", ".git/x.png"):
        (root / hidden).parent.mkdir(exist_ok=True)
        (root / hidden).write_bytes(b"x")
    data = load_dataset(str(root))
    assert {item.name: item.reason for item in data.skipped} == {
        "loose.png": "It lies outside the class folders.",
        "fish/": "The class folder holds no pictures.",
        "dog/notes.txt": "It is no picture by its name (.txt).",
        "dog/empty.jpg": "The file is empty (0 bytes).",
    }
    assert len(data) == 4
    assert data.classes == ["cat", "dog", "fish"]
    assert data.labels.tolist() == [0, 0, 1, 1]


def test_splits(root: Path, tmp_path: Path) -> None:
    both = tmp_path / "both"
    both.mkdir()
    root.rename(both / "train")
    picture(both / "test" / "cat" / "new.png")
    assert len(load_dataset(f"{both}:train")) == 4
    assert load_dataset(f"{both}:test").names == ["cat/new.png"]
    with pytest.raises(DatasetError, match=r"holds splits \(test, train\)") as caught:
        load_dataset(str(both))
    assert f"{both}:test" in caught.value.hint
    with pytest.raises(DatasetError, match="no split 'val'") as caught:
        load_dataset(f"{both}:val")
    assert "test, train" in caught.value.hint


def test_a_path_with_a_colon_is_taken_as_it_stands(root: Path) -> None:
    odd = root.with_name("pets:train")
    root.rename(odd)
    assert len(load_dataset(str(odd))) == 4


def test_an_unlabelled_folder_is_an_error_that_says_what_was_looked_for(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    picture(tmp_path / "b.png")
    with pytest.raises(DatasetError, match="2 pictures outside") as caught:
        load_dataset(str(tmp_path))
    assert f"{tmp_path}/<class>/<image>" in caught.value.message
    assert "root/class/image.jpg" in caught.value.hint


@pytest.mark.parametrize("made", [(), ("cat", "dog")])
def test_an_empty_folder_is_an_error(made: tuple[str, ...], tmp_path: Path) -> None:
    for name in made:
        (tmp_path / name).mkdir()
    with pytest.raises(DatasetError, match=f"found {len(made)} class folders"):
        load_dataset(str(tmp_path))


def test_nothing_is_read_before_it_is_asked_for(root: Path) -> None:
    data = load_dataset(str(root))
    (root / "dog" / "rex.jpg").unlink()
    assert len(data) == 4


def test_a_folder_that_may_not_be_read_is_listed(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Tests may run as root, whom no mode bits keep out.
    real = os.scandir

    def guarded(path: Any) -> Any:
        if str(path).endswith("old"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", guarded)
    data = load_dataset(str(root))
    assert data.skipped == [Skipped("dog/old/", "The folder can't be read: Permission denied.")]
    assert len(data) == 3


def test_a_class_folder_that_is_a_link(root: Path) -> None:
    (root / "wolf").symlink_to(root / "dog", target_is_directory=True)
    data = load_dataset(str(root))
    assert data.classes == ["cat", "dog", "wolf"]
    assert len(data) == 6
