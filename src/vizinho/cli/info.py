"""``vizinho info``: what a gallery or a model is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from vizinho.cli.console import AsJson, edge, print_fields, print_json


@edge
def command(
    what: Annotated[
        str | None,
        typer.Argument(
            metavar="GALLERY|MODEL",
            help="A gallery's folder, or a model's name or folder. Default: the gallery here.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Describe a gallery or a model: size, fingerprint, measured figures."""
    facts = describe(what)
    if as_json:
        print_json(facts)
    else:
        print_fields(flat(facts))


def describe(what: str | None) -> dict[str, Any]:
    """Facts about a gallery (a folder with gallery.json in it) or a model bundle."""
    from vizinho.place import as_place, is_address
    from vizinho.settings import find_gallery

    is_gallery = what is None or is_address(what) or (Path(what) / "gallery.json").exists()
    if is_gallery:
        from vizinho.gallery import Gallery

        with Gallery.open(find_gallery(as_place(what) if what else None)) as opened:
            return dict(opened.info)
    from dataclasses import asdict

    from vizinho.bundle import read_bundle, resolve_bundle

    return asdict(read_bundle(resolve_bundle(what)))


def flat(facts: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested facts as one level, names joined by dots; floats to four digits."""
    level: dict[str, Any] = {}
    for name, value in facts.items():
        if isinstance(value, dict):
            level.update(flat(value, f"{prefix}{name}."))
        else:
            level[f"{prefix}{name}"] = f"{value:.4g}" if isinstance(value, float) else value
    return level
