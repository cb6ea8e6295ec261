"""Which removed pictures the next index brings back: said before they go, and true after it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from typer.testing import CliRunner

from toys import encode, noise
from vizinho.cli import build_app
from vizinho.engines import Row
from vizinho.gallery import Gallery, NewImage
from vizinho.gallery.returning import Mirrored
from vizinho.serve.app import create_app
from vizinho.serve.options import ServeOptions

MIRRORED = "cat/0000.png"
UPLOADED = "upload.png"


@pytest.fixture
def path(toy_gallery: Gallery) -> Path:
    """A gallery of a folder, to which one picture was added that is not in the folder."""
    toy_gallery.add([NewImage(encode(noise(900)), key=UPLOADED)])
    return toy_gallery.path


def returning(gallery: Gallery) -> list[str]:
    mirrored = Mirrored(gallery)
    return [row.key for row in gallery.items(limit=100) if mirrored.brings_back(row)]


def test_what_is_said_of_each_picture_is_what_the_next_index_does(
    path: Path, pictures: Path
) -> None:
    (pictures / "dog" / "0001.png").unlink()
    with Gallery.open(path) as gallery:
        said = returning(gallery)
        gallery.remove([row.key for row in gallery.items(limit=100)])
        gallery.sync_folder(pictures)
        assert said == [row.key for row in gallery.items(limit=100)]
        assert (len(said), UPLOADED in said, "dog/0001.png" in said) == (11, False, False)


def test_a_folder_that_is_away_counts_as_having_what_was_not_added(
    path: Path, pictures: Path
) -> None:
    pictures.rename(pictures.with_name("elsewhere"))
    with Gallery.open(path) as gallery:
        said = returning(gallery)
    assert (len(said), UPLOADED in said) == (12, False)


def test_of_a_bucket_it_is_what_lies_below_its_prefix(
    toy_gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Gallery, "folder", None)
    monkeypatch.setattr(Gallery, "mirrored", "s3://photos/pets")
    mirrored = Mirrored(toy_gallery)
    urls = ("s3://photos/pets/a.png", "s3://photos/petshop/a.png", "/images/a.png")
    assert [mirrored.brings_back(Row("a.png", url, "0" * 64)) for url in urls] == [
        True,
        False,
        False,
    ]


def test_a_gallery_that_mirrors_nothing_brings_nothing_back(
    tmp_path: Path, toy_bundle: Path
) -> None:
    with Gallery.create(tmp_path / "g.vizinho", model=toy_bundle) as gallery:
        gallery.add([NewImage(encode(noise(900)), key=UPLOADED)])
        assert returning(gallery) == []


def test_a_server_says_it_of_the_pictures_that_went(path: Path) -> None:
    with TestClient(create_app(path, ServeOptions(writable=True))) as client:

        def removed(*keys: str) -> Any:
            return client.post("/v1/images/remove", json={"keys": list(keys)}).json()

        assert removed(UPLOADED, "nobody") == {"removed": 1, "mirrored": False}
        assert removed("cat/0001.png", "nobody") == {"removed": 1, "mirrored": True}
        one = client.delete(f"/v1/images/{MIRRORED}")
        assert one.json() == {"removed": 1, "mirrored": True}
        # Its row has gone: there is nothing that could come back.
        assert removed(MIRRORED) == {"removed": 0, "mirrored": False}


def test_dedupe_says_it_of_the_copies_that_went(toy_gallery: Gallery, pictures: Path) -> None:
    def removed() -> tuple[bool, bool]:
        line = ["dedupe", "-g", str(toy_gallery.path), "--remove", "--yes"]
        done = CliRunner().invoke(build_app(), line)
        assert done.exit_code == 0, done.output
        return "1 removed" in done.stdout, "next `vizinho index`" in done.stderr

    added = [NewImage(encode(noise(900), kind), key=kind) for kind in ("PNG", "BMP")]
    toy_gallery.add(added)
    assert removed() == (True, False)
    noise(901).save(pictures / "one.png")
    noise(901).save(pictures / "one.bmp")
    toy_gallery.sync_folder(pictures)
    assert removed() == (True, True)
