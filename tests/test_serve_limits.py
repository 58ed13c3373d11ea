"""What is too large, too slow, too much or broken is cut by its limit, and the next request is served."""

import asyncio
import base64
import gc
import io
import json
import socket
import struct
import threading
import time
import weakref
import zlib
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from functools import partial

import httpx
import numpy as np
import pytest
from fastapi import FastAPI
from PIL import Image
from starlette.responses import StreamingResponse

from mien.results import Frame
from mien.serve.app import create_app
from mien.serve.engine import Engine
from mien.serve.problems import Problem
from mien.serve.server import Server
from mien.serve.settings import Settings

from conftest import EXAMPLES
from serving import running

MB = 1 << 20


@pytest.fixture(scope="module")
def content():
    return (EXAMPLES / "astronaut.jpg").read_bytes()


@pytest.fixture(scope="module")
def address():
    with running(max_body=2, max_film=4, max_pictures=3, queue=4) as address:
        yield address


@pytest.fixture(autouse=True)
def _the_next_request_is_served(address, content):
    yield
    answer = httpx.post(address + "/v1/analyze", files={"files": content}, timeout=30)
    assert (answer.status_code, len(answer.json()["results"][0]["faces"])) == (200, 1)


def detail(answer, status):
    """Return what a problem document says."""
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text[
        :300
    ]
    return answer.json()["detail"]


@contextmanager
def connected(address):
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        yield connection


def answer_of(connection):
    """Return all that comes until the server closes."""
    said = bytearray()
    with suppress(ConnectionResetError):  # who is still sending then may see that first
        while piece := connection.recv(65536):
            said += piece
    return bytes(said)


def head(path, *lines):
    return "\r\n".join([f"POST {path} HTTP/1.1", "Host: localhost", *lines, "", ""]).encode()


def png(width, height, *, data=b""):
    """Return a PNG of so many grey pixels, whatever its data are."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def test_a_body_too_large_by_its_head(address):
    answer = httpx.post(address + "/v1/analyze", files={"files": bytes(3 * MB)})
    assert detail(answer, 413) == "this request is over the limit of 2 MB (the server's --max-body)"


def test_a_hundred_megabytes_are_not_awaited(address):
    with connected(address) as connection:
        connection.sendall(head("/v1/analyze", "Content-Type: image/png", f"Content-Length: {100 * MB}"))
        began = time.monotonic()
        assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")
        assert time.monotonic() - began < 1


@pytest.mark.parametrize("kind", ["image/png", "multipart/form-data; boundary=x"])
def test_a_body_too_large_that_does_not_say_so(address, kind):
    start = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n' if "form" in kind else b""

    def body():
        yield start
        for _ in range(48):
            yield bytes(MB // 16)

    answer = httpx.post(address + "/v1/analyze", content=body(), headers={"Content-Type": kind})
    assert "over the limit of 2 MB" in detail(answer, 413)


@pytest.mark.parametrize("path", ["/v1/analyze", "/v1/nothing"])
def test_a_body_without_end_is_cut(address, path, monkeypatch):
    """Also one that nobody reads, since the answer is known from its head."""
    monkeypatch.setattr("mien.serve.guard._LINGER", 0.5)
    with connected(address) as connection:
        connection.sendall(head(path, "Content-Type: image/png", "Transfer-Encoding: chunked"))
        began = time.monotonic()
        with suppress(OSError):
            while time.monotonic() - began < 15:
                connection.sendall(b"10000\r\n" + bytes(65536) + b"\r\n")
                time.sleep(0.01)
        assert time.monotonic() - began < 10


def test_films_have_a_limit_of_their_own(address):
    film = httpx.post(address + "/v1/videos", files={"file": ("f.mp4", bytes(3 * MB))})
    assert film.status_code != 413
    answer = httpx.post(address + "/v1/videos", files={"file": ("f.mp4", bytes(5 * MB))})
    assert detail(answer, 413) == "a film is over the limit of 4 MB (the server's --max-film)"


@pytest.mark.parametrize("path", ["/v1/analyze", "/v1/videos"])
def test_a_slow_body_is_cut(path):
    with running(max_seconds=1, max_film_seconds=1) as address, connected(address) as connection:
        connection.sendall(head(path, "Content-Type: application/octet-stream", "Content-Length: 5000"))
        stop = threading.Event()

        def trickle():
            while not stop.wait(0.2):
                try:
                    connection.sendall(b"-")
                except OSError:
                    return

        trickling = threading.Thread(target=trickle)
        connection.sendall(b"-")
        trickling.start()
        try:
            said = answer_of(connection)
        finally:
            stop.set()
            trickling.join()
        assert said.startswith(b"HTTP/1.1 408 ")


def test_a_head_that_does_not_come_is_cut(address, monkeypatch):
    monkeypatch.setattr("mien.serve.server._HEAD", 1.0)
    with connected(address) as connection:
        connection.sendall(b"POST /v1/analyze HTTP/1.1\r\nHost: localhost\r\n")
        began = time.monotonic()
        answer_of(connection)
        assert time.monotonic() - began < 5


def test_a_picture_of_144_million_pixels(address):
    data = zlib.compress(bytes(12001 * 12000), 9)
    answer = httpx.post(address + "/v1/analyze", files={"files": ("big.png", png(12000, 12000, data=data))})
    assert detail(answer, 422) == (
        "big.png: 12000x12000 is 144 million pixels, over the limit of 50 million pixels (the server's --max-pixels)"
    )


def test_a_decompression_bomb(address):
    for width, height in ((200_000, 200_000), (1 << 31 - 1, 1), (65_000, 65_000)):
        began = time.monotonic()
        bomb = png(width, height, data=zlib.compress(bytes(MB), 9))
        detail(httpx.post(address + "/v1/analyze", files={"files": ("bomb.png", bomb)}), 422)
        assert time.monotonic() - began < 2


def test_random_bytes(address, monkeypatch):
    monkeypatch.setattr("mien.serve.server._HEAD", 1.0)
    chance = np.random.default_rng(0)
    for start in (
        b"",
        b"\xff\xd8\xff\xe0",
        b"\x89PNG\r\n\x1a\n",
        b"GIF89a",
        b"RIFF\0\0\0\0WEBP",
        b"\0\0\0\x20ftypisom",
    ):
        noise = start + chance.bytes(50_000)
        detail(httpx.post(address + "/v1/analyze", files={"files": ("noise", noise)}, timeout=20), 422)
    with connected(address) as connection:
        connection.sendall(chance.bytes(5000) + b"\r\n\r\n")
        assert answer_of(connection).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    "line", ["Content-Length: many", "Content-Length: -1", "Transfer-Encoding: gzip", "no colon"]
)
def test_what_is_no_request_is_answered_in_the_form_of_everything_else(address, line):
    with connected(address) as connection:
        connection.sendall(head("/v1/analyze", "Content-Type: image/png", line))
        start, _, body = answer_of(connection).partition(b"\r\n\r\n")
    assert start.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 501 "))
    assert b"content-type: application/problem+json" in start
    assert json.loads(body)["status"] == 400


def test_too_many_pictures(address, content):
    answer = httpx.post(address + "/v1/analyze", files=[("files", content)] * 4)
    assert detail(answer, 413) == "these are more than 3 pictures (the server's --max-pictures)"


def test_a_client_that_goes_away_midway(address, content):
    before = failures(httpx.get(address + "/metrics").text)
    for sent in (100, len(content)):  # while it sends, and while it waits
        for _ in range(3):
            with connected(address) as connection:
                kind = "Content-Type: image/jpeg"
                connection.sendall(head("/v1/analyze", kind, f"Content-Length: {len(content)}") + content[:sent])
    picture = png(5000, 5000, data=zlib.compress(bytes(5001 * 5000), 9))
    part = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n' + picture + b"\r\n"
    for count in (3, 1, 1):  # what was to be decoded, and is not any more, takes up no room
        form = part * count + b"--x--\r\n"
        with connected(address) as connection:
            kind = "Content-Type: multipart/form-data; boundary=x"
            connection.sendall(head("/v1/analyze", kind, f"Content-Length: {len(form)}") + form)
            time.sleep(0.05)
    time.sleep(0.5)
    assert "mien_queue 0.0" in httpx.get(address + "/metrics").text
    told = httpx.get(address + "/metrics").text
    assert failures(told) == before
    assert 'route="/v1/analyze",status="499"' in told


def failures(metrics):
    lines = metrics.splitlines()
    return [line for line in lines if 'route="/v1/analyze",status="5' in line and "_total" in line]


def test_a_full_queue_is_said_at_once():
    """Large pictures occupy it; who comes then is told when to come again, and those who wait get their answer."""
    picture = io.BytesIO()
    with Image.open(EXAMPLES / "three_people.jpg") as image:
        image.resize((3000, 2000)).save(picture, "JPEG")
    with running(queue=2) as address, httpx.Client(base_url=address, timeout=60) as client:
        statuses, waits = [], []

        def ask(_):
            began = time.monotonic()
            answer = client.post("/v1/analyze", files={"files": picture.getvalue()})
            statuses.append(answer.status_code)
            if answer.status_code == 429:
                waits.append(time.monotonic() - began)
                assert answer.headers["retry-after"] == "1"
                assert "queue is full" in detail(answer, 429)

        with ThreadPoolExecutor(16) as pool:
            list(pool.map(ask, range(16)))
        assert set(statuses) == {200, 429}
        assert max(waits) < 3
        assert client.post("/v1/analyze", files={"files": picture.getvalue()}).status_code == 200


def test_a_request_with_more_pictures_than_the_queue_has_room_for(content):
    with running(queue=2, max_pictures=8) as address:
        answer = httpx.post(address + "/v1/analyze", files=[("files", content)] * 8, timeout=60)
        assert (answer.status_code, len(answer.json()["results"])) == (200, 8)


def test_work_that_takes_too_long_is_given_up():
    with running(max_seconds=1) as address:
        picture = png(6000, 6000, data=zlib.compress(bytes(6001 * 6000), 9))
        answer = httpx.post(address + "/v1/analyze?annotated=png", files=[("files", picture)] * 5, timeout=60)
        assert detail(answer, 504) == "the answer took more than 1 seconds"
        assert httpx.get(address + "/healthz").status_code == 200


def noise(width, height):
    """Return a picture that is small as a JPEG and large as a PNG."""
    grey = np.random.default_rng(0).normal(128, 30, (height, width)).clip(0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(grey).convert("RGB").save(file, "JPEG", quality=8)
    return file.getvalue()


def disk_bytes(address):
    told = httpx.get(address + "/metrics").text
    return float(next(line.split()[1] for line in told.splitlines() if line.startswith("mien_disk_bytes ")))


def test_annotated_pictures_have_a_limit(content):
    """What is small as it comes can be large as it goes."""
    large, small = noise(2500, 2000), noise(1000, 800)
    with running(max_body=1) as address:
        url = address + "/v1/analyze?annotated=png"
        for sent in ([large], [small] * 6):
            answer = httpx.post(url, files=[("files", one) for one in sent], timeout=60)
            said = detail(answer, 413)
            assert said.startswith("with annotated=png the answer would be over 4 MB")
            assert "send fewer or smaller pictures" in said
        answer = httpx.post(url, files=[("files", small), ("files", b"rubbish"), ("files", content)], timeout=60)
        assert len(answer.content) == int(answer.headers["content-length"]) > MB
        drawn, broken, face = answer.json()["results"]
        assert "annotated" not in broken and len(face["faces"]) == 1
        for record, size in ((drawn, (1000, 800)), (face, (512, 512))):
            with Image.open(io.BytesIO(base64.b64decode(record["annotated"].partition(",")[2]))) as image:
                assert image.size == size
        assert disk_bytes(address) == 0


@contextmanager
def app_running(settings, *routes):
    """Run the service with routes of the test's own, and yield its address and the app."""
    app = create_app(settings)
    for path, route in routes:
        app.get(path)(partial(route, app))
    server = Server(app, settings)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}", server
        finally:
            server.should_exit = True
            thread.join(60)
    assert not thread.is_alive()


def test_rest_page_and_live_share_the_room_for_decoded_pictures(content, tmp_path):
    """Somebody has it all; then a request, a picture of the page and a frame wait, and get their answers after it."""
    from websockets.sync.client import connect

    (tmp_path / "picture.jpg").write_bytes(content)
    free, held = threading.Event(), []

    async def hold(app: FastAPI) -> None:
        largest = png(1000, 1000, data=zlib.compress(bytes(1001 * 1000), 9))
        async with app.state.pictures.admission.decoded(lambda: largest, name="held"):
            held.append(True)
            while not free.is_set():
                await asyncio.sleep(0.01)

    async def page(app: FastAPI) -> int:
        async with app.state.pictures.alone(tmp_path / "picture.jpg", name="picture", model=None, emotions=None) as (
            _,
            result,
        ):
            return len(result.faces)

    settings = Settings(page=False, max_pixels=1, queue=2)
    with app_running(settings, ("/hold", hold), ("/page", page)) as (address, _), ThreadPoolExecutor(8) as pool:
        try:
            holding = pool.submit(httpx.get, address + "/hold", timeout=60)
            while not held:
                time.sleep(0.01)
            request = pool.submit(httpx.post, address + "/v1/analyze", files={"files": content}, timeout=60)
            picture = pool.submit(httpx.get, address + "/page", timeout=60)
            with connect(address.replace("http", "ws") + "/v1/live") as socket:
                socket.send(content)
                with pytest.raises(TimeoutError):
                    socket.recv(timeout=0.7)
                assert not request.done() and not picture.done()
                assert "mien_queue 2.0" in httpx.get(address + "/metrics").text
                answer = httpx.post(address + "/v1/analyze", files={"files": content})
                assert "queue is full" in detail(answer, 429)
                free.set()
                assert len(json.loads(socket.recv(timeout=30))["faces"]) == 1
            assert len(request.result().json()["results"][0]["faces"]) == picture.result().json() == 1
            assert holding.result().status_code == 200
        finally:
            free.set()


def test_what_the_page_has_begun_is_finished_before_its_streams_are_cut(monkeypatch):
    monkeypatch.setattr("mien.serve.guard._LAST_WORDS", 0.3)
    state = {}

    async def stream(app: FastAPI) -> StreamingResponse:
        async def work() -> None:
            with app.state.stop.work():
                await asyncio.sleep(1.5)
            state["done"] = True

        async def events() -> AsyncIterator[str]:
            working = asyncio.create_task(work())
            yield "begun\n"
            await working
            yield "done\n"
            with pytest.raises(Problem, match="the server is stopping"):
                await work()
            yield "refused\n"
            await asyncio.sleep(60)

        return StreamingResponse(events(), media_type="text/event-stream")

    with (
        app_running(Settings(page=False), ("/gradio_api/queue/data", stream)) as (address, server),
        httpx.stream("GET", address + "/gradio_api/queue/data", timeout=30) as answer,
    ):
        lines = answer.iter_lines()
        assert next(lines) == "begun"
        server.should_exit = True
        assert list(lines) == ["done", "refused"]


@pytest.mark.slow
def test_a_client_that_does_not_read_is_dropped_and_holds_up_no_stop(monkeypatch):
    monkeypatch.setattr("mien.serve.server._READS", 1.0)
    monkeypatch.setattr("mien.serve.server._READS_AT_END", 1.0)
    asked = 800
    with app_running(Settings(page=False)) as (address, server):
        length = len(httpx.get(address + "/openapi.json").content)
        assert asked * length > 12 * MB  # more than the system takes in between
        host, port = address.removeprefix("http://").split(":")

        def ask() -> socket.socket:
            client = socket.socket()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.settimeout(20)
            client.connect((host, int(port)))
            client.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * asked)
            return client

        def connections(*, some: bool) -> bool:
            end = time.monotonic() + 20
            while bool(server.server_state.connections) != some and time.monotonic() < end:
                time.sleep(0.05)
            return bool(server.server_state.connections) == some

        with ask() as client:
            assert connections(some=True) and connections(some=False)
            taken = 0
            with suppress(ConnectionResetError):
                while piece := client.recv(65536):
                    taken += len(piece)
            assert taken < asked * length
        with ask():
            assert connections(some=True)
            time.sleep(0.7)
            began = time.monotonic()
            server.should_exit = True
            assert connections(some=False)
            assert time.monotonic() - began < 5


@pytest.mark.slow
def test_a_client_that_reads_slowly_gets_its_answer(monkeypatch):
    monkeypatch.setattr("mien.serve.server._READS", 1.0)
    with running(max_body=2) as address, connected(address) as client:
        picture = noise(2500, 2000)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        asked = head("/v1/analyze?annotated=png", "Content-Type: image/jpeg", f"Content-Length: {len(picture)}")
        client.sendall(asked.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") + picture)
        taken = bytearray(client.recv(65536))
        for _ in range(10):
            time.sleep(0.2)
            taken += client.recv(100_000)
        while piece := client.recv(65536):
            taken += piece
    start, _, body = bytes(taken).partition(b"\r\n\r\n")
    assert start.startswith(b"HTTP/1.1 200 ")
    assert len(json.loads(body)["results"]) == 1


@pytest.mark.slow
def test_a_body_has_to_come_at_a_pace(monkeypatch):
    monkeypatch.setattr("mien.serve.guard._WINDOW", 1.0)
    monkeypatch.setattr("mien.serve.guard._LEAST", 2000)

    def send(address, size, times):
        def body():
            for _ in range(times):
                yield bytes(size)
                time.sleep(0.1)

        return httpx.post(address + "/v1/videos", content=body(), timeout=60)

    with running() as address:
        began = time.monotonic()
        with connected(address) as connection:
            connection.sendall(head("/v1/videos", "Content-Length: 5000"))
            said = b""
            connection.settimeout(0.1)
            while not said and time.monotonic() - began < 20:
                connection.sendall(b"-")
                with suppress(TimeoutError):
                    said = connection.recv(65536)
            connection.settimeout(20)
            said += answer_of(connection)
        assert said.startswith(b"HTTP/1.1 408 ") and b"of the body less than" in said
        assert time.monotonic() - began < 10
        assert "neither a picture nor a film" in detail(send(address, 1000, 25), 422)  # slowly, but fast enough


def test_pixels_go_with_the_answer_and_with_whoever_has_left():
    """Soon, not when garbage is collected or the next picture comes: a few large ones would fill the memory."""
    engine = Engine(Settings(page=False))
    gc.collect()
    gc.disable()
    try:
        seen = []
        for leave in (False, True):
            frames = [Frame(np.zeros((400, 400, 3), np.uint8), f"{number}") for number in range(12)]
            seen += [weakref.ref(frame.pixels) for frame in frames]
            for answer in engine.submit(frames):
                if not (leave and answer.cancel()):
                    answer.result(timeout=30)
            del frames, answer
        ends = time.monotonic() + 30
        while any(one() is not None for one in seen) and time.monotonic() < ends:
            time.sleep(0.01)
        assert all(one() is None for one in seen)
    finally:
        gc.enable()
        engine.stop()


def test_of_too_many_connections_the_idle_are_closed_and_those_at_work_go_on(monkeypatch):
    most = 8
    monkeypatch.setattr("mien.serve.server._CONNECTIONS", most)
    with app_running(Settings(page=False)) as (address, server), ExitStack() as held:
        idle = [held.enter_context(connected(address)) for _ in range(3 * most)]
        answer_of(idle[0])  # until it is closed
        assert httpx.get(address + "/healthz").status_code == 200
        busy = [held.enter_context(connected(address)) for _ in range(most)]
        for connection in busy:
            connection.sendall(head("/v1/analyze", "Content-Type: image/jpeg", "Content-Length: 9"))
        for connection in idle:
            answer_of(connection)
        while sum(one.cycle is not None for one in server.server_state.connections) < most:
            time.sleep(0.01)
        with connected(address) as late:
            refusal, _, body = answer_of(late).partition(b"\r\n\r\n")
        assert refusal.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
        assert "too many connections" in json.loads(body)["detail"]
        for connection in busy:
            connection.sendall(b"no photo!")
            assert connection.recv(65536).startswith(b"HTTP/1.1 4")
