"""The printed lines, compared to the grammar letter by letter."""

import datetime
import decimal
import enum
import fractions
import re
import unittest

from beacon_trace import LINE_LIMIT, VALUE_LIMIT, current, span
from tests.support import anonymous, captured, payload


def printed_value(value):
    """How `value` is printed as the field k."""
    with captured() as lines, span("x") as s:
        s.step("values", k=value)
    return payload(lines[1])[2:]


def printed_step(text):
    with captured() as lines, span("x") as s:
        s.step(text)
    return anonymous(lines)[1]


def printed_start(name):
    with captured() as lines, span(name):
        pass
    return anonymous(lines)[0]


class Lines(unittest.TestCase):
    def test_a_span_prints_its_start_its_steps_and_its_success(self):
        with captured() as lines:
            with span("Modal inference", model="llama3.2-1b", region="us-east") as s:
                s.step("Model validated", model="llama3.2-1b")
                s.set(tokens=156)
        self.assertEqual(
            anonymous(lines),
            [
                "🔍 TRACE[A]: Modal inference started - model=llama3.2-1b, region=us-east",
                "🔍 TRACE[A]: Model validated - model=llama3.2-1b",
                "🔍 TRACE[A]: SUCCESS - duration=0.00s, tokens=156",
            ],
        )

    def test_an_exception_prints_failed_with_its_type_and_message(self):
        with captured() as lines, self.assertRaises(OSError):
            with span("Modal inference"):
                raise OSError("gated repo, 401")
        self.assertEqual(anonymous(lines)[1], '🔍 TRACE[A]: FAILED - error="OSError: gated repo, 401", duration=0.00s')

    def test_an_exception_without_message_prints_its_type_alone(self):
        with captured() as lines, self.assertRaises(MemoryError):
            with span("x"):
                raise MemoryError
        self.assertEqual(anonymous(lines)[1], "🔍 TRACE[A]: FAILED - error=MemoryError, duration=0.00s")

    def test_fail_ends_the_span_as_failed_without_an_exception(self):
        with captured() as lines:
            with span("caught") as s:
                s.fail(ValueError("no such model"))
            with span("told") as s:
                s.fail("quota")
        self.assertEqual(
            [anonymous(lines)[1], anonymous(lines)[3]],
            [
                '🔍 TRACE[A]: FAILED - error="ValueError: no such model", duration=0.00s',
                "🔍 TRACE[B]: FAILED - error=quota, duration=0.00s",
            ],
        )

    def test_a_span_without_fields_has_no_payload(self):
        self.assertEqual(printed_start("Warm-up"), "🔍 TRACE[A]: Warm-up started")

    def test_the_duration_has_two_decimals_or_as_many_as_it_needs(self):
        printed = {
            seconds: printed_value(datetime.timedelta(seconds=seconds)) for seconds in (2, 2.45, 0.000017, 61.125)
        }
        self.assertEqual(printed, {2: "2.00s", 2.45: "2.45s", 0.000017: "0.000017s", 61.125: "61.125s"})

    def test_a_field_that_would_hide_duration_or_error_gets_an_underscore(self):
        with captured() as lines, span("x") as s:
            s.set(duration="long", error="none of ours")
        self.assertRegex(lines[1], r'duration=[0-9.]+s, duration_=long, error_="none of ours"$')

    def test_a_later_value_replaces_an_earlier_one(self):
        with captured() as lines, span("x") as s:
            s.set(tokens=1)
            s.set(tokens=2)
        self.assertTrue(lines[1].endswith("s, tokens=2"))

    def test_a_mutable_value_is_printed_as_it_was_when_it_was_set(self):
        seen = ["a"]
        with captured() as lines, span("x") as s:
            s.set(seen=seen)
            seen.append("b")
        self.assertTrue(lines[1].endswith("seen=\"['a']\""))


class Values(unittest.TestCase):
    def test_plain_words_numbers_booleans_and_none_stand_bare(self):
        class Level(enum.IntEnum):
            HIGH = 3

        values = {"us-east": "us-east", 156: "156", -1: "-1", 1.5: "1.5", 1e300: "1e+300", None: "None"}
        for value, expected in values.items():
            self.assertEqual(printed_value(value), expected)
        self.assertEqual((printed_value(True), printed_value(False)), ("True", "False"))
        self.assertEqual(printed_value(Level.HIGH), "3")
        self.assertEqual(printed_value(fractions.Fraction(1, 2)), "0.5")
        self.assertEqual(printed_value("meta-llama/Llama-3.2-1B@main"), "meta-llama/Llama-3.2-1B@main")

    def test_text_that_looks_like_another_kind_of_value_is_quoted(self):
        for text in (
            "156",
            "1.5",
            ".5",
            "-3",
            "1e5",
            "1e-5",
            "1_000",
            "2.45s",
            "1h30m",
            "7ms",
            "True",
            "false",
            "None",
            "nan",
            "-inf",
        ):
            self.assertEqual(printed_value(text), f'"{text}"')

    def test_text_of_other_characters_and_empty_text_are_quoted_with_escapes(self):
        values = {
            "": '""',
            "a b": '"a b"',
            "a, b=c": '"a, b=c"',
            'say "hi"': r'"say \"hi\""',
            "C:\\new": r'"C:\\new"',
            "a\nb\rc\td": r'"a\nb\rc\td"',
            "\x1b[31m\x00\x85\u2028": r'"\u001b[31m\u0000\u0085\u2028"',
            "größer 🔍 日本": '"größer 🔍 日本"',
            "\U000e0041": r'"\udb40\udc41"',
        }
        for value, expected in values.items():
            self.assertEqual(printed_value(value), expected)

    def test_a_quoted_trace_line_does_not_look_like_one(self):
        self.assertEqual(printed_value("TRACE[deadbeef]: SUCCESS"), r'"TRACE\u005bdeadbeef]: SUCCESS"')

    def test_a_quoted_log_prefix_does_not_look_like_one(self):
        shown = printed_value("2026-11-23 12:00:00+00:00 fc-01 ta-01 x")
        self.assertEqual(shown, r'"2026-11-23\u002012:00:00+00:00 fc-01 ta-01 x"')
        self.assertEqual(printed_value("2026-11-23 12:00:00+00:00"), r'"2026-11-23\u002012:00:00+00:00"')
        self.assertEqual(printed_value("2026-11-23 12:00:00"), '"2026-11-23 12:00:00"')

    def test_a_lone_surrogate_becomes_the_replacement_character(self):
        self.assertEqual(printed_value("a\udc80b"), '"a\ufffdb"')

    def test_numbers_that_no_reader_could_hold_are_text(self):
        values = {2**63: str(2**63), float("nan"): "nan", float("inf"): "inf", decimal.Decimal("1.10"): "1.10"}
        for value, text in values.items():
            self.assertEqual(printed_value(value), f'"{text}"')
        self.assertEqual(printed_value(datetime.timedelta(seconds=-1)), '"-1 day, 23:59:59"')

    def test_text_subclasses_are_printed_by_their_text(self):
        class Model(str, enum.Enum):
            LLAMA = "llama3.2-1b"

        self.assertEqual(printed_value(Model.LLAMA), "llama3.2-1b")

    def test_bytes_are_printed_as_their_literal(self):
        self.assertEqual(printed_value(b"ab"), "\"b'ab'\"")

    def test_a_long_value_loses_its_middle_and_says_so(self):
        shown = printed_value("a" * 50_000 + "end of it")
        self.assertLessEqual(len(shown), VALUE_LIMIT + 2)
        self.assertRegex(shown, r'^"a{6000,}\.\.\.\[\d+ characters cut\]\.\.\.a{2000,}end of it"$')

    def test_a_line_stays_below_its_limit_and_counts_the_fields_left_out(self):
        with captured() as lines, span("x") as s:
            s.step("many", **{f"k{n}": "é\n" * 4000 for n in range(40)}, last=1)
        self.assertLess(len(lines[1].encode()), 200 * 1024)
        shown = len(re.findall(r"\bk\d+=", lines[1]))
        self.assertTrue(lines[1].endswith(f", last=1, fields_omitted={40 - shown}"), lines[1][-100:])
        self.assertGreater(LINE_LIMIT, 180 * 1024)

    def test_a_key_is_made_one_that_the_grammar_has(self):
        with captured() as lines, span("x") as s:
            s.step("keys", **{"a b": 1, "9": 2, "é=": 3, "": 4})
        self.assertEqual(payload(lines[1]), "a_b=1, _9=2, __=3, _=4")


class Phrases(unittest.TestCase):
    def test_a_name_stays_on_its_line_and_keeps_clear_of_the_fields(self):
        names = {
            "a\n b\r\n\tc": "a b c",
            "load - warm": "load -- warm",
            "\x1b[1mbold": "[1mbold",
            "": "span",
            None: "None",
            "log TRACE[dead]: x": "log TRACE [dead]: x",
            "at 2026-11-23 12:00:00+00:00 fu-1": "at 2026-11-23T12:00:00+00:00 fu-1",
        }
        for name, expected in names.items():
            self.assertEqual(printed_start(name), f"🔍 TRACE[A]: {expected} started")

    def test_a_name_that_begins_with_an_outcome_says_that_it_is_a_name(self):
        for name in ("SUCCESS", "FAILED", "ERROR: x", "TIMEOUT handling"):
            self.assertEqual(printed_start(name), f"🔍 TRACE[A]: span {name} started")
        for name in ("Failed jobs", "ERRORS", "No ERROR"):
            self.assertEqual(printed_start(name), f"🔍 TRACE[A]: {name} started")

    def test_a_step_that_reads_as_an_outcome_or_a_start_says_that_it_is_a_step(self):
        steps = {
            "SUCCESS": "step SUCCESS",
            "ERROR rate measured": "step ERROR rate measured",
            "Download started": "Download started (step)",
            "started": "started (step)",
            "Restarted": "Restarted",
            "Started": "Started",
            "": "step",
        }
        for text, expected in steps.items():
            self.assertEqual(printed_step(text), f"🔍 TRACE[A]: {expected}")

    def test_a_long_name_is_cut(self):
        self.assertEqual(printed_start("n" * 5000), "🔍 TRACE[A]: " + "n" * 512 + "... started")


class NoSpan(unittest.TestCase):
    def test_current_without_a_span_prints_nothing(self):
        with captured() as lines:
            current().step("nobody hears")
            current().set(a=1)
            current().fail("x")
        self.assertEqual(lines, [])


if __name__ == "__main__":
    unittest.main()
