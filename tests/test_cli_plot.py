"""`mien plot`: a chart beside the results, and a summary that fits where it is read."""

import io
import json
import re
import sys

import pytest
from PIL import Image

from mien.cli.summary import print_summary
from mien.emotions import Emotion
from mien.results import Face, Result
from mien.timeline import Summary

HAPPY, SAD = Emotion.HAPPY, Emotion.SAD


def film(source="a.mp4", persons=(1, 2), frames=10, seconds=0.5) -> list[Result]:
    """Return frames in which the first person is happy and all others are sad."""

    def face(track):
        likely = HAPPY if track == persons[0] else SAD
        return Face((0, 0, 9, 9), 0.9, {e: 0.65 if e == likely else 0.05 for e in Emotion}, track=track)

    return [
        Result(source, i, i * seconds, 64, 36, "m@1", tuple(face(track) for track in persons)) for i in range(frames)
    ]


def write(path, results):
    path.write_text("".join(json.dumps(result.to_record()) + "\n" for result in results))
    return path


@pytest.fixture
def results(tmp_path):
    return write(tmp_path / "a.jsonl", film())


def test_the_chart_stands_beside_the_results(run, results):
    done = run("plot", results)
    chart = results.with_suffix(".png")
    assert (done.status, done.err) == (0, f"mien: the chart is in {chart}\n")
    with Image.open(chart) as image:
        assert image.width > 1000
    lines = [line.split() for line in done.out.splitlines()]
    assert lines == [
        ["person", "first", "last", "seconds", "happy", "sad"],
        ["1", "0.0", "4.5", "5.0", "5.0", "0.0"],
        ["2", "0.0", "4.5", "5.0", "0.0", "5.0"],
    ]


def test_what_exists_is_replaced_only_when_asked(run, results):
    chart = results.with_suffix(".png")
    chart.write_text("mine")
    done = run("plot", results)
    assert (done.status, chart.read_text()) == (2, "mine")
    assert "--overwrite" in done.err
    done = run("plot", results, "--overwrite", "--no-summary")
    assert (done.status, done.out) == (0, "")
    assert chart.read_bytes().startswith(b"\x89PNG")


def test_an_interrupted_run_is_drawn_too(run, tmp_path):
    partial = write(tmp_path / "a.jsonl.partial", film())
    partial.write_text(partial.read_text() + '{"schema": 1, "sour')
    assert run("plot", partial).status == 0
    assert (tmp_path / "a.png").exists()


def test_one_of_several_films(run, tmp_path):
    path = write(tmp_path / "r.jsonl", film() + film("b.mp4", persons=(7,)))
    done = run("plot", path, "--source", "b.mp4", "--out", tmp_path / "b.svg")
    assert (done.status, [line.split()[0] for line in done.out.splitlines()]) == (0, ["person", "7"])
    assert (tmp_path / "b.svg").read_text().startswith("<?xml")
    done = run("plot", path)
    assert [line.split()[-1] for line in done.out.splitlines()] == ["film", "a.mp4", "a.mp4", "b.mp4"]
    done = run("plot", path, "--source", "c.mp4", "--out", tmp_path / "c.png")
    assert (done.status, "a.mp4, b.mp4" in done.err, (tmp_path / "c.png").exists()) == (2, True, False)


def test_nobody_is_said_and_drawn(run, tmp_path):
    path = write(tmp_path / "r.jsonl", film("no\nface.mp4", persons=(), frames=98, seconds=0.04))
    done = run("plot", path)
    assert (done.status, done.out) == (0, "nobody was seen in no\\nface.mp4 (98 frames, 3.9 s)\n")
    assert (tmp_path / "r.png").exists()


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (["nowhere.jsonl"], 1, "nowhere.jsonl: cannot be read"),
        (["film.mp4"], 2, "mien analyze --out"),
        (["a.jsonl", "--out", "a.gif"], 2, ".png, .svg, .pdf"),
        (["a.jsonl", "--out", "folder.png"], 2, "it is a folder"),
        (["a.jsonl", "--min-seconds", "-1"], 2, "--min-seconds"),
        (["stills.jsonl"], 1, "there is no film"),
        (["bad.jsonl"], 1, "bad.jsonl, line 1: not a record of mien"),
    ],
)
def test_what_cannot_be_drawn_is_one_line(run, results, monkeypatch, arguments, status, told):
    monkeypatch.chdir(results.parent)
    (results.parent / "folder.png").mkdir()
    (results.parent / "bad.jsonl").write_text("nonsense\n")
    write(results.parent / "stills.jsonl", [Result("a.jpg", 0, None, 9, 9, "m@1")])
    done = run("plot", *arguments)
    assert (done.status, len(done.err.splitlines())) == (status, 1)
    assert told in done.err
    assert not list(results.parent.glob("*.p*g*/*")) and not (results.parent / "a.png").exists()


def test_without_matplotlib_it_says_how_to_get_it(run, results, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    done = run("plot", results)
    assert (done.status, "pip install 'mien[plot]'" in done.err) == (1, True)


class Terminal(io.StringIO):
    """A terminal, as far as rich looks."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("width", [60, 80, 120])
def test_on_a_terminal_no_line_is_wider_than_it(monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm")
    summary = Summary()
    for result in [*film(persons=(*range(1, 30), None)), *film("b.mp4", persons=()), *film("c.mp4", (3,), 9, 600.0)]:
        summary.add(result)
    print_summary(summary, file=(terminal := Terminal()))
    lines = re.sub("\x1b\\[[0-9;]*m", "", terminal.getvalue()).splitlines()
    assert max(len(line.rstrip()) for line in lines) <= width
    assert any("happy 100%" in line and "━" in line for line in lines)
    assert "and 11 more, seen for 5.0 s or less" in lines
    assert lines[-1] == "nobody was seen in b.mp4 (10 frames, 5.0 s)"
    assert any(line.strip().startswith("3  0:00–1:20:00  1 h 30 min") for line in lines)


def test_a_summary_of_no_film_says_so():
    print_summary(Summary(), file=(stream := io.StringIO()))
    assert stream.getvalue().startswith("no film")
