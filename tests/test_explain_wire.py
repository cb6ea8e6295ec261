"""The reader of ONNX files beside the `onnx` library, and ends of networks that others write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, load_from_string, numpy_helper

from test_explain import assert_adds_up
from toy_explained import SPEC, make_explained_bundle
from toys import noise
from vizinho.bundle import write_bundle
from vizinho.embedder import Embedder
from vizinho.errors import NotExplainable
from vizinho.explain import Explainer
from vizinho.explain.tail import read_tail
from vizinho.explain.wire import read_graph, with_outputs

SHIPPED = Path(__file__).resolve().parents[1] / "models" / "cifar10-fastnet" / "model.onnx"
SIZE = SPEC.size


def test_graph_is_what_onnx_reads() -> None:
    data = SHIPPED.read_bytes()
    found, expected = read_graph(data), load_from_string(data).graph
    made = [name for node in expected.node for name in node.output]
    assert sorted(found.nodes) == sorted(made)
    for node in expected.node:
        ours = found.nodes[node.output[0]]
        assert (ours.op, list(ours.inputs)) == (node.op_type, list(node.input))
        assert list(ours.outputs) == list(node.output)
        for attribute in node.attribute:
            value = helper.get_attribute_value(attribute)
            told = ours.attributes[attribute.name]
            # An empty list and nothing are the same bytes.
            assert told == (value if isinstance(value, bytes | int) else pytest.approx(value))
    assert len(found.tensors) == len(expected.initializer)
    for tensor in expected.initializer:
        ours_too = found.constant(tensor.name)
        assert ours_too is not None
        assert np.array_equal(ours_too, numpy_helper.to_array(tensor))


def test_more_outputs_leave_the_rest_as_it_is() -> None:
    data = SHIPPED.read_bytes()
    # So many and so long that the length takes two bytes.
    names = [f"{'map' * 20}{number}" for number in range(9)]
    graph = load_from_string(with_outputs(data, names)).graph
    assert [output.name for output in graph.output] == ["embeddings", *names]
    del graph.output[1:]
    assert graph == load_from_string(data).graph


@pytest.mark.parametrize("kind", ["raw", "listed", "constant"])
def test_constants_however_they_are_written(kind: str) -> None:
    values = [-1, 3, 2**40, -(2**40)]
    tensor = helper.make_tensor("x", TensorProto.INT64, [2, 2], values)
    if kind == "raw":
        tensor = numpy_helper.from_array(np.array(values).reshape(2, 2), "x")
    constant = helper.make_node("Constant", [], ["x"], value=tensor)
    nodes, tensors = ([constant], []) if kind == "constant" else ([], [tensor])
    graph = helper.make_graph(nodes, "g", [], [], tensors)
    found = read_graph(helper.make_model(graph).SerializeToString()).constant("x")
    assert found is not None
    assert found.tolist() == [values[:2], values[2:]]


def test_other_types_are_no_constants() -> None:
    tensors = [numpy_helper.from_array(np.array([True]), "b")]
    graph = helper.make_graph([], "g", [], [], tensors)
    found = read_graph(helper.make_model(graph).SerializeToString())
    assert found.constant("b") is None
    assert found.constant("absent") is None


def test_damaged_files_are_refused_and_nothing_else(tmp_path: Path) -> None:
    data = (make_explained_bundle(tmp_path) / "model.onnx").read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for number in range(600):
        broken = bytearray(data[: rng.integers(0, len(data))] if number % 2 else data)
        for place in rng.integers(0, max(1, len(broken)), 3 if broken else 0):
            broken[place] = rng.integers(0, 256)
        try:
            read_tail(bytes(broken))
        except NotExplainable:
            refused += 1
    assert refused > 300


def bundle(
    folder: Path, nodes: list[Any], constants: dict[str, np.ndarray], dimension: int
) -> Path:
    """A network over the mean colours of 4 x 4 cells: ``grid`` [N, 3, 4, 4]."""
    step = SIZE // 4
    cells = helper.make_node(
        "AveragePool", ["images"], ["grid"], kernel_shape=[step, step], strides=[step, step]
    )
    graph = helper.make_graph(
        [cells, *nodes],
        "g",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["N", 3, SIZE, SIZE])],
        [helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, ["N", dimension])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    write_bundle(
        folder / "g",
        model.SerializeToString(),
        name="g",
        dimension=dimension,
        preprocess=SPEC,
        normalised=False,
    )
    return folder / "g"


RNG = np.random.default_rng(7)
WEIGHT = RNG.normal(size=(3, 5)).astype(np.float32)
BIAS = RNG.normal(size=5).astype(np.float32)
node = helper.make_node
POOLED = [
    node("GlobalAveragePool", ["grid"], ["pooled"]),
    node("Flatten", ["pooled"], ["flat"]),
]
ENDS: dict[str, list[Any]] = {
    "matmul and bias": [
        node("MatMul", ["flat", "weight"], ["product"]),
        node("Add", ["bias", "product"], ["embeddings"]),
    ],
    "gemm, plain": [node("Gemm", ["flat", "weight", "bias"], ["embeddings"])],
    "no bias, unit length": [
        node("MatMul", ["flat", "weight"], ["product"]),
        node("LpNormalization", ["product"], ["embeddings"], axis=1, p=2),
    ],
    "halved": [
        node("MatMul", ["flat", "weight"], ["product"]),
        node("Mul", ["product", "half"], ["embeddings"]),
    ],
}


@pytest.mark.parametrize("end", ENDS)
def test_ends_that_others_write(tmp_path: Path, end: str) -> None:
    constants = {"weight": WEIGHT, "bias": BIAS, "half": np.array(0.5, np.float32)}
    path = bundle(tmp_path, [*POOLED, *ENDS[end]], constants, 5)
    pictures = [noise(1), noise(2)]
    found = Explainer.open(path).explain(*pictures)
    assert_adds_up(found, Embedder.open(path).embed(pictures))
    assert found.query.values.shape == (4, 4)
    assert (abs(found.query.bias) > 1e-3) == (end in ("matmul and bias", "gemm, plain"))


@pytest.mark.parametrize(
    ("nodes", "reason"),
    [
        # Over one side only.
        ([node("ReduceMean", ["grid"], ["rows"], axes=[3], keepdims=0),
          node("Flatten", ["rows"], ["embeddings"])], "not in global pooling"),
        # A layer with weights that the picture makes.
        ([*POOLED, node("Transpose", ["flat"], ["turned"]),
          node("MatMul", ["flat", "turned"], ["embeddings"])], "no weights of its own"),
        # Something after the layer.
        ([*POOLED, node("Tanh", ["flat"], ["embeddings"])], "not in global pooling"),
        # A part of the picture.
        ([node("Slice", ["images", "zero", "two", "three"], ["part"]),
          node("GlobalAveragePool", ["part"], ["pooled"]),
          node("Flatten", ["pooled"], ["embeddings"])], "part of the picture"),
        ([node("Flatten", ["embeddings"], ["embeddings"])], "circle"),
        ([*POOLED, node("Flatten", ["flat"], ["embeddings"]),
          node("Relu", ["grid"], ["grid"])], "circle"),
    ],
    ids=["one side", "self-made weights", "tanh", "part", "circle", "circle below"],
)  # fmt: skip
def test_ends_that_can_not_be_taken_apart(nodes: list[Any], reason: str) -> None:
    constants = {"zero": np.array([0]), "two": np.array([2]), "three": np.array([3])}
    tensors = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    cells = node("AveragePool", ["images"], ["grid"], kernel_shape=[8, 8], strides=[8, 8])
    graph = helper.make_graph([cells, *nodes], "g", [], [], tensors)
    with pytest.raises(NotExplainable, match=reason):
        read_tail(helper.make_model(graph).SerializeToString())
