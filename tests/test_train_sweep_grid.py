"""From a sweep's options to its recipes: lists with brackets, seeds, Table 4.1, picked cells."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from vizinho.errors import SettingsError  # noqa: E402
from vizinho.train.sweep.grid import (  # noqa: E402
    Grid,
    axes,
    build,
    pick,
    single,
    split,
    table_4_1,
)

pytestmark = pytest.mark.train

ARCFACE = 'pml:ArcFaceLoss(10, 64, reducer="mean")'


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("0.1,0.3", ["0.1", "0.3"]),
        (" a , b ", ["a", "b"]),
        (f"triplet,{ARCFACE},softmax", ["triplet", ARCFACE, "softmax"]),
        ("f(a,[1,2],{3,4}),g", ["f(a,[1,2],{3,4})", "g"]),
        ("'one,two',three", ["one,two", "three"]),
        ("f('),'),g", ["f('),')", "g"]),
    ],
)
def test_commas_inside_brackets_and_quotes_part_nothing(text, parts):
    assert split(text, ",") == parts


@pytest.mark.parametrize("text", ["a,", ",a", "a,,b", "f(a,b", "f(a]", "a)", "'a,b"])
def test_a_list_that_is_not_whole_is_refused(text):
    with pytest.raises(SettingsError):
        split(text, ",")


def test_values_are_of_the_fields_type_and_repeated_ones_count_once():
    assert axes(["margin=0.1,0.30,0.3", "mirrored=true,no", "network=fastnet"]) == {
        "margin": (0.1, 0.3, 0.3),
        "mirrored": (True, False),
        "network": ("fastnet",),
    }
    grid = build("fast-triplet", axes={"margin": (0.1, 0.3, 0.3)})
    assert [cell.recipe.margin for cell in grid.cells] == [0.1, 0.3]


@pytest.mark.parametrize("texts", [["marrgin=1"], ["margin"], ["margin=x"], ["lr=1", "lr=2"]])
def test_a_grid_that_makes_no_sense_is_refused(texts):
    with pytest.raises(SettingsError):
        axes(texts)


def test_a_grid_is_every_combination_with_every_seed_one_seed_after_another():
    grid = build(
        "fast-triplet",
        axes={"dimension": (8, 16), "margin": (0.1, 0.2)},
        told={"lr": 0.05},
        seeds=2,
    )
    made = [(one.dimension, one.margin, one.seed) for one in grid.recipes()]
    assert made == [
        *[(8, 0.1, 0), (8, 0.2, 0), (16, 0.1, 0), (16, 0.2, 0)],
        *[(8, 0.1, 1), (8, 0.2, 1), (16, 0.1, 1), (16, 0.2, 1)],
    ]
    assert {one.lr for one in grid.recipes()} == {0.05}
    assert [cell.label for cell in grid.cells] == ["8/0.1", "8/0.2", "16/0.1", "16/0.2"]


def test_seeds_may_be_named_as_an_axis_or_as_one_field():
    assert build("fast", axes={"seed": (7, 9)}).seeds == (7, 9)
    assert build("fast", axes={}, told={"seed": 5}).recipes()[0].seed == 5
    with pytest.raises(SettingsError, match="twice"):
        build("fast", axes={"seed": (7, 9)}, seeds=2)
    with pytest.raises(SettingsError, match="at least one"):
        build("fast", axes={}, seeds=0)


def test_single_cells_stand_beside_the_grid_and_say_where_they_are_on_its_fields():
    grid = build(
        "fast-triplet",
        axes={"mining": ("batch-all", "semi-hard")},
        extra=[single("loss=softmax temperature=0.05"), single("margin=0.1")],
    )
    assert grid.fields == ("mining", "loss", "temperature", "margin")
    assert [(c.recipe.mining, c.recipe.loss, c.recipe.margin) for c in grid.cells] == [
        ("batch-all", "triplet", 0.3),
        ("semi-hard", "triplet", 0.3),
        (None, "softmax", None),
        ("semi-hard", "triplet", 0.1),
    ]
    assert grid.cells[2].values["temperature"] == 0.05
    alone = build("fast", axes={}, extra=[single("dimension=8")])
    assert [cell.recipe.dimension for cell in alone.cells] == [8]


def test_small_copies_follow_the_size_of_each_cell():
    grid = build("fast", axes={"size": (32, 64)})
    assert [(c.recipe.size, c.recipe.low_size) for c in grid.cells] == [(32, 24), (64, 48)]


def thesis(**told: object) -> Grid:
    base, spans, given = table_4_1(None, {}, told)
    return build(base, axes=spans, told=given)


def test_table_4_1_is_the_thesis_protocol_27_times():
    made = thesis().recipes()
    assert len({(one.network, one.dimension, one.margin) for one in made}) == len(made) == 27
    assert {one.network for one in made} == {"resnet18", "resnet34", "resnet50"}
    assert {one.dimension for one in made} == {64, 128, 512}
    assert {one.margin for one in made} == {0.1, 0.3, 0.5}
    common = {
        "stem": "imagenet",
        "loss": "triplet",
        "optimiser": "sgd",
        "lr": 0.1,
        "momentum": 0.9,
        "weight_decay": 5e-4,
        "schedule": "steps",
        "step_epochs": 10,
        "epochs": 100,
        "batch_size": 128,
        "micro_batch": 128,
        "size": 32,
        "low_share": 0.0,
        "shift": 0,
        "mirror": False,
        "mirrored": False,
        "holdout": 0,
        "init": "random",
        "seed": 0,
    }
    for one in made:
        assert {name: getattr(one, name) for name in common} == common
        assert one.spec.mean == one.spec.std == (0.5, 0.5, 0.5)


def test_table_4_1_leaves_open_what_the_thesis_does_and_nothing_else():
    made = thesis(mining="batch-hard", normalise=True, epochs=40, holdout=500).recipes()
    assert {(o.mining, o.normalise, o.epochs, o.holdout) for o in made} == {
        ("batch-hard", True, 40, 500)
    }
    for wrong in ({"base": "fast"}, {"axes": {"margin": (0.2,)}}, {"told": {"network": "fastnet"}}):
        with pytest.raises(SettingsError):
            table_4_1(**{"base": None, "axes": {}, "told": {}, **wrong})


def test_cells_are_picked_by_their_values_or_by_a_field():
    grid = thesis()
    by_label = pick(grid, labels="18/128/0.3,resnet50/64/0.1")
    assert [cell.label for cell in by_label] == ["resnet18/128/0.3", "resnet50/64/0.1"]
    by_field = pick(grid, only=["network=resnet18", "margin=0.3,0.5"])
    assert [cell.label for cell in by_field] == [
        f"resnet18/{d}/{m}" for d in (64, 128, 512) for m in (0.3, 0.5)
    ]
    for wrong in ({"labels": "18/128/0.2"}, {"only": ["lr=0.1"]}, {"only": ["margin=0.2"]}):
        with pytest.raises(SettingsError):
            pick(grid, **wrong)
