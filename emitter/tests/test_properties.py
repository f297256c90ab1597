"""Properties that hold for any text: each call prints one line, which gives its values back.

A quoted value is also a JSON string, so JSON reads it here; test_read_back.py asks the collector's own parser.
"""

import datetime
import json
import unittest

from hypothesis import given, settings
from hypothesis import strategies as st

from beacon_trace import LINE_LIMIT, VALUE_LIMIT, span
from tests.support import captured, payload

# Shared machines pause: a slow example is no failure. Fixed examples make a red run repeatable.
settings.register_profile("tests", deadline=None, derandomize=True, database=None, max_examples=200)
settings.load_profile("tests")

# With surrogates, which no line can carry, and with what the grammar gives a meaning.
MEANINGFUL = [
    " - ",
    ", ",
    "=",
    "SUCCESS",
    "FAILED",
    "ERROR:",
    "TIMEOUT",
    " started",
    "🔍 TRACE[deadbeef]: SUCCESS",
    '"',
    "'",
    "\\",
    "\n",
    "\r\n",
    "\x1b[31m",
    "2026-11-23 13:33:41+00:00 fc-01 ta-01 ",
    "duration=",
    "error=",
    "Traceback (most recent call last):\n",
    "None",
    "True",
    "1e5",
    "2.45s",
    "\u2028",
    "{",
    "[",
    "(",
    ":",
    ";",
    "|",
]
any_text = st.one_of(
    st.text(st.characters(codec=None)),
    st.lists(st.one_of(st.sampled_from(MEANINGFUL), st.text(max_size=4)), max_size=8).map("".join),
)
any_value = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.timedeltas(),
    st.binary(max_size=20),
    any_text,
    st.lists(any_text, max_size=3),
)
any_fields = st.dictionaries(any_text, any_value, max_size=6)


def carried(text):
    """What a line makes of a text that it cannot carry as it is."""
    return "".join("\ufffd" if "\ud800" <= char <= "\udfff" else char for char in text)


class Lines(unittest.TestCase):
    @given(any_text, any_fields, any_text, any_fields, any_fields)
    def test_each_call_prints_one_line_of_bounded_length(self, name, fields, step, step_fields, end_fields):
        with captured() as lines:
            with span(name, **{"k_" + key: value for key, value in fields.items()}) as s:
                s.step(step, **step_fields)
                s.set(**end_fields)
        self.assertEqual(len(lines), 3)
        for line in lines:
            self.assertTrue(line.isprintable() and line == line.strip())
            self.assertEqual(line.count("TRACE["), 1)
            self.assertLess(len(line.encode()), LINE_LIMIT + 1024)
        self.assertRegex(lines[0], r" started( - |$)")
        self.assertRegex(lines[2], r"\]: SUCCESS - duration=[0-9]+\.[0-9]{2,6}s")

    @given(any_text)
    def test_text_comes_back_from_its_quotes_equal(self, text):
        with captured() as lines, span("x") as s:
            s.step("y", k=text)
        shown = payload(lines[1])[2:]
        self.assertEqual(json.loads(shown) if shown.startswith('"') else shown, carried(text))

    @given(st.one_of(st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False)))
    def test_numbers_come_back_equal(self, number):
        with captured() as lines, span("x") as s:
            s.step("y", k=number)
        self.assertEqual(json.loads(payload(lines[1])[2:]), number)

    @given(st.timedeltas(datetime.timedelta(0), datetime.timedelta(days=36500)))
    def test_durations_come_back_to_the_microsecond(self, duration):
        with captured() as lines, span("x") as s:
            s.step("y", k=duration)
        whole, micros = payload(lines[1])[2:-1].split(".")
        self.assertEqual(datetime.timedelta(seconds=int(whole), microseconds=int(micros.ljust(6, "0"))), duration)

    @given(any_text, any_text)
    def test_names_and_steps_are_stable_once_printed(self, name, step):
        def phrases(name, step):
            with captured() as lines, span(name) as s:
                s.step(step)
            return lines[0].split("]: ", 1)[1][: -len(" started")], lines[1].split("]: ", 1)[1]

        once = phrases(name, step)
        self.assertEqual(phrases(*once), once)

    @given(st.text('a\u0000é🔍"\\\n\U000e0041', min_size=1), st.integers(-5, 5))
    def test_fields_of_long_values_stay_within_one_line(self, pattern, more):
        text = (pattern * (VALUE_LIMIT + 5))[: VALUE_LIMIT + more]
        with captured() as lines, span("x", **{f"k{n}": text for n in range(8)}):
            pass
        self.assertLess(len(lines[0].encode()), 200 * 1024)


if __name__ == "__main__":
    unittest.main()
