from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

pytestmark = pytest.mark.train
torch = pytest.importorskip("torch")

from vizinho.datasets.transfer import Patience  # noqa: E402
from vizinho.errors import DownloadError, SettingsError, TrainingError  # noqa: E402
from vizinho.train import pretrained  # noqa: E402
from vizinho.train.fastnet import FastNet  # noqa: E402
from vizinho.train.networks import Mirrored  # noqa: E402
from vizinho.train.pretrained import fetch_imagenet, initialise  # noqa: E402
from vizinho.train.resnet import ResNet, resnet  # noqa: E402

Weights = dict[str, torch.Tensor]
HASTY = Patience(timeout=2, attempts=1, pause=0)


@pytest.fixture(scope="module")
def published() -> Weights:
    """Weights as torchvision publishes them: 1,000 classes, no counters of batches."""
    torch.manual_seed(7)
    state = resnet(18, 1000).state_dict()
    return {name: value for name, value in state.items() if "num_batches" not in name}


@pytest.fixture
def shelf(tmp_path: Path, published: Weights, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A web server's folder that holds ResNet-18's weights, and is where they are looked for."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    torch.save(published, folder / "weights")
    digest = hashlib.sha256((folder / "weights").read_bytes()).hexdigest()
    name = f"resnet18-{digest[:8]}.pth"
    (folder / "weights").rename(folder / name)
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setattr(pretrained, "PUBLISHED", f"http://127.0.0.1:{server.server_port}/")
    monkeypatch.setitem(pretrained.IMAGENET, 18, name)
    yield folder
    server.shutdown()
    server.server_close()
    thread.join()


def same(network: ResNet, weights: Weights, *but: str) -> None:
    state = network.state_dict()
    for name, value in weights.items():
        if not name.startswith(but):
            assert torch.equal(state[name], value), name


def test_random_changes_nothing() -> None:
    network = resnet(18, 8)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert initialise(network, "random").left_random == ()
    same(network, before)


def test_imagenet_is_downloaded_checked_and_loaded_but_for_the_classes(
    shelf: Path, published: Weights, tmp_path: Path
) -> None:
    network = resnet(18, 64)
    before = network.fc.weight.clone()
    heard: list[tuple[int, int | None]] = []
    done = initialise(
        network,
        "imagenet",
        cache=tmp_path / "cache",
        progress=lambda now, total: heard.append((now, total)),
    )
    same(network, published, "fc.")
    assert torch.equal(network.fc.weight, before)
    learned = [name for name in done.left_random if "num_batches" not in name]
    assert learned == ["fc.weight", "fc.bias"]
    size = (shelf / pretrained.IMAGENET[18]).stat().st_size
    assert heard[-1] == (size, size)


def test_cifar_stem_leaves_the_first_convolution_random(
    shelf: Path, tmp_path: Path, published: Weights
) -> None:
    network = resnet(18, 64, "cifar")
    done = initialise(network, "imagenet", cache=tmp_path / "cache")
    same(network, published, "fc.", "conv1.")
    learned = [name for name in done.left_random if "num_batches" not in name]
    assert learned == ["conv1.weight", "fc.weight", "fc.bias"]


def test_a_network_with_its_mirror_image_is_filled_too(
    shelf: Path, tmp_path: Path, published: Weights
) -> None:
    inner = resnet(18, 64)
    initialise(Mirrored(inner, normalise=True), "imagenet", cache=tmp_path / "cache")
    same(inner, published, "fc.")


def test_the_second_time_nothing_is_fetched(shelf: Path, tmp_path: Path) -> None:
    first = fetch_imagenet(18, tmp_path / "cache")
    (shelf / first.name).unlink()
    assert fetch_imagenet(18, tmp_path / "cache") == first


def test_bytes_that_are_not_those_promised_are_refused(shelf: Path, tmp_path: Path) -> None:
    name = pretrained.IMAGENET[18]
    (shelf / name).write_bytes((shelf / name).read_bytes()[:-1] + b"!")
    with pytest.raises(DownloadError, match="wrong checksum"):
        fetch_imagenet(18, tmp_path / "cache")
    assert not (tmp_path / "cache" / name).exists()
    (tmp_path / "cache" / name).write_bytes(b"put here by hand")
    with pytest.raises(DownloadError, match="wrong checksum"):
        fetch_imagenet(18, tmp_path / "cache")


def test_offline_says_where_to_put_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pretrained, "PUBLISHED", "http://127.0.0.1:9/")
    with pytest.raises(DownloadError, match="could not be downloaded") as caught:
        fetch_imagenet(34, tmp_path, patience=HASTY)
    assert f"resnet34-b627a593.pth into {tmp_path}" in caught.value.hint


def test_the_names_are_torchvisions() -> None:
    assert pretrained.PUBLISHED == "https://download.pytorch.org/models/"
    assert pretrained.IMAGENET == {
        18: "resnet18-f37072fd.pth",
        34: "resnet34-b627a593.pth",
        50: "resnet50-0676ba61.pth",
    }


def test_a_local_file_loads_as_the_download_does(tmp_path: Path, published: Weights) -> None:
    torch.save(published, tmp_path / "mine.pth")
    network = resnet(18, 64)
    done = initialise(network, str(tmp_path / "mine.pth"))
    same(network, published, "fc.")
    assert done.source == str(tmp_path / "mine.pth")


def test_a_checkpoint_loads_with_its_embedding(tmp_path: Path) -> None:
    torch.manual_seed(1)
    trained = resnet(18, 16)
    torch.save({"format": 1, "network": trained.state_dict()}, tmp_path / "checkpoint.pt")
    network = resnet(18, 16)
    assert initialise(network, str(tmp_path / "checkpoint.pt")).left_random == ()
    same(network, trained.state_dict())


def test_a_checkpoint_of_another_dimension_leaves_the_embedding_random(tmp_path: Path) -> None:
    trained = Mirrored(FastNet(16), normalise=True)
    torch.save({"format": 1, "network": trained.state_dict()}, tmp_path / "checkpoint.pt")
    network = FastNet(32)
    done = initialise(network, str(tmp_path / "checkpoint.pt"))
    assert done.left_random == ("head.weight",)
    assert torch.equal(network.whitening.weight, trained.get_submodule("network").whitening.weight)


def broken(weights: Weights, how: str) -> Weights:
    changed = dict(weights)
    if how == "missing":
        del changed["layer2.0.conv1.weight"]
    elif how == "left over":
        changed["layer9.weight"] = torch.zeros(1)
    elif how == "shape":
        changed["layer2.0.conv1.weight"] = torch.zeros(128, 64, 1, 1)
    else:
        changed["conv1.weight"] = torch.zeros(64, 3, 3, 3)
    return changed


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("missing", "layer2.0.conv1.weight is missing"),
        ("left over", "layer9.weight has no place"),
        ("shape", r"layer2.0.conv1.weight is \[128, 64, 1, 1\], not \[128, 64, 3, 3\]"),
        ("stem", r"conv1.weight is \[64, 3, 3, 3\], not \[64, 3, 7, 7\]"),
    ],
)
def test_weights_that_do_not_fit_are_named_and_nothing_is_loaded(
    how: str, said: str, tmp_path: Path, published: Weights
) -> None:
    torch.save(broken(published, how), tmp_path / "odd.pth")
    network = resnet(18, 64)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(TrainingError, match=said):
        initialise(network, str(tmp_path / "odd.pth"))
    same(network, before)


def test_weights_of_another_depth_are_refused(tmp_path: Path, published: Weights) -> None:
    torch.save(published, tmp_path / "18.pth")
    with pytest.raises(TrainingError, match=r"and [0-9]+ more"):
        initialise(resnet(50, 64), str(tmp_path / "18.pth"))


def test_files_that_hold_no_weights_are_told_plainly(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("not weights")
    torch.save([1, 2], tmp_path / "list")
    torch.save({"a": 1}, tmp_path / "numbers")
    for name, said in (("text", "can't be read"), ("list", "a list"), ("numbers", "neither")):
        with pytest.raises(TrainingError, match=said):
            initialise(resnet(18, 8), str(tmp_path / name))


def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[Path]]:
            return Path.touch, (tmp_path / "ran",)

    torch.save({"conv1.weight": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(TrainingError, match="can't be read"):
        initialise(resnet(18, 8), str(tmp_path / "evil.pth"))
    assert not (tmp_path / "ran").exists()


def test_inits_that_do_not_exist_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no such file"):
        initialise(resnet(18, 8), str(tmp_path / "nowhere.pth"))
    with pytest.raises(SettingsError, match="FastNet"):
        initialise(FastNet(8), "imagenet")
