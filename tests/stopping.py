"""A migration that is cut short at a moment of the test's choosing."""

from __future__ import annotations

from typing import Any

import pytest

from vizinho.gallery.reembed import Reembedding


def killed(*_: object, **__: object) -> Any:
    """Stands in for whatever is to be the last that happens."""
    raise KeyboardInterrupt


def kill_after_a_page(patch: pytest.MonkeyPatch) -> None:
    """Let one page of rows be embedded, and no more."""
    pages: list[int] = []
    take = Reembedding._take

    def some(self: Reembedding, part: Any) -> int:
        pages.append(1)
        return int(killed() if len(pages) > 1 else take(self, part))

    patch.setattr(Reembedding, "_take", some)
