"""Films over HTTP, as a client sends and fetches them, and what is left of them on disk."""

import asyncio
import csv
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager, suppress
from fractions import Fraction

import av
import httpx
import numpy as np
import pytest
from PIL import Image

from mien.results import columns
from mien.serve.disk import Disk
from mien.serve.jobs import FilmJobs
from mien.serve.page.film_run import FilmRuns
from mien.serve.problems import Problem
from mien.serve.settings import Settings
from mien.serve.storage import Storage

from serving import running

PATIENCE = 60.0


def make_film(path, pixels, seconds=1.0, *, rate=10, sound="aac", last=None):
    """Write a film of a picture that moves to the right, with a track of noise; `last` is the last frame's time."""
    pixels = np.ascontiguousarray(pixels[:320, 60:380])
    noise = np.random.default_rng(0)
    with av.open(str(path), "w") as output:
        pictures = output.add_stream("libx264", rate=rate, width=320, height=320, options={"preset": "ultrafast"})
        track = output.add_stream(sound, rate=48000) if sound else None
        count = round(rate * seconds)
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(np.roll(pixels, 2 * number, axis=1))
            frame.pts, frame.time_base = number, Fraction(1, rate)
            if last is not None and number == count - 1:
                frame.pts = rate * last
            output.mux(pictures.encode(frame))
        output.mux(pictures.encode(None))
        if track is not None:
            context = track.codec_context
            long = context.frame_size or 1024
            for at in range(0, round(seconds * 48000), long):
                samples = av.AudioFrame(format=context.format.name, layout="stereo", samples=long)
                for plane in samples.planes:
                    plane.update(noise.integers(0, 60, plane.buffer_size, dtype=np.uint8).tobytes())
                samples.sample_rate, samples.pts, samples.time_base = 48000, at, Fraction(1, 48000)
                output.mux(track.encode(samples))
            output.mux(track.encode(None))
    return path


@pytest.fixture(scope="module")
def clip(tmp_path_factory, astronaut_pixels):
    return make_film(tmp_path_factory.mktemp("films") / "clip.mp4", astronaut_pixels)


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory, astronaut_pixels):
    """A film on which the server is busy for long enough to be interrupted."""
    return make_film(tmp_path_factory.mktemp("films") / "long.mp4", astronaut_pixels, 40.0, sound=None)


@contextmanager
def serving(folder, **settings):
    """Run a server that puts all it has on disk into `folder`."""
    before, tempfile.tempdir = tempfile.tempdir, str(folder)
    try:
        with running(**settings) as base:
            tempfile.tempdir = before
            yield base
    finally:
        tempfile.tempdir = before


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """The folder of the server that most tests use."""
    return tmp_path_factory.mktemp("storage")


@pytest.fixture(scope="module")
def url(place):
    with serving(place, keep=300, max_duration=60, jobs=100) as base:
        yield base


def files(place) -> list[str]:
    return [str(path.relative_to(place)) for path in place.rglob("*") if path.is_file()]


def send(base, path, **options) -> httpx.Response:
    with path.open("rb") as file:
        return httpx.post(f"{base}/v1/videos", files={"file": (path.name, file)}, params=options, timeout=PATIENCE)


def ended(base, answer) -> dict:
    """Wait until a film is done with."""
    assert answer.status_code == 202, answer.text
    end = time.monotonic() + PATIENCE
    while (job := httpx.get(base + answer.headers["location"]).json())["state"] in ("queued", "running"):
        assert time.monotonic() < end
        time.sleep(0.02)
    return job


def begun(base, answer) -> str:
    """Wait until the first frame of a film is analysed, and return where it is."""
    here = base + answer.headers["location"]
    while not httpx.get(here).json()["frames"]:
        time.sleep(0.01)
    return here


def delete_all(base, *answers) -> None:
    for answer in answers:
        assert httpx.delete(base + answer.headers["location"]).status_code == 204


def problem(answer, status) -> str:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status
    assert "\n" not in answer.json()["detail"] and "mien-serve-" not in answer.text
    return answer.json()["detail"]


def test_records_are_those_of_the_library(url, clip, analyzer):
    job = ended(url, send(url, clip))
    links = job["links"]
    answer = httpx.get(url + links["results"])
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    records = [json.loads(line) for line in answer.text.splitlines()]
    alone = [{**result.to_record(), "source": "clip.mp4"} for result in analyzer.stream(clip)]
    assert records == alone and len(records) == 10
    assert {face["track"] for record in records for face in record["faces"]} == {1}

    rows = list(csv.DictReader(io.StringIO(httpx.get(url + links["results.csv"]).text)))
    assert list(rows[0]) == columns(analyzer.emotions) and len(rows) == 10
    persons = httpx.get(url + links["summary"]).json()["persons"]
    assert [person["track"] for person in persons] == [1]
    assert sum(persons[0]["emotions"].values()) == pytest.approx(1.0, abs=0.01)
    assert httpx.get(url + links["timeline.png"]).content.startswith(b"\x89PNG")
    assert (job["state"], job["progress"], job["frames"], job["error"]) == ("done", 1.0, 10, None)
    assert 0 < job["expires_in"] <= 300


def test_the_annotated_film_has_its_sound_and_can_be_sought_in(url, clip):
    here = url + ended(url, send(url, clip))["links"]["annotated"]
    answer = httpx.get(here)
    assert answer.headers["content-type"] == "video/mp4"
    with av.open(str(clip)) as original, av.open(io.BytesIO(answer.content)) as annotated:
        assert [bytes(p) for p in annotated.demux(audio=0)] == [bytes(p) for p in original.demux(audio=0)]
    with av.open(io.BytesIO(answer.content)) as annotated:
        assert sum(1 for _ in annotated.decode(video=0)) == 10
    part = httpx.get(here, headers={"Range": "bytes=100-199"})
    assert part.status_code == 206 and part.content == answer.content[100:200]
    assert httpx.get(here, headers={"Range": f"bytes={10**9}-"}).status_code == 416


def test_sound_that_mp4_cannot_hold_is_left_out(url, tmp_path, astronaut_pixels):
    film = make_film(tmp_path / "camera.mkv", astronaut_pixels, sound="pcm_s16le")
    job = ended(url, send(url, film))
    assert job["state"] == "done"
    with av.open(io.BytesIO(httpx.get(url + job["links"]["annotated"]).content)) as annotated:
        assert not annotated.streams.audio and sum(1 for _ in annotated.decode(video=0)) == 10


def test_a_set_of_emotions_and_no_annotated_film(url, clip, analyzer):
    job = ended(url, send(url, clip, emotions="three", annotated="false"))
    record = json.loads(httpx.get(url + job["links"]["results"]).text.splitlines()[0])
    wanted = next(analyzer.restricted("three").stream(clip)).to_record()
    assert set(record["faces"][0]["scores"]) == {"angry", "happy", "sad"}
    assert record["faces"] == wanted["faces"]
    assert "annotated" not in job["links"]
    assert "not asked for" in problem(httpx.get(f"{url}{job['links']['self']}/annotated"), 404)


def test_a_film_as_the_body_itself(url, clip):
    answer = httpx.post(f"{url}/v1/videos?name=../of%20mine%0A.mp4&annotated=false", content=clip.read_bytes())
    job = ended(url, answer)
    assert job["name"] == "of mine\\n.mp4" and job["state"] == "done"
    assert answer.json()["links"]["self"] == answer.headers["location"]


def test_a_moving_picture_is_a_film(url, tmp_path, astronaut):
    with Image.open(astronaut) as image:
        still = image.convert("RGB").resize((256, 256))
    still.save(tmp_path / "wave.gif", save_all=True, append_images=[still.rotate(number) for number in (2, 4, 6)])
    job = ended(url, send(url, tmp_path / "wave.gif"))
    assert (job["state"], job["frames"]) == ("done", 4)
    assert [person["track"] for person in httpx.get(url + job["links"]["summary"]).json()["persons"]] == [1]
    with av.open(io.BytesIO(httpx.get(url + job["links"]["annotated"]).content)) as annotated:
        assert sum(1 for _ in annotated.decode(video=0)) == 4


def test_results_before_the_end(url, long_clip):
    answer = send(url, long_clip)
    here = begun(url, answer)
    job = httpx.get(here).json()
    assert job["state"] == "running" and 0 <= job["progress"] < 1 and set(job["links"]) == {"self"}
    for what in ("results", "results.csv", "annotated", "timeline.png", "summary"):
        assert "not done yet" in problem(httpx.get(f"{here}/{what}"), 409)
    delete_all(url, answer)


def test_unknown_films(url):
    for what in ("", "/results", "/results.csv", "/annotated", "/timeline.png", "/summary"):
        assert "no such film" in problem(httpx.get(f"{url}/v1/videos/nobody{what}"), 404)
    problem(httpx.delete(f"{url}/v1/videos/nobody"), 404)


def test_cancelling_leaves_nothing(place, url, long_clip, clip):
    before = files(place)
    running_film, waiting = send(url, long_clip), send(url, clip)
    here = begun(url, running_film)
    assert len(files(place)) > len(before)
    began = time.monotonic()
    delete_all(url, running_film, waiting)
    assert time.monotonic() - began < 5
    assert files(place) == before
    problem(httpx.get(here), 404)
    finished = send(url, clip)
    ended(url, finished)
    delete_all(url, finished)
    assert files(place) == before


def test_a_film_of_nothing_but_damage_can_be_cancelled(place, url, tmp_path, astronaut_pixels):
    """No frame comes of it at which the server could look whether to go on."""
    whole, film = make_film(tmp_path / "whole.mkv", astronaut_pixels, 0.2, sound=None), tmp_path / "damage.mkv"
    with av.open(str(whole)) as good, av.open(str(film), "w") as output:
        stream = output.add_stream_from_template(good.streams.video[0])
        for number in range(200_000):
            packet = av.Packet(b"\0\0\0\2\x41\xff")
            packet.pts = packet.dts = number // 10
            packet.time_base, packet.stream = Fraction(1, 1000), stream
            output.mux_one(packet)
    before = files(place)
    here = url + (answer := send(url, film)).headers["location"]
    while httpx.get(here).json()["state"] == "queued":
        time.sleep(0.01)
    time.sleep(0.1)
    assert httpx.get(here).json()["state"] == "running"
    began = time.monotonic()
    delete_all(url, answer)
    assert time.monotonic() - began < 1.5
    assert files(place) == before


def test_what_is_no_film_is_told_by_its_name(place, url, tmp_path, astronaut, clip, astronaut_pixels):
    before = files(place)
    noise = tmp_path / "noise.mp4"
    noise.write_bytes(os.urandom(20_000))
    assert problem(send(url, noise), 422).startswith("noise.mp4: neither a picture nor a film")
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(clip.read_bytes()[:3000])
    assert problem(send(url, cut), 422).startswith("cut.mp4: ")
    song = tmp_path / "song.mp4"
    with av.open(str(clip)) as film, av.open(str(song), "w") as output:
        track = output.add_stream_from_template(film.streams.audio[0])
        for packet in film.demux(audio=0):
            if packet.dts is not None:
                packet.stream = track
                output.mux(packet)
    assert problem(send(url, song), 422) == "song.mp4: there is no video in it, only sound"
    job = ended(url, still := send(url, astronaut))
    assert job["state"] == "failed" and job["error"].startswith("astronaut.jpg: it is a picture, not a film")
    assert "it is a picture" in problem(httpx.get(f"{url}{job['links']['self']}/results"), 409)
    delete_all(url, still)
    assert files(place) == before


def test_no_film_at_all(place, url):
    before = files(place)
    assert "no film came" in problem(httpx.post(f"{url}/v1/videos"), 400)
    assert "no film came" in problem(httpx.post(f"{url}/v1/videos", files={"file": ("a.mp4", b"")}), 400)
    assert "no field" in problem(httpx.post(f"{url}/v1/videos", files={"film": ("a.mp4", b"abc")}), 400)
    two = [("file", ("a.mp4", b"abc")), ("file", ("b.mp4", b"abc"))]
    assert "more than one" in problem(httpx.post(f"{url}/v1/videos", files=two), 400)
    for kind in (
        "multipart/form-data",
        "multipart/form-data; boundary=x",
        f"multipart/form-data; boundary={'x' * 999}",
    ):
        answer = httpx.post(f"{url}/v1/videos", content=b"--x\r\nnothing", headers={"Content-Type": kind})
        assert "form is broken" in problem(answer, 400)
    huge = b"--x\r\nContent-Disposition: form-data; " + b"a" * 200_000
    answer = httpx.post(f"{url}/v1/videos", content=huge, headers={"Content-Type": "multipart/form-data; boundary=x"})
    assert "form is broken" in problem(answer, 400)
    assert "no model" in problem(httpx.post(f"{url}/v1/videos?model=other", content=b"abc"), 404)
    assert files(place) == before


def test_a_form_of_thousands_of_parts_is_not_gone_through(place, url):
    part = b'--x\r\nContent-Disposition: form-data; name="other"\r\n\r\nabc\r\n'
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    before = files(place)
    answer = httpx.post(url + "/v1/videos", content=50 * part + b"--x--\r\n", headers=kind)
    assert problem(answer, 400) == "the form has more than 16 parts; all that counts is the field `file`"
    assert files(place) == before


def test_a_film_of_ten_hours_by_its_header(place, url, tmp_path, astronaut_pixels):
    film = make_film(tmp_path / "endless.mp4", astronaut_pixels, sound=None, last=36_000)
    before = files(place)
    assert (
        problem(send(url, film), 422) == "endless.mp4: it lasts 10 h, and the limit here is 1 min; send a part of it"
    )
    assert files(place) == before


def test_limits_by_what_really_comes(tmp_path, astronaut_pixels):
    long = make_film(tmp_path / "long.h264", astronaut_pixels, 3.0, sound=None)  # states no length
    dense = make_film(tmp_path / "dense.mp4", astronaut_pixels, 0.6, rate=100, sound=None)
    with running(max_duration=1, max_frames=40) as base:
        job = ended(base, send(base, long, annotated="false"))
        assert job["progress"] is None
        assert job["state"] == "failed" and job["error"].startswith("long.h264: it lasts longer than 1.0 s")
        job = ended(base, send(base, dense, annotated="false"))
        assert job["state"] == "failed" and job["error"].startswith("dense.mp4: it has more than 40 frames")
        kept = httpx.get(base + job["links"]["results"]).text.splitlines()
        assert len(kept) == job["frames"] == 40  # what was found up to there is not lost


@pytest.mark.slow
def test_time_is_limited_and_results_are_kept_for_a_while(tmp_path, long_clip):
    with serving(tmp_path, max_film_seconds=1, keep=1) as base:
        answer = send(base, long_clip)
        job = ended(base, answer)
        assert job["state"] == "failed" and "it was not done in 1.0 s" in job["error"]
        assert 0 < job["frames"] == len(httpx.get(base + job["links"]["results"]).text.splitlines())
        time.sleep(1.1)
        assert "time was over" in problem(httpx.get(base + answer.headers["location"]), 404)
        assert files(tmp_path) == []


def test_a_film_that_breaks_off_keeps_what_came_before(url, tmp_path, astronaut_pixels):
    film = make_film(tmp_path / "short.mkv", astronaut_pixels, 4.0, sound=None)
    film.write_bytes(film.read_bytes()[: film.stat().st_size // 2])
    job = ended(url, send(url, film))
    assert job["state"] == "failed" and job["error"].startswith("short.mkv: ")
    records = [json.loads(line) for line in httpx.get(url + job["links"]["results"]).text.splitlines()]
    assert 0 < len(records) - 1 == job["frames"] and records[-1]["error"] == job["error"]


def test_too_many_films(tmp_path, long_clip, clip):
    with serving(tmp_path, jobs=2) as base:
        first, second = send(base, long_clip), send(base, clip)
        refused = send(base, clip)
        assert "2 films are worked on or kept already" in problem(refused, 429)
        assert int(refused.headers["retry-after"]) >= 1
        delete_all(base, first)
        assert ended(base, second)["state"] == "done"
        assert ended(base, send(base, clip))["state"] == "done"
        assert os.listdir(tmp_path)
    assert os.listdir(tmp_path) == []


def test_a_client_that_goes_away_leaves_nothing(place, url):
    before = files(place)
    gone = threading.Event()

    def body():
        for _ in range(40):
            yield b"\0" * 100_000
        end = time.monotonic() + PATIENCE
        while files(place) == before and time.monotonic() < end:
            time.sleep(0.01)
        gone.set()
        raise ConnectionError

    with pytest.raises(ConnectionError):
        httpx.post(f"{url}/v1/videos", content=body())
    assert gone.is_set()
    end = time.monotonic() + PATIENCE
    while files(place) != before and time.monotonic() < end:
        time.sleep(0.01)
    assert files(place) == before


def test_a_server_that_stops_leaves_nothing(tmp_path, long_clip):
    with serving(tmp_path) as base:
        begun(base, send(base, long_clip))
        assert files(tmp_path)
    assert os.listdir(tmp_path) == []


def test_what_a_killed_server_leaves_is_swept(tmp_path, long_clip):
    program = (
        "import socket, sys\n"
        "from mien.serve.app import create_app\n"
        "from mien.serve.server import Server\n"
        "from mien.serve.settings import Settings\n"
        "listener = socket.create_server(('127.0.0.1', 0))\n"
        "print(listener.getsockname()[1], flush=True)\n"
        "settings = Settings(page=False)\n"
        "Server(create_app(settings), settings).run(sockets=[listener])\n"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        try:
            base = f"http://127.0.0.1:{int(server.stdout.readline())}"
            begun(base, send(base, long_clip))
        finally:
            server.kill()
    assert files(tmp_path)
    with Storage(tmp_path) as storage:
        assert [name for name in os.listdir(tmp_path) if name.startswith("mien-")] == [storage.path.name]
        assert storage.path.stat().st_mode & 0o777 == 0o700


def padded(film, path, size):
    """Write a film with so many bytes that nobody needs behind it."""
    path.write_bytes(film.read_bytes() + (size + 8).to_bytes(4, "big") + b"free" + bytes(size))
    return path


def test_what_lies_on_disk_has_a_limit(tmp_path, astronaut_pixels, clip):
    """By its head, and as it comes; what is deleted makes room."""
    long = make_film(tmp_path / "long.mp4", astronaut_pixels, 120.0, sound=None)
    large = padded(long, tmp_path / "large.mp4", 1_500_000 - long.stat().st_size)
    half = padded(clip, tmp_path / "half.mp4", 1_000_000)
    folder = tmp_path / "storage"
    folder.mkdir()
    with serving(folder, max_body=2, max_film=2, max_disk=2) as base:
        first = send(base, large)
        begun(base, first)
        before = files(folder)
        refused = send(base, half)
        assert problem(refused, 507).startswith("the server keeps 2 MB at most (its --max-disk)")
        assert refused.headers["retry-after"] == "30"
        told = httpx.get(base + "/metrics").text
        assert 1_500_000 < float(re.search(r"^mien_disk_bytes (\S+)$", told, re.MULTILINE)[1]) < 2 << 20

        def slices():
            for start in range(0, 1_100_000, 100_000):
                yield half.read_bytes()[start : start + 100_000]

        for path in ("/v1/videos", "/v1/analyze"):
            answer = httpx.post(base + path, content=slices(), headers={"Content-Type": "application/octet-stream"})
            assert "--max-disk" in problem(answer, 507)
        assert files(folder) == before
        delete_all(base, first)
        assert files(folder) == []
        done = send(base, half)
        assert ended(base, done)["state"] == "done"
        delete_all(base, done)


@pytest.mark.slow
def test_a_film_for_whose_copy_there_is_no_room_is_refused(tmp_path):
    film = tmp_path / "film.mp4"
    film.write_bytes(bytes(3 << 20))
    with Storage(tmp_path) as storage:
        disk = Disk(2)
        disk.watch(storage.path)
        jobs = FilmJobs(None, Settings(jobs=1), storage, disk)  # an engine they need only for work
        try:
            run = FilmRuns(jobs).begin("token")
            with pytest.raises(Problem, match="--max-disk"):
                asyncio.run(run.start(film, name="film.mp4", model=None, emotions=None))
            assert list(storage.path.iterdir()) == []
            jobs.release(jobs.reserve())  # its place is free again
        finally:
            jobs.close()


def test_results_that_grow_beyond_what_there_is_room_for_are_cut(tmp_path, long_clip):
    large = padded(long_clip, tmp_path / "large.mp4", 600_000)
    with running(max_body=1, max_film=1, max_disk=1) as base:
        job = ended(base, send(base, large))
        assert job["state"] == "failed" and "--max-disk" in job["error"] and job["error"].startswith("large.mp4: ")
        assert 0 < job["frames"] < 400
        assert len(httpx.get(base + job["links"]["results"]).text.splitlines()) == job["frames"]


def test_a_server_that_is_stopped_while_it_loads_leaves_nothing(tmp_path):
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-m", "mien", "serve", "--port", "0"]  # with the page, which takes long to load
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as server:
        try:
            end = time.monotonic() + PATIENCE
            while not list(tmp_path.glob("mien-serve-*")) and time.monotonic() < end:
                time.sleep(0.005)
            time.sleep(0.1)
            server.terminate()
            said = server.stderr.read()
            assert server.wait(PATIENCE) == 0
        finally:
            server.kill()
    assert "listening" not in said and "Traceback" not in said
    assert not list(tmp_path.glob("mien-serve-*"))


def test_what_is_written_while_a_storage_is_closed_does_not_stay(tmp_path):
    storage = Storage(tmp_path)
    stop = threading.Event()

    def write():
        while not stop.is_set():
            with suppress(OSError):
                storage.file().write_bytes(b"late")
            time.sleep(0.0005)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(0.1)
    storage.close()
    stop.set()
    for thread in threads:
        thread.join()
    assert os.listdir(tmp_path) == []


def test_servers_do_not_sweep_each_other(tmp_path):
    with Storage(tmp_path) as one:
        kept = one.file(".mp4")
        with Storage(tmp_path):
            assert kept.exists() and len(os.listdir(tmp_path)) == 2
    assert os.listdir(tmp_path) == []
