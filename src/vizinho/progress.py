"""How the core says how far it is, without knowing who listens."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[int, int | None], None]
"""Called with ``(done, total)``; ``total`` is ``None`` while it is not known."""
