"""Several processor cores on one batch, each with micro-batches of its own.

One core to a micro-batch beats all cores on each of its operations: nobody waits for anybody
until the batch is done, and each core's numbers stay in its own cache.
"""

from __future__ import annotations

import copy
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor, nn

from vizinho.train.batches import normalise
from vizinho.train.precision import Precision
from vizinho.train.recipes import Recipe

Gradients = list[Tensor | None]


class Team:
    """``network`` and ``loss`` with a copy for each core but the first; the weights are shared.

    What is not learned (running statistics) each copy keeps for itself during a batch; after it
    all go on from their mean. The sums are made in a fixed order, so that a number of cores always
    gives the same steps; another number gives steps that differ by rounding and in those
    statistics. ``cores`` is 1 wherever a GPU does the work.
    """

    def __init__(self, network: nn.Module, loss: nn.Module, cores: int = 1) -> None:
        self.members = [(network, loss)]
        self.members += [(twin(network), twin(loss)) for _ in range(cores - 1)]
        self.weights = [w for w in (*network.parameters(), *loss.parameters()) if w.requires_grad]
        self._workers = ThreadPoolExecutor(cores, initializer=torch.set_num_threads, initargs=(1,))

    def learn(
        self,
        images: Tensor,
        labels: Tensor,
        recipe: Recipe,
        precision: Precision,
        posterior: Tensor | None = None,
    ) -> tuple[Tensor, float]:
        """Adds the gradients of one batch; returns its embeddings [B, D] and its mean loss.

        ``images`` uint8 [B, H, W, 3], ``labels`` int64 [B]; ``posterior`` [B, classes] is for a
        loss with a teacher. Pairs and triplets are formed inside a micro-batch, and batch
        normalisation sees each one alone.
        """
        parts = [
            slice(start, min(start + recipe.micro_batch, len(labels)))
            for start in range(0, len(labels), recipe.micro_batch)
        ]

        def work(number: int) -> tuple[list[Tensor], Tensor, Gradients]:
            network, loss = self.members[number]
            seen, total = [], torch.zeros((), device=labels.device)
            gradients: Gradients = [None] * len(self.weights)
            for part in parts[number :: len(self.members)]:
                with precision.autocast():
                    embeddings = network(normalise(images[part], recipe.spec))
                taught = () if posterior is None else (posterior[part],)
                value = loss(embeddings.float(), labels[part], *taught)
                value = value * (len(labels[part]) / len(labels))
                found = torch.autograd.grad(value, self.weights, allow_unused=True)
                gradients = [sum_of(a, b) for a, b in zip(gradients, found, strict=True)]
                seen.append(embeddings.detach())
                total += value.detach()
            return seen, total, gradients

        if len(self.members) == 1:
            done = [work(0)]
        else:
            for network, loss in self.members[1:]:
                network.train(self.members[0][0].training)
                loss.train(self.members[0][1].training)
            done = list(self._workers.map(work, range(len(self.members))))
            self._agree()
        for _, _, gradients in done:
            for weight, gradient in zip(self.weights, gradients, strict=True):
                weight.grad = sum_of(weight.grad, gradient)
        embeddings = torch.cat([done[i % len(done)][0][i // len(done)] for i in range(len(parts))])
        # Reading a number waits for the device: once a batch, not once a micro-batch.
        return embeddings, torch.stack([total for _, total, _ in done]).sum().item()

    @torch.no_grad()
    def _agree(self) -> None:
        """Every copy's statistics become their mean."""
        for modules in zip(*self.members, strict=True):
            for buffers in zip(*(module.buffers() for module in modules), strict=True):
                if buffers[0].is_floating_point():
                    mean = torch.stack(list(buffers)).mean(dim=0)
                    for buffer in buffers:
                        buffer.copy_(mean)


def cores_for(recipe: Recipe, images: int, device: torch.device) -> int:
    """How many cores share a batch out of ``images``: torch's threads or, on a GPU, one.

    More cores than micro-batches would idle; then each operation is shared out instead.
    """
    parts = -(-min(recipe.batch_size, images) // recipe.micro_batch)
    threads = torch.get_num_threads()
    return threads if device.type == "cpu" and parts >= threads else 1


def twin(module: nn.Module) -> nn.Module:
    """A copy with the very same parameters and buffers of its own."""
    return copy.deepcopy(module, {id(weight): weight for weight in module.parameters()})


def sum_of(first: Tensor | None, second: Tensor | None) -> Tensor | None:
    """The sum, where None is nothing."""
    if first is None or second is None:
        return second if first is None else first
    return first + second
