"""``docs/thesis.md`` is what its script makes of the rows and of what is known of the thesis."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

from vizinho.train.recipes import recipe
from vizinho.train.sweep.epochs import keep_epochs
from vizinho.train.sweep.ledger import Ledger, Run, key_of
from vizinho.train.watching import EpochRecord

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
import make_thesis

pytestmark = pytest.mark.train


def test_the_page_is_what_the_script_makes():
    assert make_thesis.PAGE.read_text() == make_thesis.page(), "run scripts/make_thesis.py"


def test_the_page_says_what_was_settled_where_the_thesis_is_silent():
    page, settled = make_thesis.PAGE.read_text(), recipe("thesis")
    assert f"how triplets are drawn | `{settled.mining}`" in page
    assert f"`distance` in the loss | `{settled.distance}`" in page
    assert f"embeddings of length one | {'yes' if settled.normalise else 'no'} |" in page


def test_each_way_of_running_the_cells_has_its_column(tmp_path, monkeypatch):
    docs, folder = tmp_path / "docs", tmp_path / "sweep"
    shutil.copytree(make_thesis.DATA, docs / "thesis", ignore=shutil.ignore_patterns("runs.csv"))
    shutil.copy(make_thesis.PAGE, docs)
    (docs / "images").mkdir()
    monkeypatch.setattr(make_thesis, "ROOT", tmp_path)
    monkeypatch.setattr(make_thesis, "PAGE", docs / "thesis.md")
    monkeypatch.setattr(make_thesis, "DATA", docs / "thesis")
    known = docs / "thesis" / "table-4-1.csv"
    known.write_text(known.read_text().replace("resnet50,512,0.5,,", "resnet50,512,0.5,12.34,"))

    folder.mkdir()
    ledger = Ledger(folder / "runs.csv")
    ledger.prepare(["network", "dimension", "margin"])
    for top_1, outcome, told in (
        (0.85, "ok", {"dimension": 128, "margin": 0.3, "epochs": 40}),
        (0.87, "ok", {"dimension": 128, "margin": 0.3, "epochs": 40, "seed": 1}),
        (0.449, "collapsed", {"dimension": 512, "margin": 0.5, "epochs": 40}),
        (0.8, "ok", {"dimension": 128, "margin": 0.3, "normalise": True, "lr": 0.05}),
    ):
        made = recipe("thesis", holdout=0, **told)
        run = Run(
            key_of(made, "d"), outcome, made.to_dict(), "cifar10:train", "d", made.epochs,
            test="cifar10:test", top_1_test=top_1, commit="a" * 40 + "+",
        )  # fmt: skip
        ledger.append(run)
        (folder / "runs" / run.key).mkdir(parents=True)
        keep_epochs(folder / "runs" / run.key, [EpochRecord(1, 0.5, None, 32, 1.0, 1.0)])
    monkeypatch.setattr(sys, "argv", ["make_thesis.py", str(folder)])
    make_thesis.main()

    page = (docs / "thesis.md").read_text()
    first = "40 epochs, batch-all, euclidean, not normalised"
    second = "100 epochs, batch-all, euclidean, normalised, lr 0.05"
    assert f"| margin | the thesis | ours: {first} | ours: {second} |" in page
    assert "| resnet18 | 128 | 0.3 | not known here | 86.00 ± 1.41 | 80.00 |" in page
    assert "| resnet18 | 512 | 0.5 | not known here | 44.90 (collapsed) | not run |" in page
    assert "| resnet50 | 512 | 0.5 | 12.34 | not run | not run |" in page
    assert "3 of 54 runs are made." in page
    assert "Code: aaaaaaaa+." in page
    assert {path.name for path in (docs / "images").iterdir()} == {
        *("thesis-1.png", "thesis-2.png", "thesis-curves.png")
    }
    assert "(images/thesis-2.png)" in page
    make_thesis.main()
    assert (docs / "thesis.md").read_text() == page
