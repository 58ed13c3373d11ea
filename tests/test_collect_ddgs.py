"""The provider ddgs end to end: the real library, whose searches go through a proxy that answers as DuckDuckGo."""

import json
import os
import shutil
import ssl
import subprocess
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

pytest.importorskip("httpx", reason="needs the extra collect")
pytest.importorskip("ddgs", reason="needs the extra collect")

import ddgs

from mien.collect import fetching
from mien.collect.collection import read_collection

from webserver import picture, running_web


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl")
    folder = tmp_path_factory.mktemp("certificate")
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=duckduckgo.com -keyout key.pem -out cert.pem"
    )
    subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


@pytest.fixture
def duckduckgo(certificate, monkeypatch):
    """What each page of results for a text is; the proxy between stands in DDGS_PROXY, as the library documents."""
    pages: dict[str, list[list[dict[str, object]]]] = {}
    asked: list[tuple[str, str, str]] = []

    class Proxy(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_CONNECT(self):
            self.host = self.path.partition(":")[0]
            self.send_response(200)
            self.end_headers()
            self.connection = certificate.wrap_socket(self.connection, server_side=True)
            self.rfile = self.connection.makefile("rb")
            self.wfile = self.connection.makefile("wb", buffering=0)

        def do_GET(self):
            parts = urlsplit(self.path)
            query = {key: values[0] for key, values in parse_qs(parts.query).items()}
            asked.append((self.host, parts.path, query.get("s", "0")))
            if self.host != "duckduckgo.com":
                self.answer(b"", 503)
            elif parts.path == "/i.js":
                assert query["vqd"] == "4-123" and query["p"] == "1"  # strict safe search
                found, number = pages.get(query["q"], []), int(query.get("s", 0)) // 100
                self.answer(json.dumps({"results": found[number] if number < len(found) else []}).encode())
            else:
                self.answer(b'<script>vqd="4-123";</script>')

        def finish(self):
            super().finish()
            self.connection.close()

        def answer(self, body, status=200):
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    monkeypatch.setenv("DDGS_PROXY", f"http://127.0.0.1:{server.server_address[1]}")
    monkeypatch.setattr(ddgs, "DDGS", partial(ddgs.DDGS, verify=False))
    monkeypatch.setattr(fetching, "_BACK_OFF", 0.01)
    monkeypatch.setenv("MIEN_CONTACT", "tests@example.org")
    yield pages, asked
    server.shutdown()
    server.server_close()
    thread.join()


def result(url: str, number: int) -> dict[str, object]:
    """Return a result as DuckDuckGo gives it."""
    return {
        "title": f"angry face {number}",
        "image": url,
        "thumbnail": f"https://tse1.mm.bing.net/th?id={number}",
        "url": f"https://example.org/page/{number}",
        "height": 480,
        "width": 640,
        "source": "Bing",
        "image_token": "x",
    }


@pytest.mark.parametrize("proxy", ["DDGS_PROXY", "HTTPS_PROXY"])
def test_searches_page_by_page_until_nothing_comes(duckduckgo, run, tmp_path, monkeypatch, proxy):
    """By the proxy that the environment names, as docs/collecting.md says; the pictures do not go through it."""
    pages, asked = duckduckgo
    address = os.environ["DDGS_PROXY"]
    monkeypatch.delenv("DDGS_PROXY")
    monkeypatch.setenv(proxy, address)
    file = tmp_path / "queries.toml"
    file.write_text('[[query]]\nlabel = "angry"\nwords = ["angry"]\nphrases = ["{word} face"]\n')
    command = ("collect", file, "--out", tmp_path / "web", "--provider", "ddgs", "--allow-unknown-licence")
    with running_web() as web:
        urls = [web.serve(f"/{number}.jpg", picture(number)) for number in range(5)]
        missing = f"{web.address}/missing.jpg"
        pages["angry face"] = [
            [result(url, n) for n, url in enumerate(urls[:3])],
            [result(missing, 3), result(urls[4], 4)],
        ]
        done = run(*command, "--allow-private", "--delay", "0")
        assert done.status == 0, done.err
        assert web.headers["/0.jpg"]["User-Agent"].startswith("mien/")
    lines = sorted(read_collection(tmp_path / "web"), key=lambda line: line.url)
    assert [line.url for line in lines] == [urls[n] for n in (0, 1, 2, 4)]
    assert (lines[0].title, lines[0].page) == ("angry face 0", "https://example.org/page/0")
    assert {(line.provider, line.licence, line.author) for line in lines} == {("ddgs", "", "")}
    assert "not found 1" in done.err
    starts = [start for host, path, start in asked if host == "duckduckgo.com" and path == "/i.js"]
    assert starts == ["0", "100", "200"]


@pytest.mark.slow
def test_engines_that_do_not_answer(duckduckgo, run, tmp_path, monkeypatch):
    monkeypatch.setenv("DDGS_PROXY", "http://127.0.0.1:9")
    command = ("collect", "three", "--out", tmp_path / "web", "--provider", "ddgs", "--allow-unknown-licence")
    done = run(*command)
    assert done.status == 1
    assert "mien: ddgs: " in done.err and "the same command goes on" in done.err
    assert "Traceback" not in done.err
