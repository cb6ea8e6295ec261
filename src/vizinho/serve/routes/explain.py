"""``POST /v1/explain``: which regions of two pictures made them a match."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from vizinho.contract import explain as contract
from vizinho.contract.errors import unsupported_body
from vizinho.contract.search import check_fingerprint
from vizinho.serve.body import kind_of, open_form, read_upload, ways_to_pictures
from vizinho.serve.describe import either_body
from vizinho.serve.errors import ErrorBody
from vizinho.serve.schemas_explain import ExplainAnswer, ExplainBody
from vizinho.serve.service import Service, service_of

router = APIRouter(tags=["search"])

_FORM: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["image", "with"],
    "properties": {
        "image": {"type": "string", "format": "binary", "description": "The query, as a file."},
        "with": {"type": "string", "description": "Key of the picture that was found."},
        "crop": {"type": "string", "description": 'As JSON, such as {"top": 0.2, "bottom": 0.8}.'},
        "fingerprint": {"type": "string", "description": "The model you count on, or 409."},
    },
}


@router.post(
    "/v1/explain",
    summary="Tell which regions of a query and of a result made the match",
    response_model=ExplainAnswer,
    responses={code: {"model": ErrorBody} for code in (400, 403, 404, 409, 413, 415, 422, 503)},
    openapi_extra=either_body(_FORM, ExplainBody),
)
async def explain(request: Request) -> ExplainAnswer:
    """409 `not_explainable` for a model whose network does not end in pooling and a linear layer:
    `/v1/model` then does not list the feature."""
    service = service_of(request)
    service.searches.refuse_if_full()
    kind = kind_of(request)
    if kind == "multipart/form-data":
        async with open_form(request) as form:
            fields = contract.explain_form(form.multi_items())
            data = await read_upload(form.get("image"), service.options.max_upload_bytes)
        return await _answer(service, fields, data)
    if kind == "application/json":
        fields = await service.files.run(contract.explain_json, await request.body())
        return await _answer(service, fields, None)
    raise unsupported_body(kind)


async def _answer(
    service: Service, fields: contract.ExplainFields, data: bytes | None
) -> ExplainAnswer:
    check_fingerprint(fields.fingerprint, service.fingerprint)
    answer = await service.searches.run(
        contract.explain, service.gallery, fields, data, ways_to_pictures(service)
    )
    return ExplainAnswer(**answer)
