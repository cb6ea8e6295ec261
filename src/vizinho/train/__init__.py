"""Training: the only home of torch (``pip install 'vizinho[train]'``).

Importing this package without torch raises ``TrainingError`` with the way out; nothing outside it
needs torch. Reading order: ``recipes`` > ``loop`` > ``fastnet``/``resnet`` > ``objectives`` >
``losses`` > ``miners`` > ``batches`` > ``optim`` > ``export``.
"""

from __future__ import annotations

from vizinho.errors import TrainingError

try:
    import torch as _torch  # noqa: F401
except ModuleNotFoundError as error:
    # A torch that is there but broken must show its own traceback, not the advice to install it.
    if error.name != "torch":
        raise
    raise TrainingError(
        "Training needs PyTorch, which isn't installed here.",
        "Install it with: pip install 'vizinho[train]'",
    ) from error
