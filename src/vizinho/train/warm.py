"""First weights out of a model bundle: ``model.onnx`` back into a torch network.

The exporter keeps a layer's name but may share equal tensors between layers, and folds a batch
normalisation that follows a convolution directly into it. So layers are matched by the order in
which both compute them, and checked by name where the file still has it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vizinho.bundle import INFO_FILE, MODEL_FILE, read_bundle, read_model, resolve_bundle
from vizinho.errors import BundleError, SettingsError, TrainingError
from vizinho.train.networks import Mirrored

#: What a network must be for a bundle's weights to fit it, and may not be told otherwise.
SHAPE = ("network", "stem", "width")

#: What is taken over as well where nothing else is told.
TAKEN_OVER = (*SHAPE, "dimension", "normalise", "mirrored", "size", "low_size")

#: Images that are enough to take a folded normalisation's statistics from.
UNFOLDED = 500

_LAYERS = (nn.Conv2d, nn.BatchNorm2d, nn.Linear)


@dataclass(frozen=True)
class BundleWeights:
    """``weights`` by the network's own names; ``folded``: the batch normalisations among them that
    the exporter had folded away, which :func:`unfold` gives their statistics back."""

    weights: dict[str, Tensor]
    folded: tuple[str, ...]


def bundle_of(init: str) -> Path | None:
    """The folder of the bundle that ``init`` names: itself, or a shipped model's; None if none."""
    path = Path(init).expanduser()
    if init in ("random", "imagenet") or path.is_file():
        return None
    try:
        folder = resolve_bundle(init)
    except BundleError:
        return None
    return folder if (folder / INFO_FILE).is_file() or (folder / MODEL_FILE).is_file() else None


def architecture(init: str, told: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe's fields that follow from starting with ``init``; empty where that is no bundle.

    ``told``: the fields that a person chose; they stay out of the answer. Raises ``SettingsError``
    when one of them contradicts the bundle's network, ``BundleError`` for a damaged bundle.
    """
    folder = bundle_of(init)
    if folder is None:
        if init not in ("random", "imagenet") and not Path(init).expanduser().is_file():
            raise nowhere(init)
        return {}
    info = read_bundle(folder)
    recipe = info.training.get("recipe")
    if not isinstance(recipe, dict):
        return {}
    theirs = {field: recipe[field] for field in TAKEN_OVER if field in recipe}
    # A descriptor of features is as wide as the network; the head below counts here.
    for field in SHAPE:
        if field == "stem" and str(theirs.get("network")) == "fastnet":
            continue
        if told.get(field) is not None and field in theirs and told[field] != theirs[field]:
            raise SettingsError(
                f"{init} is a network with {field} {theirs[field]}; told was {told[field]}.",
                f"Leave {field} out, or start from other weights.",
            )
    if told.get("size") is not None:
        theirs.pop("low_size", None)
    return {field: value for field, value in theirs.items() if told.get(field) is None}


def nowhere(init: str) -> SettingsError:
    """The error for an ``init`` that names nothing."""
    return SettingsError(
        f"--init names {init!r}, and there is no such file or model bundle.",
        "Give random, imagenet, a bundle's folder, a shipped model's name, or a file of weights.",
    )


def bundle_weights(folder: Path, body: nn.Module) -> BundleWeights:
    """The weights of the bundle ``folder`` by the names that the network ``body`` gives them.

    ``body`` takes float32 [N, 3, S, S] of the bundle's size S. A head that the bundle lacks or has
    in another shape is left out. Raises ``TrainingError`` when the two don't compute the same
    layers in the same order, ``BundleError``, and ``TrainingError`` where onnx isn't installed.
    """
    try:
        import onnx
        from onnx import numpy_helper
    except ModuleNotFoundError as error:
        raise TrainingError(
            "Reading a bundle's weights needs onnx, which isn't installed here.",
            "Install it with: pip install 'vizinho[train]'",
        ) from error
    info, data = read_model(folder)
    graph = onnx.load_from_string(data).graph
    values = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
    nodes = iter(_nodes(graph, values))
    weights: dict[str, Tensor] = {}
    folded: list[str] = []
    node, bias = next(nodes, None), None
    for name, layer in _called(body, info.preprocess.size):
        kind = next(each.__name__ for each in _LAYERS if isinstance(layer, each))
        if isinstance(layer, nn.BatchNorm2d) and (node is None or node.kind != kind):
            if bias is None:
                raise _unlike(folder, f"{name} has no statistics in it")
            weights.update(_plain_norm(name, layer, bias))
            folded.append(name)
            bias = None
            continue
        if isinstance(layer, nn.Linear) and (node is None or node.kind != kind):
            # Exported without its head: the embedding is the layer below.
            continue
        if node is None or node.kind != kind:
            raise _unlike(folder, f"{name} is a {kind} here and {node and node.kind} there")
        known = node.known.removeprefix("network.")
        if not isinstance(layer, nn.BatchNorm2d) and known != f"{name}.weight":
            raise _unlike(folder, f"{name}.weight meets {node.known}")
        found = node.tensors(layer)
        bias = (
            found.pop("bias", None) if isinstance(layer, nn.Conv2d) and layer.bias is None else None
        )
        weights.update({f"{name}.{field}": value for field, value in found.items()})
        node = next(nodes, None)
    return BundleWeights(weights, tuple(folded))


@torch.no_grad()
def unfold(network: nn.Module, folded: tuple[str, ...], images: Tensor) -> None:
    """Gives folded batch normalisations statistics, from ``images`` float32 [N, 3, H, W], in place.

    In evaluation mode the network computes what it did before; in training mode, where a batch's
    own statistics are taken, nearly the same, which with a mean of 0 and a variance of 1 it would
    not.
    """
    body = network.network if isinstance(network, Mirrored) else network
    training = network.training

    def fit(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(layer, nn.BatchNorm2d)
        assert layer.running_mean is not None
        assert layer.running_var is not None
        mean, variance = inputs[0].mean(dim=(0, 2, 3)), inputs[0].var(dim=(0, 2, 3))
        scale, shift = _as_line(layer)
        # scale x + shift, told as a normalisation: the same line through other numbers.
        layer.running_mean.copy_(mean)
        layer.running_var.copy_(variance)
        layer.weight.copy_(scale * torch.sqrt(variance + layer.eps))
        layer.bias.copy_(shift + scale * mean)

    hooks = [body.get_submodule(name).register_forward_pre_hook(fit) for name in folded]
    body.eval()
    body(images)
    for hook in hooks:
        hook.remove()
    network.train(training)


def _as_line(layer: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    assert layer.running_mean is not None
    assert layer.running_var is not None
    scale = layer.weight / torch.sqrt(layer.running_var + layer.eps)
    return scale, layer.bias - scale * layer.running_mean


@dataclass(frozen=True)
class _Node:
    """One layer of the file: the ``known`` name of its weight, and its arrays in ONNX's order."""

    kind: str
    known: str
    arrays: tuple[np.ndarray, ...]

    def tensors(self, layer: nn.Module) -> dict[str, Tensor]:
        fields = ["weight", "bias"]
        if isinstance(layer, nn.BatchNorm2d):
            fields += ["running_mean", "running_var"]
        found = {
            field: torch.from_numpy(array.copy())
            for field, array in zip(fields, self.arrays, strict=False)
        }
        if isinstance(layer, nn.BatchNorm2d):
            found["num_batches_tracked"] = torch.tensor(0)
        return found


def _nodes(graph: Any, values: Mapping[str, np.ndarray]) -> Iterator[_Node]:
    kinds = {"Conv": "Conv2d", "BatchNormalization": "BatchNorm2d", "Gemm": "Linear"}
    for node in graph.node:
        if node.op_type in kinds and all(name in values for name in node.input[1:]):
            arrays = tuple(values[name] for name in node.input[1:])
            turned = {each.name: each.i for each in node.attribute}.get("transB", 1)
            if node.op_type == "Gemm" and not turned:
                arrays = (arrays[0].T, *arrays[1:])
            yield _Node(kinds[node.op_type], node.input[1], arrays)


@torch.no_grad()
def _called(body: nn.Module, size: int) -> list[tuple[str, nn.Module]]:
    """The layers with weights in the order in which one forward pass calls them."""
    order: list[tuple[str, nn.Module]] = []
    hooks = [
        layer.register_forward_pre_hook(
            lambda module, inputs, name=name: order.append((name, module))
        )
        for name, layer in body.named_modules()
        if isinstance(layer, _LAYERS)
    ]
    training, descriptor = body.training, getattr(body, "descriptor", None)
    body.eval()
    if isinstance(descriptor, str):
        # The head is learned, and so wanted, whichever layer is going to be the embedding.
        body.descriptor = "head"  # type: ignore[assignment]
    device = next(body.parameters()).device
    body(torch.zeros(1, 3, size, size, device=device))
    body.train(training)
    if isinstance(descriptor, str):
        body.descriptor = descriptor  # type: ignore[assignment]
    for hook in hooks:
        hook.remove()
    return order


def _plain_norm(name: str, layer: nn.BatchNorm2d, bias: Tensor) -> dict[str, Tensor]:
    one = torch.ones_like(bias)
    return {
        f"{name}.weight": one,
        f"{name}.bias": bias,
        f"{name}.running_mean": torch.zeros_like(bias),
        f"{name}.running_var": one - layer.eps,
        f"{name}.num_batches_tracked": torch.tensor(0),
    }


def _unlike(folder: Path, what: str) -> TrainingError:
    return TrainingError(
        f"The network in {folder} is another one: {what}.",
        "Name the network, stem and width that it was trained with.",
    )
