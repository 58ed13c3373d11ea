"""Reads every file of a folder in this process and tells of each, on a line of JSON, how it ended and what it took.

`python -m hostile.reading FOLDER`. Whatever is raised and is no error of mien's ends the process, and so the test.
"""

from __future__ import annotations

import faulthandler
import json
import resource
import sys
import time
from pathlib import Path

import mien

_LIMIT = 6 << 30  # bytes of address space: what runs away ends here, and not with the machine
_PEAK = Path("/proc/self/clear_refs")


def main(folder: Path) -> None:
    """Read all there is, in the order of the names."""
    faulthandler.enable()
    resource.setrlimit(resource.RLIMIT_AS, (_LIMIT, _LIMIT))
    analyzer = mien.Analyzer()
    for path in sorted(folder.iterdir()):
        if _PEAK.exists():
            _PEAK.write_text("5")
        results, faces, error, longest = 0, 0, None, 0.0
        began = time.process_time()
        for result in analyzer.stream(path):
            longest = max(longest, time.process_time() - began)
            results, faces, error = results + 1, faces + len(result.faces), result.error
            json.dumps(result.to_record(), allow_nan=False)
            began = time.process_time()
        longest = max(longest, time.process_time() - began)
        told = {"results": results, "faces": faces, "error": error, "seconds": longest, "megabytes": _peak()}
        print(json.dumps({"name": path.name, **told}), flush=True)


def _peak() -> int:
    if not _PEAK.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) >> 10


if __name__ == "__main__":
    main(Path(sys.argv[1]))
