"""A model whose vectors can be read, and pictures to feed it."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from vizinho.bundle import write_bundle
from vizinho.preprocess import PreprocessSpec

TOY_SPEC = PreprocessSpec(size=32, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
TOY_DIMENSION = 12


def make_toy_bundle(folder: Path, name: str = "toy", *, spec: PreprocessSpec = TOY_SPEC) -> Path:
    """Write the bundle ``folder/name`` and return its path.

    Its embedding is the mean colour on a 2 x 2 grid: 12 numbers in 0..1, not normalised, in the
    order red (top left, top right, bottom left, bottom right), green (...), blue (...). A picture
    all of one colour (r, g, b) embeds as (r, r, r, r, g, g, g, g, b, b, b, b) / 255.
    """
    from onnx import TensorProto, helper

    half = spec.size // 2
    graph = helper.make_graph(
        [
            helper.make_node(
                "AveragePool", ["images"], ["grid"], kernel_shape=[half, half], strides=[half, half]
            ),
            helper.make_node("Flatten", ["grid"], ["embeddings"]),
        ],
        name,
        [
            helper.make_tensor_value_info(
                "images", TensorProto.FLOAT, ["N", 3, spec.size, spec.size]
            )
        ],
        [helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, ["N", TOY_DIMENSION])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = Path(folder) / name
    write_bundle(
        path,
        model.SerializeToString(),
        name=name,
        dimension=TOY_DIMENSION,
        preprocess=spec,
        normalised=False,
    )
    return path


def plain(colour: tuple[int, int, int], size: tuple[int, int] = (32, 32)) -> Image.Image:
    """A picture all of one colour."""
    return Image.new("RGB", size, colour)


def noise(seed: int, size: tuple[int, int] = (32, 32)) -> Image.Image:
    """A picture like no other: a colour on each quarter and grain over it, the same for a seed."""
    rng = np.random.default_rng(seed)
    quarters = Image.fromarray(rng.integers(0, 256, (2, 2, 3), dtype=np.uint8))
    base = np.asarray(quarters.resize(size, Image.Resampling.NEAREST), np.int16)
    grain = rng.integers(-9, 10, base.shape, dtype=np.int16)
    return Image.fromarray(np.clip(base + grain, 0, 255).astype(np.uint8))


def encode(image: Image.Image, kind: str = "PNG") -> bytes:
    """The picture as the bytes of a file."""
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def write_pictures(folder: Path, count: int, *, seed: int = 0, kind: str = "png") -> list[Path]:
    """``count`` different pictures as files ``0000.png``, ``0001.png``, ... in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number in range(count):
        path = folder / f"{number:04d}.{kind}"
        path.write_bytes(encode(noise(seed * 100_000 + number), "JPEG" if kind == "jpg" else "PNG"))
        paths.append(path)
    return paths
