"""A model whose explanations can be computed by hand: the network sees four quarters."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vizinho.bundle import write_bundle
from vizinho.preprocess import PreprocessSpec

SPEC = PreprocessSpec(size=32, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


def make_explained_bundle(
    folder: Path, name: str = "quarters", *, pooling: str = "ReduceMean", last: str = "Gemm"
) -> Path:
    """Write the bundle ``folder/name`` and return its path.

    Its feature map is the mean colour of each quarter, [3, 2, 2]. Averaged (or the largest taken,
    with "ReduceMax"), and through a linear layer that doubles red, keeps green and blue, and has
    the constant (0, 0, 0.5): a picture all of one colour (r, g, b) embeds as (2 r, g, b + 0.5),
    where each is 0..1; not normalised. ``last`` "Relu" puts one after the layer, which then can't
    be explained.
    """
    from onnx import TensorProto, helper, numpy_helper

    half = SPEC.size // 2
    nodes = [
        helper.make_node(
            "AveragePool", ["images"], ["grid"], kernel_shape=[half, half], strides=[half, half]
        ),
        helper.make_node(pooling, ["grid", "axes"], ["pooled"], keepdims=0),
        helper.make_node("Gemm", ["pooled", "weight", "bias"], ["embeddings"], transB=1),
    ]
    if last != "Gemm":
        nodes[-1].output[0] = "linear"
        nodes.append(helper.make_node(last, ["linear"], ["embeddings"]))
    constants = {
        "axes": np.array([2, 3]),
        "weight": np.diag([2.0, 1.0, 1.0]).astype(np.float32),
        "bias": np.array([0, 0, 0.5], np.float32),
    }
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["N", 3, 32, 32])],
        [helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, ["N", 3])],
        [numpy_helper.from_array(value, key) for key, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    path = Path(folder) / name
    write_bundle(
        path,
        model.SerializeToString(),
        name=name,
        dimension=3,
        preprocess=SPEC,
        normalised=False,
    )
    return path
