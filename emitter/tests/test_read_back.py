"""Whatever the emitter prints, the collector's own parser reads back equal.

BEACON_READ_BACK names the parser's example program read_back; scripts/test-emitter.sh builds it.
"""

import atexit
import datetime
import functools
import json
import os
import subprocess
import unittest

from hypothesis import example, given, settings
from hypothesis import strategies as st

from beacon_trace import VALUE_LIMIT, span
from tests.support import captured, log_id
from tests.test_properties import any_fields, any_text, carried
from tests.test_safety import run_python

READ_BACK = os.environ.get("BEACON_READ_BACK")
CONTEXT = {"trace_id", "parent", "execution_id", "job_id"}

# Values that a line carries without loss, each with what the parser is to say of it.
exact_value = st.one_of(
    st.none().map(lambda value: (value, "none", None)),
    st.booleans().map(lambda value: (value, "bool", value)),
    st.integers(-(2**63), 2**63 - 1).map(lambda value: (value, "int", value)),
    st.floats(allow_nan=False, allow_infinity=False).map(lambda value: (value, "float", value)),
    st.timedeltas(datetime.timedelta(0), datetime.timedelta(days=36500)).map(
        lambda value: (value, "duration", value // datetime.timedelta(microseconds=1))
    ),
    any_text.map(lambda value: (value, "text", carried(value))),
    st.sampled_from(
        ["True", "false", "None", "none", "null", "nan", "-inf", "Infinity", "1_000", "+1", "-", ".", "'"]
    ).map(lambda value: (value, "text", value)),
    st.from_regex(r"[A-Za-z0-9_.:/@+-]{1,12}", fullmatch=True).map(lambda value: (value, "text", value)),
    st.from_regex(r"-?([0-9]{1,4}\.?[0-9]{0,3}(ns|us|ms|s|m|h|d|e|E|e-)?){1,3}", fullmatch=True).map(
        lambda value: (value, "text", value)
    ),
)
exact_key = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.-]{0,8}", fullmatch=True)
exact_fields = st.dictionaries(exact_key, exact_value, max_size=6)


@functools.lru_cache(maxsize=1)
def reader():
    """One process for all logs: starting one for each took most of the time."""
    program = subprocess.Popen([READ_BACK], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    atexit.register(program.communicate)
    return program


def read_back(lines):
    program = reader()
    program.stdin.write("".join(line + "\n" for line in [*lines, "\x1e"]).encode())
    program.stdin.flush()
    return [json.loads(line) for line in iter(program.stdout.readline, b"\n")]


def expected(fields):
    return [{"key": key, "type": kind, "value": value} for key, (_, kind, value) in fields.items()]


def values(fields):
    return {key: value for key, (value, _, _) in fields.items()}


def without(fields, *taken):
    return {key: value for key, value in fields.items() if key not in taken}


@unittest.skipUnless(READ_BACK, "BEACON_READ_BACK names no program")
class ReadBack(unittest.TestCase):
    @given(any_text, exact_fields, any_text, exact_fields, exact_fields)
    @example("Modal inference", {}, "Model validated", {}, {"tokens": (156, "int", 156)})
    def test_every_line_comes_back_with_its_phase_text_and_values(self, name, fields, step, step_fields, end_fields):
        fields = without(fields, "traceparent", "headers", *CONTEXT)
        end_fields = without(end_fields, "duration", "error")
        with captured() as lines, span(name, **values(fields)) as s:
            s.step(step, **values(step_fields))
            s.set(**values(end_fields))
        start, middle, end = read_back(lines)
        for record in (start, middle, end):
            self.assertEqual(record["id"], log_id(lines[0]))
        self.assertEqual((start["phase"], middle["phase"], end["phase"]), ("started", "step", "succeeded"))
        self.assertTrue(lines[0].startswith(f"🔍 TRACE[{start['id']}]: {start['text']} started"))
        self.assertTrue(lines[1].startswith(f"🔍 TRACE[{start['id']}]: {middle['text']}"))
        self.assertEqual(start["fields"], expected(fields))
        self.assertEqual(middle["fields"], expected(step_fields))
        self.assertEqual(end["fields"][0]["type"], "duration")
        self.assertEqual(end["fields"][1:], expected(end_fields))

    @given(any_text, any_text)
    def test_a_name_and_a_step_printed_once_come_back_equal(self, name, step):
        with captured() as lines, span(name) as s:
            s.step(step)
        start, middle, _ = read_back(lines)
        with captured() as again, span(start["text"]) as s:
            s.step(middle["text"])
        self.assertEqual(
            [(r["phase"], r["text"]) for r in read_back(again)[:2]],
            [("started", start["text"]), ("step", middle["text"])],
        )

    @given(st.from_regex(r"[A-Z][A-Za-z0-9_]{0,20}Error", fullmatch=True), any_text)
    def test_an_exception_comes_back_with_type_and_message(self, kind, message):
        error = type(kind, (Exception,), {})(message)
        with captured() as lines, self.assertRaises(type(error)), span("x"):
            raise error
        failed = read_back(lines)[1]
        text = f"{kind}: {carried(message)}" if message else kind
        self.assertEqual(failed["phase"], "failed")
        self.assertEqual([field["key"] for field in failed["fields"]], ["error", "duration"])
        self.assertEqual(failed["fields"][0], {"key": "error", "type": "text", "value": text})
        self.assertEqual(failed["error"]["type"], kind)
        self.assertEqual(failed["error"]["message"].strip(), carried(message).strip())

    @given(any_text, any_text, any_text)
    def test_context_comes_back_as_text(self, trace_id, parent, job_id):
        with captured() as lines, span("x", trace_id=trace_id, parent=parent, job_id=job_id):
            pass
        start = read_back(lines)[0]
        self.assertLessEqual({field["key"] for field in start["fields"]}, CONTEXT)
        shown = {field["key"]: (field["type"], field["value"]) for field in start["fields"]}
        for key, value in {"parent": parent, "job_id": job_id}.items():
            text = carried(value).strip()
            self.assertEqual(shown.get(key), ("text", text) if 0 < len(text) <= 128 else None)

    @settings(max_examples=25)  # each is 40 values of 8,192 characters
    @given(any_fields, st.text('a\u0000é🔍"\\\n,= ', min_size=1, max_size=9))
    def test_lines_near_their_limit_come_back_whole(self, fields, pattern):
        text = (pattern * VALUE_LIMIT)[:VALUE_LIMIT]
        with captured() as lines, span("x") as s:
            s.step("big", **{f"k{n}": text for n in range(40)})
        _, big, _ = read_back(lines)
        shown = [field["value"] for field in big["fields"] if field["key"] != "fields_omitted"]
        self.assertEqual(shown, [text] * len(shown))
        self.assertGreater(len(shown), 1)

    @given(any_text, exact_fields, any_text, exact_fields)
    def test_lines_come_back_equal_from_the_platforms_log(self, name, fields, step, step_fields):
        fields = without(fields, "traceparent", "headers", *CONTEXT)
        with captured() as lines, span(name, **values(fields)) as s:
            s.step(step, **values(step_fields))
        prefixed = ["2026-11-23 12:00:00+00:00 fu-01A fc-01B ta-01C " + line for line in lines]
        self.assertEqual(read_back(prefixed), read_back(lines))
        self.assertEqual(
            [record["fields"] for record in read_back(prefixed)[:2]], [expected(fields), expected(step_fields)]
        )

    def test_the_ascii_form_comes_back_equal_as_well(self):
        code = (
            "from beacon_trace import span\n"
            "with span('x', k='caf\\u00e9 \\U0001f50d \\u65e5', n=1.5) as s: s.set(k='\\u2028\\ud800')\n"
        )
        _, out, _ = run_python(code, PYTHONIOENCODING="ascii")
        start, end = read_back(out.decode("ascii").splitlines())
        self.assertEqual([field["value"] for field in start["fields"]], ["café 🔍 日", 1.5])
        self.assertEqual(end["fields"][1]["value"], "\u2028\ufffd")


if __name__ == "__main__":
    unittest.main()
