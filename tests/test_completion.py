"""The tab key: verbs, options and values, in the protocol of each shell, and in a bash that is there."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
import sys
import time

import pytest

from mien.cli import completion
from mien.collect.licences import GROUPS
from mien.collect.providers import opening
from mien.collect.queries import read_queries
from mien.training.recipe import read_recipe

HEAVY = (
    "numpy",
    "PIL",
    "onnxruntime",
    "av",
    "rich",
    "torch",
    "lightning",
    "fastapi",
    "gradio",
    "matplotlib",
    "httpx",
)


@pytest.fixture
def press(run, monkeypatch):
    """Return what is offered after a line, as the script of a shell would ask for it."""

    def press_tab(line: str, shell: str = "bash") -> list[str]:
        words = line.split(" ")
        monkeypatch.setenv("_MIEN_COMPLETE", f"complete_{shell}")
        monkeypatch.setenv("_TYPER_COMPLETE_ARGS", line)
        monkeypatch.setenv("_TYPER_COMPLETE_FISH_ACTION", "get-args")
        monkeypatch.setenv("COMP_WORDS", "\n".join(words))
        monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
        done = run()
        assert done.err == ""
        return done.out.splitlines()

    return press_tab


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("mien an", ["analyze"]),
        ("mien models ", ["list", "pull", "info", "verify", "card", "compress"]),
        ("mien analyze --emo", ["--emotions"]),
        ("mien analyze a.jpg --emotions ", ["three", "five", "seven", "eight"]),
        ("mien analyze --emotions f", ["five"]),
        ("mien watch --detector ", ["mtcnn", "yunet", "none"]),
        ("mien serve --detector y", ["yunet"]),
        ("mien analyze --device c", ["cpu", "cuda", "coreml"]),
        ("mien analyze --model ", ["embedded"]),
        ("mien evaluate emb", ["embedded"]),
        ("mien analyze --rater ", ["votes", "fer2013"]),
        ("mien models pull ", ["yunet"]),
        ("mien train fer", ["fer-five"]),
        ("mien collect ", ["five", "three"]),
        ("mien collect five --provider w", ["wikimedia"]),
        ("mien data import --layout r", ["rafdb"]),
        ("mien analyze --model ./mi", []),  # files, which the shell knows
    ],
)
def test_what_bash_is_offered(press, line, offered):
    assert [word for word in press(line) if word] == offered


def test_every_option_of_a_verb_is_offered(press):
    offered = press("mien analyze --")
    for option in ("--out", "--crops", "--emotions", "--detect-every", "--workers", "--help"):
        assert option in offered


def test_zsh_and_fish_are_told_what_each_is(press):
    assert '"analyze":"Read the expression on every face in pictures and films."' in "\n".join(
        press("mien an", "zsh")
    )
    assert press("mien an", "fish") == ["analyze\tRead the expression on every face in pictures and films."]
    assert press("mien analyze --emotions f", "fish") == ["five"]
    assert '"five"' in press("mien analyze --emotions f", "zsh")[0]


def test_what_is_offered_exists():
    assert tuple(completion.providers()) == opening.NAMES
    assert tuple(completion.licences()) == GROUPS
    for name in completion.queries():
        assert read_queries(name)
    for name in completion.recipes():
        assert read_recipe(name)


@pytest.mark.slow
@pytest.mark.parametrize("line", ["mien analyze --model ", "mien train "])
def test_nothing_that_is_slow_is_imported(line):
    words = line.split(" ")
    asked = (
        "import sys, mien.cli\n"
        "try: mien.cli.main()\n"
        f"finally: print(*sorted(set({HEAVY!r}) & set(sys.modules)), file=sys.stderr)\n"
    )
    environment = {
        **os.environ, "_MIEN_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)
    }  # fmt: skip
    done = subprocess.run([sys.executable, "-c", asked], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stdout.strip()
    assert done.stderr.strip() == ""


@pytest.fixture
def home(tmp_path):
    """Return a home in which `mien` is on the path."""
    command = tmp_path / "bin" / "mien"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m mien "$@"\n', "utf-8")
    command.chmod(0o755)
    return tmp_path


def environment(home) -> dict[str, str]:
    return {
        **os.environ,
        "HOME": str(home),
        "PATH": f"{home / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "TERM": "dumb",
    }


@pytest.mark.slow
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_scripts_are_shown_and_installed(home, shell):
    asked = {**environment(home), "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    shown = subprocess.run(
        ["mien", "--show-completion", shell], env=asked, capture_output=True, text=True, check=True
    )
    assert "_MIEN_COMPLETE=complete_" in shown.stdout
    subprocess.run(["mien", "--install-completion", shell], env=asked, capture_output=True, check=True)
    script = {
        "bash": ".bash_completions/mien.sh", "zsh": ".zfunc/_mien", "fish": ".config/fish/completions/mien.fish"
    }[shell]  # fmt: skip
    assert (home / script).read_text("utf-8").strip() == shown.stdout.strip()
    if shell == "bash":
        assert "mien.sh" in (home / ".bashrc").read_text("utf-8")


@pytest.mark.slow
def test_a_bash_completes_what_is_typed(home):
    bash = shutil.which("bash") or pytest.skip("needs bash")
    told = subprocess.run(
        [bash, "-c", "mien --install-completion; true"],
        env=environment(home),
        capture_output=True,
        text=True,
        check=True,
    )
    assert "bash completion installed" in told.stdout
    here, there = pty.openpty()
    shell = subprocess.Popen(
        [bash, "--norc", "-i"], stdin=there, stdout=there, stderr=there, env=environment(home), cwd=home,
        start_new_session=True,
    )  # fmt: skip
    try:
        os.close(there)
        os.write(here, b"PS1=; source ~/.bashrc; echo ready-$((1+1))\n")
        said = heard(here, b"ready-2")
        os.write(here, b"echo mien; : mien analyze --emotions\x15mien analyze --emotions ei\t")
        said = heard(here, b"ght")
        assert b"--emotions eight" in said.replace(b"\x07", b"")
    finally:
        shell.kill()
        shell.wait()
        os.close(here)


def heard(here: int, wanted: bytes, limit: float = 60) -> bytes:
    """Read what the terminal says until `wanted` is in it."""
    said, end = b"", time.monotonic() + limit
    os.set_blocking(here, False)
    while wanted not in said:
        assert time.monotonic() < end, said
        try:
            said += os.read(here, 4096)
        except BlockingIOError:
            time.sleep(0.02)
    return said
