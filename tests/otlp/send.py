"""Sends spans and log records with the official OpenTelemetry SDK. Usage: send.py ENDPOINT none|gzip"""

import logging
import sys

from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Status, StatusCode

endpoint = sys.argv[1]
compression = Compression.Gzip if sys.argv[2] == "gzip" else Compression.NoCompression

resource = Resource.create({"service.name": "beacon-runner"})
tracers = TracerProvider(resource=resource)
exporter = OTLPSpanExporter(f"{endpoint}/v1/traces", compression=compression)
tracers.add_span_processor(BatchSpanProcessor(exporter))
tracer = tracers.get_tracer("test")
with tracer.start_as_current_span("execute", attributes={"execution_id": 2379, "region": "US"}):
    try:
        with tracer.start_as_current_span("call_router") as inner:
            raise OSError("no route to host")
    except OSError:
        pass

logs = LoggerProvider(resource=Resource.create({"service.name": "modal.function-logs", "container_id": "ta-01OTLP"}))
logs.add_log_record_processor(
    BatchLogRecordProcessor(OTLPLogExporter(f"{endpoint}/v1/logs", compression=compression))
)
logger = logging.getLogger("modal")
logger.setLevel(logging.INFO)
logger.propagate = False
logger.addHandler(LoggingHandler(logger_provider=logs))
logger.info("🔍 TRACE[0badcafe]: Modal inference started - model=mistral-7b, region=eu-west")
logger.info("🔍 TRACE[0badcafe]: SUCCESS - duration=0.00s, tokens=7")

assert tracers.force_flush() and logs.force_flush()
tracers.shutdown()
logs.shutdown()
