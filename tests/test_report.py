from __future__ import annotations

import base64
import io
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from toys import make_toy_bundle, noise, plain
from vizinho.bundle import BundleInfo, read_bundle
from vizinho.datasets import load_dataset
from vizinho.embedder import Embedder
from vizinho.evaluate import BundleEvaluation, evaluate_bundle
from vizinho.report import (
    choose_queries,
    class_rows,
    contact_sheet,
    metric_rows,
    plot_curve,
    write_report,
)
from vizinho.report.document import Heading, Paragraph, Table, to_html, to_markdown
from vizinho.report.sheet import AISLE, GAP, HEADING, TILE

GREEN, RED = (0x15, 0x80, 0x3D), (0xDC, 0x26, 0x26)
EPOCHS = [
    {"epoch": 1, "loss": 1.5, "precision_at_1": 0.5, "size": 24},
    {"epoch": 2, "loss": 1.1, "precision_at_1": 0.7, "size": 32},
]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> BundleEvaluation:
    """Plain pictures in shades of red and blue, one red one filed under blue, one lone class."""
    root = tmp_path_factory.mktemp("report")
    pictures = root / "pictures"
    for i in range(12):
        for name, colour in (("blue <sky>", (0, 0, 90 + 10 * i)), ("red", (90 + 10 * i, 0, 0))):
            (pictures / name).mkdir(parents=True, exist_ok=True)
            plain(colour).save(pictures / name / f"{i:02}.png")
    plain((145, 0, 0)).save(pictures / "blue <sky>" / "wrong.png")
    (pictures / "lone").mkdir()
    noise(1).save(pictures / "lone" / "0.png")
    embedder = Embedder.open(make_toy_bundle(root))
    return evaluate_bundle(embedder, load_dataset(str(pictures)))


def position(measured: BundleEvaluation, end: str) -> int:
    return next(i for i, name in enumerate(measured.dataset.names) if name.endswith(end))


def test_the_worst_query_is_the_misfiled_picture(measured: BundleEvaluation) -> None:
    groups = choose_queries(measured, count=3)
    wrong = position(measured, "wrong.png")
    assert list(groups) == ["good", "random", "worst"]
    assert groups["worst"][0] == wrong
    assert wrong not in groups["good"]


def test_good_queries_are_spread_over_the_classes(measured: BundleEvaluation) -> None:
    labels = measured.dataset.labels
    good = choose_queries(measured, count=4)["good"]
    assert sorted(labels[good]) == [0, 0, 2, 2]


def test_lone_pictures_are_asked_nowhere(measured: BundleEvaluation) -> None:
    lone = position(measured, "lone/0.png")
    for queries in choose_queries(measured, count=100).values():
        assert lone not in queries
        assert len(set(queries.tolist())) == len(queries) == 25


def test_choice_is_the_same_every_time_and_another_for_another_seed(
    measured: BundleEvaluation,
) -> None:
    first, again, other = (choose_queries(measured, seed=seed) for seed in (0, 0, 1))
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not np.array_equal(first["random"], other["random"])


def test_frames_tell_right_from_wrong(measured: BundleEvaluation) -> None:
    query = position(measured, "red/05.png")
    sheet = contact_sheet(measured, {"one": [query]})
    labels = measured.dataset.labels
    top = GAP + HEADING
    seen = []
    for place, neighbour in enumerate(measured.neighbours[query]):
        left = GAP + TILE + GAP + AISLE + place * (TILE + GAP)
        assert sheet.getpixel((left + 1, top + 1)) == (
            GREEN if labels[neighbour] == labels[query] else RED
        )
        middle = sheet.getpixel((left + TILE // 2, top + TILE // 2))
        original = measured.dataset.load(int(neighbour)).getpixel((16, 16))
        assert middle == original
        seen.append(sheet.getpixel((left + 1, top + 1)))
    assert {GREEN, RED} == set(seen)
    # The query itself has no frame.
    assert sheet.getpixel((GAP + 1, top + 1)) == (255, 255, 255)


def test_a_picture_that_is_not_square_keeps_its_shape(tmp_path: Path) -> None:
    for i in range(3):
        path = tmp_path / "wide" / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        plain((200, 0, 0), (400, 100)).save(path)
    measured = evaluate_bundle(
        Embedder.open(make_toy_bundle(tmp_path / "model")), load_dataset(str(tmp_path))
    )
    sheet = contact_sheet(measured, {"": [0]})
    column = [sheet.getpixel((GAP + TILE // 2, GAP + HEADING + y)) for y in range(TILE)]
    assert column.count((200, 0, 0)) == (TILE - 8) // 4


def test_rows_name_what_a_class_is_mistaken_for(measured: BundleEvaluation) -> None:
    rows = {row[0]: row[1:] for row in class_rows(measured)}
    assert rows["blue <sky>"] == ("13", "92.31 %", "red (7.69 %)")
    assert rows["lone"][1] == "-"


def test_metric_rows_show_what_was_measured(measured: BundleEvaluation) -> None:
    rows = dict(metric_rows(measured))
    assert rows["Top-1"] == f"{measured.result.precision_at_1:.2%}".replace("%", " %")
    assert {"R-precision", "MAP@R", "MRR", "Recall@1", "Recall@5", "Recall@10"} <= set(rows)


class Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.pictures: list[str] = []
        self.text = ""
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "img":
            assert given["alt"]
            self.pictures.append(given["src"] or "")
        elif tag not in ("meta",):
            self.open.append(tag)
        assert not {"href", "onload"} & set(given)
        assert tag not in ("script", "link", "sky")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def with_training(measured: BundleEvaluation, name: str = "toy") -> BundleEvaluation:
    from dataclasses import replace

    training = {
        "data": "pictures",
        "recipe": {"lr": 0.24, "loss": "softmax"},
        "epochs": EPOCHS,
        "hardware": "a machine",
    }
    info: BundleInfo = replace(measured.info, name=name, training=training)
    return replace(measured, info=info)


def test_report_holds_figures_pictures_and_provenance(
    measured: BundleEvaluation, tmp_path: Path
) -> None:
    page = write_report(with_training(measured), tmp_path / "out")
    assert sorted(p.name for p in page.parent.iterdir()) == [
        "curve.png",
        "report.html",
        "report.md",
        "sheet.png",
    ]
    parsed = Page()
    parsed.feed(page.read_text(encoding="utf-8"))
    assert parsed.open == []
    sizes = []
    for source in parsed.pictures:
        kind, _, data = source.partition(",")
        assert kind == "data:image/png;base64"
        sizes.append(Image.open(io.BytesIO(base64.b64decode(data))).size)
    assert len(sizes) == 2
    for told in ("blue <sky>", "n = 25 queries among 26 pictures", "leave-one-out", "a machine"):
        assert told in parsed.text
    for told in (measured.info.fingerprint, "0.24", "onnxruntime", measured.date):
        assert told in parsed.text
    markdown = (page.parent / "report.md").read_text(encoding="utf-8")
    for name in re.findall(r"\]\(([^)]+)\)", markdown):
        assert (page.parent / name).is_file()
    assert "| Top-1 | 88.00 % |" in markdown


def test_report_shows_other_models_beside(measured: BundleEvaluation, tmp_path: Path) -> None:
    write_report(measured, tmp_path, beside=[with_training(measured, "triplet alone")])
    markdown = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "| metric | toy | triplet alone |" in markdown
    assert "| Top-1 | 88.00 % | 88.00 % |" in markdown


def test_a_model_without_history_has_no_curve(measured: BundleEvaluation, tmp_path: Path) -> None:
    write_report(measured, tmp_path)
    assert not (tmp_path / "curve.png").exists()


@pytest.mark.parametrize("measured_from", [0, 1, 9])
def test_curve_is_a_picture_whatever_was_measured(measured_from: int, tmp_path: Path) -> None:
    records = [
        SimpleNamespace(epoch=i, loss=1 / i, precision_at_1=0.5 if i > measured_from else None)
        for i in range(1, 5)
    ]
    plot_curve(records, tmp_path / "curve.png")
    picture = Image.open(tmp_path / "curve.png").convert("RGB")
    colours = {colour for _, colour in picture.getcolors(1 << 20) or []}
    assert (0xB4, 0x53, 0x09) in colours
    assert ((0x1D, 0x4E, 0xD8) in colours) == (measured_from < 4)


def test_importing_the_report_loads_no_matplotlib() -> None:
    code = "import sys, vizinho.report; print('matplotlib' in sys.modules, 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_document_escapes_what_it_is_given() -> None:
    blocks = [
        Heading("A & <b>", 1),
        Paragraph("x < y"),
        Table(("name", "figure"), [("a|b", "1")]),
    ]
    html = to_html(blocks)
    assert "<title>A &amp; &lt;b&gt;</title>" in html
    assert "<p>x &lt; y</p>" in html
    assert '<td class="right">1</td>' in html
    assert to_markdown(blocks) == (
        "# A & <b>\n\nx < y\n\n| name | figure |\n| --- | ---: |\n| a\\|b | 1 |\n"
    )


def test_toy_bundle_is_left_as_it_was(measured: BundleEvaluation, tmp_path: Path) -> None:
    path = make_toy_bundle(tmp_path)
    before = read_bundle(path)
    write_report(measured, tmp_path / "out")
    assert read_bundle(path) == before
