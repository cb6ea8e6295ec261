"""A model bundle: a folder with the network (``model.onnx``) and its description (``bundle.json``).

The network takes ``images`` float32 [N, 3, H, W] and gives ``embeddings`` float32 [N, D], N free.
The fingerprint is SHA-256 over the network's bytes and the preprocessing: the two things that
decide what a vector means. Metrics and training notes may change later without touching it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from vizinho.errors import BundleError, VizinhoError
from vizinho.preprocess import PreprocessSpec

FORMAT_VERSION = 1
DEFAULT = "cifar10-fastnet"
MODEL_FILE = "model.onnx"
INT8_FILE = "model.int8.onnx"
INFO_FILE = "bundle.json"

_PACKAGE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class BundleInfo:
    """What ``bundle.json`` says.

    ``dimension`` is D, the length of an embedding; ``normalised`` says whether embeddings have
    Euclidean length 1; ``metrics`` carry their protocol; ``training`` is the provenance (data hash,
    configuration, commit, seed, hardware); ``calibration`` is None until distances were calibrated.
    """

    name: str
    dimension: int
    preprocess: PreprocessSpec
    normalised: bool
    fingerprint: str
    calibration: dict[str, Any] | None = None
    metrics: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    format_version: int = FORMAT_VERSION

    def to_dict(self) -> dict[str, Any]:
        """The JSON form, ``preprocess`` as its own dictionary."""
        return {**asdict(self), "preprocess": self.preprocess.to_dict()}


def fingerprint(onnx_bytes: bytes, preprocess: PreprocessSpec) -> str:
    """SHA-256 (hex) over the network's bytes and the canonical JSON of its preprocessing."""
    digest = hashlib.sha256(onnx_bytes)
    digest.update(json.dumps(preprocess.to_dict(), sort_keys=True).encode())
    return digest.hexdigest()


def read_bundle(path: str | Path) -> BundleInfo:
    """What the bundle in folder ``path`` says of itself; the network's bytes are not read.

    Raises BundleError where there is none, or it is incomplete, damaged or of a newer format.
    """
    folder = Path(path)
    hint = "A bundle is a folder with model.onnx and bundle.json, as `vizinho train` writes it."
    try:
        text = (folder / INFO_FILE).read_text(encoding="utf-8")
    except OSError as error:
        raise BundleError(f"{folder} holds no model bundle ({error.strerror}).", hint) from error
    if not (folder / MODEL_FILE).is_file():
        raise BundleError(f"{folder} has no {MODEL_FILE}: the bundle is incomplete.", hint)
    try:
        return _parse(json.loads(text))
    except (ValueError, KeyError, TypeError, VizinhoError) as error:
        raise BundleError(
            f"{folder / INFO_FILE} is damaged: {error}", "Write or download the bundle again."
        ) from error


def _parse(data: Any) -> BundleInfo:
    if not isinstance(data, dict):
        raise ValueError("it is not a JSON object")
    version = data.get("format_version")
    if version != FORMAT_VERSION:
        raise ValueError(f"format version {version!r}; this Vizinho reads {FORMAT_VERSION}")
    calibration = data.get("calibration")
    return BundleInfo(
        name=str(data["name"]),
        dimension=int(data["dimension"]),
        preprocess=PreprocessSpec.from_dict(data["preprocess"]),
        normalised=bool(data["normalised"]),
        fingerprint=str(data["fingerprint"]),
        calibration=None if calibration is None else dict(calibration),
        metrics=dict(data.get("metrics") or {}),
        training=dict(data.get("training") or {}),
    )


def network_file(precision: str) -> str:
    """The name of a bundle's network of ``precision``: "fp32", or "int8" where there is one.

    Raises BundleError for another precision.
    """
    try:
        return {"fp32": MODEL_FILE, "int8": INT8_FILE}[precision]
    except KeyError as error:
        raise BundleError(f"There is no precision {precision!r}.", "Use fp32 or int8.") from error


def read_model(path: str | Path, precision: str = "fp32") -> tuple[BundleInfo, bytes]:
    """The bundle's description and the network's bytes, checked against the fingerprint.

    The network in int8 is there only where it passed its recall gate. Raises BundleError, also
    when the bytes are not those that the description was written for.
    """
    info = read_bundle(path)
    file = Path(path) / network_file(precision)
    if precision == "int8" and not file.is_file():
        raise BundleError(
            f"The model {info.name!r} has no network in int8: none has passed the recall gate.",
            "Use fp32.",
        )
    try:
        data = file.read_bytes()
    except OSError as error:
        raise BundleError(f"{file} can't be read: {error.strerror}.") from error
    known = info.metrics.get("int8", {}).get("sha256") if precision == "int8" else info.fingerprint
    told = hashlib.sha256(data).hexdigest() if precision == "int8" else None
    if (told or fingerprint(data, info.preprocess)) != known:
        raise BundleError(
            f"{file} is not the network that {INFO_FILE} was written for (fingerprint differs).",
            "Write or download the bundle again.",
        )
    return info, data


def write_bundle(
    folder: str | Path,
    onnx_bytes: bytes,
    *,
    name: str,
    dimension: int,
    preprocess: PreprocessSpec,
    normalised: bool,
    calibration: Mapping[str, Any] | None = None,
    metrics: Mapping[str, Any] | None = None,
    training: Mapping[str, Any] | None = None,
) -> BundleInfo:
    """Write a bundle into ``folder`` (made; an older bundle there is replaced) and describe it.

    Everything is written beside the folder and renamed into place, so a kill never leaves half a
    bundle. Raises BundleError when ``folder`` holds something else, or when the disk refuses.
    """
    target = Path(folder)
    check_place(target)
    info = BundleInfo(
        name=name,
        dimension=dimension,
        preprocess=preprocess,
        normalised=normalised,
        fingerprint=fingerprint(onnx_bytes, preprocess),
        calibration=None if calibration is None else dict(calibration),
        metrics=dict(metrics or {}),
        training=dict(training or {}),
    )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        workshop = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise BundleError(f"{target} can't be written: {error.strerror}.") from error
    try:
        fresh = workshop / "new"
        fresh.mkdir()
        (fresh / MODEL_FILE).write_bytes(onnx_bytes)
        _write_info(fresh / INFO_FILE, info)
        if target.exists():
            target.rename(workshop / "old")
        fresh.rename(target)
    except OSError as error:
        raise BundleError(f"{target} can't be written: {error.strerror}.") from error
    finally:
        shutil.rmtree(workshop, ignore_errors=True)
    return info


def check_place(folder: str | Path) -> None:
    """Raises BundleError when ``folder`` holds something that `write_bundle` would not replace:
    whoever works for an hour before writing asks first."""
    target = Path(folder)
    if target.exists() and not _replaceable(target):
        raise BundleError(
            f"{target} exists and is not a model bundle.", "Choose another place for the model."
        )


def _replaceable(folder: Path) -> bool:
    return folder.is_dir() and ((folder / INFO_FILE).is_file() or not any(folder.iterdir()))


def _write_info(file: Path, info: BundleInfo) -> None:
    text = json.dumps(info.to_dict(), indent=2, ensure_ascii=False, default=str) + "\n"
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        beside.write_text(text, encoding="utf-8")
        beside.replace(file)
    finally:
        beside.unlink(missing_ok=True)


def update_metrics(folder: str | Path, metrics: Mapping[str, Any]) -> BundleInfo:
    """Merge ``metrics`` into the bundle's; the fingerprint stays. Raises BundleError."""
    info = read_bundle(folder)
    return _rewrite(folder, replace(info, metrics={**info.metrics, **metrics}))


def update_calibration(folder: str | Path, calibration: Mapping[str, Any]) -> BundleInfo:
    """Put ``calibration`` in place of the bundle's, at once; the fingerprint stays.

    Raises BundleError.
    """
    return _rewrite(folder, replace(read_bundle(folder), calibration=dict(calibration)))


def _rewrite(folder: str | Path, info: BundleInfo) -> BundleInfo:
    try:
        _write_info(Path(folder) / INFO_FILE, info)
    except OSError as error:
        raise BundleError(f"{folder} can't be written: {error.strerror}.") from error
    return info


def _shelves() -> list[Path]:
    return [_PACKAGE / "_models", _PACKAGE.parents[1] / "models"]


def default_bundle() -> Path:
    """The folder of the model that comes with Vizinho. Raises BundleError where it is missing."""
    return _on_shelf(DEFAULT)


def _on_shelf(name: str) -> Path:
    for shelf in _shelves():
        if (shelf / name / INFO_FILE).is_file():
            return shelf / name
    places = " nor ".join(str(shelf / name) for shelf in _shelves())
    raise BundleError(
        f"There is no model {name!r}: neither {places} is a bundle.",
        "Name a bundle's folder, or train one with `vizinho train`.",
    )


def resolve_bundle(name_or_path: str | Path | None = None) -> Path:
    """The bundle's folder for a path, for the name of a shipped model, or for None the default.

    A folder that exists wins over a shipped model of that name. Raises BundleError.
    """
    if name_or_path is None:
        return default_bundle()
    path = Path(name_or_path).expanduser()
    if path.is_dir():
        return path
    if len(path.parts) == 1 and path.name:
        return _on_shelf(path.name)
    raise BundleError(
        f"There is no model bundle at {path}.",
        "Name a bundle's folder, or train one with `vizinho train`.",
    )
