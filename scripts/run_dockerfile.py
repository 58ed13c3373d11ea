"""Carry out the steps of the Dockerfile in a clean root, without a container engine, and use what they make.

    debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates bookworm base
    sudo python scripts/run_dockerfile.py base work --share /etc/ssl/certs

`base` stands for the image of FROM; each stage gets a copy of it in `work`. As in a container run with --read-only,
the root is read-only, /tmp is in memory, and the user is the Dockerfile's. The health check has to pass, a picture
has to be answered, and SIGTERM has to end it well.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import signal
import subprocess
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
HEALTHY_WITHIN = 120.0  # seconds


@dataclass
class Stage:
    """What the instructions since a FROM have set."""

    root: Path
    directory: str = "/"
    user: str = "0"
    environment: dict[str, str] = field(default_factory=lambda: {"PATH": SYSTEM_PATH})
    command: list[str] = field(default_factory=list)
    health: list[str] = field(default_factory=list)


def instructions(text: str) -> list[tuple[str, str]]:
    """Return the instructions of a Dockerfile and what follows each."""
    kept = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    lines = (line.strip() for line in kept.replace("\\\n", " ").splitlines())
    return [(line.split(None, 1)[0], line.split(None, 1)[1]) for line in lines if line]


def build(base: Path, work: Path, shared: list[str]) -> Stage:
    """Carry out all steps and return the last stage."""
    stages: dict[str, Stage] = {}
    stage = Stage(work)
    for name, rest in instructions((ROOT / "Dockerfile").read_text("utf-8")):
        words = shlex.split(rest)
        if name == "FROM":
            stage = Stage(work / f"stage-{len(stages)}")
            subprocess.run(["cp", "-a", base, stage.root], check=True)
            # images of Python have it under this name
            (stage.root / "usr/local/bin/python").symlink_to("/usr/bin/python3")
            stages[words[-1] if "AS" in words else str(len(stages))] = stage
        elif name == "WORKDIR":
            stage.directory = rest
            (stage.root / rest.lstrip("/")).mkdir(parents=True, exist_ok=True)
        elif name == "ENV":
            for pair in words:
                key, _, value = pair.partition("=")
                stage.environment[key] = value.replace("$PATH", stage.environment["PATH"])
        elif name == "USER":
            stage.user = rest
        elif name == "COPY":
            source = ROOT
            if words[0].startswith("--from="):
                source = stages[words.pop(0).removeprefix("--from=")].root
            copy(words[:-1], source, stage.root / os.path.join(stage.directory, words[-1]).lstrip("/"))
        elif name == "RUN":
            run(stage, ["/bin/sh", "-c", rest], shared)
        elif name == "CMD":
            stage.command = json.loads(rest)
        elif name == "HEALTHCHECK":
            stage.health = json.loads(rest[rest.index("[") :])
        elif name not in ("EXPOSE", "STOPSIGNAL"):
            raise SystemExit(f"the Dockerfile has an instruction that is not known here: {name}")
    return stage


def copy(sources: list[str], context: Path, target: Path) -> None:
    """Do what COPY does: of folders, their content."""
    for source in sources:
        path = context / source.lstrip("/")
        if path.is_dir():
            shutil.copytree(
                path, target, dirs_exist_ok=True, symlinks=True, ignore=shutil.ignore_patterns("__pycache__")
            )
        else:
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)


def inside(stage: Stage, command: list[str], mounts: str) -> list[str]:
    """Return a command that runs `command` in the stage's root, in mounts of its own."""
    root = shlex.quote(str(stage.root))
    ids = "" if stage.user == "0" else f"--userspec={stage.user}:{stage.user} "
    goal = f"cd {shlex.quote(stage.directory)} && exec {shlex.join(command)}"
    script = f"{mounts.format(root=root)}\nexec chroot {ids}{root} /bin/sh -c {shlex.quote(goal)}"
    return ["unshare", "--mount", "/bin/sh", "-ec", script]


def run(stage: Stage, command: list[str], shared: list[str]) -> None:
    """Carry out a RUN; it may use the network, and the folders in `shared`."""
    mounts = (
        "mount --bind /proc {root}/proc; mount --bind /dev {root}/dev; cp /etc/resolv.conf {root}/etc/resolv.conf\n"
    )
    for path in shared:
        mounts += f"mkdir -p {{root}}{path}; mount --bind {path} {{root}}{path}\n"
    outside = {name: value for name, value in os.environ.items() if name.startswith("PIP_") or "CERT" in name}
    subprocess.run(inside(stage, command, mounts), env={**outside, **stage.environment}, check=True)


def try_out(stage: Stage) -> None:
    """Start what the image starts, use it and end it."""
    read_only = (
        "mount --bind {root} {root}; mount --bind /proc {root}/proc; mount --bind /dev {root}/dev\n"
        "mount -t tmpfs tmpfs {root}/dev/shm; mount -t tmpfs tmpfs {root}/tmp; mount -o remount,bind,ro {root}"
    )
    server = subprocess.Popen(inside(stage, stage.command, read_only), env=stage.environment)
    try:
        begun = time.monotonic()
        check = inside(stage, stage.health, read_only)
        while subprocess.run(check, env=stage.environment, capture_output=True).returncode:
            if server.poll() is not None or time.monotonic() - begun > HEALTHY_WITHIN:
                raise SystemExit("the server did not become healthy")
            time.sleep(0.5)
        print(f"healthy after {time.monotonic() - begun:.1f} s")
        address = f"http://127.0.0.1:{stage.environment['MIEN_PORT']}"
        picture = (ROOT / "examples" / "astronaut.jpg").read_bytes()
        request = urllib.request.Request(f"{address}/v1/analyze", picture, {"Content-Type": "image/jpeg"})
        with urllib.request.urlopen(request, timeout=60) as response:
            (result,) = json.load(response)["results"]
        print(f"answered: {[face['emotion'] for face in result['faces']]}")
        with urllib.request.urlopen(f"{address}/", timeout=60) as response:
            print(f"the page: {response.status}, {len(response.read())} bytes")
        server.send_signal(signal.SIGTERM)
        print(f"ended with status {server.wait(timeout=30)}")
    finally:
        server.kill()


def main() -> None:
    """Build and try."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", type=Path, help="a clean root with Python")
    parser.add_argument("work", type=Path, help="a folder to make, for the stages' roots")
    parser.add_argument(
        "--share", action="append", default=[], help="a folder of this machine that building may read"
    )
    given = parser.parse_args()
    given.work.mkdir()
    stage = build(given.base, given.work.resolve(), given.share)
    subprocess.run(["du", "-sh", stage.root], check=True)
    try_out(stage)


if __name__ == "__main__":
    main()
