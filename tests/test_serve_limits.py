"""What is too large, too slow, too much or broken is cut by its limit, and the next request is served."""

import io
import socket
import struct
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import httpx
import numpy as np
import pytest
from PIL import Image

from conftest import EXAMPLES
from serving import running

MB = 1 << 20


@pytest.fixture(scope="module")
def content():
    return (EXAMPLES / "astronaut.jpg").read_bytes()


@pytest.fixture(scope="module")
def address():
    with running(max_body=2, max_film=4, max_seconds=2, max_film_seconds=2, max_pictures=3, queue=4) as address:
        yield address


@pytest.fixture(autouse=True)
def _the_next_request_is_served(address, content):
    yield
    answer = httpx.post(address + "/v1/analyze", files={"files": content}, timeout=30)
    assert (answer.status_code, len(answer.json()["results"][0]["faces"])) == (200, 1)


def detail(answer, status):
    """Return what a problem document says."""
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    return answer.json()["detail"]


@contextmanager
def connected(address):
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        yield connection


def answer_of(connection):
    """Return all that comes until the server closes."""
    return b"".join(iter(lambda: connection.recv(65536), b""))


def head(path, *lines):
    return "\r\n".join([f"POST {path} HTTP/1.1", "Host: x", *lines, "", ""]).encode()


def png(width, height, *, data=b""):
    """Return a PNG of so many grey pixels, whatever its data are."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def test_a_body_too_large_by_its_head(address):
    answer = httpx.post(address + "/v1/analyze", files={"files": bytes(3 * MB)})
    assert detail(answer, 413) == "this request is over the limit of 2 MB (--max-body)"


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
    assert detail(answer, 413) == "a film is over the limit of 4 MB (--max-film)"


@pytest.mark.parametrize("path", ["/v1/analyze", "/v1/videos"])
def test_a_slow_body_is_cut(address, path):
    with connected(address) as connection:
        connection.sendall(head(path, "Content-Type: application/octet-stream", "Content-Length: 5000"))
        began = time.monotonic()
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
        assert time.monotonic() - began < 5


def test_a_head_that_does_not_come_is_cut(address, monkeypatch):
    monkeypatch.setattr("mien.serve.server._HEAD", 1.0)
    with connected(address) as connection:
        connection.sendall(b"POST /v1/analyze HTTP/1.1\r\nHost: x\r\n")
        began = time.monotonic()
        answer_of(connection)
        assert time.monotonic() - began < 5


def test_a_picture_of_144_million_pixels(address):
    data = zlib.compress(bytes(12001 * 12000), 9)
    answer = httpx.post(address + "/v1/analyze", files={"files": ("big.png", png(12000, 12000, data=data))})
    assert "big.png: 12000x12000 is 144 million pixels, over the limit of 50 million pixels" in detail(answer, 422)


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


def test_too_many_pictures(address, content):
    answer = httpx.post(address + "/v1/analyze", files=[("files", content)] * 4)
    assert detail(answer, 413) == "these are more than 3 pictures (--max-pictures)"


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
    with running(queue=2) as address:
        statuses, waits = [], []

        def ask(_):
            began = time.monotonic()
            answer = httpx.post(address + "/v1/analyze", files={"files": picture.getvalue()}, timeout=60)
            statuses.append(answer.status_code)
            if answer.status_code == 429:
                waits.append(time.monotonic() - began)
                assert answer.headers["retry-after"] == "1"
                assert "queue is full" in detail(answer, 429)

        with ThreadPoolExecutor(16) as pool:
            list(pool.map(ask, range(16)))
        assert set(statuses) == {200, 429}
        assert max(waits) < 2
        assert httpx.post(address + "/v1/analyze", files={"files": picture.getvalue()}, timeout=60).status_code == 200


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
