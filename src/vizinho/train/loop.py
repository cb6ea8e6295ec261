"""The training itself, in the order in which it happens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import nn

from vizinho.datasets import LabelledImages
from vizinho.errors import TrainingCollapsed, TrainingDiverged, TrainingInterrupted
from vizinho.train import checkpoint
from vizinho.train.augment import augmented
from vizinho.train.averaging import Average
from vizinho.train.batches import Batches, normalise
from vizinho.train.data import Decoding, Pixels, load_pixels
from vizinho.train.networks import (
    build_network,
    build_optimisers,
    load_weights,
    rate,
)
from vizinho.train.objectives import build_loss, collapse_monitor, temperature
from vizinho.train.passes import as_many, measure, settle, spread, whiten
from vizinho.train.precision import Precision, prepare
from vizinho.train.pretrained import initialise
from vizinho.train.recipes import Recipe
from vizinho.train.teacher import Distilled, teaching
from vizinho.train.team import Team, cores_for
from vizinho.train.warm import UNFOLDED, unfold
from vizinho.train.watching import Clock, EpochRecord, Progress, Watcher


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
    fetching: Decoding | None = None,
    threads: int | None = None,
    pixels: Pixels | None = None,
    failed: Callable[[Trained], None] | None = None,
    own_loss: nn.Module | None = None,
) -> Trained:
    """Trains on ``dataset``; goes on from ``run/checkpoint.pt`` where there is one.

    Measured after each epoch is Top-1 on ``validation``, or on ``recipe.holdout`` images of
    ``dataset``. A checkpoint is written every minute, after every epoch and when the watcher asks
    to stop: a killed training loses a minute at most, and a resumed one makes the steps it would
    have made. ``threads`` are the processor cores to use; None leaves it to torch. ``decoding``
    hears of pictures, ``fetching`` of bytes of weights; ``pixels`` are those of this very recipe,
    where they were loaded before. ``failed`` is given what there is when a training collapses or
    diverges, before that is raised.
    ``own_loss`` is what a recipe with the loss ``own:NAME`` means: any module (embeddings [N, D],
    labels [N]) -> scalar, whose weights are learned beside the network's.

    Raises ``TrainingError`` (a checkpoint of another recipe or other data), ``TrainingCollapsed``,
    ``TrainingDiverged``, ``TrainingInterrupted`` (the watcher asked), ``DatasetError``.
    """
    torch.set_num_threads(threads or torch.get_num_threads())
    # A loss that can't be made is told before all pictures are read.
    build_loss(recipe, len(dataset.classes), own_loss)
    torch.manual_seed(recipe.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    prepare(device)
    pixels = pixels or load_pixels(dataset, recipe, validation, decoding, run=run, threads=threads)
    for note in pixels.notes:
        watcher.note(note)
    batches = {
        size: Batches(
            images,
            pixels.labels,
            batch_size=recipe.batch_size,
            shift=recipe.shift,
            mirror=recipe.mirror,
            seed=recipe.seed,
            per_class=recipe.per_class,
            device=device,
            micro_batch=recipe.micro_batch,
        )
        for size, images in pixels.train.items()
    }
    per_epoch = len(batches[recipe.size])
    low_epochs = round(recipe.low_share * recipe.epochs) if len(batches) > 1 else 0

    network = build_network(recipe).to(device)
    loss = build_loss(recipe, len(pixels.classes), own_loss)
    average = Average(network, recipe.average) if recipe.average else None
    teach = None
    if recipe.teacher:
        teach = teaching(recipe, pixels, run, device, threads=threads or 1, progress=decoding)
        loss = Distilled(
            loss, len(pixels.classes), recipe.dimension, temperature(recipe), recipe.distil
        )
    loss = loss.to(device)
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
        if average:
            average.load(state["average"])
        for optimiser, saved in zip(optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        records = [EpochRecord(**record) for record in state["progress"].pop("records")]
        # A schedule in steps may be gone on with for more epochs than it was begun for.
        state["progress"]["steps"] = progress.steps
        progress = Progress(**state["progress"], records=records)
        arithmetic = state.get("precision", "")
    else:
        whiten(network, pixels.train[recipe.size], recipe)
        first = initialise(network, recipe.init, progress=fetching)
        if first.left_random:
            watcher.note(
                f"Weights from {first.source}; left at random: {', '.join(first.left_random)}."
            )
        if first.folded:
            rows = spread(len(pixels.labels), as_many(UNFOLDED, recipe.size))
            sample = torch.from_numpy(pixels.train[recipe.size][rows]).to(device)
            unfold(network, first.folded, normalise(sample, recipe.spec))
        if recipe.init != "random" and not first.left_random:
            settle(loss, network, pixels, recipe)

    network.train()
    # A resumed run keeps the arithmetic it began in, or its steps would not be the same.
    precision = (
        Precision(arithmetic, device)
        if arithmetic
        else Precision.fastest(network, recipe.size, device)
    )
    team = Team(network, loss, cores_for(recipe, len(pixels.labels), device))
    clock = Clock(progress)

    def save() -> None:
        clock.read()
        state = {
            "recipe": recipe.to_dict(),
            "data": pixels.digest,
            "classes": pixels.classes,
            "network": network.state_dict(),
            "loss": loss.state_dict(),
            "average": average.state() if average else None,
            "optimisers": [optimiser.state_dict() for optimiser in optimisers],
            "progress": asdict(progress),
            "precision": precision.name,
        }
        checkpoint.save(file, state)
        clock.saved()

    monitor = collapse_monitor(recipe, len(pixels.classes), progress.step)
    watcher.step(progress)
    for epoch in range(len(progress.records), recipe.epochs):
        size = recipe.low_size if epoch < low_epochs else recipe.size
        done = progress.step - epoch * per_epoch
        for images, labels, indices in batches[size].epoch(epoch, skip=done):
            factor = rate(recipe, progress.step / progress.steps)
            for optimiser, rates in zip(optimisers, full_rates, strict=True):
                for group, full in zip(optimiser.param_groups, rates, strict=True):
                    group["lr"] = full * factor

            images = augmented(images.to(device), recipe, progress.step)
            embeddings, value = team.learn(
                images,
                labels.to(device),
                recipe,
                precision,
                None if teach is None else teach(images, indices, precision),
            )
            try:
                monitor.update(embeddings, value, labels)
            except (TrainingCollapsed, TrainingDiverged):
                clock.read()
                if failed is not None:
                    failed(Trained(network.eval(), pixels, progress, precision.name))
                raise
            for optimiser in optimisers:
                optimiser.step()
                optimiser.zero_grad()
            if average:
                average.update(network)

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

        if average:
            average.refresh(pixels, recipe)
        measured = measure(average.network if average else network, pixels, recipe, device)
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
    finished = average.network if average else network
    return Trained(finished.eval(), pixels, progress, precision.name)
