"""Spans on their way to a collector, by OpenTelemetry's SDK."""

import logging
import threading
from collections.abc import Sequence
from urllib.parse import urlsplit

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as OverGrpc
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as OverHttp
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import Tracer

from cachesvc.settings.traces import TracesConfig

_PATH = "/v1/traces"
_QUEUE_MAX = 4_096
_BATCH_MAX = 512
_INTERVAL_MS = 1_000
_TEXT_CHARS_MAX = 500
_log = logging.getLogger(__name__)


class Export:
    """Sends spans from a thread of its own; keeps 4,096 at most, and drops what is more.

    What else OpenTelemetry's variables say, such as ``OTEL_EXPORTER_OTLP_HEADERS`` and
    ``OTEL_RESOURCE_ATTRIBUTES``, counts as well.

    Args:
        config: Where to.
        version: Of this software.
    """

    def __init__(self, config: TracesConfig, version: str) -> None:
        resource = {"service.name": config.service_name, "service.version": version}
        # All spans are of traces that were chosen, and the end is the service's.
        self._provider = TracerProvider(
            ALWAYS_ON, Resource.create(resource), shutdown_on_exit=False
        )
        self._provider.add_span_processor(
            BatchSpanProcessor(
                _Telling(_exporter(config), config.endpoint), _QUEUE_MAX, _INTERVAL_MS, _BATCH_MAX
            )
        )
        self.tracer: Tracer = self._provider.get_tracer("cachesvc", version)

    def close(self, timeout_s: float) -> None:
        """Sends what is left, as far as the time allows. Blocks."""
        # The SDK's own bound is half a minute, and it is not to be set.
        ending = threading.Thread(target=self._provider.shutdown, daemon=True)
        ending.start()
        ending.join(timeout_s)


def traces_url(endpoint: str) -> str:
    """Where traces go at an endpoint for OTLP over HTTP, as its specification has it."""
    return endpoint if endpoint.endswith(_PATH) else endpoint.rstrip("/") + _PATH


def _exporter(config: TracesConfig) -> SpanExporter:
    if config.protocol == "grpc":
        plain = urlsplit(config.endpoint).scheme == "http"
        return OverGrpc(config.endpoint, insecure=plain, timeout=config.timeout_s)
    return OverHttp(traces_url(config.endpoint), timeout=config.timeout_s)


class _Telling(SpanExporter):
    """Says once when the collector takes nothing, and once when it does again.

    The SDK says so with every try, and does not hand it on.
    """

    def __init__(self, exporter: SpanExporter, endpoint: str) -> None:
        self._exporter = exporter
        self._endpoint = endpoint
        self._failed = 0
        self._last_word = _LastWord()
        library = logging.getLogger("opentelemetry")
        library.propagate = False
        library.addHandler(self._last_word)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        if result is SpanExportResult.SUCCESS:
            if self._failed:
                _log.info(
                    "traces are taken again", extra={"event": "traces_sent", "lost": self._failed}
                )
            self._failed = 0
            return result
        if not self._failed:
            _log.warning(
                "the collector takes no traces, they are dropped",
                extra={
                    "event": "traces_not_sent",
                    "endpoint": self._endpoint,
                    "error": self._last_word.text,
                },
            )
        self._failed += len(spans)
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)


class _LastWord(logging.Handler):
    """Keeps what the SDK has complained about last."""

    text = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.text = record.getMessage()[:_TEXT_CHARS_MAX]
