"""How many pictures a second are indexed, and what takes the time? ``python benchmarks/index.py``

Real files in a folder, each kind into a new gallery: CIFAR-10's test images as PNG and as JPEG, and
photos of 12 megapixels, made from them. Stages are seconds of work summed over threads; a second
run over the unchanged folder shows what "only what changed" costs.
"""

from __future__ import annotations

import argparse
import io
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import common

PHOTO = (4000, 3000)


def write_files(folder: Path, count: int, kind: str) -> int:
    """``count`` pictures as files; returns their size in bytes."""
    dataset = common.test_images(count)
    folder.mkdir()
    size = 0
    for i in range(len(dataset)):
        data = dataset.read(i)
        if kind == "jpg":
            data = common.as_jpeg(data)
        (folder / f"{i:05d}.{kind}").write_bytes(data)
        size += len(data)
    return size


def write_photos(folder: Path, count: int) -> int:
    """``count`` JPEG files of 12 megapixels with the fine grain of real photos, so that they are as
    hard to decode; returns their size in bytes."""
    from PIL import Image

    dataset = common.test_images(count)
    folder.mkdir()
    grain = np.random.default_rng(0).normal(0, 6, (PHOTO[1], PHOTO[0], 1)).astype(np.int16)
    size = 0
    for i in range(len(dataset)):
        small = Image.open(io.BytesIO(dataset.read(i))).convert("RGB")
        large = np.asarray(small.resize(PHOTO, Image.Resampling.BICUBIC), np.int16)
        photo = Image.fromarray(np.clip(large + grain, 0, 255).astype(np.uint8))
        path = folder / f"{i:05d}.jpg"
        photo.save(path, quality=90)
        size += path.stat().st_size
    return size


def measure(bundle: Path, folder: Path, workers: int) -> dict[str, Any]:
    """Index a folder into a new gallery, then again with nothing changed."""
    from vizinho.gallery import Gallery

    with Gallery.create(folder.with_suffix(".vizinho"), model=bundle) as gallery:
        gallery.workers = workers
        assert gallery.embedder.dimension
        report = gallery.sync_folder(folder)
        start = time.perf_counter()
        again = gallery.sync_folder(folder)
        unchanged = time.perf_counter() - start
        assert (again.added, again.changed) == (0, 0)
        assert report.skipped == []
    work = sum(report.stages.values())
    return {
        "images": report.added,
        "duplicates": report.duplicates,
        "seconds": round(report.seconds, 3),
        "images_per_second": round((report.added + report.duplicates) / report.seconds, 1),
        "share": {stage: round(spent / work, 3) for stage, spent in report.stages.items()},
        "unchanged_run_seconds": round(unchanged, 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, help="bundle (default: the shipped one)")
    parser.add_argument("--images", type=int, default=10_000, help="small pictures")
    parser.add_argument("--photos", type=int, default=100, help="photos of 12 megapixels")
    parser.add_argument("--rounds", type=int, default=3, help="the best of so many is shown too")
    parser.add_argument("--one-core", action="store_true", help="stay on one core")
    parser.add_argument("--quick", action="store_true", help="small, to see that it runs")
    options = parser.parse_args()
    if options.quick:
        options.images, options.photos, options.rounds = 300, 4, 1
    if options.one_core:
        common.pin()
    workers = len(os.sched_getaffinity(0))

    from vizinho.bundle import resolve_bundle
    from vizinho.errors import BundleError

    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="vizinho-bench-") as name:
        place = Path(name)
        try:
            bundle = resolve_bundle(options.model)
        except BundleError as error:
            print(f"{error} Measuring its architecture with random weights.")
            bundle = common.random_subject(place).bundle
        for kind, title in (
            ("png", "32 x 32 PNG"),
            ("jpg", "32 x 32 JPEG"),
            ("photo", "4000 x 3000 JPEG"),
        ):
            folder = place / kind
            if kind == "photo":
                size = write_photos(folder, options.photos)
            else:
                size = write_files(folder, options.images, kind)
            rounds = []
            for number in range(options.rounds):
                moved = folder.rename(place / f"{kind}-{number}")
                rounds.append(measure(bundle, moved, workers))
                moved.rename(folder)
            rounds.sort(key=lambda figures: figures["images_per_second"])
            middle = rounds[len(rounds) // 2]
            middle["images_per_second_of_each_round"] = [r["images_per_second"] for r in rounds]
            middle["megabytes"] = round(size / 1e6, 1)
            results[title] = middle
            shares = ", ".join(f"{stage} {part:.0%}" for stage, part in middle["share"].items())
            print(
                f"{title:<18} {middle['images_per_second']:8.1f} images/s  ({shares}); "
                f"unchanged again: {middle['unchanged_run_seconds']:.3f} s"
            )
    common.last_line("index", model=bundle.name, workers=workers, folders=results)


if __name__ == "__main__":
    main()
