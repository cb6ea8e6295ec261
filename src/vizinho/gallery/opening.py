"""Making a gallery's folder, and checking that the parts of one belong together."""

from __future__ import annotations

import shutil
from pathlib import Path

from vizinho.bundle import (
    INFO_FILE,
    MODEL_FILE,
    network_file,
    read_bundle,
    read_model,
    resolve_bundle,
)
from vizinho.engines import Engine
from vizinho.engines.embedded import EmbeddedEngine
from vizinho.engines.packed import PackedEngine
from vizinho.errors import BundleError, FingerprintMismatch, GalleryDamaged, GalleryError
from vizinho.gallery import layout

_MEND = "`vizinho doctor --fix` mends what it can."


def create(
    path: Path, model: str | Path | None, *, overwrite: bool, precision: str = "fp32"
) -> None:
    """Make an empty gallery for a model bundle. See `Gallery.create`."""
    bundle = resolve_bundle(model)
    info, _ = read_model(bundle, precision)
    about = layout.About(
        info.name, info.fingerprint, info.dimension, EmbeddedEngine.name, "onnxruntime", precision
    )

    def fill(folder: Path) -> None:
        (folder / layout.MODEL).mkdir()
        # Only what a bundle is: a report with its pictures may lie beside it.
        for name in {MODEL_FILE, network_file(precision), INFO_FILE}:
            shutil.copyfile(bundle / name, folder / layout.MODEL / name)
        (folder / layout.IMAGES).mkdir()
        EmbeddedEngine.create(folder / layout.CATALOGUE, info.dimension).close()
        layout.write_about(folder, about)

    layout.build(path, fill, overwrite=overwrite)


def open_parts(path: Path, model: str | Path | None) -> tuple[layout.About, Engine]:
    """A gallery's description and engine, checked against its model. See `Gallery.open`."""
    while True:
        about = layout.read_about(path)
        try:
            check_model(path, about, model)
            engine = _engine(path, about)
            break
        except (GalleryDamaged, BundleError):
            # A migration may have put another model in place since, and removed this one's files.
            if layout.read_about(path).home == about.home:
                raise
    if engine.dimension != about.dimension:
        engine.close()
        raise GalleryDamaged(
            f"The catalogue of {path} has vectors of length {engine.dimension}, "
            f"its model makes {about.dimension}.",
            _MEND,
        )
    return about, engine


def check_model(path: Path, about: layout.About, model: str | Path | None) -> None:
    """Raises FingerprintMismatch when ``model`` is another than the gallery's, GalleryDamaged when
    the model in the folder ``path`` is."""
    if model is not None:
        given = read_bundle(resolve_bundle(model))
        if given.fingerprint != about.fingerprint:
            raise FingerprintMismatch(
                f"{path} was made with the model {about.model!r} ({about.fingerprint[:12]}), "
                f"not with {given.name!r} ({given.fingerprint[:12]}): their distances can't be "
                "compared.",
                "Leave the model out to use the gallery's own, or index into a new gallery.",
            )
    if read_bundle(layout.home(path, about) / layout.MODEL).fingerprint != about.fingerprint:
        raise GalleryDamaged(f"The model inside {path} is not the one of its vectors.", _MEND)


def _engine(path: Path, about: layout.About) -> EmbeddedEngine | PackedEngine:
    if about.engine == EmbeddedEngine.name:
        return EmbeddedEngine.open(layout.home(path, about) / layout.CATALOGUE)
    if about.engine != PackedEngine.name:
        raise GalleryError(
            f"{path} is kept by the engine {about.engine!r}, which this Vizinho does not have.",
            "Use the Vizinho that made it.",
        )
    for name, file in (about.files or {}).items():
        found = (path / name).stat().st_size if (path / name).is_file() else 0
        if found != file["bytes"]:
            raise GalleryDamaged(
                f"{path / name} has {found} bytes; {file['bytes']} were packed.",
                "Pack or fetch the gallery again.",
            )
    return PackedEngine.open(path / layout.CATALOGUE)
