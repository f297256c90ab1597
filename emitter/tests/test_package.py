"""The package and the single file are what they say: installable alone, whole, and for Python 3.9."""

import shutil
import subprocess
import sys
import tarfile
import tempfile
import unittest
import venv
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent
PRINTS = "from beacon_trace import span\nwith span('Modal inference', model='m') as s: s.set(tokens=1)\n"


def run(*command, cwd):
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300, encoding="utf-8")
    if done.returncode:
        raise AssertionError(f"{command}: {done.stdout}{done.stderr}")
    return done.stdout


class Package(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.place = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.place.cleanup)
        cls.root = Path(cls.place.name)
        # A copy: building leaves files beside what it builds.
        source = cls.root / "source"
        shutil.copytree(FOLDER, source, ignore=shutil.ignore_patterns("__pycache__", ".hypothesis"))
        run(sys.executable, "-m", "build", "--no-isolation", "--outdir", str(cls.root / "dist"), cwd=source)

    def assert_prints(self, out):
        self.assertRegex(out, r"TRACE\[[0-9a-f]{8}\]: Modal inference started - model=m\n.*SUCCESS - duration=.*tokens=1\n")

    def test_the_wheel_installs_alone_into_a_fresh_environment(self):
        home = self.root / "fresh"
        venv.create(home, with_pip=True)
        (wheel,) = (self.root / "dist").glob("*.whl")
        python = home / "bin" / "python"
        run(str(python), "-m", "pip", "install", "--quiet", "--no-index", str(wheel), cwd=self.root)
        self.assert_prints(run(str(python), "-c", PRINTS, cwd=self.root))
        where = run(str(python), "-c", "import beacon_trace; print(beacon_trace.__file__)", cwd=self.root)
        self.assertIn("site-packages", where)

    def test_the_source_distribution_has_its_tests_examples_and_licence(self):
        (archive,) = (self.root / "dist").glob("*.tar.gz")
        with tarfile.open(archive) as files:
            names = {name.partition("/")[2] for name in files.getnames()}
        wanted = {path.relative_to(FOLDER).as_posix() for part in ("tests", "examples") for path in (FOLDER / part).glob("*.py")}
        self.assertLessEqual(wanted | {"LICENSE", "README.md", "beacon_trace.py"}, names)

    def test_the_one_file_copied_beside_a_program_is_enough(self):
        beside = self.root / "beside"
        beside.mkdir()
        shutil.copy(FOLDER / "beacon_trace.py", beside)
        # -S: without site-packages, so that nothing installed can help.
        self.assert_prints(run(sys.executable, "-S", "-c", PRINTS, cwd=beside))

    def test_the_file_and_the_example_are_python_3_9(self):
        files = [str(FOLDER / "beacon_trace.py"), str(FOLDER / "examples" / "modal_app.py")]
        vermin = str(Path(sys.executable).with_name("vermin"))
        said = run(vermin, "--no-tips", "--violations", "-t=3.9-", *files, cwd=self.root)
        self.assertIn("Minimum required versions: 3.", said)


if __name__ == "__main__":
    unittest.main()
