"""What docs/serving.md tells to type does what it says, on a real server."""

import contextlib
import io
import json
import re
import shlex
import shutil
import subprocess

import pytest
import typer

pytest.importorskip("fastapi", reason="needs the extra serve")
httpx = pytest.importorskip("httpx", reason="needs httpx")

from mien.cli import app  # noqa: E402

from conftest import EXAMPLES, ROOT  # noqa: E402
from serving import running  # noqa: E402

PAGE = (ROOT / "docs" / "serving.md").read_text("utf-8")
HERE = "http://127.0.0.1:8000"
KEY = "a long random text"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


LINES = [line for block in blocks("sh") for line in block.replace("\\\n", " ").splitlines()]


@pytest.fixture(scope="module")
def server():
    with running(api_key=KEY) as address:
        yield address


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with what the page calls its pictures."""
    monkeypatch.chdir(tmp_path)
    for name in ("photo.jpg", "one.jpg"):
        shutil.copy(EXAMPLES / "astronaut.jpg", tmp_path / name)
    shutil.copy(EXAMPLES / "three_people.jpg", tmp_path / "two.png")
    return tmp_path


@pytest.fixture
def film(folder, shared):
    return shutil.copy(shared / "media" / "two_faces.gif", folder / "talk.mp4")


def curl(line: str, server: str, job: str = "ID") -> subprocess.CompletedProcess[bytes]:
    if shutil.which("curl") is None:
        pytest.skip("needs curl")
    there = line.replace(HERE, server).replace("http://HOST:8000", server).replace("/ID", f"/{job}")
    words = shlex.split(there, comments=True)
    key = [] if KEY in line else ["--header", f"X-API-Key: {KEY}"]
    return subprocess.run([*words, "--silent", "--show-error", "--fail", *key], capture_output=True, check=True)


@pytest.mark.parametrize("line", [line for line in LINES if "/v1/analyze" in line])
def test_curl_with_pictures(line, server, folder):
    results = json.loads(curl(line, server).stdout)["results"]
    assert len(results) == line.count("files=") + line.count("--data-binary")
    assert results[0]["faces"][0]["emotion"] == "happy"
    if "emotions=five" in line:
        assert len(results[0]["faces"][0]["scores"]) == 5
    assert ("annotated" in results[0]) == ("annotated=png" in line)


def test_curl_with_a_film(server, film, folder):
    lines = [line for line in LINES if "/v1/videos" in line]
    job = json.loads(curl(lines[0], server).stdout)
    with httpx.Client(base_url=server, headers={"X-API-Key": KEY}) as client:
        while client.get(job["links"]["self"]).json()["state"] in ("queued", "running"):
            pass
    for line in lines[1:]:
        done = curl(line, server, job["id"])
        if line.rstrip().split("#")[0].strip().endswith("/results"):
            assert len(done.stdout.splitlines()) == 56
    assert (folder / "marked.mp4").stat().st_size > 1000
    assert (folder / "talk.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(subprocess.CalledProcessError):
        curl(lines[1], server, job["id"])  # deleted


@pytest.mark.parametrize("snippet", blocks("python"), ids=["pictures", "films"])
def test_httpx(snippet, film, monkeypatch):
    out = io.StringIO()
    with running() as server, contextlib.redirect_stdout(out):
        monkeypatch.setattr("time.sleep", lambda seconds: None)
        exec(snippet.replace(HERE, server), {})
    lines = out.getvalue().splitlines()
    assert len(lines) == (1 if "photo.jpg" in snippet else 56)


def test_every_setting_that_is_named_exists():
    command = typer.main.get_command(app).commands["serve"]
    options = {option for parameter in command.params for option in parameter.opts}
    for line in LINES:
        words = shlex.split(line, comments=True)
        if "serve" in words:
            assert {word for word in words if word.startswith("--")} <= options
    assert set(re.findall(r"`(--[a-z-]+)`", PAGE)) <= options
    variables = {"MIEN_" + option.removeprefix("--").upper().replace("-", "_") for option in options}
    assert set(re.findall(r"MIEN_[A-Z_]+", PAGE)) <= variables | {"MIEN_API_KEY"}
