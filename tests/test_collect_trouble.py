"""What services, hosts and networks in trouble do to a collection, and what it stays."""

import json
import time

import pytest

pytest.importorskip("httpx", reason="needs the extra collect")

from mien.collect import fetching
from mien.collect.collecting import collect
from mien.collect.collection import read_collection
from mien.collect.licences import Licences
from mien.collect.limits import Limits
from mien.collect.queries import Query
from mien.collect.request import Request

from gathering import failed, gather, there
from webserver import Answer, http_date, picture, running_web

NOBODY = [f"http://127.0.1.{host}:9/x.jpg" for host in range(1, 26)]  # where no one listens


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "web"


@pytest.mark.parametrize(
    "html", ["Ann<![bad[ x", "Ann<!DOCTYPE [<!x", "Ann" + "<a " * 200_000, "Ann" + "<!--x" * 50_000]
)
def test_html_that_is_none_is_read_as_far_as_it_goes(web, folder, html):
    web.wikimedia("face", web.serve("/1.jpg", picture(1)), Artist=html)
    begun = time.process_time()
    gather(folder, provider="wikimedia")
    assert time.process_time() - begun < 2
    assert read_collection(folder)[0].author.startswith("Ann")


@pytest.mark.parametrize("following", [{"gsroffset": "\ud800"}, {"gsroffset": ["x"]}, {"x": "y" * 5000}, "abc", 7])
def test_a_next_page_that_cannot_be_asked_for_is_told_and_asked_for_anew(web, folder, following):
    web.troubles["wikimedia"] = [Answer(json.dumps({"continue": following, "query": {"pages": []}}).encode())]
    web.wikimedia("face", web.serve("/1.jpg", picture(1)))
    (trouble,) = gather(folder, provider="wikimedia").troubles
    assert trouble.startswith("wikimedia: ") and len(trouble) < 100
    assert gather(folder, provider="wikimedia").troubles == ()
    assert there(folder) == ["1.jpg"]


@pytest.mark.parametrize(
    ("result", "licences"),
    [
        (None, []),
        ([], []),
        ({"url": ["x"]}, []),
        ({"url": 5}, []),
        ({"license": {"by": 1}}, [""]),
        ({"license": 1}, [""]),
    ],
)
def test_a_broken_result_spoils_no_others_and_invents_no_licence(web, folder, result, licences):
    web.openverse("face", web.serve("/1.jpg", picture(1)), web.serve("/2.jpg", picture(2)))
    found = web.results["openverse", "face"]
    found[0] = {**found[0], **result} if isinstance(result, dict) else result
    report = collect(
        Request(
            (Query("happy", "face", ("{word}",), 9),),
            ("openverse",),
            licences=Licences(unknown=True),
            contact="tests@example.org",
        ),
        folder,
        limits=Limits(delay=0, allow_private=True),
    )
    assert report.troubles == ()
    assert [line.licence for line in read_collection(folder)] == [*licences, "CC BY-SA 2.0"]


@pytest.mark.parametrize("pages", ["NaN", "Infinity", "1" + "0" * 300])
def test_no_number_of_pages_leads_further_than_the_service_goes(web, folder, pages):
    web.openverse("face", web.serve("/1.jpg", picture(1)))
    (result,) = web.results["openverse", "face"]
    body = f'{{"page_count": {pages}, "results": [{json.dumps(result)}]}}'.encode()
    web.troubles["openverse"] = [Answer(body)] * 30
    gather(folder)
    assert len(web.troubles["openverse"]) >= 30 - 12


def test_what_a_service_says_goes_wrong_is_cut(web, folder):
    web.troubles["wikimedia"] = [Answer(json.dumps({"error": {"code": "x", "info": "A\n" * 1_000_000}}).encode())]
    (trouble,) = gather(folder, provider="wikimedia").troubles
    assert trouble.startswith("wikimedia: x: A A") and len(trouble) < 250
    web.troubles["openverse"] = [Answer(status=429, headers={"Retry-After": "9" * 400})]
    (trouble,) = gather(folder.with_name("other")).troubles
    assert "it asks to wait more than ten days" in trouble


def test_an_endless_address_is_no_result(web, folder):
    good = web.serve("/1.jpg", picture(1))
    web.openverse("face", good + "?" + "u" * 4000, good + "?\ud800", good + "?" + "u" * 100)
    assert gather(folder).labels["happy"].found == 1
    assert len(read_collection(folder)[0].url) < 200


def test_a_picture_that_was_cut_is_none(web, folder):
    forms = ("JPEG", "PNG", "WEBP", "GIF")
    whole = [picture(number, form, (640, 480)) for number, form in enumerate(forms)]
    web.openverse("face", *(web.serve(f"/cut{n}", content[: len(content) // 2]) for n, content in enumerate(whole)))
    web.openverse("face", *(web.serve(f"/{n}", content) for n, content in enumerate(whole)))
    assert failed(gather(folder)) == {"not a picture": len(forms)}
    assert there(folder) == ["0", "1", "2", "3"]


def test_hosts_that_are_down_do_not_hold_up_the_rest(web, folder):
    web.page = 50
    web.openverse("face", *NOBODY, *(web.serve(f"/{n}.jpg", picture(n)) for n in range(3)))
    report = gather(folder)
    assert report.troubles == () and failed(report) == {"no connection": len(NOBODY)}
    assert len(there(folder)) == 3


def test_a_network_that_is_down_spoils_nothing(web, folder, monkeypatch):
    """Its pictures are not noted as tried, be they of many hosts or of one."""
    web.page = 50
    for urls, name in ((NOBODY, "many"), (NOBODY[:1], "one")):
        web.results.clear()
        web.openverse("face", *urls, *(f"http://127.0.2.{n}:9/x.jpg" for n in range(1)))
        journal = folder.with_name(name) / "journal.jsonl"
        monkeypatch.setenv("MIEN_OPENVERSE_URL", web.environment["MIEN_OPENVERSE_URL"])
        gather(journal.parent)
        page = journal.read_text().splitlines()[0] + "\n"
        journal.write_text(page)
        monkeypatch.setenv("MIEN_OPENVERSE_URL", "http://127.0.0.2:9/v1")
        (trouble,) = gather(journal.parent).troubles
        assert "is the network down?" in trouble
        assert journal.read_text() == page
        # which a later run, that has the page and finds the service there, goes on with
        monkeypatch.setenv("MIEN_OPENVERSE_URL", web.environment["MIEN_OPENVERSE_URL"])
        assert gather(journal.parent).troubles == ()
        assert len(journal.read_text().splitlines()) == len(urls) + 2


@pytest.mark.slow
def test_a_host_that_asks_to_wait_holds_up_no_other(web, folder, monkeypatch):
    monkeypatch.setattr(fetching, "PATIENCE", 2.5)
    monkeypatch.setitem(fetching.Fetcher.get.__kwdefaults__, "patience", 2.5)
    told = []
    with running_web("127.0.0.2") as busy:
        later = Answer(status=429, headers={"Retry-After": "1"})
        stalled = [busy.serve(f"/b{n}.jpg", [later] * 9 + [Answer(picture(20 + n))]) for n in range(9)]
        good = [web.serve(f"/{n}.jpg", picture(n)) for n in range(4)]
        web.openverse("face", *stalled, *good)
        report = gather(folder, concurrency=2, progress=lambda progress: told.append(progress.waiting))
        assert max(web.times["/3.jpg"]) < min(busy.times["/b0.jpg"]) + 0.9
        assert failed(report) == {"host left alone": 9} and report.troubles == ()
        assert there(folder) == [f"{n}.jpg" for n in range(4)]
        hosts = {waiting[0] for waiting in told if waiting}
        assert hosts == {"127.0.0.2"} and max(waiting[1] for waiting in told if waiting) > 0.5
        assert busy.most <= 2
        for number in range(9):
            busy.serve(f"/b{number}.jpg", picture(20 + number))
        assert failed(gather(folder)) == {}
    assert there(folder) == [*(f"b{n}.jpg" for n in range(9)), *(f"{n}.jpg" for n in range(4))]


def test_what_a_host_asked_to_come_back_for_is_tried_again_by_the_next_run(web, folder):
    web.openverse(
        "face", web.serve("/1.jpg", [Answer(status=429, headers={"Retry-After": "0"})] * 3 + [Answer(picture(1))])
    )
    assert failed(gather(folder)) == {"too many requests": 1}
    assert failed(gather(folder)) == {}
    assert there(folder) == ["1.jpg"]


@pytest.mark.slow
def test_no_more_are_fetched_at_a_time_when_hosts_come_back_together(web, folder):
    with running_web("127.0.0.2") as first, running_web("127.0.0.3") as second:
        urls = []
        for number in range(8):
            for server in (first, second):
                later = Answer(status=503, headers={"Retry-After": "1"})
                answers = [later, Answer(picture(len(urls)), wait=0.02)] if number < 2 else Answer(picture(len(urls)))
                urls.append(server.serve(f"/{len(urls)}.jpg", answers))
        web.openverse("face", *urls)
        limits = Limits(delay=0, allow_private=True, concurrency=1)
        request = Request((Query("happy", "face", ("{word}",), 16),), ("openverse",), contact="tests@example.org")
        collect(request, folder, limits=limits)
        assert first.most == second.most == 1
    assert there(folder) == [f"{n}.jpg" for n in range(16)]


def test_a_picture_that_gives_way_to_an_earlier_result_goes(web, folder):
    with running_web("127.0.0.2") as other:
        busy = Answer(status=429, headers={"Retry-After": "4000"})
        web.openverse("face", other.serve("/first.jpg", [busy, Answer(picture(1))]))
        web.openverse("face", *(web.serve(f"/{n}.jpg", picture(n)) for n in (2, 3)))
        gather(folder, limit=2)
        assert there(folder) == ["2.jpg", "3.jpg"]
        mine = folder / "pictures" / "ab" / "mine.txt"
        mine.parent.mkdir(exist_ok=True)
        mine.write_text("not the collection's")
        gather(folder, limit=2)
        assert mine.exists()
        mine.unlink()
    assert there(folder) == ["first.jpg", "2.jpg"]


def test_a_date_in_the_past_asks_for_no_wait():
    assert fetching._retry_after(http_date(-60)) == 0


def test_help_shows_limits_together_and_what_must_be_there(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    shown = run("collect", "--help").out
    before, _, limits = shown.partition("Politeness and limits")
    assert "--max-pixels" in limits and "--max-pixels" not in before and "--remove" in before
    assert "Required." in before.partition("--out DIR")[2].partition("--limit")[0]
