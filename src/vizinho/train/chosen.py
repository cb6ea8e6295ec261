"""What was chosen for a training, kept beside its checkpoint.

Some fields are chosen by looking at the set, at a bundle or at the clock. A resumed training must
not look again: the bundle may be gone by then, and the machine slower.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from vizinho.datasets import LabelledImages
from vizinho.train.fitting import fitted
from vizinho.train.recipes import EXPORT_ONLY, Recipe, recipe
from vizinho.train.warm import architecture

FILE = "chosen.json"

#: Share of the learning rate for a network that has learned already.
WARM = 0.2


def choose(
    name: str,
    told: Mapping[str, Any],
    dataset: LabelledImages,
    *,
    validation: bool = False,
    budget: bool = False,
) -> tuple[Recipe, list[str]]:
    """The recipe ``name`` with the fields that were ``told``, the rest made to fit, and notes.

    ``validation``: a set of its own is measured on; ``budget``: the clock chooses the epochs later.
    What the bundle in ``told["init"]`` is decides the network, what ``dataset`` is the sizes.
    Raises ``SettingsError``, ``BundleError``.
    """
    taken = architecture(str(told.get("init", "random")), told)
    started = recipe(name, **{**taken, **told})
    notes = []
    if taken:
        said = ", ".join(f"{field} {value}" for field, value in taken.items())
        notes.append(f"From {told['init']}: {said}.")
        if "lr" not in told:
            started = replace(started, lr=WARM * started.lr)
            notes.append(f"lr is {started.lr:g}: steps made for random weights would undo these.")
    settled = {*told, *taken, *(("epochs",) if budget else ())}
    made, changed = fitted(started, dataset, settled, validation=validation)
    return made, notes + changed


def remember(run: Path, told: Mapping[str, Any], made: Recipe) -> None:
    """Keeps in ``run`` that the recipe ``made`` came from what was ``told``.

    Unless a training has begun there: what is kept is that one's, and without it the command that
    began it could not go on. Told otherwise by mistake it is refused, and must lose nothing.
    """
    if (run / "checkpoint.pt").exists():
        return
    run.mkdir(parents=True, exist_ok=True)
    beside = run / f"{FILE}.part"
    beside.write_text(json.dumps({"told": dict(told), "recipe": made.to_dict()}, indent=2) + "\n")
    beside.replace(run / FILE)


def recall(run: Path, told: Mapping[str, Any]) -> Recipe | None:
    """The recipe of the training in ``run`` where there is one to go on with that was told the
    same; fields that only say what is exported may be told otherwise."""
    if not (run / "checkpoint.pt").exists():
        return None
    try:
        kept = json.loads((run / FILE).read_text())
        before, made = dict(kept["told"]), dict(kept["recipe"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    # As JSON would give it back: a tuple is a list there.
    now = json.loads(json.dumps(dict(told)))
    if _learned(before) != _learned(now):
        return None
    known = {field.name for field in fields(Recipe)}
    export = {field: told[field] for field in EXPORT_ONLY if field in told}
    return replace(Recipe(**{k: v for k, v in made.items() if k in known}), **export)


def _learned(told: Mapping[str, Any]) -> dict[str, Any]:
    return {field: value for field, value in told.items() if field not in EXPORT_ONLY}
