"""The tab for films: one in; as it is analysed, how far; then the film with its faces, a chart and a summary."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import gradio as gr

from mien.emotions import Emotion
from mien.serve.jobs import FilmJobs, Job
from mien.serve.page import faces
from mien.serve.page.choices import chosen
from mien.serve.page.film_run import FilmRuns
from mien.serve.page.outcome import FAILED, Changes, Outcome, outcome
from mien.serve.page.uploads import Uploads, file_name
from mien.serve.problems import Problem, stopping
from mien.serve.stop import Stop
from mien.timeline.summary import clock, duration

_FILES = {
    "results": ("Records (JSON Lines)", ".jsonl"),
    "csv": ("Table (CSV)", ".csv"),
    "annotated": ("Annotated film (MP4)", "-annotated.mp4"),
    "timeline": ("Timeline (PNG)", "-timeline.png"),
}
_CANCELLED = faces.note("Cancelled: nothing of the film is kept.")
_EVERY = 0.3
_PERSONS = 30
_BEGIN = """() => {
  window.mienFilm = Array.from(crypto.getRandomValues(new Uint32Array(4)), (part) => part.toString(36)).join("-");
  window.mienShow?.("mien-film-status");
  const update = (change) => ({ __type__: "update", ...change });
  return [%s, update({ interactive: false }), update({ visible: true })];
}"""

_FAILED = """() => {
  const update = (change) => ({ __type__: "update", ...change });
  return [%s, update({ interactive: true }), update({ visible: false })];
}"""


def film_tab(*, jobs: FilmJobs, uploads: Uploads, stop: Stop, emotions: gr.Radio, model: gr.Radio) -> None:
    """Build the tab."""
    with gr.Row(elem_classes="mien-columns"):
        tab = _Tab.build()

    runs = FilmRuns(jobs)

    async def run(payload: object, emotions: object, model: object, token: object) -> AsyncIterator[Changes]:
        token = str(token)
        film = runs.begin(token)
        try:
            if payload is None:
                raise Problem(400, "choose a film first")
            path, name = uploads.uploaded(payload)
            if film.is_off:  # its visitor knows, and may have asked for another already
                yield {tab.shown.status: gr.skip()}
                return
            yield tab.busy(progress(None))
            wanted = model if isinstance(model, str) else None
            job = await film.start(path, name=name, model=wanted, emotions=chosen(emotions))
            while job is not None and not film.is_off and not job.wait(0):
                if stop.begun.is_set():
                    raise stopping(films=True)
                yield {tab.shown.status: progress(job)}
                await asyncio.sleep(_EVERY)
            if job is None or film.is_off:  # and then who called it off says so
                yield {tab.shown.status: gr.skip()}  # the last line is told again in the end, and may come after that
                return
            if job.cancelled:
                yield tab.idle(_CANCELLED)
            elif job.results is None or not job.summary:
                yield tab.idle(faces.problem(job.error) if job.error else faces.note("Nobody was seen in this film."))
            else:
                yield tab.done(job, await asyncio.to_thread(_offer, job, uploads))
        except Problem as error:
            yield tab.idle(faces.problem(error.detail))
        finally:  # also where the visitor has left: whatever was to be kept has been put among the downloads
            runs.end(token, film)

    async def call_off(token: object) -> Changes:
        film = await asyncio.to_thread(runs.call_off, str(token))
        if film is not None:
            await film.ended()
        return tab.idle(_CANCELLED)

    tab.wire(run, call_off, emotions=emotions, model=model)


@dataclass(frozen=True, slots=True, eq=False)
class _Tab:
    """What changes in the tab; `token` stands for what is asked for, and is made up by the browser."""

    film: gr.Video
    predict: gr.Button
    cancel: gr.Button
    token: gr.Textbox
    shown: Outcome
    annotated: gr.Video
    timeline: gr.Image
    summary: gr.HTML

    @classmethod
    def build(cls) -> _Tab:
        with gr.Column(scale=1, min_width=300):
            film = gr.Video(label="Film", sources=["upload"], height=340, buttons=[], elem_id="mien-film")
            predict = gr.Button("Make a prediction", variant="primary", size="lg", elem_id="mien-film-predict")
            cancel = gr.Button("Cancel", variant="stop", visible=False, elem_id="mien-film-cancel")
        empty = "The film with its faces, a chart over time and a summary for each person appear here."
        with outcome("mien-film", empty=empty, files=[words for words, _ in _FILES.values()]) as shown:
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
        return cls(film, predict, cancel, gr.Textbox(visible=False), shown, annotated, timeline, summary)

    def wire(
        self, run: Callable[..., object], call_off: Callable[..., object], *, emotions: gr.Radio, model: gr.Radio
    ) -> None:
        """Let the buttons do what they say; Gradio waits for an upload before it sends what needs the film."""
        self.predict.click(
            None,
            js=_BEGIN % json.dumps(_bar("The film is on its way…")),
            outputs=[self.shown.status, self.predict, self.cancel],
            api_visibility="private",
        )
        outputs: list[Any] = [self.shown.status, self.shown.found, *self.shown.downloads]
        outputs += [self.predict, self.cancel, self.annotated, self.timeline, self.summary]
        asked = self.predict.click(
            run,
            js="(film, emotions, model) => [film, emotions, model, window.mienFilm]",
            inputs=[self.film, emotions, model, self.token],
            outputs=outputs,
            preprocess=False,
            api_visibility="private",
            show_progress="hidden",
            concurrency_limit=None,  # how many films there may be, the jobs say, and at once
            trigger_mode="multiple",
        )
        asked.failure(  # of whatever else goes wrong, `run` tells
            None,
            js=_FAILED % json.dumps(FAILED),
            outputs=[self.shown.status, self.predict, self.cancel],
            api_visibility="private",
        )
        self.cancel.click(
            call_off,
            js="() => [window.mienFilm]",
            inputs=[self.token],
            outputs=outputs,
            preprocess=False,
            api_visibility="private",
            show_progress="hidden",
            concurrency_limit=None,
        )

    def busy(self, line: str) -> Changes:
        return {**self._only(line), **self._buttons(running=True)}

    def idle(self, line: str) -> Changes:
        return {**self._only(line), **self._buttons(running=False)}

    def done(self, job: Job, files: Mapping[str, str | None]) -> Changes:
        line = faces.note(finished(job)) if job.error is None else faces.problem(job.error)
        return {
            **self.shown.all(line, list(files.values())),
            **self._buttons(running=False),
            self.annotated: gr.update(value=files["annotated"], visible=files["annotated"] is not None),
            self.timeline: gr.update(value=files["timeline"], visible=files["timeline"] is not None),
            self.summary: persons(job.summary or ()),
        }

    def _only(self, line: str) -> Changes:
        return {**self.shown.only(line), self.annotated: None, self.timeline: None, self.summary: ""}

    def _buttons(self, *, running: bool) -> Changes:
        return {self.predict: gr.update(interactive=not running), self.cancel: gr.update(visible=running)}


def progress(job: Job | None) -> str:
    """Return how far a film is, as a bar and in words."""
    if job is None or job.state == "queued":
        return _bar("Looking at the film…" if job is None else "Waiting for the films before it…")
    text = f"{faces.plural(job.frames, 'frame')} analysed"
    return _bar(text if job.progress is None else f"{faces.percent(job.progress, 0)}, {text}", job.progress)


def _bar(text: str, share: float | None = None) -> str:
    value = "" if share is None else f" value='{share:.4f}'"
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
    words = ", ".join(f"{emotion} {faces.percent(share, 0)}" for emotion, share in shares.items() if share >= 0.005)
    name = "–" if person["track"] is None else str(person["track"])
    return (
        f"<tr><th scope='row'>{escape(name)}</th><td>{duration(seconds)}</td>"
        f"<td>{clock(person['first'], 1)} – {clock(person['last'], 1)}</td>"
        f"<td><div class='mien-strip' aria-hidden='true'>{strip}</div>{words}</td></tr>"
    )


def _offer(job: Job, uploads: Uploads) -> dict[str, str | None]:
    """Put what came of a film among the downloads; None stands for what could not be made."""
    made = {kind: (getattr(job, kind), ending) for kind, (_, ending) in _FILES.items()}
    return {
        kind: None if path is None else str(uploads.offered(path, file_name(job.name, ending)))
        for kind, (path, ending) in made.items()
    }
