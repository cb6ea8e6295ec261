"""How a network ends, read from its graph: global pooling, a linear layer, unit length, both sides.

Walks backwards from ``embeddings``. What it finds is a proposal; `Explainer` computes the
embedding from it and compares before it explains anything.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vizinho.embedder import INPUT, OUTPUT
from vizinho.errors import NotExplainable
from vizinho.explain.wire import Graph, Node, read_graph

HINT = "Explained are networks that end in global pooling and a linear layer, in float32."

_RESHAPED = {"Flatten", "Identity", "Reshape", "Squeeze", "Dropout"}
_POOLINGS = {
    "ReduceMean": "average",
    "GlobalAveragePool": "average",
    "ReduceMax": "max",
    "GlobalMaxPool": "max",
}
# Operations that leave each position where it is.
_IN_PLACE = {"Add", "Sub", "Mul", "Div", "Clip", "Identity", "BatchNormalization", "Erf", "Gelu"}
_IN_PLACE |= {"Relu", "LeakyRelu", "PRelu", "Elu", "Selu", "Sigmoid", "HardSigmoid", "HardSwish"}
_IN_PLACE |= {"Mish", "Softplus", "Tanh"}
_WINDOWED = {"Conv", "MaxPool", "AveragePool"}

Pair = tuple[float, float]


@dataclass(frozen=True)
class Place:
    """Where the positions of a feature map look: ``start`` is the middle of the first one's field
    of view, ``step`` the way to the next; (down, across), in pixels of the network's input."""

    start: Pair
    step: Pair


@dataclass(frozen=True)
class View:
    """One sight of a picture: ``factor`` x (``weight`` @ pooled ``features`` + ``bias``), brought
    to length 1 before that where ``unit``.

    ``weight`` float64 [D, C] is None where the pooled features are the embedding. ``place`` is None
    where the graph does not tell it.
    """

    features: str
    pooling: str
    weight: NDArray[np.float64] | None
    bias: NDArray[np.float64] | None
    factor: float
    unit: bool
    mirrored: bool
    place: Place | None


@dataclass(frozen=True)
class Tail:
    """The sum of the views, brought to length 1 where ``unit``: the embedding."""

    views: tuple[View, ...]
    unit: bool


def read_tail(data: bytes | memoryview) -> Tail:
    """How the network in these bytes of ONNX ends. Raises NotExplainable for another end."""
    try:
        graph = read_graph(data)
        inside, unit = _unit(graph, OUTPUT)
        views = tuple(_view(graph, name, factor) for name, factor in _sum(graph, inside))
    except (ValueError, LookupError, TypeError, OverflowError, RecursionError) as error:
        # What no exporter writes: a node without inputs, an axis that is text, a circle.
        raise NotExplainable(f"The network can't be read: {error}.", HINT) from error
    return Tail(views, unit)


def _past(graph: Graph, name: str, passed: Collection[str]) -> tuple[Node | None, str]:
    """The operation that computes ``name``, past those ``passed``, and its output's name."""
    for _ in range(len(graph.nodes) + 1):
        node = graph.nodes.get(name)
        if node is None or node.op not in passed:
            return node, name
        name = node.inputs[0]
    raise ValueError("it goes round in a circle")


def _made_by(graph: Graph, name: str) -> tuple[Node, str]:
    """The operation that computes ``name``, past those that only reshape, and its output's name."""
    node, name = _past(graph, name, _RESHAPED)
    if node is None or not node.inputs:
        raise NotExplainable("The network does not end in pooling over a feature map.", HINT)
    return node, name


def _unit(graph: Graph, name: str) -> tuple[str, bool]:
    """What is brought to length 1 to make ``name``, and True; or ``name`` itself and False."""
    node, _ = _made_by(graph, name)
    if node.op == "LpNormalization" and node.attributes.get("p", 2) == 2:
        return node.inputs[0], True
    if node.op == "Div":
        norm, _ = _past(graph, node.inputs[1], ("Expand", "Clip", "Max", "Identity"))
        if norm is not None and norm.op == "ReduceL2" and norm.inputs[0] == node.inputs[0]:
            return node.inputs[0], True
    return name, False


def _sum(graph: Graph, name: str, factor: float = 1.0) -> list[tuple[str, float]]:
    """The tensors, and a factor for each, that add up to ``name``."""
    node, name = _made_by(graph, name)
    if node.op == "Add" and all(graph.constant(each) is None for each in node.inputs):
        return [part for each in node.inputs for part in _sum(graph, each, factor)]
    if node.op in ("Mul", "Div"):
        scalar = graph.constant(node.inputs[1])
        if scalar is not None and scalar.size == 1 and (value := float(scalar.ravel()[0])):
            by = factor * value if node.op == "Mul" else factor / value
            return _sum(graph, node.inputs[0], by)
    return [(name, factor)]


def _view(graph: Graph, name: str, factor: float) -> View:
    inside, unit = _unit(graph, name)
    pooled, weight, bias = _linear(graph, inside)
    node, _ = _made_by(graph, pooled)
    if node.op not in _POOLINGS or not _over_positions(graph, node):
        raise NotExplainable(f"The network ends in {node.op}, not in global pooling.", HINT)
    features = node.inputs[0]
    mirrored, place = _path(graph, features)
    return View(features, _POOLINGS[node.op], weight, bias, factor, unit, mirrored, place)


def _linear(
    graph: Graph, name: str
) -> tuple[str, NDArray[np.float64] | None, NDArray[np.float64] | None]:
    """The input, weight [D, C] and bias [D] of a linear layer; no weight where there is none."""
    node, name = _made_by(graph, name)
    bias = None
    if node.op == "Add":
        constants = [graph.constant(each) for each in node.inputs]
        bias = next((_floats(found) for found in constants if found is not None), None)
        dynamic = [
            each for each, found in zip(node.inputs, constants, strict=True) if found is None
        ]
        node, name = _made_by(graph, dynamic[0] if dynamic else "")
    if node.op not in ("Gemm", "MatMul"):
        return name, None, bias
    found = graph.constant(node.inputs[1])
    plain = {"alpha": 1.0, "beta": 1.0, "transA": 0}
    if found is None or any(node.attributes.get(k, v) != v for k, v in plain.items()):
        raise NotExplainable("The network's last linear layer has no weights of its own.", HINT)
    weight = _floats(found)
    if node.op == "MatMul" or not node.attributes.get("transB", 0):
        weight = weight.T
    if len(node.inputs) > 2 and (own := graph.constant(node.inputs[2])) is not None:
        bias = _floats(own)
    return node.inputs[0], weight, bias


def _floats(values: NDArray[Any]) -> NDArray[np.float64]:
    return values.astype(np.float64)


def _over_positions(graph: Graph, node: Node) -> bool:
    """Whether a pooling goes over height and width, all of them."""
    if node.op.startswith("Global"):
        return True
    axes = node.attributes.get("axes")
    if axes is None and len(node.inputs) > 1:
        axes = graph.constant(node.inputs[1])
    return axes is not None and {int(axis) % 4 for axis in axes} == {2, 3}


def _path(graph: Graph, name: str) -> tuple[bool, Place | None]:
    """Whether a feature map sees the mirrored picture, and where its positions look.

    Arithmetic of fields of view: A. Araujo, W. Norris and J. Sim, "Computing Receptive Fields of
    Convolutional Neural Networks" (Distill, 2019). Of paths that meet again one is followed: a
    network that adds them up has them look at the same places.
    """
    steps: list[Node] = []
    mirrored = False
    while name != INPUT:
        node = graph.nodes.get(name)
        if node is None or not node.inputs:
            raise NotExplainable("The network's feature map does not come from the picture.", HINT)
        if node.op == "Slice" and node.inputs[0] == INPUT:
            mirrored = _mirrors(graph, node)
        else:
            steps.append(node)
        name = node.inputs[0]
        if len(steps) > len(graph.nodes):
            raise ValueError("it goes round in a circle")
    return mirrored, _place(steps[::-1])


def _mirrors(graph: Graph, node: Node) -> bool:
    axes, by = [*map(graph.constant, node.inputs[3:5]), None, None][:2]
    if axes is None or by is None or [int(a) % 4 for a in axes] != [3] or list(by) != [-1]:
        raise NotExplainable("The network looks at a part of the picture.", HINT)
    return True


def _place(steps: list[Node]) -> Place | None:
    start, step = [0.5, 0.5], [1.0, 1.0]
    for node in steps:
        if node.op in _IN_PLACE:
            continue
        told = node.attributes
        size = told.get("kernel_shape")
        if node.op not in _WINDOWED or size is None or len(size) != 2:
            return None
        if told.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
            return None
        pads, wide = told.get("pads", [0] * 4), told.get("dilations", [1, 1])
        for axis in (0, 1):
            reach = wide[axis] * (size[axis] - 1)
            start[axis] += (reach / 2 - pads[axis]) * step[axis]
            step[axis] *= told.get("strides", [1, 1])[axis]
    if not all(map(math.isfinite, (*start, *step))):
        return None
    return Place((start[0], start[1]), (step[0], step[1]))
