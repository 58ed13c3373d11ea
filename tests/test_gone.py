"""Cameras and streams that go away midway: what came is kept, one line says what happened, and the status is 1."""

from __future__ import annotations

import errno
import io
import os
import socket
import threading
import time

import av
import pytest
from PIL import Image

import mien
from mien.sources import live, read_frames
from test_films import encode
from test_live import begin, serving, with_ranges

from conftest import EXAMPLES

RESET = b"\1\0\0\0\0\0\0\0"  # of SO_LINGER: closing is no end, but a break


@pytest.fixture(scope="module")
def stream_data() -> bytes:
    """Return a stream of a face, 3 seconds."""
    import numpy as np

    with Image.open(EXAMPLES / "astronaut.jpg") as image:
        face = np.asarray(image.convert("RGB").crop((130, 0, 330, 200)).resize((128, 128)))
    return encode("mpegts", frames=72, size=(128, 128), gop=6, pictures=lambda i: np.roll(face, i % 5, axis=1))


def half(data: bytes, head: dict[str, str], then):
    """Send the first half of `data` after a head, and then do something else."""

    def answer(request):
        request.send_response(200)
        for name, value in head.items():
            request.send_header(name, value)
        request.end_headers()
        part = data[: len(data) // 2]
        if "Transfer-Encoding" in head:
            part = b"%x\r\n" % len(data) + part
        request.wfile.write(part)
        request.wfile.flush()
        then(request)

    return answer


def reset(request):
    time.sleep(0.2)
    request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    request.connection.close()


def close(request):
    time.sleep(0.2)
    request.connection.shutdown(socket.SHUT_RDWR)


def stall(request):
    time.sleep(4)


TYPE = {"Content-Type": "video/mp2t"}
WAYS = {
    "reset": ({**TYPE, "Transfer-Encoding": "chunked"}, reset, "the stream has broken off"),
    "closed": ({**TYPE, "Content-Length": "{length}"}, close, "the stream has broken off"),
    "silent": (TYPE, stall, "nothing has come for 0.5 s"),
}


@pytest.fixture(params=["closed", *(pytest.param(name, marks=pytest.mark.slow) for name in ("reset", "silent"))])
def way(request, stream_data, monkeypatch):
    """Yield the URL of a stream that goes away after a while, and what is said of it."""
    monkeypatch.setattr(live, "READ_TIMEOUT", 0.5)
    head, then, said = WAYS[request.param]
    head = {name: value.format(length=len(stream_data)) for name, value in head.items()}
    with serving(half(stream_data, head, then)) as url:
        yield url, said


def test_analyze_keeps_what_came_before(way, run, tmp_path):
    url, said = way
    done = run("analyze", url, "--out", tmp_path / "seen.jsonl", "--out", tmp_path / "seen.mp4")
    assert (done.status, done.err.count("\n")) == (1, 1), done.err
    assert done.err.startswith(f"mien: {url}: {said}")
    results = list(mien.read_results(tmp_path / "seen.jsonl"))
    assert any(result.faces for result in results)
    assert results[-1].error == done.err.removeprefix("mien: ").rstrip("\n")
    shown = [result for result in results if result.error is None]
    assert len(list(read_frames(tmp_path / "seen.mp4"))) == len(shown)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["seen.jsonl", "seen.mp4"]


@pytest.mark.slow
def test_watch_shows_it_until_then(way, run):
    url, said = way
    done = run("watch", url)
    assert (done.status, done.err.count("\n")) == (1, 1), done.err
    assert done.err.startswith(f"mien: {url}: {said}")
    assert "person 1" in done.out


@pytest.mark.slow
def test_the_library_yields_it_as_its_last_result(way, analyzer):
    url, said = way
    results = list(analyzer.stream(url))
    assert any(result.faces for result in results[:-1])
    assert results[-1].error.startswith(f"{url}: {said}") and not results[-1].faces
    assert all(result.error is None for result in results[:-1])


@pytest.mark.slow
def test_a_film_on_a_web_server_that_goes_away(run, tmp_path):
    data = encode("mp4", frames=240, size=(128, 96), noise=True)
    whole, asked = with_ranges(data), []

    def answer(request):
        asked.append(request.headers.get("Range"))
        sent = 0
        write = request.wfile.write

        def some(part):
            nonlocal sent
            write(part[: max(0, len(data) // 3 - sent)])
            sent += len(part)
            if sent > len(data) // 3 and len(part) > len(data) // 2:
                reset(request)

        request.wfile.write = some
        if len(asked) > 2:  # and it does not come back
            reset(request)
        else:
            whole(request)

    with serving(answer) as url:
        done = run("analyze", url, "--out", tmp_path / "seen.jsonl", "--detector", "none")
    assert (done.status, done.err.count("\n")) == (1, 1), done.err
    assert done.err.startswith(f"mien: {url}")


@pytest.mark.slow
def test_a_sender_by_udp_that_stops(stream_data, run, tmp_path, monkeypatch):
    monkeypatch.setattr(live, "READ_TIMEOUT", 0.6)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    opened, given_up = threading.Event(), threading.Event()
    opening = live._open_url

    def open_url(url, name):
        container = opening(url, name)
        opened.set()
        return container

    def send() -> None:
        """Send the stream again and again until somebody has opened it, and then once more."""
        last = False
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            while not last and not given_up.is_set():
                last = opened.is_set()
                for place in range(0, len(stream_data), 7 * 188):
                    sender.sendto(stream_data[place : place + 7 * 188], ("127.0.0.1", port))
                    time.sleep(0.005)

    monkeypatch.setattr(live, "_open_url", open_url)
    sending = threading.Thread(target=send)
    sending.start()
    try:
        done = run("analyze", f"udp://127.0.0.1:{port}", "--out", tmp_path / "seen.jsonl")
    finally:
        given_up.set()
        sending.join()
    assert (done.status, done.err) == (1, f"mien: udp://127.0.0.1:{port}: nothing has come for 0.6 s\n")
    assert any(result.faces for result in mien.read_results(tmp_path / "seen.jsonl"))


@pytest.mark.parametrize("verb", ["analyze", pytest.param("watch", marks=pytest.mark.slow)])
def test_a_camera_that_is_pulled_out(verb, stream_data, run, tmp_path, monkeypatch):
    """What v4l2 says then (no camera is here): there is no such device any more."""
    whole = live._packets

    def pulled_out(container, stream):
        for number, packet in enumerate(whole(container, stream)):
            if number == 40:
                raise av.error.OSError(errno.ENODEV, os.strerror(errno.ENODEV))
            time.sleep(0.01)
            yield packet

    monkeypatch.setattr(live, "_packets", pulled_out)
    monkeypatch.setattr(live, "_open_camera", lambda which, name: av.open(io.BytesIO(stream_data)))
    options = ["--out", tmp_path / "seen.jsonl", "--out", tmp_path / "seen.mp4"] if verb == "analyze" else []
    done = run(verb, "camera:0", *options)
    assert (done.status, done.err) == (1, "mien: camera:0: the stream has broken off (No such device)\n")
    if verb == "watch":
        assert "person 1" in done.out
        return
    results = list(mien.read_results(tmp_path / "seen.jsonl"))
    assert any(result.faces for result in results) and results[-1].error is not None
    assert len(list(read_frames(tmp_path / "seen.mp4"))) == len(results) - 1


@pytest.mark.slow
def test_a_stream_that_just_ends_is_no_error(stream_data, run, tmp_path):
    def answer(request):
        begin(request)
        request.wfile.write(stream_data)

    with serving(answer) as url:
        done = run("analyze", url, "--out", tmp_path / "seen.jsonl")
    assert (done.status, done.err) == (0, "")
