"""Does a gallery find what it holds? The index, each picture by itself, recall against exact."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from vizinho.engines import Row, pages
from vizinho.engines.embedded import EmbeddedEngine
from vizinho.errors import VizinhoError
from vizinho.gallery import layout, salvage
from vizinho.gallery.doctor import NOTE, OK, WRONG, Look
from vizinho.gallery.reading import Reader
from vizinho.images import content_hash

_PICTURES = 64
_QUERIES = 100
_TEN = 10
_PAGE = 256
_SHOWN = 20
_SLACK = 0.02
_SAME = 1e-4
"""How far, in its length, a vector may be from the one its picture gives now: networks of another
build of ONNX Runtime differ in the last digits."""


def index(look: Look) -> None:
    """The derived index: whole, and up to date."""
    gallery = look.gallery
    assert gallery is not None
    told = gallery.engine.describe()
    look.report.figures["index"] = told
    engine = gallery.engine
    if not isinstance(engine, EmbeddedEngine):
        look.add("index", OK, f"The engine {engine.name} keeps its own.")
        return
    if faults := engine.check():
        look.add(
            "index",
            WRONG,
            faults[0],
            "--fix makes it anew; until then searches read the catalogue.",
            faults,
            lambda: _built(look, force=True),
        )
    elif due := engine.due():
        look.add(
            "index",
            NOTE,
            f"Work is pending: {due}.",
            "`vizinho index` or a server does it by itself.",
        )
    else:
        kind = "every vector is compared" if told["exact"] else f"{told['index']}, verified"
        look.add("index", OK, f"Up to date: {kind}.")


def _built(look: Look, *, force: bool) -> str:
    with EmbeddedEngine.open(_catalogue(look)) as engine:
        engine.optimise(force=force)
    return "the search index was made anew"


def finds_itself(look: Look) -> None:
    """Asks for pictures by their own vectors, and by their own bytes where they are at hand."""
    gallery = look.gallery
    assert gallery is not None
    asked = found = 0
    lost: list[str] = []
    for rows in _sampled(look, look.sample):
        keys = [row.key for row in rows]
        for row, hits in zip(rows, gallery.engine.search(gallery.vectors(keys), 1), strict=True):
            asked += 1
            if hits and hits[0].distance == 0:
                found += 1
            else:
                lost.append(row.key)
    seen, same, wrong = _by_pictures(look)
    rate = found / asked if asked else 1.0
    look.report.figures |= {
        "self_retrieval": rate,
        "self_retrieval_n": asked,
        "self_retrieval_by_picture": same / seen if seen else None,
        "self_retrieval_by_picture_n": seen,
    }
    said = f"{rate:.2%} of {asked:,} vectors find themselves at 0.00"
    said += f", {same / seen:.2%} of {seen:,} pictures do." if seen else "; no picture is at hand."
    if lost:
        look.add(
            "self-retrieval",
            WRONG,
            said,
            "--fix makes the search index anew.",
            lost[:_SHOWN],
            lambda: _built(look, force=True),
        )
    if wrong:
        look.add(
            "self-retrieval",
            WRONG,
            said if not lost else f"{len(wrong):,} vectors are not those of their pictures.",
            "--fix embeds these pictures anew; with --full it looks at all of them.",
            wrong[:_SHOWN],
            lambda: salvage.reembedded(look, gallery.about, wrong),
        )
    if not lost and not wrong:
        look.add("self-retrieval", OK, said)


def _by_pictures(look: Look) -> tuple[int, int, list[str]]:
    """How many pictures were embedded, how many have just that vector, and those that don't."""
    gallery = look.gallery
    assert gallery is not None
    reader = Reader(lambda key: gallery.image_bytes(key)[0])
    seen, wrong, done = 0, [], 0
    for rows in _sampled(look, min(look.sample, _PICTURES)):
        at_hand = []
        for row in rows:
            try:
                data = reader.bytes(row)
                # A picture that changed since is not this check's business.
                if content_hash(data) == row.hash:
                    at_hand.append((row.key, gallery.embedder.embed([data])[0]))
            except VizinhoError:
                continue
        if at_hand:
            kept = gallery.vectors([key for key, _ in at_hand])
            for (key, vector), old in zip(at_hand, kept, strict=True):
                seen += 1
                if np.linalg.norm(vector - old) > _SAME * max(1.0, float(np.linalg.norm(vector))):
                    wrong.append(key)
        done += len(rows)
        if look.progress is not None:
            look.progress(done, None)
    return seen, seen - len(wrong), wrong


def recall(look: Look) -> None:
    """How many of the ten nearest the index finds, on the gallery's own vectors."""
    gallery = look.gallery
    assert gallery is not None
    told = gallery.engine.describe()
    right = wanted = queries = 0
    for rows in _sampled(look, min(look.sample, _QUERIES), everything=False):
        vectors = gallery.vectors([row.key for row in rows])
        near = gallery.engine.search(vectors, _TEN)
        true = gallery.engine.search(vectors, _TEN, exact=True)
        for some, all_ in zip(near, true, strict=True):
            queries += 1
            wanted += len(all_)
            # By distance: of equally far ones any is right.
            last = all_[-1].distance if all_ else 0.0
            right += sum(hit.distance <= last for hit in some)
    rate = right / wanted if wanted else 1.0
    least = float(told.get("recall", 1.0)) if not told["exact"] else 1.0
    look.report.figures |= {"recall_at_10": rate, "recall_at_10_n": queries}
    said = f"recall@10 of the index against exact search: {rate:.4f} (n = {queries:,})."
    if rate < least - (0 if told["exact"] else _SLACK):
        look.add(
            "recall",
            WRONG,
            said,
            f"At least {least:g} was asked for. --fix makes the index anew.",
            mend=lambda: _built(look, force=True),
        )
    else:
        look.add("recall", OK, said)


def _sampled(look: Look, count: int, *, everything: bool = True) -> Iterator[list[Row]]:
    """Rows spread evenly over the keys, a page at a time; all of them for a full look."""
    gallery = look.gallery
    assert gallery is not None
    total = gallery.count
    if (look.full and everything) or count >= total:
        yield from pages(gallery, size=_PAGE)
        return
    places = np.linspace(0, total - 1, count).astype(int)
    page: list[Row] = []
    for place in places.tolist():
        page += gallery.items(place, 1)
    yield page


def _catalogue(look: Look) -> Path:
    return layout.home(look.path, layout.read_about(look.path)) / layout.CATALOGUE
