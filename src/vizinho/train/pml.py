"""Any loss of pytorch-metric-learning by name: ``pml:CircleLoss`` or ``pml:CircleLoss(m=0.3)``."""

from __future__ import annotations

import ast
import inspect
from typing import Any, Final

from torch import nn

from vizinho.errors import SettingsError
from vizinho.train.checks import PML

#: Their names for how many classes there are and how many dimensions an embedding has.
CLASSES: Final = ("num_classes",)
DIMENSION: Final = ("embedding_size", "descriptors_dim")


def pml_loss(name: str, classes: int, dimension: int) -> nn.Module:
    """The loss that ``name`` tells: a class of ``pytorch_metric_learning.losses`` as it is.

    Arguments are keywords with plain values (numbers, texts, True, None, lists). The numbers of
    classes and dimensions are filled in where its signature needs them. Raises ``SettingsError``
    when the package is missing, or the name or an argument is unknown to it.
    """
    kind, told = parse_call(name)
    try:
        from pytorch_metric_learning import losses
    except ModuleNotFoundError as error:
        # Another module missing inside it is its own fault, told in its own words.
        if error.name is None or error.name.split(".")[0] != "pytorch_metric_learning":
            raise
        raise SettingsError(
            f"{name} needs pytorch-metric-learning, which isn't installed here.",
            "Install it with: pip install 'vizinho[losses]'",
        ) from error
    chosen = getattr(losses, kind, None)
    if not (inspect.isclass(chosen) and issubclass(chosen, nn.Module)):
        known = sorted(each for each in dir(losses) if each.endswith("Loss"))
        raise SettingsError(
            f"pytorch-metric-learning has no loss {kind!r}.", f"It has: {', '.join(known)}."
        )
    needed = required(chosen)
    sizes = {**dict.fromkeys(CLASSES, classes), **dict.fromkeys(DIMENSION, dimension)}
    given = {word: value for word, value in sizes.items() if word in needed}
    try:
        loss: nn.Module = chosen(**{**given, **told})
    except (TypeError, ValueError, AssertionError) as error:
        raise SettingsError(
            f"{kind} of pytorch-metric-learning can't be made with {told}: {error}",
            f"It takes: {', '.join(sorted(arguments(chosen)))}. Where one is no plain value, build "
            "the loss in Python and hand it to vizinho.train.loop.train.",
        ) from error
    return loss


def parse_call(name: str) -> tuple[str, dict[str, Any]]:
    """``pml:Kind(a=1, b='x')`` -> ("Kind", {"a": 1, "b": "x"}); nothing in it is executed.

    Raises ``SettingsError`` for anything but a name with keywords of plain values.
    """
    try:
        node: ast.expr = ast.parse(name.removeprefix(PML).strip(), mode="eval").body
        if isinstance(node, ast.Name):
            return node.id, {}
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.args:
            told = {word.arg: ast.literal_eval(word.value) for word in node.keywords if word.arg}
            if len(told) == len(node.keywords):
                return node.func.id, told
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
        pass
    raise SettingsError(
        f"{name!r} is not a loss with its arguments.",
        f"For example: {PML}CircleLoss or '{PML}CircleLoss(m=0.3, gamma=80)'.",
    )


def arguments(kind: type) -> set[str]:
    """All arguments in its signature, and in those of the parents it hands on to."""
    return {parameter.name for parameter in _parameters(kind)}


def required(kind: type) -> set[str]:
    """Those of its ``arguments`` that have no default."""
    return {each.name for each in _parameters(kind) if each.default is each.empty}


def _parameters(kind: type) -> list[inspect.Parameter]:
    found: list[inspect.Parameter] = []
    several = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    for each in kind.__mro__:
        if "__init__" not in vars(each):
            continue
        parameters = list(inspect.signature(vars(each)["__init__"]).parameters.values())[1:]
        found += [one for one in parameters if one.kind not in several]
        if not any(one.kind is one.VAR_KEYWORD for one in parameters):
            break
    return found
