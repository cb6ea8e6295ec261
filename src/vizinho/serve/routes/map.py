"""The whole gallery on a plane: its points, their thumbnails, and where a query belongs."""

from __future__ import annotations

import gzip
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import JSONResponse
from starlette.responses import Response

from vizinho.contract import search as contract
from vizinho.contract.errors import RETRY_SECONDS, ApiError
from vizinho.serve.body import read_search, ways_to_pictures
from vizinho.serve.changing import refuse_foreign
from vizinho.serve.describe import either_body
from vizinho.serve.encoding import takes_gzip
from vizinho.serve.errors import ErrorBody
from vizinho.serve.maps import Served, building_answer
from vizinho.serve.routes.images import matches
from vizinho.serve.routes.search import SEARCH_FORM
from vizinho.serve.schemas import SearchBody
from vizinho.serve.schemas_map import MapAnswer, MapBuilding, PlaceAnswer
from vizinho.serve.service import Service, service_of

router = APIRouter(tags=["map"])

_LARGEST_NUMBER = 2**31 - 1
_PACKED_KEEP_SECONDS, _KEEP_SECONDS = 7 * 86_400, 3600
_JPEG: dict[str, Any] = {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}}


@router.get(
    "/v1/map",
    summary="The gallery on a plane",
    response_class=Response,
    responses={
        200: {"model": MapAnswer},
        202: {"model": MapBuilding, "description": "Not there yet; `Retry-After` says when to ask"},
        304: {"description": "Unchanged."},
        403: {"model": ErrorBody},
        503: {"model": ErrorBody},
    },
)
async def whole_map(request: Request) -> Response:
    """Made when first asked for: until it is there, all are answered 202. When the gallery changes,
    the old map is given as `stale` while a new one is made. Of more than 100,000 pictures that many
    are shown, the same share of each label."""
    service = service_of(request)
    refuse_foreign(request, service)
    found = await service.files.run(service.maps.look)
    if isinstance(found, int):
        return JSONResponse(building_answer(found), 202, {"Retry-After": str(RETRY_SECONDS)})
    tag = f'"{found.tag}"'
    headers = {"ETag": f"W/{tag}", "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
    if matches(request.headers.get("if-none-match", ""), tag):
        return Response(status_code=304, headers=headers)
    body = await service.files.run(found.body)
    if takes_gzip(request.headers):
        headers["Content-Encoding"] = "gzip"
    else:
        body = await service.files.run(gzip.decompress, body)
    return Response(body, media_type="application/json", headers=headers)


@router.get(
    "/v1/map/tiles/{number}",
    summary="256 thumbnails of the map, as one JPEG",
    response_class=Response,
    responses={
        200: {"content": _JPEG},
        404: {"model": ErrorBody, "description": "There is no map yet, or no such tile on it."},
        409: {"model": ErrorBody, "description": "The map is another by now."},
    },
)
async def map_tile(
    request: Request,
    number: Annotated[int, Path(ge=0, le=_LARGEST_NUMBER)],
    version: Annotated[str, Query(description="Of the map that the tile should belong to.")],
) -> Response:
    """Pictures that can't be read are grey. A browser may keep it for an hour, so that a picture
    that was removed is not seen for longer; that of a packed gallery for a week."""
    service = service_of(request)
    found = await _known(service, 404)
    if version != found.map.version:
        raise ApiError(409, "map_changed", "The map is another by now.", "Get /v1/map again.")
    try:
        data, lasting = await service.maps.tiles.run(service.maps.tile, found, number)
    except IndexError as error:
        raise ApiError(404, "tile_not_found", f"The map has no tile {number}.") from error
    # What a version's tile shows never changes, unless something was out of reach; but whose
    # pictures may be removed is not for caches that many share.
    kept = f"private, max-age={_KEEP_SECONDS}"
    if not service.gallery.changeable:
        kept = f"public, max-age={_PACKED_KEEP_SECONDS}, immutable"
    headers = {"Cache-Control": kept if lasting else "no-store"}
    return Response(data, media_type="image/jpeg", headers=headers)


@router.post(
    "/v1/map/place",
    summary="Where a picture, or several as one query, would be on the map",
    responses={code: {"model": ErrorBody} for code in (400, 403, 404, 409, 413, 415, 422, 503)},
    openapi_extra=either_body(SEARCH_FORM, SearchBody),
)
async def place(request: Request) -> PlaceAnswer:
    """Takes what a search takes; what is only for searching (`k`, `offset`, `filter`, `kinds`)
    makes no difference. 503 `map_building` while there is no map."""
    service = service_of(request)
    service.searches.refuse_if_full()
    fields, files = await read_search(request)
    contract.check_fingerprint(fields.fingerprint, service.fingerprint)
    found = await _known(service, 503)
    vector = await service.searches.run(
        contract.query_vector, service.gallery, fields, files, ways_to_pictures(service)
    )
    ((x, y),) = (await service.searches.run(found.map.place, vector[None])).tolist()
    return PlaceAnswer(version=found.map.version, x=x, y=y)


async def _known(service: Service, status: int) -> Served:
    """The map that there is. Raises ApiError with ``status`` where there is none."""
    found = await service.files.run(service.maps.known)
    if found is None:
        headers = {"Retry-After": str(RETRY_SECONDS)} if status == 503 else None
        raise ApiError(
            status, "map_building", "There is no map yet.", "Get /v1/map, which makes it.", headers
        )
    return found
