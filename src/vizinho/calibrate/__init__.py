"""What a distance is worth: the chance of the same kind, and when nothing is alike.

Fitting and applying are arrays in, arrays out; the numbers are kept in a model's ``bundle.json``.
"""

from __future__ import annotations

from vizinho.calibrate.calibration import NEIGHBOURS, VERSION, Calibration, Chance, Judgement
from vizinho.calibrate.familiarity import Familiarity
from vizinho.calibrate.fitting import (
    FEWEST_QUERIES,
    REFUSED,
    Asked,
    CalibrationImpossible,
    fit_calibration,
)
from vizinho.calibrate.heldout import HeldOut, calibrate_embeddings

__all__ = [
    "FEWEST_QUERIES",
    "NEIGHBOURS",
    "REFUSED",
    "VERSION",
    "Asked",
    "Calibration",
    "CalibrationImpossible",
    "Chance",
    "Familiarity",
    "HeldOut",
    "Judgement",
    "calibrate_embeddings",
    "fit_calibration",
]
