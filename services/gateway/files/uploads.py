"""A file on its way in: the whole body of a request, or the first file of a multipart form, into a spool that goes to disk when it is large."""

from __future__ import annotations

from typing import IO, Any

from fastapi import Request
from python_multipart.multipart import MultipartParser, parse_options_header

from services.gateway.requests import bounds
from voxrelay.errors import Refused

SPOOL_BYTES = 8 * 1024 * 1024  # larger files wait on disk
FORM_BYTES = 1024 * 1024  # what a form may hold besides the file
MOST_FIELDS = 2000
BROKEN_FORM = "The multipart form is broken; send the file as field 'file' or as the whole body."


class FormFields:
    """The fields of a form that are no files, in their order; bounded while they arrive. A name may come more than once."""

    def __init__(self) -> None:
        self.pairs: list[tuple[str, str]] = []
        self._bytes = 0
        self._name, self._value = "", bytearray()

    def begin(self, name: bytes) -> None:
        """Raises ``Refused`` INVALID_MESSAGE for one field too many."""
        if len(self.pairs) >= MOST_FIELDS:
            raise Refused("INVALID_MESSAGE", f"A form may have {MOST_FIELDS} fields.")
        self._name, self._value = name.decode(), bytearray()

    def add(self, data: bytes) -> None:
        """Raises ``Refused`` INVALID_MESSAGE when the fields together are too large."""
        self._bytes += len(data)
        if self._bytes > FORM_BYTES:
            raise Refused("INVALID_MESSAGE", f"The fields of a form may have {FORM_BYTES // 1024} kB together; '{self._name[:40]}' is too large.")
        self._value += data

    def end(self) -> None:
        self.pairs.append((self._name, self._value.decode()))


class _Upload:
    """The file's bytes on their way to the spool, from a raw body or from the first file of a multipart form."""

    def __init__(self, spool: IO[bytes], limit: int, fields: FormFields | None) -> None:
        self._spool, self._limit, self._fields = spool, limit, fields
        self.size = 0
        self._is_file = self._has_had_file = self._is_field = False
        self.is_complete = False  # whether a form came to its end
        self._header_name = self._header_value = b""

    def write(self, data: bytes) -> None:
        self.size += len(data)
        if self.size > self._limit:
            raise Refused("FILE_TOO_LARGE", f"Files of at most {self._limit // (1024 * 1024)} MB are taken; send it in parts.")
        self._spool.write(data)

    def parser(self, boundary: bytes) -> MultipartParser:
        """Writes the first part that has a file name; parts without one are fields; further files are passed over."""

        def header_field(data: bytes, start: int, end: int) -> None:
            self._header_name += data[start:end]

        def header_value(data: bytes, start: int, end: int) -> None:
            self._header_value += data[start:end]

        def header_end() -> None:
            if self._header_name.lower() == b"content-disposition":
                _, options = parse_options_header(self._header_value)
                self._is_file = b"filename" in options and not self._has_had_file
                self._is_field = b"filename" not in options and self._fields is not None
                if self._fields is not None and self._is_field:
                    self._fields.begin(options.get(b"name", b""))
            self._header_name = self._header_value = b""

        def part_data(data: bytes, start: int, end: int) -> None:
            if self._is_file:
                self._has_had_file = True
                self.write(data[start:end])
            elif self._fields is not None and self._is_field:
                self._fields.add(data[start:end])

        def part_end() -> None:
            if self._fields is not None and self._is_field:
                self._fields.end()
            self._is_file = self._is_field = False

        def form_end() -> None:
            self.is_complete = True

        callbacks: Any = {
            "on_header_field": header_field,
            "on_header_value": header_value,
            "on_header_end": header_end,
            "on_part_data": part_data,
            "on_part_end": part_end,
            "on_end": form_end,
        }
        return MultipartParser(boundary, callbacks)


async def receive(request: Request, spool: IO[bytes], limit: int, fields: FormFields | None = None) -> int:
    """Bytes of the file now in the spool. A form's other fields are put into ``fields``, whether they come before the file or after it.

    Raises ``Refused`` FILE_TOO_LARGE before more than the limit is kept, INVALID_MESSAGE for a broken form or one with too many fields.
    """
    length = request.headers.get("content-length", "")
    announced = int(length) if length.isdigit() else 0
    upload = _Upload(spool, limit, fields)
    bounds.expect(request, limit + 4 * FORM_BYTES)  # counted below, with the code for files
    received = 0
    if announced > limit + FORM_BYTES:
        raise Refused("FILE_TOO_LARGE", f"Files of at most {limit // (1024 * 1024)} MB are taken; send it in parts.")
    content_type, options = parse_options_header(request.headers.get("content-type", ""))
    parser = upload.parser(options.get(b"boundary", b"")) if content_type == b"multipart/form-data" else None
    async for piece in request.stream():
        received += len(piece)
        if received > limit + 2 * FORM_BYTES:  # parts that are passed over count too
            raise Refused("FILE_TOO_LARGE", f"Files of at most {limit // (1024 * 1024)} MB are taken; send it in parts.")
        try:
            if parser is not None:
                parser.write(piece)
            else:
                upload.write(piece)
        except Refused:
            raise
        except Exception as error:
            raise Refused("INVALID_MESSAGE", BROKEN_FORM) from error
    if parser is not None and not upload.is_complete:
        raise Refused("INVALID_MESSAGE", BROKEN_FORM)
    spool.seek(0)
    return upload.size
