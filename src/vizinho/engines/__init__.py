"""Where vectors live: one small protocol, and the engines that keep to it."""

from __future__ import annotations

from vizinho.engines.protocol import Engine, Filter, Hit, Row, pages

__all__ = ["Engine", "Filter", "Hit", "Row", "pages"]
