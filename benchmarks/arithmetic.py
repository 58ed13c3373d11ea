"""The floor below which no arrangement gets: the networks' multiply-adds at the rate of a large matrix product."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from math import prod
from typing import Any
from unittest import mock

import numpy as np
import onnx
from numpy.typing import NDArray

from mien.models.session import Session
from mien.models.store import read_model


def product_rate(side: int, runs: int) -> float:
    """Return how many multiply-adds a second a product of two float32 matrices of that side does, on all cores."""
    one, other = np.random.default_rng(0).random((2, side, side), np.float32)
    _ = one @ other
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        _ = one @ other
        times.append(time.perf_counter() - started)
    return float(side**3 / statistics.median(times))


def multiply_adds(work: Callable[[], object]) -> int:
    """Return how many multiply-adds the networks do in `work`, as they are called in it.

    Those of convolutions and matrix products, with the weights that are in the files; nothing else counts.
    """
    with _called() as calls:
        work()
    return sum(_of_network(name, shape) for name, shape in calls)


@contextmanager
def _called() -> Iterator[list[tuple[str, tuple[int, ...]]]]:
    calls: list[tuple[str, tuple[int, ...]]] = []
    run = Session._run

    def counted(self: Session, values: NDArray[Any]) -> list[NDArray[Any]]:
        calls.append((self.name, values.shape))  # one step, so safe in threads
        return run(self, values)

    with mock.patch.object(Session, "_run", counted):
        yield calls


@cache
def _of_network(name: str, shape: tuple[int, ...]) -> int:
    model = onnx.load_from_string(read_model(name).content)
    for axis, length in zip(model.graph.input[0].type.tensor_type.shape.dim, shape, strict=True):
        axis.ClearField("dim_param")
        axis.dim_value = length
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    del model.graph.value_info[:]
    model = onnx.shape_inference.infer_shapes(model, data_prop=True)
    graph = model.graph
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for value in (*graph.input, *graph.output, *graph.value_info):
        shapes[value.name] = tuple(axis.dim_value for axis in value.type.tensor_type.shape.dim)
    total = 0
    for node in graph.node:
        if node.op_type == "Conv":
            total += prod(shapes[node.output[0]]) * prod(shapes[node.input[1]][1:])
        elif node.op_type in ("Gemm", "MatMul"):
            turned = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
            rows, columns = shapes[node.input[1]][-2:]
            total += prod(shapes[node.output[0]]) * (columns if turned else rows)
    return total
