"""Duplicates and the doctor over a gallery in Milvus: what is not about files in a folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from milvus_server import MilvusServer
from toy_scenes import scene
from toys import encode
from vizinho.gallery import Gallery, NewImage
from vizinho.gallery.dedupe import find_duplicates
from vizinho.gallery.doctor import examine

pytestmark = pytest.mark.milvus


def test_duplicates_are_found_and_all_is_in_order(
    milvus: MilvusServer, toy_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIZINHO_CACHE", str(tmp_path / "cache"))
    place = f"{milvus.uri}/care"
    images = [scene(seed, (64, 48)) for seed in range(5)]
    images.append(images[1].transpose(Image.Transpose.FLIP_LEFT_RIGHT))
    with Gallery.create(place, model=toy_bundle, overwrite=True) as gallery:
        gallery.add([NewImage(encode(image), key=f"{i}.png") for i, image in enumerate(images)])
        (group,) = find_duplicates(gallery).groups
        assert {member.key for member in group.members} == {"1.png", "5.png"}
    found = examine(place, fix=True)
    assert found.healthy
    assert found.mended == []
    checks = {finding.check for finding in found.findings}
    assert {"opening", "self-retrieval", "recall"} <= checks
    assert found.figures["self_retrieval"] == 1
