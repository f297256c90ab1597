"""Nothing that happens to a line reaches the function that is traced."""

import io
import re
import subprocess
import sys
import threading
import unittest
from pathlib import Path
from unittest import mock

from beacon_trace import span
from tests.support import captured

FOLDER = Path(__file__).resolve().parent.parent


def run_python(code, *options, **env):
    """Runs code in a fresh interpreter; gives (exit code, stdout bytes, stderr text)."""
    command = [sys.executable, *options, "-c", code]
    done = subprocess.run(command, cwd=FOLDER, env={"PATH": "", **env}, capture_output=True, timeout=60)
    return done.returncode, done.stdout, done.stderr.decode()


class Unprintable:
    def __str__(self):
        raise RuntimeError("no text")

    __repr__ = __str__


class UnprintableError(Exception):
    def __str__(self):
        raise RuntimeError("no text")


class Pretender:
    """Lies about its class, loudly."""

    @property
    def __class__(self):
        raise RuntimeError("no class")


class BrokenStdout(unittest.TestCase):
    def assert_body_runs(self, stdout):
        ran = []
        with mock.patch.object(sys, "stdout", stdout):
            with span("x", a=1) as s:
                s.step("y")
                s.set(b=2)
                ran.append(True)
            with self.assertRaises(KeyError) as caught, span("x"):
                raise KeyError("mine")
        self.assertEqual(ran, [True])
        self.assertEqual(caught.exception.args, ("mine",))

    def test_a_closed_stdout_is_survived(self):
        closed = io.StringIO()
        closed.close()
        self.assert_body_runs(closed)

    def test_a_missing_stdout_is_survived(self):
        self.assert_body_runs(None)
        self.assert_body_runs(object())

    def test_a_broken_pipe_is_survived(self):
        broken = mock.Mock(encoding="utf-8")
        broken.write.side_effect = BrokenPipeError
        self.assert_body_runs(broken)

    def test_a_failing_flush_is_survived(self):
        broken = mock.Mock(encoding="utf-8")
        broken.flush.side_effect = OSError("disk full")
        self.assert_body_runs(broken)

    def test_a_reader_that_goes_away_is_survived(self):
        code = (
            "import sys, beacon_trace, os\n"
            "os.close(1)\n"
            "with beacon_trace.span('x') as s: s.step('y')\n"
            "sys.stderr.write('alive')\n"
        )
        self.assertIn("alive", run_python(code)[2])


class Encodings(unittest.TestCase):
    CODE = "import beacon_trace as b\nwith b.span('Caf\\u00e9', model='m\\u00e9\\U0001f50d') as s: s.step('ok')\n"

    def assert_escaped(self, encoding):
        code, out, err = run_python(self.CODE, PYTHONIOENCODING=encoding)
        self.assertEqual((code, err), (0, ""))
        lines = out.decode("ascii").splitlines()
        self.assertRegex(lines[0], r'^TRACE\[\w{8}\]: Caf\\xe9 started - model="m\\u00e9\\ud83d\\udd0d"$')
        self.assertRegex(lines[1], r"^TRACE\[\w{8}\]: ok$")

    def test_an_ascii_stdout_gets_escapes_and_no_glyph(self):
        self.assert_escaped("ascii")

    def test_an_ascii_stdout_that_would_replace_gets_escapes_all_the_same(self):
        self.assert_escaped("ascii:replace")

    def test_a_latin_stdout_gets_escapes_since_readers_take_utf_8(self):
        self.assert_escaped("latin-1")

    def test_a_stdout_that_refuses_what_it_promised_gets_escapes(self):
        class Liar(io.StringIO):
            encoding = "utf-8"

            def write(self, text):
                return super().write(text.encode("ascii").decode())

        out = Liar()
        with mock.patch.object(sys, "stdout", out), span("x", name="é"):
            pass
        self.assertIn('name="\\u00e9"', out.getvalue())


class UnprintableValues(unittest.TestCase):
    def test_a_value_without_text_is_named_by_its_type(self):
        with captured() as lines, span(Unprintable(), a=Unprintable(), b=Pretender()) as s:
            s.step(Unprintable())
            s.set(c=10**5000 if sys.version_info >= (3, 11) else Unprintable())
        self.assertIn(
            '<unprintable Unprintable> started - a="<unprintable Unprintable>", b="<unprintable Pretender>"', lines[0]
        )
        self.assertIn('c="<unprintable ', lines[2])

    def test_an_exception_without_text_still_fails_the_span_and_propagates(self):
        error = UnprintableError()
        with captured() as lines, self.assertRaises(UnprintableError) as caught, span("x"):
            raise error
        self.assertIs(caught.exception, error)
        self.assertIn('FAILED - error="UnprintableError: <unprintable message>"', lines[1])

    def test_bytes_are_no_error_under_the_strictest_interpreter(self):
        code = "import beacon_trace as b\nwith b.span(b'n', v=b'v', headers=[(b'X-Trace-Id', b'abc')]): pass\n"
        code, out, err = run_python(code, "-bb", "-W", "error")
        self.assertEqual((code, err), (0, ""))
        self.assertEqual(len(out.splitlines()), 2)

    def test_nonsense_as_context_is_no_error(self):
        with (
            captured() as lines,
            span("x", trace_id=Unprintable(), parent=[], execution_id=1.5, headers=3, traceparent=b"\xff"),
        ):
            pass
        self.assertEqual(len(lines), 2)


class Exceptions(unittest.TestCase):
    def test_the_callers_exception_passes_unchanged(self):
        error = ValueError("mine")
        with captured(), self.assertRaises(ValueError) as caught, span("x"):
            raise error
        self.assertIs(caught.exception, error)
        self.assertIsNone(error.__context__)
        self.assertIsNone(error.__cause__)

    def test_interruptions_fail_the_span_with_their_type_and_pass(self):
        for kind in (KeyboardInterrupt, SystemExit):
            with captured() as lines, self.assertRaises(kind), span("x"):
                raise kind
            self.assertIn(f"FAILED - error={kind.__name__}, duration=", lines[1])

    def test_leaving_twice_prints_one_end(self):
        with captured() as lines, span("x") as s:
            s.__exit__(None, None, None)
        self.assertEqual(len(lines), 2)


class Threads(unittest.TestCase):
    def test_lines_of_many_threads_stay_whole(self):
        code = (
            "import threading, beacon_trace as b\n"
            "def work(n):\n"
            "    for i in range(100):\n"
            "        with b.span('work', n=n, pad='p' * (i * 80)) as s: s.step('half', pad='q' * (i * 80))\n"
            "threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]\n"
            "[t.start() for t in threads]; [t.join() for t in threads]\n"
        )
        code, out, err = run_python(code, PYTHONIOENCODING="utf-8")
        self.assertEqual((code, err), (0, ""))
        lines = out.decode().splitlines()
        self.assertEqual(len(lines), 8 * 100 * 3)
        phase = r'(work started - n=\d, pad=(p+|"")|half - pad=(q+|"")|SUCCESS - duration=[0-9.]+s)'
        broken = [line[:200] for line in lines if not re.fullmatch(r"🔍 TRACE\[\w{8}\]: " + phase, line)]
        self.assertEqual(broken, [])

    def test_fields_may_be_set_from_other_threads_while_the_span_ends(self):
        with captured() as lines:
            with span("x") as s:
                setters = [
                    threading.Thread(target=lambda n=n: s.set(**{f"k{n}_{i}": i for i in range(200)})) for n in range(4)
                ]
                for setter in setters:
                    setter.start()
            for setter in setters:
                setter.join()
        self.assertIn("SUCCESS", lines[-1])


if __name__ == "__main__":
    unittest.main()
