"""Cameras and streams hand over the newest frame, and say in time and in one line what is wrong."""

import contextlib
import http.server
import io
import os
import re
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import pytest

from mien.errors import SourceError
from mien.sources import Selection, is_stream, open_media, read_frames, read_picture
from mien.sources import live as live_module
from test_films import encode

Handler = Callable[[http.server.BaseHTTPRequestHandler], None]


@contextlib.contextmanager
def serving(answer: Handler) -> Iterator[str]:
    """Serve every GET on 127.0.0.1 by `answer`; yield the URL."""

    class Handling(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with contextlib.suppress(ConnectionError):
                answer(self)

        def log_message(self, *_: object) -> None: ...

    class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
        daemon_threads = True
        block_on_close = False

    with Server(("127.0.0.1", 0), Handling) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/stream"
        server.shutdown()


def begin(request: http.server.BaseHTTPRequestHandler, kind: str = "video/mp2t") -> None:
    request.send_response(200)
    request.send_header("Content-Type", kind)
    request.end_headers()


def in_real_time(data: bytes, seconds: float, *, then: Handler = lambda _: None) -> Handler:
    """Send `data` over so many seconds, all but its first third, by which the stream is known."""

    def answer(request: http.server.BaseHTTPRequestHandler) -> None:
        begin(request)
        known = len(data) // 3
        request.wfile.write(data[:known])
        step = -(-(len(data) - known) // 40)
        for place in range(known, len(data), step):
            request.wfile.write(data[place : place + step])
            request.wfile.flush()
            time.sleep(seconds / 40)
        then(request)

    return answer


@pytest.fixture(scope="module")
def transport_stream() -> bytes:
    return encode("mpegts", frames=90, size=(128, 96), rate=30, noise=True)


def reading_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("mien ")]


def wait_for(condition: Callable[[], bool], seconds: float = 2.0) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return condition()


def test_a_slow_consumer_gets_the_newest_frames(transport_stream):
    with serving(in_real_time(transport_stream, 1.5)) as url, open_media(url) as media:
        assert media.live
        assert media.duration is None
        seen = []
        for frame in media.frames:
            seen.append((frame.index, frame.time))
            assert frame.source == url
            assert frame.pixels.shape == (96, 128, 3)
            time.sleep(0.2)
    numbers = [index for index, _ in seen]
    assert numbers == sorted(set(numbers))
    assert 3 <= len(numbers) <= 20  # of 90: what came while nobody looked is gone
    assert numbers[-1] == 89
    for index, moment in seen:
        assert moment == pytest.approx(index / 30, abs=0.002)
    assert wait_for(lambda: not reading_threads())


def test_what_is_selected_of_a_stream(transport_stream):
    with serving(in_real_time(transport_stream, 0.6)) as url:
        times = [frame.time for frame in read_frames(url, selection=Selection(start=1, end=2.5))]
    assert times
    assert min(times) >= 1 and max(times) < 2.5


def test_a_picture_of_a_stream_and_then_no_more(transport_stream):
    """Closing early ends the thread, long before the stream ends."""
    with serving(in_real_time(transport_stream, 8)) as url:
        assert read_picture(url).pixels.shape == (96, 128, 3)
        assert wait_for(lambda: not reading_threads(), 1.5)


def test_pictures_one_after_the_other_are_a_stream():
    """As cheap cameras send: multipart JPEG, which says nothing of time, so that the clock on the wall does."""
    from PIL import Image

    stream = io.BytesIO()
    Image.new("RGB", (64, 48), (200, 30, 40)).save(stream, "JPEG")
    part = b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % stream.tell() + stream.getvalue()

    def answer(request: http.server.BaseHTTPRequestHandler) -> None:
        begin(request, "multipart/x-mixed-replace; boundary=frame")
        for _ in range(40):
            request.wfile.write(part + b"\r\n")
            request.wfile.flush()
            time.sleep(0.02)

    with serving(answer) as url:
        frames = list(read_frames(url))
    assert frames
    assert abs(frames[-1].pixels.astype(int) - (200, 30, 40)).max() <= 4
    assert 0 <= frames[0].time <= frames[-1].time < 2


def test_a_stream_of_which_nothing_can_be_decoded():
    data = bytearray(encode("mpegts", frames=24, noise=True, gop=1000))
    with av.open(io.BytesIO(bytes(data))) as container:
        second = [packet.pos for packet in container.demux(video=0) if packet.size][1]
    rest = bytes(data[: 3 * 188] + data[second // 188 * 188 :])

    def answer(request):
        begin(request)
        request.wfile.write(rest)

    with (
        serving(answer) as url,
        pytest.raises(SourceError, match=r"no frame of it could be decoded|coded in a way"),
    ):
        list(read_frames(url))


def test_a_stream_that_breaks_off(transport_stream):
    """After the frames so far."""

    def answer(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Transfer-Encoding", "chunked")
        request.end_headers()
        part = transport_stream[: len(transport_stream) // 2]
        request.wfile.write(b"%x\r\n" % len(transport_stream) + part)
        request.wfile.flush()
        time.sleep(0.2)
        reset = b"\1\0\0\0\0\0\0\0"
        request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
        request.connection.close()

    seen = []
    with serving(answer) as url, pytest.raises(SourceError, match=f"^{re.escape(url)}: the stream has broken off"):
        seen.extend(frame.index for frame in read_frames(url))
    assert seen


def test_a_stream_that_falls_silent(transport_stream, monkeypatch):
    monkeypatch.setattr(live_module, "READ_TIMEOUT", 0.4)
    silent = threading.Event()
    with serving(in_real_time(transport_stream, 0.2, then=lambda _: silent.wait(10))) as url:
        seen = []
        with pytest.raises(SourceError, match=r"stream: nothing has come for 0\.4 s$"):
            seen.extend(frame.index for frame in read_frames(url))
        silent.set()
    assert seen


def test_a_server_that_says_nothing_at_all(monkeypatch):
    monkeypatch.setattr(live_module, "OPEN_TIMEOUT", 0.3)
    silent = threading.Event()
    with serving(lambda _: silent.wait(10)) as url:
        with pytest.raises(SourceError, match=r"stream: nothing has come for 0\.3 s$"):
            read_picture(url)
        silent.set()


def with_ranges(data: bytes) -> Handler:
    def answer(request: http.server.BaseHTTPRequestHandler) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("Range", ""))
        first = int(asked[1]) if asked else 0
        last = int(asked[2]) if asked and asked[2] else len(data) - 1
        request.send_response(206 if asked else 200)
        request.send_header("Accept-Ranges", "bytes")
        request.send_header("Content-Length", str(last + 1 - first))
        if asked:
            request.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
        request.end_headers()
        request.wfile.write(data[first : last + 1])

    return answer


@pytest.mark.parametrize("form", ["mp4", "matroska"])
def test_a_film_on_a_web_server_is_read_whole(form):
    data = encode(form, frames=48)
    wanted = [(frame.index, frame.time) for frame in read_frames(data)]
    with serving(with_ranges(data)) as url:
        with open_media(url) as media:
            assert not media.live
            assert media.duration == pytest.approx(2, abs=0.05)
            seen = []
            for frame in media.frames:
                seen.append((frame.index, frame.time))
                time.sleep(0.002)
        assert seen == wanted
        later = [(frame.index, frame.time) for frame in read_frames(url, selection=Selection(start=1.2))]
        assert later == [known for known in wanted if known[1] >= 1.2]


def test_an_address_where_nothing_is():
    with serving(lambda request: request.send_error(404)) as url, pytest.raises(SourceError, match="404"):
        read_picture(url)
    with pytest.raises(SourceError, match=r"refused|reset"):
        read_picture(url)


def test_a_playlist_from_elsewhere_does_not_have_files_read(tmp_path):
    secret = tmp_path / "secret.ts"
    secret.write_bytes(encode("mpegts", frames=24))
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{secret}\n#EXT-X-ENDLIST\n".encode()

    def answer(request: http.server.BaseHTTPRequestHandler) -> None:
        begin(request, "application/vnd.apple.mpegurl")
        request.wfile.write(playlist)

    with serving(answer) as url, pytest.raises(SourceError):
        read_picture(url + ".m3u8")


@pytest.mark.parametrize(
    "address", ["http://user:s3cret@127.0.0.1:{port}/", "rtsp://user:s3cret@127.0.0.1:{port}/cam?x=1"]
)
def test_a_password_is_not_shown(address):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = address.format(port=taken.getsockname()[1])
        with pytest.raises(SourceError) as caught:
            read_picture(url)
    assert "s3cret" not in str(caught.value)
    assert str(caught.value).startswith(url.replace("s3cret", "***"))


def test_a_password_is_not_in_results_either(transport_stream):
    with serving(in_real_time(transport_stream, 0.1)) as url:
        frame = read_picture(url.replace("http://", "http://me:s3cret@"))
    assert frame.source == url.replace("http://", "http://me:***@")


def test_a_camera_that_is_not_there(monkeypatch):
    missing = next(number for number in range(40, 99) if not os.path.exists(f"/dev/video{number}"))
    for cameras, there in (
        ([], r"no camera is connected \(there is no /dev/video\*\)"),
        (["video10", "video2", "video-x"], "there is camera:2, camera:10"),
    ):
        monkeypatch.setattr(Path, "glob", lambda self, _, cameras=cameras: [self / name for name in cameras])
        wanted = rf"^camera:{missing}: there is no such camera \(/dev/video{missing}\); {there}$"
        with pytest.raises(SourceError, match=wanted):
            read_picture(f"camera:{missing}")


def test_what_is_no_camera(tmp_path):
    path = tmp_path / "video"
    path.write_bytes(b"")
    with pytest.raises(SourceError, match=r"cannot be opened|was built without v4l2") as caught:
        read_picture(f"camera:{path}")
    assert len(str(caught.value).splitlines()) == 1


def test_without_v4l2_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(live_module, "_has_format", lambda _: False)
    path = tmp_path / "video"
    path.write_bytes(b"")
    with pytest.raises(SourceError, match=r"without v4l2.*pip install --no-binary av av.*udp://127\.0\.0\.1:9000"):
        read_picture(f"camera:{path}")


@pytest.mark.parametrize(
    ("name", "stream"),
    [
        ("camera:0", True),
        ("camera:/dev/video2", True),
        ("rtsp://10.0.0.1/cam", True),
        ("HTTPS://example.org/a.mp4", True),
        ("udp://127.0.0.1:9000", True),
        ("camera:", False),
        ("./camera:0", False),
        ("http:x", False),
        ("file:///etc/passwd", False),
        ("concat:a|b", False),
        ("clip.mp4", False),
        ("-", False),
    ],
)
def test_what_is_a_stream_by_its_name(name, stream):
    assert is_stream(name) is stream


def test_a_program_that_ends_while_a_stream_is_read_ends_well(transport_stream):
    code = """
import sys
from mien.sources import read_frames
frames = read_frames(sys.argv[1])
print(next(frames).index >= 0)
sys.exit(3)
"""
    with serving(in_real_time(transport_stream, 8)) as url:
        for _ in range(3):
            done = subprocess.run([sys.executable, "-c", code, url], capture_output=True, text=True, timeout=30)
            assert (done.returncode, done.stdout, done.stderr) == (3, "True\n", "")
