"""Adapter of `hsemotion-onnx` (pip install hsemotion-onnx opencv-python-headless), which brings no detector.

YuNet finds the faces: MIEN_YUNET names its .onnx file, face_detection_yunet_2023mar.onnx of opencv_zoo.
"""

import json
import os
import sys
import time
import urllib.request  # noqa: F401  # which the tool uses without importing it, to fetch its weights

import cv2
import numpy as np
from hsemotion_onnx.facial_emotions import HSEmotionRecognizer

with open(sys.argv[1], encoding="utf-8") as file:
    task = json.load(file)
tool = HSEmotionRecognizer(model_name="enet_b0_8_best_vgaf")
detector = cv2.FaceDetectorYN.create(os.environ["MIEN_YUNET"], "", (320, 320))
for path in task["pictures"]:
    times, found = [], 0
    for _ in range(task["runs"] + 1):
        started = time.perf_counter()
        picture = cv2.imread(path)
        height, width = picture.shape[:2]
        detector.setInputSize((width, height))
        boxes = detector.detect(picture)[1]
        colours = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
        crops = []
        for box in () if boxes is None else boxes:
            x, y, w, h = np.maximum(box[:4].astype(int), 0)
            crops.append(colours[y : y + h, x : x + w])
        if crops:
            tool.predict_multi_emotions(crops)
        times.append(1000.0 * (time.perf_counter() - started))
        found = len(crops)
    print(json.dumps({"picture": path, "faces": found, "milliseconds": times[1:]}))
