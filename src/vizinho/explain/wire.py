"""As much of ONNX's file format as it takes to read how a network ends.

The `onnx` package is no run-time dependency, and ONNX Runtime runs a graph without showing it. The
format is protocol buffers: https://protobuf.dev/programming-guides/encoding/, field numbers from
https://github.com/onnx/onnx/blob/main/onnx/onnx.proto. Weights are passed over, not copied.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

_FLOAT, _INT64 = 1, 7
_DTYPES: dict[int, np.dtype[Any]] = {_FLOAT: np.dtype("<f4"), _INT64: np.dtype("<i8")}

Value = int | memoryview
"""A field's value: the number of a varint, the bytes of everything else."""


@dataclass(frozen=True)
class Node:
    """One operation: ``inputs`` and ``outputs`` name tensors; attributes are numbers, bytes or
    lists of whole numbers, a tensor its bytes."""

    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]


@dataclass
class Graph:
    """The operations by the tensors they make, and the constant tensors, undecoded."""

    nodes: dict[str, Node] = field(default_factory=dict)
    tensors: dict[str, memoryview] = field(default_factory=dict)

    def constant(self, name: str) -> NDArray[Any] | None:
        """The float32 or int64 tensor ``name``; None when it is computed, or of another type."""
        if name in self.tensors:
            return _tensor(self.tensors[name])
        node = self.nodes.get(name)
        if node is not None and node.op == "Constant" and "value" in node.attributes:
            return _tensor(node.attributes["value"])
        return None


def read_graph(data: bytes | memoryview) -> Graph:
    """The graph of a serialised model. Raises ValueError where the bytes are none."""
    graph = Graph()
    try:
        for number, part in _messages(memoryview(data), {7}):
            assert number == 7
            for kind, message in _messages(part, {1, 5}):
                if kind == 1:
                    node = _node(message)
                    graph.nodes.update(dict.fromkeys(node.outputs, node))
                else:
                    graph.tensors[_name(message)] = message
    except (IndexError, struct.error, UnicodeDecodeError) as error:
        raise ValueError("these bytes are no ONNX model") from error
    return graph


def with_outputs(model: bytes, names: Iterable[str]) -> bytes:
    """The same serialised model that also gives out the tensors ``names``.

    Messages merge when their bytes are joined, so a graph of nothing but outputs is appended.
    """
    outputs = b"".join(_framed(12, _framed(1, name.encode())) for name in names)
    return model + _framed(7, outputs)


def _framed(number: int, payload: bytes) -> bytes:
    out, length = bytearray([number << 3 | 2]), len(payload)
    while length > 0x7F:
        out.append(length & 0x7F | 0x80)
        length >>= 7
    out.append(length)
    return bytes(out) + payload


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """A number and where it ends; negative ones are two's complement in 64 bits."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            value &= (1 << 64) - 1
            return (value - (1 << 64) if value >> 63 else value), at
        if shift > 63:
            raise ValueError("a number of these bytes has no end")


def _fields(data: memoryview) -> Iterator[tuple[int, Value]]:
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(data, at)
            yield key >> 3, value
            continue
        if kind == 2:
            size, at = _varint(data, at)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise ValueError("these bytes hold a field of no known kind")
        if not 0 <= size <= len(data) - at:
            raise ValueError("these bytes are cut short")
        yield key >> 3, data[at : at + size]
        at += size


def _messages(data: memoryview, wanted: set[int]) -> Iterator[tuple[int, memoryview]]:
    for number, value in _fields(data):
        if number in wanted and isinstance(value, memoryview):
            yield number, value


def _name(tensor: memoryview) -> str:
    return next((bytes(value).decode() for _, value in _messages(tensor, {8})), "")


def _node(data: memoryview) -> Node:
    texts: dict[int, list[str]] = {1: [], 2: [], 4: [""]}
    attributes: dict[str, Any] = {}
    for number, value in _messages(data, {1, 2, 4, 5}):
        if number == 5:
            name, found = _attribute(value)
            attributes[name] = found
        else:
            texts[number].append(bytes(value).decode())
    return Node(texts[4][-1], tuple(texts[1]), tuple(texts[2]), attributes)


def _attribute(data: memoryview) -> tuple[str, Any]:
    name, found, numbers = "", None, list[int]()
    for number, value in _fields(data):
        if number == 1:
            name = bytes(value).decode() if isinstance(value, memoryview) else ""
        elif number == 2 and isinstance(value, memoryview):
            found = struct.unpack("<f", value)[0]
        elif number in (3, 4, 5):
            found = bytes(value) if number == 4 and isinstance(value, memoryview) else value
        elif number == 8:
            numbers += _numbers(value)
    return name, numbers or found


def _numbers(value: Value) -> list[int]:
    """Whole numbers, one by itself or many packed into bytes."""
    if isinstance(value, int):
        return [value]
    found, at = [], 0
    while at < len(value):
        number, at = _varint(value, at)
        found.append(number)
    return found


def _tensor(data: memoryview) -> NDArray[Any] | None:
    """A tensor whose values are in the file; None where they are elsewhere or of another type."""
    dims: list[int] = []
    kind, packed = 0, list[int]()
    raw: memoryview | None = None
    for number, value in _fields(data):
        if number == 1:
            dims += _numbers(value)
        elif number == 2 and isinstance(value, int):
            kind = value
        elif number in (4, 9) and isinstance(value, memoryview):
            raw = value
        elif number == 7:
            packed += _numbers(value)
    if kind not in _DTYPES:
        return None
    values: NDArray[Any] = np.asarray(packed, "<i8")
    if raw is not None:
        values = np.frombuffer(raw, _DTYPES[kind])
    return values.reshape(dims) if values.size == np.prod(dims, dtype=int) else None
