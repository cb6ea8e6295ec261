from __future__ import annotations

import logging
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.train
torch = pytest.importorskip("torch")

from vizinho.bundle import read_bundle  # noqa: E402
from vizinho.embedder import Embedder  # noqa: E402
from vizinho.errors import TrainingError  # noqa: E402
from vizinho.preprocess import PreprocessSpec, normalise  # noqa: E402
from vizinho.train import export  # noqa: E402
from vizinho.train.export import export_bundle, network_to_onnx_bytes  # noqa: E402
from vizinho.train.resnet import resnet  # noqa: E402

SPEC = PreprocessSpec(size=16, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.25))
PIXELS = np.random.default_rng(0).integers(0, 256, (9, 16, 16, 3), dtype=np.uint8)


class Small(torch.nn.Module):
    """Convolution, batch norm and a linear layer, in the layout a training would leave them."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.bn = torch.nn.BatchNorm2d(8)
        self.fc = torch.nn.Linear(8, 6)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.bn(self.conv(images))).mean((2, 3))
        return torch.nn.functional.normalize(self.fc(x))


def trained() -> Small:
    torch.manual_seed(0)
    network = Small().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    for _ in range(5):
        network(torch.randn(32, 3, 16, 16) * 3 + 1)
    return network


def write(network: torch.nn.Module, out: Path, pixels: np.ndarray = PIXELS) -> None:
    export_bundle(
        network,
        out,
        name="small",
        spec=SPEC,
        normalised=True,
        metrics={"precision_at_1": 0.5},
        training={"seed": 0},
        check_pixels=pixels,
    )


def test_bundle_embeds_as_the_network_does(tmp_path: Path) -> None:
    network = trained()
    write(network, tmp_path / "small")
    network.eval()
    with torch.inference_mode():
        expected = network(torch.from_numpy(normalise(PIXELS, SPEC))).numpy()
    embedder = Embedder.open(tmp_path / "small")
    for batch in (1, 4, 9):
        assert np.abs(embedder.embed_pixels(PIXELS, batch=batch) - expected).max() < 1e-5
    info = read_bundle(tmp_path / "small")
    assert (info.name, info.dimension, info.normalised) == ("small", 6, True)
    assert info.preprocess == SPEC
    assert info.metrics == {"precision_at_1": 0.5}
    assert info.training == {"seed": 0}


def test_weights_are_inside_and_nothing_of_this_machine(tmp_path: Path) -> None:
    write(trained(), tmp_path / "small")
    assert sorted(p.name for p in (tmp_path / "small").iterdir()) == ["bundle.json", "model.onnx"]
    data = (tmp_path / "small" / "model.onnx").read_bytes()
    assert str(Path(export.__file__).parents[2]).encode() not in data
    assert b".py" not in data


def test_export_is_the_same_every_time() -> None:
    assert network_to_onnx_bytes(trained(), 16) == network_to_onnx_bytes(trained(), 16)


def test_resnet_exports_with_a_free_batch_and_its_batch_norms_folded() -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load_from_string(network_to_onnx_bytes(resnet(18, 8, normalise=True), 32))
    onnx.checker.check_model(model)
    (images,), (embeddings,) = model.graph.input, model.graph.output
    assert (images.name, embeddings.name) == ("images", "embeddings")
    sizes = [d.dim_param or d.dim_value for d in images.type.tensor_type.shape.dim]
    assert isinstance(sizes[0], str)
    assert sizes[1:] == [3, 32, 32]
    assert "BatchNormalization" not in {node.op_type for node in model.graph.node}


def test_the_network_stays_as_it_was() -> None:
    network = trained().train().bfloat16()
    network_to_onnx_bytes(network, 16)
    assert network.training
    assert all(p.requires_grad and p.dtype == torch.bfloat16 for p in network.parameters())


def test_export_says_nothing(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    level = logging.getLogger("torch.onnx").level
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        network_to_onnx_bytes(trained(), 16)
    assert heard == []
    assert [r for r in caplog.records if r.levelno >= logging.WARNING] == []
    assert capfd.readouterr() == ("", "")
    assert logging.getLogger("torch.onnx").level == level


@pytest.mark.parametrize("images", [1, 9])
def test_drift_is_an_error_and_nothing_is_written(
    images: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = trained()
    with torch.no_grad():
        other.fc.bias += 0.01
    wrong = network_to_onnx_bytes(other, 16)
    monkeypatch.setattr(export, "network_to_onnx_bytes", lambda network, size: wrong)
    with pytest.raises(TrainingError, match="differs from the network by"):
        write(trained(), tmp_path / "small", PIXELS[:images])
    assert list(tmp_path.iterdir()) == []


def test_a_network_gone_bad_is_not_written(tmp_path: Path) -> None:
    network = trained()
    with torch.no_grad():
        network.fc.bias[0] = float("nan")
    with pytest.raises(TrainingError, match="infinities or nan"):
        write(network, tmp_path / "small")
    with pytest.raises(TrainingError, match="at least one image"):
        write(trained(), tmp_path / "small", PIXELS[:0])
    assert list(tmp_path.iterdir()) == []


def test_what_torch_cannot_export_is_told_plainly() -> None:
    class Guess(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images.flatten(1)[:, :4] * (2 if bool(images.sum() > 0) else 1)

    with pytest.raises(TrainingError, match="can't be exported to ONNX"):
        network_to_onnx_bytes(Guess(), 16)


def test_training_without_torch_tells_what_to_install() -> None:
    script = (
        "import sys; sys.modules['torch'] = None\n"
        "from vizinho.errors import TrainingError\n"
        "try:\n    import vizinho.train\n"
        "except TrainingError as error:\n    print(error)\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert "pip install 'vizinho[train]'" in found.stdout
