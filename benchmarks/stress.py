"""Do two writers and four readers ever see a wrong answer?

Six processes at one gallery for ``--seconds``: the writers add, label and remove, the readers
search, filter and list, and each checks every answer against what is possible
(``tests/stressing.py`` says what that is). The first wrong one ends the run with exit code 1.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from common import ROOT, last_line

sys.path.insert(0, str(ROOT / "tests"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--index", action="store_true", help="with a trained index in between")
    parser.add_argument("--quick", action="store_true", help="three seconds, to see that it works")
    given = parser.parse_args()
    if given.quick:
        given.seconds = 3
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["PYTHONPATH"] = str(ROOT / "src")

    from stressing import fill, stress
    from toys import make_toy_bundle
    from vizinho.gallery import Gallery

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "many.vizinho"
        with Gallery.create(path, model=make_toy_bundle(Path(folder))) as gallery:
            fill(gallery)
            if given.index:
                gallery.engine.optimise(force=True)
        try:
            done = stress(path, given.seconds)
        except AssertionError as error:
            sys.exit(f"A wrong answer.\n{error}")
    print(
        f"{done['searches']:,} searches beside {done['added'] + done['removed']:,} changes: fine."
    )
    last_line("stress", **done, index=given.index, wrong_answers=0)


if __name__ == "__main__":
    main()
