"""The body of a request → its pictures, not decoded yet: a form with files, or one picture as it is."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from tempfile import SpooledTemporaryFile
from typing import Any, BinaryIO, cast

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from mien.errors import one_line
from mien.serve.problems import Problem

_FIELD = "files"
_IN_MEMORY = 1 << 20  # bytes of a body that are kept there; the rest goes to a file without a name

_HOW = "send pictures as multipart/form-data in the field `files`, or one picture as the body, with its Content-Type"
_BINARY = {"schema": {"type": "string", "format": "binary", "minLength": 1}}
BODY: dict[str, Any] = {
    "required": True,
    "description": "JPEG, PNG, WebP, GIF, TIFF, BMP, AVIF: as a form with one or more files, or one as it is. Of "
    "a picture that moves, the first frame counts.",
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "properties": {
                    _FIELD: {
                        "type": "array",
                        "minItems": 1,
                        "items": {"type": "string", "format": "binary"},
                    }
                },
                "required": [_FIELD],
                "additionalProperties": False,
            }
        },
        **dict.fromkeys(("image/jpeg", "image/png", "image/webp", "application/octet-stream"), _BINARY),
    },
}
"""What OpenAPI says of such a body."""


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A picture as it came.

    Attributes:
        name: as the client calls it.
        file: stands at its beginning.

    """

    name: str
    file: BinaryIO


class Received(ExitStack):
    """The pictures of a request, whose files are closed with it."""

    def __init__(self) -> None:
        super().__init__()
        self.pictures: list[Picture] = []

    def add(self, name: str | None, file: BinaryIO) -> None:
        """Take a picture over."""
        self.callback(file.close)
        self.pictures.append(Picture(name or "picture", file))


async def receive(request: Request, *, most: int) -> Received:
    """Return the pictures of a request.

    Args:
        request: the request.
        most: how many there may be.

    Raises:
        Problem: there are none, or too many, or the body is something else.
        ClientDisconnect: the client has gone away.

    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    received = Received()
    try:
        if kind == "multipart/form-data":
            await _receive_form(request, received, most)
        elif kind.startswith("image/") or kind == "application/octet-stream":
            file = SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115  # `received` closes it
            received.add(None, cast(BinaryIO, file))
            async for chunk in request.stream():
                file.write(chunk)
            if not file.tell():
                raise Problem(422, f"the body is empty; {_HOW}")
            file.seek(0)
        else:
            what = f"{one_line(kind[:80])} is not taken here" if kind else "the Content-Type is missing"
            raise Problem(415, f"{what}; {_HOW}")
    except BaseException:
        received.close()
        raise
    return received


async def _receive_form(request: Request, received: Received, most: int) -> None:
    parser = MultiPartParser(request.headers, request.stream(), max_files=most, max_fields=0)
    try:
        form = await parser.parse()
    except MultiPartException as error:
        # the parser's messages on limits name numbers only
        if "Too many files" in error.message:
            raise Problem(413, f"these are more than {most} pictures (the server's --max-pictures)") from error
        if "Too many fields" in error.message:
            raise Problem(422, f"a form has only files, with file names; {_HOW}") from error
        raise Problem(400, f"the form cannot be read ({error.message})") from error
    files = [(field, value) for field, value in form.multi_items() if isinstance(value, UploadFile)]
    for _, value in files:
        received.add(value.filename, value.file)
    if strange := next((field for field, _ in files if field != _FIELD), None):
        raise Problem(422, f"there is no field {one_line(strange[:80])}; {_HOW}")
    if not files:
        raise Problem(422, f"there is no picture; {_HOW}")
