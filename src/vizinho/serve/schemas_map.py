"""The JSON of the map."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from vizinho.gallery.plane import LARGEST

Place = Annotated[int, Field(ge=0, le=LARGEST)]


class TileShape(BaseModel):
    """How thumbnails lie in a tile: picture `i` of the map is in tile `i // count`, and in it the
    `i % count`-th, row by row."""

    side: int = Field(description="Pixels of a thumbnail, which is square.")
    columns: int
    count: int = Field(description="Thumbnails in a tile.")
    tiles: int = Field(description="How many tiles there are.")


class MapAnswer(BaseModel):
    """Pictures on a plane, in columns: the i-th of each is of one picture. Neighbours on the plane
    mostly are neighbours in this order."""

    version: str = Field(description="Names this map, for its tiles.")
    stale: bool = Field(description="The gallery has changed since; a new map is being made.")
    method: str
    count: int = Field(description="Pictures on the map.")
    total: int = Field(description="Pictures in the gallery when it was made.")
    labels: list[str | None] = Field(description="Most frequent first; null is no label.")
    x: list[Place] = Field(description="To the right.")
    y: list[Place] = Field(description="Down.")
    label: list[int] = Field(description="Positions in `labels`.")
    keys: list[str]
    tile: TileShape


class MapBuilding(BaseModel):
    """The map is being made."""

    status: Literal["building"]
    done: int
    of: int


class PlaceAnswer(BaseModel):
    """Where a picture belongs on a map."""

    version: str = Field(description="Which map.")
    x: Place
    y: Place
