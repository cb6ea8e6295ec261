"""From what a user types to a data set."""

from __future__ import annotations

from pathlib import Path

from vizinho.datasets.base import LabelledImages
from vizinho.datasets.cifar import KNOWN, load_cifar
from vizinho.datasets.folder import load_folder
from vizinho.datasets.parquet import load_parquet
from vizinho.datasets.table import load_csv
from vizinho.errors import DatasetError

_FORMS = (
    "Give cifar10:train, cifar10:test, cifar100:test, a folder root/class/image.jpg, "
    "a .parquet or a .csv file; each may end in :split."
)


def load_dataset(spec: str, *, data_dir: Path | None = None) -> LabelledImages:
    """The labelled pictures that ``spec`` names.

    ``spec``: "cifar10:train", "cifar10:test", "cifar100:test", a folder, "x.parquet" or "x.csv",
    each optionally with ":split". ``data_dir`` is where the CIFAR sets lie (the edges pass the one
    of the settings), by default the current folder.

    A folder that is itself called "cifar10" is meant by "./cifar10".

    Raises `DatasetError`, which says what was looked for and where.
    """
    path, split = _split_spec(spec)
    if path.lower() in KNOWN:
        return load_cifar(path.lower(), split, data_dir or Path())
    place = Path(path).expanduser()
    if place.is_dir():
        try:
            return load_folder(place, spec, split=split)
        except OSError as error:
            raise DatasetError(f"{place} can't be read: {error.strerror or error}.") from error
    if not place.is_file():
        raise DatasetError(f"There is no data set {spec!r}: {place} does not exist.", _FORMS)
    suffix = place.suffix.lower()
    if suffix == ".parquet":
        return load_parquet([place], spec, split=split)
    if suffix == ".csv":
        return load_csv(place, spec, split=split)
    raise DatasetError(f"{place} is no data set: its suffix is {suffix or 'missing'}.", _FORMS)


def _split_spec(spec: str) -> tuple[str, str | None]:
    """Path and split; a path that exists as it stands, colon and all, has no split."""
    if Path(spec).expanduser().exists():
        return spec, None
    path, colon, split = spec.rpartition(":")
    # A separator after the colon means the colon was part of a path ("C:\\photos").
    if not colon or not path or not split or "/" in split or "\\" in split:
        return spec, None
    return path, split
