"""What a training is told: one frozen ``Recipe``, and the recipes that have a name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Final, get_type_hints

from vizinho.errors import SettingsError
from vizinho.preprocess import PreprocessSpec

CHOICES: Final[Mapping[str, tuple[str, ...]]] = {
    "network": ("fastnet", "resnet18", "resnet34", "resnet50"),
    "stem": ("imagenet", "cifar"),
    "descriptor": ("head", "features"),
    "distance": ("squared", "euclidean"),
    "loss": ("triplet", "softmax"),
    "mining": ("batch-hard", "semi-hard", "batch-all"),
    "optimiser": ("muon", "sgd"),
    "schedule": ("linear", "cosine", "steps"),
    "augment": ("plain", "strong"),
}

#: The small copies' side as a share of the pictures', where only ``size`` is told.
LOW_SCALE: Final = 0.75

#: Fields that say what is exported, not what is learned: one training serves all their values.
EXPORT_ONLY: Final = frozenset({"mirrored", "descriptor"})


def wide_shape(network: str) -> tuple[int, int] | None:
    """``wrnD-K`` as blocks in each group, (D - 4) / 6, and widening factor; None for other names.

    Raises ``SettingsError`` for a depth or a width that no wide ResNet has.
    """
    found = re.fullmatch(r"wrn(\d+)-(\d+)", network)
    if not found:
        return None
    depth, widen = int(found[1]), int(found[2])
    if depth < 10 or (depth - 4) % 6 or widen < 1:
        raise SettingsError(
            f"There is no wide ResNet {network!r}.",
            "Its depth is 6 n + 4 (10, 16, 22, 28, 34, 40), its width at least 1: wrn28-10.",
        )
    return (depth - 4) // 6, widen


@dataclass(frozen=True)
class Recipe:
    """Every choice that changes the weights that come out. Raises ``SettingsError``.

    - ``network`` with ``stem`` (ResNets only), embedding ``dimension``, ``normalise`` (unit length)
      and ``mirrored``: embed the picture and its mirror image and take the middle of both.
      ``width``: channels of fastnet's first block; its others have four times as many.
    - ``descriptor``: the layer that is the embedding, ``head`` or (fastnet only) the ``features``
      below it.
    - ``loss``: ``triplet`` (hinge with ``margin`` and ``mining`` on the ``distance``) or
      ``softmax`` (cosines to class proxies at ``temperature`` with label ``smoothing``, plus
      ``supcon`` x SupCon).
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
    - ``size`` in pixels; the first ``low_share`` of the epochs run at ``low_size``.
    - ``holdout``: images of the training set kept aside, evenly by class, to measure on; which
      ones is ``split_seed``'s choice, or ``seed``'s where that is -1.
    """

    network: str = "fastnet"
    stem: str = "imagenet"
    width: int = 64
    dimension: int = 64
    normalise: bool = True
    mirrored: bool = True
    descriptor: str = "head"
    loss: str = "softmax"
    margin: float = 0.3
    mining: str = "batch-hard"
    distance: str = "squared"
    temperature: float = 0.1
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
    holdout: int = 2000
    init: str = "random"
    seed: int = 0
    split_seed: int = -1

    def __post_init__(self) -> None:
        for field, choices in CHOICES.items():
            if field == "network" and wide_shape(self.network):
                continue
            if getattr(self, field) not in choices:
                others = " or a wide ResNet: wrn16-4, wrn28-10" if field == "network" else ""
                raise SettingsError(
                    f"{field} can't be {getattr(self, field)!r}.",
                    f"Choose one of: {', '.join(choices)}{others}.",
                )
        positive = ("dimension", "margin", "temperature", "lr", "head_lr", "epochs", "step_epochs")
        sizes = ("width", "batch_size", "micro_batch", "size", "low_size", "teachers")
        for field in (*positive, *sizes):
            if not getattr(self, field) > 0:
                raise SettingsError(f"{field} must be above zero, not {getattr(self, field)}.")
        for field in ("weight_decay", "supcon", "shift", "holdout", "seed", "cutout"):
            if not getattr(self, field) >= 0:
                raise SettingsError(f"{field} must be zero or more, not {getattr(self, field)}.")
        for field in ("momentum", "smoothing", "low_share", "average"):
            if not 0 <= getattr(self, field) < 1:
                raise SettingsError(
                    f"{field} must be at least 0 and below 1, not {getattr(self, field)}."
                )
        if self.split_seed < -1 or self.teacher_epochs < 0:
            raise SettingsError("split_seed is at least -1, teacher_epochs at least 0.")
        if not 0 <= self.distil <= 1 or bool(self.distil) != bool(self.teacher):
            raise SettingsError(
                f"distil is {self.distil} and teacher is {self.teacher!r}.",
                "A teacher needs a share of the loss above 0 and up to 1; no teacher, 0.",
            )
        if self.network != "fastnet" and self.descriptor == "features":
            raise SettingsError("Only fastnet has a descriptor below its head.")
        if self.network == "fastnet" and min(self.size, self.low_size) < 18:
            raise SettingsError("fastnet needs images of at least 18 x 18 pixels.")

    @property
    def spec(self) -> PreprocessSpec:
        """How images are prepared for this network: the thesis's mean = std = 0.5."""
        return PreprocessSpec(size=self.size)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON and checkpoints."""
        return asdict(self)


RECIPES: Final[Mapping[str, tuple[str, Recipe]]] = {
    "fast": ("the small network and the shipped model's loss; an hour on two cores", Recipe()),
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
            # Triplets drawn at random, as in the thesis, in the mean.
            mining="batch-all",
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

    ``low_size`` follows ``size`` unless it is told too. Raises ``SettingsError`` for an unknown
    name, field or value.
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
    return replace(RECIPES[name][1], **chosen)


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
    """``text`` as a value of the recipe's ``field``; raises ``SettingsError``."""
    kinds = get_type_hints(Recipe)
    if field not in kinds:
        raise SettingsError(f"A recipe has no {field!r}.", f"It has: {', '.join(kinds)}.")
    kind = kinds[field]
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
