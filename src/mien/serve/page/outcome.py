"""The half of a tab in which the results appear: a line on how things stand, what was found, and its files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import gradio as gr

from mien.serve.page import faces

Changes = dict[Any, object]
"""New values of components."""

FAILED = faces.problem("the server did not answer as it should; try again in a moment")
"""What is said of an event that the server did not take, or broke on."""


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What changes as a picture or a film is analysed.

    Attributes:
        status: a line, as HTML, that screen readers speak.
        found: holds all that follows, and is hidden while there is nothing.
        downloads: a button for each file.

    """

    status: gr.HTML
    found: gr.Column
    downloads: Sequence[gr.DownloadButton]

    @property
    def show(self) -> str:
        """JavaScript that brings it into view, which on a phone it is not."""
        return f"() => window.mienShow?.('{self.status.elem_id}')"

    def only(self, line: str) -> Changes:
        """Return the changes after which there is but a line of HTML."""
        return {self.status: line, self.found: gr.update(visible=False), **dict.fromkeys(self.downloads)}

    def all(self, line: str, files: Sequence[object]) -> Changes:
        """Return the changes after which all is seen, with a button for each file that there is."""
        shown = {
            button: gr.update(value=None if file is None else str(file), visible=file is not None)
            for button, file in zip(self.downloads, files, strict=True)
        }
        return {self.status: line, self.found: gr.update(visible=True), **shown}


@contextmanager
def outcome(name: str, *, empty: str, files: Sequence[str]) -> Iterator[Outcome]:
    """Build the half of a tab, with what the block of the `with` statement builds between the line and the files.

    Args:
        name: what the ids of its elements begin with.
        empty: what is said while there is nothing.
        files: what can be downloaded, in words.

    """
    with gr.Column(scale=2, min_width=300):
        status = gr.HTML(faces.empty(empty), elem_id=f"{name}-status", elem_classes="mien-live")
        with gr.Column(visible=False, elem_id=f"{name}-result") as found:
            downloads: list[gr.DownloadButton] = []
            yield Outcome(status, found, downloads)
            with gr.Row(elem_classes="mien-downloads"):
                downloads += [gr.DownloadButton(text, size="sm", min_width=120) for text in files]
