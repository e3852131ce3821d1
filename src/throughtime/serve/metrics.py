"""What a server counts and measures, in the format of Prometheus."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_ROWS = tuple(2.0**power for power in range(13))
_TOKENS = tuple(4.0**power for power in range(1, 10))
_MODEL = ("model",)


@dataclass(frozen=True)
class ServerMetrics:
    """The metrics of all models of a server, each with the label ``model``."""

    registry: CollectorRegistry
    requests: Counter
    rows: Counter
    rejected: Counter
    reloads: Counter
    seconds: Histogram
    batch_requests: Histogram
    batch_rows: Histogram
    batch_tokens: Histogram
    batch_seconds: Histogram
    waiting: Gauge
    streams: Gauge
    stream_batch: Histogram

    @classmethod
    def create(cls) -> Self:
        """Return metrics in a registry of their own."""
        registry = CollectorRegistry()

        def counter(name: str, about: str, *labels: str) -> Counter:
            return Counter(f"throughtime_{name}", about, (*_MODEL, *labels), registry=registry)

        def gauge(name: str, about: str) -> Gauge:
            return Gauge(f"throughtime_{name}", about, _MODEL, registry=registry)

        def histogram(name: str, about: str, buckets: tuple[float, ...]) -> Histogram:
            return Histogram(f"throughtime_{name}", about, _MODEL, registry=registry, buckets=buckets)

        return cls(
            registry,
            requests=counter("requests", "Requests for predictions by status.", "status"),
            rows=counter("rows", "Rows that were predicted."),
            rejected=counter("rejected", "Requests refused because the queue was full."),
            reloads=counter("reloads", "Attempts to load the run anew by result.", "result"),
            seconds=histogram("request_seconds", "Time from a request to its answer.", _SECONDS),
            batch_requests=histogram("batch_requests", "Requests in a batch.", _ROWS),
            batch_rows=histogram("batch_rows", "Rows in a batch.", _ROWS),
            batch_tokens=histogram("batch_tokens", "Tokens or steps in a batch.", _TOKENS),
            batch_seconds=histogram("batch_seconds", "Time to encode and compute a batch.", _SECONDS),
            waiting=gauge("queue_requests", "Requests that wait."),
            streams=gauge("streams", "Open streams."),
            stream_batch=histogram("stream_batch_messages", "Messages of streams in a batch.", _ROWS),
        )

    def of(self, model: str, waiting: Callable[[], float]) -> "ModelMetrics":
        """Return the metrics of one model; ``waiting`` is called to count the requests that wait."""
        self.waiting.labels(model).set_function(waiting)
        self.rejected.labels(model)  # shown as 0 before the first
        return ModelMetrics(self, model)

    def text(self) -> bytes:
        """Return all metrics in the text format of Prometheus."""
        return generate_latest(self.registry)


class ModelMetrics:
    """The metrics of one model."""

    def __init__(self, metrics: ServerMetrics, model: str) -> None:
        self._metrics, self._model = metrics, model
        self.rows, self.rejected = metrics.rows.labels(model), metrics.rejected.labels(model)
        self.seconds, self.streams = metrics.seconds.labels(model), metrics.streams.labels(model)
        self.stream_batch = metrics.stream_batch.labels(model)
        self._requests, self._batch_rows, self._batch_tokens, self._batch_seconds = (
            kind.labels(model)
            for kind in (
                metrics.batch_requests,
                metrics.batch_rows,
                metrics.batch_tokens,
                metrics.batch_seconds,
            )
        )
        self._answered: dict[int, Counter] = {}

    def answered(self, status: int, seconds: float) -> None:
        """Count a request."""
        if status not in self._answered:
            self._answered[status] = self._metrics.requests.labels(self._model, str(status))
        self._answered[status].inc()
        self.seconds.observe(seconds)

    def batch(self, requests: int, rows: int, tokens: int, seconds: float) -> None:
        """Count a batch."""
        self._requests.observe(requests)
        self._batch_rows.observe(rows)
        self._batch_tokens.observe(tokens)
        self._batch_seconds.observe(seconds)

    def reloaded(self, *, succeeded: bool) -> None:
        """Count an attempt to load the run anew."""
        self._metrics.reloads.labels(self._model, "success" if succeeded else "failure").inc()
