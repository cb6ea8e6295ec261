"""A schedule that fits a time: how long a step takes is measured, and the epochs follow."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, replace
from typing import Final

import torch

from vizinho.errors import SettingsError
from vizinho.train.batches import Batches
from vizinho.train.data import Pixels
from vizinho.train.networks import build_network, build_optimisers
from vizinho.train.objectives import build_loss
from vizinho.train.passes import embed
from vizinho.train.precision import Precision
from vizinho.train.recipes import Recipe
from vizinho.train.team import Team, cores_for

#: Steps are timed for so many seconds at each size, after one that is not.
PROBE_SECONDS: Final = 3.0
PROBE_STEPS: Final = 20

#: Processor seconds to export and check a model: torch's exporter takes most of it.
EXPORT_SECONDS: Final = 7.0

#: More epochs than this don't help a small set; what is left of the time is not used.
MOST_EPOCHS: Final = 200

#: Machines slow down while they work: others come, and processors get warm.
MARGIN: Final = 0.05


@dataclass(frozen=True)
class Speed:
    """Seconds: of an epoch by picture size, of measuring after each, and of all that comes once."""

    epoch: dict[int, float]
    measuring: float
    ending: float


def parse_duration(text: str) -> float:
    """Seconds of "90s", "20m", "2h" or "1h30m"; raises ``SettingsError``."""
    units = {"h": 3600.0, "m": 60.0, "s": 1.0}
    parts = re.findall(r"(\d+(?:\.\d+)?)([hms])", text.strip().lower())
    if not parts or "".join(n + unit for n, unit in parts) != text.strip().lower():
        raise SettingsError(f"{text!r} is no time.", "For example: 90s, 20m, 2h or 1h30m.")
    seconds = sum(float(n) * units[unit] for n, unit in parts)
    if not seconds > 0:
        raise SettingsError("A training needs some time.", "For example: 20m.")
    return seconds


def measured(recipe: Recipe, pixels: Pixels, threads: int | None = None) -> Speed:
    """How fast this machine trains ``recipe`` right now, from a few steps at each size.

    The network of these steps is thrown away. A teacher's lessons are not in it.
    """
    torch.set_num_threads(threads or torch.get_num_threads())
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    random = torch.get_rng_state()
    network = build_network(recipe).to(device).train()
    loss = build_loss(recipe, len(pixels.classes)).to(device)
    optimisers = build_optimisers(recipe, network, loss)
    started, cpu_started = time.perf_counter(), time.process_time()
    precision = Precision.fastest(network, recipe.size, device)
    # The training will look at both precisions again.
    looking = time.perf_counter() - started
    team = Team(network, loss, cores_for(recipe, len(pixels.labels), device))
    epoch = {}
    for size, images in pixels.train.items():
        rows = slice(0, 3 * recipe.batch_size)
        batches = Batches(
            images[rows],
            pixels.labels[rows],
            batch_size=recipe.batch_size,
            shift=recipe.shift,
            mirror=recipe.mirror,
        )
        per_epoch = len(images) // min(recipe.batch_size, len(images))
        steps, began = 0, time.perf_counter()
        while steps < 2 or (steps <= PROBE_STEPS and time.perf_counter() - began < PROBE_SECONDS):
            for batch in batches.epoch(steps):
                team.learn(
                    batch.images.to(device),
                    batch.labels.to(device),
                    recipe,
                    precision,
                )
                for optimiser in optimisers:
                    optimiser.step()
                    optimiser.zero_grad()
                steps += 1
                if steps == 1:
                    # The first one also sets up memory and picks algorithms.
                    began = time.perf_counter()
                elif time.perf_counter() - began > PROBE_SECONDS:
                    break
        epoch[size] = per_epoch * (time.perf_counter() - began) / (steps - 1)
    began = time.perf_counter()
    some = pixels.train[recipe.size][:100]
    embed(network, some, recipe, device)
    each = (time.perf_counter() - began) / len(some)
    torch.set_rng_state(random)
    # Where others work on the same cores, a second of the processor takes longer than one.
    wall, cpu = time.perf_counter() - started, time.process_time() - cpu_started
    slowed = max(1.0, wall * torch.get_num_threads() / cpu) if device.type == "cpu" else 1.0
    return Speed(
        epoch,
        measuring=each * len(pixels.holdout),
        ending=looking + slowed * EXPORT_SECONDS + each * len(pixels.unseen),
    )


def planned(recipe: Recipe, speed: Speed, seconds: float) -> tuple[Recipe, str]:
    """The recipe with as many epochs as fit into ``seconds``, and what to say about it.

    At least one epoch, at the smaller size where that alone fits; steps of a schedule in steps
    keep their share of the whole.
    """
    room = (seconds - speed.ending) / (1 + MARGIN)
    best = None
    for epochs in range(MOST_EPOCHS, 0, -1):
        # One epoch alone is better spent on the pictures as they are.
        share = recipe.low_share if epochs > 1 else 0.0
        made = replace(recipe, epochs=epochs, low_share=share)
        if cost(made, speed) <= room:
            best = made
            break
    fits = best is not None
    if best is None:
        # All of the one epoch at the smaller size, where there is one.
        low = 0.99 if len(speed.epoch) > 1 else recipe.low_share
        best = replace(recipe, epochs=1, low_share=low)
        fits = cost(best, speed) <= room
    if recipe.schedule == "steps":
        share = recipe.step_epochs / recipe.epochs
        best = replace(best, step_epochs=max(1, round(share * best.epochs)))
    takes = cost(best, speed) + speed.ending
    low_epochs = round(best.low_share * best.epochs) if len(speed.epoch) > 1 else 0
    said = f"{best.epochs} epoch{'s' * (best.epochs > 1)}"
    if low_epochs:
        said += f", {low_epochs} of them on pictures of {best.low_size} pixels"
    speeds = ", ".join(f"{t:.1f} s at {size} px" for size, t in sorted(speed.epoch.items()))
    said += f" (an epoch takes {speeds})"
    if not fits:
        return best, (
            f"The time is too short: even one epoch and the export take about {takes:.0f} s, and "
            f"{max(0.0, seconds):.0f} s are left. Training {said} all the same."
        )
    return best, f"Of the time {seconds:.0f} s are left: {said}, about {takes:.0f} s in all."


def cost(recipe: Recipe, speed: Speed) -> float:
    """Seconds of all epochs of ``recipe`` with the measuring after each, without the export."""
    low = round(recipe.low_share * recipe.epochs) if len(speed.epoch) > 1 else 0
    sizes = sorted(speed.epoch)
    return (
        low * speed.epoch[sizes[0]]
        + (recipe.epochs - low) * speed.epoch[sizes[-1]]
        + recipe.epochs * speed.measuring
    )
