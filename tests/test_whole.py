"""A file has its name when it is whole, and what had the name before keeps it until then."""

import pytest

from mien.errors import OutputError
from mien.whole import whole_file, write_whole


def test_what_goes_wrong_leaves_what_was_there(tmp_path):
    target = tmp_path / "deep" / "a.txt"

    def fail(error: Exception) -> None:
        with whole_file(target) as partial:
            partial.write_text("half")
            raise error

    write_whole(target, b"first")
    with pytest.raises(ZeroDivisionError):
        fail(ZeroDivisionError())
    with pytest.raises(OutputError, match=r"a\.txt: cannot be written \(No space left"):
        fail(OSError(28, "No space left on device"))
    assert target.read_bytes() == b"first"
    write_whole(target, b"second", partial=target.with_name(".own"))
    assert target.read_bytes() == b"second"
    assert [path.name for path in target.parent.iterdir()] == ["a.txt"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"file/a\.txt: cannot be written"):
        write_whole(tmp_path / "file" / "a.txt", b"")
