"""Frames of a camera over a WebSocket."""

import io
import itertools
import json
import re
import threading
import time
from contextlib import ExitStack

import httpx
import numpy as np
import pytest
from PIL import Image
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from serving import running


@pytest.fixture(scope="module")
def url():
    with running(max_pixels=1, max_body=1, jobs=2) as base:
        yield base.replace("http", "ws")


@pytest.fixture(scope="module")
def frames(astronaut_pixels) -> list[bytes]:
    """A second of a face that moves, 640x480, as a browser's canvas gives it."""
    wide = np.pad(astronaut_pixels[:480], ((0, 0), (64, 64), (0, 0)), mode="edge")
    return [encoded(np.roll(wide, 2 * number, axis=1)) for number in range(30)]


def encoded(pixels, form="JPEG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, form)
    return file.getvalue()


def ask(socket, message) -> dict:
    socket.send(message)
    return json.loads(socket.recv(timeout=30))


def test_each_frame_is_answered_with_its_record(url, frames, analyzer):
    with connect(f"{url}/v1/live") as socket:
        records = []
        for frame in frames:
            records.append(ask(socket, frame))
            time.sleep(0.01)
    assert [record["frame"] for record in records] == list(range(len(frames)))
    assert all(earlier["time"] < later["time"] for earlier, later in itertools.pairwise(records))
    assert all(len(record["faces"]) == 1 and record["error"] is None for record in records)
    assert {record["faces"][0]["track"] for record in records} == {1}
    first = records[0]
    alone = analyzer.analyze(frames[0]).faces[0].to_record()
    assert first["faces"][0]["box"] == alone["box"] and first["faces"][0]["scores"] == alone["scores"]
    assert (first["width"], first["height"], first["model"]) == (640, 480, analyzer.model)
    assert set(records[-1]["faces"][0]["smoothed"]) == set(analyzer.emotions)
    boxes = [record["faces"][0]["box"][0] for record in records]
    assert boxes[-1] - boxes[0] == pytest.approx(58, abs=8)  # it moves as the face does


def test_a_set_of_emotions(url, frames):
    with connect(f"{url}/v1/live?emotions=three") as socket:
        assert set(ask(socket, frames[0])["faces"][0]["scores"]) == {"angry", "happy", "sad"}


@pytest.mark.parametrize("query", ["emotions=nine", "model=other"])
def test_what_is_not_there_is_told(url, query):
    with connect(f"{url}/v1/live?{query}") as socket, pytest.raises(ConnectionClosed) as closed:
        socket.recv(timeout=10)
    assert closed.value.rcvd.code == 1008 and query.partition("=")[2] in closed.value.rcvd.reason


def test_a_broken_frame_is_told_and_the_next_is_answered(url, frames, astronaut_pixels):
    large = encoded(np.zeros((1100, 1100, 3), np.uint8), "PNG")
    broken = [b"", b"nothing", frames[0][: len(frames[0]) // 2], large, "text"]
    with connect(f"{url}/v1/live") as socket:
        assert "error" in ask(socket, broken[0]) and len(ask(socket, frames[0])["faces"]) == 1
        for number, message in enumerate(broken[1:], start=2):
            answer = ask(socket, message)
            assert answer["frame"] == number and isinstance(answer["error"], str) and "faces" not in answer
            if message is large:
                assert answer["error"].endswith("over the limit of 1 million pixels (the server's --max-pixels)")
        assert len(ask(socket, encoded(astronaut_pixels, "WEBP"))["faces"]) == 1


def test_frames_are_counted(frames):
    def figures(base):
        return dict(re.findall(r"^(mien_live\S+) (\S+)$", httpx.get(f"{base}/metrics").text, re.MULTILINE))

    with running() as base:
        assert figures(base)['mien_live_frames_total{outcome="answered"}'] == "0.0"
        with connect(f"{base.replace('http', 'ws')}/v1/live") as socket:
            for frame in (*frames[:3], b"nothing"):
                ask(socket, frame)
            assert figures(base)["mien_live_cameras"] == "1.0"
            for frame in frames:
                socket.send(frame)
            while json.loads(socket.recv(timeout=30))["frame"] != len(frames) + 3:
                pass
        found = figures(base)
    answered, passed = (float(found[f'mien_live_frames_total{{outcome="{one}"}}']) for one in ("answered", "skipped"))
    assert found['mien_live_frames_total{outcome="unreadable"}'] == "1.0"
    assert answered + passed == len(frames) + 3 and answered > 3
    assert float(found["mien_live_faces_total"]) == answered
    assert float(found["mien_live_frame_seconds_count"]) == answered + 1


def test_frames_that_come_too_fast_are_passed_over(url, frames):
    with connect(f"{url}/v1/live") as socket:
        for frame in frames * 3:
            socket.send(frame)
        answered = []
        while not answered or answered[-1] != 3 * len(frames) - 1:
            answered.append(json.loads(socket.recv(timeout=30))["frame"])
    assert answered == sorted(answered) and len(answered) < 3 * len(frames)


def test_a_frame_that_is_too_large_ends_the_socket(url):
    with connect(f"{url}/v1/live", compression=None) as socket, pytest.raises(ConnectionClosed) as closed:
        ask(socket, bytes((1 << 20) + 1))
    assert closed.value.rcvd.code == 1009


def test_pages_of_other_sites_are_refused(url, frames):
    host = url.partition("//")[2]
    for origin in ("http://elsewhere.example", "null", f"http://{host}.elsewhere.example"):
        with pytest.raises(InvalidStatus) as refused:
            connect(f"{url}/v1/live", origin=origin)
        assert refused.value.response.status_code == 403
    with connect(f"{url}/v1/live", origin=f"http://{host}") as socket:
        assert "faces" in ask(socket, frames[0])


def test_origins_that_the_settings_name_are_let_in(frames):
    with (
        running(origins=("https://friend.example",)) as base,
        connect(base.replace("http", "ws") + "/v1/live", origin="https://friend.example") as socket,
    ):
        assert "faces" in ask(socket, frames[0])


def test_so_many_sockets_and_no_more(url, frames):
    with connect(f"{url}/v1/live") as one, connect(f"{url}/v1/live") as other:
        ask(one, frames[0]), ask(other, frames[0])
        with connect(f"{url}/v1/live") as third, pytest.raises(ConnectionClosed) as closed:
            third.recv(timeout=10)
        assert closed.value.rcvd.code == 1013
        assert "faces" in ask(one, frames[1])
    end = time.monotonic() + 10
    while time.monotonic() < end:  # a place is free again as soon as the server has seen that they are gone
        with connect(f"{url}/v1/live") as socket:
            try:
                assert "faces" in ask(socket, frames[0])
                return
            except ConnectionClosed:
                time.sleep(0.05)
    pytest.fail("no place became free")


def test_a_server_that_stops_closes_its_sockets(frames):
    with ExitStack() as stack:
        with running() as base:
            socket = stack.enter_context(connect(base.replace("http", "ws") + "/v1/live"))
            assert "faces" in ask(socket, frames[0])
            began = time.monotonic()
        assert time.monotonic() - began < 5
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=10)
        assert closed.value.rcvd.code in (1001, 1012)


def test_sockets_do_not_know_of_each_other(url, frames):
    """Two cameras at once, each with its own persons and times."""
    answers: dict[int, list[dict]] = {0: [], 1: []}

    def show(number: int) -> None:
        with connect(f"{url}/v1/live") as socket:
            answers[number] = [ask(socket, frame) for frame in frames[:10]]

    threads = [threading.Thread(target=show, args=(number,)) for number in answers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for records in answers.values():
        assert [record["frame"] for record in records] == list(range(10))
        assert {face["track"] for record in records for face in record["faces"]} == {1}


def test_a_socket_on_which_nothing_comes_is_closed(url, monkeypatch):
    monkeypatch.setattr("mien.serve.live.IDLE", 0.3)
    with connect(f"{url}/v1/live") as socket, pytest.raises(ConnectionClosed) as closed:
        socket.recv(timeout=10)
    assert closed.value.rcvd.code == 1000 and "no frame came" in closed.value.rcvd.reason


def test_a_camera_stays_connected(frames, monkeypatch):
    """It has no head of a request to send, for which there is a limit of seconds."""
    monkeypatch.setattr("mien.serve.server._HEAD", 0.5)
    with running() as url, connect(url.replace("http", "ws") + "/v1/live") as socket:
        for _ in range(4):
            assert len(ask(socket, frames[0])["faces"]) == 1
            time.sleep(0.4)
