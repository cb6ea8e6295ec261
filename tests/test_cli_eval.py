from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from toys import make_toy_bundle, plain
from vizinho.bundle import read_bundle
from vizinho.cli import build_app


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """``model`` (a bundle), ``test`` and ``train`` (folders of plain red and blue pictures)."""
    make_toy_bundle(tmp_path, "model")
    for split, count in (("test", 4), ("train", 8)):
        for i in range(count):
            for name, colour in (("blue", (0, 0, 99 + 9 * i)), ("red", (99 + 9 * i, 0, 0))):
                path = tmp_path / split / name / f"{i}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                plain(colour).save(path)
    return tmp_path


def run(*words: object) -> Result:
    return CliRunner().invoke(build_app(), ["eval", *map(str, words)])


def test_tables_for_a_person(place: Path) -> None:
    done = run(place / "model", place / "test", "--against", place / "train")
    assert done.exit_code == 0, done.output
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["Top-1", "100.00", "%", "100.00", "to", "100.00", "%"] in lines
    assert ["red", "4", "100.00", "%", "100.00", "to", "100.00", "%"] in lines
    assert any(line[:4] == ["kNN", "(k", "=", "10)"] for line in lines)
    assert "8 queries among 8 pictures" in done.stdout


def test_json_for_a_program(place: Path) -> None:
    done = run(place / "model", place / "test", "--json", "--beside", place / "model")
    answer = json.loads(done.stdout)
    assert answer["model"] == "model"
    assert answer["precision_at_1"] == 1.0
    assert answer["recall_at"] == {"1": 1.0, "5": 1.0, "10": 1.0}
    assert "knn_accuracy" not in answer
    assert [each["model"] for each in answer["beside"]] == ["model"]


def test_write_keeps_the_figures_in_the_bundle(place: Path) -> None:
    before = read_bundle(place / "model")
    run(place / "model", place / "test")
    assert read_bundle(place / "model") == before
    done = run(place / "model", place / "test", "--write", "--json")
    after = read_bundle(place / "model")
    assert after.fingerprint == before.fingerprint
    (figures,) = after.metrics.values()
    told = json.loads(done.stdout)
    assert figures.items() <= told.items()
    assert set(told) - set(figures) == {"model", "per_class_intervals", "confusion", "curve"}
    assert list(after.metrics) == [told["dataset"]]


def test_report_is_written_where_told(place: Path) -> None:
    done = run(place / "model", place / "test", "--report", place / "out", "--json")
    assert json.loads(done.stdout)["report"] == str(place / "out" / "report.html")
    assert (place / "out" / "report.html").is_file()


def test_broken_pictures_are_told(place: Path) -> None:
    (place / "test" / "red" / "0.png").write_bytes(b"no picture")
    done = run(place / "model", place / "test")
    assert done.exit_code == 0
    assert "Skipped" in done.stderr
    assert "red/0.png" in done.stderr


@pytest.mark.parametrize(
    ("model", "dataset"), [("nowhere", "test"), ("model", "nowhere"), ("test", "test")]
)
def test_what_is_not_there_is_an_error_with_a_way_out(
    model: str, dataset: str, place: Path
) -> None:
    done = run(place / model, place / dataset)
    assert done.exit_code == 1
    assert done.stdout == ""
    assert done.stderr.startswith("Error: ")
    assert len(done.stderr.splitlines()) >= 2


def test_some_classes_alone(place: Path) -> None:
    (place / "red.txt").write_text("red\n\n")
    done = run(place / "model", place / "test", "--classes", place / "red.txt", "--json")
    answer = json.loads(done.stdout)
    assert (answer["queries"], list(answer["per_class"])) == (4, ["red"])
    assert answer["dataset"].endswith("test, red classes")
    info = json.loads((place / "model" / "bundle.json").read_text())
    info["training"] |= {"classes": ["red"], "unseen_classes": ["blue"]}
    (place / "model" / "bundle.json").write_text(json.dumps(info))
    for which, name in (("seen", "red"), ("unseen", "blue")):
        words = ("--classes", which, "--against", place / "train", "--write", "--json")
        answer = json.loads(run(place / "model", place / "test", *words).stdout)
        assert (list(answer["per_class"]), answer["knn_references"]) == ([name], 8)
    metrics = read_bundle(place / "model").metrics
    assert [name.rpartition(", ")[2] for name in metrics] == ["seen classes", "unseen classes"]


def test_classes_that_nobody_knows_are_refused(place: Path) -> None:
    for which, said in (("unseen", "doesn't say which"), (place / "no.txt", "can't be read")):
        done = run(place / "model", place / "test", "--classes", which)
        assert done.exit_code == 1
        assert said in done.output
    (place / "odd.txt").write_text("green")
    done = run(place / "model", place / "test", "--classes", place / "odd.txt")
    assert "has no picture of: green" in done.output


def test_write_leaves_the_model_beside_alone(place: Path) -> None:
    make_toy_bundle(place, "other")
    done = run(place / "model", place / "test", "--write", "--beside", place / "other")
    assert done.exit_code == 0, done.output
    assert read_bundle(place / "model").metrics
    assert read_bundle(place / "other").metrics == {}


def test_figures_on_the_training_set_come_with_a_warning(place: Path) -> None:
    about = place / "model" / "bundle.json"
    told = json.loads(about.read_text())
    told["training"] = {"data": str(place / "train")}
    about.write_text(json.dumps(told))
    assert "trained on" in run(place / "model", place / "train").stderr
    assert "trained on" not in run(place / "model", place / "test").stderr
