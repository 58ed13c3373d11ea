"""POST /v1/analyze: the expressions on the faces of pictures."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Annotated as Described
from typing import Any, Literal

from fastapi import APIRouter, Query, Request
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response

from mien.errors import SourceError
from mien.results import Result
from mien.serve.admission import Places
from mien.serve.annotated import Annotated, AnnotatedResponse, Png
from mien.serve.engine import Engine
from mien.serve.guard import seconds_left
from mien.serve.picture_body import BODY, Picture, receive
from mien.serve.picture_work import PictureWork
from mien.serve.problems import Problem, documented
from mien.serve.schemas import EXAMPLE, Emotions, ModelName, Results
from mien.serve.settings import Settings


def routes(pictures: PictureWork, engine: Engine, settings: Settings) -> APIRouter:
    """Return the route."""
    router = APIRouter(prefix="/v1", tags=["pictures"])

    @router.post(
        "/analyze",
        summary="Read the expressions on the faces of pictures",
        response_model=Results,
        responses={
            200: {"content": {"application/json": {"example": {"results": [EXAMPLE]}}}},
            **documented(400, 404, 408, 413, 415, 422, 429, 503, 504, 507),
        },
        openapi_extra={"requestBody": BODY},
    )
    async def analyze(
        request: Request,
        emotions: Emotions = None,
        model: ModelName = None,
        annotated: Described[
            Literal["png"] | None, Query(description="Give each picture back with its faces marked.")
        ] = None,
    ) -> Response:
        """Return a record for each picture: the expression that a human rater would most likely name, face by face.

        A picture that cannot be read has an `error` in its record; if none can be read, the answer is 422.
        """
        engine.labels(model, emotions)
        with pictures.admission.body():
            received = await receive(request, most=settings.max_pictures)
        with received:
            drawn = Annotated(max_body=settings.max_body, disk=pictures.disk) if annotated else None
            work = _Work(pictures, engine, model, emotions, drawn)
            try:
                records, pngs = await _while_wanted(request, work.records(received.pictures), settings.max_seconds)
                request.state.faces = sum(len(record["faces"]) for record in records)
                if all(record["error"] is not None for record in records):
                    one = len(records) == 1
                    what = records[0]["error"] if one else f"none of the {len(records)} pictures can be read"
                    raise Problem(422, what, results=records)
                if drawn is not None:
                    return AnnotatedResponse(records, pngs, of=drawn)
            except BaseException:
                if drawn is not None:
                    drawn.close()
                raise
            return JSONResponse({"results": records})

    return router


@dataclass(frozen=True, slots=True)
class _Work:
    """What is done with the pictures of one request."""

    pictures: PictureWork
    engine: Engine
    model: str | None
    emotions: str | None
    drawn: Annotated | None

    async def records(self, pictures: Sequence[Picture]) -> tuple[list[dict[str, Any]], list[Png | None]]:
        """Return a record and, where it is asked for, the annotated picture of each.

        Raises:
            Problem: there is no room for so many.

        """
        one = asyncio.Lock()
        with self.pictures.admission.places(len(pictures)) as places:
            tasks = [asyncio.ensure_future(self._record(picture, places, one)) for picture in pictures]
            try:
                done = await asyncio.gather(*tasks)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)
        return [record for record, _ in done], [png for _, png in done]

    async def _record(self, picture: Picture, places: Places, one: asyncio.Lock) -> tuple[dict[str, Any], Png | None]:
        try:
            async with self.pictures.analysed(
                picture.file.read, name=picture.name, model=self.model, emotions=self.emotions, places=places
            ) as (frame, result):
                if self.drawn is None:
                    return result.to_record(), None
                async with one:
                    return result.to_record(), await self.pictures.drawn(self.drawn.draw, frame, result)
        except SourceError as error:
            model = self.engine.analyzer(self.model).model
            return Result(picture.name, 0, None, None, None, model, error=str(error)).to_record(), None


async def _while_wanted(
    request: Request,
    work: Coroutine[Any, Any, tuple[list[dict[str, Any]], list[Png | None]]],
    seconds: int,
) -> tuple[list[dict[str, Any]], list[Png | None]]:
    """Return what `work` does; for a client that goes away, or when its time is over, nothing more is done."""
    working = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({working, gone}, timeout=seconds_left(request.scope), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        if gone.done():
            raise ClientDisconnect
        raise Problem(504, f"the answer took more than {seconds} seconds")
    finally:
        working.cancel()
        gone.cancel()
        await asyncio.wait({working, gone})


async def _gone(request: Request) -> None:
    """Return when the client has gone away; its body has been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
