"""The page: what is said at its head and foot, the choices for all tabs, and the tabs."""

from __future__ import annotations

import logging
from typing import Any

import gradio as gr
from pydantic import ValidationError

from mien.serve.engine import Engine
from mien.serve.jobs import FilmJobs
from mien.serve.page.choices import ALL, emotion_choices, emotion_info
from mien.serve.page.film import film_tab
from mien.serve.page.picture import picture_tab
from mien.serve.page.uploads import Uploads
from mien.serve.page.webcam import webcam_tab
from mien.serve.picture_work import PictureWork
from mien.serve.settings import Settings
from mien.serve.stop import Stop

TITLE = "mien: facial expressions"

_HEAD = """
<header class="mien-head">
  <svg viewBox="0 0 64 64" aria-hidden="true" fill="none" stroke="white" stroke-width="3.6" stroke-linecap="round">
    <rect x="2" y="2" width="60" height="60" rx="13" fill="#0f766e" stroke="none"/>
    <path d="M14 25V14h11M39 14h11v11M14 39v11h11M39 50h11V39M24 38c2 6 14 6 16 0"/>
    <path d="M25 27v.01M39 27v.01" stroke-width="6"/>
  </svg>
  <h1>mien</h1>
  <p>Reads the expression on faces. The numbers say which expression a human rater would most likely name, not what
  a person feels.</p>
</header>
"""

_NOTICE = """
<section class="mien-foot" aria-label="Notice">
  <p><strong>This is an emotion recognition system.</strong> Under Article 50(3) of the EU AI Act, whoever puts it to
  use must inform the people whose faces are shown to it. Article 5(1)(f) prohibits inferring emotions at work and in
  education, except for medical or safety reasons.</p>
  <p>Pictures and films are analysed on this server, and deleted with their results at most {keep} after they came or
  were done; frames of the camera are never stored.</p>
</section>
"""


_log = logging.getLogger(__name__)


class Page(gr.Blocks):
    """Blocks whose failed events are told in the service's log, and to visitors without details."""

    async def process_api(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Carry an event out."""
        try:
            return await super().process_api(*args, **kwargs)
        except gr.Error as error:
            error.print_exception = False
            raise
        except ValidationError as error:  # which the page would not send, and which quotes what was sent
            raise gr.Error("This event has the wrong form.", print_exception=False) from error
        except Exception as error:
            _log.exception("an event of the page failed")
            told = "Something went wrong in the server; whoever runs it finds it in the log."
            raise gr.Error(told, print_exception=False) from error


def build(
    *, engine: Engine, jobs: FilmJobs, pictures: PictureWork, settings: Settings, uploads: Uploads, stop: Stop
) -> Page:
    """Return the page."""
    models = list(engine.analyzers)
    choices = emotion_choices(engine, None)
    minutes = settings.keep / 60
    keep = f"{minutes:.0f} minutes" if minutes >= 2 else f"{settings.keep} seconds"
    page: Page
    with Page(title=TITLE, analytics_enabled=False) as page:
        gr.HTML(_HEAD, apply_default_css=False)
        with gr.Row(elem_id="mien-choices"):
            model = gr.Radio(models, value=models[0], label="Model", visible=len(models) > 1, elem_id="mien-model")
            emotions = gr.Radio(
                choices, value=ALL, label="Emotions", info=emotion_info(choices), elem_id="mien-emotions"
            )
        with gr.Tabs(elem_id="mien-tabs"):
            with gr.Tab("Picture", id="picture"):
                picture_tab(pictures=pictures, uploads=uploads, emotions=emotions, model=model)
            with gr.Tab("Video", id="video"):
                film_tab(jobs=jobs, uploads=uploads, stop=stop, emotions=emotions, model=model)
            with gr.Tab("Webcam", id="webcam"):
                webcam_tab(emotions=emotions, model=model)
        gr.HTML(_NOTICE.format(keep=keep), apply_default_css=False)

        if len(models) > 1:

            def offered(name: object, now: object) -> object:
                choices = emotion_choices(engine, name if isinstance(name, str) and name in models else None)
                kept = now if now in [value for _, value in choices] else ALL
                return gr.update(choices=choices, value=kept, info=emotion_info(choices) or "")

            model.change(
                offered,
                inputs=[model, emotions],
                outputs=[emotions],
                preprocess=False,
                api_visibility="private",
                show_progress="hidden",
                concurrency_limit=None,
            )
    page.queue(max_size=settings.queue, default_concurrency_limit=4, api_open=False)
    return page
