from __future__ import annotations

import base64
import io
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from toy_measured import measure_colours
from toys import make_toy_bundle, noise, plain
from vizinho.bundle import BundleInfo, read_bundle
from vizinho.datasets import load_dataset
from vizinho.embedder import Embedder
from vizinho.evaluate import BundleEvaluation, evaluate_bundle
from vizinho.report import (
    class_rows,
    metric_rows,
    plot_curve,
    write_report,
)
from vizinho.report.document import Heading, Paragraph, Table, to_html, to_markdown

EPOCHS = [
    {"epoch": 1, "loss": 1.5, "precision_at_1": 0.5, "size": 24},
    {"epoch": 2, "loss": 1.1, "precision_at_1": 0.7, "size": 32},
]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> BundleEvaluation:
    return measure_colours(tmp_path_factory.mktemp("report"))


def test_rows_name_what_a_class_is_mistaken_for(measured: BundleEvaluation) -> None:
    rows = {row[0]: row[1:] for row in class_rows(measured)}
    assert rows["blue <sky>"] == ("13", "92.31 %", "76.92 to 100.00 %", "red (7.69 %)")
    assert rows["lone"] == ("0", "-", "", "")


def test_metric_rows_show_what_was_measured(measured: BundleEvaluation) -> None:
    rows = {name: rest for name, *rest in metric_rows(measured)}
    value, interval = rows["Top-1"]
    assert value == f"{measured.result.precision_at_1:.2%}".replace("%", " %")
    low, _, high = interval.removesuffix(" %").partition(" to ")
    assert float(low) < 88.0 < float(high)
    assert {"R-precision", "MAP@R", "MRR", "Recall@1", "Recall@5", "Recall@10"} <= set(rows)


class Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.pictures: list[str] = []
        self.alts: list[str] = []
        self.text = ""
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "img":
            assert given["alt"] or "hidden" in given
            self.pictures.append(given["src"] or "")
            self.alts.append(given["alt"] or "")
        elif tag not in ("meta", "input"):
            self.open.append(tag)
        # Nothing is fetched from elsewhere, nothing in a name becomes markup.
        assert not {"href", "onload"} & set(given)
        assert tag not in ("link", "sky")
        assert tag == "img" or "src" not in given

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def read_page(path: Path) -> Page:
    """The page, every element of it closed."""
    parsed = Page()
    parsed.feed(path.read_text(encoding="utf-8"))
    assert parsed.open == []
    return parsed


def with_training(measured: BundleEvaluation, name: str = "toy") -> BundleEvaluation:
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
        "at-k.png",
        "curve.png",
        "map.png",
        "report.html",
        "report.md",
        "sheet.png",
    ]
    parsed = read_page(page)
    sizes = []
    for source in parsed.pictures:
        kind, _, data = source.partition(",")
        assert kind in ("data:image/png;base64", "data:image/jpeg;base64")
        sizes.append(Image.open(io.BytesIO(base64.b64decode(data))).size)
    # Two curves, the map's thumbnails, and eighteen queries with ten neighbours each.
    assert len(sizes) == 2 + 1 + 18 * 11
    assert sizes.count((32, 32)) == 18 * 11
    assert "Query: blue <sky>" in parsed.alts
    for told in ("blue <sky>", "n = 25 queries among 26 pictures", "leave-one-out", "a machine"):
        assert told in parsed.text
    for told in (measured.info.fingerprint, "0.24", "onnxruntime", measured.date):
        assert told in parsed.text
    markdown = (page.parent / "report.md").read_text(encoding="utf-8")
    assert "<" not in markdown.replace("blue <sky>", "")
    for name in re.findall(r"\]\(([^)]+)\)", markdown):
        assert (page.parent / name).is_file()
    assert "| Top-1 | 88.00 % | 76.00 to 100.00 % |" in markdown
    assert "| red |  | 100.0 |" not in markdown
    assert "| blue <sky> | 92.3 |  | 7.7 |" in markdown


def test_report_shows_other_models_beside(measured: BundleEvaluation, tmp_path: Path) -> None:
    write_report(measured, tmp_path, beside=[with_training(measured, "triplet alone")])
    markdown = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "| metric | toy | 95 % interval | triplet alone | 95 % interval |" in markdown
    assert "| Top-1 | 88.00 % | 76.00 to 100.00 % | 88.00 % | 76.00 to 100.00 % |" in markdown


def test_a_model_without_history_has_no_curve(measured: BundleEvaluation, tmp_path: Path) -> None:
    write_report(measured, tmp_path, curve=tmp_path / "absent.png")
    assert not (tmp_path / "curve.png").exists()


def test_a_training_curve_beside_the_model_is_taken(
    measured: BundleEvaluation, tmp_path: Path
) -> None:
    noise(1).save(tmp_path / "run.png")
    write_report(measured, tmp_path / "out", curve=tmp_path / "run.png")
    assert (tmp_path / "out" / "curve.png").read_bytes() == (tmp_path / "run.png").read_bytes()
    assert "(curve.png)" in (tmp_path / "out" / "report.md").read_text()


def test_all_alike_is_a_report_too(tmp_path: Path) -> None:
    """One class, every picture the same: no mistake, no extent on the map."""
    for i in range(4):
        path = tmp_path / "pictures" / "鳥" / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        plain((9, 9, 9)).save(path)
    embedder = Embedder.open(make_toy_bundle(tmp_path))
    found = evaluate_bundle(embedder, load_dataset(str(tmp_path / "pictures")))
    parsed = read_page(write_report(found, tmp_path / "out"))
    assert "鳥" in parsed.text
    assert "Query: 鳥" in parsed.alts


def test_two_lonely_pictures_are_a_report_too(tmp_path: Path) -> None:
    for i in range(2):
        (tmp_path / "pictures" / str(i)).mkdir(parents=True)
        noise(i).save(tmp_path / "pictures" / str(i) / "a.png")
    embedder = Embedder.open(make_toy_bundle(tmp_path))
    found = evaluate_bundle(embedder, load_dataset(str(tmp_path / "pictures")))
    page = write_report(found, tmp_path / "out")
    assert sorted(p.name for p in page.parent.iterdir()) == ["report.html", "report.md"]
    assert "no picture has a right answer" in read_page(page).text


def test_of_many_classes_the_worst_are_shown(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for label in range(70):
        folder = tmp_path / "pictures" / f"class {label:03}"
        folder.mkdir(parents=True)
        # The first thirty classes are pairs of strangers, the others of near twins.
        strangers = rng.integers(0, 250, (2, 3))
        twins = strangers[0] + [[0], [1]]
        for i, colour in enumerate(strangers if label < 30 else twins):
            plain(tuple(colour.tolist())).save(folder / f"{i}.png")
    embedder = Embedder.open(make_toy_bundle(tmp_path))
    found = evaluate_bundle(embedder, load_dataset(str(tmp_path / "pictures")))
    write_report(found, tmp_path / "out")
    markdown = (tmp_path / "out" / "report.md").read_text()
    assert "The 30 worst of 70 classes" in markdown
    assert "pairs among 70 classes" in markdown
    listed = re.findall(r"^\| (class \d+) \| 2 \| ([\d.]+) %", markdown, re.MULTILINE)
    assert len(listed) == 30
    assert {name for name, score in listed if score == "0.00"} > {"class 003", "class 004"}
    scores = [float(score) for _, score in listed]
    assert scores == sorted(scores)
    assert "| query \\ nearest |" not in markdown


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
