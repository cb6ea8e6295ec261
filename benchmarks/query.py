"""How long from a picture's bytes to ten results? ``python benchmarks/query.py``

On one core, over a gallery of CIFAR-10's 10,000 test images, side by side in the same run:

- **vizinho**: ``Gallery.search(jpeg_bytes, k=10)``, all of it: guards, decoding, ONNX Runtime,
  FAISS, exact re-ranking, and the rows read from the catalogue;
- **the thesis's stack**: PIL, eager torch in evaluation mode with the same weights, and
  scikit-learn's brute-force Euclidean ``NearestNeighbors`` over the same vectors.

Warm: both answer the same JPEG pictures, a round of the one after a round of the other. Cold: a
fresh process each time, from its start to the first answer printed. ``--self-retrieval`` asks all
test images instead, and counts those that find themselves first at 0.00.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import common

OURS = """
import sys
from vizinho import Gallery
with Gallery.open(sys.argv[1]) as gallery:
    print({match.url: match.distance for match in gallery.search(sys.argv[2], k=10)})
"""
THEIRS = """
import json, sys
sys.path.insert(0, sys.argv[5])
import numpy as np
from PIL import Image
from sklearn.neighbors import NearestNeighbors
import torch
import common
torch.set_num_threads(1)
network = common.network(json.loads(sys.argv[3]), sys.argv[4])
vectors, urls = np.load(sys.argv[1] + ".npy"), json.load(open(sys.argv[1] + ".json"))
neighbours = NearestNeighbors(n_neighbors=10, algorithm="brute", metric="euclidean").fit(vectors)
pixels = np.array(Image.open(sys.argv[2]).convert("RGB").resize((32, 32)))
image = torch.from_numpy(pixels).permute(2, 0, 1).float().div(255).sub(0.5).div(0.5)
with torch.no_grad():
    vector = network(image[None]).numpy()
distances, found = neighbours.kneighbors(vector)
print({urls[i]: float(d) for i, d in zip(found[0], distances[0])})
"""


def thesis_stack(subject: common.Subject, vectors: np.ndarray, urls: list[str]) -> Callable:
    """The thesis's way from bytes to ``{url: distance}``."""
    import torch
    from PIL import Image
    from sklearn.neighbors import NearestNeighbors

    torch.set_num_threads(1)
    network = common.network(subject.recipe, subject.state)
    neighbours = NearestNeighbors(n_neighbors=10, algorithm="brute", metric="euclidean")
    neighbours.fit(vectors)

    def search(data: bytes) -> dict[str, float]:
        pixels = np.array(Image.open(io.BytesIO(data)).convert("RGB").resize((32, 32)))
        image = torch.from_numpy(pixels).permute(2, 0, 1).float().div(255).sub(0.5).div(0.5)
        with torch.no_grad():
            vector = network(image[None]).numpy()
        distances, found = neighbours.kneighbors(vector)
        return {urls[i]: float(d) for i, d in zip(found[0], distances[0], strict=True)}

    return search


def timed(search: Callable, queries: list[bytes]) -> list[float]:
    """Milliseconds of each query."""
    times = []
    for query in queries:
        start = time.perf_counter()
        search(query)
        times.append((time.perf_counter() - start) * 1000)
    return times


def cold_seconds(command: list[str]) -> float:
    """From the start of a process to its end, which is its first answer."""
    start = time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    spent = time.perf_counter() - start
    assert done.stdout.count("/images/") == 10, done.stdout
    return spent


def rates(ours: list[list[float]], theirs: list[list[float]], unit: str) -> dict[str, Any]:
    """Percentiles over all rounds, and the median of the rounds' own ratios."""
    figures: dict[str, Any] = {}
    for name, rounds in (("ours", ours), ("thesis", theirs)):
        everything = np.concatenate(rounds)
        figures[f"{name}_p50_{unit}"] = round(float(np.percentile(everything, 50)), 4)
        figures[f"{name}_p99_{unit}"] = round(float(np.percentile(everything, 99)), 4)
    ratios = [
        statistics.median(b) / statistics.median(a) for a, b in zip(ours, theirs, strict=True)
    ]
    figures["times_faster"] = round(statistics.median(ratios), 2)
    figures["times_faster_min"] = round(min(ratios), 2)
    figures["times_faster_max"] = round(max(ratios), 2)
    return figures


def measure(subject: common.Subject, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Warm and cold figures of one model."""
    from vizinho.gallery import Gallery

    path = folder / f"{subject.bundle.name}.vizinho"
    dataset = common.test_images(options.images)
    with Gallery.create(path, model=subject.bundle) as gallery:
        gallery.add_dataset(dataset)
        rows = gallery.items(limit=len(dataset))
        urls = [row.url for row in rows]
        vectors = gallery.vectors([row.key for row in rows])
        # Saved the way that loads fastest, so that the other side loses nothing by it.
        np.save(f"{path}.npy", vectors)
        Path(f"{path}.json").write_text(json.dumps(urls))
        theirs = thesis_stack(subject, vectors, urls)
        step = max(1, len(dataset) // options.queries)
        queries = [common.as_jpeg(dataset.read(i)) for i in range(0, step * options.queries, step)]

        def ours(data: bytes) -> Any:
            return gallery.search(data, k=10)

        same = 0
        for query in queries:
            found, expected = {m.url: m.distance for m in ours(query)}, theirs(query)
            same += list(found) == list(expected)
        warm_ours, warm_theirs = [], []
        for _ in range(options.rounds):
            warm_ours.append(timed(ours, queries))
            warm_theirs.append(timed(theirs, queries))
    query = folder / "query.jpg"
    query.write_bytes(queries[0])
    recipe, state = json.dumps(subject.recipe), str(subject.state)
    commands = (
        [sys.executable, "-c", OURS, str(path), str(query)],
        [
            sys.executable,
            "-c",
            THEIRS,
            str(path),
            str(query),
            recipe,
            state,
            str(common.ROOT / "benchmarks"),
        ],
    )
    for command in commands:
        cold_seconds(command)  # once for the disk's cache
    cold_ours, cold_theirs = [], []
    for _ in range(options.starts):
        cold_ours.append([cold_seconds(commands[0])])
        cold_theirs.append([cold_seconds(commands[1])])
    return {
        "model": subject.name,
        "weights": subject.weights,
        "dimension": int(vectors.shape[1]),
        "images": len(rows),
        "same_ten_in_same_order": f"{same} of {len(queries)}",
        "warm": rates(warm_ours, warm_theirs, "ms"),
        "cold": rates(cold_ours, cold_theirs, "s"),
    }


def self_retrieval(bundle: Path, folder: Path, count: int) -> dict[str, Any]:
    """How many pictures of the gallery find themselves first, at a distance shown as 0.00."""
    from vizinho.gallery import Gallery

    dataset = common.test_images(count)
    with Gallery.create(folder / "self.vizinho", model=bundle) as gallery:
        report = gallery.add_dataset(dataset)
        first = shown = 0
        largest = 0.0
        for i, name in enumerate(dataset.names):
            match = gallery.search(dataset.read(i), k=10)[0]
            first += match.key == name
            shown += match.key == name and f"{match.distance:.2f}" == "0.00"
            largest = max(largest, match.distance)
    return {
        "queries": len(dataset),
        "added": report.added,
        "duplicates": report.duplicates,
        "itself_first": first,
        "itself_first_at_0.00": shown,
        "largest_distance_of_a_first": largest,
    }


def show(figures: dict[str, Any]) -> None:
    """One model's figures for a reader."""
    print(f"\n{figures['model']} ({figures['weights']} weights), {figures['images']} images")
    print(f"  same ten results in the same order: {figures['same_ten_in_same_order']}")
    for name, unit in (("warm", "ms"), ("cold", "s")):
        part = figures[name]
        for side in ("ours", "thesis"):
            p50, p99 = part[f"{side}_p50_{unit}"], part[f"{side}_p99_{unit}"]
            print(f"  {name} {side:<7} p50 {p50:8.3f} {unit}   p99 {p99:8.3f} {unit}")
        spread = f"{part['times_faster_min']} to {part['times_faster_max']}"
        print(f"  {name}: {part['times_faster']} times faster ({spread})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, help="bundle to measure (default: the shipped one)")
    parser.add_argument("--checkpoint", type=Path, help="that model's torch checkpoint.pt")
    parser.add_argument("--images", type=int, default=10_000, help="size of the gallery")
    parser.add_argument("--queries", type=int, default=200, help="pictures asked in a round")
    parser.add_argument("--rounds", type=int, default=9, help="rounds of each side")
    parser.add_argument("--starts", type=int, default=15, help="fresh processes of each side")
    parser.add_argument("--skip-resnet", action="store_true")
    parser.add_argument("--self-retrieval", action="store_true")
    parser.add_argument("--quick", action="store_true", help="small, to see that it runs")
    options = parser.parse_args()
    if options.quick:
        options.images, options.queries, options.rounds, options.starts = 300, 20, 2, 2
    core = common.pin()

    from vizinho.bundle import resolve_bundle
    from vizinho.errors import BundleError

    with tempfile.TemporaryDirectory(prefix="vizinho-bench-") as name:
        folder = Path(name)
        try:
            bundle = resolve_bundle(options.model)
        except BundleError as error:
            print(f"{error} Measuring its architecture with random weights.")
            bundle = None
        if options.self_retrieval:
            bundle = bundle or common.random_subject(folder).bundle
            figures = self_retrieval(bundle, folder, options.images)
            print(figures)
            common.last_line("self-retrieval", model=bundle.name, core=core, **figures)
            return
        if bundle is None:
            subjects = [common.random_subject(folder)]
        else:
            subjects = [common.bundle_subject(bundle, options.checkpoint, folder)]
        if not options.skip_resnet:
            subjects.append(common.resnet_subject(folder))
        results = []
        for subject in subjects:
            results.append(measure(subject, folder, options))
            show(results[-1])
    sizes = {name: getattr(options, name) for name in ("queries", "rounds", "starts")}
    common.last_line("query", core=core, n=sizes, models=results)


if __name__ == "__main__":
    main()
