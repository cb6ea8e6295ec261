"""From a labelled folder to a model, and from a model to the next: time budget and warm start."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from toy_pictures import scene
from toys import make_toy_bundle

torch = pytest.importorskip("torch")

from vizinho.bundle import read_bundle  # noqa: E402
from vizinho.cli import build_app  # noqa: E402
from vizinho.datasets import load_dataset  # noqa: E402
from vizinho.embedder import Embedder  # noqa: E402
from vizinho.errors import SettingsError, TrainingError  # noqa: E402
from vizinho.evaluate import precision_at_1  # noqa: E402
from vizinho.train import budget  # noqa: E402
from vizinho.train.batches import normalise  # noqa: E402
from vizinho.train.chosen import choose, recall, remember  # noqa: E402
from vizinho.train.data import load_pixels  # noqa: E402
from vizinho.train.fitting import fitted  # noqa: E402
from vizinho.train.loop import train  # noqa: E402
from vizinho.train.networks import build_network  # noqa: E402
from vizinho.train.passes import embed  # noqa: E402
from vizinho.train.precision import Precision  # noqa: E402
from vizinho.train.pretrained import initialise  # noqa: E402
from vizinho.train.recipes import Recipe, recipe  # noqa: E402
from vizinho.train.warm import architecture, unfold  # noqa: E402

pytestmark = pytest.mark.train

SHIPPED = "cifar10-fastnet"
CPU = torch.device("cpu")


class Watcher:
    def __init__(self) -> None:
        self.notes: list[str] = []
        self.steps: list[int] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def step(self, progress: Any) -> bool:
        self.steps.append(progress.step)
        return True

    def epoch(self, record: Any) -> None:
        pass


def vizinho(*words: object) -> str:
    done = CliRunner().invoke(build_app(), [str(word) for word in words])
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """``photos``: five classes of twelve pictures in a colour of their own, and one broken file;
    ``model``: trained on three of them by the command line, in the time that it said."""
    place = tmp_path_factory.mktemp("own")
    for label in range(5):
        folder = place / "photos" / f"class-{label}"
        folder.mkdir(parents=True)
        tint = np.random.default_rng(label).integers(0, 255, 3)
        for i in range(12):
            pixels = np.asarray(scene(30, 26, seed=100 * label + i)) // 2 + tint // 2
            Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{i:02}.png")
    (place / "photos" / "class-1" / "99.png").write_bytes(b"broken")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(budget, "PROBE_SECONDS", 0.1)
        patch.setattr(budget, "MOST_EPOCHS", 4)
        said = vizinho(
            "train",
            place / "photos",
            *("--out", place / "model", "--unseen", 2, "--time-budget", "5m"),
            *("--size", 20, "--set", "width=4", "--dimension", 8, "--no-mirrored", "--threads", 1),
        )
    (place / "said").write_text(said)
    return place


@pytest.fixture(scope="module")
def images(place: Path):
    return load_dataset(str(place / "photos"))


def test_one_command_reports_seen_and_unseen_classes(place, images):
    info = read_bundle(place / "model")
    training, metrics = info.training, info.metrics
    assert len(training["classes"]) == 3
    assert sorted(training["classes"] + training["unseen_classes"]) == images.classes
    unseen = images.only(training["unseen_classes"])
    assert metrics["unseen"]["n"] == 24
    assert metrics["unseen"]["classes"] == 2
    assert "never trained on" in metrics["unseen"]["protocol"]
    assert metrics["holdout"]["n"] == training["held_out"] == 6
    pixels, kept = unseen.pixels(info.preprocess)
    found = Embedder.open(place / "model").embed_pixels(pixels)
    top_1 = precision_at_1(found, unseen.labels[kept])
    assert metrics["unseen"]["precision_at_1"] == pytest.approx(top_1)
    said = (place / "said").read_text()
    assert f"{top_1:.2%}" in said
    assert "24 pictures of 2 classes" in said
    assert "class-1/99.png" in said


def test_the_epochs_that_fit_are_chosen_told_and_kept(place):
    assert "Of the time" in (place / "said").read_text()
    kept = json.loads((place / "model.run" / "chosen.json").read_text())
    assert kept["recipe"]["epochs"] == 4
    assert read_bundle(place / "model").training["recipe"]["epochs"] == 4
    assert kept["told"]["time_budget"] == "5m"
    # Told the same, the same is trained; what only the export needs may differ.
    run, told = place / "model.run", kept["told"]
    assert recall(run, told) == Recipe(**kept["recipe"])
    other = recall(run, {**told, "mirrored": True})
    assert other == replace(Recipe(**kept["recipe"]), mirrored=True)
    assert recall(run, {**told, "time_budget": "6m"}) is None
    assert recall(place, told) is None


def test_a_bundle_is_where_the_next_training_begins(place, images, tmp_path):
    made, notes = choose("fast", {"init": str(place / "model"), "epochs": 1}, images)
    assert (made.network, made.width, made.dimension, made.size) == ("fastnet", 4, 8, 20)
    assert made.lr == pytest.approx(0.04)
    assert "width 4" in notes[0]
    pixels = load_pixels(images, made)
    network = build_network(made)
    first = initialise(network, made.init)
    assert first.left_random == ()
    # This one sees each picture once, so that the exporter folded what follows a convolution.
    assert first.folded == tuple(f"blocks.{i}.norm2" for i in range(3))
    expected = Embedder.open(place / "model").embed_pixels(pixels.holdout)
    assert np.abs(embed(network, pixels.holdout, made, CPU) - expected).max() < 1e-4
    sample = normalise(torch.from_numpy(pixels.train[20]), made.spec)
    unfold(network, first.folded, sample)
    assert np.abs(embed(network, pixels.holdout, made, CPU) - expected).max() < 1e-4
    # Batches normalise as the running statistics do, so a training goes on from where it was.
    network.train()
    with torch.no_grad():
        in_training = network(sample).numpy()
    network.eval()
    alike = (in_training * embed(network, pixels.train[20], made, CPU)).sum(axis=1)
    assert alike.mean() > 0.8

    # The loop does the same, keeps the bundle's first layer, and needs the bundle only once.
    bundle = tmp_path / "bundle"
    shutil.copytree(place / "model", bundle)
    made = replace(made, init=str(bundle), lr=1e-9, head_lr=1e-9)
    watcher = Watcher()
    remember(tmp_path / "run", {"init": str(bundle)}, made)
    done = train(made, images, tmp_path / "run", watcher)
    before = build_network(made)
    initialise(before, made.init)
    assert torch.equal(done.network.whitening.weight, before.whitening.weight)
    assert done.progress.records[0].precision_at_1 is not None
    # A command that is told otherwise, and so refused, takes nothing from this training.
    remember(tmp_path / "run", {"init": str(bundle), "lr": 1.0}, replace(made, lr=1.0))
    shutil.rmtree(bundle)
    assert recall(tmp_path / "run", {"init": str(bundle)}) == made
    again = train(made, images, tmp_path / "run", Watcher())
    for one, other in zip(done.network.parameters(), again.network.parameters(), strict=True):
        assert torch.equal(one, other)


def test_the_shipped_model_loads_whole_and_without_its_head():
    made = recipe("fast", init=SHIPPED, **architecture(SHIPPED, {}))
    network = build_network(made)
    first = initialise(network, SHIPPED)
    assert (first.left_random, first.folded) == ((), ())
    pixels = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), dtype=np.uint8)
    expected = Embedder.open(SHIPPED).embed_pixels(pixels)
    assert np.abs(embed(network, pixels, made, CPU) - expected).max() < 1e-4
    other = build_network(replace(made, dimension=32, mirrored=False))
    assert initialise(other, SHIPPED).left_random == ("head.weight",)
    assert torch.equal(other.blocks[2].conv2.weight, network.network.blocks[2].conv2.weight)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"network": "resnet18"}, "with network fastnet; told was resnet18"),
        ({"width": 32}, "with width 64; told was 32"),
    ],
)
def test_an_option_that_contradicts_the_bundle_is_refused(fields, said, place):
    folder = place / "described"
    if not folder.exists():
        shutil.copytree(place / "model", folder)
        info = json.loads((folder / "bundle.json").read_text())
        info["training"]["recipe"] |= {"network": "fastnet", "width": 64}
        (folder / "bundle.json").write_text(json.dumps(info))
    with pytest.raises(SettingsError, match=said):
        architecture(str(folder), fields)
    assert "size" not in architecture(str(folder), {"size": 64})
    assert "low_size" not in architecture(str(folder), {"size": 64})


def test_another_network_and_no_network_are_refused(place, tmp_path):
    with pytest.raises(TrainingError, match="is another one: conv1"):
        initialise(build_network(recipe("thesis")), SHIPPED)
    with pytest.raises(TrainingError, match="don't fit"):
        initialise(build_network(recipe("fast", width=8)), str(place / "model"))
    with pytest.raises(TrainingError, match="is another one"):
        initialise(build_network(recipe("fast")), str(make_toy_bundle(tmp_path)))
    with pytest.raises(SettingsError, match="no such file or model bundle"):
        architecture("resnet18", {})
    assert architecture("random", {}) == architecture("imagenet", {}) == {}


@pytest.mark.parametrize(
    ("network", "size"),
    [("fastnet", 64), ("fastnet", 224), ("resnet18", 128)],
)
def test_any_size_trains(network, size, images, tmp_path, monkeypatch):
    monkeypatch.setattr(Precision, "fastest", lambda *_: Precision("float32", CPU))
    fields = {"network": network, "size": size, "width": 4, "dimension": 8, "epochs": 1}
    made, _ = fitted(recipe("fast", **fields), images, fields)
    made = replace(made, low_share=0.0, holdout=2)
    few = images.subset(range(0, len(images), 3))
    watcher = Watcher()
    done = train(made, few, tmp_path, watcher)
    assert done.pixels.train[size].shape[1:] == (size, size, 3)
    assert watcher.steps[-1] == done.progress.steps >= 1
    assert np.isfinite(done.progress.records[0].loss)


def test_the_probe_leaves_chance_as_it_was(images, monkeypatch):
    monkeypatch.setattr(budget, "PROBE_SECONDS", 0.05)
    made = recipe("fast", width=4, size=20, holdout=6, batch_size=16, micro_batch=16)
    pixels = load_pixels(images, made)
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    speed = budget.measured(made, pixels)
    assert torch.rand(1) == expected
    assert set(speed.epoch) == {18, 20}
    assert 0 < speed.epoch[18] < 60
    assert speed.ending > budget.EXPORT_SECONDS / 2


def test_epochs_and_a_budget_contradict_each_other(place):
    words = ["train", place / "photos", "--out", place / "x", "--epochs", 2, "--time-budget", "5m"]
    done = CliRunner().invoke(build_app(), [str(word) for word in words])
    assert done.exit_code == 1
    assert "Give one of the two." in done.output
