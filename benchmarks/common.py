"""What the benchmarks share: the machine in words, one core, and models to measure."""

from __future__ import annotations

import io
import json
import os
import platform
import sys
from dataclasses import dataclass, fields
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

PACKAGES = ("numpy", "pillow", "onnxruntime", "faiss-cpu", "torch", "scikit-learn")


def pin(core: int | None = None) -> int:
    """Keep this process and its children on one core, one thread; returns which."""
    core = max(os.sched_getaffinity(0)) if core is None else core
    os.sched_setaffinity(0, {core})
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"
    os.environ["PYTHONPATH"] = str(ROOT / "src")
    return core


def machine() -> dict[str, Any]:
    """Processor, cores allowed, load, and versions of everything that matters."""
    model = platform.processor()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text().splitlines()
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        model = names[0] if names else model
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "absent"
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "cores_allowed": len(os.sched_getaffinity(0)),
        "load_average_1min": round(os.getloadavg()[0], 2),
        "versions": versions,
    }


def last_line(benchmark: str, **figures: Any) -> None:
    """The result as one line of JSON; keys carry units."""
    print(json.dumps({"benchmark": benchmark, **figures, "machine": machine()}))


def test_images(count: int) -> Any:
    """The first ``count`` test images of CIFAR-10, as LabelledImages."""
    from vizinho.datasets import load_dataset
    from vizinho.settings import load

    shared = ROOT.parent / "shared" / "datasets"
    folder = shared if shared.is_dir() and "VIZINHO_DATA" not in os.environ else load().data_dir
    dataset = load_dataset("cifar10:test", data_dir=folder)
    return dataset.subset(range(min(count, len(dataset))))


def as_jpeg(data: bytes, quality: int = 95) -> bytes:
    """Any encoded picture as JPEG bytes."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.open(io.BytesIO(data)).convert("RGB").save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


@dataclass(frozen=True)
class Subject:
    """One model twice: as a bundle, and as a torch network with the same weights."""

    name: str
    weights: str
    bundle: Path
    recipe: dict[str, Any]
    state: Path


def resnet_subject(folder: Path) -> Subject:
    """A ResNet-18 with the thesis's ImageNet stem, 512 numbers out; weights random but the same on
    both sides, since the time does not depend on them."""
    from vizinho.train.recipes import recipe

    made = recipe("thesis", dimension=512)
    return _export("ResNet-18, ImageNet stem, 512-d", "random", made.to_dict(), None, folder)


def bundle_subject(bundle: Path, checkpoint: Path | None, folder: Path) -> Subject:
    """The model of ``bundle`` with the torch weights of its training's ``checkpoint``.

    Without a checkpoint, the same network with random weights stands for it on both sides.
    """
    from vizinho.bundle import read_bundle
    from vizinho.train import checkpoint as checkpoints

    info = read_bundle(bundle)
    if checkpoint is None:
        recipe = info.training["recipe"]
        return _export(info.name, "random (no --checkpoint)", recipe, None, folder)
    state = checkpoints.load(checkpoint)
    file = folder / "checkpoint-state.pt"
    _save(state["network"], file)
    subject = Subject(info.name, "trained", bundle, state["recipe"], file)
    check_same(subject)
    return subject


def random_subject(folder: Path) -> Subject:
    """The shipped model's architecture with random weights, where there is no model yet."""
    from vizinho.train.recipes import recipe

    return _export("fastnet, 64-d", "random", recipe("fast").to_dict(), None, folder)


def network(recipe: dict[str, Any], state: Path) -> Any:
    """The torch network in evaluation mode, in torch's usual memory layout."""
    import torch

    from vizinho.train.networks import build_network
    from vizinho.train.recipes import Recipe

    # A checkpoint may carry fields that recipes have since lost; they don't shape the network.
    known = {field.name for field in fields(Recipe)}
    made = build_network(Recipe(**{k: v for k, v in recipe.items() if k in known}))
    made.load_state_dict(torch.load(state, weights_only=True))
    return made.to(memory_format=torch.contiguous_format).eval()


def check_same(subject: Subject) -> None:
    """Both sides of a subject must give the same embeddings, or the comparison is void."""
    import torch

    from vizinho.embedder import Embedder
    from vizinho.preprocess import normalise

    embedder = Embedder.open(subject.bundle)
    pixels = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    with torch.inference_mode():
        images = torch.from_numpy(normalise(pixels, embedder.spec))
        expected = network(subject.recipe, subject.state)(images).numpy()
    drift = float(np.abs(embedder.embed_pixels(pixels) - expected).max())
    if drift > 1e-3:
        raise SystemExit(f"{subject.name}: bundle and torch weights differ by {drift:.2g}.")


def _export(
    name: str, weights: str, recipe: dict[str, Any], state: Path | None, folder: Path
) -> Subject:
    import torch

    from vizinho.train.export import export_bundle
    from vizinho.train.networks import build_network
    from vizinho.train.recipes import Recipe

    torch.manual_seed(0)
    made = Recipe(**recipe)
    built = build_network(made).eval()
    slug = name.split(",")[0].lower()
    state = folder / f"{slug}-state.pt"
    _save(built.state_dict(), state)
    export_bundle(
        built,
        folder / slug,
        name=slug,
        spec=made.spec,
        normalised=made.normalise,
        metrics={},
        training={"recipe": recipe},
        check_pixels=np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8),
    )
    subject = Subject(name, weights, folder / slug, recipe, state)
    check_same(subject)
    return subject


def _save(state: dict[str, Any], file: Path) -> None:
    import torch

    torch.save({key: value.contiguous() for key, value in state.items()}, file)
