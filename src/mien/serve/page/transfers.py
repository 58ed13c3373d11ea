"""The page's files on their way up, and down again.

Gradio has routes of its own for that. These stand in their place: an upload is one file, of which nothing stays when
it breaks off, and whose path nobody can guess from what is in it; a download tells nothing of its request.
"""

from __future__ import annotations

import asyncio
import json
import mimetypes
import re
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from python_multipart.multipart import parse_options_header
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse

from mien.serve.film_body import Form, Writer
from mien.serve.page.uploads import Uploads
from mien.serve.problems import Problem

_FIELD = "files"
_LOOKS, _EVERY = 30, 0.1  # for an upload that is still to begin, and the seconds between looks at how far it is
_MOST, _REMEMBERED = 256, 10.0  # uploads whose progress is told, and the seconds for which it is once they have ended
_LONGEST = 100  # characters of a file's name
# what browsers show and do not run; all else is saved
_SHOWN = ("image/jpeg", "image/png", "image/webp", "image/gif", "video/mp4", "video/webm", "video/quicktime")


@dataclass(slots=True, eq=False)
class _Progress:
    name: str | None = None
    came: int = 0
    ended: bool = False


class Transfers:
    """Takes files up, tells how far each is, and hands them down."""

    def __init__(self, uploads: Uploads) -> None:
        """Keep them in the folder of `uploads`."""
        self._uploads = uploads
        self._under_way: dict[str, _Progress] = {}

    async def up(self, request: Request) -> Response:
        """Take the file of a form and answer with its path, in a list, as Gradio's part in the browser awaits it.

        Raises:
            Problem: the body is not such a form (400).
            ClientDisconnect: the client has gone away.

        """
        media_type, options = parse_options_header(request.headers.get("content-type"))
        if media_type != b"multipart/form-data":
            raise Problem(400, f"the page sends files as multipart/form-data, in the field `{_FIELD}`")
        identity, progress = request.query_params.get("upload_id", "")[:_LONGEST], _Progress()
        if identity and len(self._under_way) < _MOST:
            self._under_way[identity] = progress
        path = self._uploads.file("upload")
        try:
            with await asyncio.to_thread(path.open, "wb") as file:
                writer = Writer(file)
                form = Form(options.get(b"boundary", b""), writer.add, field=_FIELD)
                async for piece in request.stream():
                    form.add(piece)
                    progress.name, progress.came = form.name, writer.written
                    await writer.flush()
                name = form.end()
                await writer.flush(last=True)
            path = path.rename(path.with_name(_clean(name)))
        except BaseException:
            shutil.rmtree(path.parent, ignore_errors=True)
            raise
        finally:
            progress.ended = True
            asyncio.get_running_loop().call_later(_REMEMBERED, self._forget, identity, progress)
        return JSONResponse([str(path)])

    def _forget(self, identity: str, progress: _Progress) -> None:
        if self._under_way.get(identity) is progress:
            del self._under_way[identity]

    async def how_far(self, request: Request) -> Response:
        """Answer with events that tell how far an upload is.

        Raises:
            Problem: there is no such upload (404).

        """
        identity = request.query_params.get("upload_id", "")[:_LONGEST]
        for _ in range(_LOOKS):
            if (progress := self._under_way.get(identity)) is not None:
                return StreamingResponse(_events(progress), media_type="text/event-stream")
            await asyncio.sleep(_EVERY)
        raise Problem(404, "there is no such upload; it may be done")

    def down(self, path: str) -> Response:
        """Answer with a file.

        Raises:
            Problem: it is not one of ours, or no longer kept (403: what else there is, nobody learns).

        """
        if not self._uploads.holds(path) or not Path(path).is_file():
            raise Problem(403, "there is no such file here")
        kind = mimetypes.guess_type(path)[0]
        shown = kind in _SHOWN
        return FileResponse(
            path,
            media_type=kind if shown else "application/octet-stream",
            filename=Path(path).name,
            content_disposition_type="inline" if shown else "attachment",
        )


async def _events(progress: _Progress) -> AsyncIterator[str]:
    told = 0
    while not progress.ended:
        if progress.name is not None and progress.came > told:
            news = {"msg": "update", "orig_name": progress.name, "chunk_size": progress.came - told}
            told = progress.came
            yield f"data: {json.dumps(news)}\n\n"
        await asyncio.sleep(_EVERY)
    yield f"data: {json.dumps({'msg': 'done'})}\n\n"


def _clean(name: str) -> str:
    """Return a name for a file on disk that ends as the client's does."""
    return re.sub(r"[^\w.-]+", "-", name, flags=re.ASCII)[-_LONGEST:].lstrip(".-") or "file"
