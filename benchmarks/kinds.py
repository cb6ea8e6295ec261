"""What does a search cost that also says identical, near-duplicate or similar of its ten results?
``python benchmarks/kinds.py``

``POST /v1/search`` with ``kinds`` and without, in turn, by what runs behind it, on one core and in
milliseconds of the processor (other work on the machine is not in them): over CIFAR-10's test
images with the shipped model, and over generated photos of 12 megapixels. Each for pictures that
the process has not looked at before, for those that it has (the next page, a crop that moves), and
in a new process after ``vizinho dedupe`` has kept how they look.
"""

from __future__ import annotations

import argparse
import io
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import common


def spent(call: Callable[[], Any]) -> float:
    """Milliseconds of the processor."""
    start = time.process_time()
    call()
    return (time.process_time() - start) * 1000


def measure(gallery: Any, queries: list[bytes], *, again: bool = False) -> dict[str, float]:
    """Medians over the queries, the two ways in turn; ``again`` after the same was asked before."""
    from vizinho.gallery.examples import Example
    from vizinho.gallery.kinds import remembered, typed

    def asked(query: bytes) -> Any:
        return typed(gallery, gallery.search(query, k=10), [Example(query)])

    plainly, with_kinds = [], []
    asked(queries[0])
    for query in queries:
        remembered.clear()
        if again:
            asked(query)
        plainly.append(spent(lambda query=query: gallery.search(query, k=10)))
        with_kinds.append(spent(lambda query=query: asked(query)))
    return {
        "search_p50_ms": round(statistics.median(plainly), 2),
        "with_kinds_p50_ms": round(statistics.median(with_kinds), 2),
        "kinds_p50_ms": round(
            statistics.median(b - a for a, b in zip(plainly, with_kinds, strict=True)), 2
        ),
    }


def photo(seed: int) -> bytes:
    """A JPEG of 4000 x 3000."""
    sys.path.insert(0, str(common.ROOT / "tests"))
    from PIL import Image

    from toy_scenes import scene

    image = scene(seed, (1000, 750)).resize((4000, 3000), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def main() -> None:
    """Print what each gallery costs, and one line of JSON last."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--photos", type=int, default=40)
    parser.add_argument("--queries", type=int, default=200)
    options = parser.parse_args()
    common.pin()
    from vizinho.gallery import Gallery, NewImage
    from vizinho.gallery.dedupe import find_duplicates

    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        dataset = common.test_images(options.images)
        step = max(1, len(dataset) // options.queries)
        small = [common.as_jpeg(dataset.read(i)) for i in range(0, len(dataset), step)]
        photos = [photo(seed) for seed in range(options.photos)]
        for name, queries in (("CIFAR-10, 32 px", small), ("photos, 12 MP", photos[:20])):
            path = Path(folder) / f"{len(figures)}.vizinho"
            with Gallery.create(path) as gallery:
                if queries is small:
                    gallery.add_dataset(dataset)
                else:
                    items = enumerate(photos)
                    gallery.add(NewImage(data, key=f"{n}.jpg") for n, data in items)
                figures[name] = {
                    "never looked at": measure(gallery, queries),
                    "again": measure(gallery, queries, again=True),
                }
                find_duplicates(gallery)
                figures[name]["after dedupe"] = measure(gallery, queries)
            print(name, figures[name])
    common.last_line("kinds", **figures)


if __name__ == "__main__":
    main()
