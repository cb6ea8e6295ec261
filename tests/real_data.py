"""Real data sets, from where the Makefile has them; the test is skipped where there are none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vizinho.datasets import LabelledImages, load_dataset
from vizinho.errors import DatasetError
from vizinho.settings import default_data_dir

SHARED = Path(__file__).resolve().parents[2] / "shared" / "datasets"


def real(spec: str) -> LabelledImages:
    """The data set ``spec`` from ``VIZINHO_DATA``, else from beside the checkout, else from the
    cache that ``vizinho fetch`` fills."""
    beside = SHARED.is_dir() and not os.environ.get("VIZINHO_DATA")
    try:
        return load_dataset(spec, data_dir=SHARED if beside else default_data_dir())
    except DatasetError as error:
        pytest.skip(str(error))
