"""What a distance is worth: the chance of the same kind, and when nothing is alike.

Fitting and applying are arrays in, arrays out; the numbers are kept in a model's ``bundle.json``.
A search applies them: what fits them (`vizinho.calibrate.fitting`, `vizinho.calibrate.heldout`) is
imported by who fits.
"""

from __future__ import annotations

from vizinho.calibrate.calibration import NEIGHBOURS, VERSION, Calibration, Chance, Judgement
from vizinho.calibrate.familiarity import Familiarity

__all__ = ["NEIGHBOURS", "VERSION", "Calibration", "Chance", "Familiarity", "Judgement"]
