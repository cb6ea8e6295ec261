"""``vizinho status``: what stands of a deployment."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from vizinho.cli.console import AsJson, GalleryOption, edge, out, print_fields, print_json
from vizinho.cli.deploy import NameOption, Place, RegionOption
from vizinho.cli.destroy import deployment_name


@edge
def command(
    place: Place,
    gallery: GalleryOption = None,
    name: NameOption = None,
    region: RegionOption = None,
    as_json: AsJson = False,
) -> None:
    """Say what stands of a deployment, and whether the gallery has changed since."""
    from vizinho.aws.deploy import status
    from vizinho.errors import SettingsError
    from vizinho.settings import find_gallery

    path: Path | None = gallery
    if path is None:
        try:
            path = find_gallery(None)
        except SettingsError:
            # With a name, what stands can be told without a gallery to compare it with.
            if name is None:
                raise
    named = deployment_name(name, path)
    found = status(named, region=region, gallery=path)
    if as_json:
        print_json(asdict(found))
        return
    if not found.stands:
        out().print(f"Nothing stands of {named} in {found.region}.", highlight=False)
        return
    print_fields({"deployment": f"{named}, account {found.account}, {found.region}", **found.parts})
    if found.drift:
        out().print(f"{found.drift}.", markup=False, highlight=False)
