#!/usr/bin/env python3
"""Checks the pages against the repository and the program: every link leads somewhere (files and headings),
every page is in docs/README.md, docs/plans.md has the statements of the store, and every `beacon-collector …` that a page shows has commands and flags that exist.

    scripts/check-docs.py [FOLDER]    FOLDER holds the program; target/debug unless given
"""

import re
import shlex
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
# A command in a block or between backquotes, up to what a shell or a sentence puts behind it.
COMMAND = re.compile(r"(?<![\w/.-])beacon-collector((?: +[^|<>&;`#\n)]+)*)")
GENERATED = {"cli.md", "tools.md", "metrics.md", "configuration.md", "plans.md"}
# Statements that docs/plans.md need not show: those of other servers and of setting up, copying, and the doctor's.
UNPLANNED = {"columns", "copy", "delete_leases", "delete_losses", "delete_rejected", "distribution", "doubled", "examine", "grants",
             "grants_retention", "indexes", "own_rows_distributed", "own_rows_unindexed", "sizes", "writers"}


def slug(heading):
    """The anchor that is made of a heading."""
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)|[`*]", r"\1", heading.strip()).lower()
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


def unshown_statements():
    """Statements in files that docs/plans.md does not have as they are."""
    plain = lambda sql: re.sub(r"\s+", " ", re.sub(r"--[^\n]*", " ", sql)).strip()
    shown = (ROOT / "docs/plans.md").read_text(encoding="utf-8")
    for file in sorted((ROOT / "src/store/sql/postgres").glob("*.sql")):
        if file.stem not in UNPLANNED and plain(file.read_text(encoding="utf-8")) not in shown:
            yield file.name


@lru_cache
def anchors(page):
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    return {slug(line.lstrip("#")) for line in text.splitlines() if re.match(r"#+ ", line)}


def dead_links(page):
    for target in LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
        if "://" in target or target.startswith("mailto:"):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        if not file.exists():
            yield f"{target}: no such file"
        elif anchor and file.suffix == ".md" and anchor not in anchors(file):
            yield f"{target}: no such heading"


class Program:
    def __init__(self, path):
        self.path = path
        self.commands = set(re.findall(r"^  ([a-z][a-z-]+)  ", self.help(()), re.MULTILINE))
        for aliases in re.findall(r"\[alias(?:es)?: ([a-z, -]+)\]", self.help(())):
            self.commands |= set(aliases.split(", "))

    @lru_cache
    def help(self, words):
        done = subprocess.run([self.path, *words, "--help"], capture_output=True, text=True, encoding="utf-8")
        return done.stdout if done.returncode == 0 else ""

    def wrong(self, text):
        """What a shown command line has that the program has not."""
        try:
            words = shlex.split(text)
        except ValueError:
            words = text.split()
        named = [word for word in words if not word.startswith("-")]
        first = words[0] if words and re.fullmatch(r"[a-z][a-z-]+", words[0]) else None
        if first is None and named and not any(word.startswith("--") for word in words):
            return  # a sentence that begins with the name
        shown = self.help(((first,) if first and first in self.commands else ()))
        if first and first not in self.commands:
            if any(word.startswith("--") for word in words) or len(words) == 1:
                yield f"no command {first}"
            return
        if first and len(named) > 1 and f"\n  {named[1]} " in shown and "Commands:" in shown:
            shown = self.help((first, named[1]))
        for word in words:
            flag = re.match(r"--[a-z][a-z-]*", word)
            if flag and flag[0] not in shown:
                yield f"{first or 'beacon-collector'} has no {flag[0]}"


def shown_commands(page):
    text = page.read_text(encoding="utf-8")
    blocks = FENCE.findall(text) + re.findall(r"`([^`\n]*beacon-collector[^`\n]*)`", FENCE.sub("", text))
    for block in blocks:
        for found in COMMAND.findall(block.replace("\\\n", " ")):
            yield found.strip()


def main():
    programs = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "target" / "debug").resolve()
    program = Program(programs / "beacon-collector")
    if not program.commands:
        raise SystemExit(f"no beacon-collector in {programs}: cargo build")
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True)
    pages = [ROOT / name for name in listed.stdout.split()]
    index = (ROOT / "docs/README.md").read_text(encoding="utf-8")
    problems, checked = [f"docs/plans.md: lacks the statement of {name} as it is; run scripts/explain.sh" for name in unshown_statements()], 0
    for page in pages:
        name = page.relative_to(ROOT)
        problems += [f"{name}: {problem}" for problem in dead_links(page)]
        if page.parent == ROOT / "docs" and page.name != "README.md" and f"({page.name})" not in index:
            problems.append(f"{name}: not in docs/README.md")
        if page.name in GENERATED:
            continue
        for command in shown_commands(page):
            checked += 1
            problems += [f"{name}: beacon-collector {command}: {problem}" for problem in program.wrong(command)]
    if problems:
        raise SystemExit("\n".join(problems))
    if not checked:
        raise SystemExit("no page shows a command: is the check still looking in the right places?")
    print(f"docs: {len(pages)} pages, every link leads somewhere; {checked} commands shown, all as the program has them")


if __name__ == "__main__":
    main()
