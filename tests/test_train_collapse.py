from __future__ import annotations

from collections.abc import Callable

import pytest

pytestmark = pytest.mark.train
torch = pytest.importorskip("torch")

from vizinho.errors import TrainingCollapsed, TrainingDiverged  # noqa: E402
from vizinho.train.collapse import CollapseMonitor, measure  # noqa: E402
from vizinho.train.distances import pairwise_squared_distances  # noqa: E402
from vizinho.train.miners import batch_hard  # noqa: E402

Step = Callable[[int], tuple[torch.Tensor, float]]


def noise(step: int, count: int = 64, dimension: int = 16) -> torch.Tensor:
    return torch.randn(count, dimension, generator=torch.Generator().manual_seed(step))


def drive(monitor: CollapseMonitor, step: Step, steps: int) -> None:
    for number in range(1, steps + 1):
        monitor.update(*step(number))


def healthy(step: int) -> tuple[torch.Tensor, float]:
    """Starts close together around a far point, as fresh networks do, and spreads slowly."""
    spread = min(1.0, 0.03 + step / 200)
    return 1.0 + spread * noise(step), 0.5 / (1 + step / 50)


def at_a_point(step: int) -> tuple[torch.Tensor, float]:
    return 1.0 + 1e-5 * noise(step), 0.5


def on_a_line(step: int) -> tuple[torch.Tensor, float]:
    return 1.0 + noise(step)[:, :1] * noise(0, 1) + 1e-4 * noise(step + 1), 0.4


def shrunk(step: int) -> tuple[torch.Tensor, float]:
    """Every direction is used, but all of it is tiny: the margin can't be reached."""
    return 1e-3 * noise(step), 0.5


def test_healthy_training_goes_on() -> None:
    drive(CollapseMonitor(margin=0.5, grace=10, patience=10), healthy, 300)


@pytest.mark.parametrize(
    ("step", "said"),
    [(at_a_point, "in one point"), (on_a_line, "on one line"), (shrunk, "too close")],
)
def test_collapse_stops_after_grace_and_patience(step: Step, said: str) -> None:
    monitor = CollapseMonitor(margin=0.5, grace=20, patience=10)
    drive(monitor, healthy, 15)
    drive(monitor, step, 9)
    with pytest.raises(TrainingCollapsed, match=said) as caught:
        monitor.update(*step(10))
    assert "lower learning rate" in caught.value.hint


def test_grace_holds_while_the_start_looks_collapsed() -> None:
    monitor = CollapseMonitor(margin=0.5, grace=50, patience=10)
    drive(monitor, at_a_point, 50)
    drive(monitor, healthy, 50)
    with pytest.raises(TrainingCollapsed):
        drive(monitor, at_a_point, 10)


def test_a_good_step_starts_the_count_again() -> None:
    monitor = CollapseMonitor(grace=0, patience=10)
    for _ in range(5):
        drive(monitor, at_a_point, 9)
        drive(monitor, healthy, 1)


def test_loss_at_the_margin_is_told() -> None:
    with pytest.raises(TrainingCollapsed, match=r"stands at the margin, 0\.5"):
        drive(CollapseMonitor(margin=0.5, grace=0, patience=5), at_a_point, 5)
    with pytest.raises(TrainingCollapsed) as caught:
        drive(CollapseMonitor(grace=0, patience=5), at_a_point, 5)
    assert "margin" not in caught.value.message


def test_all_zero_embeddings_are_a_point() -> None:
    with pytest.raises(TrainingCollapsed, match="in one point"):
        drive(CollapseMonitor(grace=0, patience=5), lambda _: (torch.zeros(8, 4), 1.0), 5)


def test_two_classes_and_one_dimension_may_lie_on_a_line() -> None:
    drive(CollapseMonitor(classes=2, grace=0, patience=5), on_a_line, 30)
    drive(
        CollapseMonitor(classes=10, grace=0, patience=5), lambda s: (noise(s, dimension=1), 0.1), 30
    )


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_stops_at_once(loss: float) -> None:
    monitor = CollapseMonitor()
    drive(monitor, healthy, 2)
    with pytest.raises(TrainingDiverged, match="the loss is not a finite number at step 3"):
        monitor.update(noise(0), loss)
    with pytest.raises(TrainingDiverged, match="at step 5,001"):
        CollapseMonitor(before=5000).update(noise(0), loss)


def test_an_embedding_that_is_no_number_stops_at_once() -> None:
    embeddings = noise(0)
    embeddings[3, 2] = float("nan")
    with pytest.raises(TrainingDiverged, match="an embedding"):
        CollapseMonitor().update(embeddings, 0.1)


def test_a_margin_on_plain_distances_is_compared_with_them() -> None:
    # Mean distance 0.0056: under a hundredth of the margin, but not when both are squared.
    def close(step: int) -> tuple[torch.Tensor, float]:
        return 1e-3 * noise(step), 0.5

    far = CollapseMonitor(margin=0.5, squared=False, grace=0, patience=5)
    drive(far, lambda step: (2e-3 * noise(step), 0.5), 20)
    with pytest.raises(TrainingCollapsed, match="too close"):
        drive(
            CollapseMonitor(margin=0.6, squared=False, grace=0, patience=5),
            lambda s: (close(s)[0], 0.6),
            20,
        )


def silent(labels: torch.Tensor, apart: float, steps: int = 49, **told: int) -> CollapseMonitor:
    """Steps whose loss is zero; the classes lie ``apart``, each about one wide."""
    monitor = CollapseMonitor(patience=50, **told)
    for step in range(steps):
        monitor.update(noise(step) + apart * noise(99)[labels], 0.0, labels)
    return monitor


def test_no_triplets_where_there_is_something_to_learn_is_told() -> None:
    labels = torch.arange(64) % 4
    monitor = silent(labels, apart=0.0)
    with pytest.raises(TrainingCollapsed, match=r"for 50 steps.* 100% of the images") as caught:
        monitor.update(noise(0), 0.0, labels)
    assert "--mining batch-all" in caught.value.hint
    # Not within a sight of the grace, which is for geometry: a zero loss changes nothing.
    assert monitor.grace > 50


def test_one_loss_above_zero_starts_the_count_again() -> None:
    labels = torch.arange(64) % 4
    monitor = silent(labels, apart=0.0)
    monitor.update(noise(0), 0.1, labels)
    for step in range(49):
        monitor.update(noise(step), 0.0, labels)


def test_a_loss_of_zero_because_all_is_learned_goes_on() -> None:
    silent(torch.arange(64) % 4, apart=30.0, steps=200)


def test_no_class_twice_in_a_micro_batch_is_told() -> None:
    labels = torch.arange(64) % 16
    with pytest.raises(TrainingCollapsed, match=r"No class comes twice.* 8 images") as caught:
        silent(labels, apart=1.0, steps=60, group=8)
    assert "--micro-batch" in caught.value.hint


def test_without_labels_nobody_knows_whether_zero_is_good() -> None:
    drive(CollapseMonitor(patience=5), lambda step: (noise(step), 0.0), 20)


def test_geometry_measures_what_it_says() -> None:
    square = torch.tensor([[1.0, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0]])
    found = measure(square)
    assert found.effective_rank == pytest.approx(2.0)
    assert found.mean_distance == pytest.approx((2 * 2 + 4 * 2**0.5) / 6)
    assert found.relative_distance == pytest.approx(found.mean_distance)
    assert measure(10 * square).relative_distance == pytest.approx(found.relative_distance)
    assert measure(torch.ones(4, 3)).effective_rank == 1.0


def train(lr: float, *, learnable: bool) -> float:
    """A small network, batch-hard triplets of squared distances; returns the last loss."""
    torch.manual_seed(0)
    labels = torch.arange(60) % 3
    images = torch.randn(3, 20)[labels] + 0.5 * torch.randn(60, 20)
    if not learnable:
        labels = labels[torch.randperm(60)]
    network = torch.nn.Sequential(torch.nn.Linear(20, 32), torch.nn.ReLU(), torch.nn.Linear(32, 8))
    optimiser = torch.optim.SGD(network.parameters(), lr=lr)
    monitor = CollapseMonitor(margin=1.0, classes=3, grace=50, patience=50)
    for _ in range(300):
        embeddings = network(images)
        a, p, n = batch_hard(pairwise_squared_distances(embeddings), labels)
        near = (embeddings[a] - embeddings[p]).square().sum(1)
        far = (embeddings[a] - embeddings[n]).square().sum(1)
        loss = (near - far + 1.0).clamp(min=0).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        monitor.update(embeddings, float(loss.detach()))
    return float(loss.detach())


def test_a_real_training_goes_on() -> None:
    assert train(lr=0.1, learnable=True) < 0.1


def test_a_real_collapse_is_caught() -> None:
    with pytest.raises(TrainingCollapsed, match="stands at the margin, 1"):
        train(lr=0.1, learnable=False)


def test_a_real_divergence_is_caught() -> None:
    with pytest.raises(TrainingDiverged):
        train(lr=0.5, learnable=False)
