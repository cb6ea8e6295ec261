"""Is a gallery in order? Looks at every part of it, says what is wrong and what to do, and mends.

A look changes nothing. Mending changes only what was found to be wrong, and never throws away what
it can't replace: a damaged catalogue is kept beside the one made of what could be read of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from vizinho.engines.embedded import EmbeddedEngine
from vizinho.errors import GalleryBusy, GalleryNotFound, VizinhoError
from vizinho.gallery.core import Gallery
from vizinho.gallery.lock import NONE, Patience
from vizinho.place import is_address
from vizinho.progress import Progress

OK: Final = "ok"
NOTE: Final = "note"
WRONG: Final = "wrong"
SAMPLE: Final = 200


@dataclass(frozen=True)
class Finding:
    """What one look found: ``status`` is "ok", "note" (nothing to worry about) or "wrong".

    ``do`` says what to do, ``items`` names what it is about; ``mend`` repairs it where that can be
    done, and returns what it did in words.
    """

    check: str
    status: str
    what: str
    do: str = ""
    items: tuple[str, ...] = ()
    mend: Callable[[], str] | None = None

    def to_dict(self) -> dict[str, Any]:
        """As JSON values; whether it can be mended instead of how."""
        told = {name: getattr(self, name) for name in ("check", "status", "what", "do")}
        return {**told, "items": list(self.items), "can_be_fixed": self.mend is not None}


@dataclass
class Examination:
    """All findings, figures by name (rates 0..1), bytes by part, and what was mended, in words."""

    path: str
    findings: list[Finding] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)
    space: dict[str, int] = field(default_factory=dict)
    mended: list[str] = field(default_factory=list)

    @property
    def healthy(self) -> bool:
        """Whether nothing is wrong."""
        return all(finding.status != WRONG for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        told = {name: value for name, value in vars(self).items() if name != "findings"}
        findings = [finding.to_dict() for finding in self.findings]
        return {**told, "healthy": self.healthy, "findings": findings}


@dataclass
class Look:
    """What the checks share: where, how thoroughly, and the gallery if it could be opened."""

    path: Path
    full: bool
    sample: int
    model: str | Path | None
    patience: Patience
    progress: Progress | None
    report: Examination
    gallery: Gallery | None = None
    damaged: bool = False
    """Whether the catalogue is: then what it does not name is not taken for an orphan."""

    def add(
        self,
        check: str,
        status: str,
        what: str,
        do: str = "",
        items: tuple[str, ...] | list[str] = (),
        mend: Callable[[], str] | None = None,
    ) -> None:
        """One finding more."""
        self.report.findings.append(Finding(check, status, what, do, tuple(items), mend))


def examine(
    path: str | Path,
    *,
    full: bool = False,
    sample: int = SAMPLE,
    fix: bool = False,
    model: str | Path | None = None,
    patience: Patience = NONE,
    progress: Progress | None = None,
) -> Examination:
    """Look at a gallery and, with ``fix``, mend what is wrong and look again.

    ``full`` reads every stored picture and asks for every one; else ``sample`` of them. ``model``
    is a bundle to take the model from when the gallery's copy is damaged. ``progress`` counts
    pictures. Raises GalleryNotFound; with ``fix`` GalleryBusy beside a writer.
    """
    if not is_address(path) and not Path(path).is_dir():
        raise GalleryNotFound(f"{path} does not exist.", "Make one with `vizinho index FOLDER`.")
    mended: list[str] = []
    tried: set[tuple[str, str]] = set()
    for _ in range(4 if fix else 1):
        report = _examined(path, full, sample, model, patience, progress)
        wrong = [each for each in report.findings if each.status == WRONG and each.mend is not None]
        if not fix or not wrong:
            break
        # What one round could not mend, the next one won't either.
        told = {(each.check, each.what) for each in wrong}
        if told == tried:
            break
        tried = told
        for finding in wrong:
            assert finding.mend is not None
            try:
                mended.append(f"{finding.check}: {finding.mend()}")
            except GalleryBusy:
                raise
            except VizinhoError as error:
                report.findings.append(
                    Finding(finding.check, WRONG, f"It can't be mended: {error}")
                )
    report.mended = mended
    return report


def _examined(
    path: str | Path,
    full: bool,
    sample: int,
    model: str | Path | None,
    patience: Patience,
    progress: Progress | None,
) -> Examination:
    from vizinho.gallery import checks, checks_files, checks_folder, checks_remote, checks_search

    report = Examination(str(path))
    look = Look(Path(path), full, sample, model, patience, progress, report)
    if is_address(path):
        look.gallery = _opened(look, path)
        if look.gallery is not None:
            checks_remote.leftovers(look, path)
    else:
        embedded = checks_files.description(look)
        if embedded is not None:
            checks_files.model(look, embedded)
            if embedded.engine == EmbeddedEngine.name:
                checks_files.catalogue(look, embedded)
                checks_files.leftovers(look, embedded)
                checks.feedback(look)
            if report.healthy or not _hopeless(report):
                look.gallery = _opened(look, path)
        checks_files.space(look)
    if look.gallery is not None:
        look.gallery.patience = patience
        with look.gallery:
            alone = not is_address(path) and look.gallery.about.engine == EmbeddedEngine.name
            known = not alone or checks_folder.memory(look)
            if look.gallery.count and not _hopeless(report):
                checks_search.index(look)
                if known:
                    checks_search.finds_itself(look)
                checks_search.recall(look)
            if alone and known:
                checks.stored(look)
                checks_folder.mirrored(look)
    return report


def _hopeless(report: Examination) -> bool:
    """Whether what everything else rests on is wrong."""
    roots = ("description", "model", "catalogue")
    return any(each.check in roots and each.status == WRONG for each in report.findings)


def _opened(look: Look, path: str | Path) -> Gallery | None:
    try:
        gallery = Gallery.open(path)
    except VizinhoError as error:
        look.add("opening", WRONG, error.message, error.hint)
        return None
    about = gallery.about
    said = f"{gallery.count:,} pictures by {about.model} ({about.fingerprint[:12]}), {about.engine}"
    look.add("opening", OK, said + ".")
    look.report.figures |= {"pictures": gallery.count, **asdict(about)}
    return gallery
