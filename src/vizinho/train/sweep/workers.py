"""Several runs at once, each in a process of its own."""

from __future__ import annotations

import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Event as StopEvent
from pathlib import Path
from typing import Final

from vizinho.errors import TrainingInterrupted, VizinhoError
from vizinho.settings import product_threads
from vizinho.train.sweep.ledger import Run
from vizinho.train.sweep.pixels import Decoded, Shelf
from vizinho.train.sweep.run import Standing, Task, perform

#: How often the wish to stop is looked for, in seconds.
TICK: Final = 0.2


@dataclass(frozen=True)
class Failed:
    """A run that could not be made, and why."""

    why: str


@dataclass(frozen=True)
class Interrupted:
    """A run that stopped between two steps because it was asked to."""


Event = Standing | Run | Failed | Interrupted


def reason(error: BaseException) -> str:
    """Why a run failed, in one line; of an error that isn't ours, where it was raised too."""
    if isinstance(error, VizinhoError):
        return str(error)
    place = traceback.extract_tb(error.__traceback__)[-1:]
    where = "".join(f" ({frame.filename}, line {frame.lineno})" for frame in place)
    return f"{type(error).__name__}: {error}{where}".replace("\n", " ")


@dataclass
class _Worker:
    process: BaseProcess
    connection: Connection
    task: Task | None = None


def work_through(
    tasks: Iterable[Task],
    count: int,
    images: Mapping[int, Shelf],
    test: Mapping[int, Shelf],
    *,
    threads: int,
    stop: Callable[[], bool],
) -> Iterator[tuple[Task, Event]]:
    """Makes the runs in ``count`` processes of ``threads`` threads; yields what they tell.

    A process that dies fails its run alone; another takes its place. After ``stop`` the running
    ones come to their next step and no others begin. Leaving early ends the processes.
    """
    context = get_context("spawn")
    stopping = context.Event()
    waiting = iter(tasks)
    crew: dict[Connection, _Worker] = {}

    def hire(task: Task) -> None:
        ours, theirs = context.Pipe()
        process = context.Process(
            target=_work, args=(theirs, stopping, dict(images), dict(test)), daemon=True
        )
        with product_threads(threads):
            process.start()
        theirs.close()
        crew[ours] = _Worker(process, ours)
        give(crew[ours], task)

    def give(worker: _Worker, task: Task | None) -> None:
        worker.task = task
        # Where it has died meanwhile, its connection says so when it is next read.
        with suppress(OSError):
            worker.connection.send(task)
        if task is None:
            del crew[worker.connection]
            worker.process.join()

    def next_task() -> Task | None:
        return None if stop() else next(waiting, None)

    try:
        for _ in range(count):
            if (task := next_task()) is not None:
                hire(task)
        while crew:
            for ready in wait(list(crew), TICK):
                assert isinstance(ready, Connection)
                worker = crew[ready]
                task = worker.task
                assert task is not None
                try:
                    event: Event = ready.recv()
                except (EOFError, OSError):
                    del crew[ready]
                    worker.process.join()
                    yield task, Failed(f"its process ended with {worker.process.exitcode}.")
                    if (fresh := next_task()) is not None:
                        hire(fresh)
                    continue
                yield task, event
                if not isinstance(event, Standing):
                    give(worker, next_task())
            if stop():
                stopping.set()
    finally:
        for worker in crew.values():
            worker.process.kill()
            worker.process.join()


def _work(
    connection: Connection,
    stopping: StopEvent,
    images: dict[int, Shelf],
    test: dict[int, Shelf],
) -> None:
    # Ctrl-C reaches the whole group of processes; the one that leads decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    opened: dict[Path, Decoded] = {}

    def look(shelf: Shelf) -> Decoded:
        if shelf.path not in opened:
            opened[shelf.path] = shelf.open()
        return opened[shelf.path]

    while (task := connection.recv()) is not None:
        size = task.recipe.size
        try:
            tested = look(test[size]) if size in test else None
            done: Event = perform(
                task, look(images[size]), tested, connection.send, stopping.is_set
            )
        except TrainingInterrupted:
            done = Interrupted()
        except Exception as error:
            done = Failed(reason(error))
        connection.send(done)


def _end_with_parent() -> None:
    """A killed sweep leaves no process behind that would write into its folder."""
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
