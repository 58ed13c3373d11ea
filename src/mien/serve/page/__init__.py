"""The page for people: pictures, films and the camera, on the same engine as the REST service."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI

from mien.serve.engine import Engine
from mien.serve.jobs import FilmJobs
from mien.serve.page.uploads import Uploads
from mien.serve.picture_work import PictureWork
from mien.serve.settings import Settings
from mien.serve.stop import Stop

if TYPE_CHECKING:
    from mien.serve.page.blocks import Page
    from mien.serve.page.sessions import Sessions

__all__ = ["mount"]

_ICON = Path(__file__).with_name("icon.png")


def mount(
    app: FastAPI, *, engine: Engine, jobs: FilmJobs, pictures: PictureWork, settings: Settings, stop: Stop
) -> None:
    """Show the page at `/`, below every route that `app` has by now.

    Args:
        app: gets one more mount, and a lifespan about its own that deletes the page's files.
        engine: analyses pictures.
        jobs: analyse films.
        pictures: analyse pictures, as there is room.
        settings: limits, and for how long files are kept.
        stop: tells when the server stops.

    """
    uploads = Uploads(keep=settings.keep)
    pictures.disk.watch(uploads.folder)
    try:
        page = _built(engine=engine, jobs=jobs, pictures=pictures, settings=settings, uploads=uploads, stop=stop)
        sessions = _put(app, page, settings, uploads)
    except BaseException:
        uploads.close()
        raise
    _close_with(app, uploads, sessions)


def _built(
    *, engine: Engine, jobs: FilmJobs, pictures: PictureWork, settings: Settings, uploads: Uploads, stop: Stop
) -> Page:
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("GRADIO_ANALYTICS_MAX_EVENTS", "1")  # of which it draws up statistics at each event

    # Gradio reads the environment as it is imported
    from mien.serve.page.blocks import build

    return build(engine=engine, jobs=jobs, pictures=pictures, settings=settings, uploads=uploads, stop=stop)


def _put(app: FastAPI, page: Page, settings: Settings, uploads: Uploads) -> Sessions:
    import gradio as gr

    from mien.serve.page.fence import Fence
    from mien.serve.page.sessions import Sessions

    here = Path(__file__).parent
    gr.mount_gradio_app(
        app,
        page,
        path="/",
        theme=_theme(),
        css=(here / "style.css").read_text(encoding="utf-8"),
        head=f"<script>{(here / 'page.js').read_text(encoding='utf-8')}</script>",
        footer_links=[],
        i18n=gr.I18n(
            en={"upload_text.drop_video": "Drop a film here,", "upload_text.click_to_upload": "or choose one"}
        ),
        run_history=False,
        show_error=False,
        max_file_size=max(settings.max_film, settings.max_body) << 20,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        favicon_path=str(_ICON),
    )
    mounted: Any = app.routes[-1]
    events = {number: len(event.inputs) for number, event in page.fns.items() if event.fn is not None}
    sessions = Sessions(page)
    # around what answers for Gradio's failures too
    mounted.app = Fence(mounted.app, uploads=uploads, events=events, sessions=sessions)
    return sessions


def _theme() -> Any:
    """Return a theme of the system's own fonts: Gradio's would load theirs from elsewhere."""
    import gradio as gr

    return gr.themes.Base(
        primary_hue=gr.themes.colors.teal,
        neutral_hue=gr.themes.colors.zinc,
        radius_size=gr.themes.sizes.radius_md,
        font=["system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    ).set(
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover_dark="*primary_800",
        button_primary_text_color="white",
        block_shadow="none",
    )


def _close_with(app: FastAPI, uploads: Uploads, sessions: Sessions) -> None:
    """Delete old files while the app runs, and all when it ends."""
    inner = app.router.lifespan_context

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[Any]:
        task = asyncio.create_task(_sweep(uploads, sessions))
        try:
            async with inner(app) as state:
                yield state
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            uploads.close()

    app.router.lifespan_context = lifespan


async def _sweep(uploads: Uploads, sessions: Sessions) -> None:
    while True:
        await asyncio.sleep(min(10.0, uploads.keep / 2))
        await sessions.sweep()
        await asyncio.to_thread(uploads.sweep)
