"""Networks of our own training, exported as a training exports them, explained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.train
torch = pytest.importorskip("torch")

from PIL import Image  # noqa: E402

from test_explain import assert_adds_up  # noqa: E402
from vizinho.embedder import Embedder  # noqa: E402
from vizinho.explain import Explainer, explainable  # noqa: E402
from vizinho.explain.tail import read_tail  # noqa: E402
from vizinho.train.export import export_bundle  # noqa: E402
from vizinho.train.networks import build_network  # noqa: E402
from vizinho.train.recipes import Recipe  # noqa: E402

PIXELS = np.random.default_rng(3).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)


def export(out: Path, recipe: Recipe) -> Path:
    """A network with random weights and lively statistics and constants, as a bundle."""
    torch.manual_seed(1)
    network = build_network(recipe)
    for name, weight in network.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(weight, std=0.3)
    network.train()
    with torch.no_grad():
        for _ in range(3):
            network(torch.randn(8, 3, recipe.size, recipe.size))
    times = recipe.size // 32
    export_bundle(
        network,
        out,
        name="tried",
        spec=recipe.spec,
        normalised=recipe.normalise,
        metrics={},
        training={},
        check_pixels=PIXELS.repeat(times, 1).repeat(times, 2),
    )
    return out


@pytest.mark.parametrize(
    ("told", "side"),
    [
        ({"network": "fastnet", "width": 8, "mirrored": True}, 4),
        ({"network": "fastnet", "width": 8, "mirrored": False, "normalise": False}, 4),
        ({"network": "fastnet", "width": 8, "mirrored": True, "descriptor": "features"}, 4),
        ({"network": "wrn10-1", "mirrored": True}, 8),
        ({"network": "resnet18", "stem": "cifar", "mirrored": True, "normalise": False}, 4),
        ({"network": "resnet18", "stem": "imagenet", "mirrored": True, "size": 64}, 2),
        ({"network": "resnet50", "stem": "imagenet", "mirrored": False, "normalise": False}, 1),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else None,
)
def test_every_network_adds_up(tmp_path: Path, told: dict[str, object], side: int) -> None:
    recipe = Recipe(dimension=24, optimiser="sgd", low_size=24, **told)  # type: ignore[arg-type]
    path = export(tmp_path / "tried", recipe)
    assert explainable(path)
    pictures = [Image.fromarray(pixels).resize((64, 64)) for pixels in PIXELS[:2]]
    found = Explainer.open(path).explain(*pictures)
    vectors = Embedder.open(path).embed(pictures)
    assert_adds_up(found, vectors)
    assert found.query.values.shape == found.match.values.shape == (side, side)
    if recipe.network != "fastnet":
        # These layers have a constant, which the regions leave out.
        assert abs(found.query.bias) > 1e-3
        assert found.query.bias != found.match.bias


@pytest.mark.parametrize("name", ["resnet18", "fastnet"])
def test_positions_look_where_the_graph_says(tmp_path: Path, name: str) -> None:
    """The middle of what moves a position's features is the place that the graph tells."""
    recipe = Recipe(
        dimension=8, network=name, stem="cifar", width=16, optimiser="sgd", mirrored=False
    )
    torch.manual_seed(2)
    network = build_network(recipe).eval()
    maps: list[torch.Tensor] = []
    last = network.layer4 if name == "resnet18" else network.blocks
    last.register_forward_hook(lambda _, __, out: maps.append(out))
    # Larger than it was made for, so that no edge cuts a field of view.
    images = torch.randn(6, 3, 160, 160, requires_grad=True)
    network(images)
    (gradient,) = torch.autograd.grad(maps[0][:, :, 11, 8].sum(), images)
    weight = gradient.square().sum((0, 1))
    pixels = torch.arange(160) + 0.5
    middle = [float((weight.sum(axis) * pixels).sum() / weight.sum()) for axis in (1, 0)]
    path = export(tmp_path / "tried", recipe)
    place = read_tail((path / "model.onnx").read_bytes()).views[0].place
    assert place is not None
    told = [
        start + n * step for start, n, step in zip(place.start, (11, 8), place.step, strict=True)
    ]
    # A pixel or so either way is the chance of random weights; a mistake is half a step, 4.
    assert np.abs(np.subtract(middle, told)).max() < 2
