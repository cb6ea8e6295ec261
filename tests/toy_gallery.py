"""A gallery of five plain pictures, embedded by the toy model: for tests of the edges."""

from __future__ import annotations

from pathlib import Path

from toys import make_toy_bundle, plain

COLOURS = {
    "red": (255, 0, 0),
    "orange": (255, 128, 0),
    "green": (0, 255, 0),
    "blue": (0, 0, 255),
    "black": (0, 0, 0),
}


def write_colours(folder: Path) -> Path:
    """``folder/pictures/red.png`` and four more; returns the pictures' folder."""
    pictures = folder / "pictures"
    pictures.mkdir(parents=True, exist_ok=True)
    for name, colour in COLOURS.items():
        plain(colour).save(pictures / f"{name}.png")
    return pictures


def make_toy_gallery(folder: Path) -> Path:
    """``folder/toy.vizinho`` over ``folder/pictures``; the toy model is ``folder/toy``.

    The distance between two pictures is twice the Euclidean distance of their colours / 255.
    """
    from vizinho.gallery import Gallery

    with Gallery.create(folder / "toy.vizinho", model=make_toy_bundle(folder)) as gallery:
        gallery.sync_folder(write_colours(folder))
    return folder / "toy.vizinho"
