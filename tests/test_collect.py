"""`mien collect` against a web on this machine: what is kept, what is refused, and what a killed run leaves."""

import gzip
import json
import os
import pty
import shutil
import subprocess
import sys
import time
import tomllib
from collections import Counter
from dataclasses import fields
from pathlib import Path

import pytest
from PIL import Image

pytest.importorskip("httpx", reason="needs the extra collect")

from mien.collect.collection import Collected, read_collection
from mien.errors import DataError

from conftest import EXAMPLES
from gathering import FAST, files, provenance, reasons
from webserver import Answer, bomb, dripping, empty_gzip, endless, gzip_and_more, http_date, many_scans, picture


def test_both_services_in_turn_page_by_page(web, collect, tmp_path):
    web.page = 3
    urls = [web.serve(f"/{number}.jpg", picture(number)) for number in range(20)]
    web.openverse("happy", *urls[:8])
    web.wikimedia("happy", *urls[8:])
    done = collect({"happy": ["happy"]}, limit=11)
    assert done.status == 0, done.err
    lines = read_collection(tmp_path / "web")
    assert [line.url for line in lines] == [urls[n] for n in (0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5)]
    first, second = lines[:2]
    content = picture(0)
    assert (tmp_path / "web" / first.file).read_bytes() == content
    assert first.file == f"pictures/{first.sha256[:2]}/{first.sha256}.jpg"
    assert (first.size, first.width, first.height) == (len(content), 64, 48)
    assert (first.label, first.query, first.provider) == ("happy", "happy", "openverse")
    assert (first.licence, first.author, first.title) == ("CC BY-SA 2.0", "Ada Example", "Openverse 1")
    assert first.page == "https://example.org/photos/1"
    assert first.licence_url == "https://creativecommons.org/licenses/by-sa/2.0/"
    assert (second.provider, second.licence, second.author) == ("wikimedia", "CC BY-SA 4.0", "Ada & Charles")
    assert (second.title, second.page) == ("A face", "https://commons.wikimedia.org/wiki/File:Face_1.jpg")
    # only as many pages and pictures as were needed, each once, and at most two requests at a time
    assert set(web.asked.values()) == {1}
    assert len([key for key in web.asked if key.startswith("/")]) == 11
    assert sorted(key for key in web.asked if not key.startswith("/")) == [
        "openverse happy 1",
        "openverse happy 2",
        "wikimedia filetype:bitmap happy 0",
        "wikimedia filetype:bitmap happy 3",
    ]
    assert web.most <= 2
    agents = {headers["User-Agent"] for headers in web.headers.values()}
    assert agents == {f"mien/{__import__('mien').__version__} (+tests@example.org)"}
    assert not any("Cookie" in headers for headers in web.headers.values())
    # the summary, and a second run that has nothing to do
    assert "happy     11    11" in done.err.replace("  openverse", "")
    before = files(tmp_path / "web")
    assert collect({"happy": ["happy"]}, limit=11).status == 0
    assert set(web.asked.values()) == {1}
    assert files(tmp_path / "web") == before


def test_the_first_phrase_first_and_the_next_where_it_finds_too_little(web, run, tmp_path):
    web.openverse("sad human face", web.serve("/1.jpg", picture(1)))
    web.wikimedia("sad face", *(web.serve(f"/{n}.jpg", picture(n)) for n in (1, 2, 3)))
    done = run("collect", "three", "--out", tmp_path / "web", "--limit", "2", *FAST)
    assert done.status == 0, done.err
    lines = read_collection(tmp_path / "web")
    assert [(line.label, line.query, line.url[-5]) for line in lines] == [
        ("sad", "sad human face", "1"),
        ("sad", "sad face", "2"),
    ]
    assert web.asked["/3.jpg"] == 0
    asked = tomllib.loads((tmp_path / "web" / "queries.toml").read_text("utf-8"))
    assert [query["limit"] for query in asked["query"]] == [2, 2, 2]


BAD = {
    "/gone.jpg": (Answer(status=404), "not found", 1),
    "/forbidden.jpg": (Answer(status=403), "refused", 1),
    "/broken-server.jpg": (Answer(status=500), "server error", 3),
    "/page.jpg": (Answer(b"<html>no picture</html>", headers={"Content-Type": "image/jpeg"}), "not a picture", 1),
    "/empty.jpg": (Answer(b""), "not a picture", 1),
    "/damaged.png": (Answer(picture(90, "PNG")[:-30] + b"x" * 30), "not a picture", 1),
    "/drawing.svg": (Answer(b'<svg xmlns="http://www.w3.org/2000/svg"/>'), "not a picture", 1),
    "/postscript.jpg": (Answer(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"), "not a picture", 1),
    "/huge.png": (Answer(picture(91, "PNG", (1200, 1000))), "too many pixels", 1),
    "/large.jpg": (Answer(picture(92) + bytes(300_000)), "too large", 1),
    "/endless.jpg": (Answer(endless), "too large", 1),
    "/slow.jpg": (Answer(dripping), "too slow", 1),
    "/lying-long.jpg": (Answer(picture(93), headers={"Content-Length": "99999"}), "broken off", 3),
    "/lying-huge.jpg": (Answer(picture(93), headers={"Content-Length": "99999999999"}), "too large", 1),
    "/bomb.jpg": (Answer(bomb(), headers={"Content-Encoding": "gzip"}), "too large", 1),
    "/nothing.jpg": (Answer(empty_gzip, headers={"Content-Encoding": "gzip"}), "too large", 1),
    "/scans.jpg": (Answer(many_scans()), "not a picture", 1),
    "/not-gzip.jpg": (Answer(picture(94), headers={"Content-Encoding": "gzip"}), "not a picture", 1),
    "/brotli.jpg": (Answer(picture(95), headers={"Content-Encoding": "br"}), "not a picture", 1),
    "/loop.jpg": (Answer(status=302, headers={"Location": "/loop.jpg"}), "too many redirects", 6),
    "/to-a-file.jpg": (Answer(status=302, headers={"Location": "file:///etc/passwd"}), "bad address", 1),
    "/to-nowhere.jpg": (Answer(status=301, headers={"Location": "http://[broken"}), "bad address", 1),
    "/to-no-port.jpg": (Answer(status=302, headers={"Location": "http://127.0.0.1:70000/"}), "bad address", 1),
}
BAD_URLS = (
    "file:///etc/passwd",
    "ftp://example.org/1.jpg",
    "http://a:b@127.0.0.1/1.jpg",
    "no url",
    "http://127.0.0.1:70000/1.jpg",
    "http://xn--/1.jpg",
    "http://",
    "//x/1",
)


def test_every_bad_manner_is_counted_and_the_rest_is_kept(web, collect, tmp_path):
    for path, (answer, _, _) in BAD.items():
        web.serve(path, answer)
    moved = "/moved-0.jpg"
    for hop in range(5):
        there = "/there.jpg" if hop == 4 else f"/moved-{hop + 1}.jpg"
        web.serve(f"/moved-{hop}.jpg", Answer(status=301 + hop % 2, headers={"Location": there}))
    good = {
        "/there.jpg": picture(1),
        "/as-text.jpg": Answer(picture(2), headers={"Content-Type": "text/html"}),
        "/as-jpeg.jpg": Answer(picture(3, "PNG"), headers={"Content-Type": "image/jpeg"}),
        "/packed.webp": Answer(gzip.compress(picture(4, "WEBP")), headers={"Content-Encoding": "gzip"}),
        "/packed-and-more.jpg": Answer(gzip_and_more, headers={"Content-Encoding": "gzip"}),
        "/later.jpg": [Answer(status=429, headers={"Retry-After": "1"}), Answer(picture(5))],
        "/even-later.jpg": [lambda: Answer(status=503, headers={"Retry-After": http_date(2)}), Answer(picture(6))],
        "/once-broken.jpg": [Answer(picture(7), headers={"Content-Length": "99999"}), Answer(picture(7))],
        "/moving.gif": picture(8, "GIF"),
    }
    for path, answer in good.items():
        web.serve(path, answer)
    paths = [*BAD, moved, *list(good)[1:]]
    web.openverse("odd", *BAD_URLS, *(web.address + path for path in paths))
    options = ("--provider", "openverse", "--max-bytes", "0.1", "--max-pixels", "1", "--timeout", "3")
    done = collect({"odd": ["odd"]}, *options)
    assert done.status == 0, done.err
    expected = Counter(reason for _, reason, _ in BAD.values())
    expected["bad address"] += len(BAD_URLS)
    assert reasons(done.err) == expected
    for path, (_, _, times) in BAD.items():
        assert web.asked[path] == times, path
    assert web.asked["/later.jpg"] == web.asked["/even-later.jpg"] == web.asked["/once-broken.jpg"] == 2
    for path in ("/later.jpg", "/even-later.jpg"):
        first, second = web.times[path]
        assert second - first >= 1.0
    kept = {line.url.removeprefix(web.address): line for line in read_collection(tmp_path / "web")}
    assert set(kept) == {moved, *list(good)[1:]}
    assert kept["/as-jpeg.jpg"].file.endswith(".png") and kept["/packed.webp"].file.endswith(".webp")
    assert (tmp_path / "web" / kept["/packed.webp"].file).read_bytes() == picture(4, "WEBP")
    for line in kept.values():
        with Image.open(tmp_path / "web" / line.file) as image:
            assert image.size == (line.width, line.height)
    # what failed is not tried again, unless that is asked for
    before = web.asked.copy()
    assert reasons(collect({"odd": ["odd"]}, *options).err) == expected
    assert web.asked == before
    for path in BAD:
        web.serve(path, picture(9))
    again = collect({"odd": ["odd"]}, *options, "--retry")
    assert again.status == 0, again.err
    assert reasons(again.err) == {
        "bad address": len(BAD_URLS),
        "duplicate": len(BAD) - 1,
    }
    assert before["/there.jpg"] == web.asked["/there.jpg"]


def test_hosts_are_asked_one_after_the_other_with_a_pause(web, collect):
    web.openverse("slow", *(web.serve(f"/{n}.jpg", Answer(picture(n), wait=0.02)) for n in range(5)))
    options = ("--provider", "openverse", "--per-host", "1")
    begun = time.monotonic()
    assert collect({"slow": ["slow"]}, *options, fast=("--allow-private", "--delay", "0.2")).status == 0
    assert time.monotonic() - begun > 5 * 0.2
    assert web.most == 1


def test_equal_pictures_count_once_a_label_and_the_earlier_result_has_the_line(web, collect, tmp_path):
    same = [web.serve(f"/same-{n}.jpg", Answer(picture(1), wait=0.2 if n == 0 else 0)) for n in range(3)]
    other = web.serve("/other.jpg", picture(2))
    third = web.serve("/third.jpg", picture(3))
    web.openverse("angry", *same, other, third)
    web.openverse("cross", same[0], other, third, web.serve("/never.jpg", picture(4)))
    web.openverse("sad", same[1])
    done = collect({"angry": ["angry", "cross"], "sad": ["sad"]}, "--provider", "openverse", limit=2)
    assert done.status == 0
    lines = [(line.label, line.query, line.url) for line in read_collection(tmp_path / "web")]
    # of the word "cross" too, only what the label does not have
    assert lines == [
        ("angry", "angry", same[0]),
        ("angry", "angry", other),
        ("angry", "cross", third),
        ("angry", "cross", f"{web.address}/never.jpg"),
        ("sad", "sad", same[1]),
    ]
    assert reasons(done.err) == {"duplicate": 4}
    assert len(files(tmp_path / "web")) == 4
    assert web.asked["/same-0.jpg"] == web.asked["/same-1.jpg"] == web.asked["/other.jpg"] == 1


def test_licences(web, collect, tmp_path):
    by = [web.serve(f"/by{n}.jpg", picture(n)) for n in range(2)]
    web.openverse("face", by[0], license="by", license_version="4.0")
    web.openverse("face", web.serve("/nc.jpg", picture(10)), license="by-nc-nd", license_version="4.0")
    web.openverse("face", web.serve("/cc0.jpg", picture(11)), license="cc0", license_version="1.0")
    web.openverse("face", web.serve("/adult.jpg", picture(12)), mature=True)
    web.wikimedia("face", by[1])
    web.wikimedia("face", web.serve("/pd.jpg", picture(13)), LicenseShortName="Public domain", LicenseUrl="")
    web.wikimedia("face", web.serve("/unknown.jpg", picture(14)), LicenseShortName="", LicenseUrl="")

    def kept(*options, out):
        done = collect({"face": ["face"]}, *options, out=out)
        assert done.status == 0, done.err
        return {line.url.rpartition("/")[2]: line.licence for line in read_collection(tmp_path / out)}

    every = {"by0.jpg": "CC BY 4.0", "nc.jpg": "CC BY-NC-ND 4.0", "cc0.jpg": "CC0 1.0"}
    every |= {"by1.jpg": "CC BY-SA 4.0", "pd.jpg": "Public domain"}
    assert kept(out="open") == every
    assert web.asked["/unknown.jpg"] == web.asked["/adult.jpg"] == 0
    assert kept("--allow-unknown-licence", out="unknown") == every | {"unknown.jpg": ""}
    free = {name: licence for name, licence in every.items() if name != "nc.jpg"}
    assert kept("--licence", "commercial", out="commercial") == free
    assert kept("--licence", "modification", out="modification") == free
    assert set(kept("--licence", "cc0,pdm", out="codes")) == {"cc0.jpg", "pd.jpg"}
    # where two services say different things of one picture, what is said by the one that names a licence counts
    web.openverse("both", by[1], license="")
    web.wikimedia("both", by[1], web.serve("/more.jpg", picture(15)))
    assert collect({"face": ["both"]}, out="both", limit=2).status == 0
    lines = read_collection(tmp_path / "both")
    assert [(line.provider, line.url[-8:]) for line in lines] == [
        ("wikimedia", "/by1.jpg"),
        ("wikimedia", "more.jpg"),
    ]
    assert collect({"face": ["face"]}, "--licence", "by,open", out="x").status == 2
    assert "by-nc-sa" in collect({"face": ["face"]}, "--licence", "free", out="x").err


def test_a_service_that_fails_is_gone_on_with_by_the_next_run(web, collect, tmp_path):
    web.page = 2
    web.openverse("sad", *(web.serve(f"/o{n}.jpg", picture(n)) for n in range(4)))
    web.wikimedia("sad", *(web.serve(f"/w{n}.jpg", picture(10 + n)) for n in range(3)))
    lagged = json.dumps({"error": {"code": "maxlag", "info": "Waiting for a host: 7 seconds lagged"}}).encode()
    web.troubles["wikimedia"] = [Answer(lagged, headers={"Retry-After": "1"})]
    web.troubles["openverse"] = [Answer(status=500)] * 3
    done = collect({"sad": ["sad"]})
    assert done.status == 1
    assert "mien: openverse: server error (status 500)\n" in done.err and "the same command goes on" in done.err
    assert [line["provider"] for line in provenance(tmp_path / "web")] == ["wikimedia"] * 3
    web.troubles["openverse"] = [Answer(status=429, headers={"Retry-After": "7200"})]
    done = collect({"sad": ["sad"]})
    assert done.status == 1 and "openverse: host left alone (it asks to wait 2.0 hours)" in done.err
    web.troubles["openverse"] = [Answer(b"<html>", headers={"Content-Type": "application/json"})]
    assert "openverse: its answer is not as documented" in collect({"sad": ["sad"]}).err
    assert collect({"sad": ["sad"]}).status == 0
    urls = [str(line["url"])[-6:] for line in provenance(tmp_path / "web")]
    assert urls == ["o0.jpg", "w0.jpg", "o1.jpg", "w1.jpg", "o2.jpg", "w2.jpg", "o3.jpg"]
    assert all(count == 1 for key, count in web.asked.items() if key.startswith("/"))
    error = {"error": {"code": "cirrussearch-too-busy-error", "info": "too busy"}}
    web.troubles["wikimedia"] = [Answer(json.dumps(error).encode())]
    assert "wikimedia: cirrussearch-too-busy-error: too busy" in collect({"odd": ["odd"]}, out="other").err


def test_a_token_goes_to_its_service_alone(web, collect, tmp_path, monkeypatch):
    monkeypatch.setenv("MIEN_OPENVERSE_TOKEN", "secret")
    web.openverse("sad", web.serve("/1.jpg", picture(1)))
    web.serve("/elsewhere", b'{"results": [], "page_count": 1}')
    web.troubles["openverse"] = [Answer(status=302, headers={"Location": "/elsewhere"})]
    assert collect({"sad": ["glad", "sad"]}, "--provider", "openverse").status == 0
    assert web.headers["openverse"]["Authorization"] == "Bearer secret"
    assert web.asked["/elsewhere"] == web.asked["/1.jpg"] == 1
    assert "Authorization" not in web.headers["/elsewhere"].keys() | web.headers["/1.jpg"].keys()


def test_a_host_that_keeps_failing_is_left_alone_until_the_next_run(web, collect, tmp_path, monkeypatch):
    dead = [web.serve(f"/dead/{n}.jpg", Answer(status=502)).replace("127.0.0.1", "localhost") for n in range(9)]
    live = [web.serve(f"/live/{n}.jpg", picture(n)) for n in range(9)]
    web.openverse("face", *(url for pair in zip(dead, live, strict=True) for url in pair))
    done = collect({"face": ["face"]}, "--provider", "openverse", "--concurrency", "1")
    assert done.status == 0
    assert reasons(done.err) == {"server error": 5, "host left alone": 4}
    for number in range(9):
        web.serve(f"/dead/{number}.jpg", picture(20 + number))
    done = collect({"face": ["face"]}, "--provider", "openverse")
    assert reasons(done.err) == {"server error": 5}
    assert len(read_collection(tmp_path / "web")) == 13


def test_what_services_say_is_made_fit_to_be_written_and_shown(web, collect, tmp_path):
    """Texts are one line of UTF-8, and links are to pages: nothing that a browser would run."""
    odd = {"title": "a\ud800\n  b\x00" + "c" * 2000, "creator": 7, "foreign_landing_url": "javascript:alert(1)"}
    web.openverse(
        "face", web.serve("/1.jpg", picture(1)), **odd, license_url="//creativecommons.org/licenses/by/4.0/"
    )
    script = '<style>b</style><a onclick="x()">Ann</a>  <script>alert(1)</script>&lt;b&gt;'
    web.wikimedia(
        "face", web.serve("/2.jpg", picture(2)), Artist=script, ObjectName="", LicenseUrl="data:text/html,x"
    )
    filler = "x" * 200_000  # a page of results may be larger than a picture
    web.openverse("face", "http://[", tags=[{"name": filler}])
    assert collect({"face": ["face"]}, "--max-bytes", "0.1").status == 0
    first, second = read_collection(tmp_path / "web")
    assert first.title.startswith("a? b") and first.title.isprintable() is False and len(first.title) == 500
    assert (first.author, first.page) == ("7", "")
    assert first.licence_url == "https://creativecommons.org/licenses/by/4.0/"
    assert (second.title, second.author, second.licence_url) == ("Face 1.jpg", "Ann <b>", "")
    assert collect({"face": ["face"]}, "--max-bytes", "0.1").status == 0


def test_nothing_found(web, collect):
    done = collect({"face": ["face"]})
    assert done.status == 1 and "no picture was found" in done.err


def test_a_bar_on_a_terminal(web, tmp_path):
    web.openverse("face", *(web.serve(f"/{n}.jpg", Answer(picture(n), wait=0.05)) for n in range(6)))
    file = tmp_path / "queries.toml"
    file.write_text('phrases = ["{word}"]\n[[query]]\nlabel = "happy"\nwords = ["face"]\n')
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "mien", "collect", str(file), "--out", str(tmp_path / "web"), *FAST]
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "100"}
    process = subprocess.Popen([*command, "--provider", "openverse"], stderr=follower, env=environment)
    os.close(follower)
    shown = b""
    while True:
        try:
            shown += os.read(leader, 1 << 16)
        except OSError:
            break
    os.close(leader)
    assert process.wait() == 0
    assert b"happy: face" in shown and b"/100" in shown and b"0 failed" in shown
    assert b"openverse" in shown  # the summary


def local_pictures(folder: Path) -> Path:
    for label, names in {"happy": ("a.jpg", "deep/b.png"), "sad": ("c.jpg",)}.items():
        for number, name in enumerate(names):
            path = folder / label / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(picture(len(label) * 10 + number, "PNG" if name.endswith("png") else "JPEG"))
    (folder / "My Angry-boss (2).JPG").write_bytes(picture(1))
    (folder / "hangry.jpg").write_bytes(picture(2))
    (folder / "angry.jpg").write_bytes(b"no picture")
    (folder / "angry.txt").write_text("no picture")
    return folder


def test_pictures_of_ones_own(collect, tmp_path, monkeypatch):
    """They need neither the network, nor a contact, nor a licence."""
    monkeypatch.delenv("MIEN_CONTACT", raising=False)
    mine = local_pictures(tmp_path / "mine")
    queries = {"happy": ["happy"], "sad": ["sad"], "angry": ["angry"]}
    options = ("--provider", "local", "--from", mine)
    done = collect(queries, *options, "--licence", "by", fast=())
    assert done.status == 0, done.err
    lines = read_collection(tmp_path / "web")
    assert [(line.label, line.title) for line in lines] == [
        ("happy", "a.jpg"),
        ("happy", "b.png"),
        ("sad", "c.jpg"),
        ("angry", "My Angry-boss (2).JPG"),
    ]
    assert (lines[0].url, lines[0].licence) == ("local:happy/a.jpg", "own pictures")
    assert (lines[3].url, lines[3].page) == ("local:My%20Angry-boss%20%282%29.JPG", "")
    assert reasons(done.err) == {"not a picture": 1}
    # letters and their accents may stand apart in names, as some systems write them
    for name in ("fro\u0308hlich.jpg", "u\u0308ber/x.jpg"):
        (mine / name).parent.mkdir(exist_ok=True)
        (mine / name).write_bytes(picture(len(name)))
    done = collect({"happy": ["fr\u00f6hlich"], "\u00fcber": ["over"]}, *options, out="apart", fast=())
    assert {line.label for line in read_collection(tmp_path / "apart")} == {"happy", "\u00fcber"}
    shutil.copy(EXAMPLES / "astronaut.jpg", mine / "happy" / "z.jpg")
    done = collect(queries, *options, "--max-bytes", "0.002", out="small", fast=())
    assert reasons(done.err)["too large"] == 1
    assert "belong together" in collect(queries, "--provider", "local", fast=()).err
    assert "belong together" in collect(queries, "--from", mine, fast=()).err
    done = collect(queries, "--provider", "local", "--from", tmp_path / "none", out="other", fast=())
    assert not (tmp_path / "other").exists()
    assert done.status == 2 and "there is no such folder" in done.err


def test_what_is_asked_of_the_user(collect, run, tmp_path, monkeypatch):
    monkeypatch.delenv("MIEN_CONTACT", raising=False)
    queries = {"happy": ["happy"]}
    done = collect(queries)
    assert done.status == 2 and "--contact is missing" in done.err
    assert "as Wikimedia asks" in collect(queries, "--contact", "").err
    contact = ("--contact", "me@example.org")
    assert "add --allow-unknown-licence" in collect(queries, "--provider", "ddgs", *contact).err
    assert "each once" in collect(queries, "--provider", "unsplash", *contact).err
    assert "each once" in collect(queries, *("--provider", "openverse") * 2, *contact).err
    assert "--timeout: it is a number above 0" in collect(queries, "--timeout", "0", *contact).err
    assert "--delay: it is a number" in collect(queries, "--delay", "-1", *contact).err
    assert "--max-bytes is a number of millions" in collect(queries, "--max-bytes", "nan", *contact).err
    assert "give QUERIES" in run("collect", "--out", tmp_path / "web").err
    assert "Missing option '--out'" in run("collect", "three").err
    done = run("collect", tmp_path / "none.toml", "--out", tmp_path / "web", *contact)
    assert done.status == 2 and "give a .toml file, or five or three" in done.err
    assert not (tmp_path / "web").exists()


@pytest.mark.slow
def test_imagenet(web, run, tmp_path):
    web.openverse("tench", web.serve("/tench.jpg", picture(1)), web.serve("/other.jpg", picture(2)))
    web.openverse("toilet paper", web.serve("/paper.jpg", picture(3)))
    done = run("collect", "--imagenet", "1", "--provider", "openverse", "--out", tmp_path / "web", *FAST)
    assert done.status == 0, done.err
    assert [line.label for line in read_collection(tmp_path / "web")] == ["tench", "toilet paper"]
    assert len([key for key in web.asked if key.startswith("openverse")]) == 1000
    assert "and 975 more labels; 2 pictures in all" in done.err


def test_a_folder_that_is_no_collection(tmp_path):
    with pytest.raises(DataError, match="made by `mien collect`"):
        read_collection(tmp_path)
    path = tmp_path / "provenance.jsonl"
    for line, message in (
        ('{"file": "a.jpg"}', "line 1: sha256 is missing"),
        ("[]", "line 1: it is not a JSON object"),
        ("{", "line 1: it is not JSON"),
    ):
        path.write_text(line + "\n")
        with pytest.raises(DataError, match=message):
            read_collection(tmp_path)
    values = {"size": 1, "width": 1, "height": 1}
    texts = {field.name: "x" for field in fields(Collected)}
    path.write_text(json.dumps({**texts, **values, "file": "../out.jpg"}) + "\n")
    with pytest.raises(DataError, match="is not a path within the folder"):
        read_collection(tmp_path)
