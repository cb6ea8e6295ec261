"""Pictures that the gallery holds more than once, for somebody to go through."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse
from starlette.responses import Response

from vizinho.contract.errors import RETRY_SECONDS
from vizinho.contract.feedback import not_offered
from vizinho.contract.fields import LIST_LIMIT, LIST_OFFSET
from vizinho.contract.pictures import image_path
from vizinho.engines import Row
from vizinho.serve.changing import refuse_foreign, require_writable
from vizinho.serve.duplicates import COPIES, Building, Group, Kind
from vizinho.serve.errors import ErrorBody
from vizinho.serve.schemas_care import (
    BuildingAnswer,
    DuplicateGroup,
    DuplicatesAnswer,
    GroupMember,
)
from vizinho.serve.service import service_of

router = APIRouter(tags=["images"])

_CLOSED: dict[int | str, dict[str, Any]] = {code: {"model": ErrorBody} for code in (403, 409, 503)}


@router.get(
    "/v1/duplicates",
    summary="Pictures that are there more than once, in groups",
    response_model=DuplicatesAnswer,
    responses={**_CLOSED, 202: {"model": BuildingAnswer}},
)
async def duplicates(
    request: Request,
    kind: Annotated[
        Kind | None,
        Query(description="Without it: identical ones and near ones, that is changed copies."),
    ] = None,
    offset: Annotated[int, Query(ge=LIST_OFFSET.least, le=LIST_OFFSET.most)] = 0,
    limit: Annotated[int, Query(ge=LIST_LIMIT.least, le=LIST_LIMIT.most)] = 20,
) -> Response | DuplicatesAnswer:
    """The first request begins to look and is answered 202, as all are until it is done. Removing
    is done by `POST /v1/images/remove`; what is gone is left out from then on."""
    service = service_of(request)
    require_writable(request, service)
    refuse_foreign(request, service)
    if not service.duplicates.offered:
        raise not_offered("list of duplicates here", "`vizinho dedupe` finds them.")
    kinds = COPIES if kind is None else (kind,)
    found = await service.files.run(service.duplicates.page, kinds, offset, limit)
    if isinstance(found, Building):
        answer = BuildingAnswer(status="building", done=found.done, of=found.of)
        return JSONResponse(answer.model_dump(), 202, {"Retry-After": str(RETRY_SECONDS)})
    return DuplicatesAnswer(
        groups=[_group(group, rows) for group, rows in found.groups],
        total=found.total,
        offset=offset,
        limit=limit,
        next=found.next,
        **found.about,
    )


def _group(group: Group, rows: dict[str, Row]) -> DuplicateGroup:
    names = ("key", "width", "height", "bytes", "how", "spare")
    return DuplicateGroup(
        kind=group["kind"],
        why=group["why"],
        members=[
            GroupMember(
                **{name: member[name] for name in names},
                url=image_path(member["key"], rows[member["key"]].url),
                label=rows[member["key"]].label,
                keep=place == 0 and group["kind"] != "similar",
            )
            for place, member in enumerate(group["members"])
        ],
    )
