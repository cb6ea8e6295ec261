"""What goes into an explanation of a match and what comes out, as `/docs` tells of it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from vizinho.contract.fields import PICTURES
from vizinho.serve.schemas import CropBox, one_of


class ExplainBody(BaseModel):
    """A query as in a search, and a picture of the gallery."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=one_of(*PICTURES))

    beside: str = Field(alias="with", description="Key of the picture that was found.")
    image_base64: str | None = Field(None, description="The query's bytes, or a data: URL.")
    image_url: str | None = Field(
        None, description="Where to fetch the query; off unless the server allows the host."
    )
    key: str | None = Field(None, description="A picture of the gallery as the query.")
    crop: CropBox | None = Field(None, description="The part of the query that was searched with.")
    fingerprint: str | None = Field(
        None, description="The model you count on; answered 409 when the gallery has another."
    )


class RegionsOf(BaseModel):
    """What each region of one picture gave: `values` and `bias` add up to `similarity`."""

    rows: int
    columns: int
    values: list[float] = Field(description="Row by row, from the top left of the box.")
    bias: float = Field(description="What every picture gives: the last layer's constants.")
    length: float = Field(description="Of the embedding.")
    box: CropBox = Field(description="The part of the picture that the network saw.")


class ExplainAnswer(BaseModel):
    """A match in parts: distance² = query.length² + match.length² - 2 similarity."""

    distance: float
    similarity: float = Field(description="Dot product of the two embeddings.")
    query: RegionsOf
    match: RegionsOf
    exact: bool = Field(description="The parts were added up and are the embeddings.")
