"""Adapter of `fer` (pip install fer), with the detector that finds most: MTCNN."""

import json
import sys
import time

import cv2

sys.path.pop(0)  # this folder, in which `fer` is this file

from fer.fer import FER

with open(sys.argv[1], encoding="utf-8") as file:
    task = json.load(file)
tool = FER(mtcnn=True)
for path in task["pictures"]:
    times, faces = [], []
    for _ in range(task["runs"] + 1):
        started = time.perf_counter()
        faces = tool.detect_emotions(cv2.imread(path))
        times.append(1000.0 * (time.perf_counter() - started))
    print(json.dumps({"picture": path, "faces": len(faces), "milliseconds": times[1:]}))
