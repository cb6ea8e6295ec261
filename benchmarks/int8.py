"""Is the network in int8 good enough, and how much faster? ``python benchmarks/int8.py [MODEL]``

Quantises a bundle on training pictures, measures it on others that were held out of training, and
writes ``model.int8.onnx`` into the bundle where it passes the gate of `vizinho.train.quantise`. The
last line is JSON; times are processor time of one picture alone, median of 60.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path

from common import last_line, pin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", help="a bundle; default: the shipped one, in a copy")
    parser.add_argument("--dataset", default="cifar10:train", help="what it was trained on")
    parser.add_argument("--held-out", type=int, default=2000, help="as in its training")
    parser.add_argument("--quick", action="store_true", help="a tiny version")
    options = parser.parse_args()
    pin()
    from vizinho.bundle import default_bundle
    from vizinho.datasets import load_dataset
    from vizinho.settings import default_data_dir
    from vizinho.train.quantise import LEAST_RECALL_AT_10, MOST_TOP_1_LOST, quantise

    pictures = load_dataset(options.dataset, data_dir=default_data_dir())
    with tempfile.TemporaryDirectory() as scratch:
        model = Path(options.model or shutil.copytree(default_bundle(), Path(scratch, "model")))
        found = quantise(model, pictures, held_out=50 if options.quick else options.held_out)
    print(f"{found.images} pictures of {pictures.name} held out")
    print(f"recall@10 of fp32's neighbours  {found.recall_at_10:.4f} (gate {LEAST_RECALL_AT_10})")
    print(
        f"Top-1 fp32 {found.precision_at_1_fp32:.2%}, int8 {found.precision_at_1_int8:.2%} "
        f"(may lose {MOST_TOP_1_LOST:.2%})"
    )
    print(
        f"one picture: fp32 {found.query_seconds_fp32 * 1e3:.2f} ms, "
        f"int8 {found.query_seconds_int8 * 1e3:.2f} ms"
    )
    print("passed: model.int8.onnx written" if found.passed else "failed: nothing written")
    last_line("int8", passed=found.passed, **asdict(found))


if __name__ == "__main__":
    main()
