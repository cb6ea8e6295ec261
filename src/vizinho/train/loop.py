"""The training itself, in the order in which it happens."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vizinho.datasets import LabelledImages
from vizinho.errors import TrainingInterrupted
from vizinho.evaluate import precision_at_1
from vizinho.train import checkpoint
from vizinho.train.batches import Batches, normalise
from vizinho.train.collapse import CollapseMonitor
from vizinho.train.data import Decoding, Pixels, load_pixels
from vizinho.train.fastnet import FastNet
from vizinho.train.networks import (
    build_loss,
    build_network,
    build_optimisers,
    load_weights,
    rate,
)
from vizinho.train.precision import Precision
from vizinho.train.pretrained import initialise
from vizinho.train.recipes import Recipe
from vizinho.train.watching import Clock, EpochRecord, Progress, Watcher

EMBED_BATCH = 250
WHITENING_SAMPLE = 5000


@dataclass(frozen=True)
class Trained:
    """What a training leaves: the network in evaluation mode, its images, its history."""

    network: nn.Module
    pixels: Pixels
    progress: Progress
    precision: str


def train(
    recipe: Recipe,
    dataset: LabelledImages,
    run: Path,
    watcher: Watcher,
    *,
    validation: LabelledImages | None = None,
    decoding: Decoding | None = None,
    threads: int | None = None,
) -> Trained:
    """Trains on ``dataset``; goes on from ``run/checkpoint.pt`` where there is one.

    Measured after each epoch is Top-1 on ``validation``, or on ``recipe.holdout`` images of
    ``dataset``. A checkpoint is written every minute, after every epoch and when the watcher asks
    to stop: a killed training loses a minute at most, and a resumed one makes the steps it would
    have made. ``threads`` are the processor cores to use; None leaves it to torch.

    Raises ``TrainingError`` (a checkpoint of another recipe or other data), ``TrainingCollapsed``,
    ``TrainingDiverged``, ``TrainingInterrupted`` (the watcher asked), ``DatasetError``.
    """
    torch.set_num_threads(threads or torch.get_num_threads())
    torch.manual_seed(recipe.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    pixels = load_pixels(dataset, recipe, validation, decoding)
    batches = {
        size: Batches(
            images,
            pixels.labels,
            batch_size=recipe.batch_size,
            shift=recipe.shift,
            mirror=recipe.mirror,
            seed=recipe.seed,
        )
        for size, images in pixels.train.items()
    }
    per_epoch = len(batches[recipe.size])
    low_epochs = round(recipe.low_share * recipe.epochs) if len(batches) > 1 else 0

    network = build_network(recipe).to(device)
    loss = build_loss(recipe, len(pixels.classes)).to(device)
    optimisers = build_optimisers(recipe, network, loss)
    full_rates = [[group["lr"] for group in optimiser.param_groups] for optimiser in optimisers]
    progress = Progress(steps=recipe.epochs * per_epoch)

    arithmetic = ""
    file = run / "checkpoint.pt"
    if file.exists():
        state = checkpoint.load(file)
        checkpoint.check_same(file, state, recipe, pixels.digest)
        load_weights(network, state["network"])
        loss.load_state_dict(state["loss"])
        for optimiser, saved in zip(optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        records = [EpochRecord(**record) for record in state["progress"].pop("records")]
        progress = Progress(**state["progress"], records=records)
        arithmetic = state.get("precision", "")
    else:
        whiten(network, pixels.train[recipe.size], recipe)
        first = initialise(network, recipe.init)
        if first.left_random:
            watcher.note(
                f"Weights from {first.source}; left at random: {', '.join(first.left_random)}."
            )

    network.train()
    # A resumed run keeps the arithmetic it began in, or its steps would not be the same.
    precision = (
        Precision(arithmetic, device)
        if arithmetic
        else Precision.fastest(network, recipe.size, device)
    )
    clock = Clock(progress)

    def save() -> None:
        clock.read()
        state = {
            "recipe": recipe.to_dict(),
            "data": pixels.digest,
            "classes": pixels.classes,
            "network": network.state_dict(),
            "loss": loss.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser in optimisers],
            "progress": asdict(progress),
            "precision": precision.name,
        }
        checkpoint.save(file, state)
        clock.saved()

    margin = recipe.margin if recipe.loss == "triplet" else None
    monitor = CollapseMonitor(margin=margin, classes=len(pixels.classes))
    watcher.step(progress)
    for epoch in range(len(progress.records), recipe.epochs):
        size = recipe.low_size if epoch < low_epochs else recipe.size
        done = progress.step - epoch * per_epoch
        for images, labels in batches[size].epoch(epoch, skip=done):
            factor = rate(recipe, progress.step / progress.steps)
            for optimiser, rates in zip(optimisers, full_rates, strict=True):
                for group, full in zip(optimiser.param_groups, rates, strict=True):
                    group["lr"] = full * factor

            embeddings, value = accumulate(
                network, loss, images.to(device), labels.to(device), recipe, precision
            )
            monitor.update(embeddings, value)
            for optimiser in optimisers:
                optimiser.step()
                optimiser.zero_grad()

            progress.step += 1
            progress.images += len(labels)
            progress.epoch_loss += value / per_epoch
            clock.read()
            going_on = watcher.step(progress)
            if clock.checkpoint_is_due() or not going_on:
                save()
            if not going_on:
                raise TrainingInterrupted(
                    f"Training stopped at step {progress.step:,} of {progress.steps:,}.",
                    "Nothing is lost: the same command goes on from here.",
                )

        measured = measure(network, pixels, recipe, device)
        clock.read()
        record = EpochRecord(
            epoch + 1,
            progress.epoch_loss,
            measured,
            size,
            progress.seconds,
            progress.cpu_seconds,
        )
        progress.records.append(record)
        progress.epoch_loss = 0.0
        save()
        watcher.epoch(record)
    return Trained(network.eval(), pixels, progress, precision.name)


def accumulate(
    network: nn.Module,
    loss: nn.Module,
    images: Tensor,
    labels: Tensor,
    recipe: Recipe,
    precision: Precision,
) -> tuple[Tensor, float]:
    """Adds the gradients of one batch, a micro-batch at a time; returns its embeddings and loss.

    ``images`` uint8 [B, H, W, 3]. Pairs and triplets are formed inside a micro-batch: small ones
    stay in the processor's cache, and batch normalisation sees each one alone.
    """
    seen, total = [], 0.0
    for start in range(0, len(labels), recipe.micro_batch):
        part = slice(start, start + recipe.micro_batch)
        with precision.autocast():
            embeddings = network(normalise(images[part], recipe.spec))
        value = loss(embeddings.float(), labels[part]) * (len(labels[part]) / len(labels))
        value.backward()
        seen.append(embeddings.detach())
        total += value.item()
    return torch.cat(seen), total


def whiten(network: nn.Module, images: NDArray[np.uint8], recipe: Recipe) -> None:
    """Sets the first layer of every ``FastNet`` in ``network`` from the training images."""
    for module in network.modules():
        if isinstance(module, FastNet):
            step = max(1, len(images) // WHITENING_SAMPLE)
            sample = torch.from_numpy(images[::step][:WHITENING_SAMPLE])
            device = module.whitening.weight.device
            module.whiten(normalise(sample, recipe.spec).to(device))


@torch.inference_mode()
def embed(
    network: nn.Module, images: NDArray[np.uint8], recipe: Recipe, device: torch.device
) -> NDArray[np.float32]:
    """uint8 [N, H, W, 3] -> embeddings float32 [N, D] as the finished network would give them."""
    training = network.training
    network.eval()
    parts = [
        network(normalise(torch.from_numpy(images[i : i + EMBED_BATCH]).to(device), recipe.spec))
        for i in range(0, len(images), EMBED_BATCH)
    ]
    network.train(training)
    found: NDArray[np.float32] = torch.cat(parts).float().cpu().numpy()
    return found


def measure(
    network: nn.Module, pixels: Pixels, recipe: Recipe, device: torch.device
) -> float | None:
    """Top-1 on the held-out images, leave-one-out; None when too few were held out."""
    if len(pixels.holdout) < 2:
        return None
    return precision_at_1(embed(network, pixels.holdout, recipe, device), pixels.holdout_labels)
