"""Records with their pictures, the faces marked in them, as an answer that is never whole in memory."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from tempfile import SpooledTemporaryFile
from typing import IO, Any, cast

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from mien.drawing import annotated_image
from mien.results import Frame, Result
from mien.serve.disk import Disk
from mien.serve.problems import Problem
from mien.serve.settings import MEGABYTE

_TIMES = 4  # the largest request: so large may the pictures of an answer be, as text
_IN_MEMORY = 1 << 20  # bytes of a picture that are kept there; the rest goes to a file without a name
_PIECE = 3 << 16  # bytes at a time; three become four letters without a remainder
_URL = "data:image/png;base64,"


class Annotated:
    """The annotated pictures of one answer, as PNG, until it is sent."""

    def __init__(self, *, max_body: int, disk: Disk) -> None:
        """Begin with none.

        Args:
            max_body: megabytes of the largest request.
            disk: where there has to be room.

        """
        self._megabytes = _TIMES * max_body
        self._left = self._megabytes * MEGABYTE * 3 // 4
        self._disk = disk
        self._guard = threading.Lock()
        self._held = 0
        self._files = ExitStack()
        self._closed = False

    def draw(self, frame: Frame, result: Result) -> Png:
        """Return a picture with its faces marked; it breaks off when this is closed.

        Raises:
            Problem: the answer grows too large (413), or the server has no room (507).

        """
        png = Png(self)
        annotated_image(frame.pixels, result).save(cast(IO[bytes], png), "PNG", compress_level=3)
        return png

    def open(self) -> IO[bytes]:
        """Return a new file."""
        with self._guard:
            if self._closed:
                raise ClientDisconnect
            return self._files.enter_context(SpooledTemporaryFile(_IN_MEMORY))

    def write(self, file: IO[bytes], data: bytes) -> int:
        """Append to a file.

        Raises:
            Problem: there is too much of it, or no room.

        """
        with self._guard:
            if self._closed:
                raise ClientDisconnect
            self._left -= len(data)
            if self._left < 0:
                raise Problem(
                    413,
                    f"with annotated=png the answer would be over {self._megabytes} MB ({_TIMES} times the server's "
                    "--max-body): send fewer or smaller pictures at a time, or leave annotated away",
                )
            self._disk.hold(len(data))
            self._held += len(data)
            return file.write(data)

    def close(self) -> None:
        """Delete the pictures; one that is still being drawn breaks off."""
        with self._guard:
            self._closed = True
            self._files.close()
            self._disk.release(self._held)
            self._held = 0


class Png:
    """A file that Pillow writes and an answer reads."""

    def __init__(self, of: Annotated) -> None:
        """Make it; `of` is what it belongs to."""
        self._of, self._file = of, of.open()
        self.size = 0

    def write(self, data: bytes) -> int:
        """Append `data`, as Pillow does."""
        self.size += len(data)
        return self._of.write(self._file, data)

    def letters(self) -> Iterator[bytes]:
        """Yield its content as base64."""
        self._file.seek(0)
        while piece := self._file.read(_PIECE):
            yield base64.b64encode(piece)


class AnnotatedResponse(Response):
    """Sends `{"results": [record, …]}`, each record with its picture, piece by piece."""

    media_type = "application/json"

    def __init__(self, records: Sequence[Mapping[str, Any]], pngs: Sequence[Png | None], *, of: Annotated) -> None:
        """Send `records`; those that have one of `pngs` get it as `annotated`. Closes `of` when all is sent."""
        self._parts: list[bytes | Png] = [b'{"results": [']
        for number, (record, png) in enumerate(zip(records, pngs, strict=True)):
            self._parts.append(b"," if number else b"")
            if png is None:
                self._parts.append(_json(record))
            else:  # it is the last member, so that the text ends with its value
                text = _json({**record, "annotated": _URL})
                self._parts += [text[:-2], png, text[-2:]]
        self._parts.append(b"]}")
        length = sum(len(part) if isinstance(part, bytes) else -(-part.size // 3) * 4 for part in self._parts)
        super().__init__(headers={"Content-Length": str(length)})
        self._of = of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        with closing(self._of):
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            for part in self._parts:
                for piece in [part] if isinstance(part, bytes) else part.letters():
                    if piece:
                        await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})


def _json(record: Mapping[str, Any]) -> bytes:
    return json.dumps(record, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
