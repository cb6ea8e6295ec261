"""``kill -9`` in the middle of add, remove, label, import, index training and migrate.

After each kill the gallery opens and is as it was before or after one of the command's batches. A
few kills each; ``VIZINHO_KILLS=100`` for the full run.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from killing import Kills, State, make_large, start, state, stored
from toys import TOY_SPEC, encode, make_toy_bundle, noise
from vizinho.gallery import Gallery, NewImage
from vizinho.gallery.changes import BATCH
from vizinho.gallery.exchange import PAGE
from vizinho.gallery.export import export

ROWS = 2 * BATCH + 500
CHUNK = 32
VERB = ("-m", "vizinho")


def one_of(expected: list[State]) -> Callable[[Path], None]:
    """A check: the gallery is in one of these states, and no row's picture is lost."""

    def check(path: Path) -> None:
        now = state(path)
        close = min(expected, key=lambda each: abs(len(each) - len(now)))
        differ = [key for key in now.keys() | close.keys() if now.get(key) != close.get(key)]
        assert now in expected, f"{len(now)} rows, {len(differ)} of them wrong: {differ[:3]}"
        assert pictures(now) <= stored(path)

    return check


def exactly(expected: State) -> Callable[[Path], None]:
    """A check: the gallery is in this state, and there is no picture that no row stands for."""

    def check(path: Path) -> None:
        one_of([expected])(path)
        assert stored(path) == pictures(expected)

    return check


def pictures(of: State) -> set[str]:
    """Content hashes of the rows whose pictures the gallery was given."""
    return {row.hash for row, _ in of.values() if row.metadata.get("n", 0) % 10 == 0}


def after_batches(keys: list[str], size: int) -> list[list[str]]:
    """What of ``keys`` is done after each batch of ``size``, from none to all."""
    return [keys[:done] for done in (*range(0, len(keys), size), len(keys))]


def test_add(tmp_path: Path) -> None:
    base = make_large(tmp_path / "base.vizinho", 300)
    folder = tmp_path / "new"
    folder.mkdir()
    for number in range(260):
        (folder / f"{number:04d}.png").write_bytes(encode(noise(50_000 + number, (96, 72))))
    whole = tmp_path / "whole.vizinho"
    shutil.copytree(base, whole)

    def arguments(path: Path) -> list[object]:
        return [*VERB, "add", folder, "--gallery", path, "--label", "new"]

    assert start(arguments(whole)).wait() == 0
    before, after = state(base), state(whole)
    new = sorted(set(after) - set(before))
    assert len(new) == 260
    states = [{**before, **{key: after[key] for key in done}} for done in after_batches(new, CHUNK)]
    Kills(base, arguments, one_of(states)).run(exactly(after))


def test_remove(tmp_path: Path) -> None:
    base = make_large(tmp_path / "base.vizinho", ROWS)
    before = state(base)
    states = [
        {key: before[key] for key in before.keys() - set(gone)}
        for gone in after_batches(sorted(before), BATCH)
    ]

    def arguments(path: Path) -> list[object]:
        return [*VERB, "remove", "**", "--gallery", path]

    Kills(base, arguments, one_of(states)).run(exactly({}))


def test_label(tmp_path: Path) -> None:
    base = make_large(tmp_path / "base.vizinho", ROWS)
    before = state(base)
    after = {key: (replace(row, label="L"), vector) for key, (row, vector) in before.items()}
    table = tmp_path / "labels.csv"
    keys = sorted(before, key=lambda key: key[::-1])
    table.write_text("key,label\n" + "".join(f"{key},L\n" for key in keys))
    states = [
        {**before, **{key: after[key] for key in done}} for done in after_batches(keys, BATCH)
    ]

    def arguments(path: Path) -> list[object]:
        return [*VERB, "label", "--from", table, "--gallery", path]

    Kills(base, arguments, one_of(states)).run(exactly(after))


def test_import(tmp_path: Path) -> None:
    source = make_large(tmp_path / "source.vizinho", ROWS)
    after = state(source)
    with Gallery.open(source) as gallery:
        export(gallery, tmp_path / "out", pictures=True, part_rows=2 * PAGE)
        base = tmp_path / "base.vizinho"
        Gallery.create(base, model=gallery.model_folder).close()
    states = [{key: after[key] for key in done} for done in after_batches(sorted(after), PAGE)]

    def arguments(path: Path) -> list[object]:
        return [*VERB, "import", tmp_path / "out", "--gallery", path]

    Kills(base, arguments, one_of(states)).run(exactly(after))


def test_index_training(tmp_path: Path) -> None:
    base = make_large(tmp_path / "base.vizinho", 6 * BATCH)
    before = state(base)
    code = (
        "import sys; from vizinho.gallery import Gallery\n"
        "engine = Gallery.open(sys.argv[1]).engine\n"
        "engine.options(latency_ms=0.001)\n"
        "assert engine.optimise(force=True)\n"
    )

    def trained(path: Path) -> None:
        exactly(before)(path)
        with Gallery.open(path) as gallery:
            assert gallery.engine.describe()["vectors"] == len(before)

    kills = Kills(base, lambda path: ["-c", code, path], one_of([before]), "index")
    kills.run(trained)


def test_migrate(tmp_path: Path) -> None:
    base = tmp_path / "base.vizinho"
    with Gallery.create(base, model=make_toy_bundle(tmp_path / "models")) as gallery:
        gallery.add(
            [NewImage(encode(noise(n)), key=f"{n:03d}.png", metadata={"n": 10}) for n in range(300)]
        )
    other = make_toy_bundle(tmp_path / "models", "other", spec=replace(TOY_SPEC, size=64))

    def arguments(path: Path) -> list[object]:
        return [*VERB, "migrate", path, "--model", other]

    whole = tmp_path / "whole.vizinho"
    shutil.copytree(base, whole)
    assert start(arguments(whole)).wait() == 0
    before, after = state(base), state(whole)
    assert before.keys() == after.keys()
    assert before != after
    Kills(base, arguments, one_of([before, after]), "by-*").run(exactly(after))
