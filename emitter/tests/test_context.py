"""What links a span to others: ids taken from the caller, and nesting in every kind of function."""

import asyncio
import contextlib
import contextvars
import gc
import threading
import unittest
import uuid

from beacon_trace import current, span, traced
from tests.support import anonymous, captured, log_id, payload

TRACE_HEX = "0af7651916cd43dd8448eb211c80319c"
TRACE_ID = "0af76519-16cd-43dd-8448-eb211c80319c"
OTHER_ID = "11111111-2222-3333-4444-555555555555"
PARENT = "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE_HEX}-{PARENT}-01"


def started(**context):
    """The payload of the started line of a span that is given this context."""
    with captured() as lines, span("x", **context):
        pass
    return payload(lines[0])


class Given(unittest.TestCase):
    def test_context_is_printed_on_the_started_line_before_the_fields(self):
        shown = started(trace_id=TRACE_ID, parent=PARENT, execution_id=2379, job_id="bias-1", model="m")
        self.assertEqual(shown, f"trace_id={TRACE_ID}, execution_id=2379, job_id=bias-1, parent={PARENT}, model=m")

    def test_a_traceparent_gives_trace_and_parent(self):
        self.assertEqual(started(traceparent=TRACEPARENT), f"trace_id={TRACE_ID}, parent={PARENT}")

    def test_an_invalid_traceparent_gives_nothing(self):
        invalid = [
            "",
            "00",
            TRACEPARENT[:-1],
            TRACEPARENT + "-x",
            "ff" + TRACEPARENT[2:],
            7,
            f"00-{'0' * 32}-{PARENT}-01",
            f"00-{TRACE_HEX}-{'0' * 16}-01",
        ]
        for value in invalid:
            self.assertEqual(started(traceparent=value), "", value)

    def test_a_traceparent_of_a_later_version_may_be_longer(self):
        self.assertEqual(started(traceparent=f"01{TRACEPARENT[2:]}-new"), f"trace_id={TRACE_ID}, parent={PARENT}")

    def test_a_trace_id_takes_uuid_form(self):
        for value in (TRACE_HEX, TRACE_HEX.upper(), TRACE_ID, uuid.UUID(TRACE_ID)):
            self.assertEqual(started(trace_id=value), f"trace_id={TRACE_ID}")
        self.assertEqual(started(trace_id="req-7"), "trace_id=req-7")

    def test_headers_are_read_in_any_case_and_form(self):
        forms = [
            {"X-Trace-Id": TRACE_HEX},
            {"x-trace-id": TRACE_ID, "other": object()},
            [(b"x-trace-id", TRACE_HEX.encode())],
        ]
        for headers in forms:
            self.assertEqual(started(headers=headers), f"trace_id={TRACE_ID}")
        self.assertEqual(started(headers={"Traceparent": TRACEPARENT}), f"trace_id={TRACE_ID}, parent={PARENT}")

    def test_a_trace_id_header_beats_a_traceparent_of_another_trace(self):
        headers = {"X-Trace-Id": OTHER_ID, "traceparent": TRACEPARENT}
        self.assertEqual(started(headers=headers), f"trace_id={OTHER_ID}")
        agreeing = {"X-Trace-Id": TRACE_ID, "traceparent": TRACEPARENT}
        self.assertEqual(started(headers=agreeing), f"trace_id={TRACE_ID}, parent={PARENT}")

    def test_what_is_given_by_name_beats_the_headers(self):
        headers = {"X-Trace-Id": OTHER_ID}
        self.assertEqual(started(headers=headers, trace_id=TRACE_ID), f"trace_id={TRACE_ID}")
        self.assertEqual(started(headers=headers, traceparent=TRACEPARENT), f"trace_id={TRACE_ID}, parent={PARENT}")

    def test_an_execution_id_that_travelled_as_text_is_a_number_again(self):
        self.assertEqual(started(execution_id="2379"), "execution_id=2379")
        self.assertEqual(started(execution_id="run-7"), "execution_id=run-7")
        self.assertEqual(started(job_id=17), "job_id=17")

    def test_what_is_no_id_is_left_out(self):
        self.assertEqual(started(trace_id="", parent=" ", execution_id=None, job_id="j" * 200), "")

    def test_a_forged_header_stays_inside_its_quotes(self):
        self.assertEqual(started(headers={"X-Trace-Id": 'a"\n, job_id=1'}), r'trace_id="a\"\n, job_id=1"')


class Nested(unittest.TestCase):
    def test_a_nested_span_names_its_parent_and_inherits_context(self):
        with captured() as lines, span("outer", trace_id=TRACE_ID, execution_id=7, job_id="j"):
            with span("inner", job_id="k"):
                pass
        expected = f"🔍 TRACE[B]: inner started - trace_id={TRACE_ID}, execution_id=7, job_id=k, parent=A"
        self.assertEqual(anonymous(lines)[1], expected)

    def test_spans_after_one_another_are_no_parents(self):
        with captured() as lines:
            with span("first"):
                pass
            with span("second"):
                pass
        self.assertEqual(payload(lines[2]), "")

    def test_a_thread_has_the_parent_that_it_is_given(self):
        def work(outer):
            with span("free"):
                pass
            with span("bound", parent=outer):
                pass

        with captured() as lines, span("outer", execution_id=7) as outer:
            thread = threading.Thread(target=work, args=(outer,))
            thread.start()
            thread.join()
        self.assertEqual(payload(lines[1]), "")
        self.assertTrue(anonymous(lines)[3].endswith("execution_id=7, parent=A"))

    def test_spans_that_end_out_of_order_leave_no_stale_parent(self):
        with captured() as lines:
            outer, inner = span("outer"), span("inner")
            outer.__enter__()
            inner.__enter__()
            outer.__exit__(None, None, None)
            with span("within inner"):
                pass
            inner.__exit__(None, None, None)
            with span("after"):
                pass
        shown = anonymous(lines)
        self.assertIn("🔍 TRACE[C]: within inner started - parent=B", shown)
        self.assertIn("🔍 TRACE[D]: after started", shown)

    def test_a_span_entered_again_is_a_new_span(self):
        again = span("x", model="m")
        with captured() as lines:
            with again as s:
                s.set(a=1)
            with again:
                pass
        self.assertEqual(len({log_id(line) for line in lines}), 2)
        self.assertNotIn("a=1", lines[3])


class Generators(unittest.TestCase):
    def test_a_suspended_generators_span_is_no_parent_of_its_consumers_spans(self):
        def produce():
            with span("producer"):
                yield 1
                with span("within"):
                    yield 2

        with captured() as lines:
            for _ in produce():
                with span("consumer"):
                    pass
        starts = [line for line in anonymous(lines) if " started" in line]
        self.assertEqual(
            starts,
            [
                "🔍 TRACE[A]: producer started",
                "🔍 TRACE[B]: consumer started",
                "🔍 TRACE[C]: within started - parent=A",
                "🔍 TRACE[D]: consumer started",
            ],
        )

    def test_the_same_holds_where_an_exit_stack_enters_the_span(self):
        def produce():
            with contextlib.ExitStack() as stack:
                stack.enter_context(span("producer"))
                yield 1

        with captured() as lines:
            for _ in produce():
                with span("consumer"):
                    pass
        self.assertEqual(anonymous(lines)[1], "🔍 TRACE[B]: consumer started")

    def test_a_generator_closed_early_is_a_success_that_says_so(self):
        def produce():
            with span("producer"):
                yield 1
                yield 2

        with captured() as lines:
            items = produce()
            next(items)
            items.close()
        self.assertEqual(anonymous(lines)[1], "🔍 TRACE[A]: SUCCESS - duration=0.00s, closed_early=True")

    def test_a_generator_dropped_in_another_context_ends_its_span(self):
        def produce():
            with span("producer"):
                yield 1

        with captured() as lines:
            items = produce()
            contextvars.copy_context().run(next, items)
            del items
            gc.collect()
            with span("after"):
                pass
        self.assertIn("closed_early=True", lines[1])
        self.assertEqual(payload(lines[2]), "")


class Async(unittest.TestCase):
    def test_tasks_side_by_side_keep_their_own_nesting(self):
        async def one(name):
            async with span(name):
                await asyncio.sleep(0)
                with span(name + " inner"):
                    await asyncio.sleep(0)

        async def main():
            with span("main"):
                await asyncio.gather(one("a"), one("b"))

        with captured() as lines:
            asyncio.run(main())
        starts = sorted(line.split("]: ")[1] for line in anonymous(lines) if " started" in line)
        self.assertEqual(
            starts,
            [
                "a inner started - parent=B",
                "a started - parent=A",
                "b inner started - parent=C",
                "b started - parent=A",
                "main started",
            ],
        )

    def test_cancellation_fails_the_span_and_passes(self):
        async def main():
            async def work():
                async with span("work"):
                    await asyncio.sleep(60)

            task = asyncio.ensure_future(work())
            await asyncio.sleep(0)
            task.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await task

        with captured() as lines:
            asyncio.run(main())
        self.assertIn("FAILED - error=CancelledError, duration=", lines[1])

    def test_an_async_generators_span_is_no_parent_of_its_consumers_spans(self):
        async def produce():
            with span("producer"):
                yield 1
                with span("within"):
                    pass
                yield 2

        async def main():
            async for _ in produce():
                with span("consumer"):
                    pass

        with captured() as lines:
            asyncio.run(main())
        starts = [line.split("]: ")[1] for line in anonymous(lines) if " started" in line]
        self.assertEqual(
            starts, ["producer started", "consumer started", "within started - parent=A", "consumer started"]
        )

    def test_an_async_generator_finalized_by_the_loop_ends_its_span(self):
        async def produce():
            with span("producer"):
                yield 1
                yield 2

        async def main():
            items = produce()
            await items.__anext__()
            del items
            gc.collect()
            await asyncio.sleep(0)  # the loop closes it in a task of its own

        with captured() as lines:
            asyncio.run(main())
        self.assertEqual(len(lines), 2)
        self.assertIn("SUCCESS", lines[1])


class Decorated(unittest.TestCase):
    def test_every_kind_of_function_stays_the_kind_it_is(self):
        import inspect

        @traced
        def plain():
            """Doc."""

        @traced("named")
        def generator():
            yield

        @traced()
        async def coroutine():
            pass

        @traced(model="m")
        async def async_generator():
            yield

        self.assertTrue(inspect.isgeneratorfunction(generator))
        self.assertTrue(inspect.iscoroutinefunction(coroutine))
        self.assertTrue(inspect.isasyncgenfunction(async_generator))
        self.assertEqual((plain.__name__, plain.__doc__), ("plain", "Doc."))

    def test_a_function_is_a_span_and_its_arguments_fields_and_context(self):
        @traced("Modal inference", region="us-east", arguments=("model", "trace_id", "missing"))
        def infer(model, prompt="hi", trace_id=None):
            current().set(tokens=3)
            return model + prompt

        with captured() as lines:
            self.assertEqual(infer("m", trace_id=TRACE_HEX), "mhi")
        self.assertEqual(
            anonymous(lines),
            [
                f"🔍 TRACE[A]: Modal inference started - trace_id={TRACE_ID}, region=us-east, model=m",
                "🔍 TRACE[A]: SUCCESS - duration=0.00s, tokens=3",
            ],
        )

    def test_a_wrong_call_fails_as_it_would_undecorated(self):
        @traced(arguments=("model",))
        def infer(model):
            return model

        with captured() as lines, self.assertRaises(TypeError):
            infer()
        self.assertIn('FAILED - error="TypeError: ', lines[1])

    def test_a_coroutine_fails_with_its_exception(self):
        @traced
        async def infer():
            raise OSError("gated")

        with captured() as lines, self.assertRaises(OSError):
            asyncio.run(infer())
        self.assertIn('FAILED - error="OSError: gated"', lines[1])

    def test_methods_of_every_kind_can_be_decorated(self):
        class Model:
            @traced
            def plain(self):
                return 1

            @traced
            @staticmethod
            def static():
                return 2

            @traced
            @classmethod
            def of_class(cls):
                return cls

        with captured() as lines:
            self.assertEqual((Model().plain(), Model.static(), Model.of_class()), (1, 2, Model))
        self.assertEqual(len(lines), 6)

    def test_a_generator_still_sends_throws_and_returns(self):
        @traced
        def echo():
            got = yield "first"
            try:
                yield got
            except KeyError:
                yield "caught"
            return "result"

        with captured() as lines:
            items = echo()
            self.assertEqual([next(items), items.send("sent"), items.throw(KeyError())], ["first", "sent", "caught"])
            with self.assertRaises(StopIteration) as stop:
                next(items)
        self.assertEqual(stop.exception.value, "result")
        self.assertIn("SUCCESS", lines[1])

    def test_an_async_generator_still_sends_throws_and_closes(self):
        cleaned = []

        @traced
        async def echo():
            try:
                got = yield "first"
                try:
                    yield got
                except KeyError:
                    yield "caught"
                yield "never reached"
            finally:
                await asyncio.sleep(0)
                cleaned.append(True)

        async def main():
            items = echo()
            seen = [await items.asend(None), await items.asend("sent"), await items.athrow(KeyError())]
            await items.aclose()
            return seen

        with captured() as lines:
            self.assertEqual(asyncio.run(main()), ["first", "sent", "caught"])
        self.assertEqual(cleaned, [True])
        self.assertIn("SUCCESS - duration=", lines[1])
        self.assertIn("closed_early=True", lines[1])

    def test_an_async_generator_fails_with_its_exception(self):
        @traced
        async def items():
            yield 1
            raise OSError("gated")

        async def main():
            return [item async for item in items()]

        with captured() as lines, self.assertRaises(OSError):
            asyncio.run(main())
        self.assertIn('FAILED - error="OSError: gated"', lines[1])


if __name__ == "__main__":
    unittest.main()
