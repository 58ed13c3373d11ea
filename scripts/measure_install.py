"""What mien and each of its extras take on disk, installed into environments of their own.

    python scripts/measure_install.py [EXTRA ...] [--json FILE]

Each is installed by pip from this folder, with constraints.txt and wheels alone; no compiler is needed. Sizes are
what is taken on disk, as `du` counts it, without what an empty environment has. It says at the end which PyTorch was
installed: the build for the processor alone is much smaller than the one that PyPI has for Linux.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ("dev", "docs")
"""Extras that nobody needs to use mien."""


@dataclass(frozen=True)
class Installed:
    """What one choice of extras takes.

    Attributes:
        extra: the extra, or an empty string for mien alone.
        megabytes: on disk, in millions of bytes, with all that it depends on.
        packages: how many distributions that is, mien among them.
        torch: the version of PyTorch among them, if there is one.

    """

    extra: str
    megabytes: int
    packages: int
    torch: str | None


def measure(extra: str) -> Installed:
    """Install mien with one extra into a new environment, and return what that took."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder, "venv")
        subprocess.run([sys.executable, "-m", "venv", place], check=True)
        before, there = _size(place), _packages(place)
        wanted = f"{ROOT}[{extra}]" if extra else str(ROOT)
        command: list[str | Path] = [
            place / "bin" / "python", "-m", "pip", "install", "--quiet",
            "--constraint", ROOT / "constraints.txt", "--only-binary", ":all:", wanted,
        ]  # fmt: skip
        subprocess.run(command, check=True)
        now = _packages(place)
        return Installed(extra, round((_size(place) - before) / 1e6), len(now) - len(there), now.get("torch"))


def _size(folder: Path) -> int:
    """Return the bytes on disk of all that is in a folder; links are not followed."""
    return sum((Path(where, name)).lstat().st_blocks * 512 for where, _, names in os.walk(folder) for name in names)


def _packages(place: Path) -> dict[str, str]:
    """Return the version of each distribution in an environment."""
    command: list[str | Path] = [place / "bin" / "python", "-m", "pip", "list", "--format", "json"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return {one["name"]: one["version"] for one in json.loads(listed)}


def main() -> None:
    known = [
        extra
        for extra in tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
        if extra not in TOOLS
    ]
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("extras", nargs="*", metavar="EXTRA", help=f"Default: none, then {', '.join(known)}.")
    parser.add_argument("--json", type=Path, metavar="FILE", help="Also write the figures to this file.")
    asked = parser.parse_args()
    found: list[Installed] = []
    print(f"{'extra':10} {'MB':>6} {'more':>6} {'packages':>9}")
    for extra in asked.extras or ["", *known]:
        one = measure(extra)
        alone = next((other.megabytes for other in found if not other.extra), None)
        more = "" if not extra or alone is None else str(one.megabytes - alone)
        print(f"{extra or '-':10} {one.megabytes:6} {more:>6} {one.packages:9}", flush=True)
        found.append(one)
    for torch in {one.torch for one in found if one.torch}:
        print(f"PyTorch: {torch}")
    if asked.json:
        asked.json.write_text(json.dumps([asdict(one) for one in found], indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
