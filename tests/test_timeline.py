"""Time counted by hand, records read back as they were written, and charts of whatever a film may be."""

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mien.emotions import SETS, Emotion
from mien.errors import DataError, MissingExtraError, OutputError, UsageError
from mien.results import Face, Result, columns
from mien.sinks import Csv, JsonLines, JsonList, Records
from mien.timeline import Film, Person, Summary, draw_timeline, read_results
from mien.timeline.bins import MOST, Bins
from mien.timeline.summary import clock, duration, leading

ANGRY, HAPPY, NEUTRAL, SAD = Emotion.ANGRY, Emotion.HAPPY, Emotion.NEUTRAL, Emotion.SAD


def face(emotion=HAPPY, track=1, smoothed=None) -> Face:
    def scores(label):
        return {each: 0.65 if each == label else 0.05 for each in Emotion}

    return Face((1.0, 2.0, 3.0, 4.0), 0.9, scores(emotion), track=track, smoothed=smoothed and scores(smoothed))


def frame(time, *faces, source="a.mp4", number=0, error=None) -> Result:
    return Result(source, number, time, 640, 360, "embedded@0", faces, error)


def film(times, *tracks, source="a.mp4", emotion=HAPPY) -> list[Result]:
    """Return frames that all show the same persons."""
    faces = [face(emotion, track) for track in tracks]
    return [frame(time, *faces, source=source, number=i) for i, time in enumerate(times)]


def summed(results) -> Summary:
    summary = Summary()
    for result in results:
        summary.add(result)
    return summary


def test_each_frame_counts_until_the_next_one():
    emotions = [HAPPY, HAPPY, SAD, None, SAD]
    times = [0.0, 0.1, 0.3, 0.6, 1.0]
    results = [frame(t, *([face(e)] if e else [])) for t, e in zip(times, emotions, strict=True)]
    (person,) = summed(results).persons()
    assert (person.first, person.last) == (0.0, 1.0)
    assert person.emotions == {HAPPY: pytest.approx(0.3), SAD: pytest.approx(0.3 + 0.4)}  # the last as the one before
    assert person.seconds == pytest.approx(1.0)
    assert person.share(SAD) == pytest.approx(0.7)
    assert person.share(ANGRY) == 0.0
    assert person.ranked() == [SAD, HAPPY]
    assert summed(results).films() == [Film("a.mp4", 5, 4, 0.0, 1.0, pytest.approx(1.4))]


def test_a_film_of_one_frame_counts_nothing():
    (person,) = summed(film([3.0], 1)).persons()
    assert (person.first, person.last, person.seconds, person.share(HAPPY)) == (3.0, 3.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("times", "seconds"),
    [
        pytest.param([*np.arange(50) / 25, *(30 + np.arange(50) / 25)], 4.0, id="a stream that stalled for 28 s"),
        pytest.param([0.0, *(30 + np.arange(50) / 25)], 2.04, id="stalled after the first frame"),
        pytest.param([*np.arange(50) / 25, 30.0], 2.04, id="stalled before the last"),
        pytest.param([5.0 * i for i in range(12)], 60.0, id="sampled every 5 s"),
        pytest.param([0.0, 5.0], 10.0, id="two frames, with nothing to compare"),
        pytest.param([*(5.0 * i for i in range(12)), 600.0], 65.0, id="sampled, then stalled"),
        pytest.param([0.0, 0.1, 0.2, 1.9, 2.0, 2.1], 2.2, id="less than 2 s is never a stall"),
        pytest.param([*np.arange(25) / 25, *np.arange(25) / 25], 2.0, id="begun anew under the same name"),
        pytest.param([0.0, 0.0, 0.0], 0.0, id="no time passes"),
    ],
)
def test_pauses_are_not_credited(times, seconds):
    (person,) = summed(film(times, 1)).persons()
    assert person.seconds == pytest.approx(seconds)


@given(st.lists(st.floats(0, 1e6), min_size=2, max_size=30, unique=True))
def test_nobody_is_seen_longer_than_the_film_lasts(times):
    times = sorted(times)
    summary = summed(film(times, 1, None, None))
    (whole,) = summary.films()
    assert whole.seconds <= (times[-1] - times[0]) + max(np.diff(times)) + 1e-6
    for person in summary.persons():
        assert person.seconds == pytest.approx(whole.seconds)


def test_the_smoothed_label_counts_and_stills_and_errors_do_not():
    results = [frame(t, face(HAPPY, smoothed=SAD)) for t in (0.0, 1.0)]
    results += [frame(None, face(), source="still.jpg"), frame(2.0, error="a.mp4: broken")]
    summary = summed(results)
    assert [person.emotions for person in summary.persons()] == [{SAD: 2.0}]
    assert [film.frames for film in summary.films()] == [2]


def test_faces_without_a_number_are_one_person_and_stand_last():
    results = [frame(t, face(HAPPY, None), face(SAD, None), face(track=2)) for t in (0.0, 1.0)]
    numbered, others = summed(results).persons()
    assert (numbered.track, others.track) == (2, None)
    assert (others.seconds, others.emotions) == (2.0, {HAPPY: 1.0, SAD: 1.0})


def test_films_follow_one_another_or_mix():
    one, two = film([0, 1, 2], 2, 1), film([0, 1, 2], 1, source="A.mp4")
    apart, mixed = summed([*one, *two]), summed([x for pair in zip(one, two, strict=True) for x in pair])
    assert apart.persons() == mixed.persons()
    assert [(p.source, p.track, p.seconds) for p in apart.persons()] == [
        ("a.mp4", 1, 3.0),
        ("a.mp4", 2, 3.0),
        ("A.mp4", 1, 3.0),
    ]


def test_a_summary_may_be_asked_midway():
    summary = Summary()
    for i, result in enumerate(film(range(20), 1)):
        summary.add(result)
        assert summary.persons()[0].seconds == (i + 1 if i else 0)


def person(track, seconds, source="a.mp4") -> Person:
    return Person(source, track, 0.0, seconds, seconds, {HAPPY: seconds})


def test_those_seen_longest_lead():
    persons = [person(1, 1.0), person(2, 100.0), person(3, 5.0), person(4, 50.0), person(1, 0.5, "b.mp4")]
    shown, rest = leading(persons, most=10)
    assert [each.seconds for each in shown] == [100.0, 5.0, 50.0, 0.5]  # each film has its own measure
    assert rest == persons[:1]
    assert [each.track for each in leading(persons, most=2)[0]] == [2, 4]
    assert [each.track for each in leading(persons, most=9, min_seconds=50)[0]] == [2, 4]
    assert leading([], most=3) == ([], [])


def test_times_are_told_for_reading():
    assert [clock(s) for s in (0, 59.4, 59.6, 3599.9, 7262)] == ["0:00", "0:59", "1:00", "1:00:00", "2:01:02"]
    assert [clock(s, 1) for s in (0.5, 59.96, -1.25)] == ["0:00.5", "1:00.0", "-0:01.2"]
    told = [duration(s) for s in (0, 3.94, 59.96, 725, 120, 3600, 7380)]
    assert told == ["0.0 s", "3.9 s", "1 min", "12 min 5 s", "2 min", "1 h", "2 h 3 min"]


# records


probabilities = st.sampled_from(list(SETS.values())).flatmap(
    lambda emotions: st.lists(st.floats(0, 1), min_size=len(emotions), max_size=len(emotions)).map(
        lambda scores: dict(zip(emotions, scores, strict=True))
    )
)
coordinates = st.floats(-1e5, 1e5)
faces = st.builds(
    Face,
    box=st.tuples(*[coordinates] * 4),
    detection=st.none() | st.floats(0, 1),
    scores=probabilities,
    track=st.none() | st.integers(0, 10**6),
    smoothed=st.none() | probabilities,
)
sides = st.none() | st.integers(1, 10**5)
results = st.builds(
    Result,
    source=st.text(),
    frame=st.integers(0, 10**9),
    time=st.none() | st.floats(0, 1e9),
    width=sides,
    height=sides,
    model=st.text(),
    faces=st.lists(faces, max_size=3).map(tuple),
    error=st.none() | st.text(),
)


@given(results)
def test_a_record_reads_back_but_for_its_rounding(result):
    record = json.loads(json.dumps(result.to_record()))
    again = Result.from_record({**record, "mood": 1, "schema": 99})
    assert Result.from_record(again.to_record()) == again
    assert (again.source, again.time, len(again.faces)) == (result.source, result.time, len(result.faces))
    for read, written in zip(again.faces, result.faces, strict=True):
        assert read.box == pytest.approx(written.box, abs=0.006)
        assert read.scores == pytest.approx(dict(written.scores), abs=1e-6)


def some() -> list[Result]:
    """Return results with all that a table must tell apart."""
    odd = 'odd, "quoted"\nname.mp4'
    return [
        Result("a.mp4", 0, 0.0, 640, 360, "m@1", (face(), face(SAD, 2, ANGRY))),
        Result("a.mp4", 1, 0.04, 640, 360, "m@1"),
        Result("a.mp4", 2, 0.08, 640, 360, "m@1", (face(),)),
        Result(odd, 2, 0.08, 640, 360, "m@1", (face(track=None),)),
        Result("still.jpg", 0, None, 640, 360, "m@1", (face(track=None),)),
        Result("bad.jpg", 0, None, None, None, "m@1", (), "bad.jpg: not a picture"),
    ]


def records(some_results) -> list[dict]:
    return [result.to_record() for result in some_results]


def write(path, form, some_results) -> None:
    sink = Records(path, form)
    for result in some_results:
        sink.write(result, None)
    sink.close()


def table(path) -> None:
    import pyarrow
    from pyarrow import parquet

    rows = [row for result in some() for row in result.to_rows()]
    names = columns(Emotion)
    parquet.write_table(pyarrow.table({name: [row.get(name) for row in rows] for name in names}), path)


@pytest.mark.parametrize("form", [JsonLines(), JsonList(), Csv(list(Emotion))], ids=["jsonl", "json", "csv"])
def test_what_a_sink_wrote_is_read_back(tmp_path, form):
    path = tmp_path / {JsonLines: "r.jsonl", JsonList: "r.json", Csv: "r.CSV"}[type(form)]
    write(path, form, some())
    assert records(read_results(path)) == records(some())


def test_parquet_is_read_back(tmp_path, monkeypatch):
    table(tmp_path / "r.parquet")
    assert records(read_results(tmp_path / "r.parquet")) == records(some())
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"mien\[parquet\]"):
        next(read_results(tmp_path / "r.parquet"))


def test_a_table_saved_again_by_pandas_reads_the_same(tmp_path):
    import pandas

    write(tmp_path / "r.csv", Csv(list(Emotion)), some()[:3])
    pandas.read_csv(tmp_path / "r.csv").to_csv(tmp_path / "again.csv", index=False)  # 1 becomes 1.0
    pandas.read_csv(tmp_path / "r.csv").to_parquet(tmp_path / "again.parquet")
    for name in ("again.csv", "again.parquet"):
        assert records(read_results(tmp_path / name)) == records(some()[:3])


def test_json_is_read_in_any_layout_and_in_pieces(tmp_path, monkeypatch):
    path = tmp_path / "r.json"
    path.write_text(json.dumps(records(some()), indent=4))
    monkeypatch.setattr("mien.timeline.reading._CHUNK", 7)
    assert records(read_results(path)) == records(some())


@pytest.mark.parametrize("name", ["r.jsonl", "r.json", "r.csv"])
def test_the_half_record_of_an_interrupted_run_is_passed_over(tmp_path, name):
    form = {"r.jsonl": JsonLines(), "r.json": JsonList(), "r.csv": Csv(list(Emotion))}[name]
    write(tmp_path / name, form, some()[:3])
    cut = (tmp_path / name).read_bytes()[:-40]
    (tmp_path / f"{name}.partial").write_bytes(cut)
    assert records(read_results(tmp_path / f"{name}.partial")) == records(some()[:2])
    (tmp_path / name).write_bytes(cut)  # but of one that says to be whole it is a fault
    with pytest.raises(DataError, match=r"line [34567]: not a record of mien"):
        list(read_results(tmp_path / name))


GOOD = json.dumps(frame(0.0, face()).to_record())


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("r.jsonl", "", "there are no results in it"),
        ("r.json", "[\n]\n", "there are no results in it"),
        ("r.csv", ",".join(columns(Emotion)) + "\n", "there are no results in it"),
        ("r.jsonl", f"{GOOD}\n\n[1, 2]\n", "line 3: not a record of mien: it is no object"),
        ("r.jsonl", f"{GOOD}\nnonsense\n", "line 2: not a record of mien: Expecting value"),
        ("r.jsonl", '{"a": 1}', "line 1: not a record of mien: it has no 'source'"),
        ("r.jsonl", GOOD.replace('"time": 0.0', '"time": NaN'), "line 1: not a record of mien: nan"),
        ("r.jsonl", GOOD.replace('"frame": 0', '"frame": 0.5'), "0.5 is not whole"),
        ("r.jsonl", GOOD.replace("a.mp4", "").replace('""', "3"), "its source is 3"),
        ("r.jsonl", GOOD.replace("0.65,", "7,"), "no probabilities"),
        ("r.jsonl", GOOD.replace('"sad":', '"bored":'), "'bored' is not a valid Emotion"),
        ("r.jsonl", GOOD.replace("[1.0, 2.0, 3.0, 4.0]", "[1.0]"), "not a record of mien"),
        ("r.jsonl", "[" * 100_000, "line 1: not a record of mien"),
        ("r.json", f"[{GOOD},\n nonsense]", "line 2: not a record of mien"),
        ("r.csv", "name,age\nx,3\n", "line 2: not a record of mien: there is no column 'source'"),
        ("r.csv", "source,frame,time\nx,3\n", "line 2: not a record of mien: 2 cells below 3 columns"),
        ("r.parquet", "PAR1 nonsense", "row 1: not a record of mien"),
    ],
)
def test_what_is_no_results_is_told_with_its_place(tmp_path, name, text, told):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(DataError) as caught:
        list(read_results(path))
    assert str(caught.value).startswith(str(path))
    assert told in str(caught.value)


def test_files_that_are_not_there_or_not_of_results(tmp_path):
    with pytest.raises(DataError, match=r"nowhere\.jsonl: cannot be read"):
        list(read_results(tmp_path / "nowhere.jsonl"))
    for name in ("film.mp4", "film.mp4.partial", "results"):
        with pytest.raises(UsageError, match="not a file of results"):
            list(read_results(tmp_path / name))


# charts


@given(
    st.lists(st.tuples(st.floats(0, 1e5), st.floats(0.001, 50.0)), min_size=1, max_size=40),
    st.sampled_from([0.0, 1.7e9]),
)
def test_columns_keep_all_time_and_stay_few(spans, start):
    bins = Bins()
    for time, seconds in spans:
        bins.add(frame(start + time, face()), seconds)
    curve = bins.curve("a.mp4", 1)
    assert len(curve.labels) <= MOST
    seen = curve.labels >= 0
    assert seen[0] and seen[-1]
    np.testing.assert_allclose(curve.scores[seen].sum(axis=1), 1.0, rtol=1e-6)
    assert np.isnan(curve.scores[~seen]).all()
    for time, _ in spans:
        assert seen[np.searchsorted(curve.edges, start + time, side="right") - 1]


def test_where_nobody_is_seen_a_column_is_empty():
    bins = Bins()
    for result in film([0.0, 5.0], 1):
        bins.add(result, 1.0)
    curve = bins.curve("a.mp4", 1)
    middles = (curve.edges[1:] + curve.edges[:-1]) / 2
    np.testing.assert_array_equal(curve.labels >= 0, (middles < 1) | (middles > 5))
    assert bins.curve("a.mp4", 2) is None


def chart(some_results, **options) -> Image.Image:
    stream = io.BytesIO()
    draw_timeline(some_results, stream, **options)
    return Image.open(stream)


def test_a_chart_shows_the_colours_of_what_is_seen():
    image = chart([*film(np.arange(20) / 10, 1), *film(2 + np.arange(20) / 10, emotion=SAD)])
    pixels = np.asarray(image.convert("RGB")).reshape(-1, 3)
    count = {emotion: int((pixels == colour).all(axis=1).sum()) for emotion, colour in _colours().items()}
    assert count[HAPPY] > 20_000 > count[SAD] > 1000


def _colours():
    from mien.emotions import COLOURS

    return COLOURS


def test_a_row_a_person_up_to_a_bound():
    heights = [chart(film([0.0, 0.1], *range(n))).height for n in (1, 2, 12, 20, 60)]
    assert heights == sorted(heights)
    assert heights[4] < heights[3] + 60  # twenty and a note
    assert chart(film([0.0, 0.1], *range(25)), min_seconds=0).height > heights[3] + 200
    assert chart(film([0.0, 0.1], 1), min_seconds=5).height < heights[0]


@pytest.mark.parametrize(
    "some_results",
    [
        pytest.param(film(np.arange(98) / 25), id="nobody"),
        pytest.param(film([0.0], 1), id="one frame"),
        pytest.param(film([0.0, 0.0], 1), id="no time"),
        pytest.param(film([1.7e9, 1.7e9 + 1e6], 1), id="a time of day, and long"),
        pytest.param(film([0, 1], 1, source="$x^2$ \\frac{\n\x1b[1m\udcff 名前" * 9), id="odd name"),
        pytest.param([*film([0, 1], 1), *film([0, 1], source="b"), *film([0, 1], source="c")], id="nobody in some"),
        pytest.param([*film([0, 1], None), *film([0, 100], 1, source="$b_1$\n")], id="two films"),
    ],
)
def test_whatever_a_film_is_it_has_a_chart(some_results, recwarn):
    for form in ("png", "svg", "pdf"):
        stream = io.BytesIO()
        draw_timeline(some_results, stream, form=form)
        assert stream.getvalue()[:5] in (b"\x89PNG\r", b"<?xml", b"%PDF-")
    assert not recwarn.list


def test_the_same_results_make_the_same_file_in_the_form_of_its_name(tmp_path):
    some_results = film(np.arange(5) / 5, 1)
    for name, begin in (("a.png", b"\x89PNG"), ("deep/a.SVG", b"<?xml"), ("a.pdf", b"%PDF")):
        summary = draw_timeline(some_results, tmp_path / name)
        assert (tmp_path / name).read_bytes().startswith(begin)
    assert summary.persons() == summed(some_results).persons()
    assert not list(tmp_path.rglob("*.partial"))
    first, second = io.BytesIO(), io.BytesIO()
    for stream in (first, second):
        draw_timeline(some_results, stream)
    assert first.getvalue() == second.getvalue()


def test_charts_that_cannot_be(tmp_path, monkeypatch):
    with pytest.raises(DataError, match="no film"):
        draw_timeline([frame(None, face())], tmp_path / "a.png")
    with pytest.raises(UsageError, match=r"\.png, \.svg, \.pdf"):
        draw_timeline(film([0, 1], 1), tmp_path / "a.gif")
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"):
        draw_timeline(film([0, 1], 1), tmp_path / "file" / "a.png")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r"mien\[plot\]"):
        draw_timeline(film([0, 1], 1), tmp_path / "a.png")
    assert [path.name for path in Path(tmp_path).iterdir()] == ["file"]


def test_importing_the_room_is_light():
    heavy = ("matplotlib", "pyarrow", "pandas", "rich")
    code = f"import sys, mien.timeline; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
