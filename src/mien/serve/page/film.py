"""The tab for films: one in; as it is analysed, how far; then the film with its faces, a chart and a summary."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from mien.emotions import Emotion
from mien.serve.jobs import FilmJobs, Job
from mien.serve.page import faces
from mien.serve.page.choices import chosen
from mien.serve.page.picture import SHOW
from mien.serve.page.uploads import Uploads, file_name
from mien.serve.problems import Problem
from mien.timeline.summary import clock, duration

_ENDINGS = {"results": ".jsonl", "csv": ".csv", "annotated": "-annotated.mp4", "timeline": "-timeline.png"}
_LABELS = ("Records (JSON Lines)", "Table (CSV)", "Annotated film (MP4)", "Timeline (PNG)")
_EVERY = 0.3
_PERSONS = 30


def film_tab(*, jobs: FilmJobs, most: int, uploads: Uploads, emotions: gr.Radio, model: gr.Radio) -> None:
    """Build the tab; `most` films are worked on or kept."""
    with gr.Row(elem_classes="mien-columns"):
        with gr.Column(scale=1, min_width=300):
            film = gr.Video(
                label="Film",
                sources=["upload"],
                height=300,
                buttons=[],
                elem_id="mien-film",
            )
            predict = gr.Button("Make a prediction", variant="primary", size="lg", elem_id="mien-film-predict")
            cancel = gr.Button("Cancel", variant="stop", visible=False, elem_id="mien-film-cancel")
        with gr.Column(scale=2, min_width=300):
            status = gr.HTML(
                faces.empty("The film with its faces, a chart over time and a summary for each person appear here."),
                elem_id="mien-film-status",
                elem_classes="mien-live",
            )
            with gr.Column(visible=False, elem_id="mien-film-result") as outcome:
                annotated = gr.Video(
                    label="What was found",
                    show_label=False,
                    interactive=False,
                    buttons=[],
                    elem_id="mien-film-annotated",
                )
                timeline = gr.Image(
                    label="Over time",
                    show_label=False,
                    interactive=False,
                    buttons=["fullscreen"],
                    alt_text="Chart of the likeliest expression of each person over time; a table follows",
                    elem_id="mien-timeline",
                )
                summary = gr.HTML(elem_id="mien-summary")
                with gr.Row(elem_classes="mien-downloads"):
                    downloads = [gr.DownloadButton(text, size="sm", min_width=120) for text in _LABELS]
    current = gr.State("")

    async def run(payload: object, emotions: object, model: object) -> AsyncIterator[list[Any]]:
        hidden = [gr.update(visible=False), None, None, "", *[gr.update(value=None, visible=False)] * len(downloads)]

        def only(line: str, identity: str = "") -> list[Any]:
            running = bool(identity)
            return [line, gr.update(interactive=not running), gr.update(visible=running), identity, *hidden]

        def told(line: str) -> list[Any]:
            return [line, *[gr.skip()] * (3 + len(hidden))]

        if payload is None:
            yield only(faces.problem("choose a film first"))
            return
        job = None
        try:
            path, name = uploads.uploaded(payload)
            yield only(progress(None), "starting")
            job = await asyncio.to_thread(
                jobs.start,
                await asyncio.to_thread(_own_copy, path, jobs),
                name=name,
                model=model if isinstance(model, str) else None,
                emotions=chosen(emotions),
            )
            yield only(progress(job), job.id)
            while not job.wait(0):
                await asyncio.sleep(_EVERY)
                yield told(progress(job))
            if job.state == "cancelled":
                yield only(faces.note("Cancelled: nothing of the film is kept."))
                return
            line = faces.problem(job.error) if job.error is not None else faces.note(finished(job))
            if job.results is None or not job.summary:
                yield only(line if job.error else faces.note("Nobody was seen in this film."))
                return
            files = await asyncio.to_thread(_offer, job, uploads)
            yield [
                line,
                gr.update(interactive=True),
                gr.update(visible=False),
                "",
                gr.update(visible=True),
                gr.update(value=files["annotated"], visible=files["annotated"] is not None),
                gr.update(value=files["timeline"], visible=files["timeline"] is not None),
                persons(job.summary),
                *[gr.update(value=files[kind], visible=files[kind] is not None) for kind in _ENDINGS],
            ]
        except Problem as error:
            yield only(faces.problem(error.detail))
        finally:  # also where the visitor has left: whatever was to be kept has been put among the downloads
            if job is not None:
                _let_go(jobs, job.id)

    async def stop(identity: str) -> None:
        await asyncio.to_thread(_let_go, jobs, identity)

    predict.click(None, js=SHOW.format("mien-film-status"), api_visibility="private")
    predict.click(
        run,
        inputs=[film, emotions, model],
        outputs=[status, predict, cancel, current, outcome, annotated, timeline, summary, *downloads],
        preprocess=False,
        api_visibility="private",
        show_progress="hidden",
        concurrency_limit=most,
        trigger_mode="once",
    )
    cancel.click(
        stop, inputs=[current], api_visibility="private", show_progress="hidden", concurrency_limit=None, queue=True
    )


def progress(job: Job | None) -> str:
    """Return how far a film is, as a bar and in words."""
    if job is None or job.state == "queued":
        value, text = "", "Looking at the film…" if job is None else "Waiting for the films before it…"
    else:
        share = job.progress
        value = "" if share is None else f" value='{share:.4f}'"
        text = ("" if share is None else f"{share:.0%}, ") + f"{faces.plural(job.frames, 'frame')} analysed"
    bar = f"<progress aria-label='Progress'{value}></progress>"
    return f"<div class='mien-progress' aria-live='off'>{bar}<span>{text}</span></div>"


def finished(job: Job) -> str:
    """Return what is said of a film that is done."""
    persons = len(job.summary or ())
    return f"{faces.plural(persons, 'person', 'persons')} seen in {faces.plural(job.frames, 'frame')}."


def persons(summary: Sequence[Mapping[str, Any]]) -> str:
    """Return a table with a row a person: when and how long they were seen, and how long with which expression."""
    ranked = sorted(summary, key=lambda person: -person["seconds"])[:_PERSONS]
    rows = "".join(_row(person) for person in sorted(ranked, key=lambda person: summary.index(person)))
    rest = len(summary) - len(ranked)
    more = f"<p>And {rest} more, seen more briefly: they are in the downloads.</p>" if rest else ""
    return (
        "<div class='mien-scroll' tabindex='0' role='region' aria-label='Summary'>"
        "<table class='mien-table mien-persons'>"
        "<caption>Each person, and how much of the time which expression was the likeliest</caption>"
        "<thead><tr><th scope='col'>person</th><th scope='col'>seen</th><th scope='col'>from – to</th>"
        f"<th scope='col'>expressions</th></tr></thead><tbody>{rows}</tbody></table></div>{more}"
    )


def _row(person: Mapping[str, Any]) -> str:
    seconds = person["seconds"]
    shares = {Emotion(name): time / seconds if seconds else 0.0 for name, time in person["emotions"].items()}
    strip = "".join(
        f"<span style='width:{100 * share:.2f}%;background:{faces.colour(emotion)}'></span>"
        for emotion, share in shares.items()
    )
    words = ", ".join(f"{emotion} {share:.0%}" for emotion, share in shares.items() if share >= 0.005)
    name = "–" if person["track"] is None else str(person["track"])
    return (
        f"<tr><th scope='row'>{escape(name)}</th><td>{duration(seconds)}</td>"
        f"<td>{clock(person['first'], 1)} – {clock(person['last'], 1)}</td>"
        f"<td><div class='mien-strip' aria-hidden='true'>{strip}</div>{words}</td></tr>"
    )


def _own_copy(path: Path, jobs: FilmJobs) -> Path:
    """Return a file for the job to cut short and delete, so that the film can be analysed again.

    It lies with the jobs' own files: those of the page are deleted after a while, and the film may have to wait.
    """
    own = jobs.storage.file(path.suffix)
    shutil.copyfile(path, own)
    return own


def _offer(job: Job, uploads: Uploads) -> dict[str, str | None]:
    made = {kind: getattr(job, kind) for kind in _ENDINGS}
    return {
        kind: None if path is None else str(uploads.offered(path, file_name(job.name, _ENDINGS[kind])))
        for kind, path in made.items()
    }


def _let_go(jobs: FilmJobs, identity: str) -> None:
    try:
        jobs.cancel(identity)
    except Problem:  # it has gone already
        return
