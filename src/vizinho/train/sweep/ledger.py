"""``runs.csv``: one row per finished run, whole or not there."""

from __future__ import annotations

import csv
import errno
import hashlib
import io
import json
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

from vizinho.errors import TrainingError
from vizinho.train.recipes import Recipe

#: Columns before and after those of the grid's fields.
FIRST: Final = ("key", "outcome")
LAST: Final = (
    "seed", "epochs", "epochs_done", "top_1_held_out", "top_1_test", "map_at_r", "final_loss",
    "seconds", "cpu_seconds", "images_per_second", "reason", "data", "data_sha256", "test",
    "held_out", "precision", "threads", "hardware", "torch", "commit", "finished", "recipe",
)  # fmt: skip


@dataclass(frozen=True)
class Run:
    """A finished run. Rates are 0..1, None where they were not measured.

    ``outcome``: ok, collapsed or diverged, the last two with a ``reason`` and with the Top-1 of
    the network where it stopped, after ``epochs_done`` whole epochs. ``map_at_r`` is on the test
    set where there is one, else on the ``held_out`` images. ``threads`` is per run.
    """

    key: str
    outcome: str
    recipe: Mapping[str, Any]
    data: str
    data_sha256: str
    epochs_done: int
    held_out: int = 0
    test: str = ""
    top_1_held_out: float | None = None
    top_1_test: float | None = None
    map_at_r: float | None = None
    final_loss: float | None = None
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    images_per_second: float = 0.0
    reason: str = ""
    precision: str = ""
    threads: int = 0
    hardware: str = ""
    torch: str = ""
    commit: str = ""
    finished: str = ""

    def is_of(self, recipe: Recipe, data_sha256: str | None, test: str = "") -> bool:
        """True when this is the run of that recipe on those pixels, tested on ``test`` if told.

        ``data_sha256`` None asks for no data in particular. A field that the recipe did not have
        when the run was made counts as its default, which stands for how it was before.
        """
        if data_sha256 is not None and self.data_sha256 != data_sha256:
            return False
        return same(self.recipe, recipe) and (not test or self.test == test)


_KINDS: Final = {field.name: str(field.type) for field in fields(Run)}


def same(before: Mapping[str, Any], now: Recipe, but: Iterable[str] = ()) -> bool:
    """True when a stored recipe says what ``now`` says, the fields ``but`` aside."""
    usual = Recipe().to_dict()
    return all(
        before.get(field, usual[field]) == value
        for field, value in now.to_dict().items()
        if field not in set(but)
    )


def key_of(recipe: Recipe, data_sha256: str) -> str:
    """Twelve hexadecimal digits that stand for a recipe on some data."""
    text = json.dumps([recipe.to_dict(), data_sha256], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


class Ledger:
    """The rows of ``path``. A file cut off inside its last line loses that line, and says so.

    One process writes at a time (the caller holds the folder). Raises ``TrainingError`` when the
    file is none of ours.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.torn = False
        self.columns: tuple[str, ...] = (*FIRST, *LAST)
        self.runs: list[Run] = []
        if path.exists():
            self._read()

    def prepare(self, grid_fields: Sequence[str]) -> None:
        """Makes the file ready for rows with columns for ``grid_fields``.

        Columns that are new are filled from the rows' recipes.
        """
        known = [name for name in self.columns if name not in (*FIRST, *LAST)]
        named = dict.fromkeys([*known, *(f for f in grid_fields if f not in LAST)])
        columns = (*FIRST, *named, *LAST)
        if columns == self.columns and not self.torn and self.path.exists():
            return
        self.columns = columns
        text = _line(columns) + "".join(_line(self._cells(run)) for run in self.runs)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        beside = self.path.with_suffix(".part")
        with beside.open("w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self.path)
        self.torn = False

    def append(self, run: Run) -> None:
        """Adds a row in one write, on the disk when this returns. Raises ``TrainingError``."""
        line = _line(self._cells(run)).encode()
        file = os.open(self.path, os.O_WRONLY | os.O_APPEND)
        try:
            before = os.fstat(file).st_size
            try:
                if os.write(file, line) != len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(file)
            except OSError as error:
                os.ftruncate(file, before)
                raise TrainingError(
                    f"{self.path} can't be written: {error.strerror or error}.",
                    "Free some space and run the same command again: the run's last checkpoint "
                    "is kept.",
                ) from error
        finally:
            os.close(file)
        self.runs.append(run)

    def find(self, recipe: Recipe, data_sha256: str | None, test: str = "") -> Run | None:
        """The newest row of that run."""
        for run in reversed(self.runs):
            if run.is_of(recipe, data_sha256, test):
                return run
        return None

    def on(self, data: Collection[str]) -> Ledger:
        """The rows of runs on these data alone, told by name or by SHA-256: for a table of them."""
        found = copy(self)
        found.runs = [run for run in self.runs if {run.data, run.data_sha256} & {*data}]
        return found

    def _cells(self, run: Run) -> list[str]:
        return [_write(run, column) for column in self.columns]

    def _read(self) -> None:
        raw = self.path.read_bytes()
        whole = raw[: raw.rfind(b"\n") + 1]
        self.torn = whole != raw
        try:
            rows = list(csv.reader(io.StringIO(whole.decode("utf-8"), newline=""), strict=True))
        except (UnicodeDecodeError, csv.Error) as error:
            raise self._foreign(str(error)) from error
        if not rows:
            return
        self.columns = tuple(rows[0])
        if missing := [name for name in (*FIRST, "recipe") if name not in self.columns]:
            raise self._foreign(f"it has no column {', '.join(missing)}")
        for number, row in enumerate(rows[1:], start=2):
            try:
                self.runs.append(_parse(dict(zip(self.columns, row, strict=True))))
            except (ValueError, KeyError, TypeError) as error:
                raise self._foreign(f"row {number}: {error}") from error

    def _foreign(self, why: str) -> TrainingError:
        return TrainingError(
            f"{self.path} is not the list of a sweep's runs: {why}.",
            "Mend it or move it away; the folder's checkpoints are not touched.",
        )


def _write(run: Run, column: str) -> str:
    if column == "recipe":
        return json.dumps(run.recipe, sort_keys=True)
    # A grid's field, the seed and the epochs stand in the recipe; older rows may lack a new one.
    value = getattr(run, column) if column in _KINDS else run.recipe.get(column)
    if isinstance(value, float) and column in _KINDS:
        return f"{value:.6g}" if column != "final_loss" else f"{value:.5g}"
    return "" if value is None else " ".join(str(value).split())


def _parse(row: Mapping[str, str]) -> Run:
    values: dict[str, Any] = {}
    for name, kind in _KINDS.items():
        text = row.get(name, "")
        if name == "recipe":
            values[name] = json.loads(text)
        elif "float" in kind:
            values[name] = float(text) if text else (None if "None" in kind else 0.0)
        elif kind == "int":
            values[name] = int(text or 0)
        else:
            values[name] = text
    return Run(**values)


def _line(cells: Iterable[str]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow(cells)
    return buffer.getvalue()
