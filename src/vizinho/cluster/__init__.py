"""Embedding on many machines: the same code on each, through Ray (extra ``ray``)."""

from __future__ import annotations

from vizinho.cluster.driver import RayEmbedding, ray_workers

__all__ = ["RayEmbedding", "ray_workers"]
