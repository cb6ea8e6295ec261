"""What this server offers for this gallery: the one place where a route's feature is listed."""

from __future__ import annotations

from collections.abc import Callable

from vizinho.contract.features import Feature, listed
from vizinho.serve.service import Service

# A feature that always works here is `lambda _: True`; any other asks the service. What depends on
# the model or the gallery must answer in no time: a page asks for it before anything else.
OFFERED: dict[Feature, Callable[[Service], bool]] = {
    "map": lambda _: True,
    "explain": lambda service: service.gallery.explainable,
    "feedback": lambda service: _writable(service) and service.gallery.keeps_feedback,
    "duplicates": lambda service: _writable(service) and service.duplicates.offered,
    "write": lambda service: _writable(service),
    "image_url": lambda service: bool(service.options.image_url_hosts),
}


def _writable(service: Service) -> bool:
    return service.options.writable and service.gallery.writable


def features(service: Service) -> list[Feature]:
    """Names of what is offered now, in the order of `vizinho.contract.features.FEATURES`."""
    return listed(name for name, offers in OFFERED.items() if offers(service))
