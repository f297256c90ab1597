"""Runs all tests of this folder and ends with a line that a person can read: `python -m tests`."""

import sys
import time
import unittest
from pathlib import Path

folder = Path(__file__).resolve().parent
began = time.monotonic()
suite = unittest.defaultTestLoader.discover(str(folder), top_level_dir=str(folder.parent))
result = unittest.TextTestRunner(verbosity=1, buffer=True).run(suite)
failed = len(result.failures) + len(result.errors) + len(result.unexpectedSuccesses)
passed = result.testsRun - failed - len(result.skipped)
print(f"{passed} passed, {failed} failed, {len(result.skipped)} skipped in {time.monotonic() - began:.1f} s")
sys.exit(0 if result.wasSuccessful() and passed else 1)
