"""A real ``vizinho train`` killed at random moments: nothing half-written, nothing lost or doubled.

``VIZINHO_KILLS`` sets how many kills (6 unless given; the release is checked with 20).
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vizinho.bundle import read_model
from vizinho.embedder import Embedder

pytestmark = [
    pytest.mark.train,
    pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is POSIX"),
]
torch = pytest.importorskip("torch")

KILLS = int(os.environ.get("VIZINHO_KILLS", "6"))
EPOCHS = 4
HELD_OUT = 30
PER_CLASS = 80
COLOURS = {"red": (200, 40, 40), "green": (40, 200, 40), "blue": (40, 40, 200)}
OPTIONS = (
    f"--epochs {EPOCHS} --batch-size 70 --micro-batch 35 --size 18 --low-share 0 --no-mirrored "
    f"--holdout {HELD_OUT} --threads 1 --json"
).split()


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """240 noisy pictures of three colours."""
    root = tmp_path_factory.mktemp("kill") / "pictures"
    rng = np.random.default_rng(0)
    for name, colour in COLOURS.items():
        (root / name).mkdir(parents=True)
        for i in range(PER_CLASS):
            pixels = np.clip(rng.normal(colour, 60, (32, 32, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / name / f"{i:03}.png")
    return root


def start(pictures: Path, out: Path) -> subprocess.Popen[str]:
    source = str(Path(__file__).resolve().parents[2] / "src")
    paths = os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH")]))
    return subprocess.Popen(
        [sys.executable, "-m", "vizinho", "train", str(pictures), "--out", str(out), *OPTIONS],
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> dict[str, Any]:
    told, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors
    found: dict[str, Any] = json.loads(told)
    return found


def check_whole(out: Path) -> int:
    """All that a killed training left behind can be used; returns the steps it keeps."""
    if out.exists():
        read_model(out)
        Embedder.open(out)
    checkpoint = out.with_name(f"{out.name}.run") / "checkpoint.pt"
    if not checkpoint.exists():
        return 0
    state = torch.load(checkpoint, weights_only=True)
    records = [record["epoch"] for record in state["progress"]["records"]]
    assert records == list(range(1, len(records) + 1))
    steps: int = state["progress"]["step"]
    return steps


def check_finished(out: Path, summary: dict[str, Any]) -> None:
    info = Embedder.open(out).info
    assert summary["fingerprint"] == info.fingerprint
    epochs = info.training["epochs"]
    assert [record["epoch"] for record in epochs] == list(range(1, EPOCHS + 1))
    seconds = [record["seconds"] for record in epochs]
    assert seconds == sorted(seconds)
    # Each picture was seen once an epoch: no step was lost and none was made twice.
    assert info.training["images_seen"] == EPOCHS * info.training["images"]
    assert info.training["images"] + HELD_OUT == PER_CLASS * len(COLOURS)
    assert np.isfinite([record["loss"] for record in epochs]).all()
    assert info.metrics["holdout"]["precision_at_1"] == epochs[-1]["precision_at_1"] > 0.9
    assert {path.name for path in out.parent.iterdir()} == {out.name, f"{out.name}.run"}
    assert {path.name for path in out.iterdir()} == {"bundle.json", "model.onnx"}
    run = out.with_name(f"{out.name}.run")
    assert {path.name for path in run.iterdir()} == {"checkpoint.pt", "chosen.json", "curve.png"}


def killed(process: subprocess.Popen[str], after: float) -> bool:
    """Kills the process unless it ends by itself within so many seconds."""
    try:
        process.wait(timeout=after)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        return True
    return False


def test_training_survives_kills_at_random_moments(pictures: Path, tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed of the kills: {seed}")
    chance = random.Random(seed)
    began = time.monotonic()
    check_finished(tmp_path / "whole" / "m", finish(start(pictures, tmp_path / "whole" / "m")))
    duration = time.monotonic() - began

    moments: list[str] = []
    trainings = 0
    while len(moments) < KILLS:
        out = tmp_path / f"training{trainings}" / "model"
        kept = 0
        while True:
            process = start(pictures, out)
            after = duration * chance.uniform(0.1, 1.0)
            if len(moments) == KILLS or not killed(process, after):
                check_finished(out, finish(process))
                break
            before, kept = kept, check_whole(out)
            moments.append(f"{after:.1f} s, {kept} steps kept")
            assert kept >= before, moments
        trainings += 1
    print(f"{len(moments)} kills in {trainings} trainings: {'; '.join(moments)}")
