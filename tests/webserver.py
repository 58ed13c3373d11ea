"""A web of pictures on this machine: answers as Openverse and Wikimedia Commons document them, and bad manners."""

from __future__ import annotations

import gzip
import io
import json
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
from PIL import Image

ENDLESS = 1 << 30


def picture(number: int, form: str = "JPEG", size: tuple[int, int] = (64, 48)) -> bytes:
    """Return a picture that is unlike those of other numbers."""
    values = np.random.default_rng(number).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(values).resize(size, Image.Resampling.NEAREST).save(out, form)
    return out.getvalue()


@dataclass
class Answer:
    """What a path is answered with.

    Attributes:
        body: bytes, or pieces of them, which may never end.
        status: of HTTP.
        headers: besides Content-Length, which stands only with bytes and where it is not among these.
        wait: seconds before the answer.

    """

    body: bytes | Callable[[], Iterator[bytes]] = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    wait: float = 0.0


Known = Answer | Callable[[], Answer]


class Web:
    """The server's content and its memory.

    Attributes:
        address: such as http://127.0.0.1:12345.
        answers: by path, or what makes them; a list is given out one by one, the last one for ever.
        results: what searches find, by text and then by service: Openverse's results, or Commons' pages.
        asked: how often each path was asked for, searches with what tells them apart.
        times: when each path was asked for, by time.monotonic.
        headers: of the last request for each path.
        most: requests at work at the same time, the most there were.
        page: results a page, of both services.

    """

    def __init__(self) -> None:
        self.address = ""
        self.answers: dict[str, Known | list[Known]] = {}
        self.results: dict[tuple[str, str], list[dict[str, Any]]] = {}
        self.asked: Counter[str] = Counter()
        self.times: dict[str, list[float]] = {}
        self.headers: dict[str, dict[str, str]] = {}
        self.most = 0
        self.page = 20
        self.troubles: dict[str, list[Answer]] = {"openverse": [], "wikimedia": []}
        self._busy = 0
        self._lock = threading.Lock()

    @property
    def environment(self) -> dict[str, str]:
        """What points mien here."""
        return {
            "MIEN_OPENVERSE_URL": f"{self.address}/v1",
            "MIEN_WIKIMEDIA_URL": f"{self.address}/w/api.php",
            "MIEN_CONTACT": "tests@example.org",
        }

    def serve(self, path: str, answer: Known | bytes | list[Known]) -> str:
        """Answer `path` so, and return its URL."""
        self.answers[path] = Answer(answer) if isinstance(answer, bytes) else answer
        return self.address + path

    def openverse(self, text: str, *urls: str, **more: Any) -> None:
        """Let Openverse find pictures at `urls` for `text`."""
        self.results.setdefault(("openverse", text), []).extend(
            {
                "id": f"{number:032x}",
                "title": f"Openverse {number}",
                "foreign_landing_url": f"https://example.org/photos/{number}",
                "url": url,
                "thumbnail": f"{self.address}/v1/images/{number:032x}/thumb/",
                "creator": "Ada Example",
                "license": "by-sa",
                "license_version": "2.0",
                "license_url": "https://creativecommons.org/licenses/by-sa/2.0/",
                "provider": "flickr",
                "source": "flickr",
                "mature": False,
                "width": 64,
                "height": 48,
                **more,
            }
            for number, url in enumerate(urls, start=1)
        )

    def wikimedia(self, text: str, *urls: str, **more: str) -> None:
        """Let Commons find pictures at `urls` for `text`; `more` are facts about them, in HTML."""
        facts = {
            "ObjectName": "A face",
            "Artist": '<a href="//commons.wikimedia.org/wiki/User:Ada">Ada &amp; Charles</a>',
            "LicenseShortName": "CC BY-SA 4.0",
            "LicenseUrl": "https://creativecommons.org/licenses/by-sa/4.0",
            **more,
        }
        self.results.setdefault(("wikimedia", text), []).extend(
            {
                "pageid": number,
                "ns": 6,
                "title": f"File:Face {number}.jpg",
                "imagerepository": "local",
                "imageinfo": [
                    {
                        "size": 100000,
                        "width": 4000,
                        "height": 3000,
                        "thumburl": url,
                        "thumbwidth": 1280,
                        "thumbheight": 960,
                        "url": f"{self.address}/original/{number}.jpg",
                        "descriptionurl": f"https://commons.wikimedia.org/wiki/File:Face_{number}.jpg",
                        "mime": "image/jpeg",
                        "extmetadata": {
                            key: {"value": value, "source": "commons-desc-page"}
                            for key, value in facts.items()
                            if value
                        },
                    }
                ],
            }
            for number, url in enumerate(urls, start=1)
        )

    @property
    def fetched(self) -> int:
        """How many requests for pictures there were."""
        with self._lock:
            return sum(count for key, count in self.asked.items() if key.startswith("/"))

    def answer(self, target: str, headers: dict[str, str]) -> Answer:
        """Return the answer to a request, and remember that it was made."""
        parts = urlsplit(target)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        key, service = parts.path, None
        if parts.path == "/v1/images/":
            service, key = "openverse", f"openverse {query.get('q')} {query.get('page')}"
        elif parts.path == "/w/api.php":
            service, key = "wikimedia", f"wikimedia {query.get('gsrsearch')} {query.get('gsroffset', '0')}"
        with self._lock:
            self.asked[key] += 1
            self.times.setdefault(key, []).append(time.monotonic())
            self.headers[service or parts.path] = headers
            if service is not None and self.troubles[service]:
                return self.troubles[service].pop(0)
            if service is not None:
                found = _openverse(self, query) if service == "openverse" else _wikimedia(self, query)
                return Answer(json.dumps(found).encode(), headers={"Content-Type": "application/json"})
            known = self.answers.get(parts.path, Answer(status=404))
            if isinstance(known, list):
                known = known.pop(0) if len(known) > 1 else known[0]
            return known() if callable(known) else known

    @contextmanager
    def working(self) -> Iterator[None]:
        """Count a request as being at work."""
        with self._lock:
            self._busy += 1
            self.most = max(self.most, self._busy)
        try:
            yield
        finally:
            with self._lock:
                self._busy -= 1


def _openverse(web: Web, query: dict[str, str]) -> dict[str, Any]:
    results = web.results.get(("openverse", query["q"]), [])
    number = int(query["page"])
    assert int(query["page_size"]) <= 20, "more than 20 is refused without a token"
    if licences := query.get("license"):
        results = [result for result in results if result["license"] in licences.split(",")]
    count = -(-len(results) // web.page)
    return {
        "result_count": len(results),
        "page_count": min(count, 12),
        "page_size": web.page,
        "page": number,
        "results": results[(number - 1) * web.page : number * web.page],
    }


def _wikimedia(web: Web, query: dict[str, str]) -> dict[str, Any]:
    assert query["action"] == "query" and query["generator"] == "search" and query["gsrnamespace"] == "6"
    assert {"url", "size", "mime", "extmetadata"} <= set(query["iiprop"].split("|"))
    results = web.results.get(("wikimedia", query["gsrsearch"].removeprefix("filetype:bitmap ")), [])
    start = int(query.get("gsroffset", 0))
    here = results[start : start + web.page]
    answer: dict[str, Any] = {"batchcomplete": True}
    if start + web.page < len(results):
        answer["continue"] = {"gsroffset": start + web.page, "continue": "gsroffset||"}
    if here:  # in the order of page ids, as MediaWiki does: `index` says the one of the search
        pages = [{**page, "index": start + number} for number, page in enumerate(here, start=1)]
        answer["query"] = {"pages": pages[::-1]}
    return answer


class _Handler(BaseHTTPRequestHandler):
    web: Web
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        with self.web.working(), suppress(BrokenPipeError, ConnectionResetError, ssl.SSLError):
            answer = self.web.answer(self.path, dict(self.headers.items()))
            time.sleep(answer.wait)
            self.send_response(answer.status)
            for key, value in answer.headers.items():
                self.send_header(key, value)
            if isinstance(answer.body, bytes):
                if "Content-Length" not in answer.headers:
                    self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body)
                self.close_connection = "Content-Length" in answer.headers
            else:
                self.send_header("Connection", "close")
                self.end_headers()
                for piece in answer.body():
                    self.wfile.write(piece)
                    self.wfile.flush()
                self.close_connection = True

    def log_message(self, *args: object) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that went away."""


@contextmanager
def running_web(host: str = "127.0.0.1", *, context: ssl.SSLContext | None = None) -> Iterator[Web]:
    """Run the server on a free port of this machine, by TLS with `context`, while the context lasts."""
    web = Web()
    server = _Server((host, 0), type("Handler", (_Handler,), {"web": web}))
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    web.address = f"http{'s' if context else ''}://{host}:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield web
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def endless() -> Iterator[bytes]:
    """Yield the beginning of a picture, and then more than anyone wants."""
    yield picture(1)[:200]
    for _ in range(ENDLESS >> 16):
        yield bytes(1 << 16)


def dripping() -> Iterator[bytes]:
    """Yield a picture, a byte at a time."""
    for value in picture(2):
        time.sleep(0.1)
        yield bytes([value])


def bomb() -> bytes:
    """Return what unpacks to a thousand times as much."""
    return gzip.compress(bytes(64 << 20))


def gzip_and_more() -> Iterator[bytes]:
    """Yield a packed picture, and then more than anyone wants."""
    yield gzip.compress(picture(10))
    yield from endless()


def empty_gzip() -> Iterator[bytes]:
    """Yield the beginning of what unpacks to nothing, and never ends."""
    yield gzip.compress(b"")[:10]
    for _ in range(ENDLESS >> 16):
        yield b"\x00\x00\x00\xff\xff" * 13107


def many_scans(count: int = 200) -> bytes:
    """Return a JPEG that goes over its pixels again and again, to no avail."""
    out = io.BytesIO()
    Image.new("L", (64, 48), 128).save(out, "JPEG", progressive=True)
    content = out.getvalue()
    last = content[content.rindex(b"\xff\xda") : -2]
    return content[:-2] + last * count + content[-2:]


def http_date(seconds: float) -> str:
    """Return the time in so many seconds as HTTP writes it."""
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)
