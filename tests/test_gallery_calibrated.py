"""Searches that say what they are worth, from the calibration to the command line and HTTP."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from typer.testing import CliRunner, Result

from calibrated import EACH, KINDS, make_labelled_gallery, shade, stranger
from lambda_events import MAKERS, json_of
from serving import as_base64
from toys import make_toy_bundle
from vizinho.aws.function import Function
from vizinho.bundle import INFO_FILE, read_bundle, read_model, update_calibration
from vizinho.cli import build_app
from vizinho.errors import BundleError, GalleryBusy, GalleryError
from vizinho.gallery import Gallery, GalleryView, Match
from vizinho.gallery.calibrating import calibrate_gallery
from vizinho.gallery.pack import pack
from vizinho.serve.app import create_app
from vizinho.serve.options import ServeOptions
from vizinho.settings import FunctionSettings


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_labelled_gallery(tmp_path_factory.mktemp("calibrated"))


@pytest.fixture
def gallery(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / made.name))


def run(*words: object) -> Result:
    return CliRunner().invoke(build_app(), [*map(str, words)])


def test_a_search_says_what_it_is_worth(made: Path) -> None:
    with GalleryView.open(made) as view:
        moss = view.search(shade("moss", 999))
        brick = view.search(shade("brick", 999))
        nothing = view.search(stranger())
    assert (moss.known, brick.known, nothing.known) == (True, True, False)
    assert nothing.unlikeness > max(moss.unlikeness, brick.unlikeness)  # type: ignore[type-var]
    for matches in (moss, brick, nothing):
        chances = [match.probability for match in matches]
        assert all(chance is not None and 0 <= chance <= 1 for chance in chances)
        assert chances == sorted(chances, reverse=True)  # type: ignore[type-var]
    assert nothing[0].probability < moss[9].probability  # type: ignore[operator]


def test_the_answer_is_a_list_as_it_was(made: Path) -> None:
    with GalleryView.open(made) as view:
        matches = view.search(shade("moss", 999), k=3)
    assert isinstance(matches, list)
    assert matches == list(matches)
    assert [type(match) for match in matches] == [Match] * 3
    assert type(matches[:2]) is list


@pytest.mark.parametrize(("k", "offset"), [(1, 0), (3, 2), (10, 5), (5, 40), (5, 150), (3, 500)])
def test_a_page_is_judged_as_the_whole(made: Path, k: int, offset: int) -> None:
    with GalleryView.open(made) as view:
        query = shade("clay", 77)
        whole = view.search(query, k=len(KINDS) * EACH)
        page = view.search(query, k=k, offset=offset)
    assert page == whole[offset : offset + k]
    assert (page.known, page.unlikeness) == (whole.known, whole.unlikeness)


def test_with_a_filter_only_what_passes_counts(made: Path) -> None:
    with GalleryView.open(made) as view:
        moss = shade("moss", 999)
        assert view.search(moss, filter={"label": "moss"}).known is True
        among = view.search(moss, filter={"label": "brick"})
        assert among.known is False
        assert max(match.probability for match in among) < 0.7  # type: ignore[type-var, operator]
        none = view.search(moss, filter={"label": "gold"})
    assert (none, none.known, none.unlikeness) == ([], None, None)


def test_without_calibration_nothing_is_claimed(tmp_path: Path) -> None:
    with Gallery.open(make_labelled_gallery(tmp_path, calibrated=False)) as gallery:
        matches = gallery.search(shade("moss", 999), k=3)
        assert (matches.known, matches.unlikeness) == (None, None)
        assert [match.probability for match in matches] == [None] * 3
    done = run("search", tmp_path / "toy" / "model.onnx", "-g", tmp_path / "kinds.vizinho")
    assert done.exit_code == 1


def test_an_empty_gallery_knows_nothing(made: Path, tmp_path: Path) -> None:
    bundle = make_toy_bundle(tmp_path)
    update_calibration(bundle, read_bundle(made / "model").calibration or {})
    with Gallery.create(tmp_path / "empty.vizinho", model=bundle) as gallery:
        matches = gallery.search(stranger())
        assert (matches, matches.known) == ([], None)


def test_the_calibration_is_kept_beside_the_same_model(gallery: Path) -> None:
    before = read_bundle(gallery / "model")
    with Gallery.open(gallery) as opened, GalleryView.open(gallery) as reader:
        first = reader.search(shade("clay", 5)).unlikeness
        found = calibrate_gallery(opened, refused=0.2)
        assert found.judgement.refused == 0.2
        assert found.about["queries"] == len(KINDS) * EACH
        after, _ = read_model(gallery / "model")
        assert after.fingerprint == before.fingerprint
        assert after.calibration == found.to_dict()
        # A reader that was there before sees it at its next search.
        assert reader.search(shade("clay", 5)).unlikeness == first
        rarely = sum(not reader.search(shade("clay", i)).known for i in range(500, 560))
    assert 2 < rarely < 35
    assert [path.name for path in (gallery / "model").iterdir() if path.name[0] == "."] == []


def test_packed_it_answers_alike_and_is_not_written_to(gallery: Path, tmp_path: Path) -> None:
    with GalleryView.open(gallery) as view:
        pack(view, tmp_path / "packed.vizinho", url_of=lambda row: row.url)
    with GalleryView.open(gallery) as one, Gallery.open(tmp_path / "packed.vizinho") as other:
        found, again = one.search(shade("clay", 5)), other.search(shade("clay", 5))
        assert again == found
        assert again.known is found.known is True
        with pytest.raises(GalleryError, match="packed"):
            calibrate_gallery(other)


def test_labels_are_needed(tmp_path: Path) -> None:
    path = make_labelled_gallery(tmp_path, calibrated=False)
    with Gallery.open(path) as gallery:
        for number in range(EACH):
            gallery.set_labels([(f"moss/{number}.png", None), (f"clay/{number}.png", None)])
        with pytest.raises(GalleryError, match="has 60 pictures with a label") as caught:
            calibrate_gallery(gallery)
        assert "vizinho label" in str(caught.value.hint)
    assert read_bundle(path / "model").calibration is None


def test_a_writer_at_work_is_waited_for_or_told(gallery: Path) -> None:
    with (
        Gallery.open(gallery) as one,
        Gallery.open(gallery) as other,
        one._writing(),
        pytest.raises(GalleryBusy),
    ):
        calibrate_gallery(other)


def test_a_damaged_calibration_is_told_and_a_later_one_passed_over(gallery: Path) -> None:
    def put(change: dict[str, Any]) -> None:
        file = gallery / "model" / INFO_FILE
        data = json.loads(file.read_text())
        data["calibration"].update(change)
        file.write_text(json.dumps(data))
        os.utime(file, ns=(1, 1 + len(change)))

    with GalleryView.open(gallery) as view:
        assert view.search(stranger()).known is False
        put({"floor": -1, "about": {}})
        with pytest.raises(BundleError, match="calibration is damaged") as caught:
            view.search(stranger())
        assert "vizinho calibrate" in str(caught.value.hint)
        put({"version": 99})
        assert view.search(stranger()).known is None


def test_on_the_command_line(gallery: Path, tmp_path: Path) -> None:
    picture, odd = tmp_path / "moss.png", tmp_path / "odd.png"
    picture.write_bytes(shade("moss", 999))
    odd.write_bytes(stranger())
    done = run("calibrate", "--gallery", gallery, "--refuse", "0.1", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["refused"] == 0.1
    assert "at most 5.0% of genuine queries" in run("calibrate", "-g", gallery).stdout
    found = run("search", picture, "-g", gallery, "-k", 3)
    assert "Nothing in the gallery" not in found.stdout
    assert found.stdout.splitlines()[0].split() == ["#", "distance", "probability", "label", "key"]
    guessed = run("search", odd, "-g", gallery, "-k", 3)
    assert guessed.stdout.startswith("Nothing in the gallery is alike. The best guesses:\n")
    assert len(guessed.stdout.splitlines()) == 5
    for path, known in ((picture, True), (odd, False)):
        answer = json.loads(run("search", path, "-g", gallery, "-k", 3, "--json").stdout)
        assert [each["known"] for each in answer] == [known] * 3
        assert all(0 <= each["probability"] <= 1 for each in answer)


def test_a_model_calibrated_on_a_folder(tmp_path: Path) -> None:
    bundle = make_toy_bundle(tmp_path)
    for kind in KINDS:
        (tmp_path / "set" / kind).mkdir(parents=True)
        for number in range(EACH):
            (tmp_path / "set" / kind / f"{number}.png").write_bytes(shade(kind, number))
    before = read_bundle(bundle)
    done = run("calibrate", bundle, tmp_path / "set", "--distance-only")
    assert done.exit_code == 0, done.output
    after, _ = read_model(bundle)
    assert after.fingerprint == before.fingerprint
    assert after.calibration is not None
    assert after.calibration["familiarity"] is None
    assert run("calibrate", bundle, tmp_path / "set").exit_code == 0
    assert read_bundle(bundle).calibration["familiarity"]["classes"] == 3  # type: ignore[index]
    measured = run("eval", bundle, tmp_path / "set", "--unknown", tmp_path / "set", "--json")
    trust = json.loads(measured.stdout)["trust"]
    assert trust["results"] == 10 * len(KINDS) * EACH
    assert trust["calibration_error"] < 0.1
    assert set(trust["unknown"]) >= {"noise", "flat colours", "textures"}
    # The set against itself: each picture is its own nearest.
    same = next(iter(trust["unknown"].values()))
    assert same["auroc"] < 0.1
    assert same["refused"] == 0
    shown = run("eval", bundle, tmp_path / "set", "--report", tmp_path / "report")
    assert "Calibration error" in shown.stdout
    page = (tmp_path / "report" / "report.md").read_text()
    assert "reliability.png" in page
    assert "| noise | 1,000 |" in page
    assert run("calibrate", bundle, tmp_path / "set" / "moss").exit_code == 1
    assert run("calibrate", bundle).exit_code == 2
    assert run("calibrate", bundle, tmp_path / "set", "-g", tmp_path).exit_code == 2


def test_over_http_and_from_the_function(made: Path) -> None:
    settings = FunctionSettings(gallery=str(made))
    function = Function(lambda: settings)
    function.start()
    with TestClient(create_app(made, ServeOptions())) as client:
        for data, known in ((shade("moss", 999), True), (stranger(), False)):
            body = {"image_base64": as_base64(data), "k": 3}
            answer = client.post("/v1/search", json=body).json()
            assert answer["known"] is known
            assert all(0 <= each["probability"] <= 1 for each in answer["results"])
            for make in MAKERS.values():
                headers = {"Content-Type": "application/json"}
                sent = json.dumps(body).encode()
                event = make("POST", "/v1/search", headers=headers, body=sent)
                told = json_of(function.handle(event, "1"))
                assert (told["known"], told["results"]) == (known, answer["results"])
            older = client.post("/", content=as_base64(data))
            assert list(older.json()) == ["results"]
        schema = client.get("/openapi.json").json()["components"]["schemas"]["SearchAnswer"]
        assert "known" in schema["required"]
