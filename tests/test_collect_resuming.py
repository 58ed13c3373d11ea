"""What runs of `mien collect` that were ended leave, by whatever, and how the next one goes on."""

import json
import random
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress

import pytest

pytest.importorskip("httpx", reason="needs the extra collect")

from mien.collect import collecting
from mien.collect.collection import read_collection
from mien.errors import DataError, OutputError, UsageError

from gathering import FAST, files, gather, provenance, there
from webserver import Answer, picture


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "web"


def busy_web(web) -> None:
    """Serve 60 results of two services for two words, with all that can go wrong quickly, in a jumble of delays."""
    web.page = 7
    chance = random.Random(3)
    urls = []
    for number in range(60):
        wait = chance.choice((0.0, 0.02, 0.08))
        answer = Answer(picture(number - number % 5 if number % 11 == 0 else number), wait=wait)
        if number % 9 == 4:
            answer = Answer(status=404, wait=wait)
        elif number % 13 == 6:
            answer = Answer(b"<html>", wait=wait)
        urls.append(web.serve(f"/{number}.jpg", answer))
    chance.shuffle(urls)
    web.openverse("angry", *urls[:30])
    web.wikimedia("angry", *urls[25:])
    web.openverse("happy", *urls[20:50])


@pytest.mark.slow
def test_killed_twice_it_ends_as_if_undisturbed(web, collect, tmp_path):
    busy_web(web)
    queries, options = {"angry": ["angry"], "happy": ["happy"]}, ("--concurrency", "6", "--per-host", "4")
    assert collect(queries, *options, limit=25, out="calm").status == 0
    once = web.asked.copy()
    assert set(once.values()) == {1}
    web.asked.clear()
    command = [sys.executable, "-m", "mien", "collect", tmp_path / "queries.toml", "--out", tmp_path / "web", *FAST]
    done: set[str] = set()
    asked: Counter[str] = Counter()
    for wanted in (8, 25):
        process = subprocess.Popen([*map(str, command), *options], stderr=subprocess.DEVNULL)
        while web.fetched < wanted:
            assert process.poll() is None, "it ended before it was killed"
            time.sleep(0.005)
        process.kill()
        process.wait()
        assert not any(web.asked[key] > asked[key] for key in done), "what was done was asked for again"
        read_collection(tmp_path / "web")  # it can be read at any time
        lines = [json.loads(line) for line in (tmp_path / "web" / "journal.jsonl").read_bytes().split(b"\n")[:-1]]
        done = {line["url"].removeprefix(web.address) for line in lines if "url" in line}
        assert done
        asked = web.asked.copy()
    assert collect(queries, *options, limit=25).status == 0
    assert not any(web.asked[key] > asked[key] for key in done)
    # only what was on its way when the axe fell was asked for more than once
    assert sum(web.asked.values()) - len(web.asked) <= 2 * 7
    assert set(web.asked) == set(once)
    assert provenance(tmp_path / "web") == provenance(tmp_path / "calm")
    assert files(tmp_path / "web") == files(tmp_path / "calm")
    assert not list((tmp_path / "web").rglob("*.partial"))


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)], ids=["ctrl-c", "sigterm"]
)
def test_ended_by_its_user_it_says_how_to_go_on(web, collect, tmp_path, number):
    busy_web(web)
    queries = {"angry": ["angry"], "happy": ["happy"]}
    assert collect(queries, limit=25, out="calm").status == 0
    web.asked.clear()
    command = [sys.executable, "-m", "mien", "collect", tmp_path / "queries.toml", "--out", tmp_path / "web", *FAST]
    process = subprocess.Popen(list(map(str, command)), stderr=subprocess.PIPE, text=True)
    while web.fetched < 12:
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "mien: interrupted; the same command goes on where it was" in err and "Traceback" not in err
    assert collect(queries, limit=25).status == 0
    assert provenance(tmp_path / "web") == provenance(tmp_path / "calm")


def test_what_a_crash_may_leave_is_mended(web, collect, tmp_path):
    web.openverse("face", *(web.serve(f"/{n}.jpg", picture(n)) for n in range(6)))
    options = ("--provider", "openverse")
    assert collect({"face": ["face"]}, *options).status == 0
    folder = tmp_path / "web"
    before, content = provenance(folder), files(folder)
    for name in ("journal.jsonl", "provenance.jsonl"):
        with (folder / name).open("ab") as file:
            file.write(b'{"url": "http://torn')
    (folder / before[0]["file"]).unlink()
    (folder / before[1]["file"]).write_bytes(b"cut")
    (folder / before[2]["file"]).with_name(".left.jpg.partial").write_bytes(b"cut")
    assert len(read_collection(folder)) == 6
    assert collect({"face": ["face"]}, *options).status == 0
    assert provenance(folder) == before and files(folder) == content
    assert web.asked["/0.jpg"] == web.asked["/1.jpg"] == 2 and web.asked["/2.jpg"] == 1
    with (folder / "journal.jsonl").open("a") as file:
        file.write("no JSON\n")
    done = collect({"face": ["face"]}, *options)
    assert done.status == 1 and "journal.jsonl, line 10: it is not JSON" in done.err


def test_a_folder_is_gone_on_with_for_more_but_not_for_something_else(web, collect, tmp_path):
    web.openverse("face", *(web.serve(f"/{n}.jpg", picture(n)) for n in range(6)))
    web.openverse("mask", web.serve("/mask.jpg", picture(7)))
    options = ("--provider", "openverse")
    assert collect({"face": ["face"]}, *options, limit=2).status == 0
    assert collect({"face": ["face", "mask"]}, *options, limit=4).status == 0
    assert len(read_collection(tmp_path / "web")) == 5
    assert max(web.asked.values()) == 1
    for queries, more, limit in (
        ({"face": ["face", "mask"]}, (), 4),
        ({"face": ["face", "mask"]}, options, 3),
        ({"face": ["face"]}, options, 4),
        ({"face": ["face", "mask"]}, (*options, "--licence", "by"), 4),
    ):
        done = collect(queries, *more, limit=limit)
        assert done.status == 2 and "was collected for something else" in done.err
    # a run that was ended before it wrote anything has left a folder that can be used
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "journal.jsonl").touch()
    (tmp_path / "begun" / "queries.toml.partial").write_text("[[que")
    assert collect({"face": ["face"]}, *options, out="begun").status == 0
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    done = collect({"face": ["face"]}, *options, out="mine")
    assert done.status == 2 and "no collection" in done.err
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["letter.txt"]


def test_two_runs_do_not_share_a_folder(web, collect, tmp_path):
    from mien.collect.journal import Journal

    web.openverse("face", web.serve("/1.jpg", picture(1)))
    assert collect({"face": ["face"]}, "--provider", "openverse").status == 0
    with Journal(tmp_path / "web"):
        done = collect({"face": ["face"]}, "--provider", "openverse")
    assert done.status == 2 and "another run is collecting into this folder" in done.err


def test_a_full_disk_is_told(web, collect, tmp_path, monkeypatch):
    web.openverse("face", web.serve("/1.jpg", picture(1)))

    def full(*_args, **_more):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(collecting, "store_picture", full)
    done = collect({"face": ["face"]}, "--provider", "openverse")
    assert done.status == 1 and "cannot be written (No space left on device)" in done.err


@pytest.mark.parametrize("lost", ["all", "empty", "pages", "provenance too"])
def test_provenance_outlives_a_lost_journal(web, folder, lost):
    web.openverse("face", *(web.serve(f"/{n}.jpg", picture(n)) for n in range(3)))
    gather(folder)
    journal, provenance = folder / "journal.jsonl", folder / "provenance.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(line for line in lines if lost == "pages" and "results" not in line))
    if lost in ("all", "provenance too"):
        journal.unlink()
    if lost == "provenance too":
        provenance.unlink()
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for _ in range(2):
        with pytest.raises(DataError, match=r"journal.jsonl is missing or not whole.*name another folder"):
            gather(folder)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("provider", ["openverse", "wikimedia"])
@pytest.mark.parametrize(
    "following", ['"{}"', '"x"', '"\\ud800"', "5", '"{\\"page\\": 2, \\"a\\": \\"\\\\ud800\\"}"']
)
def test_a_damaged_journal_is_told_on_one_line(web, folder, provider, following):
    folder.mkdir()
    line = f'{{"provider": "{provider}", "text": "face", "following": {following}, "results": [], "time": ""}}\n'
    (folder / "journal.jsonl").write_text(line)
    with suppress(DataError):
        (trouble,) = gather(folder, provider=provider).troubles
        assert "next page" in trouble


@pytest.mark.parametrize("line", ['{"url": 5}', '{"url": "a", "reason": 1, "time": ""}', '{"results": [{"url": 5}]}'])
def test_a_journal_of_other_kinds_is_damaged(web, folder, line):
    folder.mkdir()
    (folder / "journal.jsonl").write_text(line + "\n")
    with pytest.raises(DataError, match="line 1: it is not as `mien collect` writes it"):
        gather(folder)


def test_a_journal_that_cannot_grow_loses_nothing(web, folder):
    """Provenance says no more than the journal does, wherever that ends: the next run would not know of it."""
    web.openverse("face", *(web.serve(f"/{n}.jpg", picture(n)) for n in range(4)))
    gather(folder)
    wanted = there(folder)
    ends = [0]
    for line in (folder / "journal.jsonl").read_bytes().splitlines(keepends=True):
        ends.append(ends[-1] + len(line))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    for number, end in enumerate(ends[1:-1]):
        full = folder.with_name(f"full{number}")
        resource.setrlimit(resource.RLIMIT_FSIZE, (end + 40, before[1]))
        try:
            with pytest.raises(OutputError, match="cannot be written"):
                gather(full)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        gather(full)
        assert there(full) == wanted


def test_a_folder_that_another_run_took_meanwhile_is_left_to_it(web, folder, monkeypatch):
    web.openverse("face", web.serve("/1.jpg", picture(1)))
    journal = collecting.Journal

    def later(path, *, retry):
        monkeypatch.setattr(collecting, "Journal", journal)
        gather(folder, label="sad")
        return journal(path, retry=retry)

    monkeypatch.setattr(collecting, "Journal", later)
    with pytest.raises(UsageError, match="it was collected for something else"):
        gather(folder)
    assert [line.label for line in read_collection(folder)] == ["sad"]


def test_a_folder_with_a_similar_name_in_it_is_no_collection(web, folder):
    (folder / "pictures-of-mum").mkdir(parents=True)
    with pytest.raises(UsageError, match="no collection"):
        gather(folder)
