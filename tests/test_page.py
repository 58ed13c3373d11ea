"""The page in a real browser, on a real server; and what it refuses to those who speak to it directly."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import logging
import re
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import av
import httpx
import numpy as np
import pytest
from PIL import Image

gradio = pytest.importorskip("gradio", reason="needs the extra serve")
playwright = pytest.importorskip("playwright.sync_api", reason="needs Playwright")

from starlette.types import Message, Receive, Scope, Send  # noqa: E402

import mien  # noqa: E402
from mien.emotions import SETS, Emotion  # noqa: E402
from mien.models.metadata import KEY as METADATA  # noqa: E402
from mien.serve.jobs import FilmJobs  # noqa: E402
from mien.serve.logs import JsonLines  # noqa: E402
from mien.serve.page.fence import Fence  # noqa: E402
from mien.serve.page.film_run import FilmRuns  # noqa: E402
from mien.serve.page.sessions import Sessions  # noqa: E402
from mien.serve.page.uploads import Uploads  # noqa: E402

from conftest import ASTRONAUT_FACE, COMPLETE, EXAMPLES, overlap, write_model  # noqa: E402
from serving import running  # noqa: E402

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
    *("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"),
]
ACCESSIBILITY = Path(__file__).with_name("accessibility.js").read_text(encoding="utf-8")
FOCUSED = """() => {
    const one = document.activeElement, seen = [one, one.closest('label')].filter(Boolean).map(getComputedStyle);
    return [one.getAttribute('aria-label') || one.innerText || one.value || '',
            seen.some(style => style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2)];
}"""
KEY = "a key that nobody guesses"
CLOSES = b'{"msg":"close_stream"'
expect = playwright.expect


@pytest.fixture(scope="module")
def temporary(tmp_path_factory) -> Iterator[Path]:
    """Where this process puts temporary files meanwhile."""
    folder = tmp_path_factory.mktemp("temporary")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(folder))
        patch.setattr("tempfile.tempdir", None)
        yield folder


@pytest.fixture(scope="module")
def server(temporary) -> Iterator[str]:
    with running(page=True) as address:
        yield address
    assert not list(temporary.glob("mien-serve-*")), "files outlive the server"


@pytest.fixture(scope="module")
def client(server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    if not CHROMIUM.exists():
        pytest.skip(f"needs {CHROMIUM}")
    camera = tmp_path_factory.mktemp("camera") / "face.y4m"
    with Image.open(EXAMPLES / "astronaut.jpg") as image:
        planes = image.convert("RGB").crop((0, 0, 512, 384)).resize((640, 480)).convert("YCbCr").split()
    frame = b"FRAME\n" + planes[0].tobytes() + b"".join(plane.reduce(2).tobytes() for plane in planes[1:])
    camera.write_bytes(b"YUV4MPEG2 W640 H480 F30:1 Ip A1:1 C420jpeg\n" + 4 * frame)
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(
            executable_path=CHROMIUM, args=[*FLAGS, f"--use-file-for-fake-video-capture={camera}"]
        )
        yield chromium
        chromium.close()


class Visit:
    """A page in the browser, and every address that it has asked for."""

    def __init__(self, browser, server: str, *, scheme: str = "light") -> None:
        self.server = server
        self.context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme=scheme)
        self.requested: list[str] = []
        self.context.on("request", lambda request: self.requested.append(request.url))
        self.page = self.context.new_page()
        self.page.on("websocket", lambda socket: self.requested.append(socket.url.replace("ws:", "http:")))
        self.page.set_default_timeout(20_000)
        self.page.goto(server)

    def open(self, tab: str) -> None:
        self.page.get_by_role("tab", name=tab).click()

    def choose(self, label: str) -> None:
        self.page.get_by_role("radio", name=label).check()

    def predict(self, picture: Path | dict) -> None:
        if self.page.get_by_role("button", name="Remove Image").count():
            self.page.get_by_role("button", name="Remove Image").click()
        self.page.locator("#mien-picture input[type=file]").set_input_files(picture)
        self.page.get_by_role("button", name="Remove Image").wait_for()
        self.page.locator("#mien-predict").click()

    def status(self, text: str | re.Pattern) -> None:
        expect(self.page.locator("#mien-picture-status")).to_contain_text(text, timeout=20_000)

    def download(self, name: str) -> tuple[str, bytes]:
        with self.page.expect_download() as started:
            self.page.get_by_role("button", name=name).click()
        return started.value.suggested_filename, Path(started.value.path()).read_bytes()

    def fits_a_phone(self) -> None:
        self.page.set_viewport_size({"width": 390, "height": 844})
        self.page.wait_for_timeout(150)
        inner, wide = self.page.evaluate("[innerWidth, document.documentElement.scrollWidth]")
        self.page.set_viewport_size({"width": 1280, "height": 900})
        assert (inner, wide) == (390, 390)

    def wrong(self) -> list[str]:
        """Return what somebody could not see, read or operate, and numbers that are not written as the others.

        What comes to the page fades in, so that only what stays so is wrong.
        """
        for _ in range(10):
            text = self.page.locator("body").inner_text()
            found = [*self.page.evaluate(ACCESSIBILITY), *re.findall(r".*\d\s+%.*", text)]
            if not found:
                break
            self.page.wait_for_timeout(300)
        return found


@pytest.fixture(scope="module")
def visit(browser, server) -> Iterator[Visit]:
    """One visit for all tests, as somebody would who tries everything."""
    visit = Visit(browser, server)
    yield visit
    visit.context.close()


def numbers(card) -> dict[str, float]:
    rows = card.locator(".mien-bars tr").all()
    shares = {row.locator("th").inner_text(): row.locator(".mien-number").inner_text() for row in rows}
    return {name: float(share.removesuffix("%")) for name, share in shares.items()}


def test_picture_to_boxes_and_numbers(visit: Visit) -> None:
    visit.predict(EXAMPLES / "three_people.jpg")
    visit.status("3 faces found")
    cards = visit.page.locator("#mien-numbers .mien-card")
    assert cards.count() == 3
    for card in cards.all():
        shares = numbers(card)
        assert set(shares) == set(Emotion)
        assert sum(shares.values()) == pytest.approx(100, abs=0.5)
    expect(visit.page.locator("#mien-annotated img")).to_be_visible()
    visit.page.get_by_text("All scores as a table").click()
    assert visit.page.locator("#mien-numbers .mien-table tbody tr").count() == 3
    assert visit.wrong() == []
    visit.fits_a_phone()


def test_downloads_of_a_picture(visit: Visit, astronaut_pixels) -> None:
    visit.predict(EXAMPLES / "astronaut.jpg")
    visit.status("1 face found: happy")
    name, content = visit.download("Record (JSON)")
    record = json.loads(content)
    assert (name, record["source"]) == ("astronaut.json", "astronaut.jpg")
    assert overlap(record["faces"][0]["box"], ASTRONAUT_FACE) > 0.6
    name, content = visit.download("Table (CSV)")
    (row,) = csv.DictReader(io.StringIO(content.decode()))
    assert name == "astronaut.csv" and row["emotion"] == "happy"
    name, content = visit.download("Annotated picture (PNG)")
    drawn = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
    assert name == "astronaut-annotated.png" and drawn.shape == astronaut_pixels.shape
    changed = (drawn != astronaut_pixels).any(axis=2)
    assert 0.01 < changed.mean() < 0.3


def test_a_set_of_emotions(visit: Visit) -> None:
    visit.choose("Five")
    visit.predict(EXAMPLES / "three_people.jpg")
    visit.status("3 faces found")
    assert list(numbers(visit.page.locator("#mien-numbers .mien-card").first)) == list(SETS["five"])
    visit.choose("All 8")


def test_by_keyboard_alone(visit: Visit) -> None:
    page = visit.page
    page.get_by_role("tab", name="Picture").focus()

    def tab_to(name: str) -> None:
        for _ in range(30):
            page.keyboard.press("Tab")
            focused, visible = page.evaluate(FOCUSED)
            assert visible, f"one does not see that {focused} has the focus"
            if name in focused:
                return
        pytest.fail(f"Tab does not come to {name}")

    tab_to("Example: one face")
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelector('#mien-picture img')?.src.includes('astronaut')")
    page.get_by_role("tab", name="Picture").focus()
    tab_to("Make a prediction")
    page.keyboard.press("Enter")
    visit.status("1 face found: happy")
    page.get_by_role("radio", name="All 8").focus()
    forced = page.get_by_text("They force a choice")
    expect(forced).to_be_hidden()
    for name in ("Seven", "Five"):
        page.keyboard.press("ArrowRight")
        expect(page.get_by_role("radio", name=name)).to_be_checked()
        expect(page.get_by_role("radio", name=name)).to_have_attribute("name", "mien-emotions")
    expect(forced).to_be_visible()
    visit.choose("All 8")


def test_all_tabs_are_equally_wide(visit: Visit) -> None:
    widths = set()
    for tab in ("Video", "Webcam", "Picture"):
        visit.open(tab)
        visit.page.wait_for_timeout(100)
        assert visit.wrong() == []
        widths.add(visit.page.locator(".mien-head").bounding_box()["width"])
    assert len(widths) == 1


def test_a_broken_file_and_an_empty_picture(visit: Visit) -> None:
    visit.predict({"name": "holiday.jpg", "mimeType": "image/jpeg", "buffer": b"no picture at all" * 100})
    visit.status("holiday.jpg")
    told = visit.page.locator("#mien-picture-status [role=alert]").inner_text()
    assert "Traceback" not in told and "/" not in told and "\n" not in told
    expect(visit.page.locator("#mien-numbers .mien-card")).to_have_count(0)
    blank = io.BytesIO()
    Image.new("RGB", (320, 240), (200, 190, 180)).save(blank, "PNG")
    visit.predict({"name": "wall.png", "mimeType": "image/png", "buffer": blank.getvalue()})
    visit.status("Nobody was found in this picture.")


def test_video_to_timeline(visit: Visit, shared, tmp_path, temporary) -> None:
    film = cut(shared / "media" / "one_face_20s.mp4", tmp_path / "clip.mp4", seconds=1.5)
    visit.open("Video")
    visit.page.locator("#mien-film input[type=file]").set_input_files(film)
    visit.page.locator("#mien-film video").wait_for()
    visit.page.locator("#mien-film-predict").click()
    row = visit.page.locator("#mien-summary tbody tr")
    expect(row).to_contain_text("%", timeout=30_000)
    assert row.count() == 1
    assert visit.page.locator("#mien-timeline img").evaluate("image => image.naturalWidth") > 300
    played = visit.page.locator("#mien-film-annotated video")
    played.evaluate("film => film.readyState || new Promise(done => film.addEventListener('loadeddata', done))")
    assert played.evaluate("film => film.duration") == pytest.approx(1.5, abs=0.3)
    visit.fits_a_phone()
    assert visit.wrong() == []
    name, content = visit.download("Annotated film (MP4)")
    with av.open(io.BytesIO(content)) as annotated:
        assert name == "clip-annotated.mp4" and annotated.streams.audio
    name, content = visit.download("Records (JSON Lines)")
    records = [json.loads(line) for line in content.splitlines()]
    assert name == "clip.jsonl" and all(record["source"] == "clip.mp4" for record in records)
    assert {"clip.csv", "clip-timeline.png"} == {visit.download(f"{kind}")[0] for kind in ("Table (CSV)", "Timeline")}
    # the job's own files have gone, and only what can be downloaded is left
    assert not list(temporary.rglob("results.jsonl"))


def test_a_film_is_cancelled_and_so_is_one_whose_sender_leaves(visit: Visit, shared, temporary) -> None:
    visit.open("Video")
    if visit.page.get_by_role("button", name="Clear").count():
        visit.page.get_by_role("button", name="Clear").click()
    visit.page.locator("#mien-film input[type=file]").set_input_files(shared / "media" / "one_face_20s.mp4")
    visit.page.locator("#mien-film video").wait_for()
    status = visit.page.locator("#mien-film-status")
    copies = "mien-serve-*/tmp*.mp4"  # the jobs' own
    for leave in (False, True):
        visit.page.locator("#mien-film-predict").click()
        expect(status).to_contain_text("frames analysed", timeout=20_000)
        assert list(temporary.glob(copies))
        if leave:
            visit.page.goto(visit.server)
        else:
            visit.page.locator("#mien-film-cancel").click()
            expect(status).to_contain_text("Cancelled", timeout=20_000)
            expect(visit.page.locator("#mien-film-predict")).to_be_enabled()
        deadline = time.monotonic() + 10
        while list(temporary.glob(copies)) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not list(temporary.glob(copies)) and not list(temporary.rglob("results.*"))


@pytest.mark.slow
def test_a_film_is_cancelled_before_it_has_come_and_before_it_is_a_job(
    visit: Visit, shared, temporary, monkeypatch
) -> None:
    here, go_on, reserve = threading.Event(), threading.Event(), FilmJobs.reserve

    def later(jobs: FilmJobs) -> str:
        here.set()
        go_on.wait(60)
        return reserve(jobs)

    monkeypatch.setattr(FilmJobs, "reserve", later)
    page, uploads = visit.page, []
    status, predict, cancel = (page.locator(f"#mien-film-{name}") for name in ("status", "predict", "cancel"))
    visit.open("Video")
    page.route("**/gradio_api/upload?*", lambda route: uploads.append(route))
    page.locator("#mien-film input[type=file]").set_input_files(shared / "media" / "one_face_20s.mp4")
    predict.click()
    expect(status).to_contain_text("The film is on its way…")
    cancel.click()
    expect(status).to_contain_text("Cancelled: nothing of the film is kept.", timeout=20_000)
    uploads.pop().continue_()
    page.unroute("**/gradio_api/upload?*")
    page.locator("#mien-film video").wait_for()
    # of what was asked for last it is still known that it was cancelled; now it is asked for again
    predict.click()
    expect(status).to_contain_text("Looking at the film…", timeout=20_000)
    assert here.wait(20)
    cancel.click()
    expect(status).to_contain_text("Cancelled: nothing of the film is kept.", timeout=20_000)
    expect(cancel).to_be_hidden()
    go_on.set()
    monkeypatch.undo()
    # it has left no trace, and is taken when one has changed one's mind
    predict.click()
    expect(status).to_contain_text("frames analysed", timeout=20_000)
    assert len(list(temporary.glob("mien-serve-*/tmp*.mp4"))) == 1
    cancel.click()
    expect(status).to_contain_text("Cancelled", timeout=20_000)


@pytest.fixture
def slow_end(monkeypatch) -> Callable[[], None]:
    """Let the last message of each stream reach the browser only half a second after it has asked for more."""
    pass_on, asked = Fence.__call__, threading.Event()

    async def later(fence: Fence, scope: Scope, receive: Receive, send: Send) -> None:
        async def held(message: Message) -> None:
            if CLOSES in message.get("body", b""):
                asked.clear()
                await asyncio.to_thread(asked.wait, 20)
                await asyncio.sleep(0.5)
            await send(message)

        if scope["path"].endswith("/queue/join"):
            asked.set()
        await pass_on(fence, scope, receive, held)

    monkeypatch.setattr(Fence, "__call__", later)
    return asked.set


@pytest.mark.slow
def test_what_is_asked_for_as_a_stream_of_events_ends_is_told_in_the_next(visit: Visit, shared, slow_end) -> None:
    page = visit.page
    page.goto(visit.server)
    visit.open("Video")
    page.locator("#mien-film input[type=file]").set_input_files(shared / "media" / "one_face_20s.mp4")
    page.locator("#mien-film video").wait_for()
    status, predict, cancel = (page.locator(f"#mien-film-{name}") for name in ("status", "predict", "cancel"))
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    for _ in range(2):
        predict.click()
        expect(status).to_contain_text("frames analysed", timeout=30_000)
        cancel.click()
        expect(status).to_contain_text("Cancelled: nothing of the film is kept.", timeout=20_000)
    visit.open("Picture")
    visit.predict(EXAMPLES / "astronaut.jpg")
    visit.status("1 face found")
    with page.expect_event("requestfailed", lambda request: "/queue/data?" in request.url):
        slow_end()
    assert not said


@pytest.mark.slow
def test_an_answer_that_is_late_on_its_way_leaves_nobody_waiting(visit: Visit, shared) -> None:
    """The browser learns that its event was taken when all has been told of it, and the stream has ended."""
    page, join = visit.page, "**/gradio_api/queue/join?*"

    def late(route) -> None:
        answer = route.fetch()
        time.sleep(1)
        route.fulfill(response=answer)

    page.goto(visit.server)
    visit.open("Video")
    page.locator("#mien-film input[type=file]").set_input_files(shared / "media" / "one_face_20s.mp4")
    page.locator("#mien-film video").wait_for()
    status, predict, cancel = (page.locator(f"#mien-film-{name}") for name in ("status", "predict", "cancel"))
    for _ in range(2):
        predict.click()
        expect(status).to_contain_text("frames analysed", timeout=30_000)
        page.route(join, late)
        cancel.click()
        expect(status).to_contain_text("Cancelled: nothing of the film is kept.", timeout=20_000)
        page.unroute(join)
    assert visit.wrong() == []


@pytest.mark.slow
def test_what_the_server_does_not_take_is_said_and_can_be_asked_for_again(visit: Visit, shared) -> None:
    def refuse(code: int, route) -> None:
        route.fulfill(status=code, body="busy")

    page, join = visit.page, "**/gradio_api/queue/join?*"
    page.goto(visit.server)
    visit.predict(EXAMPLES / "astronaut.jpg")
    visit.status("1 face found")
    visit.open("Video")
    page.locator("#mien-film input[type=file]").set_input_files(shared / "media" / "one_face_20s.mp4")
    page.locator("#mien-film video").wait_for()
    for tab, name in (("Video", "film"), ("Picture", "picture")):
        visit.open(tab)
        status = page.locator(f"#mien-{name}-status")
        predict = page.locator("#mien-film-predict" if name == "film" else "#mien-predict")
        for code in (429, 502):
            page.route(join, partial(refuse, code))
            predict.click()
            expect(status).to_contain_text("The server did not answer as it should; try again in a moment.")
            page.unroute(join)
            predict.click()
            expect(status).to_contain_text("frames analysed" if name == "film" else "1 face found", timeout=30_000)
            if name == "film":
                page.locator("#mien-film-cancel").click()
                expect(status).to_contain_text("Cancelled: nothing of the film is kept.")


def test_a_film_runs_once_and_not_if_it_was_called_off_before() -> None:
    runs = FilmRuns(None)  # which they need only for work
    first, again = runs.begin("token"), runs.begin("token")
    assert again.is_off and not first.is_off
    runs.end("token", again)
    assert not first.is_off
    assert runs.call_off("token") is first
    assert first.is_off
    assert runs.call_off("early") is None
    assert runs.begin("early").is_off


@pytest.mark.slow
def test_of_a_film_that_is_cancelled_nothing_is_told_after_that(client, shared) -> None:
    with (shared / "media" / "one_face_20s.mp4").open("rb") as file:
        (own,) = client.post("/gradio_api/upload", files={"files": file}).json()
    events = [event for event in client.get("/config").json()["dependencies"] if event["backend_fn"]]
    (run,) = [event["id"] for event in events if len(event["inputs"]) == 4]
    (call_off,) = [event["id"] for event in events if len(event["inputs"]) == 1 and len(event["outputs"]) > 9]

    def ask(event: int, data: list) -> str:
        body = {"data": data, "fn_index": event, "session_hash": "mine"}
        return client.post("/gradio_api/queue/join", json=body).raise_for_status().json()["event_id"]

    film = ask(run, [{"path": own, "meta": {"_type": "gradio.FileData"}}, "all", None, "a token"])
    cancel, done = None, []
    with client.stream("GET", "/gradio_api/queue/data", params={"session_hash": "mine"}, timeout=30) as stream:
        for line in stream.iter_lines():
            if cancel is None and "frames analysed" in line:
                cancel = ask(call_off, ["a token"])
            told = json.loads(line.removeprefix("data: ") or "{}")
            if told.get("msg") == "process_completed":
                done.append(told["event_id"])
                assert ("Cancelled" in line) == (told["event_id"] == cancel)
                assert "frames analysed" not in line  # it may come after that
            if told.get("msg") == "close_stream":
                break
    assert sorted(done) == sorted([film, cancel])


def test_webcam(visit: Visit) -> None:
    visit.open("Webcam")
    page = visit.page
    page.get_by_role("button", name="Start the camera").click()
    page.locator(".mien-webcam .mien-card").wait_for()
    assert numbers(page.locator(".mien-webcam .mien-card"))["happy"] > 90
    assert visit.wrong() == []
    answers = "Number(document.querySelector('#mien-webcam [data-answers], [data-answers]').dataset.answers)"
    before = page.evaluate(answers)
    page.wait_for_timeout(1500)
    assert (page.evaluate(answers) - before) / 1.5 >= 8
    painted = """() => {
        const canvas = document.querySelector('.mien-view canvas');
        const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
        return new Uint32Array(data.buffer).some(Boolean);
    }"""
    assert page.evaluate(painted)
    visit.fits_a_phone()
    visit.choose("Three")
    expect(page.locator(".mien-webcam .mien-card tr")).to_have_count(3)
    page.get_by_role("button", name="Stop").click()
    expect(page.locator(".mien-words")).to_have_text("The camera is off.")
    after = page.evaluate(answers)
    page.wait_for_timeout(300)
    assert page.evaluate(answers) == after
    assert page.evaluate("document.querySelector('.mien-view video').srcObject") is None
    visit.choose("All 8")


def test_sign_in_and_dark_and_another_model(browser, temporary, tmp_path) -> None:
    write_model(tmp_path / "mine.onnx", {METADATA: json.dumps({**COMPLETE, "name": "mine"})})
    with running(page=True, api_key=KEY, models=("embedded", str(tmp_path / "mine.onnx"))) as server:
        visit = Visit(browser, server, scheme="dark")
        page = visit.page
        page.get_by_label(re.compile("key", re.IGNORECASE)).fill(KEY)
        page.keyboard.press("Enter")
        page.locator("#mien-predict").wait_for()
        visit.predict(EXAMPLES / "three_people.jpg")
        visit.status("3 faces found")
        light = "s => s.match(/\\d+/g).slice(0, 3).reduce((a, b) => a + Number(b), 0) / 3"
        shade = f"element => ({light})(getComputedStyle(element).backgroundColor)"
        ink = f"element => ({light})(getComputedStyle(element).color)"
        card = page.locator("#mien-numbers .mien-card").first
        assert card.evaluate(shade) < 60 and card.locator("th").first.evaluate(ink) > 200
        for button in ("#mien-predict", "#mien-annotated button[aria-label]"):
            page.locator(button).first.hover()
            page.wait_for_timeout(300)  # colours change gradually
            assert visit.wrong() == []
        visit.choose("mine")
        expect(page.get_by_role("radio", name="Five")).to_have_count(0)
        page.locator("#mien-predict").click()
        expect(page.locator("#mien-numbers .mien-card").first.locator("tr")).to_have_count(2)
        assert visit.wrong() == [] and not foreign(visit)
        visit.context.close()
        assert httpx.get(f"{server}/config").status_code == 401


def test_nothing_comes_from_elsewhere(visit: Visit) -> None:
    assert len(visit.requested) > 10
    assert not foreign(visit)


def foreign(visit: Visit) -> list[str]:
    own = (f"{visit.server}/", "data:", f"blob:{visit.server}/")
    return [address for address in visit.requested if not address.startswith(own)]


def cut(source: Path, target: Path, *, seconds: float) -> Path:
    """Copy the beginning of a film, with its sound."""
    with av.open(str(source)) as whole, av.open(str(target), "w") as part:
        streams = {stream.index: part.add_stream_from_template(stream) for stream in whole.streams}
        for packet in whole.demux():
            if packet.dts is not None and packet.pts * packet.time_base <= seconds:
                packet.stream = streams[packet.stream.index]
                part.mux(packet)
    return target


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """Somebody who would hear of it, if the server followed an address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.2)
        yield listening


def nobody_came(listener: socket.socket) -> bool:
    try:
        listener.accept()
    except TimeoutError:
        return True
    return False


def refused(answer: httpx.Response, status: int = 403) -> bool:
    problem = answer.headers["content-type"] == "application/problem+json"
    return answer.status_code == status and problem and answer.json()["status"] == status


def test_events_fetch_no_address_and_read_no_other_file(client, listener, tmp_path) -> None:
    secret = tmp_path / "secret.png"
    shutil.copy(EXAMPLES / "astronaut.jpg", secret)
    address = f"http://127.0.0.1:{listener.getsockname()[1]}/a.png"
    meta = {"_type": "gradio.FileData"}
    config = client.get("/config").json()
    events = [event for event in config["dependencies"] if event["backend_fn"]]
    assert len(events) >= 4
    assert all(event["api_visibility"] == "private" for event in config["dependencies"])
    (own,) = client.post("/gradio_api/upload", files={"files": ("a.jpg", secret.read_bytes())}).json()
    files = [
        {"path": address, "meta": meta},
        {"path": "a.png", "url": address, "meta": meta},
        {"path": own, "url": address, "meta": meta},
        {"path": own, "url": f"{client.base_url}/gradio_api/file={secret}", "meta": meta},
        {"path": own, "url": f"{client.base_url}/gradio_api/proxy={address}", "meta": meta},
        {"path": str(secret), "meta": meta},
        {"path": f"{own}/../../../../../../../..{secret}", "meta": meta},
        {"video": {"path": "/etc/passwd", "meta": meta}},
        {"path": own, "url": "data:image/png;base64,AAAA", "meta": meta},
        address,
    ]
    for event in events:
        for file in files:
            data = [file, *[None] * (len(event["inputs"]) - 1)]
            body = {"data": data, "fn_index": event["id"], "session_hash": "mine", "trigger_id": None}
            assert refused(client.post("/gradio_api/queue/join", json=body)), (event["id"], file)
    good = {"path": own, "url": f"{client.base_url}/gradio_api/file={own}", "meta": meta}
    body = {"data": [good, "all", None], "fn_index": events[1]["id"], "session_hash": "mine"}
    assert client.post("/gradio_api/queue/join", json=body).status_code == 200
    assert nobody_came(listener)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/gradio_api/file={address}"),
        ("GET", "/gradio_api/file=/etc/passwd"),
        ("GET", "/gradio_api/%66ile=%2Fetc%2Fpasswd"),
        ("GET", "/gradio_api/file/{address}"),
        ("GET", "/gradio_api/proxy={address}"),
        ("GET", "/gradio_api/custom_component/x/client/component/index.js"),
        ("GET", "/gradio_api/openapi.json"),
        ("GET", "/gradio_api/runs"),
        ("POST", "/gradio_api/run/predict"),
        ("POST", "/gradio_api/api/predict"),
        ("POST", "/gradio_api/call/run"),
        ("POST", "/gradio_api/call/v2/run"),
        ("POST", "/gradio_api/component_server"),
        ("POST", "/gradio_api/stream/some"),
        ("POST", "/gradio_api/process_recording"),
        ("POST", "/gradio_api/vibe-edit"),
        ("POST", "/gradio_api/run-history/connect"),
    ],
)
def test_routes_that_the_page_does_not_need(client, listener, method: str, path: str) -> None:
    address = f"http://127.0.0.1:{listener.getsockname()[1]}/a.png"
    body = {"data": [{"path": address, "url": address}], "fn_index": 1, "session_hash": "mine"}
    answer = client.request(method, path.format(address=address), json=body if method == "POST" else None)
    assert refused(answer)
    assert nobody_came(listener)


@pytest.mark.parametrize("path", ["/monitoring", "/docs", "/healthz/", "/login_check", "/%00"])
def test_what_is_not_there_is_not_found(client, path: str) -> None:
    assert refused(client.get(path), 404)


def test_wrong_methods_are_told_the_right_ones(client) -> None:
    answer = client.head("/config")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")


def upload(client: httpx.Client, name: str, content: bytes) -> str:
    """Send a file as the page does, and return where it lies."""
    (path,) = client.post("/gradio_api/upload", files={"files": (name, content)}).raise_for_status().json()
    return path


def test_a_download_tells_nothing_of_its_request(client) -> None:
    address = "/gradio_api/file=" + upload(client, "a.txt", b"abc")
    for asked, status, content in (
        ("bytes=0-1", 206, b"ab"),
        ("bytes=1-", 206, b"bc"),
        ("bytes=-1", 206, b"c"),
        ("bytes=7-9", 416, None),
        ("bytes=0-1-2", None, None),
        ("bytes=\xb2-\xb3", None, None),
        ("bytes=0-0,2-2", 206, None),
    ):
        headers = {"Range": asked.encode("latin-1"), "Cookie": "mien=secret", "X-Asked": "secret"}
        answer = client.get(address, headers=headers)
        assert answer.status_code < 500 and status in (None, answer.status_code), asked
        assert content in (None, answer.content)
        assert "secret" not in repr(answer.headers), asked
    answer = client.head(address)
    assert (answer.status_code, answer.headers["content-length"], answer.content) == (200, "3", b"")


@pytest.mark.parametrize("name", ["a.html", "a.svg", "a.js", "a.xml"])
def test_what_a_browser_would_run_is_saved_instead(client, name: str) -> None:
    answer = client.get("/gradio_api/file=" + upload(client, name, b"<script>alert(1)</script>"))
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"].startswith("attachment")


def test_nobody_can_guess_where_an_upload_lies(client) -> None:
    paths = [upload(client, "a.png", b"the same") for _ in range(2)]
    assert paths[0] != paths[1]
    assert {Path(path).name for path in paths} == {"a.png"}
    assert Path(upload(client, "../../é a.png", b"x")).name == "a.png"


def part(name: str, *, file: bool = True) -> bytes:
    return f'--x\r\nContent-Disposition: form-data; name="{name}"{"; filename=a" * file}\r\n\r\nabc\r\n'.encode()


@pytest.mark.parametrize(
    ("body", "boundary"),
    [
        (b"--x--\r\n", "x"),
        (part("other") + b"--x--\r\n", "x"),
        (2 * part("files") + b"--x--\r\n", "x"),
        (20 * part("other", file=False) + part("files") + b"--x--\r\n", "x"),
        (part("files"), "x"),
        (part("files"), "y"),
        (part("files"), "x" * 5000),
        (part("files"), ""),
    ],
)
def test_an_upload_that_is_broken_leaves_nothing(client, temporary, log, body: bytes, boundary: str) -> None:
    before = sorted(temporary.rglob("*"))
    kind = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    answer = client.post("/gradio_api/upload?upload_id=broken", content=body, headers=kind)
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")
    assert sorted(temporary.rglob("*")) == before
    assert not [line for line in log.getvalue().splitlines() if json.loads(line)["level"] != "info"]


def test_an_upload_tells_how_far_it_is_and_leaves_nothing_when_its_sender_goes(client, temporary) -> None:
    before = sorted(temporary.rglob("*"))
    head = "POST /gradio_api/upload?upload_id=mine HTTP/1.1\r\nHost: localhost\r\nContent-Length: 90000\r\n"
    kind = "Content-Type: multipart/form-data; boundary=x\r\n\r\n"
    told: list[dict] = []
    with socket.create_connection((client.base_url.host, client.base_url.port)) as sender:
        sender.sendall((head + kind).encode() + part("files") + bytes(5000))
        with client.stream("GET", "/gradio_api/upload_progress?upload_id=mine") as answer:
            lines = (line for line in answer.iter_lines() if line)
            told.append(json.loads(next(lines).removeprefix("data: ")))
            sender.close()
            told += [json.loads(line.removeprefix("data: ")) for line in lines]
    assert (told[0]["msg"], told[0]["orig_name"], told[-1]) == ("update", "a", {"msg": "done"})
    late = client.get("/gradio_api/upload_progress?upload_id=mine")
    assert late.text == 'data: {"msg": "done"}\n\n'
    assert 0 < told[0]["chunk_size"] < 5100
    assert sorted(temporary.rglob("*")) == before


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What the server writes to its log meanwhile."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    loggers = [logging.getLogger(name) for name in ("mien.serve", "uvicorn", "asyncio")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
    loggers[0].setLevel(logging.INFO)
    yield stream
    for logger, level in zip(loggers, levels, strict=True):
        logger.removeHandler(handler)
        logger.setLevel(level)


def test_errors_of_the_framework_are_problem_documents(client, log, capfd) -> None:
    join, mine = "/gradio_api/queue/join", {"session_hash": "mine"}
    posts = [
        *((join, body) for body in ({}, [], 1, {"data": []}, {"data": [], "fn_index": [1], **mine})),
        *((join, {"data": [], "fn_index": index, **mine}) for index in (99, -1, True, "1", None, 1)),
        (join, {"data": [None, "all", None], "fn_index": 1}),
        (join, {"data": [None, "all", None], "fn_index": 1, "trigger_id": "x", **mine}),
        ("/gradio_api/cancel", {}),
        ("/gradio_api/reset", {}),
        ("/gradio_api/upload", {}),
    ]
    answers = [client.post(path, json=body) for path, body in posts]
    answers += [client.get(path) for path in ("/gradio_api/queue/data", "/assets/none.js", "/static/none.js")]
    for answer in answers:
        assert 400 <= answer.status_code < 500, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == answer.status_code
        assert answer.json()["detail"] and "\n" not in answer.json()["detail"]
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    assert [line["status"] for line in lines if line["level"] == "info"] == [answer.status_code for answer in answers]
    assert not [line for line in lines if line["level"] != "info"]
    assert "Traceback" not in "".join(capfd.readouterr())


@contextmanager
def events(client: httpx.Client, session: str) -> Iterator[str]:
    """Yield what a visitor's stream of events says until its last message, and leave it at the end of the context."""
    with client.stream("GET", "/gradio_api/queue/data", params={"session_hash": session}, timeout=20) as stream:
        text, parts = b"", stream.iter_bytes()  # which closes the connection as it is let go
        for part in parts:
            text += part
            if CLOSES in text:
                break
        yield text.decode()


def told(client: httpx.Client, session: str) -> str:
    """Return what a visitor's stream of events says, and leave it then, as the page does."""
    with events(client, session) as text:
        return text


def test_an_event_is_taken_when_its_visitor_has_left_the_stream_that_ends(client) -> None:
    def ask() -> int:
        body = {"data": [0], "fn_index": 0, "session_hash": "asks-again"}
        return client.post("/gradio_api/queue/join", json=body).status_code

    assert ask() == 200
    with ThreadPoolExecutor(1) as pool:
        with events(client, "asks-again") as first:
            asked = pool.submit(ask)
            assert not wait([asked], timeout=0.5).done
        assert asked.result(20) == 200
    second = told(client, "asks-again")
    assert all('"success":true' in text for text in (first, second))


def test_who_is_about_to_ask_is_not_forgotten_as_a_stream_ends() -> None:
    """It is told of its event, and not cut off when the forgotten are swept away."""
    sessions = Sessions(gradio.Blocks())
    with sessions.asking("somebody"):
        with sessions.listening("somebody"):
            pass
        assert "somebody" in sessions._since
    with sessions.listening("somebody"):
        pass
    assert "somebody" not in sessions._since


def test_events_that_break_are_told_without_a_trace(client, log, capfd) -> None:
    assert told(client, "nobody") == 'data: {"msg":"close_stream","event_id":null}\n\n'
    event = {"data": [5, "all", None], "fn_index": 1, "session_hash": "mine"}
    assert client.post("/gradio_api/queue/join", json=event).status_code == 200
    answer = told(client, "mine")
    assert '"success":false' in answer and "This event has the wrong form." in answer
    assert not [line for line in log.getvalue().splitlines() if json.loads(line)["level"] != "info"]
    assert "Traceback" not in "".join([answer, *capfd.readouterr()])


@pytest.fixture
def memory(monkeypatch) -> Iterator[tuple[httpx.Client, list[Sessions]]]:
    """A page of its own, of which the test sees what it remembers of its visitors."""
    made: list[Sessions] = []
    begin = Sessions.__init__

    def noted(self: Sessions, page: object) -> None:
        begin(self, page)
        made.append(self)

    monkeypatch.setattr(Sessions, "__init__", noted)
    with running(page=True, keep=6) as server, httpx.Client(base_url=server, timeout=60) as client:
        yield client, made


def wait_until(true: Callable[[], bool]) -> None:
    until = time.monotonic() + 30
    while not true():
        assert time.monotonic() < until
        time.sleep(0.05)


def remembered(sessions: Sessions) -> set[str]:
    page = sessions._page
    queue = page._queue
    kept = (queue.pending_messages_per_session, queue.pending_event_ids_session, page.state_holder.session_data)
    return {session for holder in kept for session in holder}


@pytest.mark.slow
def test_visitors_are_forgotten_with_their_events(memory, monkeypatch) -> None:
    """Those who have fetched the outcome at once, and those who never do after a while."""
    client, (sessions,) = memory
    with (EXAMPLES / "astronaut.jpg").open("rb") as file:
        (own,) = client.post("/gradio_api/upload", files={"files": file}).json()
    picture = {"path": own, "meta": {"_type": "gradio.FileData"}}
    body = {"data": [picture, "all", None], "fn_index": 1}
    for session in ("fetches", "leaves"):
        client.post("/gradio_api/queue/join", json={**body, "session_hash": session}).raise_for_status()
    assert remembered(sessions) == {"fetches", "leaves"}
    assert "1 face found" in told(client, "fetches")
    wait_until(lambda: remembered(sessions) == {"leaves"})
    monkeypatch.setattr("mien.serve.page.sessions.PATIENCE", 0.1)
    wait_until(lambda: remembered(sessions) == set())
    monkeypatch.undo()
    # and whoever comes back is a visitor like any other
    client.post("/gradio_api/queue/join", json={"data": [0], "fn_index": 0, "session_hash": "leaves"})
    assert '"success":true' in told(client, "leaves")


def test_what_is_remembered_has_a_limit(client) -> None:
    def asked(session: str) -> httpx.Response:
        return client.post("/gradio_api/queue/join", json={"data": [0], "fn_index": 0, "session_hash": session})

    assert [asked("many").status_code for _ in range(17)] == [200] * 16 + [429]
    told(client, "many")
    assert asked("many").status_code == 200
    told(client, "many")
    for session in ("", "a b", "x" * 65, "\N{SNOWMAN}"):
        assert asked(session).status_code == 422
    huge = {"data": ["x" * 70_000], "fn_index": 0, "session_hash": "mine"}
    assert client.post("/gradio_api/queue/join", json=huge).status_code == 413


def test_nobody_learns_where_files_lie(client, temporary) -> None:
    for path in ("/", "/config", "/gradio_api/info", "/gradio_api/startup-events"):
        answer = client.get(path)
        for folder in (temporary, temporary.resolve(), Path(mien.__file__).parent):
            assert str(folder) not in answer.text, path


def test_other_sites_learn_nothing(client) -> None:
    elsewhere = {"Origin": "https://elsewhere.example"}
    answer = client.get("/config", headers=elsewhere)
    assert not [name for name in answer.headers if name.startswith("access-control-")]
    body = {"data": [], "fn_index": 1, "session_hash": "mine"}
    assert refused(client.post("/gradio_api/queue/join", json=body, headers=elsewhere))


def test_old_files_go_and_new_ones_stay(temporary) -> None:
    uploads = Uploads(keep=1)
    try:
        old = uploads.file("old.png")
        old.write_bytes(b"old")
        time.sleep(1.1)
        new = uploads.file("new.png")
        new.write_bytes(b"new")
        uploads.sweep()
        assert new.exists() and not old.parent.exists()
        assert all(example.exists() for example in uploads.examples)
    finally:
        uploads.close()
