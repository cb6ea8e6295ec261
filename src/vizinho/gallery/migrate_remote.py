"""Another model for a gallery in Milvus: into a second collection, then ``gallery.json`` names it.

::

    cars                    the old model's rows and vectors; dropped afterwards
    cars_by_NAME_3f2a9c...  the new model's; a run that was cut short goes on with it
    cars_about              gallery.json names the one that counts; replaced near the end

Nothing locks writers on other machines out. So the last changes are taken in after the switch:
while the part "settling" is there nobody begins to write, and one more pass over the old collection
finds whatever was written into it before. A writer that is under way then sees afterwards that it
wrote into the wrong one, and says so (`RemoteHomes.confirm`).
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from dataclasses import replace
from pathlib import Path

from vizinho.bundle import resolve_bundle
from vizinho.datasets import Skipped
from vizinho.embedder import Embedder
from vizinho.engines.milvus import MilvusEngine
from vizinho.engines.milvus_address import MilvusAddress
from vizinho.errors import (
    GalleryDamaged,
    GalleryError,
    GalleryNotFound,
    GalleryUnreachable,
)
from vizinho.gallery import layout
from vizinho.gallery.lock import Patience
from vizinho.gallery.migrate import Migration, blocked, network_of
from vizinho.gallery.reembed import Reembedding
from vizinho.gallery.remote import Remote
from vizinho.gallery.remote_claim import Claim
from vizinho.gallery.remote_homes import RETIRED, SETTLING
from vizinho.gallery.view import GalleryView
from vizinho.progress import Progress

_GRACE_SECONDS = 30.0
"""How long the old collection is left to those who read it: servers change over in one or two."""
_LONGEST_NAME = 255
_MODEL_LETTERS = 40


def migrate_remote(
    place: str | Path,
    model: str | Path,
    *,
    precision: str | None,
    skip_missing: bool,
    patience: Patience,
    progress: Progress | None,
) -> Migration:
    """See `vizinho.gallery.migrate.migrate`; GalleryUnreachable when the server goes away."""
    start = time.perf_counter()
    bundle = resolve_bundle(model)
    remote = Remote(place, consistency="session")
    try:
        before = remote.current()
        info, precision = network_of(bundle, precision, before.precision)
        claim = Claim(remote)
        with claim.held(patience):
            finish(remote, claim, progress)
            drop_retired(remote)
            before = remote.current(latest=True)
            report = Migration(info.name, info.fingerprint, before.model)
            if (info.fingerprint, precision) == (before.fingerprint, before.precision):
                report.changed = False
                report.pictures = _count(remote, before)
            else:
                about = replace(
                    before,
                    model=info.name,
                    fingerprint=info.fingerprint,
                    dimension=info.dimension,
                    precision=precision,
                    home=side_name(remote.address.name, info.name, info.fingerprint, precision),
                )
                about, missing = _embed(remote, about, bundle, report, progress)
                if missing and not skip_missing:
                    raise blocked(missing, str(remote.address))
                _switch(remote, before, about, report, claim, progress)
                time.sleep(_GRACE_SECONDS)
                claim.require()
            sweep(remote)
    except GalleryUnreachable as error:
        raise GalleryUnreachable(
            error.message,
            "Run the same `vizinho migrate` again when it answers: it goes on where it stopped.",
        ) from error
    finally:
        remote.close()
    report.seconds = time.perf_counter() - start
    return report


def side_name(gallery: str, model: str, fingerprint: str, precision: str) -> str:
    """The collection for a gallery's rows under a model; the same for the same model."""
    name = re.sub(r"[^A-Za-z0-9_]", "_", model)[:_MODEL_LETTERS]
    ending = "" if precision == "fp32" else f"_{precision}"
    ending = f"_by_{name}_{fingerprint[:12]}{ending}"
    if len(gallery) + len(ending) > _LONGEST_NAME:
        digest = hashlib.sha256(gallery.encode()).hexdigest()[:12]
        gallery = f"{gallery[: _LONGEST_NAME - len(ending) - 13]}_{digest}"
    return gallery + ending


def finish(remote: Remote, claim: Claim, progress: Progress | None = None) -> Reembedding | None:
    """Take in what was written before the switch of models, if there was one, and let writers in.

    Nobody writes into the new collection meanwhile, so that it may be made like the old one.
    Raises GalleryError.
    """
    data = remote.about_parts.read(SETTLING, latest=True)
    if data is None:
        return None
    home = json.loads(data)["from"]
    work = None
    folder, about, engine = remote.open()
    try:
        if about.home != home:
            source = MilvusEngine.open(remote.collection(home))
            with GalleryView(folder, replace(about, home=home), source, remote.again()) as old:
                # What a process wrote that was killed since counts, too.
                engine.catch_up()
                source.catch_up()
                # Once somebody else has finished this, writers add what would be dropped here.
                engine.before_write = claim.watched()
                model = layout.home(folder, about) / layout.MODEL
                work = Reembedding(old, engine, Embedder.open(model, precision=about.precision))
                work.run(progress)
            remote.about_parts.put(RETIRED, json.dumps([home]).encode())
    finally:
        engine.close()
    remote.about_parts.delete([SETTLING])
    return work


def retired(remote: Remote) -> set[str | None]:
    """Collections of a model that was replaced, left over where a migration was killed."""
    data = remote.about_parts.read(RETIRED, latest=True)
    now = remote.current(latest=True)
    return set() if data is None else set(json.loads(data)) - {now.home}


def drop_retired(remote: Remote) -> int:
    """Delete the collections that are `retired`; returns how many."""
    found = retired(remote)
    for home in found:
        remote.drop_home(home)
    remote.about_parts.delete([RETIRED])
    return len(found)


def sweep(remote: Remote) -> None:
    """Delete all collections but the one that counts, also those of unfinished migrations."""
    now = remote.current(latest=True)
    for home in remote.homes() - {now.home}:
        remote.drop_home(home)
    remote.about_parts.delete([RETIRED])


def _count(remote: Remote, about: layout.About) -> int:
    engine = MilvusEngine.open(remote.collection(about.home))
    try:
        return engine.count()
    finally:
        engine.close()


def _embed(
    remote: Remote,
    about: layout.About,
    bundle: Path,
    report: Migration,
    progress: Progress | None,
) -> tuple[layout.About, list[Skipped]]:
    """Fill the side collection while writers go on; returns the description that is to be, and the
    pictures that can't be embedded."""
    address = remote.collection(about.home)
    if about.home not in remote.homes() and MilvusEngine.exists(address):
        raise GalleryError(
            f"There is a collection {address.name!r} in Milvus at {address.server} that doesn't "
            "belong to this gallery.",
            "Rename or drop it.",
        )
    # First: what is not named among the parts would not be found and removed again.
    about = replace(about, files=remote.put_model(about.home, bundle, about.precision))
    engine = _side(address, about.dimension)
    try:
        folder, now, source = remote.open()
        with GalleryView(folder, now, source, remote.again()) as old:
            work = Reembedding(old, engine, Embedder.open(bundle, precision=about.precision))
            report.resumed = engine.count()
            work.settle(progress)
        report.embedded += work.embedded
        # Before the change, so that the first search after it finds the index it needs.
        remote.settle(engine, None, work.embedded)
    finally:
        engine.close()
    return about, list(work.missing.values())


def _side(address: MilvusAddress, dimension: int) -> MilvusEngine:
    """The collection for the new model, made unless a run that was cut short left it."""
    if MilvusEngine.exists(address):
        try:
            engine = MilvusEngine.open(address)
            engine.catch_up()
            return engine
        except (GalleryDamaged, GalleryNotFound):
            MilvusEngine.drop(address)
    return MilvusEngine.create(address, dimension)


def _switch(
    remote: Remote,
    before: layout.About,
    about: layout.About,
    report: Migration,
    claim: Claim,
    progress: Progress | None,
) -> None:
    claim.require()
    remote.confirm(before)
    remote.about_parts.put(SETTLING, json.dumps({"from": before.home}).encode())
    remote.write_about(about)
    work = finish(remote, claim, progress)
    if work is not None:
        report.embedded += work.embedded
        report.skipped = list(work.missing.values())
    report.pictures = _count(remote, about)
