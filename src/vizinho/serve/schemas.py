"""The JSON that goes in and comes out, as pydantic models: what ``/docs`` tells of it.

What comes in is checked by :mod:`vizinho.contract.fields`; the models here only describe it.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from vizinho.contract.features import Feature
from vizinho.contract.fields import DEFAULT_K, OFFSET, K

Share = Annotated[float, Field(ge=0, le=1)]
Value = str | int | float | bool | None


class CropBox(BaseModel):
    """Part of a picture, as shares of its height and width."""

    model_config = ConfigDict(extra="forbid")

    top: Share = 0
    left: Share = 0
    right: Share = 1
    bottom: Share = 1


class SearchFields(BaseModel):
    """How to search; the same for every way of giving the picture."""

    model_config = ConfigDict(extra="forbid")

    k: int = Field(
        DEFAULT_K, ge=K.least, le=K.most, description="How many pictures to answer with."
    )
    offset: int = Field(
        0, ge=OFFSET.least, le=OFFSET.most, description="How many of the nearest to skip."
    )
    filter: dict[str, Value] | None = Field(
        None, description='Only pictures with these values, such as `{"label": "cat"}`.'
    )
    crop: CropBox | None = Field(None, description="Search with this part of the picture.")
    fingerprint: str | None = Field(
        None, description="The model you count on; answered 409 when the gallery has another."
    )


class SearchBody(SearchFields):
    """A search as JSON: the picture is given in one of three ways."""

    image_base64: str | None = Field(None, description="The picture's bytes, or a data: URL.")
    image_url: str | None = Field(
        None, description="Where to fetch the picture; off unless the server allows the host."
    )
    key: str | None = Field(None, description="A picture of the gallery itself.")


class Picture(BaseModel):
    """One picture of the gallery."""

    key: str = Field(description="Its name in the gallery.")
    url: str = Field(description="Where its bytes are: a path on this server.")
    label: str | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)


class Result(Picture):
    """One picture found."""

    distance: float = Field(description="Euclidean; smaller is closer.")
    probability: float | None = Field(
        None, description="Calibrated chance of the same kind, 0..1; null without calibration."
    )


class SearchAnswer(BaseModel):
    """Pictures in ascending distance."""

    results: list[Result]
    known: bool | None = Field(
        description="Whether anything in the gallery is alike; null without calibration."
    )
    k: int
    offset: int
    model: str
    took_ms: float = Field(description="Decoding, embedding and looking up; without the network.")


class PictureList(BaseModel):
    """One page of the gallery's listing."""

    images: list[Picture]
    offset: int
    limit: int
    next: int | None = Field(description="Offset of the next page; null on the last one.")
    total: int | None = Field(description="All pictures; null when filtered by label.")


class LabelCount(BaseModel):
    """One label."""

    label: str | None = Field(description="Null stands for the pictures without one.")
    count: int


class LabelsAnswer(BaseModel):
    """Labels in descending number of pictures."""

    labels: list[LabelCount]
    total: int = Field(description="How many labels there are, also beyond `limit`.")


class Refused(BaseModel):
    """A file that was not taken."""

    name: str
    reason: str


class AddAnswer(BaseModel):
    """What an upload changed."""

    keys: list[str] = Field(description="Under which the pictures are in the gallery now.")
    added: int
    unchanged: int
    changed: int
    duplicates: int = Field(description="Not taken: the same bytes are there under another key.")
    skipped: list[Refused]


class EditBody(BaseModel):
    """What to change of a picture; give one of the two, or both."""

    model_config = ConfigDict(extra="forbid")

    label: str | None = Field(None, description="The new label; null takes it away.")
    metadata: dict[str, Any] | None = Field(None, description="In place of all that was kept.")


class RemoveAnswer(BaseModel):
    """What a removal changed."""

    removed: int


class ModelAnswer(BaseModel):
    """The model behind the gallery, what it measured, and what this server allows."""

    name: str
    fingerprint: str
    dimension: int
    metrics: dict[str, Any]
    gallery: str
    images: int
    max_upload_bytes: int
    writable: bool
    image_url: bool
    features: list[Feature] = Field(
        description="What this server offers for this gallery; a client shows only what is listed."
    )
    version: str


class HealthAnswer(BaseModel):
    """The server is alive, and how busy."""

    status: str
    searches: int = Field(description="Running or waiting.")
    searches_limit: int = Field(description="Beyond this many, a search is answered 503.")
