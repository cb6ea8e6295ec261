"""A trained network as a model bundle: one ``model.onnx`` with its weights inside.

Nothing is written before ONNX Runtime has given the same embeddings as torch on real images, one
at a time and all at once: a search must answer as the network that was measured.
"""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from vizinho.bundle import BundleInfo, write_bundle
from vizinho.errors import TrainingError
from vizinho.preprocess import PreprocessSpec, normalise

#: Largest difference between torch and ONNX Runtime that is still the same model, as a share of
#: the largest number in the embeddings (absolute where that is under 1). Both compute in float32,
#: in another order; measured differences are around 1e-6.
LARGEST_DRIFT = 1e-4


def export_bundle(
    network: nn.Module,
    out: Path,
    *,
    name: str,
    spec: PreprocessSpec,
    normalised: bool,
    metrics: Mapping[str, Any],
    training: Mapping[str, Any],
    check_pixels: NDArray[np.uint8],
    calibration: Mapping[str, Any] | None = None,
) -> BundleInfo:
    """Write ``network`` as the bundle folder ``out``; the network itself is left as it was.

    ``check_pixels`` uint8 [M, H, W, 3], M >= 1, are images on which torch and ONNX Runtime must
    agree. Raises ``TrainingError`` when they don't, when the embeddings aren't finite, or when the
    network can't be exported.
    """
    plain = _plain_copy(network)
    images = normalise(check_pixels, spec)
    if len(images) == 0:
        raise TrainingError("Exporting needs at least one image to check the exported model on.")
    with torch.inference_mode():
        expected = plain(torch.from_numpy(images)).numpy()
    if not np.isfinite(expected).all():
        raise TrainingError(
            "The network's embeddings hold infinities or nan, so it is of no use as a model.",
            "Train again with a lower learning rate.",
        )
    onnx_bytes = network_to_onnx_bytes(plain, spec.size)
    _check_drift(onnx_bytes, images, expected)
    return write_bundle(
        out,
        onnx_bytes,
        name=name,
        dimension=expected.shape[1],
        preprocess=spec,
        normalised=normalised,
        calibration=calibration,
        metrics=dict(metrics),
        training=dict(training),
    )


def network_to_onnx_bytes(network: nn.Module, size: int) -> bytes:
    """ONNX of a network: ``images`` float32 [N, 3, size, size] -> ``embeddings`` float32 [N, D].

    N is free. Exported in evaluation mode, in float32, without the exporter's notes (they hold
    paths of this machine). Raises ``TrainingError`` when torch can't export the network.
    """
    plain = _plain_copy(network)
    # Two images: the exporter would take a batch of one for a constant.
    example = torch.zeros(2, 3, size, size)
    try:
        with _quiet():
            program = torch.onnx.export(
                plain,
                (example,),
                dynamo=True,
                verbose=False,
                external_data=False,
                input_names=["images"],
                output_names=["embeddings"],
                dynamic_shapes=({0: torch.export.Dim("N")},),
            )
    except ModuleNotFoundError as error:
        raise TrainingError(
            f"Exporting needs {error.name}, which isn't installed here.",
            "Install it with: pip install 'vizinho[train]'",
        ) from error
    except torch.onnx.OnnxExporterError as error:
        raise TrainingError(
            f"The network can't be exported to ONNX: {str(error).strip().splitlines()[0]}"
        ) from error
    if program is None:
        raise TrainingError("torch exported nothing.")
    model = program.model_proto
    _drop_notes(model)
    return bytes(model.SerializeToString(deterministic=True))


def _plain_copy(network: nn.Module) -> nn.Module:
    """The network for inference: a copy in float32, on the CPU, in the usual memory layout."""
    plain = copy.deepcopy(network).to(device="cpu", dtype=torch.float32)
    for tensor in (*plain.parameters(), *plain.buffers()):
        tensor.data = tensor.data.contiguous()
    return plain.eval().requires_grad_(False)


def _check_drift(
    onnx_bytes: bytes, images: NDArray[np.float32], expected: NDArray[np.float32]
) -> None:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(onnx_bytes, options, providers=["CPUExecutionProvider"])
    together = session.run(["embeddings"], {"images": images})[0]
    alone = session.run(["embeddings"], {"images": images[:1]})[0]
    scale = max(1.0, float(np.abs(expected).max()))
    for count, found in ((len(images), together), (1, alone)):
        if found.shape != (count, expected.shape[1]):
            raise TrainingError(
                f"The exported model gives embeddings of shape {list(found.shape)} for {count} "
                f"images; the network gives {[count, expected.shape[1]]}."
            )
        drift = float(np.abs(found - expected[:count]).max()) / scale
        if not drift <= LARGEST_DRIFT:
            raise TrainingError(
                f"The exported model differs from the network by {drift:.1e} on {count} of the "
                f"images it was checked on; {LARGEST_DRIFT:.0e} is allowed.",
                "The network may hold an operation that ONNX Runtime computes differently.",
            )


def _drop_notes(model: Any) -> None:
    for part in (
        model,
        model.graph,
        *model.graph.input,
        *model.graph.output,
        *model.graph.value_info,
        *model.graph.initializer,
        *model.graph.node,
        *model.functions,
    ):
        del part.metadata_props[:]
        part.ClearField("doc_string")


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter tells about torchvision and deprecations of its own; none concern a user."""
    log = logging.getLogger("torch.onnx")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(before)
