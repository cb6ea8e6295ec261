from __future__ import annotations

import json
from pathlib import Path

import pytest

from toys import TOY_SPEC, make_toy_bundle
from vizinho import bundle
from vizinho.bundle import read_bundle, read_model, resolve_bundle, update_metrics, write_bundle
from vizinho.errors import BundleError
from vizinho.preprocess import PreprocessSpec


def write(folder: Path, data: bytes = b"network", spec: PreprocessSpec = TOY_SPEC, **more: object):
    return write_bundle(
        folder, data, name="m", dimension=3, preprocess=spec, normalised=True, **more
    )


def test_what_is_written_is_read(tmp_path: Path) -> None:
    spec = PreprocessSpec(size=48, fit="stretch", filter="lanczos", mean=(0.1, 0.2, 0.3))
    written = write(
        tmp_path / "m",
        spec=spec,
        calibration={"slope": 2.0},
        metrics={"precision_at_1": 0.9},
        training={"seed": 7},
    )
    read = read_bundle(tmp_path / "m")
    assert read == written
    assert read.preprocess == spec
    assert (read.calibration, read.training) == ({"slope": 2.0}, {"seed": 7})
    assert sorted(path.name for path in (tmp_path / "m").iterdir()) == ["bundle.json", "model.onnx"]


def test_fingerprint_follows_network_and_preprocessing_only(tmp_path: Path) -> None:
    first = write(tmp_path / "a")
    assert write(tmp_path / "b", metrics={"x": 1}, training={"y": 2}).fingerprint == (
        first.fingerprint
    )
    assert write(tmp_path / "c", data=b"other").fingerprint != first.fingerprint
    assert write(tmp_path / "d", spec=PreprocessSpec()).fingerprint != first.fingerprint


def test_updating_metrics_merges_and_keeps_the_fingerprint(tmp_path: Path) -> None:
    before = write(tmp_path / "m", metrics={"a": 1, "b": 2})
    after = update_metrics(tmp_path / "m", {"b": 3})
    assert after == read_bundle(tmp_path / "m")
    assert after.metrics == {"a": 1, "b": 3}
    assert after.fingerprint == before.fingerprint
    assert read_model(tmp_path / "m")[1] == b"network"


def test_a_bundle_is_replaced_whole_and_nothing_else_is_left(tmp_path: Path) -> None:
    write(tmp_path / "m")
    write(tmp_path / "m", data=b"newer")
    assert read_model(tmp_path / "m")[1] == b"newer"
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_a_folder_of_something_else_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("years of work")
    with pytest.raises(BundleError, match="not a model bundle"):
        write(tmp_path / "thesis")
    assert (tmp_path / "thesis" / "chapter.txt").read_text() == "years of work"


def test_a_changed_network_is_found_out(tmp_path: Path) -> None:
    write(tmp_path / "m")
    (tmp_path / "m" / "model.onnx").write_bytes(b"Network")
    with pytest.raises(BundleError, match="fingerprint differs"):
        read_model(tmp_path / "m")


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"format_version": 1}', '{"format_version": 99}', '"text"'],
)
def test_damaged_descriptions_are_said_to_be(tmp_path: Path, text: str) -> None:
    write(tmp_path / "m")
    (tmp_path / "m" / "bundle.json").write_text(text)
    with pytest.raises(BundleError, match="damaged"):
        read_bundle(tmp_path / "m")


def test_a_description_with_an_impossible_preprocessing_is_damaged(tmp_path: Path) -> None:
    write(tmp_path / "m")
    file = tmp_path / "m" / "bundle.json"
    data = json.loads(file.read_text())
    data["preprocess"]["size"] = -1
    file.write_text(json.dumps(data))
    with pytest.raises(BundleError, match="size"):
        read_bundle(tmp_path / "m")


def test_missing_parts_are_named(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="holds no model bundle"):
        read_bundle(tmp_path / "nowhere")
    write(tmp_path / "m")
    (tmp_path / "m" / "model.onnx").unlink()
    with pytest.raises(BundleError, match=r"has no model\.onnx"):
        read_bundle(tmp_path / "m")


def test_names_are_looked_up_on_the_shelves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = make_toy_bundle(tmp_path / "models", "shipped")
    default = make_toy_bundle(tmp_path / "models", bundle.DEFAULT)
    monkeypatch.setattr(bundle, "_shelves", lambda: [tmp_path / "none", tmp_path / "models"])
    monkeypatch.chdir(tmp_path)
    assert resolve_bundle("shipped") == shipped
    assert resolve_bundle(None) == default
    assert resolve_bundle(str(shipped)) == shipped
    with pytest.raises(BundleError, match=r"no model 'unknown'.*models/unknown"):
        resolve_bundle("unknown")
    with pytest.raises(BundleError, match="no model bundle at"):
        resolve_bundle(tmp_path / "models" / "unknown")
    make_toy_bundle(tmp_path, "shipped")
    assert resolve_bundle("shipped") == Path("shipped")
