"""Which regions of two pictures made their match.

A network that ends in global pooling and a linear layer sums its embedding over the positions of
its last feature map, so a dot product of two embeddings splits into shares of those positions: the
class activation maps of B. Zhou et al., "Learning Deep Features for Discriminative Localization"
(CVPR 2016), between two pictures as in A. Stylianou, R. Souvenir and R. Pless, "Visualizing Deep
Similarity Networks" (WACV 2019) and S. Zhu, T. Yang and C. Chen, "Visual Explanation for Deep
Metric Learning" (arXiv:1909.12977). The shares add up; docs/explain.md shows how.
"""

from __future__ import annotations

from vizinho.explain.explainer import Explainer, explainable
from vizinho.explain.parts import Explanation, Regions

__all__ = ["Explainer", "Explanation", "Regions", "explainable"]
