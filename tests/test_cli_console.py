from __future__ import annotations

import errno
import json

import pytest
import typer
from typer.testing import CliRunner

from vizinho.cli.console import (
    AsJson,
    edge,
    parse_pairs,
    print_fields,
    print_table,
    progress,
    report_error,
)
from vizinho.errors import GalleryNotFound


def an_app(error: BaseException) -> typer.Typer:
    """An application whose only command raises ``error``."""
    app = typer.Typer()

    @app.command()
    @edge
    def fail(as_json: AsJson = False) -> None:
        raise error

    return app


def test_an_error_is_its_message_and_its_hint_and_exit_code_1() -> None:
    done = CliRunner().invoke(an_app(GalleryNotFound("No gallery at [x].", "Make [one].")))
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == "Error: No gallery at [x].\nMake [one].\n"


def test_as_json_the_error_has_the_shape_of_the_api() -> None:
    done = CliRunner().invoke(an_app(GalleryNotFound("No gallery.", "Make one.")), ["--json"])
    assert (done.exit_code, done.stdout) == (1, "")
    assert json.loads(done.stderr) == {
        "error": {"code": "gallery_not_found", "message": "No gallery.", "hint": "Make one."}
    }


def test_an_error_of_the_system_names_the_file() -> None:
    error = PermissionError(errno.EACCES, "Permission denied", "/locked")
    done = CliRunner().invoke(an_app(error))
    assert (done.exit_code, done.stderr) == (1, "Error: /locked: Permission denied.\n")


def test_a_fault_of_ours_is_not_hidden() -> None:
    done = CliRunner().invoke(an_app(ZeroDivisionError()))
    assert isinstance(done.exception, ZeroDivisionError)


def test_a_command_line_that_makes_no_sense_is_exit_code_2() -> None:
    assert CliRunner().invoke(an_app(ZeroDivisionError()), ["--nonsense"]).exit_code == 2


def test_an_error_without_a_hint_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    report_error(GalleryNotFound("No gallery."))
    assert capsys.readouterr().err == "Error: No gallery.\n"


def test_a_table_in_a_pipe_loses_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    key = "a/very/long/" * 40 + "name.jpg"
    print_table(["#", "key"], [["1", key], ["10", "[b]short"]], right=["#"])
    assert capsys.readouterr().out.splitlines() == [" #  key", f" 1  {key}", "10  [b]short"]


def test_fields_without_a_value_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    print_fields({"name": "toy", "calibration": None, "count": 5})
    assert capsys.readouterr().out == "name   toy\ncount  5\n"


def test_no_bar_is_drawn_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("Indexing") as report:
        assert report is None
    assert capsys.readouterr().err == ""


def test_pairs_read_json_where_they_can() -> None:
    pairs = parse_pairs(["label=cat", "year=2024", 'tags=["a"]', "eq=a=b", "none="], "--where")
    assert pairs == {"label": "cat", "year": 2024, "tags": ["a"], "eq": "a=b", "none": ""}


@pytest.mark.parametrize("text", ["label", "=cat"])
def test_a_pair_without_a_name_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="NAME=VALUE"):
        parse_pairs([text], "--where")
