"""What `vizinho.gallery.doctor` looks at in Milvus only: what migrations left there."""

from __future__ import annotations

from pathlib import Path

from vizinho.gallery import migrate_remote
from vizinho.gallery.doctor import NOTE, OK, WRONG, Look
from vizinho.gallery.remote import Remote
from vizinho.gallery.remote_claim import Claim, living
from vizinho.gallery.remote_homes import SETTLING


def leftovers(look: Look, place: str | Path) -> None:
    """Collections of models that don't answer, and a change of models that was cut short."""
    remote = Remote(place)
    try:
        now = remote.current(latest=True)
        old = migrate_remote.retired(remote)
        others = remote.homes() - {now.home}
        names = [remote.collection(home).name for home in sorted(others, key=str)]
        if living(remote) is not None:
            look.add("leftovers", NOTE, "A migration is going on.", "", names)
            return
        if remote.about_parts.has(SETTLING):
            look.add(
                "leftovers",
                WRONG,
                "A migration was killed at its very end, and nobody can write until it is over.",
                "The same `vizinho migrate`, or --fix, goes on with it.",
                names,
                lambda: _finished(look, place),
            )
        elif old:
            look.add(
                "leftovers",
                WRONG,
                f"{len(old)} collection(s) of an old model were left by a migration.",
                "--fix removes them.",
                [remote.collection(home).name for home in sorted(old, key=str)],
                lambda: _dropped(look, place),
            )
        elif others:
            look.add(
                "leftovers",
                NOTE,
                "A migration has not come to its end.",
                "The same `vizinho migrate` goes on with it; one to the model that the gallery "
                "has removes it.",
                names,
            )
        else:
            look.add("leftovers", OK, "Nothing was left lying about.")
    finally:
        remote.close()


def _finished(look: Look, place: str | Path) -> str:
    remote = Remote(place, consistency="session")
    try:
        claim = Claim(remote)
        with claim.held(look.patience):
            migrate_remote.finish(remote, claim, look.progress)
        return "the migration was finished"
    finally:
        remote.close()


def _dropped(look: Look, place: str | Path) -> str:
    remote = Remote(place, consistency="session")
    try:
        with Claim(remote).held(look.patience):
            return f"{migrate_remote.drop_retired(remote)} left-over collection(s) removed"
    finally:
        remote.close()
