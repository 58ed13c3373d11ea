"""People who want to be forgotten: what `mien collect --remove` takes away, and what keeps it away."""

import pytest

pytest.importorskip("httpx", reason="needs the extra collect")

from mien.collect.cleaning import clean_pictures
from mien.collect.collection import read_collection
from mien.collect.removing import remove
from mien.collect.verdicts import Requirements
from mien.errors import UsageError

from gathering import failed, gather, there
from webserver import picture


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "web"


def test_an_empty_name_removes_nothing(web, run, folder):
    web.openverse("face", web.serve("/1.jpg", picture(1)), foreign_landing_url=None)
    gather(folder)
    done = run("collect", "--out", folder, "--remove", "")
    assert done.status == 2 and "the name of what to remove is empty" in done.err
    assert there(folder) == ["1.jpg"]


def test_what_cleaning_kept_of_a_removed_face_goes_too(web, folder, tmp_path):
    web.openverse("face", *(web.serve(f"/{n}.jpg", picture(n)) for n in range(4)))
    gather(folder)
    clean_pictures(folder, tmp_path / "faces", detector="none", limits=Requirements(min_face=1, min_sharpness=0))
    kept = folder / ".cleaning.jsonl"
    lines = [*kept.read_text().splitlines(), "no JSON", '{"picture": ["x"]}']
    kept.write_text("\n".join(lines) + "\n")
    gone = read_collection(folder)[0]
    remove(folder, [gone.url])
    assert kept.read_text().splitlines() == [line for line in lines if gone.sha256 not in line]
    assert len(lines) - len(kept.read_text().splitlines()) == 1
    kept.unlink()
    remove(folder, [read_collection(folder)[0].sha256])
    assert not kept.exists()


def test_what_someone_asks_to_delete_never_comes_back(web, run, folder):
    same = web.serve("/same.jpg", picture(0))
    web.openverse("face", *(web.serve(f"/{n}.jpg", picture(n)) for n in range(4)), same)
    gather(folder)
    lines = read_collection(folder)
    done = run("collect", "--out", folder, "--remove", lines[0].sha256, "--remove", lines[1].url)
    assert done.status == 0 and "pictures deleted: 2;" in done.err
    assert there(folder) == ["2.jpg", "3.jpg"]
    assert remove(folder, [lines[2].page]) == 1
    assert remove(folder, [lines[2].page]) == 0
    web.openverse("face", web.serve("/copy.jpg", picture(0)))  # the same picture elsewhere
    before = web.asked.copy()
    report = gather(folder, limit=60, retry=True)
    assert failed(report) == {"removed": 4}
    assert there(folder) == ["3.jpg"]
    assert not any(web.asked[f"/{n}.jpg"] > before[f"/{n}.jpg"] for n in range(3))
    with pytest.raises(UsageError, match="is no sha256, url or page of a picture in it"):
        remove(folder, ["0" * 64])
    with pytest.raises(UsageError, match="no collection"):
        remove(folder.with_name("none"), [lines[0].url])
    assert not folder.with_name("none").exists()
    done = run("collect", "three", "--out", folder, "--remove", lines[0].url)
    assert done.status == 2 and "leave out QUERIES" in done.err


def test_the_same_picture_elsewhere_is_not_taken_in_place_of_a_removed_one(web, folder):
    web.openverse("face", web.serve("/1.jpg", picture(1)), web.serve("/copy.jpg", picture(1)))
    gather(folder, limit=1)
    remove(folder, [read_collection(folder)[0].url])
    assert failed(gather(folder, limit=1)) == {"removed": 2}
    assert there(folder) == []
