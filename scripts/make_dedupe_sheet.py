"""Draws ``docs/images/duplicates.png``: what `vizinho dedupe` finds.

In a folder of made-up scenes with planted copies, and in CIFAR-10's test set, whose gallery is
needed: `vizinho index cifar10:test`.

    python scripts/make_dedupe_sheet.py cifar10-test.vizinho
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

from toy_scenes import CHANGES, scene  # noqa: E402
from vizinho.cli.dedupe import _sheet  # noqa: E402
from vizinho.gallery import Gallery  # noqa: E402
from vizinho.gallery.dedupe import find_duplicates  # noqa: E402
from vizinho.report.groups import draw_group  # noqa: E402

PLANTED = ("turned by 90 degrees", "mirrored, half the size, JPEG 50", "cropped by 5 %")
FROM_CIFAR = 3


def planted(folder: Path) -> list[Image.Image]:
    """The sheets of one scene with changed copies."""
    photos = folder / "photos"
    photos.mkdir()
    image = scene(8)
    image.save(photos / "beach.jpg", quality=92)
    for number, name in enumerate(PLANTED):
        CHANGES[name](image).save(photos / f"beach-copy-{number}.jpg", quality=90)
    for seed in range(20, 26):
        scene(seed).save(photos / f"other-{seed}.jpg")
    with Gallery.create(folder / "photos.vizinho") as gallery:
        gallery.sync_folder(photos)
        return sheets(gallery, 1)


def sheets(gallery: Gallery, count: int) -> list[Image.Image]:
    """The first ``count`` contact sheets of a gallery, as `vizinho dedupe --sheets` draws them."""
    groups = find_duplicates(gallery).groups[:count]
    return [draw_group(_sheet(gallery, group, number)) for number, group in enumerate(groups, 1)]


def main() -> None:
    """Draw, one below the other."""
    with tempfile.TemporaryDirectory() as folder:
        drawn = planted(Path(folder))
    with Gallery.open(sys.argv[1]) as gallery:
        drawn += sheets(gallery, FROM_CIFAR)
    whole = Image.new("RGB", (max(s.width for s in drawn), sum(s.height for s in drawn)), "white")
    top = 0
    for sheet in drawn:
        whole.paste(sheet, (0, top))
        top += sheet.height
    target = ROOT / "docs" / "images" / "duplicates.png"
    whole.quantize(256).save(target, optimize=True)
    sys.stdout.write(f"{target}: {target.stat().st_size / 1000:.0f} kB\n")


if __name__ == "__main__":
    main()
