"""How far a verb is that counts pictures."""

from __future__ import annotations

from mien.cli.bar import Bar


class Counting(Bar):
    """A bar for one kind of work after the other."""

    def __init__(self, *, shown: bool = True) -> None:
        super().__init__("what", "bar", "count", "left", shown=shown)
        self._what = ""

    def __call__(self, what: str, done: int, of: int) -> None:
        """So many of these are done, of so many; of 0, nobody knows how many there are."""
        if what != self._what:
            self.begin_again()
            self._what = what
        self.show(done, of or None, {"what": what})
