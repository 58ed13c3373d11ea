"""What Prometheus is told at /metrics."""

from __future__ import annotations

from collections.abc import Iterator

from fastapi import APIRouter
from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector
from starlette.responses import Response

from mien.serve.admission import Admission
from mien.serve.disk import Disk
from mien.serve.engine import Engine

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """Counts requests and live frames, and reads the rest where it is kept when it is asked.

    Attributes:
        cameras: how many are connected to /v1/live.

    """

    def __init__(self, engine: Engine, admission: Admission, disk: Disk) -> None:
        self.cameras = 0
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "mien_requests", "Requests answered.", ("method", "route", "status"), registry=self._registry
        )
        self._seconds = Histogram(
            "mien_request_seconds",
            "From a request's head to the end of its answer.",
            ("route",),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._frames = Counter(
            "mien_live_frames", "Frames of cameras, by what came of them.", ("outcome",), registry=self._registry
        )
        self._frame_seconds = Histogram(
            "mien_live_frame_seconds",
            "From a frame's arrival to its answer.",
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._live_faces = Counter("mien_live_faces", "Faces found on frames of cameras.", registry=self._registry)
        for outcome in ("answered", "unreadable", "skipped"):
            self._frames.labels(outcome)
        ProcessCollector(registry=self._registry)
        self._registry.register(_Figures(self, engine, admission, disk))

    def count(self, *, method: str, route: str, status: int, seconds: float) -> None:
        """Add a request that has been answered."""
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def count_frame(self, *, faces: int | None, seconds: float) -> None:
        """Add a frame of a camera that has been answered; `faces` is None where it could not be read."""
        self._frames.labels("unreadable" if faces is None else "answered").inc()
        self._live_faces.inc(faces or 0)
        self._frame_seconds.observe(seconds)

    def count_skipped(self) -> None:
        """Add a frame of a camera in whose place a newer one was analysed."""
        self._frames.labels("skipped").inc()

    def routes(self) -> APIRouter:
        """Return the route at which it is asked."""
        router = APIRouter(tags=["service"])

        @router.get(
            "/metrics",
            response_class=Response,
            summary="Figures for Prometheus",
            responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
        )
        def metrics() -> Response:
            return Response(generate_latest(self._registry), media_type=CONTENT_TYPE_LATEST)

        return router


class _Figures(Collector):
    def __init__(self, metrics: Metrics, engine: Engine, admission: Admission, disk: Disk) -> None:
        self._metrics, self._engine, self._admission, self._disk = metrics, engine, admission, disk

    def collect(self) -> Iterator[Metric]:
        waiting, bodies = self._admission.waiting, self._admission.bodies
        yield GaugeMetricFamily("mien_queue", "Pictures that wait, to be decoded or analysed.", value=waiting)
        yield GaugeMetricFamily("mien_bodies", "Requests whose pictures are still on their way.", value=bodies)
        yield CounterMetricFamily("mien_pictures", "Pictures analysed.", value=self._engine.pictures)
        yield CounterMetricFamily("mien_faces", "Faces found on them.", value=self._engine.faces)
        yield GaugeMetricFamily("mien_live_cameras", "Cameras that are connected.", value=self._metrics.cameras)
        yield GaugeMetricFamily("mien_disk_bytes", "What lies on disk, of --max-disk.", value=self._disk.used())
