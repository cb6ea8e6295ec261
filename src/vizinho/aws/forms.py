"""A multipart form that is there as a whole, taken apart."""

from __future__ import annotations

from dataclasses import dataclass, field

from vizinho.contract.errors import bad_form
from vizinho.contract.pictures import MAX_FIELDS, MAX_FILES


@dataclass
class _Part:
    disposition: bytes = b""
    name: str = ""
    is_file: bool = False
    data: bytearray = field(default_factory=bytearray)


class _Form:
    """What the parser's callbacks fill."""

    def __init__(self) -> None:
        self.items: list[tuple[str, str | bytes]] = []
        self.part = _Part()
        self.header = b""
        self.value = b""
        self.files = 0

    def begin(self) -> None:
        self.part = _Part()

    def header_field(self, data: bytes, start: int, end: int) -> None:
        self.header += data[start:end]

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self.value += data[start:end]

    def header_end(self) -> None:
        if self.header.lower() == b"content-disposition":
            self.part.disposition = self.value
        self.header = self.value = b""

    def headers_finished(self) -> None:
        from python_multipart.multipart import parse_options_header

        _, options = parse_options_header(self.part.disposition)
        if b"name" not in options:
            raise bad_form('The Content-Disposition header field "name" must be provided.')
        self.part.name = options[b"name"].decode(errors="replace")
        self.part.is_file = b"filename" in options
        self.files += self.part.is_file
        if self.files > MAX_FILES:
            raise bad_form(f"Too many files. Maximum number of files is {MAX_FILES}.")
        if len(self.items) + 1 - self.files > MAX_FIELDS:
            raise bad_form(f"Too many fields. Maximum number of fields is {MAX_FIELDS}.")

    def data(self, data: bytes, start: int, end: int) -> None:
        self.part.data += data[start:end]

    def end(self) -> None:
        raw = bytes(self.part.data)
        value = raw if self.part.is_file else raw.decode(errors="replace")
        self.items.append((self.part.name, value))


def parse_form(body: bytes, content_type: str) -> list[tuple[str, str | bytes]]:
    """Names and values of a form in order: texts, and bytes where a file was sent.

    Raises ApiError, 400, when it can't be parsed or has too many parts.
    """
    # Imported here: most searches of a function come as JSON or base64.
    from python_multipart.exceptions import FormParserError
    from python_multipart.multipart import MultipartParser, parse_options_header

    _, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if boundary is None:
        raise bad_form("Missing boundary in multipart.")
    form = _Form()
    try:
        parser = MultipartParser(
            boundary,
            {
                "on_part_begin": form.begin,
                "on_part_data": form.data,
                "on_part_end": form.end,
                "on_header_field": form.header_field,
                "on_header_value": form.header_value,
                "on_header_end": form.header_end,
                "on_headers_finished": form.headers_finished,
            },
        )
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise bad_form("Invalid multipart data.") from error
    return form.items
