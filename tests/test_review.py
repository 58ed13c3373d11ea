"""The page of labels in doubt, in a real browser: decided by keys, saved, and obeyed."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

playwright = pytest.importorskip("playwright.sync_api", reason="needs Playwright")

from mien.collect.decisions import read_decisions  # noqa: E402
from mien.datasets.labelled import read_labelled_faces  # noqa: E402
from mien.emotions import Emotion  # noqa: E402

from conftest import real_faces  # noqa: E402

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
]
expect = playwright.expect


@pytest.fixture(scope="module")
def browser():
    if not CHROMIUM.exists():
        pytest.skip(f"needs {CHROMIUM}")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def web(shared, tmp_path) -> Path:
    """Return faces of FER2013 by their labels, but for some that are called otherwise."""
    faces = real_faces(shared, "public_test")
    labels = np.load(shared / "data" / "fer2013" / "labels.npz")["public_test_labels"]
    for number, label, other in ((3, "happy", "sad"), (4, "sad", "happy"), (5, "surprised", "sad")):
        for i, row in enumerate(np.flatnonzero(labels == number)[:12]):
            path = tmp_path / "web" / (other if i < 3 else label) / f"{label} {i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(faces[row]).save(path)
    return tmp_path / "web"


def decided(text: str) -> list[dict[str, object]]:
    return json.loads(text)["decisions"]


def test_decided_by_keys_saved_and_obeyed(run, web, browser, tmp_path):
    arguments = ("clean", web, "--out", tmp_path / "faces", "--detector", "none", "--min-face", "30")
    done = run(*arguments, "--suspect")
    assert done.status == 0
    found = int(re.search(r"(\d+) labels are in doubt: open .*suspects\.html", done.err)[1])
    assert found >= 6
    page_file = tmp_path / "faces" / "suspects.html"
    assert "http://" not in page_file.read_text() and "https://" not in page_file.read_text()

    context = browser.new_context(viewport={"width": 1280, "height": 900})
    asked, said = [], []
    context.on("request", lambda request: asked.append(request.url))
    page = context.new_page()
    page.set_default_timeout(20_000)
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(page_file.as_uri())
    faces = json.loads(page.locator("#data").text_content())["faces"]
    assert len(faces) == found
    # what was called otherwise stands at the front
    wrong = [Path(face["file"]).stem.split()[0] != face["label"] for face in faces]
    assert sum(wrong[:4]) >= 3
    assert "happy" in {face["other"] for face in faces}

    count = page.locator("#count")
    expect(count).to_have_text(f"0 of {found} decided")
    assert page.locator("#face").evaluate("image => image.complete && image.naturalWidth > 0")
    page.keyboard.press("k")
    page.keyboard.press("d")
    expect(count).to_have_text(f"2 of {found} decided")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    digits = {label["name"]: label["digit"] for label in json.loads(page.locator("#data").text_content())["labels"]}
    target = "fearful"
    page.keyboard.press(digits[target])
    page.keyboard.press("n")  # the letter of neutral, for the fourth
    page.keyboard.press("d")
    page.keyboard.press("u")
    expect(count).to_have_text(f"4 of {found} decided")
    expect(page.locator("#all button[aria-current=true]")).to_have_attribute("aria-label", re.compile("^Face 5,"))
    page.keyboard.press("Control+z")
    expect(count).to_have_text(f"3 of {found} decided")
    page.get_by_role("button", name="neutral").click()
    expect(page.locator("#all button").nth(3)).to_contain_text("neutral")

    page.reload()  # nothing is lost before it is saved
    expect(count).to_have_text(f"4 of {found} decided")
    with page.expect_download() as started:
        page.get_by_role("button", name="Save decisions").click()
    assert started.value.suggested_filename == "decisions.json"
    saved = Path(started.value.path()).read_text()
    keys = [(face["picture"], face["face"]) for face in faces]
    assert [(one["picture"], one["face"]) for one in decided(saved)] == keys[:4]
    assert [one["decision"] for one in decided(saved)] == ["keep", "drop", "move", "move"]
    assert [one.get("label") for one in decided(saved)] == [None, None, target, "neutral"]
    assert asked and all(url.startswith(("file:", "data:", "blob:")) for url in asked)
    assert said == []
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") == 390

    (tmp_path / "faces" / "decisions.json").write_text(saved)
    done = run(*arguments, "--suspect", "--overwrite")
    assert done.status == 0 and "4 decisions obeyed" in done.err
    read = read_labelled_faces(tmp_path / "faces")
    labels = dict(zip(read.columns["picture"].tolist(), read.labels.tolist(), strict=True))
    assert keys[1][0] not in labels
    assert [labels[keys[i][0]] for i in (0, 2, 3)] == [faces[0]["label"], target, "neutral"]

    # the next page shows none of them again, and saves the earlier ones with its own
    page.goto(page_file.as_uri())
    again = json.loads(page.locator("#data").text_content())["faces"]
    assert not {face["picture"] for face in again} & {picture for picture, _ in keys[:4]}
    page.keyboard.press("k")
    with page.expect_download() as started:
        page.keyboard.press("Control+s")
    saved = tmp_path / "all.json"
    saved.write_text(Path(started.value.path()).read_text())
    assert len(read_decisions(saved)) == 5
    assert read_decisions(saved)[keys[3]] is Emotion.NEUTRAL
    context.close()


def test_saved_to_a_file_at_once_where_the_browser_can(run, web, browser, tmp_path):
    """The picker needs a person; the file it would give is one of the browser's own."""
    run("clean", web, "--out", tmp_path / "faces", "--detector", "none", "--min-face", "30", "--suspect")
    import functools
    import http.server
    import threading

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=str(tmp_path / "faces"))
    )
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    context = browser.new_context()
    try:
        page = context.new_page()
        page.add_init_script(
            "window.showSaveFilePicker = async ({suggestedName}) =>"
            " (await navigator.storage.getDirectory()).getFileHandle(suggestedName, {create: true})"
        )
        page.goto(f"http://127.0.0.1:{server.server_address[1]}/suspects.html")
        page.keyboard.press("k")
        page.get_by_role("button", name="Save to a file").click()
        expect(page.locator("#status")).to_contain_text("Saved to decisions.json")
        page.keyboard.press("d")
        read = (
            "async () => (await (await (await navigator.storage.getDirectory())"
            ".getFileHandle('decisions.json')).getFile()).text()"
        )
        for _ in range(50):
            if len(decided(page.evaluate(read))) == 2:
                break
            page.wait_for_timeout(100)
        assert [one["decision"] for one in decided(page.evaluate(read))] == ["keep", "drop"]
    finally:
        context.close()
        server.shutdown()
        thread.join()
        server.server_close()


def test_nothing_from_the_web_breaks_out_of_the_page(browser, tmp_path):
    from mien.collect.review import Doubt, write_review

    evil = '</script><script>document.title = "broken"</script>{{script}}'
    facts = {
        "title": evil,
        "author": evil,
        "page": 'javascript:document.title = "broken"',
        "licence": evil,
        "query": evil,
    }
    scores = {Emotion.HAPPY: 0.9, Emotion.SAD: 0.1}
    doubt = Doubt(("ab" * 32, 1), Emotion.SAD, Emotion.HAPPY, scores, b"", evil, facts)
    target = tmp_path / "suspects.html"
    write_review(target, [doubt], labels=[Emotion.HAPPY, Emotion.SAD], model=evil, found=1, before={})
    page = browser.new_page()
    page.goto(target.as_uri())
    assert page.title() == "Labels in doubt"
    expect(page.locator("#from")).to_contain_text(evil)
    assert page.locator("#from a").count() == 0
    page.evaluate(
        "document.body.append(Object.assign(document.createElement('script'), {text: 'document.title = 1'}))"
    )
    assert page.title() == "Labels in doubt"  # the policy lets the page's own script run and no other
    page.close()
