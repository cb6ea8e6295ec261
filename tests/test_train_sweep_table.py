"""A sweep's list of runs, whole after a crash, and what is told about it: table, pictures."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import fields, replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from vizinho.errors import TrainingError  # noqa: E402
from vizinho.report.heatmap import NOT_RUN, Curve, curves_figure, heatmap_figure  # noqa: E402
from vizinho.train.recipes import Recipe, recipe  # noqa: E402
from vizinho.train.sweep.grid import TABLE_4_1, build  # noqa: E402
from vizinho.train.sweep.ledger import LAST, Ledger, Run, key_of, same  # noqa: E402
from vizinho.train.sweep.summary import best, heat_panels, markdown, notes, scores  # noqa: E402

pytestmark = pytest.mark.train


def run_of(told: Recipe, top_1: float | None = 0.5, **more: object) -> Run:
    values: dict[str, object] = {
        "key": key_of(told, "d1"),
        "outcome": "ok",
        "recipe": told.to_dict(),
        "data": "some:train",
        "data_sha256": "d1",
        "epochs_done": told.epochs,
        "top_1_held_out": top_1,
        "seconds": 60.0,
        **more,
    }
    return Run(**values)  # type: ignore[arg-type]


def no_runs() -> Ledger:
    return Ledger(Path("/nowhere/runs.csv"))


def test_a_key_stands_for_the_whole_recipe_and_the_data():
    keys = {
        key_of(told, data)
        for told in (recipe("fast"), recipe("fast", seed=1), recipe("fast", epochs=16))
        for data in ("d1", "d2")
    }
    assert len(keys) == 6
    assert key_of(recipe("fast"), "d1") == key_of(recipe("fast"), "d1")


def test_a_row_of_before_a_field_came_is_still_the_run_with_the_fields_default():
    before = recipe("fast").to_dict()
    del before["weight_decay"]
    assert same(before, recipe("fast"))
    assert not same(before, recipe("fast", weight_decay=0.1))
    assert not same(before, recipe("fast", epochs=16))
    assert same(before, recipe("fast", epochs=16), but=("epochs",))


def test_rows_come_back_as_they_were_and_read_as_a_table(tmp_path):
    told = recipe("fast", dimension=8, teacher="a,b", distil=0.5)
    made = run_of(
        told, 0.51234567, reason='gave up: "nan",\nat once', outcome="diverged", threads=2
    )
    ledger = Ledger(tmp_path / "runs.csv")
    ledger.prepare(["dimension", "teacher", "seed"])
    ledger.append(made)
    ledger.append(run_of(recipe("fast", dimension=16), None, test="t", top_1_test=0.25))
    rows = list(csv.DictReader(io.StringIO((tmp_path / "runs.csv").read_text())))
    assert [(row["dimension"], row["teacher"], row["seed"]) for row in rows] == [
        ("8", "a,b", "0"),
        ("16", "", "0"),
    ]
    assert [(row["top_1_held_out"], row["top_1_test"]) for row in rows] == [
        ("0.512346", ""),
        ("", "0.25"),
    ]
    again = Ledger(tmp_path / "runs.csv")
    assert again.runs[0] == replace(made, top_1_held_out=0.512346, reason='gave up: "nan", at once')
    assert again.runs[1].top_1_held_out is None
    assert again.find(told, "d1") == again.runs[0]
    assert again.find(told, "another") is None
    # A run that was not measured on the test set isn't the one that should be.
    assert again.find(told, "d1", test="t") is None


@pytest.mark.parametrize("lost", [1, 40])
def test_a_torn_last_line_is_no_run_and_is_cut_off(tmp_path, lost):
    path = tmp_path / "runs.csv"
    ledger = Ledger(path)
    ledger.prepare(["dimension"])
    for dimension in (8, 16):
        ledger.append(run_of(recipe("fast", dimension=dimension)))
    whole = path.read_bytes()
    path.write_bytes(whole[:-lost])
    again = Ledger(path)
    assert again.torn
    assert [run.recipe["dimension"] for run in again.runs] == [8]
    again.prepare(["dimension"])
    again.append(run_of(recipe("fast", dimension=16)))
    assert path.read_bytes() == whole
    assert not Ledger(path).torn


def test_a_new_axis_gets_its_column_in_the_rows_that_are_there(tmp_path):
    ledger = Ledger(tmp_path / "runs.csv")
    ledger.prepare(["dimension"])
    ledger.append(run_of(recipe("fast", dimension=8, lr=0.125)))
    again = Ledger(tmp_path / "runs.csv")
    again.prepare(["lr", "epochs"])
    rows = list(csv.DictReader(io.StringIO((tmp_path / "runs.csv").read_text())))
    assert [(row["dimension"], row["lr"], row["epochs"]) for row in rows] == [("8", "0.125", "15")]
    assert (tmp_path / "runs.csv").read_text().splitlines()[0].count("epochs,") == 1


def test_a_strange_file_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "runs.csv"
    for text in (
        "name,price\napple,1\n",
        "key,outcome,recipe\nk,ok\n",
        "key,outcome,recipe\nk,ok,{\n",
    ):
        path.write_text(text)
        with pytest.raises(TrainingError, match="is not the list"):
            Ledger(path)
        assert path.read_text() == text


def test_no_field_of_the_recipe_is_hidden_by_a_column_of_the_same_name():
    assert {field.name for field in fields(Recipe)} & set(LAST) == {"seed", "epochs"}


# What is told


@pytest.fixture
def mixed(tmp_path):
    """Dimensions 8, 16 x margins 0.1, 0.3, 0.5 with two seeds: good, halved, collapsed, not run."""
    grid = build("fast-triplet", axes={"dimension": (8, 16), "margin": (0.1, 0.3, 0.5)}, seeds=2)
    ledger = Ledger(tmp_path / "runs.csv")
    ledger.prepare(grid.fields)

    def add(dimension, margin, seed, top_1, outcome="ok"):
        told = recipe("fast-triplet", dimension=dimension, margin=margin, seed=seed)
        ledger.append(run_of(told, top_1, outcome=outcome))

    add(8, 0.1, 0, 0.80)
    add(8, 0.1, 1, 0.84)
    add(8, 0.3, 0, 0.90)
    add(8, 0.3, 1, 0.30, "collapsed")
    add(8, 0.5, 0, 0.449, "collapsed")
    add(16, 0.1, 0, 0.86)
    return grid, ledger


def test_the_table_gives_mean_spread_and_number_and_marks_the_best(mixed):
    grid, ledger = mixed
    found = scores(grid, ledger)
    text = markdown(grid, found)
    # The spread of 0.80 and 0.84 is 0.04 / sqrt(2).
    assert "| 8 | 82.00 ± 2.83 | **90.00** | 44.90 (collapsed) |" in text
    assert "| 16 | 86.00 | not run | not run |" in text
    assert "| 8 | 0.1 | 82.00 ± 2.83 | 2 | 1.0 |" in text
    assert "| 8 | 0.3 | **90.00** | 1, 1 collapsed | 1.0 |" in text
    assert "| 8 | 0.5 | 44.90 (collapsed) | 0 of 2, 1 collapsed | 1.0 |" in text
    assert "| 16 | 0.1 | 86.00 | 1 of 2 | 1.0 |" in text
    assert "| 16 | 0.3 | not run | 0 of 2 |  |" in text
    assert best(found).cell.label == "8/0.3"


def test_a_run_on_other_data_is_in_no_table_of_these(mixed):
    grid, ledger = mixed
    told = recipe("fast-triplet", dimension=16, margin=0.3)
    ledger.append(run_of(told, 0.99, data="other:train", data_sha256="d2"))
    for data in ({"some:train"}, {"d1"}):
        assert "| 16 | 0.3 | not run | 0 of 2 |  |" in markdown(grid, scores(grid, ledger.on(data)))
    assert "| 16 | 0.3 | **99.00** |" in markdown(grid, scores(grid, ledger.on({"d2"})))


def test_what_was_measured_on_the_test_set_comes_first(tmp_path):
    grid = build("fast", axes={"dimension": (8, 16)})
    ledger = Ledger(tmp_path / "runs.csv")
    ledger.prepare(grid.fields)
    for dimension, held_out, test, at_r in ((8, 0.9, 0.7, 0.5), (16, 0.8, 0.75, 0.6)):
        told = recipe("fast", dimension=dimension)
        ledger.append(run_of(told, held_out, top_1_test=test, test="t", map_at_r=at_r))
    text = markdown(grid, scores(grid, ledger))
    assert "| 8 | 70.00 | **90.00** | 50.00 | 1 | 1.0 |" in text
    assert "| 16 | **75.00** | 80.00 | **60.00** | 1 | 1.0 |" in text
    assert "Code:" not in "".join(notes([run_of(recipe("fast"), commit="")]))


def test_the_heat_map_shows_the_figures_and_marks_what_is_lost_or_missing(mixed):
    grid, ledger = mixed
    panels, down, across = heat_panels(grid, scores(grid, ledger))
    assert (down, across, len(panels)) == ("dimension", "margin", 1)
    figure = heatmap_figure(panels, row_name=down, column_name=across, metric="Top-1")
    axis = figure.axes[0]
    written = {
        (text.get_position()[0] - 0.5, text.get_position()[1] - 0.5): text.get_text()
        for text in axis.texts
    }
    assert written == {
        (0, 0): "82.00\n± 2.83",
        (1, 0): "90.00\n1 of 2 lost",
        (2, 0): "44.90\ncollapsed",
        (0, 1): "86.00",
        (1, 1): "not run",
        (2, 1): "not run",
    }
    from matplotlib.colors import to_rgb

    grey = to_rgb(NOT_RUN)
    shade = {p.get_xy(): p.get_facecolor()[:3] for p in axis.patches if p.get_fill()}
    assert {place for place, colour in shade.items() if colour == grey} == {(2, 0), (1, 1), (2, 1)}
    # Darker is better.
    light = {place: sum(colour) for place, colour in shade.items()}
    assert light[0, 0] > light[0, 1] > light[1, 0]
    assert [p.get_xy() for p in axis.patches if p.get_hatch()] == [(2, 0)]


def test_a_third_axis_makes_panels_and_names_stay_off_the_columns():
    table = build("thesis", axes=TABLE_4_1)
    panels, down, across = heat_panels(table, scores(table, no_runs()))
    assert (down, across) == ("dimension", "margin")
    assert [panel.title for panel in panels] == [f"network resnet{d}" for d in (18, 34, 50)]
    assert all(next(iter(panel.cells.values())).state == "not run" for panel in panels)
    assert sorted(panels[2].cells) == sorted(
        (str(d), str(m)) for d in (64, 128, 512) for m in (0.1, 0.3, 0.5)
    )
    grid = build("fast-triplet", axes={"margin": (0.1, 0.2), "mining": ("batch-all", "semi-hard")})
    assert heat_panels(grid, scores(grid, no_runs()))[1:] == ("mining", "margin")


def test_curves_share_a_colour_by_cell_and_cross_out_what_collapsed():
    figure = curves_figure(
        [
            Curve("a", [1, 2], [0.1, 0.2], [3.0, 2.0]),
            Curve("a", [1, 2], [0.2, 0.3], [3.0, 2.0]),
            Curve("b", [1, 2, 3], [0.3, None, 0.1], [3.0, 2.0, 1.0], "collapsed"),
        ]
    )
    lines = figure.axes[0].get_lines()
    assert [list(line.get_xdata()) for line in lines] == [[1, 2], [1, 2], [1, 3], [3]]
    assert [list(line.get_ydata()) for line in lines] == [[0.1, 0.2], [0.2, 0.3], [0.3, 0.1], [0.1]]
    assert lines[0].get_color() == lines[1].get_color() != lines[2].get_color()
    assert lines[3].get_marker() == "x"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", "b"]
    unmeasured = curves_figure([Curve("a", [1], [None], [3.0])])
    assert unmeasured.axes[0].get_ylabel() == "loss"
    assert list(unmeasured.axes[0].get_lines()[0].get_ydata()) == [3.0]


def test_the_markdown_of_a_loss_with_a_bar_stays_a_table(tmp_path):
    grid = build("fast", axes={"teacher": ("a|b", "c")}, told={"distil": 0.5})
    text = markdown(grid, scores(grid, Ledger(tmp_path / "runs.csv")))
    assert all(len(re.findall(r"(?<!\\)\|", line)) == 4 for line in text.splitlines() if line)
