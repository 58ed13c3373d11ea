"""Pictures that someone asks to delete: file, lines and what cleaning kept of them go; no run fetches them again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mien.collect.collection import JOURNAL, PROVENANCE, as_lines, read_collection
from mien.collect.findings import forget
from mien.collect.journal import Journal, Outcome, now
from mien.collect.pictures import REMOVED, remove_pictures
from mien.errors import UsageError
from mien.whole import write_whole, writing


def remove(folder: str | Path, names: Sequence[str]) -> int:
    """Delete pictures from a collection, and let no later run fetch them, from there or under another address.

    Args:
        folder: the collection.
        names: of each the sha256, the address of its bytes, or the page on which it is shown, as provenance has them.

    Returns:
        The number of pictures that were deleted.

    Raises:
        DataError: what is in the folder is damaged.
        OutputError: something cannot be written.
        UsageError: the folder is no collection, a name is not in it, or another run is at work there.

    """
    folder = Path(folder)
    if not all(names):
        raise UsageError(f"{folder}: the name of what to remove is empty; give a sha256, url or page")
    if not (folder / JOURNAL).is_file():
        raise UsageError(f"{folder}: it is no collection with a {JOURNAL}, so there is nothing to remove from")
    with writing(folder), Journal(folder) as journal:
        lines = read_collection(folder)
        found = [result for pages in journal.pages.values() for page in pages for result in page.results]
        gone: set[str] = set()
        for name in names:
            urls = {result.url for result in found if name in (result.url, result.page)}
            shas = {journal.known[url] for url in urls if url in journal.known}
            shas |= {name} & set(journal.known.values())
            if not urls and not shas:
                raise UsageError(f"{folder}: {name!r} is no sha256, url or page of a picture in it")
            gone |= urls | {url for url, sha256 in journal.known.items() if sha256 in shas}
        # the journal first: if this ends midway, the next run does the rest
        for url in sorted(gone):
            if journal.outcomes.get(url, _NOTHING).reason != REMOVED:
                journal.add_outcome(url, Outcome(None, REMOVED, now()))
        kept = [line for line in lines if line.sha256 not in journal.removed]
        write_whole(folder / PROVENANCE, as_lines(kept))
        files = {line.file for line in lines} - {line.file for line in kept}
        remove_pictures(folder, journal.removed.__contains__)
        forget(folder, journal.removed)
    return len(files)


_NOTHING = Outcome(None, "", "")
