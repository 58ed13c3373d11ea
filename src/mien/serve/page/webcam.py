"""The tab for the camera of whoever looks at the page: boxes and bars as the picture moves.

Gradio's own stream sends each frame as an event with files, a few a second. This tab is a script of ours that sends
frames through one socket to the service; nothing of them touches a disk.
"""

from __future__ import annotations

import json
from pathlib import Path

import gradio as gr

from mien.emotions import Emotion
from mien.serve.page import faces

_MARKUP = """
<div class="mien-webcam">
  <div class="mien-webcam-bar">
    <button type="button" class="mien-button mien-start">Start the camera</button>
    <button type="button" class="mien-button mien-stop" disabled>Stop</button>
    <label class="mien-camera" hidden>Camera <select></select></label>
    <span class="mien-rate" aria-hidden="true"></span>
  </div>
  <div class="mien-stage">
    <div class="mien-view" hidden>
      <video muted playsinline aria-label="Your camera, as in a mirror"></video>
      <canvas aria-hidden="true"></canvas>
    </div>
    <div class="mien-cards"></div>
    <p class="mien-empty">Your camera's picture appears here. Frames are analysed on the server and never stored;
    nothing is sent before you start the camera, or after you stop it.<br><br>Tell everyone whom the camera can see
    that an emotion recognition system is at work.</p>
  </div>
  <p class="mien-note mien-words" role="status" aria-live="polite"></p>
</div>
"""


def webcam_tab(*, emotions: gr.Radio, model: gr.Radio) -> None:
    """Build the tab."""
    colours = json.dumps({emotion: faces.colour(emotion) for emotion in Emotion})
    script = Path(__file__).with_name("webcam.js").read_text(encoding="utf-8")
    gr.HTML(
        _MARKUP, js_on_load=f"const COLOURS = {colours};\n{script}", elem_id="mien-webcam", apply_default_css=False
    )
    for choice in (emotions, model):
        choice.change(
            None,
            inputs=[emotions, model],
            js="(emotions, model) => {"
            " window.mienChoice = {emotions, model};"
            " window.dispatchEvent(new Event('mien-choice'));"
            "}",
            api_visibility="private",
        )
