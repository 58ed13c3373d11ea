"""The public names, and what importing them costs."""

import ast
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import mien

from conftest import ROOT

HEAVY = (
    "numpy",
    "PIL",
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
    "pandas",
)


def test_all_is_the_public_api():
    """Each name is there, and type checkers are told of the same names as are found at run time."""
    tree = ast.parse(Path(mien.__file__).read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    told = {alias.name: node.module for node in block.body for alias in node.names}
    assert sorted(told) == sorted(mien.__all__)
    for name, module in told.items():
        assert getattr(mien, name) is getattr(import_module(module), name)
    assert set(mien.__all__) <= set(dir(mien))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = mien.nothing


def test_import_is_light_and_silent():
    code = f"""
import logging, sys, threading
import mien
print([name for name in {HEAVY!r} if name in sys.modules], threading.active_count(), logging.root.handlers)
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout.strip(), done.stderr) == ("[] 1 []", "")


def test_analysing_leaves_nothing_behind(tmp_path):
    """Not even what onnxruntime would keep for its telemetry."""
    code = f"import mien; print(len(mien.analyze({str(ROOT / 'examples' / 'astronaut.jpg')!r}).faces))"
    places = {name: str(tmp_path) for name in ("TMPDIR", "TEMP", "TMP", "HOME", "XDG_CACHE_HOME")}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | places)
    assert done.stdout.strip() == "1"
    assert list(tmp_path.iterdir()) == []


def test_every_public_thing_is_documented():
    undocumented = [
        name for name in mien.__all__ if callable(getattr(mien, name)) and not getattr(mien, name).__doc__
    ]
    assert not undocumented
