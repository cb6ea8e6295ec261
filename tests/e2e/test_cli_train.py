"""``vizinho train`` as a person uses it: what it prints, Ctrl-C, and commands it can't obey."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from toys import write_pictures

torch = pytest.importorskip("torch")

pytestmark = [
    pytest.mark.train,
    pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is a signal on POSIX"),
]

SMALL = [
    "--epochs",
    "40",
    "--batch-size",
    "20",
    "--micro-batch",
    "10",
    "--size",
    "18",
    "--low-share",
    "0",
    "--holdout",
    "10",
    "--threads",
    "1",
]


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    folder = tmp_path / "labelled"
    write_pictures(folder / "cat", 40, seed=1)
    write_pictures(folder / "dog", 40, seed=2)
    (folder / "cat" / "broken.png").write_bytes(b"not a picture")
    return folder


def train(*words: str) -> subprocess.Popen[str]:
    source = str(Path(__file__).resolve().parents[2] / "src")
    return subprocess.Popen(
        [sys.executable, "-m", "vizinho", "train", *words],
        env={**os.environ, "PYTHONPATH": source, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_ctrl_c_keeps_what_was_learned_and_the_same_command_goes_on(labelled, tmp_path):
    words = [str(labelled), "--out", str(tmp_path / "model"), *SMALL]
    first = train(*words)
    assert first.stderr is not None
    for line in first.stderr:
        if line.startswith("epoch   2/40"):
            break
    first.send_signal(signal.SIGINT)
    _, told = first.communicate(timeout=300)
    assert first.returncode == 1
    assert "Stopping after this step" in told
    assert "the same command goes on" in told
    assert not (tmp_path / "model").exists()

    second = train(*words)
    printed, told = second.communicate(timeout=600)
    assert second.returncode == 0, told
    assert "Going on from step" in told
    assert "epoch   1/40" not in told
    assert "epoch  40/40" in told
    assert "broken.png" in told
    assert re.search(r"top_1_held_out +\d+\.\d\d%", printed)
    curve = tmp_path / "model.run" / "curve.png"
    assert curve.read_bytes().startswith(b"\x89PNG")
    bundle = json.loads((tmp_path / "model" / "bundle.json").read_text())
    assert bundle["training"]["classes"] == ["cat", "dog"]
    assert bundle["training"]["images"] == 70

    third = train(*words, "--json")
    summary, told = third.communicate(timeout=300)
    assert third.returncode == 0, told
    assert json.loads(summary)["fingerprint"] == bundle["fingerprint"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["no/such/folder"], "no/such/folder"),
        (["--recipe", "slow"], "fast, fast-triplet, thesis"),
        (["--loss", "softest"], "triplet, soft-triplet"),
        (["--lr", "0"], "lr must be above zero"),
        (["--init", "nowhere.pth"], "no such file"),
        (["--init", "imagenet"], "no ImageNet weights for a FastNet"),
    ],
)
def test_a_command_that_cannot_be_obeyed_says_why(labelled, tmp_path, words, says):
    if words[0].startswith("--"):
        words = [str(labelled), *words]
    process = train(*words, "--out", str(tmp_path / "model"), *SMALL)
    _, told = process.communicate(timeout=300)
    assert process.returncode == 1
    assert says in told
    assert "Traceback" not in told
    assert not (tmp_path / "model").exists()
