"""The processes of a sweep: what breaks in one stays its own affair."""

from __future__ import annotations

from multiprocessing import active_children
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from vizinho.train.recipes import recipe
from vizinho.train.sweep.conduct import conduct
from vizinho.train.sweep.pixels import Decoded, Shelf
from vizinho.train.sweep.run import Task
from vizinho.train.sweep.workers import Failed, work_through

pytestmark = pytest.mark.train

TINY = recipe("fast", epochs=1, size=18, low_share=0, width=8)


def decoded() -> Decoded:
    pixels = np.zeros((4, 18, 18, 3), dtype=np.uint8)
    return Decoded("four", pixels, list("abcd"), np.array([0, 0, 1, 1]), ["dark", "dim"])


def test_a_process_that_dies_between_two_runs_takes_the_next_one_with_it_and_no_more(
    tmp_path: Path,
) -> None:
    images = {18: Shelf.put(decoded(), tmp_path / "train.npy")}
    test = {18: Shelf.put(decoded(), tmp_path / "test.npy")}
    (tmp_path / "test.npy").unlink()
    tasks = [Task(name, TINY, tmp_path / name, "data", 1) for name in ("one", "two")]
    told = work_through(tasks, 1, images, test, threads=1, stop=lambda: False)

    task, first = next(told)
    assert task.key == "one"
    # The process lives on after a file that it can't read, and says which.
    assert isinstance(first, Failed)
    assert "test.npy" in first.why
    (process,) = active_children()
    process.kill()
    process.join()
    assert list(told) == [(tasks[1], Failed("its process ended with -9."))]


def test_a_folder_called_pixels_is_somebodys_own(tmp_path: Path) -> None:
    (tmp_path / "pixels").mkdir()
    (tmp_path / "pixels" / "mine.txt").write_text("mine")

    class Silent:
        def begins(self, *told: object) -> None: ...

        stands = finished = failed = begins

        def stop(self) -> bool:
            return False

    conduct([], tmp_path, {}, {}, Silent())
    assert (tmp_path / "pixels" / "mine.txt").read_text() == "mine"
