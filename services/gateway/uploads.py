"""A file on its way in: the whole body of a request, or the first file of a multipart form, into a spool that goes to disk when it is large."""

from __future__ import annotations

from typing import IO, Any

from fastapi import Request
from python_multipart.multipart import MultipartParser, parse_options_header

from voxrelay.errors import Refused

SPOOL_BYTES = 8 * 1024 * 1024  # larger files wait on disk


class _Upload:
    """The file's bytes on their way to the spool, from a raw body or from the first file of a multipart form."""

    def __init__(self, spool: IO[bytes], limit: int) -> None:
        self._spool, self._limit = spool, limit
        self.size = 0
        self._is_file = self._has_had_file = False
        self._header_name = self._header_value = b""

    def write(self, data: bytes) -> None:
        self.size += len(data)
        if self.size > self._limit:
            raise Refused("FILE_TOO_LARGE", f"Files of at most {self._limit // (1024 * 1024)} MB are taken; send it in parts.")
        self._spool.write(data)

    def parser(self, boundary: bytes) -> MultipartParser:
        """Writes the first part that has a file name; the other parts are passed over."""

        def header_field(data: bytes, start: int, end: int) -> None:
            self._header_name += data[start:end]

        def header_value(data: bytes, start: int, end: int) -> None:
            self._header_value += data[start:end]

        def header_end() -> None:
            if self._header_name.lower() == b"content-disposition":
                _, options = parse_options_header(self._header_value)
                self._is_file = b"filename" in options and not self._has_had_file
            self._header_name = self._header_value = b""

        def part_data(data: bytes, start: int, end: int) -> None:
            if self._is_file:
                self._has_had_file = True
                self.write(data[start:end])

        def part_end() -> None:
            self._is_file = False

        callbacks: Any = {
            "on_header_field": header_field,
            "on_header_value": header_value,
            "on_header_end": header_end,
            "on_part_data": part_data,
            "on_part_end": part_end,
        }
        return MultipartParser(boundary, callbacks)


async def receive(request: Request, spool: IO[bytes], limit: int) -> int:
    """Bytes of the file now in the spool. Raises ``Refused`` FILE_TOO_LARGE before more than the limit is kept, INVALID_MESSAGE for a broken form."""
    announced = int(request.headers.get("content-length", "0") or "0")
    upload = _Upload(spool, limit)
    if announced > limit + 1024 * 1024:
        raise Refused("FILE_TOO_LARGE", f"Files of at most {limit // (1024 * 1024)} MB are taken; send it in parts.")
    content_type, options = parse_options_header(request.headers.get("content-type", ""))
    parser = upload.parser(options.get(b"boundary", b"")) if content_type == b"multipart/form-data" else None
    async for piece in request.stream():
        try:
            if parser is not None:
                parser.write(piece)
            else:
                upload.write(piece)
        except Refused:
            raise
        except Exception as error:
            raise Refused("INVALID_MESSAGE", "The multipart form is broken; send the file as field 'file' or as the whole body.") from error
    spool.seek(0)
    return upload.size
