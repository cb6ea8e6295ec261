"""A packed gallery: the read-only copy of a gallery that is served from, in one folder.

It opens without reading what is not asked, needs no writable disk, and its vectors are mapped into
memory rather than loaded. Pictures stay where ``url_of`` says they are.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from vizinho.bundle import INFO_FILE, MODEL_FILE, network_file
from vizinho.engines import Row
from vizinho.engines.packed import VECTORS, PackedEngine, PackedWriter
from vizinho.errors import GalleryError, GalleryExists
from vizinho.gallery import layout
from vizinho.gallery.view import GalleryView
from vizinho.progress import Progress

_PAGE = 20_000


@dataclass(frozen=True)
class PackInfo:
    """A packed gallery: ``digest`` is SHA-256 (hex) over its rows, vectors and model, so that equal
    content has an equal one; ``bytes`` is the size of all its files."""

    digest: str
    images: int
    bytes: int


def pack(
    gallery: GalleryView,
    folder: str | Path,
    url_of: Callable[[Row], str],
    *,
    progress: Progress | None = None,
) -> PackInfo:
    """Write ``gallery`` as a packed one into ``folder``, at once; one packed before is replaced.

    ``url_of`` gives the URL that stands in a row from then on. ``progress`` hears (pictures done,
    all). Memory stays flat however large the gallery is; writers to it have to wait meanwhile.
    Raises GalleryBusy beside a writer, GalleryExists when ``folder`` is a gallery that is not
    packed, GalleryError.
    """
    folder = Path(folder)
    if layout.is_gallery(folder) and layout.read_about(folder).engine != PackedEngine.name:
        raise GalleryExists(f"{folder} is a gallery of its own.", "Pack into another folder.")
    if folder.resolve() == gallery.path.resolve():
        raise GalleryError(f"{folder} can't be packed into itself.", "Pack into another folder.")
    packed: list[layout.About] = []

    def fill(fresh: Path) -> None:
        packed.append(_fill(gallery, fresh, url_of, progress))

    with _still(gallery):
        count = gallery.count
        layout.build(folder, fill, overwrite=True)
    (about,) = packed
    return PackInfo(str(about.digest), count, packed_bytes(folder))


def packed_bytes(folder: str | Path) -> int:
    """Bytes of all files of a packed gallery, from its description. Raises GalleryError."""
    about = layout.read_about(Path(folder))
    files = sum(file["bytes"] for file in (about.files or {}).values())
    return files + (Path(folder) / layout.ABOUT).stat().st_size


@contextmanager
def _still(gallery: GalleryView) -> Iterator[None]:
    if gallery.about.engine == PackedEngine.name:
        yield
        return
    with layout.still(gallery.path):
        yield


def _fill(
    gallery: GalleryView,
    folder: Path,
    url_of: Callable[[Row], str],
    progress: Progress | None,
) -> layout.About:
    count, dimension = gallery.count, gallery.about.dimension
    rows_hash, vectors_hash = hashlib.sha256(), hashlib.sha256()
    writer = PackedWriter(folder / layout.CATALOGUE, count, dimension)
    try:
        for start in range(0, count, _PAGE):
            page = gallery.items(start, _PAGE)
            vectors = gallery.vectors([row.key for row in page]).astype("<f4", copy=False)
            rows = [replace(row, url=url_of(row)) for row in page]
            for row in rows:
                rows_hash.update(_line(row))
            vectors_hash.update(vectors.data)
            writer.add(rows, vectors)
            if progress is not None:
                progress(min(start + _PAGE, count), count)
        writer.finish()
    finally:
        writer.close()
    (folder / layout.MODEL).mkdir()
    networks = {MODEL_FILE, network_file(gallery.about.precision)}
    names = [f"{layout.MODEL}/{name}" for name in (*sorted(networks), INFO_FILE)]
    for name in names:
        shutil.copyfile(gallery.model_folder / Path(name).name, folder / name)
    about = replace(gallery.about, engine=PackedEngine.name, digest=None, files=None, home=None)
    content = {
        "about": {name: value for name, value in vars(about).items() if value is not None},
        "model": gallery.model_info.to_dict(),
        "rows": rows_hash.hexdigest(),
        "vectors": vectors_hash.hexdigest(),
    }
    about = replace(
        about,
        digest=hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest(),
        files={name: _described(folder / name) for name in (layout.CATALOGUE, VECTORS, *names)},
    )
    layout.write_about(folder, about)
    return about


def _line(row: Row) -> bytes:
    fields = [row.key, row.url, row.hash, row.label, row.metadata]
    return (json.dumps(fields, sort_keys=True) + "\n").encode()


def _described(path: Path) -> layout.PackedFile:
    parts = []
    with path.open("rb") as file:
        while part := file.read(layout.PART_BYTES):
            parts.append(hashlib.sha256(part).hexdigest())
    return {"bytes": path.stat().st_size, "sha256": parts}
