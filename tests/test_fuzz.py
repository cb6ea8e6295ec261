"""Every route of the OpenAPI description, fuzzed: no input breaks the server, and every answer is
one that the description tells of.

A real server in a process of its own, asked by schemathesis. What is asked is the same each time:
the seed is fixed and nothing is remembered. New routes are asked as soon as they are described.
"""

from __future__ import annotations

import base64
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import load_all_checks
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from serving import COUNT, LIMIT, Server, key_of, make_gallery, picture, running
from toy_explained import make_explained_bundle

MEANT, AGAINST = 25, 8
FEWER = 3
"""Where nothing may be written most answers are the same; it is asked so many times less."""
SEED = 6

KEYS = [key_of(1), key_of(10), key_of(COUNT - 1), "nobody.png"]
PICTURES = [picture(1), picture(1000), picture(2)[:150], b""]
CROPS = [{"top": 0.2, "bottom": 0.8}, {"left": 0.5}, {}, {"top": 1}]
TEXTS = [base64.b64encode(each).decode() for each in PICTURES]
WAYS = ("image", "image_base64", "image_url", "key", "examples")
"""Ways to say which picture; most routes want one of them."""
LIKELY: dict[str, list[Any]] = {
    "key": KEYS,
    "with": KEYS,
    "crop": CROPS,
    "fingerprint": ["0" * 64],
    "filter": [{"label": "barco"}, {"number": 3}, {}],
    "image_base64": TEXTS,
    "image_url": ["http://127.0.0.1:9/a.png", "file:///etc/passwd"],
    "examples": [
        [{"key": KEYS[0]}, {"key": KEYS[1], "weight": -0.5}],
        [{"key": KEYS[0], "crop": CROPS[0]}, {"image_base64": TEXTS[1]}],
    ],
}
IN_FORMS = [[{"image": 0}, {"key": KEYS[0], "weight": -0.5}], [{"image": 1, "crop": CROPS[0]}]]
NONSENSE = [
    b"",
    b"\xff\xfe\x00",
    b"null",
    b"[1]",
    b'"text"',
    b"{",
    b"[" * 50_000,
    b'{"key": NaN}',
    b'{"key": "\\ud800"}',
    b'{"keys": "\\ud800"}',
    b'{"k": 1' + b"0" * 5000 + b"}",
    b'{"": 0}',
    b"--x\r\n\r\n",
    b'--x\r\nContent-Disposition: form-data; name="\xff"\r\n\r\na\r\n--x--\r\n',
    b'--x\r\nContent-Disposition: form-data; name="image"\r\n\r\na\r\n--x--\r\n',
    b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\na\r\n--x--\r\n',
]


@pytest.fixture(scope="module", params=["read-only", "writable"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder: Path = tmp_path_factory.mktemp("fuzz")
    gallery = make_gallery(folder, model=make_explained_bundle(folder))
    writable = request.param == "writable"
    hosts = ["127.0.0.1"] if writable else []
    with running(
        gallery, writable=writable, max_upload_bytes=LIMIT, image_url_hosts=hosts
    ) as server:
        yield server


@st.composite
def likely(draw: st.DrawFn, cases: st.SearchStrategy[Any]) -> Any:
    """A case, most of the time with real keys and pictures where such are asked for: by chance
    alone hardly one would get as far as a search."""
    case = draw(cases)
    if draw(st.sampled_from([True, True, False])):
        if "key" in (case.path_parameters or {}):
            case.path_parameters["key"] = draw(st.sampled_from(KEYS))
        if isinstance(case.body, dict):
            case.body = draw_fields(draw, case.body, case.media_type == "multipart/form-data")
        elif case.media_type == "text/plain":
            case.body = draw(st.sampled_from(TEXTS))
    return case


def draw_fields(draw: st.DrawFn, body: dict[str, Any], form: bool) -> dict[str, Any]:
    """The fields of a body, drawn anew where it is known what they are likely to be."""
    ways = [name for name in WAYS if name in body]
    # In a form the examples go beside the files.
    kept = draw(st.sampled_from(ways)) if ways and not form else None
    found: dict[str, Any] = {}
    for name, value in body.items():
        if kept is not None and name in ways and name != kept:
            continue
        if isinstance(value, dict) and name not in LIKELY:
            found[name] = draw_fields(draw, value, form)
        elif form and name == "image":
            files = draw(st.lists(st.sampled_from(PICTURES), min_size=1, max_size=3))
            found[name] = files if isinstance(value, list) else files[0]
        elif name in LIKELY:
            choices = IN_FORMS if form and name == "examples" else LIKELY[name]
            chosen = draw(st.sampled_from([*choices, value]))
            found[name] = chosen
            if form and chosen is not value and not isinstance(chosen, str):
                found[name] = json.dumps(chosen)
            # What is not needed is mostly not there.
            if name not in WAYS and draw(st.booleans()):
                del found[name]
        else:
            found[name] = value
    return found


def operations(server: Server) -> list[Any]:
    """What removes pictures last: the others want to find some."""
    api = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    found = [each.ok() for each in api.get_all_operations()]
    return sorted(found, key=lambda each: each.method == "delete" or "remove" in each.path)


def unbroken(_: Any, response: Any, __: Any) -> None:
    """No 500 at all; a server that is busy says so, and when to come again."""
    if response.status_code >= 500:
        assert response.status_code == 503, response.text
        assert "retry-after" in response.headers, response.text


load_all_checks()
CHECKS = [
    unbroken,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    unsupported_method,
]


def fuzz(cases: st.SearchStrategy[Any], examples: int) -> None:
    @seed(SEED)
    @settings(
        max_examples=examples,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases)
    def ask(case: Any) -> None:
        case.call_and_validate(checks=CHECKS)

    ask()


def test_no_input_breaks_a_route_or_its_description(server: Server) -> None:
    seen, wrong = set(), []
    writable = server.client.get("/v1/model").json()["writable"]
    share = 1 if writable else FEWER
    for operation in operations(server):
        seen.add(operation.label)
        meant = likely(operation.as_strategy(generation_mode=GenerationMode.POSITIVE))
        against = operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)
        try:
            fuzz(meant, MEANT // share)
            # A route that takes nothing can't be asked wrongly.
            with suppress(Unsatisfiable):
                fuzz(against, AGAINST // share)
        except Exception as error:
            wrong.append(f"{operation.label}: {error}")
    assert {"POST /", "POST /v1/search", "GET /v1/labels", "POST /v1/images"} <= seen
    assert not wrong, "\n\n".join(wrong)
    assert not [line for line in server.log if "Traceback" in line]
    assert server.client.get("/health").json()["status"] == "ok"


def test_a_body_of_nonsense_is_an_error_of_the_one_shape(server: Server) -> None:
    described = server.client.get("/openapi.json").json()["paths"]
    asked = [
        (method, path.replace("{key}", KEYS[0]), kind, operation)
        for path, methods in described.items()
        for method, operation in methods.items()
        for kind in operation.get("requestBody", {}).get("content", {})
    ]
    assert len(asked) >= 5
    for method, path, kind, operation in asked:
        for body in NONSENSE:
            sent = f"{kind}; boundary=x" if kind.startswith("multipart") else kind
            answer = server.client.request(
                method, path, content=body, headers={"Content-Type": sent}
            )
            where = (method, path, kind, body[:40], answer.text[:200])
            assert answer.status_code >= 400, where
            unbroken(None, answer, None)
            assert str(answer.status_code) in operation["responses"], where
            assert set(answer.json()["error"]) == {"code", "message", "hint"}, where
