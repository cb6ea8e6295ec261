"""What comes back: of a deployment, of a plan, of a look, of a removal."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from vizinho.aws.deploy.pictures import Missing
from vizinho.aws.deploy.trial import Trial


@dataclass(frozen=True)
class Deployed:
    """A deployment that stands and has answered. ``steps``: outcome by step (see `STEPS`).
    ``costs``: US dollars, as `vizinho.aws.costs.Estimate.to_dict` has them."""

    name: str
    region: str
    url: str
    page_url: str | None
    bucket: str
    stack: str
    function: str
    gallery: str
    pictures: int
    missing: list[Missing]
    steps: dict[str, str]
    trial: Trial
    costs: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Planned:
    """What a deployment would do. ``steps``: what it would do by step."""

    name: str
    account: str
    region: str
    bucket: str
    steps: dict[str, str]
    costs: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Status:
    """What stands. ``parts``: by part, what there is of it; ``stands``: whether anything does.
    ``drift``: how the gallery here differs from the deployed one; None when it does not, or none
    was given."""

    name: str
    account: str
    region: str
    stands: bool
    parts: dict[str, str]
    url: str | None = None
    page_url: str | None = None
    drift: str | None = None


@dataclass
class Removed:
    """What a removal took away (or, in a ``dry_run``, would), and what it left and why."""

    name: str
    region: str
    removed: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    dry_run: bool = False
