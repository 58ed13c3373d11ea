"""The public names, and what importing them costs."""

import subprocess
import sys

import mien

HEAVY = (
    "torch",
    "onnxruntime",
    "av",
    "typer",
    "rich",
    "fastapi",
    "gradio",
    "ray",
    "pyarrow",
    "lightning",
    "matplotlib",
)


def test_all_is_the_public_api():
    public = {
        name
        for name, value in vars(mien).items()
        if not name.startswith("_") and not hasattr(value, "__path__") and type(value).__name__ != "module"
    }
    assert public == set(mien.__all__)
    assert len(mien.__all__) == len(public)


def test_import_is_light_and_silent():
    code = f"""
import logging, sys, threading
import mien
print([name for name in {HEAVY!r} if name in sys.modules], threading.active_count(), logging.root.handlers)
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout.strip(), done.stderr) == ("[] 1 []", "")


def test_every_public_thing_is_documented():
    undocumented = [
        name for name in mien.__all__ if callable(getattr(mien, name)) and not getattr(mien, name).__doc__
    ]
    assert not undocumented
