"""Teachers: bundles asked once, checkpoints asked about each batch, recipes trained first."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402

from toy_stripes import make_stripes  # noqa: E402
from vizinho.cli import build_app  # noqa: E402
from vizinho.datasets import LabelledImages, load_dataset  # noqa: E402
from vizinho.errors import SettingsError, TrainingError, TrainingInterrupted  # noqa: E402
from vizinho.train.batches import normalise  # noqa: E402
from vizinho.train.checkpoint import load  # noqa: E402
from vizinho.train.data import load_pixels  # noqa: E402
from vizinho.train.lessons import is_finished, trainings  # noqa: E402
from vizinho.train.loop import train  # noqa: E402
from vizinho.train.networks import build_network, load_weights  # noqa: E402
from vizinho.train.precision import Precision  # noqa: E402
from vizinho.train.recipes import recipe  # noqa: E402
from vizinho.train.teacher import LiveTeachers, teaching  # noqa: E402
from vizinho.train.watching import EpochRecord, Progress  # noqa: E402

pytestmark = pytest.mark.train

CPU = torch.device("cpu")
PLAIN = Precision("float32", CPU)
TINY = recipe(
    "fast",
    width=8,
    epochs=2,
    batch_size=18,
    micro_batch=18,
    holdout=9,
    dimension=6,
    size=18,
    low_share=0,
    temperature=0.1,
    supcon=0.0,
    average=0.5,
    augment="strong",
    cutout=4,
)
SHRUNK = (
    *("--dimension", "6", "--size", "18", "--holdout", "9", "--epochs", "2", "--threads", "1"),
    *("--batch-size", "18", "--set", "width=8", "--set", "micro_batch=18"),
    *("--set", "teachers=1", "--set", "teacher_epochs=1", "--set", "teacher_network=wrn10-1"),
)


class Watcher:
    """Stops after ``stop_after`` steps."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.steps: list[int] = []
        self.stop_after = stop_after

    def note(self, text: str) -> None:
        pass

    def step(self, progress: Progress) -> bool:
        self.steps.append(progress.step)
        return progress.step != self.stop_after

    def epoch(self, record: EpochRecord) -> None:
        pass


@pytest.fixture(autouse=True)
def float32(monkeypatch):
    monkeypatch.setattr(Precision, "fastest", lambda network, size, device: PLAIN)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Three classes of 21 pictures: stripes across, stripes down, and rings."""
    folder = tmp_path_factory.mktemp("stripes")
    make_stripes(folder, 21, 80)
    return folder


@pytest.fixture(scope="module")
def stripes(folder) -> LabelledImages:
    return load_dataset(str(folder))


@pytest.fixture(scope="module")
def masters(stripes, tmp_path_factory) -> list[Path]:
    """The runs of two trained networks: one with proxies of its own, one without."""
    place = tmp_path_factory.mktemp("masters")
    told = {"proxies": TINY, "none": replace(TINY, loss="triplet", margin=0.2, average=0.0)}
    threads = torch.get_num_threads()
    for name, each in told.items():
        train(each, stripes, place / name, Watcher())
    torch.set_num_threads(threads)
    return [place / name for name in told]


def one_by_one(run: Path, images, pixels, directions=None):
    """A teacher's posterior, an image at a time, from its mean weights and proxies."""
    state = load(run / "checkpoint.pt")
    network = build_network(replace(TINY, mirrored=False))
    load_weights(network, (state["average"] or state)["network"])
    network.eval()
    if directions is None:
        directions = state["loss"]["proxies"]
    found = []
    with torch.no_grad():
        for image in images:
            embedding = network(normalise(image[None], TINY.spec))[0]
            cosines = torch.stack([F.cosine_similarity(embedding, d, dim=0) for d in directions])
            found.append(torch.softmax(cosines / 0.1, dim=0))
    return torch.stack(found)


def test_a_live_teacher_says_what_its_own_proxies_say(stripes, masters):
    pixels = load_pixels(stripes, TINY)
    images = torch.from_numpy(pixels.train[18][:7])
    teacher = LiveTeachers([masters[0] / "checkpoint.pt"], pixels, TINY, CPU)
    said = teacher(images, torch.arange(7), PLAIN)
    assert torch.allclose(said, one_by_one(masters[0], images, pixels), atol=1e-5)
    assert torch.allclose(said.sum(dim=1), torch.ones(7), atol=1e-5)
    assert not said.requires_grad


def test_the_teacher_answers_for_the_view_it_is_shown(stripes, masters):
    pixels = load_pixels(stripes, TINY)
    images = torch.from_numpy(pixels.train[18][:7])
    teacher = LiveTeachers([masters[0] / "checkpoint.pt"], pixels, TINY, CPU)
    one = teacher(images, torch.arange(7), PLAIN)
    other = teacher(images.flip(1), torch.arange(7), PLAIN)
    assert not torch.allclose(one, other, atol=1e-3)


def test_several_teachers_are_their_mean_and_class_means_stand_in_for_proxies(stripes, masters):
    pixels = load_pixels(stripes, TINY)
    images = torch.from_numpy(pixels.train[18][:5])
    state = load(masters[1] / "checkpoint.pt")
    network = build_network(replace(TINY, mirrored=False))
    load_weights(network, state["network"])
    with torch.no_grad():
        every = network.eval()(normalise(torch.from_numpy(pixels.train[18]), TINY.spec))
    labels = torch.from_numpy(pixels.labels)
    means = torch.stack([every[labels == c].mean(dim=0) for c in range(3)])
    both = LiveTeachers([run / "checkpoint.pt" for run in masters], pixels, TINY, CPU)
    expected = (
        one_by_one(masters[0], images, pixels) + one_by_one(masters[1], images, pixels, means)
    ) / 2
    assert torch.allclose(both(images, torch.arange(5), PLAIN), expected, atol=1e-4)


def test_runs_and_bundles_are_teachers_but_not_mixed(stripes, masters, toy_bundle, tmp_path):
    pixels = load_pixels(stripes, TINY)
    bundles = [toy_bundle, toy_bundle]
    images, indices = torch.from_numpy(pixels.train[18][:4]), torch.arange(4)
    said = {}
    for name, teachers in {"live": masters, "table": bundles}.items():
        told = replace(TINY, teacher=",".join(map(str, teachers)), distil=0.5)
        teach = teaching(told, pixels, tmp_path, CPU)
        said[name] = teach(images, indices, PLAIN)
        assert torch.allclose(said[name].sum(dim=1), torch.ones(4), atol=1e-5)
        # A table's rows are of the clean images, whatever the student sees.
        moved = torch.equal(teach(images.flip(1), indices, PLAIN), said[name])
        assert moved == (name == "table")
    mixed = replace(TINY, teacher=f"{masters[0]}, {bundles[1]}", distil=0.5)
    with pytest.raises(SettingsError, match="either all model bundles or all checkpoints"):
        teaching(mixed, pixels, tmp_path, CPU)


def test_a_teacher_of_other_classes_is_refused(stripes, masters):
    pixels = load_pixels(stripes, TINY)
    other = replace(pixels, classes=["a", "b", "c"])
    with pytest.raises(TrainingError, match="knows other classes: across, down, rings"):
        LiveTeachers([masters[0] / "checkpoint.pt"], other, TINY, CPU)


def test_a_student_resumes_exactly_with_teacher_augmentation_and_mean(stripes, masters, tmp_path):
    told = replace(TINY, teacher=str(masters[0]), distil=0.5)
    whole = train(told, stripes, tmp_path / "whole", Watcher())
    with pytest.raises(TrainingInterrupted):
        train(told, stripes, tmp_path / "parts", Watcher(stop_after=4))
    watcher = Watcher()
    parts = train(told, stripes, tmp_path / "parts", watcher)
    assert watcher.steps == [4, 5, 6]
    for a, b in zip(
        whole.network.state_dict().values(), parts.network.state_dict().values(), strict=True
    ):
        assert torch.equal(a, b)
    # What is measured and exported is the mean, not the last step's weights.
    last = load(tmp_path / "whole" / "checkpoint.pt")
    head = whole.network.network.head.weight
    assert torch.equal(head, last["average"]["network"]["network.head.weight"])
    assert not torch.equal(head, last["network"]["network.head.weight"])


def test_teachers_of_a_recipe_come_first_and_share_the_students_split(tmp_path):
    student = recipe("record", holdout=100, seed=7, size=24, teachers=3, teacher_epochs=5)
    order = trainings(student, tmp_path)
    assert [place.name for _, place in order] == [
        *("teacher-0", "teacher-1", "teacher-2"),
        tmp_path.name,
    ]
    assert order[-1] == (student, tmp_path)
    for number, (teacher, _) in enumerate(order[:-1]):
        assert (teacher.network, teacher.seed, teacher.epochs) == ("wrn28-10", number, 5)
        assert (teacher.split_seed, teacher.holdout, teacher.size) == (7, 100, 24)
    assert trainings(recipe("fast"), tmp_path) == [(recipe("fast"), tmp_path)]
    with pytest.raises(SettingsError, match="learns from 'recipe:record-teacher' itself"):
        trainings(replace(student, teacher="recipe:record"), tmp_path)
    with pytest.raises(SettingsError, match="no recipe called 'nobody'"):
        trainings(replace(student, teacher="recipe:nobody"), tmp_path)


def test_one_command_trains_teachers_then_the_student_and_goes_on(folder, tmp_path):
    out = tmp_path / "m"
    command = ["train", str(folder), "--out", str(out), "--recipe", "record", *SHRUNK]

    def run() -> dict:
        done = CliRunner().invoke(build_app(), [*command, "--json"], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    first = run()
    teacher = tmp_path / "m.run" / "teacher-0"
    told = json.loads((out / "bundle.json").read_text())["training"]["recipe"]
    assert (told["teacher"], told["augment"]) == ("recipe:record-teacher", "strong")
    bundle = json.loads((teacher / "model" / "bundle.json").read_text())
    assert bundle["name"] == "m-teacher-0"
    assert bundle["training"]["recipe"]["network"] == "wrn10-1"
    assert is_finished(teacher, trainings(recipe("record", **told), out)[0][0])
    # As if it had been killed after its teacher: that one is not touched again.
    (tmp_path / "m.run" / "checkpoint.pt").unlink()
    stamp = (teacher / "checkpoint.pt").stat().st_mtime_ns
    again = run()
    assert (teacher / "checkpoint.pt").stat().st_mtime_ns == stamp
    assert again["fingerprint"] == first["fingerprint"]
