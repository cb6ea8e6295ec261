"""A folder whose last run was killed at the worst moment, made certain rather than waited for."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from test_gallery_folder import check
from toys import encode, noise, write_pictures
from vizinho.gallery import Gallery


@pytest.mark.parametrize("then", ["deleted", "renamed", "overwritten"])
def test_killed_between_recording_a_file_and_committing_its_row(
    tmp_path: Path, toy_bundle: Path, monkeypatch: pytest.MonkeyPatch, then: str
) -> None:
    folder = tmp_path / "photos"
    write_pictures(folder, 3)
    first = sorted(folder.iterdir())[0]
    with Gallery.create(tmp_path / "photos.vizinho", model=toy_bundle) as gallery:
        gallery.sync_folder(folder)
        first.write_bytes(encode(noise(77, (40, 40))))

        def killed(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(type(gallery._engine), "add", killed)
            with pytest.raises(KeyboardInterrupt):
                gallery.sync_folder(folder)
        if then == "deleted":
            first.unlink()
        elif then == "renamed":
            first.rename(folder / "new-name.png")
        else:
            shutil.copyfile(folder / sorted(each.name for each in folder.iterdir())[1], first)
        gallery.sync_folder(folder)
        check(gallery, folder)
        assert {row.key for row in gallery.items()} <= {each.name for each in folder.iterdir()}
