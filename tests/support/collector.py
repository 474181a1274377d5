"""A collector of traces: a real receiver of OTLP, over HTTP and over gRPC."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as pb
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc

from tests.support.ports import HOST

PATH = "/v1/traces"


@dataclass(frozen=True, slots=True)
class ReceivedSpan:
    """A span, with its own and its resource's attributes as plain values."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    begin_ns: int
    end_ns: int
    attributes: dict[str, Any]
    resource: dict[str, Any]
    links: tuple[tuple[str, str, dict[str, Any]], ...] = ()
    error: str | None = None


@dataclass(slots=True)
class Received:
    """All that has come.

    Attributes:
        spans: In their order.
        headers: Of each request, by their names in lower case.
    """

    spans: list[ReceivedSpan] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    def take(self, request: pb.ExportTraceServiceRequest, headers: dict[str, str]) -> None:
        self.headers.append(headers)
        for of_resource in request.resource_spans:
            resource = _plain(of_resource.resource.attributes)
            for scope in of_resource.scope_spans:
                self.spans.extend(_span(span, resource) for span in scope.spans)

    def named(self, prefix: str) -> list[ReceivedSpan]:
        """The spans whose names begin so."""
        return [span for span in list(self.spans) if span.name.startswith(prefix)]


def _span(span: Any, resource: dict[str, Any]) -> ReceivedSpan:
    return ReceivedSpan(
        span.name,
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        _plain(span.attributes),
        resource,
        tuple((x.trace_id.hex(), x.span_id.hex(), _plain(x.attributes)) for x in span.links),
        span.status.message if span.status.code == 2 else None,
    )


def _plain(attributes: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}


class HttpCollector(Received):
    """Takes traces over HTTP, on any free port or the one given; a context manager.

    Attributes:
        status: What it answers.
    """

    def __init__(self, port: int = 0) -> None:
        super().__init__()
        self.status = 200
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = outer.status if self.path == PATH else 404
                if status == 200:
                    headers = {name.lower(): value for name, value in self.headers.items()}
                    outer.take(pb.ExportTraceServiceRequest.FromString(body), headers)
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Says nothing."""

        self._server = ThreadingHTTPServer((HOST, port), Handler)
        self._server.daemon_threads = True
        self.endpoint = f"http://{HOST}:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class GrpcCollector(Received, trace_service_pb2_grpc.TraceServiceServicer):
    """Takes traces over gRPC; a context manager."""

    def __init__(self, port: int = 0) -> None:
        super().__init__()
        self._server = grpc.server(ThreadPoolExecutor(2), options=[("grpc.so_reuseport", 0)])
        add: Callable[..., None] = trace_service_pb2_grpc.add_TraceServiceServicer_to_server
        add(self, self._server)
        self.endpoint = f"http://{HOST}:{self._server.add_insecure_port(f'{HOST}:{port}')}"

    def Export(  # noqa: N802
        self, request: Any, context: Any
    ) -> pb.ExportTraceServiceResponse:
        self.take(request, dict(context.invocation_metadata()))
        return pb.ExportTraceServiceResponse()

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(None).wait()
