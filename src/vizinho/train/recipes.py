"""What a training is told: one frozen ``Recipe``, and the recipes that have a name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from types import NoneType
from typing import Any, Final, get_args, get_type_hints

from vizinho.errors import SettingsError
from vizinho.preprocess import PreprocessSpec
from vizinho.train.checks import check
from vizinho.train.checks import wide_shape as wide_shape

#: The small copies' side as a share of the pictures', where only ``size`` is told.
LOW_SCALE: Final = 0.75

#: How a field is told to be None: ``recipe`` takes None itself for "as it is".
NONE: Final = "none"

#: Fields that mean something else for another loss.
OF_THE_LOSS: Final = ("margin", "temperature", "mining")

#: Fields that say what is exported, not what is learned: one training serves all their values.
EXPORT_ONLY: Final = frozenset({"mirrored", "descriptor"})


@dataclass(frozen=True)
class Recipe:
    """Every choice that changes the weights that come out. Raises ``SettingsError``.

    - ``network`` with ``stem`` (ResNets only), embedding ``dimension``, ``normalise`` (unit length)
      and ``mirrored``: embed the picture and its mirror image and take the middle of both.
      ``width``: channels of fastnet's first block; its others have four times as many.
    - ``descriptor``: the layer that is the embedding, ``head`` or (fastnet only) the ``features``
      below it.
    - ``loss`` by name (docs/losses.md), ``pml:NAME(ARGUMENTS)`` for one of pytorch-metric-learning,
      ``own:NAME`` for a module handed to ``train``. ``margin``, ``temperature`` and ``mining`` are
      None for the loss's own (``vizinho.train.objectives``); ``distance`` is that of losses over
      distances; ``softmax`` has label ``smoothing`` and ``supcon`` x SupCon beside it.
    - ``teacher``: whose classes the network learns beside the labels, with commas between: model
      bundles, or checkpoints of trainings, which see the very pictures the network sees, or
      ``recipe:NAME``: ``teachers`` of that recipe with seeds 0, 1, ..., trained first, on
      ``teacher_network`` for ``teacher_epochs`` where these are told. Their part of the loss is
      ``distil`` (0 to 1).
    - ``augment``: ``plain`` (``shift`` and ``mirror``) or ``strong`` (one operation of
      TrivialAugment on top); ``cutout``: side in pixels of the square hidden in each picture.
    - ``average``: decay per step of the weights' running mean, which is then what is measured and
      exported; 0 for the weights themselves.
    - ``optimiser``: ``sgd`` (Nesterov momentum, ``lr``, ``weight_decay``) or ``muon`` (Muon with
      ``lr`` on filters, SGD with ``head_lr`` on the rest).
    - ``schedule``: ``linear`` or ``cosine`` (short warm-up, then down to zero) or ``steps`` (x0.1
      every ``step_epochs``).
    - ``per_class``: images of a class side by side in a micro-batch, every class as often as any
      other (``vizinho.train.sampling``); 0 for plain shuffling.
    - ``size`` in pixels; the first ``low_share`` of the epochs run at ``low_size``.
    - ``holdout``: images of the training set kept aside, evenly by class, to measure on; which
      ones is ``split_seed``'s choice, or ``seed``'s where that is -1.
    - ``keep_together``: near-duplicates are held out together or not at all.
    - ``unseen``: classes that are never trained on; below 1 a share of them, else their number.
    """

    network: str = "fastnet"
    stem: str = "imagenet"
    width: int = 64
    dimension: int = 64
    normalise: bool = True
    mirrored: bool = True
    descriptor: str = "head"
    loss: str = "softmax"
    margin: float | None = None
    mining: str | None = None
    distance: str = "squared"
    temperature: float | None = None
    smoothing: float = 0.1
    supcon: float = 0.25
    teacher: str = ""
    distil: float = 0.0
    teachers: int = 1
    teacher_network: str = ""
    teacher_epochs: int = 0
    optimiser: str = "muon"
    lr: float = 0.2
    head_lr: float = 0.3
    momentum: float = 0.85
    weight_decay: float = 0.0
    schedule: str = "linear"
    step_epochs: int = 10
    epochs: int = 15
    batch_size: int = 1000
    micro_batch: int = 125
    size: int = 32
    low_size: int = 24
    low_share: float = 0.6
    shift: int = 2
    mirror: bool = True
    augment: str = "plain"
    cutout: int = 0
    average: float = 0.0
    per_class: int = 0
    holdout: int = 2000
    keep_together: bool = False
    unseen: float = 0.0
    init: str = "random"
    seed: int = 0
    split_seed: int = -1

    def __post_init__(self) -> None:
        check(self)

    @property
    def spec(self) -> PreprocessSpec:
        """How images are prepared for this network: the thesis's mean = std = 0.5."""
        return PreprocessSpec(size=self.size)

    @property
    def holding_out(self) -> int:
        """The seed that says which images and classes are kept aside."""
        return self.seed if self.split_seed < 0 else self.split_seed

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON and checkpoints."""
        return asdict(self)


RECIPES: Final[Mapping[str, tuple[str, Recipe]]] = {
    "quick": (
        "the small network, mostly on small copies; minutes on two cores",
        Recipe(temperature=0.1, epochs=8, batch_size=500, low_share=0.75),
    ),
    "fast": (
        "the small network and the shipped model's loss; half an hour on two cores",
        Recipe(temperature=0.1),
    ),
    "fast-triplet": (
        "the same network and schedule with the triplet loss alone",
        Recipe(loss="triplet", mining="semi-hard", margin=0.3),
    ),
    "thesis": (
        "the thesis's protocol: ResNet with the ImageNet stem, triplet loss, SGD in steps",
        Recipe(
            network="resnet18",
            dimension=128,
            normalise=False,
            mirrored=False,
            loss="triplet",
            margin=0.3,
            # Triplets drawn at random, as in the thesis, in the mean.
            mining="batch-all",
            # Squared ones diverge within five steps at this learning rate and no fixed length.
            distance="euclidean",
            optimiser="sgd",
            lr=0.1,
            momentum=0.9,
            weight_decay=5e-4,
            schedule="steps",
            epochs=100,
            batch_size=128,
            micro_batch=128,
            low_share=0.0,
            shift=0,
            mirror=False,
        ),
    ),
    "record-teacher": (
        "a wide ResNet with strong augmentation, for a GPU; what recipe record learns from",
        Recipe(
            network="wrn28-10",
            temperature=0.1,
            optimiser="sgd",
            lr=0.1,
            momentum=0.9,
            weight_decay=5e-4,
            schedule="cosine",
            epochs=200,
            batch_size=128,
            micro_batch=128,
            low_share=0.0,
            shift=4,
            augment="strong",
            cutout=16,
            average=0.999,
        ),
    ),
    "record": (
        "two wide teachers, then a long distillation into a model under 10 MB; for a GPU",
        Recipe(
            # The widest whose exported model stays under 10 MB, in steps that suit tensor cores.
            width=70,
            temperature=0.1,
            teacher="recipe:record-teacher",
            teachers=2,
            distil=0.9,
            epochs=300,
            micro_batch=500,
            low_share=0.0,
            shift=4,
            augment="strong",
            average=0.99,
        ),
    ),
}


def recipe(name: str = "fast", **told: Any) -> Recipe:
    """The recipe called ``name`` with some fields changed; ``None`` leaves a field as it is.

    With another ``loss`` than the recipe's come that loss's own margin, temperature and mining,
    unless these are told too; ``NONE`` asks for the loss's own.
    ``low_size`` and ``shift`` follow ``size`` unless they are told too, and ``micro_batch`` is what
    groups of ``per_class`` go into. Raises ``SettingsError`` for an unknown name, field or value.
    """
    if name not in RECIPES:
        raise SettingsError(
            f"There is no recipe called {name!r}.", f"Choose one of: {', '.join(RECIPES)}."
        )
    known = {field.name for field in fields(Recipe)}
    if unknown := set(told) - known:
        raise SettingsError(f"A recipe has no {', '.join(sorted(unknown))}.")
    chosen = {field: value for field, value in told.items() if value is not None}
    if "size" in chosen and "low_size" not in chosen:
        # fastnet's last pooling needs 18 pixels; above that the small copies keep their proportion.
        chosen["low_size"] = max(18, round(LOW_SCALE * chosen["size"]))
    start = RECIPES[name][1]
    if chosen.get("loss", start.loss) != start.loss:
        # The recipe chose them for its own loss; another begins from what its authors chose.
        chosen = {**dict.fromkeys(OF_THE_LOSS, NONE), **chosen}
    chosen.update({field: None for field in OF_THE_LOSS if chosen.get(field) == NONE})
    if "size" in chosen and "shift" not in chosen:
        chosen["shift"] = round(start.shift * chosen["size"] / start.size)
    if (group := chosen.get("per_class", 0)) > 0 and "micro_batch" not in chosen:
        most = max(group, start.micro_batch - start.micro_batch % group)
        batch = chosen.get("batch_size", start.batch_size)
        # Micro-batches of one size, where there is such a size.
        chosen["micro_batch"] = next((m for m in range(most, 0, -group) if batch % m == 0), most)
    return replace(start, **chosen)


def changes(told: Iterable[str]) -> dict[str, Any]:
    """Each ``field=value`` as the recipe's field with a value of its type.

    Raises ``SettingsError`` for a field that is unknown or a value that isn't of its type.
    """
    found = {}
    for text in told:
        field, sign, value = text.partition("=")
        if not sign:
            raise SettingsError(f"{text!r} is not FIELD=VALUE.", "For example: margin=0.3")
        found[field.strip()] = parse(field.strip(), value.strip())
    return found


def parse(field: str, text: str) -> Any:
    """``text`` as a value that ``recipe`` takes for ``field``; raises ``SettingsError``."""
    kinds = get_type_hints(Recipe)
    if field not in kinds:
        raise SettingsError(f"A recipe has no {field!r}.", f"It has: {', '.join(kinds)}.")
    kind = kinds[field]
    if NoneType in get_args(kind):
        if text.lower() == NONE:
            return NONE
        kind = get_args(kind)[0]
    if kind is bool:
        known = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
        if text.lower() in known:
            return known[text.lower()]
        raise SettingsError(f"{field} is true or false, not {text!r}.")
    try:
        return kind(text)
    except ValueError:
        words = {int: "a whole number", float: "a number"}
        raise SettingsError(f"{field} is {words[kind]}, not {text!r}.") from None
