"""Adapter of `deepface` (pip install deepface), with YuNet as its detector."""

import json
import sys
import time

sys.path.pop(0)  # this folder, in which `deepface` is this file

from deepface import DeepFace

with open(sys.argv[1], encoding="utf-8") as file:
    task = json.load(file)
for path in task["pictures"]:
    times, found = [], 0
    for _ in range(task["runs"] + 1):
        started = time.perf_counter()
        try:
            found = len(DeepFace.analyze(path, actions=["emotion"], detector_backend="yunet", silent=True))
        except ValueError:  # how it says that nobody is there
            found = 0
        times.append(1000.0 * (time.perf_counter() - started))
    print(json.dumps({"picture": path, "faces": found, "milliseconds": times[1:]}))
