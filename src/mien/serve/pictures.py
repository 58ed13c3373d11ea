"""POST /v1/analyze: the expressions on the faces of pictures."""

from __future__ import annotations

import asyncio
import base64
import io
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from tempfile import SpooledTemporaryFile
from typing import Annotated, Any, BinaryIO, Literal, TypeVar, cast

from fastapi import APIRouter, Query, Request
from PIL import Image
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response

from mien.drawing import annotate
from mien.errors import SourceError, one_line
from mien.models.session import cores
from mien.results import Frame, Result
from mien.serve.engine import Engine
from mien.serve.guard import seconds_left
from mien.serve.problems import Problem, busy, documented
from mien.serve.schemas import EXAMPLE, Results
from mien.serve.settings import Settings
from mien.sources import read_picture

_FIELD = "files"
_READING = 4  # times the queue: so many bodies may be on their way
_IN_MEMORY = 1 << 20  # bytes of a body that are kept there; the rest goes to a file without a name
_DECODED = 2  # times the largest picture: so many decoded pixels lie about before the next picture is begun

_T = TypeVar("_T")

_HOW = "send pictures as multipart/form-data in the field `files`, or one picture as the body, with its Content-Type"
_BINARY = {"schema": {"type": "string", "format": "binary", "minLength": 1}}
_BODY = {
    "requestBody": {
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
}


@dataclass(frozen=True, slots=True)
class _Asked:
    model: str | None
    emotions: str | None
    annotated: bool


def routes(work: Pictures) -> APIRouter:
    """Return the route."""
    router = APIRouter(prefix="/v1", tags=["pictures"])

    @router.post(
        "/analyze",
        summary="Read the expressions on the faces of pictures",
        response_model=Results,
        responses={
            200: {"content": {"application/json": {"example": {"results": [EXAMPLE]}}}},
            **documented(400, 404, 408, 413, 415, 422, 429, 503, 504),
        },
        openapi_extra=_BODY,
    )
    async def analyze(
        request: Request,
        emotions: Annotated[
            Literal["three", "five", "seven", "eight"] | None,
            Query(description="Renormalise over a set; those without neutral force a choice. Default: all."),
        ] = None,
        model: Annotated[str | None, Query(description="One of /v1/models. Default: the first.")] = None,
        annotated: Annotated[
            Literal["png"] | None, Query(description="Give each picture back with its faces marked.")
        ] = None,
    ) -> Response:
        """Return a record for each picture: the expression that a human rater would most likely name, face by face.

        A picture that cannot be read has an `error` in its record; if none can be read, the answer is 422.
        """
        return await work.answer(request, _Asked(model, emotions, annotated is not None))

    return router


class Pictures:
    """The pictures of all requests on their way from bytes to records.

    What waits is bounded: `settings.queue` pictures, of which few are decoded at a time.
    """

    def __init__(self, engine: Engine, settings: Settings) -> None:
        """Make room for pictures."""
        self._engine, self._settings = engine, settings
        self._pool = ThreadPoolExecutor(cores(), thread_name_prefix="mien-pictures")
        self._turns = asyncio.Semaphore(cores())
        self._reading = 0  # requests whose bodies are being read
        self._coming = 0  # pictures that have come and are not yet in the engine's queue
        self._pixels, self._most_pixels = 0, _DECODED * settings.max_pixels * 1_000_000
        self._freed = asyncio.Event()

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(cancel_futures=True)

    async def answer(self, request: Request, asked: _Asked) -> Response:
        """Answer a request with pictures.

        Raises:
            Problem: it has none, too many, none that can be read, or there is no room or time.

        """
        self._engine.labels(asked.model, asked.emotions)
        if self._waiting >= self._settings.queue or self._reading >= _READING * self._settings.queue:
            raise busy()
        self._reading += 1
        try:
            received = await _receive(request, self._settings.max_pictures)
        finally:
            self._reading -= 1
        with received:
            records = await self._while_wanted(request, self._records(received.pictures, asked))
            request.state.faces = sum(len(record["faces"]) for record in records)
            if all(record["error"] is not None for record in records):
                one = len(records) == 1
                what = records[0]["error"] if one else f"none of the {len(records)} pictures can be read"
                raise Problem(422, what, results=records)
            if asked.annotated:  # these are megabytes
                return await self._in_pool(JSONResponse, {"results": records})
            return JSONResponse({"results": records})

    @property
    def _waiting(self) -> int:
        return self._coming + self._engine.queued

    async def _while_wanted(
        self, request: Request, work: Coroutine[Any, Any, list[dict[str, Any]]]
    ) -> list[dict[str, Any]]:
        """Return what `work` does; for a client that goes away, or when its time is over, nothing more is done."""
        working = asyncio.ensure_future(work)
        gone = asyncio.ensure_future(_gone(request))
        try:
            await asyncio.wait(
                {working, gone}, timeout=seconds_left(request.scope), return_when=asyncio.FIRST_COMPLETED
            )
            if working.done():
                return working.result()
            if gone.done():
                raise ClientDisconnect
            raise Problem(504, f"the answer took more than {self._settings.max_seconds} seconds")
        finally:
            working.cancel()
            gone.cancel()
            await asyncio.wait({working, gone})

    async def _records(self, pictures: Sequence[_Picture], asked: _Asked) -> list[dict[str, Any]]:
        if self._waiting and self._waiting + len(pictures) > self._settings.queue:
            raise busy()
        coming = len(pictures)
        self._coming += coming

        def passed() -> None:
            nonlocal coming
            coming -= 1
            self._coming -= 1

        tasks = [asyncio.ensure_future(self._record(picture, asked, passed)) for picture in pictures]
        try:
            return await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            self._coming -= coming

    async def _record(self, picture: _Picture, asked: _Asked, passed: Callable[[], None]) -> dict[str, Any]:
        pixels = 0
        try:
            async with self._turns:
                while self._pixels >= self._most_pixels:
                    self._freed.clear()
                    await self._freed.wait()
                frame = await self._in_pool(_decoded, picture, self._settings.max_pixels * 1_000_000)
                pixels = frame.width * frame.height
                self._pixels += pixels
            (answer,) = self._engine.submit([frame], model=asked.model, emotions=asked.emotions, promised=True)
            passed()
            result = await asyncio.wrap_future(answer)
            record = result.to_record()
            if asked.annotated:
                record["annotated"] = await self._in_pool(_marked, frame, result)
            return record
        except SourceError as error:
            model = self._engine.analyzer(asked.model).model
            return Result(picture.name, 0, None, None, None, model, error=str(error)).to_record()
        finally:
            self._pixels -= pixels
            self._freed.set()

    def _in_pool(self, work: Callable[..., _T], *arguments: Any) -> asyncio.Future[_T]:
        return asyncio.get_running_loop().run_in_executor(self._pool, work, *arguments)


@dataclass(frozen=True, slots=True, eq=False)
class _Picture:
    name: str
    file: BinaryIO


class _Received(ExitStack):
    """The pictures of a request, whose files are closed with it."""

    def __init__(self) -> None:
        super().__init__()
        self.pictures: list[_Picture] = []

    def add(self, name: str | None, file: BinaryIO) -> None:
        self.callback(file.close)
        self.pictures.append(_Picture(name or "picture", file))


async def _receive(request: Request, most: int) -> _Received:
    """Return the pictures of a request.

    Raises:
        Problem: there are none, or too many, or the body is something else.

    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    received = _Received()
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


async def _receive_form(request: Request, received: _Received, most: int) -> None:
    parser = MultiPartParser(request.headers, request.stream(), max_files=most, max_fields=0)
    try:
        form = await parser.parse()
    except MultiPartException as error:
        # the parser's messages on limits name numbers only
        if "Too many files" in error.message:
            raise Problem(413, f"these are more than {most} pictures (--max-pictures)") from error
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


async def _gone(request: Request) -> None:
    """Return when the client has gone away; its body has been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _decoded(picture: _Picture, max_pixels: int) -> Frame:
    return read_picture(picture.file.read(), name=picture.name, max_pixels=max_pixels)


def _marked(frame: Frame, result: Result) -> str:
    file = io.BytesIO()
    Image.fromarray(annotate(frame.pixels, result)).save(file, "PNG", compress_level=3)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")
