"""The tab for pictures: one in, its faces with their numbers out."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from mien.drawing import annotate
from mien.errors import MienError
from mien.results import Frame, Result
from mien.serve.engine import Engine
from mien.serve.page import faces
from mien.serve.page.choices import chosen
from mien.serve.page.uploads import Uploads, file_name
from mien.serve.problems import Problem
from mien.serve.settings import Settings
from mien.sinks import Csv
from mien.sources import read_picture

SHOW = "() => window.mienShow?.('{}')"
"""JavaScript that brings an element into view, which on a phone it is not."""


def picture_tab(*, engine: Engine, settings: Settings, uploads: Uploads, emotions: gr.Radio, model: gr.Radio) -> None:
    """Build the tab."""
    with gr.Row(elem_classes="mien-columns"):
        with gr.Column(scale=1, min_width=300):
            picture = gr.Image(
                label="Picture",
                sources=["upload", "clipboard", "webcam"],
                type="filepath",
                image_mode=None,
                height=340,
                buttons=["fullscreen"],
                placeholder="Drop a picture here, or choose one",
                alt_text="The picture to be analysed",
                elem_id="mien-picture",
            )
            predict = gr.Button("Make a prediction", variant="primary", size="lg", elem_id="mien-predict")
            examples = gr.Dataset(
                label="Or try an example",
                components=[picture],
                samples=[[str(path)] for path in uploads.examples],
                type="index",
                elem_id="mien-examples",
            )
        with gr.Column(scale=2, min_width=300):
            status = gr.HTML(
                faces.empty("The faces of your picture appear here, with a number for each expression."),
                elem_id="mien-picture-status",
                elem_classes="mien-live",
            )
            with gr.Column(visible=False, elem_id="mien-picture-result") as outcome:
                annotated = gr.Image(
                    label="What was found",
                    show_label=False,
                    interactive=False,
                    buttons=["fullscreen"],
                    alt_text="Your picture with a box, a label and bars at each face; the same as text follows",
                    elem_id="mien-annotated",
                )
                numbers = gr.HTML(elem_id="mien-numbers")
                with gr.Row(elem_classes="mien-downloads"):
                    downloads = [
                        gr.DownloadButton(text, size="sm", min_width=120)
                        for text in ("Annotated picture (PNG)", "Record (JSON)", "Table (CSV)")
                    ]

    examples.click(
        lambda number: str(uploads.examples[number]),
        inputs=[examples],
        outputs=[picture],
        api_visibility="private",
        show_progress="hidden",
        concurrency_limit=None,
    )

    async def run(payload: object, emotions: object, model: object) -> list[Any]:
        hidden = [gr.update(visible=False), None, "", *[None] * len(downloads)]
        if payload is None:
            return [faces.problem("choose a picture first"), *hidden]
        try:
            path, name = uploads.uploaded(payload)
            frame, result = await analysed(path, name, emotions, model, engine=engine, settings=settings)
            if not result.faces:
                return [faces.note("Nobody was found in this picture."), *hidden]
            shown, cards, files = await asyncio.to_thread(outputs, frame, result, uploads)
        except Problem as error:
            return [faces.problem(error.detail), *hidden]
        except MienError as error:
            return [faces.problem(str(error)), *hidden]
        said = ", ".join(f"{face.emotion} {faces.percent(face.confidence)}" for face in result.faces[:6])
        found = faces.note(f"{faces.plural(len(result.faces), 'face')} found: {said}")
        return [found, gr.update(visible=True), str(shown), cards, *map(str, files)]

    predict.click(
        run,
        inputs=[picture, emotions, model],
        outputs=[status, outcome, annotated, numbers, *downloads],
        preprocess=False,
        api_visibility="private",
        show_progress="minimal",
        show_progress_on=status,
        concurrency_limit=8,
        trigger_mode="once",
    ).then(None, js=SHOW.format("mien-picture-status"), api_visibility="private")


async def analysed(
    path: Path, name: str, emotions: object, model: object, *, engine: Engine, settings: Settings
) -> tuple[Frame, Result]:
    """Read a picture and analyse it.

    Raises:
        SourceError: it cannot be read.
        Problem: the server is busy or stopping, took too long, or lacks what was chosen.

    """
    pixels = settings.max_pixels * 1_000_000
    if path.stat().st_size > settings.max_body << 20:
        raise Problem(413, f"the picture is larger than the {settings.max_body} MB that are allowed")
    try:
        async with asyncio.timeout(settings.max_seconds):
            frame = await asyncio.to_thread(read_picture, path, name=name, max_pixels=pixels)
            wanted = model if isinstance(model, str) else None
            (answer,) = engine.submit([frame], model=wanted, emotions=chosen(emotions))
            return frame, await asyncio.wrap_future(answer)
    except TimeoutError as error:
        raise Problem(503, f"it took longer than {settings.max_seconds} seconds; try a smaller picture") from error


def outputs(frame: Frame, result: Result, uploads: Uploads) -> tuple[Path, str, list[Path]]:
    """Return the picture to be shown, the faces as HTML, and the files for download."""
    drawn = Image.fromarray(annotate(frame.pixels, result))
    png = uploads.file(file_name(result.source, "-annotated.png"))
    drawn.save(png, "PNG", compress_level=1)
    shown = png
    if drawn.width * drawn.height > 2_000_000:  # a photo from a phone would take long to reach the phone again
        drawn.thumbnail((1600, 1600))
        shown = uploads.file(file_name(result.source, "-annotated.jpg"))
        drawn.save(shown, "JPEG", quality=88)
    record = uploads.file(file_name(result.source, ".json"))
    record.write_text(json.dumps(result.to_record(), indent=2) + "\n", encoding="utf-8")
    rows = uploads.file(file_name(result.source, ".csv"))
    form = Csv(list(result.faces[0].scores))
    rows.write_text(form.head() + form.text(result), encoding="utf-8", newline="")
    return shown, faces.cards(result, frame.pixels) + faces.table(result), [png, record, rows]
