"""From a finished training to a model bundle with its provenance."""

from __future__ import annotations

import os
import platform
import subprocess
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vizinho.bundle import BundleInfo
from vizinho.calibrate.fitting import FEWEST_QUERIES, CalibrationImpossible
from vizinho.calibrate.heldout import HeldOut, calibrate_embeddings
from vizinho.evaluate import precision_at_1
from vizinho.train.export import export_bundle
from vizinho.train.loop import Trained
from vizinho.train.objectives import settled
from vizinho.train.passes import embed
from vizinho.train.recipes import Recipe

CHECK_IMAGES = 64


def write_model(trained: Trained, recipe: Recipe, out: Path, name: str) -> BundleInfo:
    """Writes the bundle ``out``; its metrics hold what was measured on held-out images.

    Raises ``TrainingError`` when the exported model differs from the network, ``OSError``.
    """
    pixels = trained.pixels
    metrics: dict[str, Any] = {}
    records = trained.progress.records
    if records and records[-1].precision_at_1 is not None:
        metrics["holdout"] = {
            "protocol": "leave-one-out, Euclidean, images held out of the training set",
            "precision_at_1": records[-1].precision_at_1,
            "n": len(pixels.holdout),
            "classes": len(pixels.classes),
        }
    if len(pixels.unseen) >= 2:
        device = next(trained.network.parameters()).device
        found = embed(trained.network, pixels.unseen, recipe, device)
        metrics["unseen"] = {
            "protocol": "leave-one-out, Euclidean, all images of classes never trained on",
            "precision_at_1": precision_at_1(found, pixels.unseen_labels),
            "n": len(pixels.unseen),
            "classes": len(pixels.unseen_classes),
        }
    return export_bundle(
        trained.network,
        out,
        name=name,
        spec=recipe.spec,
        normalised=recipe.normalise,
        metrics=metrics,
        training=provenance(trained, recipe),
        check_pixels=pixels.train[recipe.size][:CHECK_IMAGES],
        calibration=calibration(trained, recipe),
    )


def calibration(trained: Trained, recipe: Recipe) -> dict[str, Any] | None:
    """What distances are worth, from the held-out images; None where those are too few."""
    pixels = trained.pixels
    if len(pixels.holdout) < FEWEST_QUERIES:
        return None
    device = next(trained.network.parameters()).device
    found = embed(trained.network, pixels.holdout, recipe, device)
    if not np.isfinite(found).all():
        return None
    about = {
        "data": f"{pixels.name}, held out",
        "protocol": "leave-one-out, Euclidean, pictures that the model has not learned",
    }
    try:
        return calibrate_embeddings(HeldOut(found, pixels.holdout_labels), about=about).to_dict()
    except CalibrationImpossible:
        return None


def provenance(trained: Trained, recipe: Recipe) -> dict[str, Any]:
    """Data, recipe, history and hardware, enough to make the model again."""
    progress = trained.progress
    return {
        "data": trained.pixels.name,
        "data_sha256": trained.pixels.digest,
        "classes": trained.pixels.classes,
        "unseen_classes": trained.pixels.unseen_classes,
        "images": len(trained.pixels.labels),
        "held_out": len(trained.pixels.holdout),
        "groups_kept_together": trained.pixels.together,
        # With the loss's own numbers where none were told: those may be others one day.
        "recipe": settled(recipe).to_dict(),
        "parameters": sum(weight.numel() for weight in trained.network.parameters()),
        "epochs": [asdict(record) for record in progress.records],
        "images_seen": progress.images,
        "seconds": round(progress.seconds, 1),
        "cpu_seconds": round(progress.cpu_seconds, 1),
        "precision": trained.precision,
        "threads": torch.get_num_threads(),
        "hardware": hardware(),
        "torch": torch.__version__,
        "commit": commit(),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def hardware() -> str:
    """The processor in words, or the GPU where one did the work."""
    if torch.cuda.is_available():
        return str(torch.cuda.get_device_name())
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    return f"{model}, {os.cpu_count()} cores"


def commit() -> str | None:
    """The commit this code is of; None outside a checkout. A ``+`` marks uncommitted changes."""
    here = Path(__file__).parent
    try:
        # An installed Vizinho may lie in the repository of somebody's own project.
        _git("ls-files", "--error-unmatch", "--", Path(__file__).name, at=here)
        head = _git("rev-parse", "HEAD", at=here)
        return head + ("+" if _git("status", "--porcelain", "--", str(here), at=here) else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(*words: str, at: Path) -> str:
    done = subprocess.run(
        ["git", *words], cwd=at, check=True, capture_output=True, text=True, timeout=10
    )
    return done.stdout.strip()
