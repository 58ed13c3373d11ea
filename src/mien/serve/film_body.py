"""The body of a request with a film → a file on disk, piece by piece, and never whole in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from mien.serve.problems import Problem

_WRITTEN = 1 << 20  # bytes that are written to disk at once
_HEADERS = 16 << 10  # bytes of a part's headers
_PARTS = 16  # of a form: each costs far more to go through than the bytes that it has


async def receive(request: Request, target: Path, *, name: str = "") -> str:
    """Write the body's film to `target` and return what the client calls it; its size and pace, others watch.

    The body is the film itself, or a form (multipart/form-data) with one field `file`.

    Args:
        request: the request.
        target: where the file goes.
        name: what to call a file that is the body itself.

    Raises:
        Problem: there is no file in it (400).
        ClientDisconnect: the client has gone away.

    """
    media_type, options = parse_options_header(request.headers.get("content-type"))
    with await asyncio.to_thread(target.open, "wb") as file:
        writer = Writer(file)
        form = Form(options.get(b"boundary", b""), writer.add) if media_type == b"multipart/form-data" else None
        async for piece in request.stream():
            if form is None:
                writer.add(piece)
            else:
                form.add(piece)
            await writer.flush()
        name = name if form is None else form.end()
        await writer.flush(last=True)
    if not writer.written:
        raise Problem(400, "no film came: send one as the body, or as the field `file` of a form")
    return name


class Writer:
    """Gathers what is to be written, so that the disk is not bothered with every piece.

    Attributes:
        written: bytes, those that are still to be written among them.

    """

    def __init__(self, file: BinaryIO) -> None:
        """Write to `file`."""
        self._file = file
        self._waiting = bytearray()
        self.written = 0

    def add(self, piece: bytes) -> None:
        """Take what is to be written."""
        self._waiting += piece
        self.written += len(piece)

    async def flush(self, *, last: bool = False) -> None:
        """Write what has been gathered: only if that is much, save for the `last` time."""
        if len(self._waiting) >= (1 if last else _WRITTEN):
            waiting, self._waiting = self._waiting, bytearray()
            await asyncio.to_thread(self._file.write, waiting)


class Form:
    """Goes through a form and hands on the content of one field, which is a file.

    Attributes:
        name: what the client calls the file; None until that has come.

    """

    def __init__(self, boundary: bytes, take: Callable[[bytes], None], *, field: str = "file") -> None:
        """Begin with nothing.

        Args:
            boundary: what parts the form, as its Content-Type says.
            take: gets the file, piece by piece.
            field: where it is.

        Raises:
            Problem: there is no such boundary (400).

        """
        self._take, self._field = take, field
        self._header, self._value = b"", b""
        self._disposition = b""
        self._size = self._parts = 0
        self._here = self._ended = False
        self.name: str | None = None
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin,
                    "on_header_field": self._add_header,
                    "on_header_value": self._add_value,
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._end_headers,
                    "on_part_data": self._add_data,
                    "on_part_end": self._end_part,
                    "on_end": self._end,
                },
            )
        except FormParserError as error:
            raise self._broken() from error
        if not boundary:
            raise self._broken()

    def add(self, piece: bytes) -> None:
        """Take the next piece of the body.

        Raises:
            Problem: it is no form.

        """
        try:
            self._parser.write(piece)
        except FormParserError as error:
            raise self._broken() from error

    def end(self) -> str:
        """Return the file's name, now that all has come.

        Raises:
            Problem: the form is not whole, or has no file.

        """
        if not self._ended:
            raise self._broken()
        if self.name is None:
            raise Problem(400, f"the form has no field `{self._field}`")
        return self.name

    def _begin(self) -> None:
        self._disposition, self._size = b"", 0
        self._parts += 1
        if self._parts > _PARTS:
            raise Problem(400, f"the form has more than {_PARTS} parts; all that counts is the field `{self._field}`")

    def _add_header(self, data: bytes, start: int, end: int) -> None:
        self._count(end - start)
        self._header += data[start:end]

    def _add_value(self, data: bytes, start: int, end: int) -> None:
        self._count(end - start)
        self._value += data[start:end]

    def _count(self, size: int) -> None:
        self._size += size
        if self._size > _HEADERS:
            raise self._broken()

    def _end_header(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header = self._value = b""

    def _end_headers(self) -> None:
        options = parse_options_header(self._disposition)[1]
        self._here = options.get(b"name") == self._field.encode()
        if self._here and self.name is not None:
            raise Problem(400, f"the form has more than one field `{self._field}`; send one film at a time")
        if self._here:
            self.name = options.get(b"filename", b"").decode("utf-8", errors="replace")

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        if self._here:
            self._take(data[start:end])

    def _end_part(self) -> None:
        self._here = False

    def _end(self) -> None:
        self._ended = True

    def _broken(self) -> Problem:
        return Problem(400, f"the form is broken: it should be multipart/form-data with one field `{self._field}`")
