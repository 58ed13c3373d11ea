"""Write what the container installs, with the sha256 of every file that may be it: requirements/*.txt.

    pip install uv
    python scripts/pin_container.py

requirements/serve.txt is what `mien[serve]` needs, requirements/build.txt what makes the wheel of mien itself; their
versions are those of constraints.txt. It has to be run again where that file or pyproject.toml changes; a test says
so.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "requirements"
PLATFORMS = ("x86_64-manylinux_2_28", "aarch64-manylinux_2_28")
HEAD = """\
# {what}: written by scripts/pin_container.py for Linux on x86_64 and aarch64.
# The versions are those of constraints.txt; pip takes no file whose sha256 is not among these.
"""


def python_version() -> str:
    """Return the version of Python in the Dockerfile."""
    found = re.search(r"^FROM python:([0-9]+\.[0-9]+)", (ROOT / "Dockerfile").read_text("utf-8"), re.MULTILINE)
    if found is None:
        raise SystemExit("the Dockerfile does not say which Python it is made from")
    return found[1]


def compiled(source: Path, *options: str) -> str:
    """Return pinned requirements with hashes; they have to be the same on every platform."""
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    if uv is None:
        raise SystemExit("uv is not installed: pip install uv")
    command = [uv, "pip", "compile", str(source), "--constraint", str(ROOT / "constraints.txt"), *options]
    command += ["--python-version", python_version(), "--only-binary", ":all:", "--generate-hashes", "--quiet"]
    command += ["--no-config", "--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links"]
    texts = {
        subprocess.run(
            [*command, "--python-platform", platform], check=True, stdout=subprocess.PIPE, text=True
        ).stdout
        for platform in PLATFORMS
    }
    if len(texts) > 1:
        raise SystemExit("the platforms need different packages: write a file for each")
    return texts.pop()


def main() -> None:
    """Write the files."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    FOLDER.mkdir(exist_ok=True)
    serve = compiled(ROOT / "pyproject.toml", "--extra", "serve")
    with tempfile.TemporaryDirectory() as folder:
        needed = Path(folder) / "build.in"
        needed.write_text("\n".join(project["build-system"]["requires"]) + "\n", "utf-8")
        build = compiled(needed)
    for name, what, text in (
        ("serve", "What the service needs", serve),
        ("build", "What makes a wheel of mien", build),
    ):
        (FOLDER / f"{name}.txt").write_text(HEAD.format(what=what) + text, "utf-8")
        print(f"requirements/{name}.txt: {len(re.findall('^[a-z]', text, re.MULTILINE))} packages")


if __name__ == "__main__":
    main()
