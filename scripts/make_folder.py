"""Writes any data set as a folder of class/picture.png: ``make_folder.py cifar100:test FOLDER``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from vizinho.datasets import load_dataset
from vizinho.settings import default_data_dir


def main() -> None:
    """Reads the command line and writes the folder; pictures that are there already stay."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", help="what `vizinho train` takes: cifar100:test, x.parquet, ...")
    parser.add_argument("folder", type=Path)
    told = parser.parse_args()
    images = load_dataset(told.dataset, data_dir=default_data_dir())
    for i, name in enumerate(images.names):
        place = told.folder / images.classes[images.labels[i]]
        place.mkdir(parents=True, exist_ok=True)
        file = place / f"{Path(name).stem}.png"
        if not file.exists():
            images.load(i).save(file)
    sys.stdout.write(
        f"{len(images):,} pictures of {len(images.classes)} classes in {told.folder}\n"
    )


if __name__ == "__main__":
    main()
