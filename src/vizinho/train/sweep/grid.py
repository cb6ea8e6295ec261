"""From ``field=value,value`` to the recipes of a sweep."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from vizinho.errors import SettingsError
from vizinho.train.recipes import Recipe, changes, parse, recipe

#: The grid of the thesis's Table 4.1, in the order in which its 27 trainings are made.
TABLE_4_1: Final[Mapping[str, tuple[Any, ...]]] = {
    "network": ("resnet18", "resnet34", "resnet50"),
    "dimension": (64, 128, 512),
    "margin": (0.1, 0.3, 0.5),
}

_OPENING: Final = {"(": ")", "[": "]", "{": "}"}


@dataclass(frozen=True)
class Cell:
    """One combination of values; its runs differ in their seed alone.

    ``values``: what the grid told this cell, by field. ``recipe``: with the seed of the base.
    """

    values: Mapping[str, Any]
    recipe: Recipe

    @property
    def label(self) -> str:
        """The values with slashes between: "resnet18/128/0.3"."""
        return "/".join(show(value) for value in self.values.values())


@dataclass(frozen=True)
class Grid:
    """``cells`` times ``seeds``. ``fields``: every field that some cell was told, in order.

    ``axes``: the values of each field where the cells are all combinations of them, else empty.
    """

    cells: tuple[Cell, ...]
    seeds: tuple[int, ...]
    fields: tuple[str, ...]
    axes: Mapping[str, tuple[Any, ...]]

    @property
    def spans(self) -> list[str]:
        """The axes that have more than one value."""
        return [field for field, values in self.axes.items() if len(values) > 1]

    def recipes(self, cells: Iterable[Cell] | None = None) -> list[Recipe]:
        """The recipes to run; every cell once before any gets its next seed."""
        chosen = self.cells if cells is None else tuple(cells)
        return [replace(cell.recipe, seed=seed) for seed in self.seeds for cell in chosen]


def build(
    base: str,
    *,
    axes: Mapping[str, Sequence[Any]],
    told: Mapping[str, Any] | None = None,
    extra: Sequence[Mapping[str, Any]] = (),
    seeds: int | None = None,
    make: Callable[[str, Mapping[str, Any]], Recipe] | None = None,
) -> Grid:
    """All combinations of ``axes`` on the recipe ``base`` with ``told`` changed, then ``extra``.

    ``extra`` are single cells beside the grid, each with the fields that it changes. ``seeds``:
    runs of each cell, with seeds from 0; an axis called ``seed`` names them instead. ``make``:
    what makes a cell's recipe of ``base`` and its changes, ``recipe`` unless told. Raises
    ``SettingsError``, also for a combination that is no recipe.
    """
    told = dict(told or {})
    spans = {field: tuple(dict.fromkeys(values)) for field, values in axes.items()}
    named = spans.pop("seed", None)
    if named is not None and seeds is not None:
        raise SettingsError(
            "The seeds are told twice.", "Give --seeds or --grid seed=..., not both."
        )
    if seeds is not None and seeds < 1:
        raise SettingsError(f"A sweep needs at least one seed, not {seeds}.")
    if named is None:
        named = tuple(range(seeds)) if seeds is not None else (int(told.get("seed") or 0),)
    combinations = [
        dict(zip(spans, values, strict=True)) for values in itertools.product(*spans.values())
    ]
    if extra and not spans:
        # Without a grid the cells are the ones that were listed, and the bare recipe is none.
        combinations = []
    found: dict[Recipe, Cell] = {}
    for values in (*combinations, *extra):
        changed = {**told, **values}
        made = make(base, changed) if make else recipe(base, **changed)
        found.setdefault(made, Cell(values, made))
    fields = tuple(dict.fromkeys(field for cell in found.values() for field in cell.values))
    cells = found.values()
    if extra:
        # A cell says where it stands on every field, also on those that only others were told.
        cells = [  # type: ignore[assignment]
            replace(cell, values={field: getattr(cell.recipe, field) for field in fields})
            for cell in cells
        ]
    return Grid(tuple(cells), named, fields, {} if extra else spans)


def table_4_1(
    base: str | None, axes: Mapping[str, tuple[Any, ...]], told: Mapping[str, Any]
) -> tuple[str, dict[str, tuple[Any, ...]], dict[str, Any]]:
    """Recipe, axes and changes of the thesis's Table 4.1: 27 trainings on all training images.

    ``axes`` may narrow its own, ``told`` may settle what the thesis leaves open (``mining``,
    ``normalise``, ...). Nothing is held out unless told: nothing is chosen. Raises
    ``SettingsError`` for another recipe or an axis that the table does not have.
    """
    if base not in (None, "thesis"):
        raise SettingsError(f"Table 4.1 is of the recipe 'thesis', not {base!r}.")
    if strange := [field for field in (*axes, *told) if field in TABLE_4_1]:
        raise SettingsError(
            f"Table 4.1 has its own values of {', '.join(strange)}.", "Pick cells with --only."
        )
    return "thesis", {**TABLE_4_1, **axes}, {"holdout": 0, **told}


def protocol(grid: Grid) -> list[str]:
    """What the recipes of a grid have in common, in sentences that a report needs."""
    recipes = [cell.recipe for cell in grid.cells]
    recipe = recipes[0]
    open_fields = set(grid.fields)

    def tell(*fields: str) -> str:
        return ", ".join(
            f"{field} {' or '.join(dict.fromkeys(show(getattr(each, field)) for each in recipes))}"
            for field in fields
            if field not in open_fields
        )

    steps = ("step_epochs",) if recipe.schedule == "steps" else ()
    triplets = ("mining", "distance") if "triplet" in recipe.loss else ()
    return [
        f"- {tell('network', 'dimension', 'normalise', 'loss', *triplets, 'margin', 'mirrored')}.",
        f"- {tell('epochs', 'batch_size', 'micro_batch', 'optimiser', 'lr', 'momentum')}, "
        f"{tell('weight_decay', 'schedule', *steps, 'size', 'shift', 'mirror', 'holdout')}.",
    ]


def axis(text: str) -> tuple[str, tuple[Any, ...]]:
    """``"margin=0.1,0.3"`` as the field and its values; raises ``SettingsError``.

    Commas inside brackets or quotes belong to a value:
    ``loss=triplet,pml:CircleLoss(m=0.3,gamma=80)``.
    """
    field, sign, values = text.partition("=")
    if not sign or not values.strip():
        raise SettingsError(f"{text!r} is not FIELD=VALUE,VALUE.", "For example: margin=0.1,0.3")
    field = field.strip()
    return field, tuple(parse(field, value) for value in split(values, ","))


def axes(texts: Iterable[str]) -> dict[str, tuple[Any, ...]]:
    """Every ``field=value,value``; raises ``SettingsError``, also for a field told twice."""
    found: dict[str, tuple[Any, ...]] = {}
    for text in texts:
        field, values = axis(text)
        if field in found:
            raise SettingsError(f"The grid is told {field} twice.", "Give all its values at once.")
        found[field] = values
    return found


def single(text: str) -> dict[str, Any]:
    """``"loss=triplet mining=semi-hard"`` as one cell's values; raises ``SettingsError``."""
    return changes(split(text, " "))


def split(text: str, separator: str) -> list[str]:
    """The parts between separators that stand outside brackets and quotes.

    Parts are stripped, and of quotes that hold all of one. Raises ``SettingsError`` for an empty
    part (but between spaces) and for brackets or quotes that don't close.
    """
    parts, waiting, quote = [""], [], ""
    for letter in text:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        elif letter in _OPENING:
            waiting.append(_OPENING[letter])
        elif letter in _OPENING.values():
            if not waiting or waiting.pop() != letter:
                raise SettingsError(f"{text!r} has a {letter!r} that closes nothing.")
        elif letter == separator and not waiting:
            parts.append("")
            continue
        parts[-1] += letter
    if quote or waiting:
        raise SettingsError(f"{text!r} has a {quote or waiting[-1]!r} missing.")
    parts = [part.strip() for part in parts]
    if separator == " ":
        parts = [part for part in parts if part]
    if not all(parts):
        raise SettingsError(f"{text!r} has an empty value.")
    return [
        part[1:-1] if part[0] == part[-1] in "\"'" and part.count(part[0]) == 2 else part
        for part in parts
    ]


def pick(grid: Grid, *, only: Iterable[str] = (), labels: str = "") -> tuple[Cell, ...]:
    """The cells that ``only`` ("network=resnet18", each narrows) and ``labels`` leave.

    ``labels``: cells by their values, "resnet18/128/0.3,resnet50/64/0.1"; a network may be called
    by its depth. Raises ``SettingsError`` when one names no cell, or nothing is left.
    """
    chosen = grid.cells
    for text in only:
        field, values = axis(text)
        if field not in grid.fields:
            raise SettingsError(
                f"{field} is no field of this grid.", f"It has: {', '.join(grid.fields)}."
            )
        chosen = tuple(cell for cell in chosen if cell.values[field] in values)
    if labels:
        wanted = {_plain(label): label for label in split(labels, ",")}
        known = {_plain(cell.label): cell for cell in grid.cells}
        if unknown := [label for plain, label in wanted.items() if plain not in known]:
            raise SettingsError(
                f"The grid has no cell {', '.join(unknown)}.",
                f"A cell is called by its {'/'.join(grid.fields)}, such as {grid.cells[0].label}.",
            )
        chosen = tuple(cell for cell in chosen if _plain(cell.label) in wanted)
    if not chosen:
        raise SettingsError("No cell of the grid is left to run.", "Check --only and --cells.")
    return chosen


def show(value: Any) -> str:
    """A value as a person would type it; a dash for none."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _plain(label: str) -> str:
    return label.replace("resnet", "").replace(" ", "")
