"""The optional push, against a small HTTP server on a port of the system's choosing."""

import contextlib
import http.server
import json
import os
import threading
import time
import unittest
from unittest import mock

import beacon_trace
from beacon_trace import flush, span
from tests.support import captured, log_id
from tests.test_context import PARENT, TRACE_HEX, TRACE_ID, TRACEPARENT
from tests.test_safety import run_python


class Collector(http.server.ThreadingHTTPServer):
    """Keeps requests, and answers with the next of `statuses` (200 once there are none left)."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answer)
        self.requests, self.statuses = [], []
        self.gate = threading.Event()
        self.gate.set()
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request, client_address):
        """Says nothing of a client that ended before its answer: some tests are about that."""

    def spans(self):
        found = []
        for _, _, body in self.requests:
            for resource in body["resourceSpans"]:
                for scope in resource["scopeSpans"]:
                    found.extend(scope["spans"])
        return found


class Answer(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.server.gate.wait(30)
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append((self.path, self.headers, body))
        self.send_response(self.server.statuses.pop(0) if self.server.statuses else 200)
        self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *args):
        pass


@contextlib.contextmanager
def collector(**env):
    """A collector that spans of the block are pushed to."""
    server = Collector()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": server.url, **env}
    try:
        exporter = beacon_trace._exporter_from(env)
        with mock.patch.object(beacon_trace, "_configured", [exporter]):
            yield server
    finally:
        server.gate.set()
        server.shutdown()
        thread.join()
        server.server_close()


def attributes(pushed):
    return {item["key"]: next(iter(item["value"].values())) for item in pushed["attributes"]}


class Push(unittest.TestCase):
    def test_a_finished_span_is_pushed_with_steps_fields_and_context(self):
        with collector() as server:
            with captured() as lines, span("Modal inference", traceparent=TRACEPARENT, execution_id=7, model="m") as s:
                s.step("Model validated", ok=True)
                s.set(tokens=156, load=0.5, nothing=None)
            self.assertTrue(flush(10))
        (path, headers, body), (pushed,) = server.requests[0], server.spans()
        self.assertEqual((path, headers["Content-Type"]), ("/v1/traces", "application/json"))
        self.assertEqual(
            (pushed["traceId"], pushed["parentSpanId"], pushed["name"]), (TRACE_HEX, PARENT, "Modal inference")
        )
        self.assertTrue(pushed["spanId"].startswith(log_id(lines[0])))
        self.assertEqual(pushed["status"], {"code": 1})
        self.assertEqual(
            attributes(pushed),
            {
                "log_id": log_id(lines[0]),
                "trace_id": TRACE_ID,
                "execution_id": "7",
                "model": "m",
                "tokens": "156",
                "load": 0.5,
            },
        )
        self.assertEqual(pushed["events"][0]["name"], "Model validated")
        self.assertEqual(pushed["events"][0]["attributes"], [{"key": "ok", "value": {"boolValue": True}}])
        self.assertLessEqual(int(pushed["startTimeUnixNano"]), int(pushed["endTimeUnixNano"]))
        resource = attributes(body["resourceSpans"][0]["resource"])
        self.assertEqual(resource["service.name"], "modal")

    def test_a_failed_span_carries_its_error(self):
        with collector() as server:
            with captured(), self.assertRaises(OSError), span("x"):
                raise OSError("gated")
            self.assertTrue(flush(10))
        self.assertEqual(server.spans()[0]["status"], {"code": 2, "message": "OSError: gated"})

    def test_nested_spans_share_a_trace_and_name_their_parent(self):
        with collector() as server:
            with captured(), span("outer"), span("inner"):
                pass
            self.assertTrue(flush(10))
        inner, outer = server.spans()
        self.assertEqual((inner["traceId"], inner["parentSpanId"]), (outer["traceId"], outer["spanId"]))
        self.assertNotIn("parentSpanId", outer)

    def test_headers_and_resource_come_from_the_variables(self):
        env = {
            "OTEL_EXPORTER_OTLP_HEADERS": "x-tenant=a%20b, x-other=c",
            "OTEL_SERVICE_NAME": "router",
            "OTEL_RESOURCE_ATTRIBUTES": "team=blue",
            "MODAL_TASK_ID": "ta-1",
        }
        with collector(**env) as server:
            with captured(), span("x"):
                pass
            self.assertTrue(flush(10))
        _, headers, body = server.requests[0]
        self.assertEqual((headers["X-tenant"], headers["X-other"]), ("a b", "c"))
        resource = attributes(body["resourceSpans"][0]["resource"])
        self.assertEqual(resource, {"service.name": "router", "team": "blue", "container.id": "ta-1"})

    def test_an_overloaded_collector_is_tried_again(self):
        with collector() as server:
            server.statuses = [503, 429]
            with captured(), span("x"):
                pass
            self.assertTrue(flush(10))
        self.assertEqual(len(server.requests), 3)

    def test_a_refusal_is_not_tried_again_and_is_said_once(self):
        with collector() as server, self.assertLogs("beacon_trace") as logs:
            server.statuses = [400, 400]
            for _ in range(2):
                with captured(), span("x"):
                    pass
                self.assertTrue(flush(10))
        self.assertEqual((len(server.requests), len(logs.output)), (2, 1))

    def test_a_redirect_is_not_followed(self):
        with collector() as server, self.assertLogs("beacon_trace"):
            server.statuses = [302]
            with captured(), span("x"):
                pass
            self.assertTrue(flush(10))
        self.assertEqual([path for path, _, _ in server.requests], ["/v1/traces"])

    def test_a_stalled_collector_holds_nobody_up_and_the_queue_is_bounded(self):
        with collector() as server, self.assertLogs("beacon_trace") as logs:
            server.gate.clear()
            began = time.monotonic()
            with captured():
                for _ in range(beacon_trace._Exporter.QUEUE + beacon_trace._Exporter.BATCH + 10):
                    with span("x"):
                        pass
            self.assertLess(time.monotonic() - began, 5)
            self.assertFalse(flush(0.05))
            self.assertIn("queue is full", logs.output[0])
            server.gate.set()
            self.assertTrue(flush(20))

    def test_a_forked_child_pushes_its_own_spans(self):
        if not hasattr(os, "fork"):
            self.skipTest("no fork on this platform")
        with collector() as server:
            code = (
                "import os\nfrom beacon_trace import flush, span\n"
                "with span('parent'): pass\n"
                "assert flush(10)\n"
                "child = os.fork()\n"
                "with span('child' if child == 0 else 'parent again'): pass\n"
                "assert flush(10)\n"
                "if child: assert os.waitpid(child, 0)[1] == 0\n"
            )
            self.assertEqual(run_python(code, OTEL_EXPORTER_OTLP_ENDPOINT=server.url)[0], 0)
        self.assertEqual(sorted(pushed["name"] for pushed in server.spans()), ["child", "parent", "parent again"])


class Configuration(unittest.TestCase):
    def configured(self, **env):
        exporter = beacon_trace._exporter_from({f"OTEL_{key}": value for key, value in env.items()})
        return exporter and exporter._url

    def test_the_push_is_off_unless_an_endpoint_is_configured(self):
        self.assertIsNone(self.configured())
        self.assertIsNone(self.configured(EXPORTER_OTLP_ENDPOINT=" "))

    def test_an_endpoint_is_a_base_and_a_traces_endpoint_is_taken_as_it_is(self):
        self.assertEqual(self.configured(EXPORTER_OTLP_ENDPOINT="http://a:4318/"), "http://a:4318/v1/traces")
        both = {"EXPORTER_OTLP_ENDPOINT": "http://a", "EXPORTER_OTLP_TRACES_ENDPOINT": "https://b/in"}
        self.assertEqual(self.configured(**both), "https://b/in")

    def test_what_this_cannot_or_may_not_speak_leaves_it_off(self):
        base = {"EXPORTER_OTLP_ENDPOINT": "http://a"}
        self.assertIsNone(self.configured(EXPORTER_OTLP_ENDPOINT="file:///etc"))
        self.assertIsNone(self.configured(**base, EXPORTER_OTLP_PROTOCOL="grpc"))
        self.assertIsNone(self.configured(**base, SDK_DISABLED="true"))
        self.assertIsNone(self.configured(**base, TRACES_EXPORTER="none"))

    def test_without_an_endpoint_no_thread_starts_and_urllib_is_not_imported(self):
        code = (
            "import sys, threading, beacon_trace\n"
            "with beacon_trace.span('x'): pass\n"
            "assert beacon_trace.flush()\n"
            "sys.exit(threading.active_count() - 1 + ('urllib.request' in sys.modules))\n"
        )
        self.assertEqual(run_python(code, "-S")[0], 0)


class Exit(unittest.TestCase):
    CODE = "import beacon_trace\nwith beacon_trace.span('x'): pass\n"

    def test_what_is_queued_at_exit_is_pushed(self):
        with collector() as server:
            code, _, err = run_python(self.CODE, OTEL_EXPORTER_OTLP_ENDPOINT=server.url)
        self.assertEqual((code, err, len(server.spans())), (0, "", 1))

    def test_a_stalled_collector_delays_the_exit_by_two_seconds_at_most(self):
        with collector() as server:
            server.gate.clear()
            # Registered first, so called last: prints how long the others took.
            timed = "import atexit, time\natexit.register(lambda: print(time.monotonic() - began))\n"
            env = {"OTEL_EXPORTER_OTLP_ENDPOINT": server.url, "PYTHONIOENCODING": "utf-8"}
            code, out, err = run_python(timed + self.CODE + "began = time.monotonic()\n", **env)
        self.assertEqual((code, err), (0, ""))
        self.assertLess(float(out.splitlines()[-1]), 2.5)

    def test_an_unreachable_collector_changes_no_exit_code(self):
        code, out, _ = run_python(self.CODE, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9")
        self.assertEqual((code, len(out.splitlines())), (0, 2))


if __name__ == "__main__":
    unittest.main()
