"""The site: built strictly, without dead links, with all that is public; its pages ask no other host for anything."""

import http.server
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import typer

import mien
from mien.cli import app

from conftest import ROOT

sys.path.insert(0, str(ROOT / "scripts"))
from check_site import faults

CHROMIUM = Path("/usr/bin/chromium")


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    pytest.importorskip("zensical", reason="the site is built by zensical: pip install 'mien[docs]'")
    where = tmp_path_factory.mktemp("docs") / "site"
    command = [sys.executable, ROOT / "scripts" / "make_docs.py", where]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    return where


def test_the_site_is_built_without_dead_links_and_names_all_that_is_public(site):
    text = (site / "reference" / "python.html").read_text("utf-8")
    for name in mien.__all__:
        assert f'id="mien.{name}"' in text
    text = (site / "reference" / "cli.html").read_text("utf-8")
    for verb in typer.main.get_command(app).commands:
        assert f'id="mien-{verb}' in text
    assert 'id="post-v1analyze"' in (site / "reference" / "rest.html").read_text("utf-8")


def test_faults_of_a_site_are_found(tmp_path):
    (tmp_path / "index.html").write_text(
        '<a href="gone.html"></a><a href="#gone"></a><script src="https://example.org/a.js"></script>'
        '<a id="here" href="#here"></a><a href="https://example.org/"></a>'
    )
    assert [fault.partition(" ")[0] for fault in faults(tmp_path)] == ["index.html:"] * 3


@pytest.mark.slow
def test_pages_in_a_browser_ask_nobody_else(site):
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    if not CHROMIUM.exists():
        pytest.skip("needs chromium")

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=str(site))

        def log_message(self, *arguments):
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        home = f"http://127.0.0.1:{server.server_address[1]}/"
        with playwright.sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
            page = browser.new_page()
            asked, said = [], []
            page.on("request", lambda request: asked.append(request.url))
            page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
            for path in sorted(site.rglob("*.html")):
                page.goto(home + str(path.relative_to(site)), wait_until="networkidle")
            browser.close()
        server.shutdown()
    assert asked
    assert [url for url in asked if not url.startswith((home, "data:", "blob:"))] == []
    assert said == []
