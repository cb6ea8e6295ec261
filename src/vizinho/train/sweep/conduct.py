"""The sweep itself: which runs are still to be made, and what is kept of them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Final, Protocol

from vizinho.errors import TrainingError, TrainingInterrupted
from vizinho.train.checkpoint import alone
from vizinho.train.recipes import Recipe
from vizinho.train.sweep.ledger import Ledger, Run, key_of, same
from vizinho.train.sweep.pixels import Decoded, Shelf
from vizinho.train.sweep.run import Standing, Task, perform
from vizinho.train.sweep.workers import Event, Failed, Interrupted, reason, work_through

#: Pixels that worker processes share; no name that a folder of somebody's own would have.
SHARED: Final = "pixels.part"


class Viewer(Protocol):
    """Whoever shows the sweep to a person, and takes the wish to stop from them."""

    def begins(self, tasks: Sequence[Task], done: Sequence[Run]) -> None:
        """These runs will be made; those are there already."""

    def stands(self, task: Task, standing: Standing) -> None:
        """A run is under way."""

    def finished(self, task: Task, run: Run, ledger: Ledger) -> None:
        """A run has its row."""

    def failed(self, task: Task, why: str) -> None:
        """A run could not be made; the others go on."""

    def stop(self) -> bool:
        """True when no further step should be made."""


def held(folder: Path) -> AbstractContextManager[None]:
    """Holds ``folder`` against another sweep; raises ``TrainingError`` when one has it."""
    return alone(
        folder,
        f"Another sweep is working in {folder}.",
        "Wait for it, or give another --out. --parallel makes several runs at once.",
    )


def conduct(
    recipes: Sequence[Recipe],
    folder: Path,
    images: Mapping[int, Decoded],
    test: Mapping[int, Decoded],
    viewer: Viewer,
    *,
    fields: Sequence[str] = (),
    parallel: int = 1,
    threads: int | None = None,
    models: bool = False,
) -> Ledger:
    """Makes the runs that ``folder/runs.csv`` lacks; the caller holds the folder.

    ``images`` and ``test`` (may be empty) by size in pixels. A run's checkpoint and epochs lie in
    ``folder/runs/KEY``; the checkpoint goes when the row is written, save for schedules in steps,
    which more epochs can go on from. ``threads`` are for each run; None gives all cores to a
    single run and one to each of several. Raises ``TrainingInterrupted`` when the viewer stopped,
    ``TrainingError`` when some run failed, after the others were made.
    """
    ledger = Ledger(folder / "runs.csv")
    ledger.prepare(fields)
    # A killed sweep could not clear its shared pixels away.
    shutil.rmtree(folder / SHARED, ignore_errors=True)
    if parallel > 1:
        threads = threads or 1
    tasks, done = [], []
    for recipe in recipes:
        digest = images[recipe.size].sha256
        tested = test[recipe.size].name if test else ""
        if (found := ledger.find(recipe, digest, tested)) is not None:
            done.append(found)
            continue
        key = key_of(recipe, digest)
        model = folder / "models" / key if models else None
        tasks.append(Task(key, recipe, folder / "runs" / key, digest, threads, model))
    viewer.begins(tasks, done)
    broken: list[str] = []

    def take(task: Task, event: Event) -> None:
        if isinstance(event, Standing):
            viewer.stands(task, event)
        elif isinstance(event, Run):
            ledger.append(event)
            _tidy(task, event)
            viewer.finished(task, event, ledger)
        elif isinstance(event, Failed):
            broken.append(event.why)
            viewer.failed(task, event.why)

    def starting() -> Iterator[Task]:
        for task in tasks:
            _adopt(task, ledger, folder)
            yield task

    if parallel > 1 and len(tasks) > 1:
        with (
            _shelved(images, folder / SHARED / "train") as to_train,
            _shelved(test, folder / SHARED / "test") as to_test,
        ):
            count = min(parallel, len(tasks))
            for task, told in work_through(
                starting(), count, to_train, to_test, threads=threads or 1, stop=viewer.stop
            ):
                take(task, told)
    else:
        for task in starting():
            if viewer.stop():
                break
            size = task.recipe.size

            def tell(standing: Standing, task: Task = task) -> None:
                viewer.stands(task, standing)

            try:
                event: Event = perform(task, images[size], test.get(size), tell, viewer.stop)
            except TrainingInterrupted:
                event = Interrupted()
            except Exception as error:
                event = Failed(reason(error))
            take(task, event)
    there = sum(ledger.find(task.recipe, task.data_sha256) is not None for task in tasks)
    if viewer.stop() and there + len(broken) < len(tasks):
        raise TrainingInterrupted(
            f"The sweep stopped; {there + len(done)} of {len(recipes)} runs are in {ledger.path}.",
            "Nothing is lost: the same command goes on from here.",
        )
    if broken:
        raise TrainingError(
            f"{len(broken)} of {len(recipes)} runs could not be made; the first: {broken[0]}",
            "The others have their rows. Mend the cause and give the same command again.",
        )
    return ledger


def _adopt(task: Task, ledger: Ledger, folder: Path) -> None:
    """Lets a run in steps go on from the same run of fewer epochs, whose row is written."""
    recipe = task.recipe
    if recipe.schedule != "steps" or recipe.low_share or (task.folder / "checkpoint.pt").exists():
        return
    shorter = [
        run
        for run in ledger.runs
        if run.outcome == "ok"
        and run.data_sha256 == task.data_sha256
        and run.recipe["epochs"] < recipe.epochs
        and same(run.recipe, recipe, but=("epochs",))
        and (folder / "runs" / run.key / "checkpoint.pt").exists()
    ]
    if shorter:
        longest = max(shorter, key=lambda run: int(run.recipe["epochs"]))
        task.folder.mkdir(parents=True, exist_ok=True)
        (folder / "runs" / longest.key / "checkpoint.pt").replace(task.folder / "checkpoint.pt")


def _tidy(task: Task, run: Run) -> None:
    """Removes what a finished run no longer needs."""
    gone = ["checkpoint.part", "teacher.npz"]
    if task.recipe.schedule != "steps" or run.outcome != "ok":
        gone.append("checkpoint.pt")
    for name in gone:
        (task.folder / name).unlink(missing_ok=True)


@contextmanager
def _shelved(images: Mapping[int, Decoded], folder: Path) -> Iterator[dict[int, Shelf]]:
    """The pictures in files that worker processes map, for as long as this lasts."""
    try:
        yield {size: Shelf.put(each, folder / f"{size}.npy") for size, each in images.items()}
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):
            folder.parent.rmdir()
