"""Servers that speak broken HTTP end no run, and what they say of when to come back is understood."""

import asyncio
import socketserver
import threading
from contextlib import suppress

import pytest

pytest.importorskip("httpx", reason="needs the extra collect")

from mien.collect import fetching
from mien.collect.failures import FetchError
from mien.collect.fetching import Fetcher
from mien.collect.limits import Limits

from webserver import http_date

HEAD = b"HTTP/1.1 200 OK\r\n"
BROKEN = [
    b"",
    b"\x00\x01\x02\xff\xfe",
    b"<html>no HTTP</html>\r\n\r\n",
    b"HTTP/1.1 two OK\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n",
    HEAD + b"X: " + b"a" * (1 << 20),
    HEAD + b"Content-Length: -1\r\n\r\nx",
    HEAD + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\nx",
    HEAD + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nxxxx",
    HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nxxx",
    HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nxx",
    HEAD + b"Content-Encoding: gzip\r\nContent-Length: 12\r\n\r\n\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x00\x00",
    HEAD.replace(b"200", b"302") + b"Location: \xff\xfe//\x00\r\nContent-Length: 0\r\n\r\n",
    HEAD.replace(b"200", b"302") + b"Location: http://a.b.\xc3\x28:99999999/\r\nContent-Length: 0\r\n\r\n",
    HEAD.replace(b"200", b"429") + b"Retry-After: Fri, 99 Foo 20x6 99:99:99 +999999\r\nContent-Length: 0\r\n\r\n",
    HEAD.replace(b"200", b"999") + b"Content-Length: 0\r\n\r\n",
]


@pytest.fixture
def broken_server(monkeypatch):
    """Where the n-th of the broken answers is to be had, by /n."""
    monkeypatch.setattr(fetching, "_BACK_OFF", 0.001)
    monkeypatch.setattr(fetching, "HOST_FAILURES", 1000)

    class Handler(socketserver.StreamRequestHandler):
        def handle(self):
            number = int(self.rfile.readline().split()[1].strip(b"/"))
            while self.rfile.readline().strip():
                pass
            with suppress(OSError):
                self.wfile.write(BROKEN[number])

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_broken_http_is_an_ordinary_failure(broken_server):
    async def reason(fetcher: Fetcher, number: int) -> str:
        with pytest.raises(FetchError) as caught:
            await fetcher.get(f"{broken_server}/{number}")
        return caught.value.reason

    async def all_reasons() -> list[str]:
        async with Fetcher(user_agent="tests", limits=Limits(delay=0, timeout=5, allow_private=True)) as fetcher:
            return [await reason(fetcher, number) for number in range(len(BROKEN))]

    reasons = dict(enumerate(asyncio.run(all_reasons())))
    known = {
        "broken off",
        "too large",
        "not a picture",
        "bad address",
        "no connection",
        "too many requests",
        "refused",
    }
    assert set(reasons.values()) <= known
    assert [reasons[number] for number in (0, 1, 2, 3, 4)] == ["broken off"] * 5


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("-3", None),
        ("0", 0),
        ("120", 120),
        (" 7 ", 7),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
        ("Fri, 99 Foo 20x6", None),
        ("9" * 400, float("inf")),
    ],
)
def test_retry_after(text, expected):
    assert fetching._retry_after(text) == expected


def test_retry_after_a_date():
    assert 57 <= fetching._retry_after(http_date(60)) <= 60
