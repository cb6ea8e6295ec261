"""Another model for a gallery: its pictures are embedded anew beside it, then one file is replaced.

::

    photos.vizinho/
    ├── gallery.json              names the folder that counts; replaced at the very end
    ├── catalogue.sqlite, model/  the old model's, deleted afterwards or kept as a backup
    └── by-NAME-3f2a9c.../        the new model's; a run that was cut short goes on with it

Rows are gone through in the order of their keys until a pass finds next to nothing new; only the
last, short one holds the gallery's lock. So writers go on meanwhile, and a kill at any moment
leaves the gallery as it was or as it is to be.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from vizinho.bundle import (
    INFO_FILE,
    MODEL_FILE,
    BundleInfo,
    network_file,
    read_model,
    resolve_bundle,
)
from vizinho.datasets import Skipped
from vizinho.embedder import Embedder
from vizinho.engines.embedded import EmbeddedEngine
from vizinho.errors import GalleryBusy, GalleryDamaged, GalleryError
from vizinho.gallery import layout
from vizinho.gallery.lock import NONE, Patience
from vizinho.gallery.reembed import Reembedding
from vizinho.gallery.view import GalleryView
from vizinho.place import is_address
from vizinho.progress import Progress

KEPT = "before-"
PREFIX = "by-"
_SHOWN = 5


@dataclass
class Migration:
    """What `migrate` did: ``embedded`` pictures in this run, ``resumed`` by one before that was cut
    short, ``skipped`` ones left out; ``backup`` is where the old model and vectors are kept."""

    model: str
    fingerprint: str
    before: str
    pictures: int = 0
    embedded: int = 0
    resumed: int = 0
    skipped: list[Skipped] = field(default_factory=list)
    backup: Path | None = None
    seconds: float = 0.0
    changed: bool = True


def migrate(
    path: str | Path,
    model: str | Path,
    *,
    precision: str | None = None,
    skip_missing: bool = False,
    keep: bool = False,
    patience: Patience = NONE,
    progress: Progress | None = None,
) -> Migration:
    """Embed a gallery's pictures under another model and put it in the old one's place.

    Keys, labels, metadata and URLs stay. Searches and changes go on meanwhile, also in other
    processes; what they change is taken in. ``precision``: the network of the new model to use, by
    default as before if it has one. Pictures whose bytes can't be had end it with an error that
    names them, with everything else done; ``skip_missing`` leaves them out instead. ``keep`` keeps
    the old model and vectors as a gallery in the folder. ``progress`` counts rows. For galleries in
    Milvus see `vizinho.gallery.migrate_remote`; they can't ``keep``.

    Raises GalleryBusy beside another migration, BundleError, GalleryError.
    """
    start = time.perf_counter()
    if is_address(path):
        if keep:
            raise GalleryError(
                f"{path} is in Milvus, where the old model and vectors can't be kept.",
                "Leave --keep out; `vizinho export` before it keeps rows and vectors.",
            )
        from vizinho.gallery.migrate_remote import migrate_remote

        return migrate_remote(
            path,
            model,
            precision=precision,
            skip_missing=skip_missing,
            patience=patience,
            progress=progress,
        )
    path = Path(path)
    with GalleryView.open(path) as old:
        if old.about.engine != EmbeddedEngine.name:
            raise GalleryError(
                f"{path} is packed: it can't change its model.",
                "Migrate the gallery that it was made of, and pack that one again.",
            )
        bundle = resolve_bundle(model)
        info, precision = network_of(bundle, precision, old.about.precision)
        report = Migration(info.name, info.fingerprint, old.about.model)
        if (info.fingerprint, precision) == (old.about.fingerprint, old.about.precision):
            report.pictures, report.changed = old.count, False
            with _alone(path):
                sweep(path, old.about)
            return report
        about = replace(
            old.about,
            model=info.name,
            fingerprint=info.fingerprint,
            dimension=info.dimension,
            precision=precision,
            home=_side_name(info.name, info.fingerprint, precision),
        )
        with _alone(path):
            side = _prepared(path, bundle, about)
            with _opened(side, path, bundle, about) as engine:
                _like_before(old, engine)
                embedder = Embedder.open(side / layout.MODEL, precision=precision)
                work = Reembedding(old, engine, embedder)
                report.resumed = engine.count()
                work.settle(progress)
                # Trained now, so that the first search after the change is as fast as the last.
                engine.optimise()
                with layout.writing(path, threading.Lock(), patience):
                    work.run(progress)
                    report.embedded, report.skipped = work.embedded, list(work.missing.values())
                    report.pictures = engine.count()
                    if report.skipped and not skip_missing:
                        raise blocked(report.skipped, path)
                    engine.close()
                    _settled(side)
                    layout.replace_about(path, about)
                    backup = _kept(path, old.about) if keep else None
                    sweep(path, about)
    report.backup = backup
    report.seconds = time.perf_counter() - start
    return report


def leftovers(path: Path, about: layout.About) -> list[Path]:
    """What belongs to another model than the gallery's: an old one's files that a kill left, and
    migrations that did not come to their end."""
    found = [
        each
        for each in path.iterdir()
        if each.name.lstrip(".").startswith(PREFIX) and each.is_dir() and each.name != about.home
    ]
    if about.home:
        found += [each for each in map(path.joinpath, _own_files()) if each.exists()]
    found += [each for each in (path / f"{layout.ABOUT}.new",) if each.exists()]
    return sorted(found)


def sweep(path: Path, about: layout.About) -> None:
    """Remove `leftovers`; who has them open keeps them until closing."""
    for each in leftovers(path, about):
        if each.is_dir():
            shutil.rmtree(each, ignore_errors=True)
        else:
            with suppress(OSError):
                each.unlink()


def migrating(path: Path) -> bool:
    """Whether a migration of the gallery is going on in some process."""
    try:
        with _alone(path):
            return False
    except GalleryBusy:
        return True


def network_of(bundle: Path, wanted: str | None, before: str) -> tuple[BundleInfo, str]:
    """What the new model says of itself, and the precision to run it in. Raises BundleError."""
    if wanted is None:
        wanted = before if (bundle / network_file(before)).is_file() else "fp32"
    return read_model(bundle, wanted)[0], wanted


def _side_name(model: str, fingerprint: str, precision: str) -> str:
    name = re.sub(r"[^A-Za-z0-9_.-]", "-", model)[:40]
    ending = "" if precision == "fp32" else f"-{precision}"
    return f"{PREFIX}{name}-{fingerprint[:12]}{ending}"


def _prepared(path: Path, bundle: Path, about: layout.About) -> Path:
    """The side folder with the model and a catalogue, made at once unless it is there."""
    side = path / str(about.home)
    if side.is_dir():
        return side
    fresh = path / f".{side.name}"
    shutil.rmtree(fresh, ignore_errors=True)
    (fresh / layout.MODEL).mkdir(parents=True)
    for name in {MODEL_FILE, network_file(about.precision), INFO_FILE}:
        shutil.copyfile(bundle / name, fresh / layout.MODEL / name)
    EmbeddedEngine.create(fresh / layout.CATALOGUE, about.dimension).close()
    fresh.rename(side)
    return side


@contextmanager
def _opened(side: Path, path: Path, bundle: Path, about: layout.About) -> Iterator[EmbeddedEngine]:
    """The new catalogue; one that was damaged on the way is begun anew."""
    try:
        engine = EmbeddedEngine.open(side / layout.CATALOGUE)
        engine.count()
    except GalleryDamaged:
        shutil.rmtree(side)
        engine = EmbeddedEngine.open(_prepared(path, bundle, about) / layout.CATALOGUE)
    try:
        yield engine
    finally:
        engine.close()


def _like_before(old: GalleryView, engine: EmbeddedEngine) -> None:
    """The options under which the old index was chosen go for the new one too."""
    told = old.engine.describe()
    if "recall" in told:
        engine.options(latency_ms=told["latency_ms"], recall=told["recall"])


def _settled(side: Path) -> None:
    """All of the new catalogue and model on disk, so that not even a loss of power shows half of
    them."""
    model = side / layout.MODEL
    for file in (side / layout.CATALOGUE, *model.iterdir(), model, side, side.parent):
        descriptor = os.open(file, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _kept(path: Path, before: layout.About) -> Path:
    """The old model and vectors as a gallery of their own, which finds keys; pictures stay."""
    folder = path / f"{KEPT}{before.fingerprint[:12]}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name in _own_files():
        file = layout.home(path, before) / name
        if file.exists():
            file.rename(folder / name)
    layout.write_about(folder, replace(before, home=None))
    return folder


def _own_files() -> tuple[str, ...]:
    """What a model's part of a gallery consists of."""
    database = [f"{layout.CATALOGUE}{ending}" for ending in ("", "-wal", "-shm", "-journal")]
    return (*database, layout.MODEL, "index", layout.MAP)


def blocked(missing: list[Skipped], path: Path | str) -> GalleryError:
    """The error for pictures that can't be embedded under the new model."""
    listed = "\n".join(f"  {each.name}: {each.reason}" for each in missing[:_SHOWN])
    more = f"\n  and {len(missing) - _SHOWN:,} more" if len(missing) > _SHOWN else ""
    return GalleryError(
        f"{len(missing):,} pictures of {path} can't be embedded anew; the gallery is as it was, "
        f"and the others are done:\n{listed}{more}",
        "Bring them back or run `vizinho index` again, then repeat this; or --skip-missing leaves "
        "them out of the gallery.",
    )


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One migration of a gallery at a time. Raises GalleryBusy."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise GalleryBusy(
                f"{path} is being migrated by another process.", "Try again when it has finished."
            ) from error
        yield
    finally:
        os.close(descriptor)
