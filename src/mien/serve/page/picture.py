"""The tab for pictures: one in, its faces with their numbers out."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import gradio as gr
from PIL import Image

from mien.drawing import annotated_image
from mien.errors import MienError
from mien.results import Frame, Result
from mien.serve.page import faces
from mien.serve.page.choices import chosen
from mien.serve.page.outcome import FAILED, Changes, outcome
from mien.serve.page.uploads import Uploads, file_name
from mien.serve.picture_work import PictureWork
from mien.serve.problems import Problem
from mien.sinks import Csv

_SAID = 6
_FILES = ("Annotated picture (PNG)", "Record (JSON)", "Table (CSV)")


def picture_tab(*, pictures: PictureWork, uploads: Uploads, emotions: gr.Radio, model: gr.Radio) -> None:
    """Build the tab."""
    with gr.Row(elem_classes="mien-columns"):
        with gr.Column(scale=1, min_width=300):
            picture = _chooser()
            predict = gr.Button("Make a prediction", variant="primary", size="lg", elem_id="mien-predict")
            _examples(uploads, picture)
        with outcome(
            "mien-picture",
            empty="The faces of your picture appear here, with a number for each expression.",
            files=_FILES,
        ) as shown:
            annotated = gr.Image(
                label="What was found",
                show_label=False,
                interactive=False,
                buttons=["fullscreen"],
                alt_text="Your picture with a box, a label and bars at each face; the same as text follows",
                elem_id="mien-annotated",
            )
            numbers = gr.HTML(elem_id="mien-numbers")

    async def run(payload: object, emotions: object, model: object) -> Changes:
        def only(line: str) -> Changes:
            return {**shown.only(line), annotated: None, numbers: ""}

        if payload is None:
            return only(faces.problem("choose a picture first"))
        try:
            path, name = uploads.uploaded(payload)
            wanted = model if isinstance(model, str) else None
            async with pictures.alone(path, name=name, model=wanted, emotions=chosen(emotions)) as (frame, result):
                if not result.faces:
                    return only(faces.note("Nobody was found in this picture."))
                drawn, cards, files = await pictures.drawn(partial(outputs, uploads), frame, result)
        except Problem as error:
            return only(faces.problem(error.detail))
        except MienError as error:
            return only(faces.problem(str(error)))
        return {**shown.all(found(result), files), annotated: str(drawn), numbers: cards}

    asked = predict.click(
        run,
        inputs=[picture, emotions, model],
        outputs=[shown.status, shown.found, annotated, numbers, *shown.downloads],
        preprocess=False,
        api_visibility="private",
        show_progress="minimal",
        show_progress_on=shown.status,
        concurrency_limit=8,
        trigger_mode="once",
    )
    failed = f"() => {json.dumps(FAILED)}"
    asked.failure(None, js=failed, outputs=[shown.status], api_visibility="private")
    asked.then(None, js=shown.show, api_visibility="private")


def found(result: Result) -> str:
    """Return the line that says whom the picture shows."""
    said = ", ".join(f"{face.emotion} {faces.percent(face.confidence)}" for face in result.faces[:_SAID])
    more = ", …" if len(result.faces) > _SAID else ""
    return faces.note(f"{faces.plural(len(result.faces), 'face')} found: {said}{more}")


def outputs(uploads: Uploads, frame: Frame, result: Result) -> tuple[Path, str, list[Path]]:
    """Return the picture to be shown, the faces as HTML, and the files for download."""
    drawn = annotated_image(frame.pixels, result)
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


def _chooser() -> gr.Image:
    return gr.Image(
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


def _examples(uploads: Uploads, picture: gr.Image) -> None:
    """Build the examples; as pictures, Gradio would tell everybody where on this machine they lie."""
    samples = [[f"<img src='{faces.thumbnail(Image.open(path))}' alt=''>"] for path in uploads.examples]
    examples = gr.Dataset(
        label="Or try an example",
        components=[gr.HTML(render=False)],
        samples=samples,
        type="index",
        layout="gallery",
        elem_id="mien-examples",
    )
    paths = dict(enumerate(map(str, uploads.examples)))
    examples.click(
        lambda number: paths.get(number) if isinstance(number, int) else None,
        inputs=[examples],
        outputs=[picture],
        api_visibility="private",
        show_progress="hidden",
        concurrency_limit=None,
    )
