"""The JSON of looking after a gallery: adding, removing, labelling, feedback, duplicates."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from vizinho.contract.changes import MANY
from vizinho.serve.schemas import CropBox


class Refused(BaseModel):
    """A file that was not taken."""

    name: str = Field(description="What the file is called.")
    code: str = Field(description="Stable name of the reason, as of an error.")
    reason: str


class There(BaseModel):
    """A file whose picture was there already."""

    name: str = Field(description="What the file is called.")
    key: str = Field(description="Under which the gallery has it.")


class AddAnswer(BaseModel):
    """What an upload changed."""

    keys: list[str] = Field(description="Under which the pictures are in the gallery now.")
    added: int
    unchanged: int
    changed: int
    duplicates: int = Field(description="Not taken: the same bytes are there under another key.")
    there: list[There] = Field(description="Files whose picture was there before.")
    skipped: list[Refused]


class RemoveBody(BaseModel):
    """Which pictures to remove."""

    model_config = ConfigDict(extra="forbid")

    keys: list[str] = Field(min_length=1, max_length=MANY)


class RemoveAnswer(BaseModel):
    """What a removal changed."""

    removed: int
    mirrored: bool = Field(
        description="One of them at least is still in the folder or bucket that the gallery "
        "mirrors: the next `vizinho index` brings it back."
    )


class LabelBody(BaseModel):
    """Which pictures to label, and how."""

    model_config = ConfigDict(extra="forbid")

    keys: list[str] = Field(min_length=1, max_length=MANY)
    label: str | None = Field(description="Null takes the labels away.")


class LabelAnswer(BaseModel):
    """What labelling changed."""

    changed: int
    unchanged: int
    unknown: list[str] = Field(description="Keys that the gallery does not have.")


class FeedbackQuery(BaseModel):
    """What was searched with: exactly one of the three."""

    model_config = ConfigDict(extra="forbid")

    key: str | None = Field(None, description="A picture of the gallery.")
    image_base64: str | None = Field(None, description="A picture's bytes, which are kept.")
    hash: str | None = Field(None, description="Of a picture that was sent before.")
    crop: CropBox | None = Field(None, description="The part that was searched with.")


class FeedbackBody(BaseModel):
    """A mark on one result."""

    model_config = ConfigDict(extra="forbid")

    query: FeedbackQuery
    key: str = Field(description="The result.")
    verdict: Literal["right", "wrong"] | None = Field(description="Null takes the mark back.")


class MarkedQuery(BaseModel):
    """The picture that was searched with."""

    hash: str = Field(description="SHA-256 of its bytes; empty where nothing is known of it.")
    key: str | None = Field(description="Where it is one of the gallery.")
    crop: CropBox | None
    url: str | None = Field(description="Where its bytes are.")


class MarkAnswer(BaseModel):
    """A mark as it is now."""

    query: MarkedQuery
    key: str
    url: str | None = Field(description="Null where the result has left the gallery.")
    label: str | None
    verdict: Literal["right", "wrong"] | None = Field(description="Null: there is none any more.")
    distance: float | None
    model: str | None
    time: str | None = Field(description="ISO 8601, UTC.")


class FeedbackList(BaseModel):
    """Marks, newest first."""

    marks: list[MarkAnswer]
    right: int
    wrong: int
    offset: int
    limit: int
    next: int | None = Field(description="Offset of the next page; null on the last one.")


class GroupMember(BaseModel):
    """One picture of a group."""

    key: str
    url: str
    label: str | None
    width: int
    height: int
    bytes: int
    how: str = Field(description="What it is beside the kept one, in words.")
    keep: bool = Field(description="The one to keep.")
    spare: bool = Field(description="Its own pixels show that it is a copy of the kept one.")


class DuplicateGroup(BaseModel):
    """Pictures that belong together; the one to keep is the first."""

    kind: Literal["identical", "near", "similar"]
    why: str = Field(description="Why that one is kept, in words.")
    members: list[GroupMember]


class DuplicatesAnswer(BaseModel):
    """Groups of pictures that the gallery holds more than once."""

    groups: list[DuplicateGroup]
    total: int = Field(description="Groups of the kind that was asked for.")
    pictures: int = Field(description="How many were compared.")
    skipped: int = Field(description="How many could not be read.")
    distance: float | None = Field(description="Up to which pictures count as similar.")
    offset: int
    limit: int
    next: int | None = Field(description="Offset of the next page; null on the last one.")


class BuildingAnswer(BaseModel):
    """Not there yet: ask again in a moment."""

    status: Literal["building"]
    done: int
    of: int | None = Field(description="Null where that is not known yet.")
