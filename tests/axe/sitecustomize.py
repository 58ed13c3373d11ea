"""In each Python process with this folder on its path: counts the steps on the disk, and kills all at one of them.

A step is a file opened to be written, or a file or folder made, renamed or removed, below MIEN_AXE_WATCHED; all
processes of a run count together, by the length of MIEN_AXE_STEPS. Before step MIEN_AXE_FALLS (never where it is 0)
the group of the process is killed, as by a power cut.
"""

import os
import signal
import sys

_CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.truncate"}


def _lift() -> None:
    watched, falls = os.environ["MIEN_AXE_WATCHED"], int(os.environ["MIEN_AXE_FALLS"])
    steps = os.open(os.environ["MIEN_AXE_STEPS"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def listen(event: str, arguments: tuple[object, ...]) -> None:
        if event == "open":
            flags = arguments[2]
            if not isinstance(flags, int) or not flags & (os.O_WRONLY | os.O_RDWR):
                return
        elif event not in _CHANGES:
            return
        path = arguments[0]
        if isinstance(path, bytes):
            path = os.fsdecode(path)
        if not isinstance(path, str) or not path.startswith(watched):
            return
        os.write(steps, b".")
        if os.fstat(steps).st_size == falls:
            os.killpg(0, signal.SIGKILL)

    sys.addaudithook(listen)


if "MIEN_AXE_WATCHED" in os.environ:
    _lift()
