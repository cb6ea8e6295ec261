"""The training loop on small real sets: it learns, it resumes exactly, it refuses what it must."""

from __future__ import annotations

import math
import resource
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")

from toy_stripes import make_stripes  # noqa: E402
from vizinho.datasets import LabelledImages  # noqa: E402
from vizinho.errors import (  # noqa: E402
    DatasetError,
    TrainingDiverged,
    TrainingError,
    TrainingInterrupted,
)
from vizinho.evaluate import precision_at_1  # noqa: E402
from vizinho.preprocess import PreprocessSpec  # noqa: E402
from vizinho.train.checkpoint import alone, load, save  # noqa: E402
from vizinho.train.data import load_pixels, resized, stratified  # noqa: E402
from vizinho.train.loop import train  # noqa: E402
from vizinho.train.precision import Precision  # noqa: E402
from vizinho.train.recipes import recipe  # noqa: E402
from vizinho.train.watching import EpochRecord, Progress  # noqa: E402

pytestmark = pytest.mark.train

TINY = recipe(
    "fast",
    width=16,
    epochs=3,
    batch_size=24,
    micro_batch=12,
    holdout=24,
    dimension=8,
    size=18,
    low_share=0,
)


class Watcher:
    """Counts steps and stops after ``stop_after`` of them."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.steps: list[int] = []
        self.records: list[EpochRecord] = []
        self.notes: list[str] = []
        self.stop_after = stop_after

    def note(self, text: str) -> None:
        self.notes.append(text)

    def step(self, progress: Progress) -> bool:
        self.steps.append(progress.step)
        return progress.step != self.stop_after

    def epoch(self, record: EpochRecord) -> None:
        self.records.append(record)


@pytest.fixture(autouse=True)
def float32(monkeypatch):
    """Two probes on a busy machine may differ, and two precisions don't give equal weights."""
    monkeypatch.setattr(
        Precision, "fastest", lambda network, size, device: Precision("float32", device)
    )
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def stripes(tmp_path_factory) -> LabelledImages:
    return make_stripes(tmp_path_factory.mktemp("stripes"))


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"loss": "triplet", "mining": "semi-hard"},
        {"loss": "triplet", "mining": "batch-hard", "head_lr": 0.1, "lr": 0.1},
        {"size": 24, "low_size": 18, "low_share": 0.5, "descriptor": "features"},
    ],
)
def test_it_learns_to_tell_the_classes_apart(stripes, tmp_path, change):
    watcher = Watcher()
    told = replace(TINY, epochs=10, **change)
    done = train(told, stripes, tmp_path, watcher)
    assert watcher.records[-1].precision_at_1 >= 0.9
    assert watcher.records[-1].loss < watcher.records[0].loss
    assert [record.epoch for record in watcher.records] == list(range(1, 11))
    assert watcher.records == done.progress.records
    assert watcher.steps == list(range(41))
    assert {record.size for record in watcher.records} == set(done.pixels.train)


def test_a_resnet_with_the_thesis_protocol_learns(stripes, tmp_path):
    told = recipe(
        "thesis",
        epochs=6,
        step_epochs=4,
        lr=0.02,
        normalise=True,
        holdout=24,
        size=18,
        batch_size=12,
        micro_batch=12,
        dimension=8,
    )
    watcher = Watcher()
    train(told, stripes, tmp_path, watcher)
    assert watcher.records[-1].precision_at_1 > 0.8


@pytest.mark.parametrize("stop_after", [2, 4, 9])
def test_a_resumed_training_ends_where_an_uninterrupted_one_does(stripes, tmp_path, stop_after):
    whole = train(TINY, stripes, tmp_path / "whole", Watcher())
    with pytest.raises(TrainingInterrupted, match=f"step {stop_after} of 12"):
        train(TINY, stripes, tmp_path / "parts", Watcher(stop_after))
    watcher = Watcher()
    parts = train(TINY, stripes, tmp_path / "parts", watcher)
    assert watcher.steps == list(range(stop_after, 13))
    assert [r.epoch for r in parts.progress.records] == [1, 2, 3]
    for one, other in zip(
        whole.network.state_dict().values(), parts.network.state_dict().values(), strict=True
    ):
        assert torch.equal(one, other)
    for a, b in zip(whole.progress.records, parts.progress.records, strict=True):
        assert a.loss == pytest.approx(b.loss)
        assert a.precision_at_1 == b.precision_at_1


def test_a_checkpoint_of_another_recipe_is_refused_but_the_descriptor_may_change(stripes, tmp_path):
    first = train(TINY, stripes, tmp_path, Watcher())
    with pytest.raises(TrainingError, match=r"lr was 0\.2, now 0\.1"):
        train(replace(TINY, lr=0.1), stripes, tmp_path, Watcher())
    with pytest.raises(TrainingError, match="images are others"):
        train(TINY, stripes.subset(range(100)), tmp_path, Watcher())
    watcher = Watcher()
    other = train(replace(TINY, descriptor="features"), stripes, tmp_path, watcher)
    assert watcher.steps == [12]
    images = torch.randn(2, 3, 18, 18)
    assert first.network(images).shape == (2, 8)
    assert other.network(images).shape == (2, 64)
    # The mirrored embedding is the middle of both sides', and needs no training of its own.
    plain = train(replace(TINY, mirrored=False), stripes, tmp_path, Watcher()).network
    with torch.no_grad():
        both = plain(images) + plain(images.flip(3))
        assert torch.allclose(first.network(images), both / both.norm(dim=1, keepdim=True))
    again = train(TINY, stripes, tmp_path, Watcher())
    assert torch.equal(again.network(images), first.network(images))


def test_a_checkpoint_that_does_not_say_its_arithmetic_is_gone_on_with(stripes, tmp_path):
    train(replace(TINY, epochs=1), stripes, tmp_path, Watcher())
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    del state["precision"]
    torch.save(state, tmp_path / "checkpoint.pt")
    assert train(replace(TINY, epochs=1), stripes, tmp_path, Watcher()).precision == "float32"


def test_a_warm_start_says_what_did_not_load(stripes, tmp_path):
    train(TINY, stripes, tmp_path / "first", Watcher())
    warm = replace(TINY, init=str(tmp_path / "first" / "checkpoint.pt"), epochs=1, dimension=4)
    watcher = Watcher()
    train(warm, stripes, tmp_path / "second", watcher)
    assert "left at random" in watcher.notes[0]
    assert "head.weight" in watcher.notes[0]
    cold = Watcher()
    train(replace(TINY, epochs=1, dimension=4), stripes, tmp_path / "third", cold)
    assert cold.notes == []
    assert watcher.records[0].loss < cold.records[0].loss


def test_two_trainings_never_share_a_folder(tmp_path):
    run = tmp_path / "model.run"
    with alone(run), pytest.raises(TrainingError, match="Another training"), alone(run):
        pass
    with alone(run):
        pass


def test_a_full_disk_is_told_and_keeps_the_checkpoint_before(tmp_path):
    file = tmp_path / "checkpoint.pt"
    save(file, {"step": 1})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    # Past this size the system refuses to write, as it does on a full disk.
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, before[1]))
    try:
        with pytest.raises(TrainingError, match=r"checkpoint\.pt can.t be written: the disk is"):
            save(file, {"step": 2, "network": torch.zeros(1_000_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]
    assert load(file)["step"] == 1


def test_a_damaged_checkpoint_says_so(stripes, tmp_path):
    (tmp_path / "checkpoint.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(TrainingError, match=r"checkpoint\.pt can't be read"):
        train(TINY, stripes, tmp_path, Watcher())


def test_divergence_is_told(stripes, tmp_path):
    told = replace(
        TINY, optimiser="sgd", lr=1e30, normalise=False, loss="triplet", mining="batch-hard"
    )
    with pytest.raises(TrainingDiverged):
        train(told, stripes, tmp_path, Watcher())


def test_held_out_images_are_spread_by_class_and_never_trained_on(stripes):
    pixels = load_pixels(stripes, TINY)
    assert np.bincount(pixels.holdout_labels).tolist() == [8, 8, 8]
    trained = {image.tobytes() for image in pixels.train[18]}
    assert not trained & {image.tobytes() for image in pixels.holdout}
    assert len(pixels.labels) == 96


def test_a_validation_set_is_measured_on_by_class_name(stripes, tmp_path):
    names = [2, 0, 1]
    other = stripes.with_classes([stripes.classes[i] for i in names]).subset(range(60))
    pixels = load_pixels(stripes, TINY, other)
    assert len(pixels.holdout) == 60
    assert len(pixels.labels) == 120
    assert np.array_equal(pixels.holdout_labels, stripes.labels[:60])


def test_one_class_is_too_few(stripes):
    with pytest.raises(DatasetError, match="two classes"):
        load_pixels(stripes.subset(range(40)), TINY)


def test_a_class_keeps_half_of_its_images():
    labels = np.array([0] * 100 + [1] * 3)
    aside = stratified(labels, 1000, seed=0)
    assert aside.sum() == 51
    assert (~aside[100:]).sum() == 2


def test_without_held_out_images_nothing_is_measured(stripes, tmp_path):
    watcher = Watcher()
    train(replace(TINY, holdout=0, epochs=1), stripes, tmp_path, watcher)
    assert watcher.records[0].precision_at_1 is None
    assert math.isfinite(watcher.records[0].loss)


def test_shrunk_as_a_query_would_be(stripes):
    image = stripes.load(0)
    pixels = np.asarray(image)[None]
    small = resized(pixels, PreprocessSpec(size=12))
    expected = np.asarray(image.resize((12, 12), Image.Resampling.BILINEAR))
    assert np.abs(small[0].astype(int) - expected).max() <= 1


def test_the_last_measure_is_that_of_the_network_returned(stripes, tmp_path):
    done = train(TINY, stripes, tmp_path, Watcher())
    images = torch.from_numpy(done.pixels.holdout).float().permute(0, 3, 1, 2) / 127.5 - 1
    with torch.no_grad():
        embeddings = done.network(images).numpy()
    assert precision_at_1(embeddings, done.pixels.holdout_labels) == pytest.approx(
        done.progress.records[-1].precision_at_1, abs=0.05
    )
