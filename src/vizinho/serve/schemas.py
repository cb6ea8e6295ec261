"""The JSON that goes in and comes out, as pydantic models: what ``/docs`` tells of it.

What comes in is checked by :mod:`vizinho.contract.fields`; the models here only describe it.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from vizinho.contract.features import Feature
from vizinho.contract.fields import DEFAULT_K, EXAMPLES, OFFSET, PICTURES, K
from vizinho.engines.filters import MOST as FILTER_FIELDS

Share = Annotated[float, Field(ge=0, le=1)]
Value = str | int | float | bool | None
KINDS_ABOUT = "Also say of each result what it is beside the query; decodes the pictures."


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
        None,
        max_length=FILTER_FIELDS,
        description='Only pictures with these values, such as `{"label": "cat"}`.',
    )
    crop: CropBox | None = Field(None, description="Search with this part of the picture.")
    fingerprint: str | None = Field(
        None, description="The model you count on; answered 409 when the gallery has another."
    )
    kinds: bool = Field(False, description=KINDS_ABOUT)


def one_of(*names: str) -> JsonDict:
    """Schema of an object with one of these properties at least; none may be needed by itself."""
    return {"anyOf": [{"required": [name]} for name in names]}


class JsonPicture(BaseModel):
    """A picture in JSON; exactly one of the three."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=one_of(*PICTURES))

    image_base64: str | None = Field(None, description="The picture's bytes, or a data: URL.")
    image_url: str | None = Field(
        None, description="Where to fetch the picture; off unless the server allows the host."
    )
    key: str | None = Field(None, description="A picture of the gallery itself.")


class ExampleBody(JsonPicture):
    """One of several pictures to search with."""

    weight: float = Field(
        1,
        ge=-1,
        le=1,
        description="How much the results should be like it; below 0, unlike it.",
        json_schema_extra={"not": {"const": 0}},
    )
    crop: CropBox | None = Field(None, description="Search with this part of it.")


class SearchBody(SearchFields, JsonPicture):
    """A search as JSON: one picture in one of three ways, or several as `examples`."""

    model_config = ConfigDict(json_schema_extra=one_of(*PICTURES, "examples"))

    examples: list[ExampleBody] | None = Field(
        None,
        min_length=EXAMPLES.least,
        max_length=EXAMPLES.most,
        description="Several pictures: what the results should be like, and unlike.",
    )


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
        None,
        description="Calibrated chance of the same kind, 0..1; null without calibration, and with "
        "several examples.",
    )
    kind: Literal["identical", "near-duplicate", "similar"] | None = Field(
        None, description="What it is beside the query; null unless `kinds` was asked, or unknown."
    )


class SearchAnswer(BaseModel):
    """Pictures in ascending distance."""

    results: list[Result]
    known: bool | None = Field(
        description="Whether anything in the gallery is alike; null without calibration, and with "
        "several examples."
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


class EditBody(BaseModel):
    """What to change of a picture; give one of the two, or both."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"minProperties": 1})

    label: str | None = Field(None, description="The new label; null takes it away.")
    metadata: dict[str, Any] = Field(
        default_factory=dict, description="In place of all that was kept."
    )


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
