"""Where a network's first weights come from: chance, ImageNet, or another training.

Loading is strict. What did not load is returned by name, and may only be what can't fit: the
embedding layer (published weights have 1,000 classes there) and, with the CIFAR stem, the first
convolution. Anything else that is missing, left over or of another shape is an error.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from vizinho.datasets.transfer import Patience, fetch_file
from vizinho.errors import DownloadError, SettingsError, TrainingError
from vizinho.progress import Progress
from vizinho.settings import load as load_settings
from vizinho.train.checkpoint import read
from vizinho.train.networks import Mirrored
from vizinho.train.resnet import ResNet
from vizinho.train.warm import bundle_of, bundle_weights, nowhere

#: Where torchvision publishes its weights.
PUBLISHED = "https://download.pytorch.org/models/"

#: Trained on ImageNet by torchvision (IMAGENET1K_V1), by depth. The end of a name is the start of
#: the file's SHA-256.
IMAGENET = {
    18: "resnet18-f37072fd.pth",
    34: "resnet34-b627a593.pth",
    50: "resnet50-0676ba61.pth",
}

#: The layer that makes the embedding, by the names our networks give it.
EMBEDDING = ("fc.", "head.")


@dataclass(frozen=True)
class Initialised:
    """``source``: where the weights came from; ``left_random``: names that did not load;
    ``folded``: batch normalisations to be given statistics by ``vizinho.train.warm.unfold``."""

    source: str
    left_random: tuple[str, ...] = ()
    folded: tuple[str, ...] = ()


def initialise(
    network: nn.Module, init: str, *, cache: Path | None = None, progress: Progress | None = None
) -> Initialised:
    """Give ``network`` its first weights, in place.

    ``init`` is "random" (they stay as they are), "imagenet" (torchvision's, downloaded into
    ``cache`` once; ResNets only), a model bundle (its folder, or the name of a shipped one) or a
    file: weights as torchvision publishes them, or a checkpoint of ``vizinho train``.

    Raises ``SettingsError`` when there are no such weights for this network, ``DownloadError``,
    and ``TrainingError`` when the file can't be read or doesn't fit.
    """
    if init == "random":
        return Initialised("random")
    body = network.network if isinstance(network, Mirrored) else network
    if init == "imagenet":
        if not isinstance(body, ResNet):
            raise SettingsError(
                f"There are no ImageNet weights for a {type(body).__name__}.",
                "Use one of the ResNets, or --init random.",
            )
        file = fetch_imagenet(body.depth, cache, progress)
        return _load(body, _weights(file, _read(file)), str(file), published=True)
    if (folder := bundle_of(init)) is not None:
        found = bundle_weights(folder, body)
        loaded = _load(body, found.weights, init, published=False)
        return replace(loaded, folded=found.folded)
    file = Path(init).expanduser()
    if not file.is_file():
        raise nowhere(init)
    state = _read(file)
    if isinstance(state.get("network"), dict):
        # Where a mean of the weights was kept, that is the network which was measured.
        found_in = (state.get("average") or state)["network"]
        ours = {name.removeprefix("network."): value for name, value in found_in.items()}
        return _load(body, ours, init, published=False)
    return _load(body, _weights(file, state), init, published=True)


def fetch_imagenet(
    depth: int,
    cache: Path | None = None,
    progress: Progress | None = None,
    patience: Patience | None = None,
) -> Path:
    """The file of torchvision's weights for that ResNet, downloaded unless ``cache`` has it.

    ``cache`` is the folder "weights" in the settings' cache folder unless given; ``progress``
    counts bytes. Raises ``DownloadError`` when offline, or when the bytes aren't those that the
    file's name promises, also for a file that was put there by hand.
    """
    file = (cache or load_settings().cache_dir / "weights") / IMAGENET[depth]
    if file.exists():
        _check_hash(file, file.name)
        return file
    try:
        fetch_file(
            PUBLISHED + file.name,
            file,
            verify=lambda part: _check_hash(part, file.name),
            progress=progress,
            patience=patience or Patience(),
        )
    except DownloadError as error:
        raise DownloadError(
            f"The ImageNet weights could not be downloaded. {error.message}",
            f"Try again when you are online, put {file.name} into {file.parent}, or name such a "
            "file with --init.",
        ) from error
    return file


def _check_hash(file: Path, name: str) -> None:
    promised = name.removesuffix(".pth").rpartition("-")[2]
    with file.open("rb") as opened:
        found = hashlib.file_digest(opened, "sha256").hexdigest()
    if not found.startswith(promised):
        raise DownloadError(
            f"{file} has the wrong checksum: SHA-256 {found[:16]}..., not {promised}...",
            "Remove it and try again.",
        )


def _read(file: Path) -> dict[str, Any]:
    hint = "It should be a PyTorch file of tensors by name, or a checkpoint of `vizinho train`."
    return read(file, "as weights", hint)


def _weights(file: Path, state: dict[str, Any]) -> dict[str, Tensor]:
    if not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise TrainingError(
            f"{file} is neither weights by name nor a checkpoint of `vizinho train`."
        )
    return state


def _load(
    body: nn.Module, weights: Mapping[str, Tensor], source: str, *, published: bool
) -> Initialised:
    wanted = body.state_dict()
    fitting = {
        name: value
        for name, value in weights.items()
        if name in wanted
        and value.shape == wanted[name].shape
        and not (published and name.startswith(EMBEDDING))
    }
    left = [name for name in wanted if name not in fitting]
    wrong = [
        _describe(name, weights, wanted)
        for name in [*left, *(name for name in weights if name not in wanted)]
        if not _may_be_left(name, body, weights)
    ]
    if wrong:
        shown = "; ".join(wrong[:8]) + (f"; and {len(wrong) - 8} more" if len(wrong) > 8 else "")
        raise TrainingError(
            f"The weights in {source} don't fit this network: {shown}.",
            "Name the network, stem and options that they were trained with.",
        )
    body.load_state_dict(fitting, strict=False)
    return Initialised(source, tuple(left))


def _may_be_left(name: str, body: nn.Module, weights: Mapping[str, Tensor]) -> bool:
    if name.startswith(EMBEDDING):
        return True
    if name == "conv1.weight" and name in weights:
        return isinstance(body, ResNet) and body.stem == "cifar"
    # A plain counter that older published files lack; with a fixed momentum nothing reads it.
    return name.endswith(".num_batches_tracked") and name not in weights


def _describe(name: str, weights: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> str:
    if name not in weights:
        return f"{name} is missing"
    if name not in wanted:
        return f"{name} has no place"
    return f"{name} is {list(weights[name].shape)}, not {list(wanted[name].shape)}"
