from __future__ import annotations

import pytest

pytestmark = pytest.mark.train
torch = pytest.importorskip("torch")

from vizinho.errors import SettingsError  # noqa: E402
from vizinho.train.resnet import resnet  # noqa: E402

# Learned numbers of torchvision's models (their pages say 11,689,512, 21,797,672 and 25,557,032),
# which end in 1,000 classes, less that last layer.
BODY = {
    18: 11_689_512 - 1000 * (512 + 1),
    34: 21_797_672 - 1000 * (512 + 1),
    50: 25_557_032 - 1000 * (2048 + 1),
}
FEATURES = {18: 512, 34: 512, 50: 2048}


@pytest.mark.parametrize("depth", [18, 34, 50])
def test_as_many_parameters_as_torchvision(depth: int) -> None:
    network = resnet(depth, 64)
    found = sum(p.numel() for p in network.parameters())
    assert found == BODY[depth] + 64 * (FEATURES[depth] + 1)


def test_state_keys_are_torchvisions() -> None:
    keys = set(resnet(18, 64).state_dict())
    tensors = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    expected = {"conv1.weight", "fc.weight", "fc.bias"} | {f"bn1.{t}" for t in tensors}
    for stage in range(1, 5):
        for block in range(2):
            place = f"layer{stage}.{block}"
            expected |= {f"{place}.conv1.weight", f"{place}.conv2.weight"}
            expected |= {f"{place}.bn{n}.{t}" for n in (1, 2) for t in tensors}
        if stage > 1:
            expected.add(f"layer{stage}.0.downsample.0.weight")
            expected |= {f"layer{stage}.0.downsample.1.{t}" for t in tensors}
    assert keys == expected


def test_resnet_50_strides_in_the_3x3_as_torchvision_does() -> None:
    network = resnet(50, 64)
    keys = network.state_dict()
    assert keys["layer1.0.downsample.0.weight"].shape == (256, 64, 1, 1)
    assert keys["layer4.2.conv3.weight"].shape == (2048, 512, 1, 1)
    first = network.get_submodule("layer2.0")
    assert first.get_submodule("conv1").stride == (1, 1)
    assert first.get_submodule("conv2").stride == (2, 2)


@pytest.mark.parametrize("stem", ["imagenet", "cifar"])
@pytest.mark.parametrize("depth", [18, 34, 50])
def test_images_become_embeddings(depth: int, stem: str) -> None:
    network = resnet(depth, 16, stem).eval()
    with torch.inference_mode():
        found = network(torch.randn(3, 3, 32, 32))
    assert found.shape == (3, 16)
    assert torch.isfinite(found).all()


@pytest.mark.parametrize(("stem", "side"), [("imagenet", 8), ("cifar", 32)])
def test_stem_decides_the_size_at_the_first_block(stem: str, side: int) -> None:
    network = resnet(18, 8, stem).eval()
    seen: list[torch.Size] = []
    network.get_submodule("layer1").register_forward_pre_hook(
        lambda _, inputs: seen.append(inputs[0].shape)
    )
    network(torch.zeros(1, 3, 32, 32))
    assert seen == [torch.Size([1, 64, side, side])]


def test_normalised_embeddings_have_length_one_and_the_same_direction() -> None:
    torch.manual_seed(0)
    plain = resnet(18, 8, "cifar").eval()
    scaled = resnet(18, 8, "cifar", normalise=True).eval()
    scaled.load_state_dict(plain.state_dict())
    images = torch.randn(4, 3, 32, 32)
    with torch.inference_mode():
        expected = plain(images)
        found = scaled(images)
    assert torch.allclose(found.norm(dim=1), torch.ones(4), atol=1e-6)
    assert torch.allclose(found * expected.norm(dim=1, keepdim=True), expected, atol=1e-5)


def test_a_block_is_what_the_paper_draws() -> None:
    torch.manual_seed(0)
    block = resnet(18, 8).eval().get_submodule("layer2.0")
    weights = block.state_dict()
    x = torch.randn(2, 64, 8, 8)

    def norm(y: torch.Tensor, name: str) -> torch.Tensor:
        place = [weights[f"{name}.{t}"] for t in ("running_mean", "running_var", "weight", "bias")]
        mean, var, scale, shift = (t[:, None, None] for t in place)
        return (y - mean) / (var + 1e-5).sqrt() * scale + shift

    def conv(y: torch.Tensor, name: str, stride: int, padding: int) -> torch.Tensor:
        return torch.nn.functional.conv2d(y, weights[f"{name}.weight"], None, stride, padding)

    inner = norm(conv(x, "conv1", 2, 1), "bn1").relu()
    inner = norm(conv(inner, "conv2", 1, 1), "bn2")
    shortcut = norm(conv(x, "downsample.0", 2, 0), "downsample.1")
    with torch.inference_mode():
        assert torch.allclose(block(x), (inner + shortcut).relu(), atol=1e-5)


def test_options_that_do_not_exist_are_refused() -> None:
    with pytest.raises(SettingsError, match="ResNet-20"):
        resnet(20, 64)
    with pytest.raises(SettingsError, match="vgg"):
        resnet(18, 64, "vgg")
    with pytest.raises(SettingsError, match="0 dimensions"):
        resnet(18, 0)
