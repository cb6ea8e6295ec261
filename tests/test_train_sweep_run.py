"""A sweep's runs on a small real set: rows for good and bad ends, and nothing made twice."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

torch = pytest.importorskip("torch")

from toy_stripes import make_stripes  # noqa: E402
from vizinho.cli import build_app  # noqa: E402
from vizinho.datasets import LabelledImages  # noqa: E402
from vizinho.errors import TrainingError, TrainingInterrupted  # noqa: E402
from vizinho.evaluate import precision_at_1  # noqa: E402
from vizinho.train import loop, objectives  # noqa: E402
from vizinho.train.passes import embed  # noqa: E402
from vizinho.train.precision import Precision  # noqa: E402
from vizinho.train.recipes import Recipe, recipe  # noqa: E402
from vizinho.train.sweep.conduct import conduct, held  # noqa: E402
from vizinho.train.sweep.epochs import read_epochs  # noqa: E402
from vizinho.train.sweep.ledger import Ledger, Run  # noqa: E402
from vizinho.train.sweep.pixels import Decoded, Shelf  # noqa: E402
from vizinho.train.sweep.run import Standing, Task  # noqa: E402

pytestmark = pytest.mark.train

TINY = recipe(
    "fast", epochs=2, batch_size=24, micro_batch=12, holdout=24, dimension=4, size=18, low_share=0,
    width=8, mirrored=False,
)  # fmt: skip
STEPS = replace(TINY, schedule="steps", step_epochs=3, optimiser="sgd", lr=0.05)


class Viewer:
    """Remembers what it is told; wants to stop once a run has made so many steps."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.stop_at = stop_at
        self.began: tuple[int, int] = (0, 0)
        self.steps: list[int] = []
        self.runs: list[Run] = []
        self.broken: list[str] = []

    def begins(self, tasks: list[Task], done: list[Run]) -> None:
        self.began = (len(tasks), len(done))

    def stands(self, task: Task, standing: Standing) -> None:
        self.steps.append(standing.step)

    def finished(self, task: Task, run: Run, ledger: Ledger) -> None:
        self.runs.append(run)

    def failed(self, task: Task, why: str) -> None:
        self.broken.append(why)

    def stop(self) -> bool:
        return self.stop_at is not None and self.steps[-1:] >= [self.stop_at]


@pytest.fixture(autouse=True)
def float32(monkeypatch):
    """Two probes on a busy machine may differ, and two precisions don't give equal weights."""
    monkeypatch.setattr(
        Precision, "fastest", lambda network, size, device: Precision("float32", device)
    )
    monkeypatch.setattr("vizinho.train.sweep.run.EVERY_SECONDS", 0.0)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def stripes(tmp_path_factory) -> LabelledImages:
    """Three classes of 24 noisy pictures: stripes across, stripes down, and rings."""
    return make_stripes(tmp_path_factory.mktemp("stripes"), 24, 80)


@pytest.fixture(scope="module")
def images(stripes) -> dict[int, Decoded]:
    return {18: Decoded.of(stripes, 18)}


def sweep(recipes: list[Recipe], folder: Path, images, viewer: Viewer, **more) -> Ledger:
    test = more.pop("test", {})
    return conduct(recipes, folder, images, test, viewer, threads=1, **more)


def kept(folder: Path) -> list[str]:
    return sorted(path.parent.name for path in folder.glob("runs/*/checkpoint.pt"))


def test_decoded_pictures_are_the_sets_and_are_shared_through_a_file(stripes, images, tmp_path):
    plain, _ = stripes.pixels(TINY.spec)
    shared = Shelf.put(images[18], tmp_path / "18.npy").open()
    for each in (images[18], shared):
        pixels, kept = each.pixels(TINY.spec)
        assert (pixels == plain).all()
        assert (kept == np.arange(72)).all()
        assert (each.labels == stripes.labels).all()
        assert each.sha256 == images[18].sha256
        pixels[:] = 0
        assert (each.images == plain).all()
    assert isinstance(shared.images, np.memmap)
    smaller, _ = shared.pixels(replace(TINY, size=20).spec)
    assert (smaller == stripes.pixels(replace(TINY, size=20).spec)[0]).all()
    changed = Decoded("", plain.copy(), shared.names, shared.labels[::-1].copy(), shared.classes)
    assert changed.sha256 != shared.sha256


def test_a_finished_run_is_a_row_with_what_was_measured_and_is_not_made_again(
    stripes, images, tmp_path
):
    test = {18: Decoded.of(stripes.subset(range(0, 72, 2)), 18)}
    two = [TINY, replace(TINY, seed=1)]
    viewer = Viewer()
    ledger = sweep(two, tmp_path, images, viewer, test=test, fields=["dimension"])
    assert (viewer.began, len(viewer.runs)) == ((2, 0), 2)
    row = ledger.runs[0]
    trained = loop.train(TINY, images[18], tmp_path / "same", Watcher(), threads=1)
    found = embed(trained.network, test[18].images, TINY, torch.device("cpu"))
    assert row.top_1_test == precision_at_1(found, test[18].labels)
    assert row.top_1_held_out == trained.progress.records[-1].precision_at_1
    assert row.final_loss == trained.progress.records[-1].loss
    assert (row.outcome, row.epochs_done, row.held_out, row.threads) == ("ok", 2, 24, 1)
    assert read_epochs(tmp_path / "runs" / row.key)[1].loss == row.final_loss
    assert kept(tmp_path) == []

    again = Viewer()
    sweep([*two, replace(TINY, seed=2)], tmp_path, images, again, test=test)
    assert again.began == (1, 2)
    assert [run.recipe["seed"] for run in Ledger(tmp_path / "runs.csv").runs] == [0, 1, 2]


class Watcher:
    def note(self, text: str) -> None: ...

    def step(self, progress: object) -> bool:
        return True

    def epoch(self, record: object) -> None: ...


def test_a_stopped_sweep_goes_on_from_the_step_it_made(images, tmp_path):
    two = [TINY, replace(TINY, seed=1)]
    with pytest.raises(TrainingInterrupted, match="0 of 2 runs"):
        sweep(two, tmp_path / "a", images, Viewer(stop_at=3))
    assert len(kept(tmp_path / "a")) == 1
    viewer = Viewer()
    resumed = sweep(two, tmp_path / "a", images, viewer)
    assert min(viewer.steps[:2]) == 3
    straight = sweep(two, tmp_path / "b", images, Viewer())
    assert [run.final_loss for run in resumed.runs] == [run.final_loss for run in straight.runs]


def test_a_schedule_in_steps_goes_on_for_more_epochs(images, tmp_path):
    short = sweep([STEPS], tmp_path / "a", images, Viewer())
    assert kept(tmp_path / "a") == [short.runs[0].key]
    viewer = Viewer()
    longer = sweep([replace(STEPS, epochs=4)], tmp_path / "a", images, viewer)
    per_epoch = 2
    assert min(viewer.steps) == 2 * per_epoch
    straight = sweep([replace(STEPS, epochs=4)], tmp_path / "b", images, Viewer())
    assert longer.runs[1].final_loss == straight.runs[0].final_loss
    assert longer.runs[1].top_1_held_out == straight.runs[0].top_1_held_out
    assert [run.recipe["epochs"] for run in longer.runs] == [2, 4]
    assert len(read_epochs(tmp_path / "a" / "runs" / longer.runs[1].key)) == 4
    # A schedule that depends on its length starts anew.
    fresh = Viewer()
    sweep([TINY], tmp_path / "c", images, Viewer())
    sweep([replace(TINY, epochs=3)], tmp_path / "c", images, fresh)
    assert min(fresh.steps) == 0


def test_runs_that_collapse_or_diverge_are_rows_and_the_sweep_goes_on(
    images, tmp_path, monkeypatch
):
    monkeypatch.setattr(
        objectives, "CollapseMonitor", partial(objectives.CollapseMonitor, grace=2, patience=4)
    )
    shrinking = replace(
        TINY, loss="triplet", margin=0.5, mining="batch-all", normalise=False, optimiser="sgd",
        schedule="steps", lr=0.3, momentum=0.0, weight_decay=3.0, epochs=20,
    )  # fmt: skip
    wild = replace(shrinking, lr=1e30, weight_decay=0.0)
    viewer = Viewer()
    ledger = sweep([shrinking, wild, TINY], tmp_path, images, viewer)
    assert [run.outcome for run in ledger.runs] == ["collapsed", "diverged", "ok"]
    collapsed, diverged, _ = Ledger(tmp_path / "runs.csv").runs
    assert "collapsed" in collapsed.reason
    assert 0 < collapsed.epochs_done < 20
    # The network is measured where it stopped.
    assert 0 <= collapsed.top_1_held_out <= 1
    assert diverged.top_1_held_out is None
    assert kept(tmp_path) == []
    again = Viewer()
    sweep([shrinking, wild, TINY], tmp_path, images, again)
    assert again.began == (0, 3)


def test_a_run_that_can_not_be_made_stops_no_other(images, tmp_path):
    viewer = Viewer()
    broken = replace(TINY, init=str(tmp_path / "no-such-weights.pt"))
    with pytest.raises(TrainingError, match="1 of 2 runs could not be made"):
        sweep([broken, TINY], tmp_path / "s", images, viewer)
    assert len(viewer.broken) == 1
    assert "no-such-weights.pt" in viewer.broken[0]
    assert [run.outcome for run in Ledger(tmp_path / "s" / "runs.csv").runs] == ["ok"]


def test_a_checkpoint_that_no_longer_loads_is_started_over(images, tmp_path):
    with pytest.raises(TrainingInterrupted):
        sweep([TINY], tmp_path, images, Viewer(stop_at=3))
    (checkpoint,) = tmp_path.glob("runs/*/checkpoint.pt")
    checkpoint.write_bytes(b"half of a file")
    viewer = Viewer()
    assert sweep([TINY], tmp_path, images, viewer).runs[0].outcome == "ok"
    assert min(viewer.steps) == 0


def invoke(*words: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(build_app(), ["sweep", *words])
    return done.exit_code, done.stdout, done.stderr


def test_a_second_sweep_on_the_folder_is_told(stripes, tmp_path):
    with held(tmp_path):
        code, _, errors = invoke(stripes.name, "--out", str(tmp_path), "--json")
    assert code == 1
    assert json.loads(errors)["error"]["message"].startswith("Another sweep is working in")


def test_the_command_tells_all_cells_and_draws_what_is_there_without_training(
    stripes, tmp_path, monkeypatch
):
    words = [
        *(stripes.name, "--out", str(tmp_path), "--grid", "dimension=4,8", "--seeds", "1"),
        *("--set", "batch_size=24", "--set", "micro_batch=12", "--set", "holdout=24"),
        *("--set", "size=18", "--set", "low_share=0", "--set", "width=8", "--epochs", "1"),
        *("--test", stripes.name, "--threads", "1"),
    ]
    code, told, errors = invoke(*words, "--cells", "8", "--json", "--keep-models")
    assert code == 0, errors
    first, second = json.loads(told)["cells"]
    assert (first["state"], second["state"]) == ("not run", "ok")
    assert json.loads(told)["best"]["dimension"] == 8
    key = second["runs"][0]["key"]
    assert (tmp_path / "models" / key / "bundle.json").exists()
    monkeypatch.setattr("vizinho.train.sweep.conduct.conduct", None)
    (tmp_path / "heatmap.png").unlink()
    code, told, errors = invoke(*words, "--report-only")
    assert code == 0, errors
    table = (tmp_path / "table.md").read_text()
    top_1 = f"{100 * second['runs'][0]['top_1_test']:.2f}"
    assert f"| 8 | **{top_1}** |" in table
    assert "| 4 | not run |" in table
    assert f"**{top_1}**" in told
    assert Image.open(tmp_path / "heatmap.png").width > 300
    # A set of somebody's own: fields that nobody told are made to fit it, as in `vizinho train`.
    assert Ledger(tmp_path / "runs.csv").runs[0].recipe["keep_together"] is True
    code, _, errors = invoke(stripes.name, "--out", str(tmp_path), "--report-only")
    assert code == 1
    assert "None of the 1 runs" in errors
    assert (tmp_path / "table.md").read_text() == table
