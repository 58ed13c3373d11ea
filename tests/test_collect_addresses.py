"""A search result does not lead mien into the network around it: not by its address, a redirect, or a name."""

import asyncio
import json
import shutil
import socket
import ssl
import subprocess
from ipaddress import ip_address

import pytest

pytest.importorskip("httpx", reason="needs the extra collect")

from mien.collect import addresses, fetching
from mien.collect.addresses import check_url, is_public
from mien.collect.failures import FetchError
from mien.collect.fetching import Fetcher
from mien.collect.limits import Limits

from webserver import Answer, picture, running_web

PRIVATE = (
    "127.0.0.1 127.255.255.254 0.0.0.0 0.1.2.3 10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1 169.254.169.254 "
    "100.64.0.1 100.127.255.255 192.0.0.1 192.0.2.1 198.18.0.1 198.51.100.1 203.0.113.9 224.0.0.1 239.255.255.250 "
    "240.0.0.1 255.255.255.255 "
    ":: ::1 fe80::1 fec0::1 fc00::1 fd12:3456::1 ff02::1 ff0e::1 2001:db8::1 2001::1 100::1 ::127.0.0.1 "
    "::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 ::ffff:100.64.0.1 "
    "64:ff9b::127.0.0.1 64:ff9b::10.0.0.1 64:ff9b:1::1 64:ff9b:1:: 2002:7f00:1:: 2002:c0a8:101::1"
)
PUBLIC = (
    "1.1.1.1 8.8.8.8 91.198.174.208 100.63.255.255 100.128.0.1 172.32.0.1 192.169.0.1 "
    "2606:4700:4700::1111 2620:0:862:ed1a::2:b ::ffff:8.8.8.8 64:ff9b::8.8.8.8 2002:808:808::1"
)
BAD_URLS = (
    "file:///etc/passwd ftp://example.org/a gopher://example.org/ javascript:1 data:image/png;base64,AA "
    "//example.org/a http:///a http:// http://[::1 http://[fe80::1%25lo]/ http://u@example.org/ "
    "http://u:p@example.org/ http://%5bbroken/ http://example.org:65536/ http://example.org:0/ http://xn--/ http://xn--\u00fc/"
)


@pytest.mark.parametrize("address", PRIVATE.split())
def test_addresses_that_are_not_on_the_internet(address):
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", PUBLIC.split())
def test_addresses_on_the_internet(address):
    assert is_public(ip_address(address))


@pytest.mark.parametrize("url", BAD_URLS.split())
def test_urls_that_are_not_fetched(url):
    with pytest.raises(FetchError) as caught:
        check_url(url)
    assert caught.value.reason == "bad address"


def fetch(*urls: str, **limits: object) -> list[bytes | str]:
    """Return the bytes of each, or why there are none."""

    async def fetch_all() -> list[bytes | str]:
        answers: list[bytes | str] = []
        async with Fetcher(user_agent="tests", limits=Limits(delay=0, **limits)) as fetcher:
            for url in urls:
                try:
                    answers.append(await fetcher.get(url))
                except FetchError as error:
                    answers.append(error.reason)
        return answers

    return asyncio.run(fetch_all())


def test_this_machine_by_all_its_names(tmp_path):
    with running_web() as web:
        web.serve("/1.jpg", picture(1))
        port = web.address.rpartition(":")[2]
        hosts = (
            "127.0.0.1",
            "localhost",
            "127.1",
            "2130706433",
            "0x7f.1",
            "0177.0.0.1",
            "[::ffff:127.0.0.1]",
            "0.0.0.0",
        )
        urls = [f"http://{host}:{port}/1.jpg" for host in (*hosts, socket.gethostname())]
        reasons = fetch(*urls)
        assert set(reasons[:2]) == {"private address"} and set(reasons) <= {"private address", "bad address"}
        assert not web.asked
        assert fetch(urls[0], allow_private=True) == [picture(1)]


@pytest.fixture
def inner_and_outer(monkeypatch):
    """Two servers: the one on 127.0.0.1 stands for the internet, the one at another address is inside."""
    monkeypatch.setattr(addresses, "is_public", lambda address: str(address) == "127.0.0.1")
    with running_web() as outer:
        try:
            socket.create_server(("127.0.0.2", 0)).close()
        except OSError:
            pytest.skip("needs a second loopback address")
        with running_web("127.0.0.2") as inner:
            inner.serve("/secret.jpg", picture(66))
            yield inner, outer


def test_redirects_into_the_network_around(inner_and_outer):
    inner, outer = inner_and_outer
    secret = f"{inner.address}/secret.jpg"
    outer.serve("/ok.jpg", picture(1))
    away = outer.serve("/away.jpg", Answer(status=302, headers={"Location": secret}))
    outer.serve("/far.jpg", Answer(status=307, headers={"Location": "/away.jpg"}))
    outer.serve("/no-scheme.jpg", Answer(status=302, headers={"Location": secret.removeprefix("http:")}))
    urls = [outer.address + path for path in ("/ok.jpg", "/far.jpg", "/no-scheme.jpg")]
    assert fetch(*urls, away, secret) == [picture(1), *["private address"] * 4]
    assert not inner.asked
    assert outer.asked["/away.jpg"] == 2


def test_names_are_resolved_once_and_all_their_addresses_are_checked(inner_and_outer, monkeypatch):
    inner, outer = inner_and_outer
    port = int(outer.address.rpartition(":")[2])
    outer.serve("/1.jpg", picture(1))
    asked = []
    answers = {
        "rebinding.example": (["127.0.0.1"], ["127.0.0.2"], ["127.0.0.2"]),  # another one the second time
        "both.example": (["127.0.0.1", "127.0.0.2"],),
        "inner.example": (["127.0.0.2"],),
    }
    real = socket.getaddrinfo

    def resolve(host, port, *args, **more):
        name = host.decode() if isinstance(host, bytes) else host
        if name not in answers:
            return real(host, port, *args, **more)
        asked.append(name)
        found = answers[name][min(asked.count(name), len(answers[name])) - 1]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    urls = [f"http://{name}:{port}/1.jpg" for name in answers]
    assert fetch(*urls) == [picture(1), "private address", "private address"]
    assert asked == list(answers)
    assert outer.headers["/1.jpg"]["Host"] == f"rebinding.example:{port}"
    assert not inner.asked


def test_a_collection_does_not_follow_what_its_own_journal_says(tmp_path, run, monkeypatch):
    """A page of results is no more trusted when it is read from the journal."""
    monkeypatch.setenv("MIEN_CONTACT", "tests@example.org")
    file, folder = tmp_path / "queries.toml", tmp_path / "web"
    file.write_text('phrases = ["{word}"]\n[[query]]\nlabel = "happy"\nwords = ["happy"]\n')
    with running_web() as web:
        web.openverse("happy", web.serve("/1.jpg", picture(1)))
        command = ("collect", file, "--out", folder, "--provider", "openverse")
        monkeypatch.setenv("MIEN_OPENVERSE_URL", f"{web.address}/v1")
        done = run(*command)
        assert (
            done.status == 1 and "openverse: private address (127.0.0.1 is at 127.0.0.1; --allow-private" in done.err
        )
        assert not web.asked
        page = {
            "provider": "openverse",
            "text": "happy",
            "following": None,
            "results": [{"url": f"{web.address}/1.jpg"}],
        }
        page["results"][0]["licence"] = "CC BY 4.0"
        (folder / "journal.jsonl").write_text(json.dumps(page) + "\n")
        done = run(*command)
        assert done.status == 1 and "private address 1" in done.err
        assert not web.asked


def test_proxies_of_the_environment_are_not_used(monkeypatch):
    with running_web() as web, running_web() as proxy:
        url = web.serve("/1.jpg", picture(1))
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.address)
        assert fetch(url, allow_private=True) == [picture(1)]
        assert not proxy.asked


def test_certificates_are_checked_against_the_name_in_the_url(tmp_path, monkeypatch):
    """The connection goes to a checked address, but what is asked for and trusted is the name."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl")
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    )
    subprocess.run(
        [*command.split(), "-keyout", "key", "-out", "cert"], cwd=tmp_path, check=True, capture_output=True
    )
    monkeypatch.setattr(fetching, "_BACK_OFF", 0.01)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert", tmp_path / "key")
    names = []
    context.sni_callback = lambda socket, name, context: names.append(name)
    with running_web(context=context) as web:
        web.serve("/1.jpg", picture(1))
        named = web.address.replace("127.0.0.1", "localhost") + "/1.jpg"
        assert fetch(named, allow_private=True) == ["no connection"]  # signed by nobody who is known
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert"))
        assert fetch(named, f"{web.address}/1.jpg", allow_private=True) == [picture(1), "no connection"]
        assert names[-4:] == ["localhost", None, None, None]
